//! Listings: a page of a bucket in the byte order of whole names, escaped ones in their place.

use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use crate::{Disk, Record, RecordError, StoreError, Unfiled, Volume};

mod collect;
mod index;
mod walk;

use collect::{Collector, Seek};
pub(crate) use index::Index;
use index::State;

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

/// A name and its encoded record, as listings carry it.
pub(crate) type Row = (Arc<str>, Arc<[u8]>);

impl<D: Disk> Volume<D> {
    /// One page of a bucket. The first call walks the bucket once and keeps an index, which the committer keeps up to
    /// date; a bucket too large for that is walked for each page, in bounded memory. Includes every change that was
    /// answered before the call.
    pub async fn list(&self, bucket: &Bucket, query: &ListQuery) -> Result<Page, StoreError> {
        if query.limit == 0 {
            return Ok(Page::default());
        }
        let unfiled = self.mountpath.acknowledged().of_bucket(bucket);
        loop {
            match self.mountpath.index.state(bucket).await {
                State::Ready => {
                    let found = self.mountpath.index.read(bucket, |seek| collect(query, &unfiled, seek));
                    if let Some(found) = found {
                        return found.finish();
                    }
                }
                State::Build(build) => self.walk_into_index(bucket, build).await?,
                State::TooLarge => return self.walk_page(bucket, query, &unfiled).await,
            }
        }
    }

    async fn walk_page(
        &self,
        bucket: &Bucket,
        query: &ListQuery,
        unfiled: &[(ObjectName, Unfiled)],
    ) -> Result<Page, StoreError> {
        let mut collector = Collector::new(query);
        let mut rows = walk::Rows::new(self, bucket, &query.prefix)?;
        while let Some(seek) = collector.want() {
            let filed = rows.next(&seek).await?;
            match prefer(filed, unfiled, &seek) {
                Next::Row(row) => collector.take(row),
                Next::Skip(name) => collector.skip(&name),
                Next::End => break,
            }
        }
        collector.finish()
    }
}

enum Next {
    Row(Row),
    /// The name is gone, whatever the disk says.
    Skip(Arc<str>),
    End,
}

fn collect(
    query: &ListQuery,
    unfiled: &[(ObjectName, Unfiled)],
    mut filed: impl FnMut(&Seek) -> Option<Row>,
) -> Collector {
    let mut collector = Collector::new(query);
    while let Some(seek) = collector.want() {
        match prefer(filed(&seek), unfiled, &seek) {
            Next::Row(row) => collector.take(row),
            Next::Skip(name) => collector.skip(&name),
            Next::End => break,
        }
    }
    collector
}

/// The first of the filed row and the unfiled names; of the same name the unfiled state.
fn prefer(filed: Option<Row>, unfiled: &[(ObjectName, Unfiled)], seek: &Seek) -> Next {
    let from = unfiled.partition_point(|(name, _)| !seek.admits(name.as_str().as_bytes()));
    let first = unfiled.get(from);
    match (filed, first) {
        (Some(row), Some((name, _))) if *row.0 < *name.as_str() => Next::Row(row),
        (_, Some((name, Unfiled::Put { record, .. }))) => {
            Next::Row((name.as_str().into(), record.encode().into()))
        }
        (_, Some((name, Unfiled::Deleted))) => Next::Skip(name.as_str().into()),
        (Some(row), None) => Next::Row(row),
        (None, None) => Next::End,
    }
}

/// A row as an entry of a page.
fn entry((name, record): Row) -> Result<Entry, StoreError> {
    let wrong = |error| StoreError::Record { path: name.to_string(), error };
    let record = Record::decode(&record).map_err(wrong)?;
    let name = ObjectName::new(&*name).map_err(|_| wrong(RecordError::Malformed { field: "name" }))?;
    Ok(Entry { name, record })
}
