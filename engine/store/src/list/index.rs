//! The names of buckets in memory: built by one walk, kept by the committer, bounded.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use weir_types::{Bucket, ObjectName};

use super::Row;
use super::collect::Seek;

/// What one row costs besides its bytes: a node of the map, two reference counts.
const ROW_OVERHEAD_BYTES: usize = 96;

type Rows = BTreeMap<Arc<str>, Arc<[u8]>>;

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

enum Names {
    /// Somebody walks; changes meanwhile are laid over what the walk finds.
    Building {
        build: u64,
        overlay: BTreeMap<Arc<str>, Option<Arc<[u8]>>>,
        bytes: usize,
    },
    Ready {
        rows: Rows,
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
    rows: Rows,
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
                    Poll::Ready(State::Build(Build { number: build, rows: Rows::new(), bytes: 0 }))
                }
            }
        })
        .await
    }

    /// Adds a row that the walk found; `false`: the bucket is too large, stop.
    pub(crate) fn add(&self, build: &mut Build, name: &str, record: &[u8]) -> bool {
        build.bytes += row_bytes(name, record);
        if build.bytes > self.bytes_max {
            return false;
        }
        build.rows.insert(name.into(), record.into());
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

    /// Lets `read` seek in a bucket's rows; `None` if its index went away.
    pub(crate) fn read<T>(
        &self,
        bucket: &Bucket,
        read: impl FnOnce(&mut dyn FnMut(&Seek) -> Option<Row>) -> T,
    ) -> Option<T> {
        let mut inner = self.inner.lock();
        inner.clock += 1;
        let now = inner.clock;
        let Some(Names::Ready { rows, used, .. }) = inner.buckets.get_mut(bucket) else { return None };
        *used = now;
        Some(read(&mut |seek| {
            // Bounds from common prefixes are bytes of UTF-8 with the last one raised: as text, their valid part
            // followed by a scan of at most the rows that begin with it.
            let text = match std::str::from_utf8(&seek.bound) {
                Ok(text) => text,
                Err(e) => std::str::from_utf8(seek.bound.get(..e.valid_up_to())?).ok()?,
            };
            let mut from = rows.range::<str, _>((Bound::Included(text), Bound::Unbounded));
            from.find(|(name, _)| seek.admits(name.as_bytes())).map(|(n, r)| (n.clone(), r.clone()))
        }))
    }

    /// Notes a change of a name: its record, or that it is gone.
    pub(crate) fn set(&self, bucket: &Bucket, name: &ObjectName, record: Option<Vec<u8>>) {
        let mut inner = self.inner.lock();
        let names = inner.buckets.get_mut(bucket);
        if matches!(names, None | Some(Names::TooLarge)) {
            return;
        }
        let name: Arc<str> = name.as_str().into();
        let record: Option<Arc<[u8]>> = record.map(Into::into);
        let (mut more, mut less) = (0, 0);
        let too_large = match names {
            None | Some(Names::TooLarge) => return,
            Some(Names::Building { overlay, bytes, .. }) => {
                *bytes += row_bytes(&name, record.as_deref().unwrap_or_default());
                overlay.insert(name, record);
                *bytes > self.bytes_max
            }
            Some(Names::Ready { rows, bytes, .. }) => {
                more = record.as_ref().map_or(0, |r| row_bytes(&name, r));
                let old = match record {
                    Some(record) => rows.insert(name.clone(), record),
                    None => rows.remove(&name),
                };
                less = old.map_or(0, |old| row_bytes(&name, &old));
                *bytes = *bytes + more - less;
                *bytes > self.bytes_max
            }
        };
        inner.bytes = inner.bytes + more - less;
        if too_large {
            inner.insert(bucket, Names::TooLarge, self.bytes_max);
        } else if inner.bytes > self.bytes_max {
            inner.make_room(bucket, self.bytes_max);
        }
    }

    /// Whether the bucket has an index. It was made of the files there were: what becomes a file now must be noted.
    pub(crate) fn is_kept(&self, bucket: &Bucket) -> bool {
        matches!(self.inner.lock().buckets.get(bucket), Some(Names::Building { .. } | Names::Ready { .. }))
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

fn lay_over(build: Build, overlay: BTreeMap<Arc<str>, Option<Arc<[u8]>>>) -> Names {
    let Build { mut rows, mut bytes, .. } = build;
    for (name, record) in overlay {
        bytes += record.as_ref().map_or(0, |r| row_bytes(&name, r));
        let old = match record {
            Some(record) => rows.insert(name.clone(), record),
            None => rows.remove(&name),
        };
        bytes -= old.map_or(0, |old| row_bytes(&name, &old));
    }
    Names::Ready { rows, bytes, used: 0 }
}

fn row_bytes(name: &str, record: &[u8]) -> usize {
    name.len() + record.len() + ROW_OVERHEAD_BYTES
}
