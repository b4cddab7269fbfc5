//! The rules of multipart uploads that need no disk.

use weir_types::checksum::of;
use weir_types::limits::PARTS_MAX;
use weir_types::{ByteRange, Checksum, ChecksumKind, combine_crc};

use crate::attrs::Header;
use crate::documents::NamedPart;
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{ChecksumType, FlexibleKind, StoredChecksum};
use crate::uploads::PartView;

/// Smallest part other than the last, in bytes.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// Reads `partNumber`.
pub(crate) fn part_number(text: &str) -> Result<u32> {
    text.parse().ok().filter(|n| (1..=PARTS_MAX).contains(n)).ok_or_else(|| {
        S3Error::argument(
            "partNumber",
            text,
            format!("a part number must be an integer between 1 and {PARTS_MAX}"),
        )
    })
}

/// Headers of the answer to CreateMultipartUpload.
pub fn upload_headers(checksum: Option<(FlexibleKind, ChecksumType)>) -> Vec<Header> {
    checksum.map_or_else(Vec::new, |(kind, t)| {
        vec![
            ("x-amz-checksum-algorithm".into(), kind.as_str().into()),
            ("x-amz-checksum-type".into(), t.as_str().into()),
        ]
    })
}

/// The stored parts that a completion names, in its order: `InvalidPart` where one is missing or differs,
/// `EntityTooSmall` where one other than the last is. `stored` is ascending.
pub fn check_parts<'a>(named: &[NamedPart], stored: &'a [PartView]) -> Result<Vec<&'a PartView>> {
    let find = |want: &NamedPart| {
        let at = stored.binary_search_by_key(&want.number, |p| p.number).ok();
        let part = at.and_then(|i| stored.get(i)).filter(|p| p.etag == want.etag && sums_match(want, p));
        part.ok_or_else(|| {
            S3Error::from(S3Code::InvalidPart)
                .with("PartNumber", want.number.to_string())
                .with("ETag", want.etag.as_str())
        })
    };
    let parts: Vec<_> = named.iter().map(find).collect::<Result<_>>()?;
    let small = parts.split_last().and_then(|(_, most)| most.iter().find(|p| p.size < PART_BYTES_MIN));
    match small {
        None => Ok(parts),
        Some(part) => Err(S3Error::from(S3Code::EntityTooSmall)
            .with("PartNumber", part.number.to_string())
            .with("ProposedSize", part.size.to_string())
            .with("MinSizeAllowed", PART_BYTES_MIN.to_string())),
    }
}

fn sums_match(want: &NamedPart, part: &PartView) -> bool {
    let stored = part.checksum.as_ref();
    // A kind that the part does not have cannot be compared; the whole object's checksum still is.
    want.checksums.iter().all(|e| stored.is_none_or(|s| s.kind != e.kind || e.check(s).is_ok()))
}

/// The tag of a completed upload: MD5 of the parts' MD5s and their number.
pub fn etag<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let (mut all, mut count) = (Vec::new(), 0);
    for tag in parts {
        match Checksum::from_hex(ChecksumKind::Md5, tag) {
            Some(sum) => all.extend_from_slice(&sum.value),
            // A tag that is no MD5, as with fast tags, stands for itself.
            None => all.extend_from_slice(tag.as_bytes()),
        }
        count += 1;
    }
    format!("{}-{count}", of(ChecksumKind::Md5, &all).hex())
}

/// The checksum of a completed upload from those of its parts; `None` if a part has none of this kind.
pub fn checksum(kind: FlexibleKind, t: ChecksumType, parts: &[&PartView]) -> Option<StoredChecksum> {
    let sums: Vec<_> = parts
        .iter()
        .map(|p| p.checksum.as_ref().filter(|s| s.kind == kind).map(|s| (s.value.as_slice(), p.size)))
        .collect::<Option<_>>()?;
    match t {
        ChecksumType::Composite => {
            let all: Vec<u8> = sums.iter().flat_map(|(value, _)| value.iter().copied()).collect();
            let parts = u32::try_from(sums.len()).ok()?;
            Some(StoredChecksum { kind, value: of(kind.kind(), &all).value, parts })
        }
        ChecksumType::FullObject => {
            let (first, rest) = sums.split_first()?;
            let whole = rest
                .iter()
                .try_fold(first.0.to_vec(), |sum, (next, size)| combine_crc(kind.kind(), &sum, next, *size));
            Some(StoredChecksum { kind, value: whole?, parts: 0 })
        }
    }
}

/// Reads `x-amz-copy-source-range`: `bytes=first-last`, both given.
pub(crate) fn copy_range(value: &str) -> Result<(u64, u64)> {
    let number = |s: &str| {
        let digits = !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        s.parse::<u64>().ok().filter(|_| digits)
    };
    let pair = value.strip_prefix("bytes=").and_then(|r| r.split_once('-'));
    let pair = pair.and_then(|(a, b)| Some((number(a)?, number(b)?))).filter(|(a, b)| a <= b);
    pair.ok_or_else(|| S3Error::argument("x-amz-copy-source-range", value, "expected bytes=first-last"))
}

/// The bytes of a source of `size` bytes that a part copy reads; a range that ends outside is refused.
pub fn resolve_copy_range(range: Option<(u64, u64)>, size: u64) -> Result<ByteRange> {
    match range {
        None => Ok(ByteRange { start: 0, len: size }),
        Some((first, last)) if first <= last && last < size => {
            Ok(ByteRange { start: first, len: last - first + 1 })
        }
        Some(_) => Err(S3Error::new(S3Code::InvalidRange, "the range is not within the source")
            .with("Size", size.to_string())),
    }
}

/// The bytes of part `number` of an object with parts of these sizes; an object of one piece has one part.
pub fn part_range(number: u32, sizes: &[u64], size: u64) -> Result<ByteRange> {
    if sizes.is_empty() && number == 1 {
        return Ok(ByteRange { start: 0, len: size });
    }
    let index = (number as usize).checked_sub(1);
    let len = index.and_then(|i| sizes.get(i)).copied();
    match (index, len) {
        (Some(index), Some(len)) => Ok(ByteRange { start: sizes.iter().take(index).sum(), len }),
        _ => Err(S3Error::new(S3Code::InvalidPart, "the object has no such part")
            .with("PartNumber", number.to_string())),
    }
}

#[cfg(test)]
#[path = "multipart_tests.rs"]
mod tests;
