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
    StoreError, Terms, Together,
};

type Planned<F> = Result<Step<F>, StoreError>;

impl<D: Disk> Committer<D> {
    /// Plans one request; what fails here has changed nothing.
    pub(super) async fn plan(&self, request: Request<D::File>) -> Step<D::File> {
        let Request { change, together, now_ns, reply } = request;
        let (bucket, name) = change.key();
        let key = (bucket.clone(), name.cloned());
        let planned = match self.mountpath().refuse_poisoned() {
            Err(error) => Err(error),
            Ok(()) => self.plan_change(change, together, now_ns).await,
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

    async fn plan_change(
        &self,
        change: Change<D::File>,
        together: Option<Together>,
        now_ns: u64,
    ) -> Planned<D::File> {
        let durable = |d: Durability| d == Durability::Durable;
        match change {
            Change::Put(put) => self.plan_put(*put, together, now_ns).await,
            Change::Adopt { damaged, bucket, name, prepared, record } => {
                self.plan_adopt(bucket, name, prepared, *record, damaged).await
            }
            Change::Delete { bucket, name, terms, durability } => {
                self.plan_delete(bucket, name, &terms, durable(durability), together.is_some()).await
            }
            Change::Evict { bucket, name } => {
                self.plan_delete(bucket, name, &Terms::default(), false, true).await
            }
            Change::Release { bucket, name, commit, .. } => {
                let terms = Terms { if_commit: Some(commit), ..Terms::default() };
                self.plan_delete(bucket, name, &terms, true, together.is_some()).await
            }
            Change::SetCustom { bucket, name, change, terms, durability } => {
                self.plan_custom(bucket, name, change, &terms, durable(durability), together).await
            }
            Change::SetCopies { bucket, name, commit, copies } => {
                self.plan_copies(bucket, name, commit, copies).await
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
                self.plan_create_upload(bucket, name, attrs, None, durable(durability), now_ns).await
            }
            Change::AdoptUpload { bucket, name, upload, attrs } => {
                self.plan_create_upload(bucket, name, attrs, Some(upload), true, now_ns).await
            }
            Change::PutPart { bucket, name, upload, number, prepared, etag } => {
                self.plan_part(bucket, name, &upload, number, prepared, etag, now_ns).await
            }
            Change::AbortUpload { bucket, name, upload, durability } => {
                self.plan_abort(bucket, name, &upload, durable(durability)).await
            }
            Change::DropUpload { bucket, name, upload, .. } => {
                self.plan_abort(bucket, name, &upload, true).await
            }
            Change::ColdBegin { bucket, name } => self.plan_cold(bucket, name).await,
        }
    }

    async fn plan_put(&self, put: Put<D::File>, together: Option<Together>, now_ns: u64) -> Planned<D::File> {
        let Put { bucket, name, prepared, terms, attrs, flight, upload } = put;
        if flight.as_ref().is_some_and(|lead| lead.flight().is_over()) {
            return Err(StoreError::Flight(FlightError::Abandoned));
        }
        let planned =
            self.plan_named(&bucket, &name, prepared, &terms, &attrs, upload, together, now_ns).await;
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
        together: Option<Together>,
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
        let sure = !terms.is_empty() || attrs.moved.is_some();
        let present = self.present(&dirs, name, located.as_ref(), sure).await?;
        if together.is_none() && present.as_ref().is_some_and(|p| p.copies > 1) {
            let (bucket, name, terms, attrs) = (bucket.clone(), name.clone(), terms.clone(), attrs.clone());
            let put = Put { bucket, name, prepared, terms, attrs, flight: None, upload };
            return Ok(has_copies(Change::Put(Box::new(put))));
        }
        terms.check(bucket, name, present.as_ref())?;
        attrs.refuse_outdated(name, present.as_ref())?;
        let (to, before) = self.destination(&dirs, name, located.as_ref(), blocked)?;
        let escaped = to.is_within(&dirs.named);
        let commit = self.commit_of(attrs, together);
        let mut record = self.new_record(&prepared, attrs, commit, now_ns);
        record.copies = together.map_or(1, |all| all.copies);
        record.name = escaped.then(|| name.clone());
        record.version = attrs.version.after(present.as_ref());
        record.created_ns = created_ns(attrs, together, present.as_ref(), &record);
        record.upload = upload;
        let durable = prepared.durability == Durability::Durable;
        let action = self.file_action(prepared, &record, name, &dirs.beside, to, before).await?;
        let mut step = Step::new(bucket.clone(), Some(name.clone()), action);
        let record = Arc::new(record);
        step.listed = Listed::Set(record.clone());
        step.durable = durable;
        step.stale_beside = stale_beside(&dirs.beside, located.as_ref());
        step.uploads_more = -i8::from(done_upload.is_some());
        step.done_upload = done_upload;
        step.outcome =
            Some(Outcome::Committed(Committed { record, replaced_bytes: present.map(|p| p.size) }));
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

    /// The ID for the commit of a PUT.
    pub(super) fn commit_of(&self, attrs: &Attrs, together: Option<Together>) -> CommitId {
        match together {
            // What has moved keeps its own; what lies beside it is named by one of this node.
            Some(all) if attrs.moved.is_none() => all.commit,
            _ => self.mountpath().next_commit(),
        }
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
            commit: attrs.moved.map_or(commit, |moved| moved.commit),
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
    ) -> Result<Action<D::File>, StoreError> {
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
                // Of the change that brought the content here: what has moved has its commit of elsewhere.
                let commit = match record.blocks {
                    Blocks::Beside { file, .. } => file,
                    Blocks::Inline { .. } => record.commit,
                };
                let owner = Record { name: Some(name.clone()), commit, ..Record::default() };
                self.set_record(&beside, &encode(&owner)?).await?;
                Some((beside, beside_dir.join(commit.to_string())?))
            }
            None => None,
        };
        Ok(Action::File { work, beside, to, before, record: bytes })
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
        with_copies: bool,
    ) -> Planned<D::File> {
        let absent = || StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        let dirs = BucketDirs::of(&bucket)?;
        let located = self.volume.locate(&dirs, &name, Access::Buffered).await?.located;
        if located.is_none() {
            self.mountpath().note_absent(&bucket, &name);
        }
        let located = located.filter(|l| l.record.is_some()).ok_or_else(absent)?;
        let present = self.present(&dirs, &name, Some(&located), !terms.is_empty()).await?;
        // Who removes what is of a certain commit moves names, and knows of the copies.
        let alone = !with_copies && terms.if_commit.is_none();
        if alone && present.as_ref().is_some_and(|p| p.copies > 1) {
            let durability = if durable { Durability::Durable } else { Durability::Relaxed };
            let terms = terms.clone();
            return Ok(has_copies(Change::Delete { bucket, name, terms, durability }));
        }
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
        together: Option<Together>,
    ) -> Planned<D::File> {
        let (file, mut record) = self.present_file(&bucket, &name).await?;
        if together.is_none() && record.copies > 1 {
            let durability = if durable { Durability::Durable } else { Durability::Relaxed };
            let terms = terms.clone();
            return Ok(has_copies(Change::SetCustom { bucket, name, change, terms, durability }));
        }
        terms.check(&bucket, &name, Some(&record))?;
        match change {
            CustomChange::Merge(pairs) => pairs.iter().try_for_each(|(k, v)| record.custom.set(k, v))?,
            CustomChange::Replace(pairs) => record.custom = pairs,
            CustomChange::ReplaceAll(pairs, content) => (record.custom, record.content) = (pairs, content),
        }
        record.commit = together.map_or_else(|| self.mountpath().next_commit(), |all| all.commit);
        if let Some(all) = together {
            record.copies = all.copies;
        }
        if record.boot.is_some_and(|boot| boot != self.mountpath().options().boot) {
            // It was checked just now, and its bytes stay.
            self.mountpath().note_verified(record.commit);
        }
        new_record_of(bucket, name, file, record, durable)
    }

    async fn plan_copies(
        &self,
        bucket: Bucket,
        name: ObjectName,
        commit: CommitId,
        copies: u8,
    ) -> Planned<D::File> {
        let (file, mut record) = self.present_file(&bucket, &name).await?;
        Terms { if_commit: Some(commit), ..Terms::default() }.check(&bucket, &name, Some(&record))?;
        record.copies = copies;
        new_record_of(bucket, name, file, record, true)
    }

    /// The file and the record of an object that is certainly there.
    async fn present_file(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
    ) -> Result<(D::File, Record), StoreError> {
        let absent = || StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        let dirs = BucketDirs::of(bucket)?;
        let located = self.volume.locate(&dirs, name, Access::Buffered).await?.located.ok_or_else(absent)?;
        let record = self.present(&dirs, name, Some(&located), true).await?.ok_or_else(absent)?;
        Ok((located.file, record))
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

/// The step that gives an object's file another record; its bytes stay.
fn new_record_of<F>(bucket: Bucket, name: ObjectName, file: F, record: Record, durable: bool) -> Planned<F> {
    let bytes = encode(&record)?;
    let mut step = Step::new(bucket, Some(name), Action::Record { file, record: bytes });
    let (replaced_bytes, record) = (Some(record.size), Arc::new(record));
    step.listed = Listed::Set(record.clone());
    step.durable = durable;
    step.outcome = Some(Outcome::Committed(Committed { record, replaced_bytes }));
    Ok(step)
}

/// The answer to a change of one copy that all copies are to have.
fn has_copies<F>(change: Change<F>) -> Step<F> {
    let (bucket, name) = change.key();
    let mut step = Step::new(bucket.clone(), name.cloned(), Action::None);
    step.outcome = Some(Outcome::HasCopies(Box::new(change)));
    step
}

/// When the first version of an object was made.
pub(super) fn created_ns(
    attrs: &Attrs,
    together: Option<Together>,
    present: Option<&Record>,
    record: &Record,
) -> u64 {
    let kept = together.map(|all| all.created_ns).or(attrs.moved.map(|moved| moved.created_ns));
    kept.or_else(|| present.map(|p| p.created_ns)).unwrap_or(record.modified_ns)
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
