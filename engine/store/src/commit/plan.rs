//! From a request to a step: what is there now, whether the terms hold, the new record, and where it goes.

use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use super::step::{Action, Listed, Step};
use super::{Bug, Committer};
use crate::layout::BucketDirs;
use crate::record::{RECORD_BYTES_MAX, RECORD_XATTR};
use crate::volume::{Found, Located};
use crate::work::WorkFile;
use crate::writer::Body;
use crate::{
    Access, Attrs, Blocks, Buffer as _, Change, CommitId, Committed, CustomChange, Disk, DiskError,
    DiskErrorKind, DiskPath, Durability, Etag, FlightError, Outcome, Prepared, Put, Record, Request,
    StoreError, Terms, VersionRule,
};

type Planned<F> = Result<Step<F>, StoreError>;

impl<D: Disk> Committer<D> {
    /// Plans one request; what fails here has changed nothing.
    pub(super) async fn plan(&self, request: Request<D::File>) -> Step<D::File> {
        let Request { change, now_ns, reply } = request;
        let (bucket, name) = change.key();
        let key = (bucket.clone(), name.cloned());
        let planned = match self.mountpath().refuse_poisoned() {
            Err(error) => Err(error),
            Ok(()) => self.plan_change(change, now_ns).await,
        };
        let mut step = planned.unwrap_or_else(|error| {
            let mut step = Step::new(key.0, key.1, Action::None);
            if error.is_io() {
                self.mountpath().poison(&error);
            }
            step.error = Some(error);
            step
        });
        step.reply = Some(reply);
        step
    }

    async fn plan_change(&self, change: Change<D::File>, now_ns: u64) -> Planned<D::File> {
        let durable = |d: Durability| d == Durability::Durable;
        match change {
            Change::Put(put) => self.plan_put(*put, now_ns).await,
            Change::Delete { bucket, name, terms, durability } => {
                self.plan_delete(bucket, name, &terms, durable(durability)).await
            }
            Change::Evict { bucket, name } => self.plan_delete(bucket, name, &Terms::default(), false).await,
            Change::SetCustom { bucket, name, change, terms, durability } => {
                self.plan_custom(bucket, name, change, &terms, durable(durability)).await
            }
            Change::DestroyBucket { bucket } => {
                let path = BucketDirs::of(&bucket)?.bucket;
                let mut step = Step::new(bucket, None, Action::Tree { path });
                step.listed = Listed::Gone;
                step.durable = true;
                step.removal = true;
                step.outcome = Some(Outcome::Destroyed);
                self.break_flights(&step.name.0);
                Ok(step)
            }
            Change::Settle { bucket } => {
                let mut step = Step::new(bucket, None, Action::None);
                step.outcome = Some(Outcome::Settled);
                Ok(step)
            }
            Change::CreateUpload { bucket, name, attrs, durability } => {
                self.plan_create_upload(bucket, name, attrs, durable(durability), now_ns).await
            }
            Change::PutPart { bucket, name, upload, number, prepared, etag } => {
                self.plan_part(bucket, name, &upload, number, prepared, etag, now_ns).await
            }
            Change::AbortUpload { bucket, name, upload, durability } => {
                self.plan_abort(bucket, name, &upload, durable(durability)).await
            }
            Change::ColdBegin { bucket, name } => self.plan_cold(bucket, name).await,
        }
    }

    async fn plan_put(&self, put: Put<D::File>, now_ns: u64) -> Planned<D::File> {
        let Put { bucket, name, prepared, terms, attrs, flight, upload } = put;
        if flight.as_ref().is_some_and(|lead| lead.flight().is_over()) {
            return Err(StoreError::Flight(FlightError::Abandoned));
        }
        let planned = self.plan_named(&bucket, &name, prepared, &terms, &attrs, upload, now_ns).await;
        match (planned, flight) {
            (Ok(mut step), flight) => {
                step.flight = flight;
                Ok(step)
            }
            (Err(error), Some(lead)) => {
                lead.fail((&error).into());
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of one request")]
    async fn plan_named(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        prepared: Prepared<D::File>,
        terms: &Terms,
        attrs: &Attrs,
        upload: Option<String>,
        now_ns: u64,
    ) -> Planned<D::File> {
        let dirs = BucketDirs::of(bucket)?;
        let done_upload = match &upload {
            Some(id) => {
                self.volume.upload(bucket, name, id).await?;
                Some(dirs.uploads.join(id)?)
            }
            None => None,
        };
        let Found { located, blocked } = self.volume.locate(&dirs, name, Access::Buffered).await?;
        let present = self.present(&dirs, name, located.as_ref(), !terms.is_empty()).await?;
        terms.check(bucket, name, present.as_ref())?;
        let (to, before) = self.destination(&dirs, name, located.as_ref(), blocked)?;
        let escaped = to.is_within(&dirs.named);
        let commit = self.mountpath().next_commit();
        let mut record = self.new_record(&prepared, attrs, commit, now_ns);
        record.name = escaped.then(|| name.clone());
        record.version = match attrs.version {
            VersionRule::Next => present.as_ref().map_or(0, |p| p.version).saturating_add(1),
            VersionRule::Set(version) => version,
        };
        record.created_ns = present.as_ref().map_or(record.modified_ns, |p| p.created_ns);
        record.upload = upload;
        let durable = prepared.durability == Durability::Durable;
        let (action, bytes) = self.file_action(prepared, &record, name, &dirs.beside, to, before).await?;
        let mut step = Step::new(bucket.clone(), Some(name.clone()), action);
        step.listed = Listed::Set(bytes);
        step.durable = durable;
        step.stale_beside = stale_beside(&dirs.beside, located.as_ref());
        step.uploads_more = -i8::from(done_upload.is_some());
        step.done_upload = done_upload;
        step.outcome = Some(Outcome::Committed(Committed {
            record: Arc::new(record),
            replaced_bytes: present.map(|p| p.size),
        }));
        Ok(step)
    }

    /// Where a name's new file goes: where the present one is, else under its own path unless something is in the way
    /// there; and the directories that must be durable before.
    pub(super) fn destination(
        &self,
        dirs: &BucketDirs,
        name: &ObjectName,
        located: Option<&Located<D::File>>,
        blocked: bool,
    ) -> Result<(DiskPath, Vec<DiskPath>), StoreError> {
        Ok(match (located, blocked) {
            (Some(located), _) => (located.path.clone(), Vec::new()),
            (None, false) => (dirs.plain(name).map_or_else(|| dirs.escaped(name), Ok)?, Vec::new()),
            (None, true) => (dirs.escaped(name)?, self.dirs_of_plain(dirs, name)),
        })
    }

    /// The record of bytes that are about to get a name; name and version are the caller's.
    pub(super) fn new_record(
        &self,
        prepared: &Prepared<D::File>,
        attrs: &Attrs,
        commit: CommitId,
        now_ns: u64,
    ) -> Record {
        let modified_ns = attrs.modified_ns.unwrap_or(now_ns);
        let block_bytes = prepared.block_bytes;
        let relaxed = prepared.durability == Durability::Relaxed;
        Record {
            name: None,
            size: prepared.size,
            checksums: prepared.checksums.clone(),
            version: 0,
            modified_ns,
            created_ns: modified_ns,
            custom: attrs.custom.clone(),
            content: attrs.content.clone(),
            etag: Some(attrs.etag.clone().unwrap_or(Etag::Commit(commit.sequence))),
            remote: attrs.remote.clone(),
            copies: 1,
            commit,
            spans: Vec::new(),
            blocks: match prepared.beside {
                Some(_) => Blocks::Beside { block_bytes, file: commit },
                None => Blocks::Inline { block_bytes, sums: prepared.sums.clone() },
            },
            part_runs: prepared.part_runs.clone(),
            parts_beside: prepared.parts_beside,
            upload: None,
            boot: relaxed.then_some(self.mountpath().options().boot),
        }
    }

    /// Step 1: sets the record on the work file, and on what lies beside it whose that is.
    pub(super) async fn file_action(
        &self,
        prepared: Prepared<D::File>,
        record: &Record,
        name: &ObjectName,
        beside_dir: &DiskPath,
        to: DiskPath,
        before: Vec<DiskPath>,
    ) -> Result<(Action<D::File>, Vec<u8>), StoreError> {
        let Prepared { body, beside, .. } = prepared;
        let bytes = encode(record)?;
        let work = match body {
            Body::File(work) => work,
            Body::Memory(content) => self.work_file_of(&content).await?,
        };
        if !self.has_bug(Bug::NameBeforeRecord) {
            self.set_record(&work, &bytes).await?;
        }
        let beside = match beside {
            Some(beside) => {
                let owner = Record { name: Some(name.clone()), commit: record.commit, ..Record::default() };
                self.set_record(&beside, &encode(&owner)?).await?;
                Some((beside, beside_dir.join(record.commit.to_string())?))
            }
            None => None,
        };
        Ok((Action::File { work, beside, to, before, record: bytes.clone() }, bytes))
    }

    /// A work file with this content.
    pub(super) async fn work_file_of(&self, content: &[u8]) -> Result<WorkFile<D::File>, StoreError> {
        let disk = &self.volume.disk;
        let work = WorkFile::take(disk, self.mountpath(), false).await?;
        self.write_content(work.file(), content).await?;
        Ok(work)
    }

    /// Writes a small content.
    pub(super) async fn write_content(&self, file: &D::File, content: &[u8]) -> Result<(), DiskError> {
        if content.is_empty() {
            return Ok(());
        }
        let mut buf = self.volume.disk.buffer(content.len()).await?;
        buf.set_len(content.len());
        buf.copy_from_slice(content);
        self.volume.disk.write(file, 0, buf).await.1
    }

    pub(super) async fn set_record(&self, work: &WorkFile<D::File>, bytes: &[u8]) -> Result<(), StoreError> {
        let too_large = |_: DiskError| StoreError::RecordTooLarge { got: bytes.len(), max: RECORD_BYTES_MAX };
        self.volume.disk.xattr_set(work.file(), RECORD_XATTR, bytes).await.map_err(|e| match e.kind {
            DiskErrorKind::TooLong => too_large(e),
            _ => e.into(),
        })
    }

    /// The record of the present object. `sure`: something depends on it, so a doubtful one is read and checked whole,
    /// and an unreadable one is an error.
    pub(super) async fn present(
        &self,
        dirs: &BucketDirs,
        name: &ObjectName,
        located: Option<&Located<D::File>>,
        sure: bool,
    ) -> Result<Option<Record>, StoreError> {
        let Some(located) = located else { return Ok(None) };
        if !sure {
            return Ok(located.record.clone().and_then(Result::ok));
        }
        let object = self.volume.object_of(&dirs.beside, name, located.clone()).await?;
        Ok(object.map(|object| Record::clone(object.record())))
    }

    async fn plan_delete(
        &self,
        bucket: Bucket,
        name: ObjectName,
        terms: &Terms,
        durable: bool,
    ) -> Planned<D::File> {
        let absent = || StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        let dirs = BucketDirs::of(&bucket)?;
        let located = self.volume.locate(&dirs, &name, Access::Buffered).await?.located;
        let located = located.filter(|l| l.record.is_some()).ok_or_else(absent)?;
        let present = self.present(&dirs, &name, Some(&located), !terms.is_empty()).await?;
        if !terms.is_empty() {
            terms.check(&bucket, &name, present.as_ref())?;
        }
        let path = located.path.clone();
        let escaped = path.is_within(&dirs.named);
        let until = if escaped { &dirs.named } else { &dirs.objects };
        let mut step = Step::new(bucket, Some(name), Action::Remove { path: path.clone() });
        step.listed = Listed::Gone;
        // An escaped name that came back after a power loss could meet its plain successor.
        step.durable = durable || escaped;
        step.removal = true;
        step.stale_beside = stale_beside(&dirs.beside, Some(&located));
        step.empty_below = path.parent().map(|dir| (dir, until.clone()));
        step.outcome = Some(Outcome::Deleted(present.map(Arc::new)));
        Ok(step)
    }

    async fn plan_custom(
        &self,
        bucket: Bucket,
        name: ObjectName,
        change: CustomChange,
        terms: &Terms,
        durable: bool,
    ) -> Planned<D::File> {
        let absent = || StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        let dirs = BucketDirs::of(&bucket)?;
        let located = self.volume.locate(&dirs, &name, Access::Buffered).await?.located.ok_or_else(absent)?;
        let mut record = self.present(&dirs, &name, Some(&located), true).await?.ok_or_else(absent)?;
        terms.check(&bucket, &name, Some(&record))?;
        match change {
            CustomChange::Merge(pairs) => pairs.iter().try_for_each(|(k, v)| record.custom.set(k, v))?,
            CustomChange::Replace(pairs) => record.custom = pairs,
            CustomChange::ReplaceAll(pairs, content) => (record.custom, record.content) = (pairs, content),
        }
        record.commit = self.mountpath().next_commit();
        if record.boot.is_some_and(|boot| boot != self.mountpath().options().boot) {
            // It was checked just now, and its bytes stay.
            self.mountpath().note_verified(record.commit);
        }
        let bytes = encode(&record)?;
        let mut step =
            Step::new(bucket, Some(name), Action::Record { file: located.file, record: bytes.clone() });
        step.listed = Listed::Set(bytes);
        step.durable = durable;
        let replaced_bytes = Some(record.size);
        step.outcome = Some(Outcome::Committed(Committed { record: Arc::new(record), replaced_bytes }));
        Ok(step)
    }

    async fn plan_cold(&self, bucket: Bucket, name: ObjectName) -> Planned<D::File> {
        let present = match self.volume.open(&bucket, &name).await {
            Ok(object) => Some(object.record().clone()),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error),
        };
        let action = if present.is_some() { Action::None } else { Action::Cold };
        let mut step = Step::new(bucket, Some(name), action);
        step.outcome = present.map(Outcome::Present);
        Ok(step)
    }

    /// The directories in which a name's plain file could come back after a power loss.
    pub(super) fn dirs_of_plain(&self, dirs: &BucketDirs, name: &ObjectName) -> Vec<DiskPath> {
        let mut out = Vec::new();
        let mut dir = dirs.plain(name).and_then(|path| path.parent());
        while let Some(here) = dir.filter(|d| d.is_within(&dirs.objects)) {
            dir = here.parent();
            out.push(here);
        }
        out
    }
}

pub(super) fn encode(record: &Record) -> Result<Vec<u8>, StoreError> {
    let bytes = record.encode();
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(StoreError::RecordTooLarge { got: bytes.len(), max: RECORD_BYTES_MAX });
    }
    Ok(bytes)
}

/// The file beside a located object.
pub(super) fn stale_beside<F>(dir: &DiskPath, located: Option<&Located<F>>) -> Option<DiskPath> {
    match located?.record.as_ref()?.as_ref().ok()?.blocks {
        Blocks::Beside { file, .. } => dir.join(file.to_string()).ok(),
        Blocks::Inline { .. } => None,
    }
}
