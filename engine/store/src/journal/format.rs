//! The bytes of a journal segment: a header block, then batches. Pure.
//!
//! A batch is whole or not there: one checksum covers it, and it says which use of the segment it belongs to, so
//! neither a torn end nor what an earlier use left is ever taken for an entry. `docs/FORMAT.md` has the layout.

use weir_types::{Bucket, BucketName, Namespace, ObjectName, Provider};

use crate::CommitId;
use crate::blocks::crc32c;

/// Header and batches begin on multiples of this, in bytes: what direct I/O needs.
pub(super) const BLOCK_BYTES: usize = 4096;
const SEGMENT_MAGIC: [u8; 8] = *b"WEIRJL01";
const BATCH_MAGIC: [u8; 4] = *b"WRJB";
const BATCH_HEADER_BYTES: usize = 32;
const ENTRY_HEADER_BYTES: usize = 32;
const FLAG_DURABLE: u8 = 1;

/// What an entry does to its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// The name has this record and content.
    Put,
    /// The name is gone.
    Delete,
    /// The bucket is gone, with everything of it that is earlier in the journal.
    Destroy,
    /// What is earlier in the journal of the name is void: its file is durable, and changes by another way.
    Void,
}

/// One change as the journal holds it; `record` and `content` are empty but for a PUT.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) kind: Kind,
    pub(crate) durable: bool,
    pub(crate) commit: CommitId,
    pub(crate) bucket: &'a Bucket,
    /// `None` for [`Kind::Destroy`].
    pub(crate) name: Option<&'a ObjectName>,
    pub(crate) record: &'a [u8],
    pub(crate) content: &'a [u8],
}

/// An entry read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) commit: CommitId,
    pub(crate) bucket: Bucket,
    pub(crate) name: Option<ObjectName>,
    pub(crate) record: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

/// Where a batch belongs: the use of its segment, and its place among the batches of that use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) number: u32,
}

/// What is checked when a batch is read; the planted bugs leave one out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Checks {
    pub(super) sum: bool,
    pub(super) place: bool,
}

/// The header block of a segment's use.
pub(super) fn header(segment: u64, out: &mut [u8]) {
    out.fill(0);
    put(out, 0, &SEGMENT_MAGIC);
    put(out, 8, &segment.to_le_bytes());
    let sum = crc32c(out.get(..16).unwrap_or_default());
    put(out, 16, &sum.to_le_bytes());
}

/// The use that a header block states; `None` if it is none.
pub(super) fn read_header(bytes: &[u8]) -> Option<u64> {
    let sum = u32::from_le_bytes(array(bytes, 16)?);
    let stated = bytes.get(..16)?;
    (stated.starts_with(&SEGMENT_MAGIC) && crc32c(stated) == sum).then_some(())?;
    Some(u64::from_le_bytes(array(bytes, 8)?))
}

/// Bytes of a batch of entries of these lengths together, padded to whole blocks.
pub(super) fn batch_bytes(entries: usize) -> usize {
    (BATCH_HEADER_BYTES + entries).next_multiple_of(BLOCK_BYTES)
}

/// Bytes of one entry.
pub(crate) fn entry_bytes(bucket: &Bucket, name: usize, record: usize, content: usize) -> usize {
    let ns = &bucket.namespace;
    // As `Bucket::uname` writes it: provider, "/@", uuid, "#", name, "/", bucket, "/".
    let bucket_bytes =
        bucket.provider.as_str().len() + ns.uuid.len() + ns.name.len() + bucket.name.as_str().len() + 5;
    ENTRY_HEADER_BYTES + bucket_bytes + name + record + content
}

impl Entry<'_> {
    /// Bytes it takes in a batch.
    pub(crate) fn bytes(&self) -> usize {
        let name = self.name.map_or(0, |n| n.as_str().len());
        entry_bytes(self.bucket, name, self.record.len(), self.content.len())
    }
}

/// Writes a batch to the start of `out`, whose length is the batch's padded one.
pub(super) fn encode(place: Place, entries: &[Entry<'_>], out: &mut [u8]) {
    let mut at = BATCH_HEADER_BYTES;
    for entry in entries {
        at = encode_entry(entry, out, at);
    }
    if let Some(rest) = out.get_mut(at..) {
        rest.fill(0);
    }
    put(out, 0, &BATCH_MAGIC);
    put(out, 8, &place.segment.to_le_bytes());
    put(out, 16, &place.number.to_le_bytes());
    put(out, 20, &(at as u32).to_le_bytes());
    put(out, 24, &(entries.len() as u32).to_le_bytes());
    put(out, 28, &[0; 4]);
    let sum = crc32c(out.get(8..at).unwrap_or_default());
    put(out, 4, &sum.to_le_bytes());
}

fn encode_entry(entry: &Entry<'_>, out: &mut [u8], start: usize) -> usize {
    let bucket = entry.bucket.uname("");
    let name = entry.name.map_or("", ObjectName::as_str);
    let kind = match entry.kind {
        Kind::Put => 1,
        Kind::Delete => 2,
        Kind::Destroy => 3,
        Kind::Void => 4u8,
    };
    put(out, start, &[kind, if entry.durable { FLAG_DURABLE } else { 0 }]);
    put(out, start + 2, &(bucket.len() as u16).to_le_bytes());
    put(out, start + 4, &(name.len() as u16).to_le_bytes());
    put(out, start + 6, &(entry.record.len() as u16).to_le_bytes());
    put(out, start + 8, &(entry.content.len() as u32).to_le_bytes());
    put(out, start + 12, &[0; 4]);
    put(out, start + 16, &entry.commit.map_version.to_le_bytes());
    put(out, start + 24, &entry.commit.sequence.to_le_bytes());
    let mut at = start + ENTRY_HEADER_BYTES;
    for part in [bucket.as_bytes(), name.as_bytes(), entry.record, entry.content] {
        put(out, at, part);
        at += part.len();
    }
    debug_assert_eq!(at - start, entry.bytes());
    at
}

/// A batch at the start of `bytes`.
#[derive(Debug)]
pub(super) enum Read {
    /// Its entries, and its padded length.
    Batch(Vec<Found>, usize),
    /// More bytes than there are here are needed.
    Longer,
    /// No valid batch of this place: the segment's end.
    End,
}

/// Reads the batch at the start of `bytes`; one longer than `bytes_max` is none.
pub(super) fn read(bytes: &[u8], place: Place, bytes_max: usize, checks: Checks) -> Read {
    let Some(length) = stated_length(bytes, place, checks) else { return Read::End };
    if length > bytes_max {
        return Read::End;
    }
    let Some(batch) = bytes.get(..length) else { return Read::Longer };
    decode(batch, checks).map_or(Read::End, |found| Read::Batch(found, length.next_multiple_of(BLOCK_BYTES)))
}

fn stated_length(bytes: &[u8], place: Place, checks: Checks) -> Option<usize> {
    bytes.starts_with(&BATCH_MAGIC).then_some(())?;
    let segment = u64::from_le_bytes(array(bytes, 8)?);
    let number = u32::from_le_bytes(array(bytes, 16)?);
    (!checks.place || Place { segment, number } == place).then_some(())?;
    let length = u32::from_le_bytes(array(bytes, 20)?) as usize;
    (length >= BATCH_HEADER_BYTES).then_some(length)
}

fn decode(batch: &[u8], checks: Checks) -> Option<Vec<Found>> {
    let sum = u32::from_le_bytes(array(batch, 4)?);
    (!checks.sum || crc32c(batch.get(8..)?) == sum).then_some(())?;
    let count = u32::from_le_bytes(array(batch, 24)?);
    let mut rest = batch.get(BATCH_HEADER_BYTES..)?;
    let mut found = Vec::new();
    for _ in 0..count {
        let (entry, after) = decode_entry(rest)?;
        found.push(entry);
        rest = after;
    }
    rest.is_empty().then_some(found)
}

fn decode_entry(bytes: &[u8]) -> Option<(Found, &[u8])> {
    let kind = match bytes.first()? {
        1 => Kind::Put,
        2 => Kind::Delete,
        3 => Kind::Destroy,
        4 => Kind::Void,
        _ => return None,
    };
    let length = |at| Some(usize::from(u16::from_le_bytes(array(bytes, at)?)));
    let content = u32::from_le_bytes(array(bytes, 8)?) as usize;
    let commit = CommitId {
        map_version: u64::from_le_bytes(array(bytes, 16)?),
        sequence: u64::from_le_bytes(array(bytes, 24)?),
    };
    let rest = bytes.get(ENTRY_HEADER_BYTES..)?;
    let (bucket, rest) = rest.split_at_checked(length(2)?)?;
    let (name, rest) = rest.split_at_checked(length(4)?)?;
    let (record, rest) = rest.split_at_checked(length(6)?)?;
    let (content, rest) = rest.split_at_checked(content)?;
    let name = match kind {
        Kind::Destroy => None,
        Kind::Put | Kind::Delete | Kind::Void => Some(ObjectName::new(std::str::from_utf8(name).ok()?).ok()?),
    };
    let bucket = parse_bucket(std::str::from_utf8(bucket).ok()?)?;
    let (record, content) = (record.to_vec(), content.to_vec());
    Some((Found { kind, commit, bucket, name, record, content }, rest))
}

/// Reads what `Bucket::uname` wrote of a bucket alone.
fn parse_bucket(text: &str) -> Option<Bucket> {
    let mut parts = text.split('/');
    let provider = Provider::parse(parts.next()?)?;
    let namespace = Namespace::parse(parts.next()?)?;
    let name = BucketName::new(parts.next()?).ok()?;
    (parts.next() == Some("") && parts.next().is_none()).then_some(Bucket { provider, namespace, name })
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = out.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    } else {
        debug_assert!(false, "a batch is as long as its entries");
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Checks = Checks { sum: true, place: true };
    const PLACE: Place = Place { segment: 7 << 24, number: 3 };

    fn bucket(ns: &str) -> Bucket {
        let namespace = Namespace::parse(ns).unwrap();
        Bucket { provider: Provider::Ais, namespace, name: BucketName::new("b.x").unwrap() }
    }

    fn sample() -> Vec<u8> {
        let (plain, other) = (bucket(""), bucket("@u#n"));
        let (a, b) = (ObjectName::new("a/b").unwrap(), ObjectName::new("ж").unwrap());
        let commit = |sequence| CommitId { map_version: 2, sequence };
        let entries = [
            Entry {
                kind: Kind::Put,
                durable: true,
                commit: commit(1),
                bucket: &plain,
                name: Some(&a),
                record: b"record",
                content: &[9; 5000],
            },
            Entry {
                kind: Kind::Delete,
                durable: false,
                commit: commit(2),
                bucket: &other,
                name: Some(&b),
                record: b"",
                content: b"",
            },
            Entry {
                kind: Kind::Destroy,
                durable: true,
                commit: commit(3),
                bucket: &other,
                name: None,
                record: b"",
                content: b"",
            },
        ];
        let mut out = vec![1; batch_bytes(entries.iter().map(Entry::bytes).sum())];
        encode(PLACE, &entries, &mut out);
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample();
        let Read::Batch(found, length) = read(&bytes, PLACE, 1 << 20, ALL) else { panic!("not read") };
        assert_eq!((found.len(), length), (3, bytes.len()));
        assert_eq!(found[0].name.as_ref().unwrap().as_str(), "a/b");
        assert_eq!((found[0].record.as_slice(), found[0].content.len()), (&b"record"[..], 5000));
        assert_eq!((found[1].kind, &found[1].bucket), (Kind::Delete, &bucket("@u#n")));
        assert_eq!(
            (found[2].kind, found[2].name.as_ref(), found[2].commit.sequence),
            (Kind::Destroy, None, 3)
        );
        let mut block = vec![1; BLOCK_BYTES];
        header(77, &mut block);
        assert_eq!(read_header(&block), Some(77));
        block[9] ^= 1;
        assert_eq!(read_header(&block), None);
    }

    #[test]
    fn no_changed_byte_and_no_other_place_is_taken() {
        let bytes = sample();
        let length = u32::from_le_bytes(bytes[20..24].try_into().unwrap()) as usize;
        for at in 0..length {
            let mut wrong = bytes.clone();
            wrong[at] ^= 0x10;
            assert!(!matches!(read(&wrong, PLACE, 1 << 20, ALL), Read::Batch(..)), "byte {at}");
        }
        for place in [Place { segment: 8 << 24, ..PLACE }, Place { number: 4, ..PLACE }] {
            assert!(matches!(read(&bytes, place, 1 << 20, ALL), Read::End));
        }
        assert!(matches!(read(&bytes[..BLOCK_BYTES], PLACE, 1 << 20, ALL), Read::Longer));
        assert!(matches!(read(&bytes, PLACE, BLOCK_BYTES, ALL), Read::End));
        // Whatever the checks let through, nothing panics.
        for cut in 0..bytes.len() {
            let none = Checks { sum: false, place: false };
            let _ = read(&bytes[..cut], PLACE, 1 << 20, none);
        }
    }
}
