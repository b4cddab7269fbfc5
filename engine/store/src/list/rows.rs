//! Rows of a listing in one piece of memory: an index keeps them so, disks and targets pass them on so, and only who answers
//! a client reads them.

use serde::{Deserialize, Serialize};
use weir_types::{Checksum, CustomMeta, ObjectName};

use crate::{CommitId, Etag, Record, RecordError, RemoteIdentity, StoreError};

/// Bytes before a row's name: lengths of the name and of the facts, and the place, 16 bits each.
const HEAD_BYTES: usize = 6;

/// What listings tell of an object: no more of its record than that.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct ListedObject {
    /// Size in bytes.
    pub size: u64,
    /// Checksum of the bucket's kind, if it is kept.
    pub checksum: Option<Checksum>,
    /// Version; 0 if it has none.
    pub version: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: u64,
    /// ETag.
    pub etag: Option<Etag>,
    /// Custom metadata.
    pub custom: CustomMeta,
    /// Identity at the origin, for a copy of a remote object.
    pub remote: Option<RemoteIdentity>,
    /// Copies on its target.
    pub copies: u8,
    /// Whether it was made of parts.
    pub in_parts: bool,
    /// Which change made this state.
    pub commit: CommitId,
}

/// The same of a record, as it is written.
#[derive(Serialize)]
struct Facts<'r> {
    size: u64,
    checksum: Option<&'r Checksum>,
    version: u64,
    modified_ns: u64,
    etag: Option<&'r Etag>,
    custom: &'r CustomMeta,
    remote: Option<&'r RemoteIdentity>,
    copies: u8,
    in_parts: bool,
    commit: CommitId,
}

impl ListedObject {
    /// Last change as clients see it: the origin's for a copy of a remote object.
    pub fn last_modified_ns(&self) -> u64 {
        self.remote.as_ref().and_then(|r| r.modified_ns).unwrap_or(self.modified_ns)
    }
}

/// What rows hold of a record.
pub(crate) fn facts(record: &Record) -> Vec<u8> {
    let facts = Facts {
        size: record.size,
        checksum: record.checksums.first(),
        version: record.version,
        modified_ns: record.modified_ns,
        etag: record.etag.as_ref(),
        custom: &record.custom,
        remote: record.remote.as_ref(),
        copies: record.copies,
        in_parts: record.parts_beside || !record.part_runs.is_empty(),
        commit: record.commit,
    };
    // Writing to memory cannot fail.
    postcard::to_stdvec(&facts).unwrap_or_default()
}

/// Names in byte order, and what listings tell of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rows {
    bytes: Vec<u8>,
    /// Where each row begins.
    starts: Vec<usize>,
}

/// One of [`Rows`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row<'r> {
    /// The object's name.
    pub name: &'r str,
    /// Where it is: what the number means says who filled the rows.
    pub place: u16,
    facts: &'r [u8],
}

impl<'r> Row<'r> {
    pub(crate) fn new(name: &'r str, facts: &'r [u8]) -> Self {
        Self { name, place: 0, facts }
    }

    /// The same row at another place.
    pub fn at(self, place: u16) -> Self {
        Self { place, ..self }
    }

    /// What is told of it.
    pub fn object(&self) -> Result<ListedObject, StoreError> {
        postcard::from_bytes(self.facts).map_err(|_| self.malformed("facts"))
    }

    /// Its name, as one that an object may have.
    pub fn object_name(&self) -> Result<ObjectName, StoreError> {
        ObjectName::new(self.name).map_err(|_| self.malformed("name"))
    }

    fn malformed(&self, field: &'static str) -> StoreError {
        StoreError::Record { path: self.name.to_owned(), error: RecordError::Malformed { field } }
    }

    /// The row and what follows; `None` if the bytes are none.
    fn read(bytes: &'r [u8]) -> Option<(Self, &'r [u8])> {
        let (&[n0, n1, f0, f1, p0, p1], rest) = bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u16::from_le_bytes([n0, n1]).into())?;
        let (facts, rest) = rest.split_at_checked(u16::from_le_bytes([f0, f1]).into())?;
        let name = std::str::from_utf8(name).ok()?;
        Some((Self { name, place: u16::from_le_bytes([p0, p1]), facts }, rest))
    }

    /// `false`: the row is too long for its head.
    fn write(&self, out: &mut Vec<u8>) -> bool {
        let (Ok(name), Ok(facts)) = (u16::try_from(self.name.len()), u16::try_from(self.facts.len())) else {
            return false;
        };
        let head = [name.to_le_bytes(), facts.to_le_bytes(), self.place.to_le_bytes()];
        out.extend_from_slice(head.as_flattened());
        out.extend_from_slice(self.name.as_bytes());
        out.extend_from_slice(self.facts);
        true
    }
}

impl Rows {
    /// With room for so many rows of some length.
    pub fn with_capacity(rows: usize, row_bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(rows * row_bytes), starts: Vec::with_capacity(rows) }
    }

    /// Rows as [`Rows::into_bytes`] gave them; `None` if the bytes are none.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        let (mut starts, mut rest) = (Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            starts.push(bytes.len() - rest.len());
            (_, rest) = Row::read(rest)?;
        }
        Some(Self { bytes, starts })
    }

    /// All of them, one after the other.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// The row at a number, from 0 on.
    pub fn get(&self, at: usize) -> Option<Row<'_>> {
        Some(Row::read(self.bytes.get(*self.starts.get(at)?..)?)?.0)
    }

    /// The bytes of the name of the row at a number.
    pub fn name(&self, at: usize) -> Option<&[u8]> {
        name_of(self.bytes.get(*self.starts.get(at)?..)?)
    }

    /// The last row.
    pub fn last(&self) -> Option<Row<'_>> {
        self.get(self.len().checked_sub(1)?)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let row;
            (row, rest) = Row::read(rest)?;
            Some(row)
        })
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row<'_>) {
        let start = self.bytes.len();
        if row.write(&mut self.bytes) {
            self.starts.push(start);
        }
    }

    /// Adds an object's row.
    pub fn push_record(&mut self, name: &str, place: u16, record: &Record) {
        self.push(Row { name, place, facts: &facts(record) });
    }

    /// Keeps as many of the first rows as have no more bytes than this together, but one at least.
    pub fn truncate_to_bytes(&mut self, bytes_max: usize) {
        let ends = self.starts.iter().skip(1).copied().chain([self.bytes.len()]);
        let fits = ends.take_while(|end| *end <= bytes_max).count().max(1);
        if let Some(end) = self.starts.get(fits).copied() {
            self.starts.truncate(fits);
            self.bytes.truncate(end);
        }
    }
}

/// A row alone, as an index keeps it: ordered by its name.
#[derive(Clone, Debug)]
pub(crate) struct Packed(Box<[u8]>);

impl Packed {
    pub(crate) fn new(name: &str, facts: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + name.len() + facts.len());
        Row::new(name, facts).write(&mut bytes);
        Self(bytes.into_boxed_slice())
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn row(&self) -> Option<Row<'_>> {
        Some(Row::read(&self.0)?.0)
    }

    pub(crate) fn name(&self) -> &[u8] {
        name_of(&self.0).unwrap_or_default()
    }
}

fn name_of(row: &[u8]) -> Option<&[u8]> {
    let (&[n0, n1], _) = row.split_first_chunk()?;
    row.get(HEAD_BYTES..HEAD_BYTES + usize::from(u16::from_le_bytes([n0, n1])))
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}
impl Eq for Packed {}
impl PartialOrd for Packed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Packed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.name().cmp(other.name())
    }
}
impl std::borrow::Borrow<[u8]> for Packed {
    fn borrow(&self) -> &[u8] {
        self.name()
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{ChecksumKind, Provider};

    use super::*;

    fn full() -> Record {
        let mut custom = CustomMeta::default();
        custom.set("k", "v").unwrap();
        Record {
            size: 7,
            checksums: vec![Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap()],
            version: 3,
            modified_ns: 9,
            etag: Some(Etag::Multipart([1; 16], 4)),
            custom,
            remote: Some(RemoteIdentity {
                provider: Provider::Aws,
                etag: Some("e".into()),
                version: None,
                modified_ns: Some(5),
            }),
            copies: 2,
            parts_beside: true,
            commit: CommitId { map_version: 4, sequence: 1 << 50 },
            ..Record::default()
        }
    }

    #[test]
    fn a_row_tells_what_the_record_says() {
        let (record, mut rows) = (full(), Rows::default());
        rows.push_record("a", 1, &record);
        for etag in [Etag::Md5([2; 16]), Etag::Commit(6), Etag::Text("t".into())] {
            rows.push_record("b", 0, &Record { etag: Some(etag), ..Record::default() });
        }
        let object = rows.get(0).unwrap().object().unwrap();
        let expected = ListedObject {
            size: 7,
            checksum: record.checksums.first().cloned(),
            version: 3,
            modified_ns: 9,
            etag: record.etag.clone(),
            custom: record.custom.clone(),
            remote: record.remote.clone(),
            copies: 2,
            in_parts: true,
            commit: record.commit,
        };
        assert_eq!((object.last_modified_ns(), object), (5, expected));
        let etags: Vec<_> = rows.iter().skip(1).map(|row| row.object().unwrap().etag).collect();
        assert_eq!(etags, [Some(Etag::Md5([2; 16])), Some(Etag::Commit(6)), Some(Etag::Text("t".into()))]);
        assert_eq!(rows.last().unwrap(), rows.get(3).unwrap());
        assert!(rows.get(4).is_none());
    }

    #[test]
    fn rows_arrive_as_they_were_and_other_bytes_are_none() {
        let mut rows = Rows::default();
        assert_eq!(Rows::from_bytes(Vec::new()), Some(Rows::default()));
        ["a", "ж/я", &"n".repeat(1024)].iter().for_each(|name| rows.push_record(name, 9, &full()));
        let bytes = rows.clone().into_bytes();
        assert_eq!(Rows::from_bytes(bytes.clone()), Some(rows.clone()));
        let whole = |end| rows.starts.contains(&end) || end == bytes.len();
        for end in 0..=bytes.len() {
            assert_eq!(Rows::from_bytes(bytes[..end].to_vec()).is_some(), whole(end), "{end}");
        }
        let not_text = [1, 0, 0, 0, 0, 0, 0xff];
        assert_eq!(Rows::from_bytes(not_text.to_vec()), None);
        assert!(Row::new("a", b"").object().is_err());
    }

    #[test]
    fn a_cut_leaves_one_at_least() {
        let mut all = Rows::default();
        ["a", "b", "c"].iter().for_each(|name| all.push_record(name, 0, &Record::default()));
        let row = all.bytes.len() / 3;
        for (bytes_max, left) in [(0, 1), (row, 1), (2 * row, 2), (3 * row - 1, 2), (3 * row, 3)] {
            let mut rows = all.clone();
            rows.truncate_to_bytes(bytes_max);
            assert_eq!((rows.len(), rows.iter().count()), (left, left), "{bytes_max}");
        }
    }

    #[test]
    fn an_index_orders_by_names() {
        let of = |name| Packed::new(name, b"facts");
        assert!(of("a") < of("ab") && of("ab") < of("b") && of("Z") < of("a"));
        assert_eq!(Packed::new("a", b"1"), Packed::new("a", b"22"));
        assert_eq!(of("a").row().unwrap(), Row::new("a", b"facts"));
    }
}
