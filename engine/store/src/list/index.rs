//! The names of buckets in memory: begun with the bucket's first directory or built by one walk, kept by the committer, bounded.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use weir_types::{Bucket, ObjectName};

use super::rows::{Packed, facts};
use crate::Record;

/// What one row costs besides its bytes: its place in a node of the tree, and what the allocator rounds up.
const ROW_OVERHEAD_BYTES: usize = 40;

/// Indexes of a mountpath's buckets.
pub(crate) struct Index {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    buckets: HashMap<Bucket, Names>,
    bytes: usize,
    clock: u64,
    builds: u64,
    waiting: Vec<Waker>,
}

/// Names changed, and their rows; `None`: gone.
type Overlay = BTreeMap<ObjectName, Option<Packed>>;

enum Names {
    /// Somebody walks; changes meanwhile are laid over what the walk finds.
    Building {
        build: u64,
        overlay: Overlay,
        bytes: usize,
    },
    Ready {
        rows: BTreeSet<Packed>,
        bytes: usize,
        used: u64,
    },
    TooLarge,
}

/// What a lister does next.
pub(crate) enum State {
    /// Read.
    Ready,
    /// Walk the bucket into this.
    Build(Build),
    /// Walk for this page alone.
    TooLarge,
}

/// The right to build a bucket's index. Dropped unfinished, another may.
pub(crate) struct Build {
    number: u64,
    rows: BTreeSet<Packed>,
    bytes: usize,
}

impl Index {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::new(Inner::default()) }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// What to do about a bucket; waits while somebody else builds its index.
    pub(crate) async fn state(&self, bucket: &Bucket) -> State {
        std::future::poll_fn(|cx| {
            let mut inner = self.inner.lock();
            match inner.buckets.get(bucket) {
                Some(Names::Ready { .. }) => Poll::Ready(State::Ready),
                Some(Names::TooLarge) => Poll::Ready(State::TooLarge),
                Some(Names::Building { .. }) => {
                    inner.waiting.push(cx.waker().clone());
                    Poll::Pending
                }
                None => {
                    inner.builds += 1;
                    let build = inner.builds;
                    let names = Names::Building { build, overlay: BTreeMap::new(), bytes: 0 };
                    inner.buckets.insert(bucket.clone(), names);
                    Poll::Ready(State::Build(Build { number: build, rows: BTreeSet::new(), bytes: 0 }))
                }
            }
        })
        .await
    }

    /// Begins the index of a bucket of which the disk holds nothing yet.
    pub(crate) fn begin(&self, bucket: &Bucket) {
        let mut inner = self.inner.lock();
        if !inner.buckets.contains_key(bucket) {
            inner.insert(bucket, Names::Ready { rows: BTreeSet::new(), bytes: 0, used: 0 }, self.bytes_max);
        }
    }

    /// Adds a row that the walk found; `false`: the bucket is too large, stop.
    pub(crate) fn add(&self, build: &mut Build, row: Packed) -> bool {
        build.bytes += row_bytes(&row);
        if build.bytes > self.bytes_max {
            return false;
        }
        build.rows.insert(row);
        true
    }

    /// Ends a build: its rows under the changes made meanwhile, if it is not outdated.
    pub(crate) fn finish(&self, bucket: &Bucket, build: Build, complete: bool) {
        let waiting = {
            let mut inner = self.inner.lock();
            if !matches!(inner.buckets.get(bucket), Some(Names::Building { build: b, .. }) if *b == build.number)
            {
                return;
            }
            let overlay = match inner.buckets.remove(bucket) {
                Some(Names::Building { overlay, .. }) => overlay,
                _ => return,
            };
            let names = if complete { lay_over(build, overlay) } else { Names::TooLarge };
            inner.insert(bucket, names, self.bytes_max);
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Gives up a build, so that another lister may try.
    pub(crate) fn give_up(&self, bucket: &Bucket, number: u64) {
        let waiting = {
            let mut inner = self.inner.lock();
            if matches!(inner.buckets.get(bucket), Some(Names::Building { build, .. }) if *build == number) {
                inner.buckets.remove(bucket);
            }
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Lets `read` look at a bucket's rows; `None` if its index went away.
    pub(crate) fn read<T>(&self, bucket: &Bucket, read: impl FnOnce(&BTreeSet<Packed>) -> T) -> Option<T> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let Some(Names::Ready { rows, used, .. }) = inner.buckets.get_mut(bucket) else { return None };
        *used = now;
        Some(read(rows))
    }

    /// Notes a change of a name: its record now, or that it is gone.
    pub(crate) fn set(&self, bucket: &Bucket, name: &ObjectName, record: Option<&Record>) {
        let mut inner = self.inner.lock();
        let row = || record.map(|record| Packed::new(name.as_str(), &facts(record)));
        let (too_large, more, less) = match inner.buckets.get_mut(bucket) {
            None | Some(Names::TooLarge) => return,
            Some(Names::Building { overlay, bytes, .. }) => {
                let row = row();
                let more = row.as_ref().map_or(0, row_bytes);
                *bytes += name.as_str().len() + ROW_OVERHEAD_BYTES + more;
                overlay.insert(name.clone(), row);
                // Counted for all buckets when it is built.
                (*bytes > self.bytes_max, 0, 0)
            }
            Some(Names::Ready { rows, bytes, .. }) => {
                let row = row();
                let more = row.as_ref().map_or(0, row_bytes);
                let less = change(rows, name, row).as_ref().map_or(0, row_bytes);
                *bytes = *bytes + more - less;
                (*bytes > self.bytes_max, more, less)
            }
        };
        inner.bytes = inner.bytes + more - less;
        if too_large {
            inner.insert(bucket, Names::TooLarge, self.bytes_max);
        } else if inner.bytes > self.bytes_max {
            inner.make_room(bucket, self.bytes_max);
        }
    }

    /// Forgets a bucket: the next listing walks.
    pub(crate) fn forget(&self, bucket: &Bucket) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.remove(bucket);
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Build {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Inner {
    fn remove(&mut self, bucket: &Bucket) {
        if let Some(Names::Ready { bytes, .. }) = self.buckets.remove(bucket) {
            self.bytes -= bytes;
        }
    }

    fn insert(&mut self, bucket: &Bucket, mut names: Names, bytes_max: usize) {
        self.remove(bucket);
        if let Names::Ready { bytes, used, .. } = &mut names {
            self.clock += 1;
            *used = self.clock;
            self.bytes += *bytes;
        }
        self.buckets.insert(bucket.clone(), names);
        self.make_room(bucket, bytes_max);
    }

    /// Forgets the indexes used longest ago, but not `keep`'s.
    fn make_room(&mut self, keep: &Bucket, bytes_max: usize) {
        while self.bytes > bytes_max {
            let oldest =
                self.buckets.iter().filter(|(bucket, _)| *bucket != keep).filter_map(|(bucket, names)| {
                    let Names::Ready { used, .. } = names else { return None };
                    Some((*used, bucket.clone()))
                });
            let Some((_, bucket)) = oldest.min_by_key(|(used, _)| *used) else { return };
            self.remove(&bucket);
        }
    }
}

fn lay_over(build: Build, overlay: Overlay) -> Names {
    let Build { mut rows, mut bytes, .. } = build;
    for (name, row) in overlay {
        bytes += row.as_ref().map_or(0, row_bytes);
        bytes -= change(&mut rows, &name, row).as_ref().map_or(0, row_bytes);
    }
    Names::Ready { rows, bytes, used: 0 }
}

/// Puts a name's row in, or takes it out; the one that was there.
fn change(rows: &mut BTreeSet<Packed>, name: &ObjectName, row: Option<Packed>) -> Option<Packed> {
    match row {
        Some(row) => rows.replace(row),
        None => rows.take(name.as_str().as_bytes()),
    }
}

fn row_bytes(row: &Packed) -> usize {
    row.bytes() + ROW_OVERHEAD_BYTES
}
