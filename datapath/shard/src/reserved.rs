//! Keys of custom metadata that belong to the server: what S3 keeps with an object and the record has no field for.
//! Clients neither see nor set them.

use weir_types::{CustomMeta, RESERVED_META_PREFIX};

/// Tags, form-encoded.
pub(crate) const TAGS: &str = "weir.tags";
/// The flexible checksum, `KIND:value`.
pub(crate) const CHECKSUM: &str = "weir.checksum";
/// The flexible checksums of an object's parts in their order, of the kind of [`CHECKSUM`]: raw values, base64.
/// Absent when they would take more than `PART_CHECKSUMS_BYTES_MAX`.
pub(crate) const PART_CHECKSUMS: &str = "weir.part-checksums";
/// What an upload's creation asked for, `KIND:TYPE`.
pub(crate) const UPLOAD_CHECKSUM: &str = "weir.upload-checksum";
/// Of an upload that appends to an object: how many of its parts are the object as it was.
pub(crate) const APPEND: &str = "weir.append";
/// Of an object that an append was flushed to: what of it was acknowledged.
pub(crate) const APPENDED: &str = "weir.appended";

/// The value of a reserved key.
pub(crate) fn value<'c>(custom: &'c CustomMeta, key: &str) -> Option<&'c str> {
    custom.get(key)
}

/// What clients see.
pub(crate) fn visible(custom: &CustomMeta) -> CustomMeta {
    let mut out = custom.clone();
    let hidden: Vec<String> = keys(custom).map(str::to_owned).collect();
    hidden.iter().for_each(|key| out.remove(key));
    out
}

/// Refuses metadata of a client that sets a reserved key, and names it.
pub(crate) fn refuse(custom: &CustomMeta) -> Result<(), &str> {
    keys(custom).next().map_or(Ok(()), Err)
}

/// Carries the server's own keys over when a client replaces all of its.
pub(crate) fn carry_over(from: &CustomMeta, to: &mut CustomMeta) -> Result<(), weir_types::CustomMetaError> {
    let own: Vec<&str> = keys(from).collect();
    own.into_iter().try_for_each(|key| to.set(key, from.get(key).unwrap_or_default()))
}

/// What stays of an object's metadata when its content becomes another.
pub(crate) fn without_content(custom: &CustomMeta) -> CustomMeta {
    let mut out = custom.clone();
    [CHECKSUM, PART_CHECKSUMS, APPENDED].into_iter().for_each(|key| out.remove(key));
    out
}

fn keys(custom: &CustomMeta) -> impl Iterator<Item = &str> {
    custom.iter().map(|(key, _)| key).filter(|key| key.starts_with(RESERVED_META_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_neither_see_nor_set_them() {
        let mut custom = CustomMeta::default();
        custom.set("a", "1").unwrap();
        assert_eq!(refuse(&custom), Ok(()));
        custom.set(TAGS, "t=1").unwrap();
        assert_eq!(refuse(&custom), Err(TAGS));
        assert_eq!(visible(&custom).iter().collect::<Vec<_>>(), [("a", "1")]);
        let mut replaced = CustomMeta::default();
        carry_over(&custom, &mut replaced).unwrap();
        assert_eq!(replaced.iter().collect::<Vec<_>>(), [(TAGS, "t=1")]);
        let left = without_content(&custom);
        custom.set(CHECKSUM, "CRC32C:AAAAAA==").unwrap();
        custom.set(PART_CHECKSUMS, "AAAAAA==").unwrap();
        assert_eq!(without_content(&custom), left);
    }
}
