//! Directories: made on the way, synced once a round, removed when empty.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use weir_types::Bucket;

use super::{Bug, Committer};
use crate::layout::BucketDirs;
use crate::{Disk, DiskError, DiskErrorKind, DiskPath, StoreError, work};

/// Directories remembered as durable; when full, all are forgotten and synced again on use.
const KNOWN_DIRS_MAX: usize = 65_536;

/// Directories that must be synced, and what is durable once they are.
#[derive(Default)]
pub(super) struct ToSync {
    dirs: BTreeSet<DiskPath>,
    /// Synced where they exist.
    maybe: BTreeSet<DiskPath>,
    becoming_known: Vec<DiskPath>,
}

impl ToSync {
    pub(super) fn add_if_there(&mut self, dir: DiskPath) {
        self.maybe.insert(dir);
    }
}

impl<D: Disk> Committer<D> {
    /// Adds the directory of `path`, and the parent of every directory above whose own entry may not be durable.
    pub(super) fn add_parents(&self, to: &mut ToSync, path: &DiskPath) {
        let Some(dir) = path.parent() else { return };
        to.dirs.insert(dir.clone());
        let mut above = Some(dir);
        while let Some(dir) = above {
            above = dir.parent();
            if let Some(parent) = &above
                && !self.known_dirs.contains(&dir)
                && !self.has_bug(Bug::NoParentSync)
            {
                to.dirs.insert(parent.clone());
                to.becoming_known.push(dir);
            }
        }
    }

    /// Syncs them all at once. After a failure nothing is known, and the mountpath takes no more changes.
    pub(super) async fn sync_dirs(&mut self, to: ToSync) -> Result<(), StoreError> {
        let disk = &self.volume.disk;
        let must = to.dirs.iter().map(|dir| (dir, true));
        let may = to.maybe.iter().filter(|dir| !to.dirs.contains(*dir)).map(|dir| (dir, false));
        let syncs = must.chain(may).map(|(dir, must)| async move {
            use DiskErrorKind as K;
            match disk.sync_dir(dir).await {
                Err(e) if !must && matches!(e.kind, K::NotFound | K::NotDirectory | K::TooLong) => Ok(()),
                done => done,
            }
        });
        let done: Result<(), DiskError> = join_all(syncs).await.into_iter().collect();
        if let Err(error) = done {
            // Not `NoSpace`: that promises that nothing of the change is kept.
            let error = StoreError::Disk(error);
            self.mountpath().poison(&error);
            return Err(error);
        }
        if self.known_dirs.len() + to.becoming_known.len() > KNOWN_DIRS_MAX {
            self.known_dirs.clear();
        }
        self.known_dirs.extend(to.becoming_known);
        Ok(())
    }

    /// Renames, making the directories above `to` when they are missing.
    pub(super) async fn rename_making_dirs(
        &mut self,
        bucket: &Bucket,
        from: &DiskPath,
        to: &DiskPath,
    ) -> Result<(), DiskError> {
        match self.volume.disk.rename(from, to).await {
            Err(e) if e.kind == DiskErrorKind::NotFound => {}
            done => return done,
        }
        self.make_dirs_above(bucket, to).await?;
        self.volume.disk.rename(from, to).await
    }

    /// Makes the directories above a path of a bucket that are missing.
    pub(super) async fn make_dirs_above(&mut self, bucket: &Bucket, to: &DiskPath) -> Result<(), DiskError> {
        let mut missing = Vec::new();
        let mut above = to.parent();
        while let Some(dir) = above.filter(|dir| !dir.is_root()) {
            above = dir.parent();
            missing.push(dir);
        }
        for dir in missing.into_iter().rev() {
            match self.volume.disk.mkdir(&dir).await {
                Ok(()) => {
                    self.known_dirs.remove(&dir);
                    if BucketDirs::of(bucket).is_ok_and(|dirs| dirs.bucket == dir) {
                        self.mountpath().index.begin(bucket);
                    }
                }
                Err(e) if e.kind == DiskErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Removes empty directories from `from` upwards, up to but not including `until`. Not synced: an empty directory
    /// that comes back after a power loss holds nothing.
    pub(super) async fn remove_empty(&mut self, from: DiskPath, until: &DiskPath) {
        let mut dir = from;
        while dir != *until && dir.is_within(until) && self.mountpath().poisoned().is_none() {
            match self.volume.disk.rmdir(&dir).await {
                Ok(()) => {}
                Err(e) if e.kind == DiskErrorKind::NotFound => {}
                Err(e) => return self.note_leftover(e),
            }
            self.known_dirs.remove(&dir);
            let Some(parent) = dir.parent() else { return };
            dir = parent;
        }
    }

    /// Moves a directory into `%wk/`, where it is removed at leisure.
    pub(super) async fn doom(&mut self, dir: &DiskPath) -> Result<(), DiskError> {
        let to = work::name(self.mountpath());
        self.volume.disk.rename(dir, &to).await?;
        self.known_dirs.retain(|known| !known.is_within(dir));
        self.doomed.push(to);
        Ok(())
    }

    /// Removes a file that is of no use any more; what stays is found by the sweep.
    pub(super) async fn discard(&mut self, path: &DiskPath) {
        if self.mountpath().poisoned().is_some() {
            return;
        }
        match self.volume.disk.unlink(path).await {
            Err(e) if e.kind != DiskErrorKind::NotFound => self.note_leftover(e),
            _ => {}
        }
    }

    /// A failed removal harms nothing but space, unless the disk itself fails.
    pub(super) fn note_leftover(&self, error: DiskError) {
        let error = StoreError::from(error);
        if error.is_io() {
            self.mountpath().poison(&error);
        }
    }
}
