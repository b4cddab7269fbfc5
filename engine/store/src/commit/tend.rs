//! Housekeeping in bounded steps.

use std::collections::VecDeque;

use weir_types::Bucket;

use super::Committer;
use crate::layout::BucketDirs;
use crate::volume::Look;
use crate::{
    Access, Blocks, CommitId, Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, Record, StoreError, work,
};

/// Files removed in one step.
const REMOVALS_PER_STEP: usize = 4096;
/// Files beside objects looked at in one step.
const SWEEP_PER_STEP: usize = 64;

/// What the search for orphans has before it.
#[derive(Default)]
pub(super) struct Sweep {
    pub(super) buckets: VecDeque<Bucket>,
    beside: Vec<CommitId>,
}

impl<D: Disk> Committer<D> {
    /// A bounded step of housekeeping: removes abandoned work files and doomed directories, keeps work files ready,
    /// looks for files whose object is gone, asks the disk for its space. Whether there is more to do. The owner calls
    /// it when there is nothing to commit, and at least every few seconds.
    pub async fn tend(&mut self) -> bool {
        if self.mountpath().poisoned().is_some() {
            return false;
        }
        self.refresh_work_files().await;
        self.look_at_space().await;
        if let Some(dir) = self.over.pop() {
            match self.remove_upload(&dir, true).await {
                Ok(()) => return true,
                Err(error) => self.note_leftover(error),
            }
            self.over.push(dir);
        }
        if let Some(dir) = self.doomed.pop() {
            match self.remove_tree(&dir).await {
                Ok(true) => {}
                Ok(false) => self.doomed.push(dir),
                Err(error) => self.note_leftover(error),
            }
            return true;
        }
        match self.sweep_step().await {
            Ok(more) => more,
            Err(StoreError::Disk(error)) => {
                self.note_leftover(error);
                false
            }
            Err(_) => false,
        }
    }

    /// Asks the disk for its space. The owner has it asked when nobody changes anything, too: what was removed may be free only
    /// some time later, and others may use the file system.
    pub async fn look_at_space(&self) {
        if let Ok(space) = self.volume.disk.space().await {
            self.mountpath().note_space(space);
        }
    }

    /// Removes abandoned work files and makes ready ones.
    pub(super) async fn refresh_work_files(&mut self) {
        if self.mountpath().poisoned().is_some() {
            return;
        }
        let abandoned = std::mem::take(&mut *self.mountpath().abandoned.lock());
        for path in abandoned {
            self.discard(&path).await;
        }
        let wanted = self.mountpath().options().ready_files;
        while self.mountpath().ready.lock().len() < wanted && self.mountpath().poisoned().is_none() {
            match work::create(&self.volume.disk, self.mountpath(), false).await {
                Ok(ready) => self.mountpath().ready.lock().push_back(ready),
                Err(error) => return self.note_leftover(error),
            }
        }
    }

    pub(crate) fn doom_later(&mut self, dir: DiskPath) {
        self.doomed.push(dir);
    }

    pub(crate) async fn doom_now(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        self.doom(dir).await
    }

    pub(crate) fn sweep_later(&mut self, bucket: Bucket) {
        self.sweep.buckets.push_back(bucket);
    }

    pub(crate) fn count_upload(&mut self, bucket: &Bucket) {
        *self.uploads.entry(bucket.clone()).or_default() += 1;
    }

    /// Removes some of what is below a directory, and the directory once it is empty: whether it is gone.
    async fn remove_tree(&self, dir: &DiskPath) -> Result<bool, DiskError> {
        let disk = &self.volume.disk;
        let mut dirs = vec![dir.clone()];
        let mut left = REMOVALS_PER_STEP;
        while let Some(here) = dirs.last().cloned() {
            let mut files = Vec::new();
            let mut below = None;
            let listed = disk
                .list_dir(&here, &mut |entry| match (entry.kind, here.join(&entry.name)) {
                    (EntryKind::Dir, Ok(path)) => below = Some(path),
                    (_, Ok(path)) if files.len() < left => files.push(path),
                    _ => {}
                })
                .await;
            gone_ok(listed)?;
            if let Some(below) = below {
                dirs.push(below);
                continue;
            }
            left -= files.len();
            for file in files {
                gone_ok(disk.unlink(&file).await)?;
            }
            match disk.rmdir(&here).await {
                Err(e) if e.kind == DiskErrorKind::NotEmpty && left == 0 => return Ok(false),
                done => gone_ok(done)?,
            }
            dirs.pop();
        }
        Ok(true)
    }

    /// Looks at some files beside objects, and removes those that no object names.
    async fn sweep_step(&mut self) -> Result<bool, StoreError> {
        let Some(bucket) = self.sweep.buckets.front().cloned() else { return Ok(false) };
        let dirs = BucketDirs::of(&bucket)?;
        if self.sweep.beside.is_empty() {
            let beside = &mut self.sweep.beside;
            gone_ok(
                self.volume
                    .disk
                    .list_dir(&dirs.beside, &mut |e| beside.extend(CommitId::parse(&e.name)))
                    .await,
            )?;
            // Made since this life began: certainly in use or removed with its object.
            let epoch = self.mountpath().identity().epoch;
            self.sweep.beside.retain(|id| id.sequence >> 40 < epoch);
        }
        let at = self.sweep.beside.len().saturating_sub(SWEEP_PER_STEP);
        for id in self.sweep.beside.split_off(at) {
            let path = dirs.beside.join(id.to_string())?;
            if !self.is_named(&dirs, &path, id).await? {
                self.discard(&path).await;
            }
        }
        if self.sweep.beside.is_empty() {
            self.sweep.buckets.pop_front();
        }
        Ok(!self.sweep.buckets.is_empty())
    }

    /// Whether the object that the file says it belongs to names it.
    async fn is_named(&self, dirs: &BucketDirs, path: &DiskPath, id: CommitId) -> Result<bool, StoreError> {
        let Look::Here(located) = self.volume.locate_at(path.clone(), Access::Buffered).await? else {
            return Ok(true);
        };
        let Some(Ok(Record { name: Some(name), .. })) = located.record else { return Ok(false) };
        let object = self.volume.locate(dirs, &name, Access::Buffered).await?.located;
        Ok(match object.and_then(|o| o.record) {
            Some(Ok(record)) => matches!(record.blocks, Blocks::Beside { file, .. } if file == id),
            // An unreadable record may name it.
            Some(Err(_)) => true,
            None => false,
        })
    }
}

fn gone_ok(done: Result<(), DiskError>) -> Result<(), DiskError> {
    match done {
        Err(e) if e.kind == DiskErrorKind::NotFound => Ok(()),
        done => done,
    }
}
