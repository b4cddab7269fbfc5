//! Filing: what is in the journal becomes plain files.
//!
//! Nothing here is durable by itself and nothing needs to be: until the whole file system was synced, a crash finds
//! the change in the journal and files it again. So a new name is made under its final path at once (its record last:
//! a file without one is no object); only what readers may have open is replaced by a rename.

use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use super::plan::{encode, stale_beside};
use super::{Bug, Committer, dirs};
use crate::journal::{Backlog, Entry, Key, Kind, OnDisk, entry_bytes};
use crate::layout::BucketDirs;
use crate::record::RECORD_XATTR;
use crate::{
    Access, Change, CommitId, Disk, DiskError, DiskErrorKind, DiskPath, Record, Request, StoreError, Unfiled,
};

/// Names filed before others have a turn.
pub(super) const FILED_AT_ONCE: usize = 16;
/// Names filed after a batch that made as many unfiled, at least, while some are due.
const FILED_AFTER_BATCH_MIN: usize = 16;

impl<D: Disk> Committer<D> {
    /// Files up to `max` of the names that have waited longest, and begins to empty a segment that is no longer
    /// needed. Whether more can be filed now.
    pub async fn file_some(&mut self, max: usize) -> bool {
        for _ in 0..max {
            if self.mountpath().poisoned().is_some() {
                return false;
            }
            let Some(journal) = &mut self.journal else { return false };
            let Some((key, on_disk)) = journal.backlog.next() else { break };
            let Err(error) = self.file_waiting(&key, on_disk).await else { continue };
            // It stays acknowledged, and in the journal, which is not emptied before it is filed.
            self.stick(key);
            match error {
                StoreError::NoSpace(_) => {}
                StoreError::Disk(e) if e.kind == DiskErrorKind::Busy => {}
                error => {
                    self.mountpath().poison(&error);
                    return false;
                }
            }
        }
        self.step_emptying().await;
        self.journal.as_ref().is_some_and(|j| j.backlog.waiting() > 0)
    }

    /// After a batch: files what is due, and as much as keeps the memory of unfiled names bounded.
    pub(super) async fn file_after_batch(&mut self, batch: usize) {
        let Some(journal) = &self.journal else { return };
        let names = match (journal.is_pressed(), journal.is_late()) {
            // Faster than changes come, so that the segment is empty when it is needed.
            (true, _) => (2 * batch).max(FILED_AFTER_BATCH_MIN),
            (false, true) => batch,
            (false, false) => 0,
        };
        self.file_some(names).await;
    }

    /// Files up to `max` names if some are due. Whether more are.
    pub async fn file_late(&mut self, max: usize) -> bool {
        let late = |this: &Self| this.journal.as_ref().is_some_and(|j| j.is_late());
        late(self) && self.file_some(max).await && late(self)
    }

    /// Half a second or so has passed: what waited at the last tick is due now, for [`file_late`](Self::file_late).
    /// Returns whether there is anything left that time must bring on.
    pub async fn tick(&mut self) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        journal.tick();
        self.step_emptying().await;
        self.mountpath().poisoned().is_none() && self.journal.as_ref().is_some_and(|j| !j.is_settled())
    }

    /// Whether names wait for their files.
    pub fn has_unfiled(&self) -> bool {
        self.mountpath().poisoned().is_none()
            && self.journal.as_ref().is_some_and(|j| j.backlog.waiting() > 0)
    }

    /// A clean stop: files everything and empties the journal.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        while self.file_some(FILED_AT_ONCE).await {}
        self.mountpath().refuse_poisoned()?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if !journal.backlog.is_empty() {
            // The journal keeps what found no room.
            return Ok(());
        }
        let closed = journal.close().await.map_err(StoreError::from);
        if let Err(error) = &closed {
            self.poison_if_io(error);
        }
        closed
    }

    async fn step_emptying(&mut self) {
        if self.mountpath().poisoned().is_some() {
            return;
        }
        let Some(journal) = &mut self.journal else { return };
        journal.begin_emptying();
        let ended = journal.poll_emptying().await;
        let _ = self.note_emptied(ended);
    }

    /// Passes on how the emptying of a segment ended; after a failed sync the mountpath takes no more changes.
    pub(super) fn note_emptied(&self, ended: Result<bool, DiskError>) -> Result<bool, StoreError> {
        ended.map_err(|error| {
            let error = StoreError::from(error);
            self.poison_if_io(&error);
            error
        })
    }

    fn stick(&mut self, key: Arc<Key>) {
        if let Some(journal) = &mut self.journal {
            journal.backlog.stick(key);
        }
    }

    fn backlog(&mut self) -> Option<&mut Backlog> {
        self.journal.as_mut().map(|j| &mut j.backlog)
    }

    /// Files a name's acknowledged state; then readers find it on the disk.
    async fn file_waiting(&mut self, key: &Key, on_disk: OnDisk) -> Result<(), StoreError> {
        let mountpath = self.mountpath().clone();
        let (bucket, name) = key;
        let Some(state) = mountpath.acknowledged().find(bucket, name) else {
            if let Some(backlog) = self.backlog() {
                backlog.leave(key);
            }
            return Ok(());
        };
        self.file_state(key, &state, on_disk).await?;
        mountpath.index.set(bucket, name, state.listed());
        mountpath.acknowledged().remove(bucket, name);
        if let Some(backlog) = self.backlog() {
            backlog.leave(key);
        }
        Ok(())
    }

    async fn file_state(&mut self, key: &Key, state: &Unfiled, on_disk: OnDisk) -> Result<(), StoreError> {
        match (state, on_disk) {
            (Unfiled::Deleted, OnDisk::Absent) => Ok(()),
            (Unfiled::Deleted, OnDisk::At { path, beside }) => self.remove_filed(key, &path, beside).await,
            (Unfiled::Put { record, content }, OnDisk::At { path, beside }) => {
                self.replace_filed(key, record, content, &path, beside).await
            }
            (Unfiled::Put { record, content }, OnDisk::Absent)
                if self.create_filed(key, record, content).await? =>
            {
                Ok(())
            }
            (Unfiled::Put { record, .. }, OnDisk::Absent) => {
                self.file_located(key, state, record.commit).await
            }
        }
    }

    /// Files a state wherever the disk has the name, if what it has there is not of a greater commit.
    pub(super) async fn file_located(
        &mut self,
        key: &Key,
        state: &Unfiled,
        commit: CommitId,
    ) -> Result<(), StoreError> {
        let (bucket, name) = key;
        let dirs = BucketDirs::of(bucket)?;
        let found = self.volume.locate(&dirs, name, Access::Buffered).await?;
        let located = found.located;
        if let Some(Some(Ok(present))) = located.as_ref().map(|l| &l.record)
            && present.commit > commit
        {
            return Ok(());
        }
        let beside = stale_beside(&dirs.beside, located.as_ref());
        match (state, &located) {
            (Unfiled::Deleted, None) => Ok(()),
            (Unfiled::Deleted, Some(located)) => {
                let path = located.path.clone();
                self.remove_filed(key, &path, beside).await
            }
            (Unfiled::Put { record, content }, _) => {
                let (to, before) = self.destination(&dirs, name, located.as_ref(), found.blocked)?;
                if !before.is_empty() && !self.has_bug(Bug::NoSyncBeforeEscape) {
                    let mut sync = dirs::ToSync::default();
                    before.into_iter().for_each(|dir| sync.add_if_there(dir));
                    self.sync_dirs(sync).await?;
                }
                self.replace_filed(key, record, content, &to, beside).await
            }
        }
    }

    /// Makes a new name's file under its own path; `false`: something is in the way.
    async fn create_filed(&mut self, key: &Key, record: &Record, content: &[u8]) -> Result<bool, StoreError> {
        let Some(path) = BucketDirs::of(&key.0)?.plain(&key.1) else { return Ok(false) };
        let made = match self.volume.disk.create(&path, false).await {
            Err(e) if e.kind == DiskErrorKind::NotFound => match self.make_dirs_above(&key.0, &path).await {
                Ok(()) => self.volume.disk.create(&path, false).await,
                Err(e) => Err(e),
            },
            made => made,
        };
        use DiskErrorKind as K;
        let file = match made {
            Ok(file) => file,
            Err(e) if matches!(e.kind, K::AlreadyExists | K::IsDirectory | K::NotDirectory | K::TooLong) => {
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        };
        let bytes = encode(record)?;
        let filled = async {
            self.write_content(&file, content).await?;
            self.volume.disk.xattr_set(&file, RECORD_XATTR, &bytes).await
        };
        if let Err(error) = filled.await {
            self.discard(&path).await;
            return Err(error.into());
        }
        Ok(true)
    }

    /// Puts a file in place of the one at `to`, or makes it there.
    async fn replace_filed(
        &mut self,
        key: &Key,
        record: &Record,
        content: &[u8],
        to: &DiskPath,
        beside: Option<DiskPath>,
    ) -> Result<(), StoreError> {
        let bytes = if to.is_within(&BucketDirs::of(&key.0)?.named) {
            encode(&Record { name: Some(key.1.clone()), ..record.clone() })?
        } else {
            encode(record)?
        };
        let work = self.work_file_of(content).await?;
        self.set_record(&work, &bytes).await?;
        self.rename_making_dirs(&key.0, work.path(), to).await?;
        work.named();
        if let Some(beside) = beside {
            self.discard(&beside).await;
        }
        Ok(())
    }

    async fn remove_filed(
        &mut self,
        key: &Key,
        path: &DiskPath,
        beside: Option<DiskPath>,
    ) -> Result<(), StoreError> {
        let dirs = BucketDirs::of(&key.0)?;
        match self.volume.disk.unlink(path).await {
            Err(e) if e.kind != DiskErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        let Some(dir) = path.parent() else { return Ok(()) };
        let escaped = path.is_within(&dirs.named);
        if escaped {
            // Were it to come back, it could meet its plain successor.
            let mut sync = dirs::ToSync::default();
            sync.add_if_there(dir.clone());
            self.sync_dirs(sync).await?;
        }
        if let Some(beside) = beside {
            self.discard(&beside).await;
        }
        let until = if escaped { dirs.named } else { dirs.objects };
        self.remove_empty(dir, &until).await;
        Ok(())
    }

    /// What must be before a change that takes the way of large ones: its name leaves the journal, and for a bucket
    /// that goes there is room for a word of it.
    pub(super) async fn settle(&mut self, request: &Request<D::File>) -> Result<(), StoreError> {
        if self.journal.is_none() || self.mountpath().poisoned().is_some() {
            return Ok(());
        }
        match &request.change {
            Change::Put(put) => self.leave_journal(&(put.bucket.clone(), put.name.clone())).await,
            Change::SetCustom { bucket, name, .. }
            | Change::SetCopies { bucket, name, .. }
            | Change::Adopt { bucket, name, .. } => self.leave_journal(&(bucket.clone(), name.clone())).await,
            Change::DestroyBucket { bucket } => self.make_room(entry_bytes(bucket, 0, 0, 0)).await,
            _ => Ok(()),
        }
    }

    /// A name's state becomes its file's alone: filed, durable, and void in the journal. Were an entry to count after
    /// the file was changed by another way, a crash in a later relaxed change could bring it back.
    async fn leave_journal(&mut self, key: &Key) -> Result<(), StoreError> {
        let Some(journal) = &self.journal else { return Ok(()) };
        if !journal.is_live(key) {
            return Ok(());
        }
        if let Some(on_disk) = journal.backlog.on_disk(key) {
            let filed = self.file_waiting(key, on_disk).await;
            if let Err(error) = &filed {
                self.poison_if_io(error);
            }
            filed?;
        }
        if self.has_bug(Bug::OtherWayBeforeDurable) {
            return Ok(());
        }
        self.make_durable(key).await?;
        self.append_mark(Kind::Void, &key.0, Some(&key.1)).await?;
        if let Some(journal) = &mut self.journal {
            journal.note_void(key);
        }
        Ok(())
    }

    /// Makes what the disk holds of a name durable: its file and its directories, or that it is absent.
    async fn make_durable(&mut self, key: &Key) -> Result<(), StoreError> {
        let (bucket, name) = key;
        let dirs = BucketDirs::of(bucket)?;
        let mut sync = dirs::ToSync::default();
        match self.volume.locate(&dirs, name, Access::Buffered).await?.located {
            None => self.dirs_of_plain(&dirs, name).into_iter().for_each(|dir| sync.add_if_there(dir)),
            Some(located) => {
                if let Err(error) = self.volume.disk.sync(&located.file).await {
                    let error = StoreError::Disk(error);
                    self.mountpath().poison(&error);
                    return Err(error);
                }
                self.add_parents(&mut sync, &located.path);
            }
        }
        self.sync_dirs(sync).await
    }

    /// Appends an entry without content, durably.
    async fn append_mark(
        &mut self,
        kind: Kind,
        bucket: &Bucket,
        name: Option<&ObjectName>,
    ) -> Result<(), StoreError> {
        self.make_room(entry_bytes(bucket, name.map_or(0, |n| n.as_str().len()), 0, 0)).await?;
        let commit = self.mountpath().next_commit();
        let entry = Entry { kind, durable: true, commit, bucket, name, record: &[], content: &[] };
        self.append_entries(&[entry], true).await
    }

    /// A bucket's directory is gone: nothing of it is filed any more, nor read from memory, and its entries are void
    /// before that is answered.
    pub(super) async fn forget_unfiled(&mut self, bucket: &Bucket) -> Result<(), StoreError> {
        if let Some(backlog) = self.backlog() {
            backlog.leave_bucket(bucket);
        }
        self.mountpath().acknowledged().remove_bucket(bucket);
        let live = self.journal.as_ref().is_some_and(|j| j.has_live());
        if live && !self.has_bug(Bug::NoTombstone) {
            self.append_mark(Kind::Destroy, bucket, None).await?;
        }
        Ok(())
    }
}
