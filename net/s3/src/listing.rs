//! Listings of objects: both generations and the one of versions. What is listed is asked of the store; this file
//! knows where a page begins, what it says and how the next one is asked for.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::utf8_percent_encode;
use weir_types::limits::S3_PAGE_MAX;

use crate::dates::iso8601;
use crate::error::{Result, S3Error};
use crate::render::{Owner, owner_into, quoted};
use crate::request::Query;
use crate::xml::{KEY_ENCODED, Writer};

/// Generation of the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListVersion {
    /// `marker` and `NextMarker`.
    V1,
    /// `list-type=2`: continuation tokens and `start-after`.
    V2,
}

/// Parameters that all listings of names share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Only names that begin with it.
    pub prefix: String,
    /// Names that have it after the prefix are rolled up into one common prefix; never empty.
    pub delimiter: Option<String>,
    /// Entries and common prefixes together, at most 1000; 0 is an empty page that is not truncated.
    pub max_keys: usize,
    /// `encoding-type=url`.
    pub encode: bool,
}

/// Parameters of ListObjects and ListObjectsV2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListObjects {
    /// Generation.
    pub version: ListVersion,
    /// What is listed.
    pub scope: Scope,
    /// `marker`, as sent (V1).
    pub marker: String,
    /// `start-after`, as sent (V2).
    pub start_after: Option<String>,
    /// `continuation-token`, as sent (V2).
    pub token: Option<String>,
    /// Owners are wanted: always in V1, on request in V2.
    pub fetch_owner: bool,
    /// See [`ListObjects::after`].
    pub(crate) after: Option<String>,
}

/// One object of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its whole name.
    pub key: &'a str,
    /// Size in bytes.
    pub size: u64,
    /// Last modification in nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Tag without quotes; left out if empty, as that of a remote object may be.
    pub etag: Cow<'a, str>,
}

/// One page as the store found it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page<'a> {
    /// Objects in the byte order of their names.
    pub entries: Vec<Entry<'a>>,
    /// Common prefixes, whole (with the listing's own prefix), in byte order.
    pub prefixes: Vec<&'a str>,
    /// Whether more follows.
    pub truncated: bool,
}

impl Page<'_> {
    /// The last name of the page: where the next one goes on.
    fn last(&self) -> Option<&str> {
        let key = self.entries.last().map(|e| e.key);
        key.into_iter().chain(self.prefixes.last().copied()).max()
    }
}

impl Scope {
    pub(crate) fn parse(query: &Query, count: &'static str) -> Result<Self> {
        let encode = match query.filled("encoding-type") {
            None => false,
            Some(e) if e.eq_ignore_ascii_case("url") => true,
            Some(other) => return Err(S3Error::argument("encoding-type", other, "expected url")),
        };
        // Other servers of this dialect may list without order, which cannot be rolled up; here the order is kept.
        if query.filled("delimiter").is_some() && query.filled("allow-unordered").is_some_and(|v| v == "true")
        {
            return Err(S3Error::argument("allow-unordered", "true", "a delimiter needs an ordered listing"));
        }
        let max = query.count(count)?.map_or(S3_PAGE_MAX, |n| (n as usize).min(S3_PAGE_MAX));
        Ok(Self {
            prefix: query.get("prefix").unwrap_or_default().to_owned(),
            delimiter: query.filled("delimiter").map(str::to_owned),
            max_keys: max,
            encode,
        })
    }

    /// Where a listing goes on that ended at `last`, which may be a common prefix: all names under that are skipped.
    pub(crate) fn after(&self, last: &str) -> String {
        let rolled = self.delimiter.as_deref().is_some_and(|d| {
            let rest = last.strip_prefix(self.prefix.as_str());
            rest.and_then(|r| r.find(d).map(|i| i + d.len() == r.len())).unwrap_or(false)
        });
        // No name sorts behind a prefix's names and before this but those that begin with U+10FFFF, a noncharacter.
        if rolled { format!("{last}\u{10ffff}") } else { last.to_owned() }
    }

    /// The listing's own texts are shown as its names are.
    pub(crate) fn show<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.encode { utf8_percent_encode(text, KEY_ENCODED).into() } else { Cow::Borrowed(text) }
    }

    /// `Delimiter` and `EncodingType`, where there are any.
    pub(crate) fn tail_into(&self, w: &mut Writer) {
        if let Some(delimiter) = &self.delimiter {
            w.text("Delimiter", &self.show(delimiter));
        }
        if self.encode {
            w.text("EncodingType", "url");
        }
    }

    pub(crate) fn prefixes_into(&self, w: &mut Writer, prefixes: &[&str]) {
        for prefix in prefixes {
            w.element("CommonPrefixes", |w| w.text("Prefix", &self.show(prefix)));
        }
    }
}

impl ListObjects {
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let scope = Scope::parse(query, "max-keys")?;
        let text = |name: &str| query.get(name).map(str::to_owned);
        let version = match query.filled("list-type") {
            None | Some("1") => ListVersion::V1,
            Some("2") => ListVersion::V2,
            Some(other) => return Err(S3Error::argument("list-type", other, "expected 2")),
        };
        let (marker, token) = (text("marker").unwrap_or_default(), text("continuation-token"));
        let start_after = text("start-after");
        let filled = |t: &Option<String>| t.clone().filter(|t| !t.is_empty());
        let after = match version {
            ListVersion::V1 => (!marker.is_empty()).then(|| scope.after(&marker)),
            ListVersion::V2 => match filled(&token) {
                Some(token) => Some(scope.after(&decode_token(&token)?)),
                None => filled(&start_after),
            },
        };
        let fetch_owner = version == ListVersion::V1
            || query.filled("fetch-owner").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        Ok(match version {
            ListVersion::V1 => {
                Self { version, scope, marker, start_after: None, token: None, fetch_owner, after }
            }
            ListVersion::V2 => {
                Self { version, scope, marker: String::new(), start_after, token, fetch_owner, after }
            }
        })
    }

    /// Only names greater than this are listed; it need not be a name that an object can have.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The answer.
    pub fn render(&self, bucket: &str, page: &Page<'_>, owner: &Owner) -> Vec<u8> {
        let mut w = Writer::new("ListBucketResult");
        w.text("Name", bucket);
        w.text("Prefix", &self.scope.show(&self.scope.prefix));
        // An empty page has nothing to go on from, so it cannot be truncated.
        let next = page.last().filter(|_| page.truncated);
        match self.version {
            ListVersion::V1 => {
                w.text("Marker", &self.scope.show(&self.marker));
                if self.scope.delimiter.is_some() {
                    w.optional("NextMarker", next.map(|n| self.scope.show(n)).as_deref());
                }
            }
            ListVersion::V2 => {
                w.value("KeyCount", page.entries.len() + page.prefixes.len());
                w.optional("ContinuationToken", self.token.as_deref());
                w.optional("NextContinuationToken", next.map(encode_token).as_deref());
                w.optional("StartAfter", self.start_after.as_deref().map(|s| self.scope.show(s)).as_deref());
            }
        }
        w.value("MaxKeys", self.scope.max_keys);
        self.scope.tail_into(&mut w);
        w.value("IsTruncated", next.is_some());
        let owner = self.fetch_owner.then_some(owner);
        for entry in &page.entries {
            w.element("Contents", |w| entry_into(w, &self.scope, entry, owner));
        }
        self.scope.prefixes_into(&mut w, &page.prefixes);
        w.finish()
    }
}

fn entry_into(w: &mut Writer, scope: &Scope, entry: &Entry<'_>, owner: Option<&Owner>) {
    w.text("Key", &scope.show(entry.key));
    w.text("LastModified", &iso8601(entry.mtime_ns));
    if !entry.etag.is_empty() {
        w.text("ETag", &quoted(&entry.etag));
    }
    w.value("Size", entry.size);
    w.text("StorageClass", "STANDARD");
    if let Some(owner) = owner {
        owner_into(w, "Owner", owner);
    }
}

/// A name as an opaque token.
pub(crate) fn encode_token(name: &str) -> String {
    URL_SAFE_NO_PAD.encode(name)
}

/// The name in a token of ours.
pub(crate) fn decode_token(token: &str) -> Result<String> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes.and_then(|b| String::from_utf8(b).ok()).ok_or_else(|| {
        S3Error::argument("continuation-token", token, "the continuation token is not one of this server")
    })
}

/// Parameters of ListObjectVersions. Every object has one version, `null`, which is the latest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListVersions {
    /// What is listed.
    pub scope: Scope,
    /// `key-marker`, as sent.
    pub key_marker: String,
    /// `version-id-marker`, as sent.
    pub version_marker: Option<String>,
    pub(crate) after: Option<String>,
}

impl ListVersions {
    pub(crate) fn parse(query: &Query) -> Result<Self> {
        let scope = Scope::parse(query, "max-keys")?;
        let key_marker = query.get("key-marker").unwrap_or_default().to_owned();
        let version_marker = query.filled("version-id-marker").map(str::to_owned);
        if version_marker.is_some() && key_marker.is_empty() {
            let text = "a version-id-marker needs a key-marker";
            return Err(S3Error::argument(
                "version-id-marker",
                version_marker.as_deref().unwrap_or_default(),
                text,
            ));
        }
        let after = (!key_marker.is_empty()).then(|| scope.after(&key_marker));
        Ok(Self { scope, key_marker, version_marker, after })
    }

    /// Only names greater than this are listed.
    pub fn after(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// The answer.
    pub fn render(&self, bucket: &str, page: &Page<'_>, owner: &Owner) -> Vec<u8> {
        let mut w = Writer::new("ListVersionsResult");
        w.text("Name", bucket);
        w.text("Prefix", &self.scope.show(&self.scope.prefix));
        w.text("KeyMarker", &self.scope.show(&self.key_marker));
        w.text("VersionIdMarker", self.version_marker.as_deref().unwrap_or_default());
        let next = page.last().filter(|_| page.truncated);
        if let Some(next) = next {
            w.text("NextKeyMarker", &self.scope.show(next));
            w.text("NextVersionIdMarker", "null");
        }
        w.value("MaxKeys", self.scope.max_keys);
        self.scope.tail_into(&mut w);
        w.value("IsTruncated", next.is_some());
        for entry in &page.entries {
            w.element("Version", |w| {
                w.text("VersionId", "null");
                w.value("IsLatest", true);
                entry_into(w, &self.scope, entry, Some(owner));
            });
        }
        self.scope.prefixes_into(&mut w, &page.prefixes);
        w.finish()
    }
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;
