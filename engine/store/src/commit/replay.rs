//! The journal at the start: what an earlier life left in it is filed, then it begins empty.

use std::collections::HashMap;
use std::sync::Arc;

use weir_types::limits::JOURNAL_OBJECT_BYTES_MAX;

use super::Committer;
use crate::journal::{self, Found, Journal, Key, Kind};
use crate::{CommitId, Disk, DiskErrorKind, Record, RecordError, StoreError, Unfiled};

/// A segment of a mountpath that is small is this part of it, in whole MiB.
const SEGMENT_OF_SPACE: u64 = 64;
/// Smallest segment that is worth having: one that is made smaller to fit a small mountpath.
const SEGMENT_STEP_BYTES: u64 = 1 << 20;
/// The largest object that goes through the journal is this part of a segment.
const OBJECT_OF_SEGMENT: u64 = 4;

impl<D: Disk> Committer<D> {
    /// Files what an earlier life acknowledged, makes it durable, and begins with an empty journal: the number of
    /// names filed. A crash on the way leaves the journal as it was, and filing twice changes nothing.
    pub(crate) async fn open_journal(&mut self) -> Result<usize, StoreError> {
        let disk = self.volume.disk.clone();
        let bugs = self.journal_bugs();
        let mut earlier = journal::read_earlier(&disk, bugs).await?;
        let names = latest(std::mem::take(&mut earlier.entries));
        let refiled = names.len();
        for (key, commit, state) in names {
            let state = state?;
            self.file_located(&key, &state, commit).await?;
            // There is an index where this made the bucket's directory.
            self.mountpath().index.set(&key.0, &key.1, state.listed());
        }
        if refiled > 0 {
            disk.sync_all().await?;
        }
        let bytes = self.segment_bytes();
        if bytes == 0 {
            earlier.remove(&disk).await?;
            return Ok(refiled);
        }
        let epoch = self.mountpath().identity().epoch;
        match Journal::begin(disk.clone(), earlier, bytes, epoch, bugs).await {
            Ok(journal) => {
                self.mountpath().set_small(Some(JOURNAL_OBJECT_BYTES_MAX.min(bytes / OBJECT_OF_SEGMENT)));
                self.journal = Some(journal);
            }
            // A full disk has none: changes take the way of large ones.
            Err(e) if e.kind == DiskErrorKind::NoSpace => {
                journal::read_earlier(&disk, bugs).await?.remove(&disk).await?;
            }
            Err(e) => return Err(e.into()),
        }
        Ok(refiled)
    }

    fn segment_bytes(&self) -> u64 {
        let wanted = self.mountpath().options().journal_bytes;
        let share = self.mountpath().space().total() / SEGMENT_OF_SPACE;
        if wanted <= share { wanted } else { share - share % SEGMENT_STEP_BYTES }
    }
}

type Last = (Key, CommitId, Result<Unfiled, StoreError>);

/// The last state of each name, in the order in which those were appended.
fn latest(entries: Vec<Found>) -> Vec<Last> {
    let mut last: Vec<Option<Last>> = Vec::new();
    let mut places: HashMap<Arc<Key>, usize> = HashMap::new();
    for entry in entries {
        let Found { kind, commit, bucket, name, record, content } = entry;
        let state = match kind {
            Kind::Put => decoded(&record, content),
            Kind::Delete | Kind::Void => Ok(Unfiled::Deleted),
            Kind::Destroy => {
                // What was filed of them may be half a file: it goes, even where the bucket itself did not.
                for (_, c, state) in last.iter_mut().flatten().filter(|(key, ..)| key.0 == bucket) {
                    (*c, *state) = (commit, Ok(Unfiled::Deleted));
                }
                continue;
            }
        };
        let Some(name) = name else { continue };
        let key = (bucket, name);
        let place = last.len();
        if let Some(old) = places.insert(Arc::new(key.clone()), place).and_then(|old| last.get_mut(old)) {
            *old = None;
        }
        last.push((kind != Kind::Void).then_some((key, commit, state)));
    }
    last.into_iter().flatten().collect()
}

fn decoded(record: &[u8], content: Vec<u8>) -> Result<Unfiled, StoreError> {
    let wrong = |error: RecordError| StoreError::Record { path: "an entry of the journal".into(), error };
    let record = Record::decode(record).map_err(wrong)?;
    Ok(Unfiled::Put { record: Arc::new(record), content: content.into() })
}
