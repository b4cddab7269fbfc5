//! Between the store's records and the dialect's values.

use weir_s3::attrs::{ContentHeaders, ObjectAttrs, ObjectView};
use weir_s3::conditions::{EtagMatch, WriteConditions};
use weir_s3::flexible::{ChecksumType, FlexibleKind, StoredChecksum, parts_from_text};
use weir_s3::tags::Tags;
use weir_s3::uploads::PartView;
use weir_store::{Attrs, Condition, Etag, PartInfo, Record, Terms};
use weir_types::CustomMeta;

use super::errors::Refusal;
use crate::reserved;

/// A record as the dialect shows it; owns what [`ObjectView`] borrows.
pub(crate) struct Facts {
    pub(crate) etag: String,
    pub(crate) mtime_ns: u64,
    content: ContentHeaders,
    user: CustomMeta,
    pub(crate) tags: Tags,
    pub(crate) checksums: Vec<StoredChecksum>,
    pub(crate) part_sizes: Vec<u64>,
    /// One for each part, or none at all.
    part_checksums: Vec<StoredChecksum>,
    version: Option<String>,
}

impl Facts {
    pub(crate) fn of(record: &Record) -> Self {
        let kept = reserved::value(&record.custom, reserved::CHECKSUM).and_then(StoredChecksum::from_text);
        let runs = record.part_runs.iter();
        let part_sizes: Vec<u64> =
            runs.flat_map(|(n, bytes)| std::iter::repeat_n(*bytes, *n as usize)).collect();
        let of_parts = reserved::value(&record.custom, reserved::PART_CHECKSUMS);
        let part_checksums =
            kept.as_ref().zip(of_parts).and_then(|(sum, text)| parts_from_text(sum.kind, text));
        let part_checksums = part_checksums.filter(|sums| sums.len() == part_sizes.len()).unwrap_or_default();
        // Only what the client sent a flexible checksum for is shown as one.
        let checksums = kept.into_iter().collect();
        Self {
            etag: record.etag_text(),
            mtime_ns: record.last_modified_ns(),
            content: content_out(&record.content),
            user: reserved::visible(&record.custom),
            tags: reserved::value(&record.custom, reserved::TAGS)
                .and_then(Tags::from_text)
                .unwrap_or_default(),
            checksums,
            part_sizes,
            part_checksums,
            version: record.remote.as_ref().and_then(|r| r.version.clone()),
        }
    }

    pub(crate) fn view(&self) -> ObjectView<'_> {
        ObjectView {
            etag: &self.etag,
            mtime_ns: self.mtime_ns,
            content: &self.content,
            user: &self.user,
            tags: self.tags.len(),
            checksums: &self.checksums,
            checksum_type: None,
            parts: self.part_sizes.len() as u32,
            version: self.version.as_deref(),
        }
    }

    /// The checksum kept of part `number`, 1 and up.
    pub(crate) fn part_checksum(&self, number: u32) -> Option<&StoredChecksum> {
        (number as usize).checked_sub(1).and_then(|index| self.part_checksums.get(index))
    }

    /// The same as [`Facts::view`], its checksum that of part `number`.
    pub(crate) fn view_of_part(&self, number: u32) -> ObjectView<'_> {
        let sum = self.part_checksum(number);
        ObjectView {
            checksums: sum.map_or(&self.checksums, std::slice::from_ref),
            checksum_type: self
                .checksums
                .first()
                .filter(|_| sum.is_some())
                .map(StoredChecksum::checksum_type),
            ..self.view()
        }
    }

    /// The attributes as a copy would set them again.
    pub(crate) fn attrs(&self) -> ObjectAttrs {
        ObjectAttrs { content: self.content.clone(), user: self.user.clone(), tags: self.tags.clone() }
    }
}

fn content_out(stored: &weir_store::ContentHeaders) -> ContentHeaders {
    let mut out = ContentHeaders::default();
    let pairs = [
        ("content-type", &stored.content_type),
        ("content-encoding", &stored.encoding),
        ("content-disposition", &stored.disposition),
        ("content-language", &stored.language),
        ("cache-control", &stored.cache_control),
        ("expires", &stored.expires),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            out.set(name, value.clone());
        }
    }
    out
}

fn content_in(sent: &ContentHeaders) -> weir_store::ContentHeaders {
    let value = |name| sent.value(name).map(str::to_owned);
    weir_store::ContentHeaders {
        content_type: value("content-type"),
        encoding: value("content-encoding"),
        disposition: value("content-disposition"),
        language: value("content-language"),
        cache_control: value("cache-control"),
        expires: value("expires"),
    }
}

/// What a write keeps with the object.
pub(crate) fn attrs_in(
    sent: &ObjectAttrs,
    checksum: Option<&StoredChecksum>,
    etag: Option<Etag>,
) -> Result<Attrs, Refusal> {
    let mut custom = sent.user.clone();
    reserved::refuse(&custom).map_err(|key| {
        weir_s3::S3Error::argument("x-amz-meta-", key, "the key is reserved for the server's own use")
    })?;
    let mut keep = |key, text: String| custom.set(key, text).map_err(weir_store::StoreError::from);
    if !sent.tags.is_empty() {
        keep(reserved::TAGS, sent.tags.to_text())?;
    }
    if let Some(sum) = checksum {
        keep(reserved::CHECKSUM, sum.to_text())?;
    }
    Ok(Attrs { custom, content: content_in(&sent.content), etag, ..Attrs::default() })
}

pub(crate) fn terms(conditions: &WriteConditions) -> Terms {
    let condition = |m: &EtagMatch| match m {
        EtagMatch::Any => Condition::Any,
        // A strong comparison: a weak tag fits nothing.
        EtagMatch::List(tags) => {
            Condition::Etags(tags.iter().filter(|t| !t.weak).map(|t| t.tag.clone()).collect())
        }
    };
    Terms {
        if_match: conditions.if_match.as_ref().map(condition),
        if_none_match: conditions.if_none_match.as_ref().map(condition),
        if_size: conditions.if_match_size,
        ..Terms::default()
    }
}

/// A stored part; its checksum is the one its upload asked for.
pub(crate) fn part_view(part: &PartInfo, kind: Option<FlexibleKind>) -> PartView {
    let sums = part.record.checksums.iter().filter_map(StoredChecksum::full);
    let checksum = sums.into_iter().find(|sum| kind.is_none_or(|kind| kind == sum.kind));
    PartView {
        number: part.number,
        size: part.record.size,
        mtime_ns: part.record.modified_ns,
        etag: part.record.etag_text(),
        checksum,
    }
}

/// The checksum that an upload's creation asked for, as its reserved metadata keeps it.
pub(crate) fn upload_checksum(record: &Record) -> Option<(FlexibleKind, ChecksumType)> {
    let (kind, form) = reserved::value(&record.custom, reserved::UPLOAD_CHECKSUM)?.split_once(':')?;
    Some((FlexibleKind::parse(kind)?, ChecksumType::parse(form)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_the_checksum_that_was_kept_of_it() {
        let check = |parts: &str, part: u32, expected: Option<&str>| {
            let mut record = Record { part_runs: vec![(2, 5), (1, 3)], ..Record::default() };
            record.custom.set(reserved::CHECKSUM, "CRC32:AAECAw==-3").unwrap();
            record.custom.set(reserved::PART_CHECKSUMS, parts).unwrap();
            let facts = Facts::of(&record);
            assert_eq!(
                facts.part_checksum(part).map(StoredChecksum::wire).as_deref(),
                expected,
                "{parts} {part}"
            );
            let (view, whole) = (facts.view_of_part(part), facts.checksums.clone());
            match expected {
                Some(_) => assert_eq!(view.checksum_type, Some(ChecksumType::Composite)),
                None => assert_eq!((view.checksums, view.checksum_type), (whole.as_slice(), None)),
            }
        };
        let three = "AQEBAQICAgIDAwMD";
        check(three, 1, Some("AQEBAQ=="));
        check(three, 3, Some("AwMDAw=="));
        check(three, 0, None);
        check(three, 4, None);
        // Fewer than there are parts, or nothing that can be read: none is given.
        check("AQEBAQICAgI=", 1, None);
        check("?", 1, None);
    }
}
