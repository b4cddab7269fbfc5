//! Listings: a page of a bucket in the byte order of whole names, escaped ones in their place.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::iter::Peekable;

use weir_types::{Bucket, ObjectName};

use crate::{Disk, StoreError, Unfiled, Volume};

mod collect;
mod index;
mod rows;
mod walk;

use collect::{Collector, Seek, Then};
pub(crate) use index::Index;
use index::State;
pub use rows::{ListedObject, Row, Rows};
use rows::{Packed, facts};

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

/// A page of a listing: objects and common prefixes, each in byte order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// Objects.
    pub rows: Rows,
    /// Common prefixes, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts after; `None`: this is the last.
    pub next: Option<String>,
}

/// An acknowledged state that no file shows yet.
type Waiting = (ObjectName, Unfiled);

impl<D: Disk> Volume<D> {
    /// One page of a bucket, by an index that the committer keeps: from the bucket's first object on, or from the first
    /// call on, which walks the bucket once. A bucket too large for that is walked for each page, in bounded memory. Includes
    /// every change that was answered before the call.
    pub async fn list(&self, bucket: &Bucket, query: &ListQuery) -> Result<Page, StoreError> {
        if query.limit == 0 {
            return Ok(Page::default());
        }
        let waiting = self.mountpath.acknowledged().of_bucket(bucket);
        loop {
            match self.mountpath.index.state(bucket).await {
                State::Ready => {
                    let page = self.mountpath.index.read(bucket, |filed| collect(query, &waiting, filed));
                    if let Some(page) = page {
                        return Ok(page);
                    }
                }
                State::Build(build) => self.walk_into_index(bucket, build).await?,
                State::TooLarge => return self.walk_page(bucket, query, &waiting).await,
            }
        }
    }

    async fn walk_page(
        &self,
        bucket: &Bucket,
        query: &ListQuery,
        waiting: &[Waiting],
    ) -> Result<Page, StoreError> {
        let mut collector = Collector::new(query);
        let mut files = walk::Rows::new(self, bucket, &query.prefix)?;
        let (mut seek, mut filed) = (collector.start(), None);
        loop {
            let used = |row: &Packed| row.row().is_none_or(|row| !seek.admits(row.name.as_bytes()));
            if filed.as_ref().is_none_or(used) {
                filed = files.next(&seek).await?;
            }
            let mut one = filed.as_ref().and_then(Packed::row).into_iter().peekable();
            let mut waiting = from(waiting, &seek).iter().peekable();
            let names = [one.peek().map(|row| row.name), waiting.peek().map(|(name, _)| name.as_str())];
            let Some(name) = names.into_iter().flatten().min() else { break };
            let after = Seek::after(name);
            seek = match step(&mut collector, &mut one, &mut waiting) {
                Then::Next => after,
                Then::Jump(to) => to,
                Then::Done => break,
            };
        }
        Ok(collector.finish())
    }
}

fn collect(query: &ListQuery, waiting: &[Waiting], filed: &BTreeSet<Packed>) -> Page {
    let mut collector = Collector::new(query);
    let mut seek = collector.start();
    loop {
        let mut filed = filed.range::<[u8], _>(seek.range()).filter_map(Packed::row).peekable();
        let mut waiting = from(waiting, &seek).iter().peekable();
        let mut then = Then::Next;
        while then == Then::Next {
            then = step(&mut collector, &mut filed, &mut waiting);
        }
        match then {
            Then::Jump(to) => seek = to,
            _ => return collector.finish(),
        }
    }
}

/// Those that `seek` admits.
fn from<'w>(waiting: &'w [Waiting], seek: &Seek) -> &'w [Waiting] {
    let at = waiting.partition_point(|(name, _)| !seek.admits(name.as_str().as_bytes()));
    waiting.get(at..).unwrap_or_default()
}

/// Takes the first of what is filed and what waits to be; of the same name what waits.
fn step<'r>(
    collector: &mut Collector<'_>,
    filed: &mut Peekable<impl Iterator<Item = Row<'r>>>,
    waiting: &mut Peekable<std::slice::Iter<'_, Waiting>>,
) -> Then {
    let order = match (filed.peek(), waiting.peek()) {
        (None, None) => return Then::Done,
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (Some(row), Some((name, _))) => row.name.cmp(name.as_str()),
    };
    let row = if order == Ordering::Greater { None } else { filed.next() };
    if let (Ordering::Less, Some(row)) = (order, row) {
        return collector.take(row);
    }
    match waiting.next() {
        Some((name, Unfiled::Put { record, .. })) => collector.take(Row::new(name.as_str(), &facts(record))),
        // It is gone, whatever the disk says.
        Some((_, Unfiled::Deleted)) | None => Then::Next,
    }
}
