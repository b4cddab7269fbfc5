//! The other listings: buckets, multipart uploads and their parts.

use weir_types::limits::{PARTS_MAX, S3_PAGE_MAX};

use crate::dates::iso8601;
use crate::error::{Result, S3Error};
use crate::flexible::{ChecksumType, FlexibleKind, StoredChecksum};
use crate::listing::{Scope, decode_token, encode_token};
use crate::render::{Owner, owner_into, quoted};
use crate::request::Query;
use crate::xml::Writer;

/// Buckets of one page, by S3's own limit.
const BUCKETS_PAGE_MAX: u32 = 10_000;

/// Parameters of ListBuckets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListBuckets {
    /// Only names that begin with it.
    pub prefix: String,
    /// Buckets of one page; `None` for all.
    pub max_buckets: Option<usize>,
    /// Only names greater than this.
    pub after: Option<String>,
    /// `bucket-region`.
    pub region: Option<String>,
}

/// One bucket of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketEntry<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made, in nanoseconds since 1970.
    pub created_ns: u64,
}

impl ListBuckets {
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let max_buckets = query.count("max-buckets")?;
        if let Some(n) = max_buckets.filter(|n| !(1..=BUCKETS_PAGE_MAX).contains(n)) {
            return Err(S3Error::argument("max-buckets", &n.to_string(), "expected 1 to 10000"));
        }
        Ok(Self {
            prefix: query.get("prefix").unwrap_or_default().to_owned(),
            max_buckets: max_buckets.map(|n| n as usize),
            after: query.filled("continuation-token").map(decode_token).transpose()?,
            region: query.filled("bucket-region").map(str::to_owned),
        })
    }

    /// The answer, picked from all buckets that the credential may see, given in byte order of their names.
    pub fn render(&self, all: &[BucketEntry<'_>], owner: &Owner) -> Vec<u8> {
        let wanted = |b: &&BucketEntry<'_>| {
            b.name.starts_with(&self.prefix) && self.after.as_deref().is_none_or(|after| b.name > after)
        };
        let limit = self.max_buckets.unwrap_or(usize::MAX);
        let mut page: Vec<_> = all.iter().filter(wanted).take(limit.saturating_add(1)).collect();
        let truncated = page.len() > limit;
        page.truncate(limit);
        let mut w = Writer::new("ListAllMyBucketsResult");
        owner_into(&mut w, "Owner", owner);
        w.element("Buckets", |w| {
            for bucket in &page {
                w.element("Bucket", |w| {
                    w.text("Name", bucket.name);
                    w.text("CreationDate", &iso8601(bucket.created_ns));
                });
            }
        });
        if !self.prefix.is_empty() {
            w.text("Prefix", &self.prefix);
        }
        if truncated {
            w.optional("ContinuationToken", page.last().map(|b| encode_token(b.name)).as_deref());
        }
        w.finish()
    }
}

/// Parameters of ListMultipartUploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListUploads {
    /// What is listed; `max_keys` counts uploads.
    pub scope: Scope,
    /// `key-marker`, as sent.
    pub key_marker: String,
    /// `upload-id-marker`: uploads of `key_marker` itself with a greater ID are listed too. Means nothing alone.
    pub upload_marker: Option<String>,
}

/// One upload of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadEntry<'a> {
    /// The object's name.
    pub key: &'a str,
    /// The upload.
    pub upload_id: &'a str,
    /// When it was begun, in nanoseconds since 1970.
    pub initiated_ns: u64,
}

impl ListUploads {
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let key_marker = query.get("key-marker").unwrap_or_default().to_owned();
        let upload_marker = query.filled("upload-id-marker").filter(|_| !key_marker.is_empty());
        let scope = Scope::parse(query, "max-uploads")?;
        Ok(Self { scope, upload_marker: upload_marker.map(str::to_owned), key_marker })
    }

    /// The answer, picked from all uploads of the bucket in the order of name and then ID.
    pub fn render(&self, bucket: &str, all: &[UploadEntry<'_>], owner: &Owner) -> Vec<u8> {
        let page = self.page(all);
        let mut w = Writer::new("ListMultipartUploadsResult");
        w.text("Bucket", bucket);
        w.text("KeyMarker", &self.scope.show(&self.key_marker));
        w.text("UploadIdMarker", self.upload_marker.as_deref().unwrap_or_default());
        if let Some((key, upload_id)) = page.next {
            w.text("NextKeyMarker", &self.scope.show(key));
            w.text("NextUploadIdMarker", upload_id);
        }
        w.text("Prefix", &self.scope.show(&self.scope.prefix));
        self.scope.tail_into(&mut w);
        w.value("MaxUploads", self.scope.max_keys);
        w.value("IsTruncated", page.next.is_some());
        for upload in page.uploads {
            w.element("Upload", |w| {
                w.text("Key", &self.scope.show(upload.key));
                w.text("UploadId", upload.upload_id);
                owner_into(w, "Initiator", owner);
                owner_into(w, "Owner", owner);
                w.text("StorageClass", "STANDARD");
                w.text("Initiated", &iso8601(upload.initiated_ns));
            });
        }
        self.scope.prefixes_into(&mut w, &page.prefixes);
        w.finish()
    }

    fn page<'a>(&self, all: &[UploadEntry<'a>]) -> UploadPage<'a> {
        let mut page = UploadPage::default();
        let marker = self.scope.after(&self.key_marker);
        let mut last = None;
        for upload in all.iter().filter(|u| u.key.starts_with(&self.scope.prefix)) {
            let same = upload.key == self.key_marker
                && self.upload_marker.as_deref().is_some_and(|marker| upload.upload_id > marker);
            if !same && !self.key_marker.is_empty() && upload.key <= marker.as_str() {
                continue;
            }
            let rolled = self.rolled(upload.key);
            if rolled.is_some() && rolled == page.prefixes.last().copied() {
                continue;
            }
            if page.uploads.len() + page.prefixes.len() == self.scope.max_keys {
                page.next = last;
                break;
            }
            match rolled {
                Some(prefix) => {
                    page.prefixes.push(prefix);
                    last = Some((prefix, ""));
                }
                None => {
                    page.uploads.push(*upload);
                    last = Some((upload.key, upload.upload_id));
                }
            }
        }
        page
    }

    /// The common prefix that a name is rolled up into.
    fn rolled<'a>(&self, key: &'a str) -> Option<&'a str> {
        let delimiter = self.scope.delimiter.as_deref()?;
        let from = self.scope.prefix.len();
        let at = key.get(from..)?.find(delimiter)?;
        key.get(..from + at + delimiter.len())
    }
}

#[derive(Default)]
struct UploadPage<'a> {
    uploads: Vec<UploadEntry<'a>>,
    prefixes: Vec<&'a str>,
    /// Name and upload that the next page follows.
    next: Option<(&'a str, &'a str)>,
}

/// Parameters of ListParts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListParts {
    /// The upload.
    pub upload_id: String,
    /// Parts of one page, at most 1000.
    pub max_parts: usize,
    /// Only parts with a greater number.
    pub marker: u32,
}

/// One part of an upload or of a completed object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartView {
    /// 1..=10000.
    pub number: u32,
    /// Size in bytes.
    pub size: u64,
    /// When it was written, in nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Tag without quotes.
    pub etag: String,
    /// Checksum kept with it.
    pub checksum: Option<StoredChecksum>,
}

impl ListParts {
    pub(crate) fn parse(query: &Query, upload_id: &str) -> Result<Self> {
        let max = query.count("max-parts")?.map_or(S3_PAGE_MAX, |n| (n as usize).min(S3_PAGE_MAX));
        let marker = query.count("part-number-marker")?.unwrap_or(0).min(PARTS_MAX);
        Ok(Self { upload_id: upload_id.to_owned(), max_parts: max, marker })
    }

    /// The answer, picked from all parts in ascending order.
    pub fn render(
        &self,
        bucket: &str,
        key: &str,
        all: &[PartView],
        checksum: Option<(FlexibleKind, ChecksumType)>,
        owner: &Owner,
    ) -> Vec<u8> {
        let (page, next) = part_page(all, self.marker, self.max_parts);
        let mut w = Writer::new("ListPartsResult");
        w.text("Bucket", bucket);
        w.text("Key", key);
        w.text("UploadId", &self.upload_id);
        owner_into(&mut w, "Initiator", owner);
        owner_into(&mut w, "Owner", owner);
        w.text("StorageClass", "STANDARD");
        w.value("PartNumberMarker", self.marker);
        w.value("NextPartNumberMarker", page.last().map_or(0, |p| p.number));
        w.value("MaxParts", self.max_parts);
        w.value("IsTruncated", next.is_some());
        if let Some((kind, t)) = checksum {
            w.text("ChecksumAlgorithm", kind.as_str());
            w.text("ChecksumType", t.as_str());
        }
        for part in page {
            w.element("Part", |w| {
                w.value("PartNumber", part.number);
                w.text("LastModified", &iso8601(part.mtime_ns));
                w.text("ETag", &quoted(&part.etag));
                w.value("Size", part.size);
                if let Some(sum) = &part.checksum {
                    w.text(sum.kind.element(), &sum.wire());
                }
            });
        }
        w.finish()
    }
}

/// At most `max` parts after `marker`, and the marker of the next page if there is one.
pub(crate) fn part_page(all: &[PartView], marker: u32, max: usize) -> (Vec<&PartView>, Option<u32>) {
    let mut page: Vec<_> = all.iter().filter(|p| p.number > marker).take(max.saturating_add(1)).collect();
    let more = page.len() > max && max > 0;
    page.truncate(max);
    let next = page.last().map(|p| p.number).filter(|_| more);
    (page, next)
}

#[cfg(test)]
#[path = "uploads_tests.rs"]
mod tests;
