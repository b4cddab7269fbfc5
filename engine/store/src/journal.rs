//! The journal of one mountpath: two segments that take turns, and the names whose files lag behind them.
//!
//! A small change is durable here long before its file is. A segment is used again only after every change in it is
//! filed and the whole file system was synced since; until then a crash finds the change here. It knows nothing of
//! names on the disk: what to append and how to file is the committer's.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;
use weir_types::limits::{COMMIT_BATCH_MAX, JOURNAL_BATCH_BYTES_MAX, JOURNAL_SEGMENT_NAMES_MAX};

use crate::object::read_full;
use crate::{Buffer, CommitId, Disk, DiskError, DiskErrorKind, DiskPath, layout};

mod backlog;
mod format;

pub(crate) use backlog::{Backlog, Key, OnDisk};
use format::{BLOCK_BYTES, Checks, Place, Read};
pub(crate) use format::{Entry, Found, Kind, entry_bytes};

/// Segments are made in steps of this many bytes.
const FILL_BYTES: usize = 256 << 10;
/// Ticks without an entry after which the segment in use is given up, so that its files become durable themselves.
const QUIET_TICKS: u32 = 4;
/// Bits of a segment's number that count within an epoch.
const USE_BITS: u32 = 24;

/// Bugs put in on purpose, for the crash tests.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Bugs {
    /// The journal is not synced before the answer.
    pub(crate) not_synced: bool,
    /// A segment is used again before its files are synced.
    pub(crate) reused_early: bool,
    /// A batch's checksum is not looked at.
    pub(crate) torn_accepted: bool,
    /// Which use of the segment a batch belongs to is not looked at.
    pub(crate) stale_accepted: bool,
}

struct Segment<F> {
    file: F,
    bytes: u64,
    /// The number of its present use.
    number: u64,
    /// Names that have entries in it which count, and the object that the last one of each makes; `None`: it is removed.
    names: HashMap<Arc<Key>, Option<CommitId>>,
}

/// What the segment is doing that is not in use.
enum Other {
    /// Empty.
    Free,
    /// Waits until all that waited at this mark is filed.
    Full { until: u64 },
    /// The file system is synced, then the segment is made empty.
    Emptying(LocalBoxFuture<'static, Result<(), DiskError>>),
}

/// The journal of one mountpath; its committer's alone.
pub(crate) struct Journal<D: Disk> {
    disk: D,
    segments: [Segment<D::File>; 2],
    /// Which segment is in use.
    active: usize,
    /// Where the next batch goes, and its number.
    at: u64,
    batch: u32,
    other: Other,
    /// The next use's number.
    uses: u64,
    buf: Option<D::Buf>,
    /// What waits for its file.
    pub(crate) backlog: Backlog,
    /// All up to here is to be filed without more delay; and what will be at the next tick.
    due: u64,
    next_due: u64,
    quiet: u32,
    appended: bool,
    /// The segment in use has batches that were not synced.
    unsynced: bool,
    bugs: Bugs,
}

/// What an append failed at.
#[derive(Debug)]
pub(crate) enum AppendError {
    /// The write. Most likely nothing of the batch will be found later; the next batch takes its place.
    Write(DiskError),
    /// The sync: nobody knows.
    Sync(DiskError),
}

/// The segments of an earlier life, as they were found.
pub(crate) struct Earlier<F> {
    /// Present files, the older use first; one without a valid header counts as older than any.
    files: Vec<(usize, F, u64)>,
    /// Entries in the order in which they were appended.
    pub(crate) entries: Vec<Found>,
}

fn path(which: usize) -> Result<DiskPath, DiskError> {
    let refused = |_| DiskError::at("journal", &DiskPath::root(), DiskErrorKind::Refused);
    let dir = DiskPath::root().join(layout::IDENTITY_DIR).map_err(refused)?;
    dir.join(format!("journal-{which}")).map_err(refused)
}

/// Reads what an earlier life left in its journal.
pub(crate) async fn read_earlier<D: Disk>(disk: &D, bugs: Bugs) -> Result<Earlier<D::File>, DiskError> {
    let mut found = Vec::new();
    for which in 0..2 {
        let file = match disk.reopen(&path(which)?, true).await {
            Ok(file) => file,
            Err(e) if e.kind == DiskErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let bytes = disk.stat(&file).await?.size;
        let (number, entries) = read_segment(disk, &file, bytes, bugs).await?;
        found.push((number, which, file, bytes, entries));
    }
    found.sort_by_key(|(number, ..)| *number);
    let mut earlier = Earlier { files: Vec::new(), entries: Vec::new() };
    for (_, which, file, bytes, entries) in found {
        earlier.files.push((which, file, bytes));
        earlier.entries.extend(entries);
    }
    Ok(earlier)
}

/// The entries of one segment up to its end, and the number of its use.
async fn read_segment<D: Disk>(
    disk: &D,
    file: &D::File,
    bytes: u64,
    bugs: Bugs,
) -> Result<(Option<u64>, Vec<Found>), DiskError> {
    let mut entries = Vec::new();
    let header = read_full(disk, file, 0, BLOCK_BYTES).await?;
    let Some(segment) = format::read_header(&header) else { return Ok((None, entries)) };
    let checks = Checks { sum: !bugs.torn_accepted, place: !bugs.stale_accepted };
    let mut place = Place { segment, number: 0 };
    let mut at = BLOCK_BYTES as u64;
    while at < bytes {
        let len = JOURNAL_BATCH_BYTES_MAX.min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        let window = read_full(disk, file, at, len).await?;
        let mut within = 0;
        loop {
            let rest = window.get(within..).unwrap_or_default();
            match format::read(rest, place, JOURNAL_BATCH_BYTES_MAX, checks) {
                Read::Batch(found, length) => {
                    entries.extend(found);
                    place.number += 1;
                    within += length;
                }
                // Cut by the window: the next one begins here.
                Read::Longer if within > 0 => break,
                Read::End if within == window.len() && within > 0 => break,
                Read::Longer | Read::End => return Ok((Some(segment), entries)),
            }
        }
        at += within as u64;
    }
    Ok((Some(segment), entries))
}

impl<F: Clone> Earlier<F> {
    /// Removes the segments, the older first. All of their entries are filed and synced.
    pub(crate) async fn remove<D: Disk<File = F>>(self, disk: &D) -> Result<(), DiskError> {
        for (which, ..) in &self.files {
            let path = path(*which)?;
            disk.unlink(&path).await?;
            disk.sync_dir(&path.parent().unwrap_or_default()).await?;
        }
        Ok(())
    }
}

impl<D: Disk> Journal<D> {
    /// Empties the segments of an earlier life (all of their entries are filed and synced), the older first, makes
    /// what is missing, and begins. Both have `bytes` afterwards.
    pub(crate) async fn begin(
        disk: D,
        earlier: Earlier<D::File>,
        bytes: u64,
        epoch: u64,
        bugs: Bugs,
    ) -> Result<Self, DiskError> {
        let mut uses = epoch << USE_BITS;
        let mut segments: [Option<Segment<D::File>>; 2] = [None, None];
        let missing = (0..2).filter(|which| !earlier.files.iter().any(|(w, ..)| w == which));
        let missing: Vec<_> = missing.map(|which| (which, None)).collect();
        let present = earlier.files.into_iter().map(|(which, file, size)| (which, Some((file, size))));
        for (which, present) in present.chain(missing) {
            let file = match present {
                Some((file, size)) if size == bytes => file,
                Some((file, _)) => {
                    disk.truncate(&file, 0).await?;
                    fill(&disk, &file, bytes).await?;
                    file
                }
                None => {
                    let path = path(which)?;
                    let file = disk.create(&path, true).await?;
                    fill(&disk, &file, bytes).await?;
                    disk.sync_dir(&path.parent().unwrap_or_default()).await?;
                    file
                }
            };
            write_header(&disk, &file, uses).await?;
            if let Some(slot) = segments.get_mut(which) {
                *slot = Some(Segment { file, bytes, number: uses, names: HashMap::new() });
            }
            uses += 1;
        }
        let refused = || DiskError::at("journal", &DiskPath::root(), DiskErrorKind::Refused);
        let [Some(first), Some(second)] = segments else { return Err(refused()) };
        // Uses are numbered in the order in which they take entries.
        let active = usize::from(second.number < first.number);
        Ok(Self {
            disk,
            segments: [first, second],
            active,
            at: BLOCK_BYTES as u64,
            batch: 0,
            other: Other::Free,
            uses,
            buf: None,
            backlog: Backlog::default(),
            due: 0,
            next_due: 0,
            quiet: 0,
            appended: false,
            unsynced: false,
            bugs,
        })
    }

    /// Puts bugs in.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn plant(&mut self, bugs: Bugs) {
        self.bugs = bugs;
    }

    fn segment(&mut self) -> &mut Segment<D::File> {
        let [first, second] = &mut self.segments;
        if self.active == 0 { first } else { second }
    }

    fn idle_segment(&mut self) -> &mut Segment<D::File> {
        let [first, second] = &mut self.segments;
        if self.active == 0 { second } else { first }
    }

    /// Bytes of entries (as [`entry_bytes`] counts them) that one batch may have.
    pub(crate) fn batch_max(&self) -> usize {
        let segment = self.segments.iter().map(|s| s.bytes).min().unwrap_or(0);
        let most = usize::try_from(segment).unwrap_or(usize::MAX).saturating_sub(BLOCK_BYTES);
        JOURNAL_BATCH_BYTES_MAX.min(most).saturating_sub(BLOCK_BYTES)
    }

    /// Whether a batch of these bytes of entries fits into the segment in use.
    pub(crate) fn has_room(&mut self, entries: usize) -> bool {
        let at = self.at;
        let segment = self.segment();
        at + format::batch_bytes(entries) as u64 <= segment.bytes
            && segment.names.len() + COMMIT_BATCH_MAX <= JOURNAL_SEGMENT_NAMES_MAX
    }

    /// Appends entries as one batch that fits; `sync`: durable when this returns.
    pub(crate) async fn append(&mut self, entries: &[Entry<'_>], sync: bool) -> Result<(), AppendError> {
        let length = format::batch_bytes(entries.iter().map(Entry::bytes).sum());
        assert!(length as u64 + self.at <= self.segment().bytes, "a batch past its segment's end");
        let mut buf = match self.buf.take() {
            Some(buf) if buf.capacity() >= length => buf,
            _ => {
                let bytes = length.next_power_of_two().min(JOURNAL_BATCH_BYTES_MAX).max(length);
                self.disk.buffer(bytes).await.map_err(AppendError::Write)?
            }
        };
        buf.set_len(length);
        let place = Place { segment: self.segment().number, number: self.batch };
        format::encode(place, entries, &mut buf);
        let file = self.segment().file.clone();
        let sync = sync && !self.bugs.not_synced;
        let (buf, written) = if sync && !self.unsynced {
            self.disk.write_through(&file, self.at, buf).await
        } else {
            self.disk.write(&file, self.at, buf).await
        };
        self.buf = Some(buf);
        written.map_err(AppendError::Write)?;
        if sync && self.unsynced {
            // The batches before this one must not be missing when this one is found.
            self.disk.sync_data(&file).await.map_err(AppendError::Sync)?;
        }
        self.unsynced = !sync;
        self.at += length as u64;
        self.batch += 1;
        self.appended = true;
        Ok(())
    }

    /// Notes that a name has an entry in the segment in use, and the object that it makes; `None`: a removal.
    pub(crate) fn note_live(&mut self, key: &Arc<Key>, made: Option<CommitId>) {
        let names = &mut self.segment().names;
        match names.get_mut(key) {
            Some(last) => *last = made,
            None => drop(names.insert(key.clone(), made)),
        }
    }

    /// The object of the name that a crash would bring back, whatever its file has become.
    pub(crate) fn revived(&self, key: &Key) -> Option<CommitId> {
        let [first, second] = &self.segments;
        let (newer, older) = if self.active == 0 { (first, second) } else { (second, first) };
        newer.names.get(key).or_else(|| older.names.get(key)).copied().flatten()
    }

    /// Whether a crash would find an entry of the name: its file may not be durable.
    pub(crate) fn is_live(&self, key: &Key) -> bool {
        self.segments.iter().any(|s| s.names.contains_key(key))
    }

    /// Whether a crash would find entries at all.
    pub(crate) fn has_live(&self) -> bool {
        self.segments.iter().any(|s| !s.names.is_empty())
    }

    /// Entries of the name are void.
    pub(crate) fn note_void(&mut self, key: &Key) {
        for segment in &mut self.segments {
            segment.names.remove(key);
        }
    }

    /// Goes on in the other segment if that one is empty; the one in use is emptied once all that waits is filed.
    pub(crate) fn switch(&mut self) -> bool {
        if !matches!(self.other, Other::Free) {
            return false;
        }
        self.active ^= 1;
        self.at = BLOCK_BYTES as u64;
        self.batch = 0;
        self.unsynced = false;
        self.quiet = 0;
        self.other = Other::Full { until: self.backlog.mark() };
        true
    }

    /// How much of the backlog must be filed for the other segment's sake or its own age: up to this mark.
    pub(crate) fn due(&self) -> u64 {
        match self.other {
            Other::Full { until } => until.max(self.due),
            _ => self.due,
        }
    }

    /// Whether the other segment waits for names to be filed.
    pub(crate) fn is_pressed(&self) -> bool {
        matches!(self.other, Other::Full { until } if !self.backlog.is_past(until))
    }

    /// Whether something waits that is due.
    pub(crate) fn is_late(&self) -> bool {
        !self.backlog.is_past(self.due())
    }

    /// Begins to empty the other segment if all of it is filed.
    pub(crate) fn begin_emptying(&mut self) {
        let Other::Full { until } = self.other else { return };
        if !self.backlog.is_past(until) {
            return;
        }
        let (disk, number, early) = (self.disk.clone(), self.uses, self.bugs.reused_early);
        self.uses += 1;
        let segment = self.idle_segment();
        segment.number = number;
        let file = segment.file.clone();
        self.other = Other::Emptying(Box::pin(async move {
            if !early {
                disk.sync_all().await.map_err(unknown)?;
            }
            write_header(&disk, &file, number).await
        }));
    }

    /// One step of the emptying, if it is under way; `true`: the segment is empty now.
    pub(crate) async fn poll_emptying(&mut self) -> Result<bool, DiskError> {
        let other = &mut self.other;
        let done = std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match other {
                Other::Emptying(future) => match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(done) => Some(done),
                    std::task::Poll::Pending => None,
                },
                _ => None,
            })
        })
        .await;
        self.emptied(done)
    }

    /// Waits for the end of the emptying, if it is under way.
    pub(crate) async fn end_emptying(&mut self) -> Result<bool, DiskError> {
        let done = match &mut self.other {
            Other::Emptying(future) => Some(future.await),
            _ => None,
        };
        self.emptied(done)
    }

    fn emptied(&mut self, done: Option<Result<(), DiskError>>) -> Result<bool, DiskError> {
        let Some(done) = done else { return Ok(false) };
        // After a failed sync the mountpath takes no more changes; after another failure it is tried again.
        self.other = Other::Full { until: 0 };
        done?;
        self.other = Other::Free;
        self.idle_segment().names.clear();
        Ok(true)
    }

    /// Time passes: what waited at the last tick is due, what found no room is tried again, and a segment that has
    /// taken nothing for long is given up.
    pub(crate) fn tick(&mut self) {
        self.due = self.next_due;
        self.next_due = self.backlog.mark();
        self.backlog.retry();
        self.quiet = if std::mem::take(&mut self.appended) { 0 } else { self.quiet + 1 };
        if self.quiet >= QUIET_TICKS && self.at > BLOCK_BYTES as u64 && self.backlog.is_empty() {
            self.switch();
        }
    }

    /// Whether nothing waits and both segments are empty.
    pub(crate) fn is_settled(&self) -> bool {
        self.backlog.is_empty() && self.at == BLOCK_BYTES as u64 && matches!(self.other, Other::Free)
    }

    /// All is filed: makes the files durable and both segments empty, the older first.
    pub(crate) async fn close(&mut self) -> Result<(), DiskError> {
        self.end_emptying().await?;
        self.disk.sync_all().await?;
        let number = self.uses;
        self.uses += 2;
        let (older, newer) = (self.idle_segment().file.clone(), self.segment().file.clone());
        write_header(&self.disk, &older, number).await?;
        write_header(&self.disk, &newer, number + 1).await?;
        self.idle_segment().number = number;
        self.segment().number = number + 1;
        self.segments.iter_mut().for_each(|s| s.names.clear());
        self.unsynced = false;
        (self.at, self.batch, self.other) = (BLOCK_BYTES as u64, 0, Other::Free);
        // The use with the lesser number takes entries first.
        self.active ^= 1;
        Ok(())
    }
}

/// Makes all blocks of a new segment written ones, so that a sync of the journal never has metadata to write.
async fn fill<D: Disk>(disk: &D, file: &D::File, bytes: u64) -> Result<(), DiskError> {
    disk.allocate(file, bytes).await?;
    let mut at = 0;
    let mut buf = disk.buffer(FILL_BYTES).await?;
    while at < bytes {
        let len = FILL_BYTES.min(usize::try_from(bytes - at).unwrap_or(usize::MAX));
        buf.set_len(len);
        buf.fill(0);
        let (back, written) = disk.write(file, at, buf).await;
        written?;
        buf = back;
        at += len as u64;
    }
    disk.sync(file).await
}

/// Begins a use of a segment: nothing that is in it counts from now on.
async fn write_header<D: Disk>(disk: &D, file: &D::File, number: u64) -> Result<(), DiskError> {
    let mut buf = disk.buffer(BLOCK_BYTES).await?;
    buf.set_len(BLOCK_BYTES);
    format::header(number, &mut buf);
    disk.write(file, 0, buf).await.1?;
    disk.sync_data(file).await.map_err(unknown)
}

/// A failed sync, whatever the reason: nobody knows what is durable, and no later success may cover it up.
fn unknown(error: DiskError) -> DiskError {
    DiskError { kind: DiskErrorKind::Io, ..error }
}
