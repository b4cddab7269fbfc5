//! Small changes: durable in the journal, visible in memory, answered; their files follow ([`super::filing`]).
//!
//! | step | call | afterwards durable | dying here leaves |
//! |---|---|---|---|
//! | 1 | planned against what is acknowledged, else the disk | - | old state |
//! | 2 | one write to the journal for the group | - | old state, or (a whole batch landed) the new one |
//! | 3 | the journal synced, if one of the group is durable | the new state | new state, found again by recovery |
//! | 4 | put among the acknowledged: visible | | new state |
//! | 5 | answer | | new state |

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_types::limits::{JOURNAL_ATTRS_BYTES_MAX, JOURNAL_UNFILED_BYTES_MAX};

use super::filing::FILED_AT_ONCE;
use super::plan::{created_ns, encode, stale_beside};
use super::{Bug, Committer};
use crate::generation::Slot;
use crate::journal::{AppendError, Entry, Key, Kind, OnDisk, entry_bytes};
use crate::layout::BucketDirs;
use crate::writer::Body;
use crate::{
    Access, Attrs, Change, CommitId, Committed, Disk, DiskError, DiskErrorKind, Durability, Etag, Outcome,
    Put, Record, Reply, Request, StoreError, Terms, Together, Unfiled,
};

/// Bytes that a record has at most beside what a client gave with its object.
const RECORD_OWN_BYTES_MAX: usize = 512;
/// What a name costs in memory beside its bytes while it is unfiled.
const UNFILED_OVERHEAD_BYTES: usize = 512;

/// A change on its way through the journal.
struct Planned<F> {
    key: Arc<Key>,
    slot: Slot,
    durable: bool,
    /// `None`: the name goes.
    record: Option<Arc<Record>>,
    encoded: Vec<u8>,
    content: Option<Arc<[u8]>>,
    commit: CommitId,
    on_disk: OnDisk,
    outcome: Option<Result<Outcome<F>, StoreError>>,
    reply: Option<Reply<F>>,
}

/// Why a change does not go through the journal; nothing was changed.
enum Refusal<F> {
    Error(StoreError),
    /// All copies of the object change together.
    HasCopies(Box<Change<F>>),
}

impl<F> From<StoreError> for Refusal<F> {
    fn from(error: StoreError) -> Self {
        Self::Error(error)
    }
}

/// What a name is before a change.
struct Before {
    exists: bool,
    /// Where it can be read.
    record: Option<Arc<Record>>,
    on_disk: OnDisk,
}

impl<D: Disk> Committer<D> {
    /// Whether a change goes through the journal.
    pub(super) fn is_journaled(&self, change: &Change<D::File>) -> bool {
        if self.journal.is_none() {
            return false;
        }
        match change {
            Change::Put(put) => {
                let in_memory = matches!(put.prepared.body, Body::Memory(_));
                let plain = put.flight.is_none() && put.upload.is_none();
                in_memory
                    && plain
                    && put.name.as_str().len() + attrs_bytes(&put.attrs) <= JOURNAL_ATTRS_BYTES_MAX
            }
            Change::Delete { .. } | Change::Evict { .. } | Change::Release { .. } => true,
            _ => false,
        }
    }

    /// Carries out changes through the journal, in order, as many at a time as one batch of it holds.
    pub(super) async fn execute_journaled(&mut self, requests: Vec<Request<D::File>>) {
        let Some(most) = self.journal.as_ref().map(|j| j.batch_max()) else { return };
        let mut group = Vec::with_capacity(requests.len());
        let mut bytes = 0;
        for request in requests {
            let more = bytes_of(&request.change);
            if bytes + more > most && !group.is_empty() {
                self.journal_group(std::mem::take(&mut group), bytes).await;
                bytes = 0;
            }
            bytes += more;
            group.push(request);
        }
        self.journal_group(group, bytes).await;
    }

    async fn journal_group(&mut self, group: Vec<Request<D::File>>, bytes: usize) {
        // Before anything is planned: making room files names, and so changes what the disk holds of them.
        if let Err(error) = self.make_room(bytes).await {
            return group.into_iter().for_each(|r| (r.reply)(Err(error.clone())));
        }
        let mut planned: Vec<Planned<D::File>> = Vec::with_capacity(group.len());
        let mut refused = Vec::new();
        for Request { change, together, now_ns, reply } in group {
            match self.plan_journaled(change, together, now_ns, &planned).await {
                Ok(plan) => planned.push(Planned { reply: Some(reply), ..plan }),
                Err(Refusal::Error(error)) => {
                    self.poison_if_io(&error);
                    refused.push((reply, error));
                }
                // It goes on elsewhere, and comes again.
                Err(Refusal::HasCopies(change)) => reply(Ok(Outcome::HasCopies(change))),
            }
        }
        // What an earlier change of the group was the reason to refuse is told when that one can be seen.
        match self.append(&planned).await {
            Ok(()) => {
                self.publish(planned);
                refused.into_iter().for_each(|(reply, error)| reply(Err(error)));
            }
            Err(error) => {
                let replies = planned.into_iter().filter_map(|p| p.reply);
                replies.chain(refused.into_iter().map(|(r, _)| r)).for_each(|r| r(Err(error.clone())));
            }
        }
    }

    /// Steps 2 and 3.
    async fn append(&mut self, planned: &[Planned<D::File>]) -> Result<(), StoreError> {
        let skip_deletes = self.has_bug(Bug::NoTombstone);
        let entries: Vec<Entry<'_>> = planned
            .iter()
            .filter(|p| p.record.is_some() || !skip_deletes)
            .map(|p| Entry {
                kind: if p.record.is_some() { Kind::Put } else { Kind::Delete },
                durable: p.durable,
                commit: p.commit,
                bucket: &p.key.0,
                name: Some(&p.key.1),
                record: &p.encoded,
                content: p.content.as_deref().unwrap_or_default(),
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let sync = planned.iter().any(|p| p.durable);
        self.append_entries(&entries, sync).await
    }

    pub(super) async fn append_entries(
        &mut self,
        entries: &[Entry<'_>],
        sync: bool,
    ) -> Result<(), StoreError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        let error = match journal.append(entries, sync).await {
            Ok(()) => return Ok(()),
            // Not `NoSpace`: that promises that nothing of the change is kept.
            Err(AppendError::Write(error)) => StoreError::Disk(error),
            Err(AppendError::Sync(error)) => {
                // Written, and nobody knows whether durable: no later success may cover it up.
                let error = StoreError::Disk(error);
                self.mountpath().poison(&error);
                error
            }
        };
        self.poison_if_io(&error);
        Err(error)
    }

    /// Steps 4 and 5.
    fn publish(&mut self, planned: Vec<Planned<D::File>>) {
        let mountpath = self.mountpath().clone();
        let slots: HashSet<Slot> = planned.iter().map(|p| p.slot).collect();
        let late = self.has_bug(Bug::BumpAfterRename);
        if !late {
            slots.iter().for_each(|slot| mountpath.generations.begin(*slot));
        }
        mountpath.commits.fetch_add(planned.len() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(planned.len());
        for p in planned {
            let (bucket, name) = (&p.key.0, &p.key.1);
            let content = p.content.as_ref().map_or(0, |c| c.len());
            let bytes = UNFILED_OVERHEAD_BYTES + name.as_str().len() + p.encoded.len() + content;
            let made = p.record.as_ref().map(|record| record.commit);
            let state = match (p.record, p.content) {
                (Some(record), Some(content)) => Unfiled::Put { record, content },
                _ => Unfiled::Deleted,
            };
            // Listings find it here until it is filed; then it is in the index.
            mountpath.acknowledged().insert(bucket, name, state);
            if let Some(journal) = &mut self.journal {
                journal.backlog.enter(&p.key, p.on_disk, bytes);
                journal.note_live(&p.key, made);
            }
            answers.push((p.reply, p.outcome));
        }
        if late {
            slots.iter().for_each(|slot| mountpath.generations.begin(*slot));
        }
        slots.iter().for_each(|slot| mountpath.generations.end(*slot));
        for (reply, outcome) in answers {
            if let (Some(reply), Some(outcome)) = (reply, outcome) {
                reply(outcome);
            }
        }
    }

    /// Plans one change after `earlier` ones of its group; what fails here has changed nothing.
    async fn plan_journaled(
        &self,
        change: Change<D::File>,
        together: Option<Together>,
        now_ns: u64,
        earlier: &[Planned<D::File>],
    ) -> Result<Planned<D::File>, Refusal<D::File>> {
        self.mountpath().refuse_poisoned()?;
        let alone = together.is_none();
        match change {
            Change::Put(put) => self.plan_journaled_put(*put, together, now_ns, earlier).await,
            Change::Delete { bucket, name, terms, durability } => {
                let durable = durability == Durability::Durable;
                self.plan_tombstone((bucket, name), &terms, durable, alone, earlier).await
            }
            Change::Evict { bucket, name } => {
                self.plan_tombstone((bucket, name), &Terms::default(), false, false, earlier).await
            }
            Change::Release { bucket, name, commit, .. } => {
                let terms = Terms { if_commit: Some(commit), ..Terms::default() };
                self.plan_tombstone((bucket, name), &terms, true, alone, earlier).await
            }
            _ => Err(StoreError::Abandoned("a change that no journal takes").into()),
        }
    }

    async fn plan_journaled_put(
        &self,
        put: Put<D::File>,
        together: Option<Together>,
        now_ns: u64,
        earlier: &[Planned<D::File>],
    ) -> Result<Planned<D::File>, Refusal<D::File>> {
        let Put { bucket, name, prepared, terms, attrs, .. } = put;
        let mut plan = Planned::begin((bucket, name), prepared.durability == Durability::Durable);
        let before = self.before(&plan, earlier, !terms.is_empty() || attrs.moved.is_some()).await?;
        let present = before.record;
        if together.is_none() && present.as_ref().is_some_and(|p| p.copies > 1) {
            let (bucket, name) = plan.key.as_ref().clone();
            let put = Put { bucket, name, prepared, terms, attrs, flight: None, upload: None };
            return Err(Refusal::HasCopies(Box::new(Change::Put(Box::new(put)))));
        }
        terms.check(&plan.key.0, &plan.key.1, present.as_deref())?;
        attrs.refuse_outdated(&plan.key.1, present.as_deref())?;
        plan.on_disk = before.on_disk;
        let mut record = self.new_record(&prepared, &attrs, self.commit_of(&attrs, together), now_ns);
        record.copies = together.map_or(1, |all| all.copies);
        plan.commit = record.commit;
        record.version = attrs.version.after(present.as_deref());
        record.created_ns = created_ns(&attrs, together, present.as_deref(), &record);
        plan.encoded = encode(&record)?;
        let record = Arc::new(record);
        plan.record = Some(record.clone());
        let Body::Memory(content) = prepared.body else {
            return Err(StoreError::Abandoned("a content that is not in memory").into());
        };
        plan.content = Some(content);
        let replaced_bytes = present.map(|p| p.size);
        plan.outcome = Some(Ok(Outcome::Committed(Committed { record, replaced_bytes })));
        Ok(plan)
    }

    async fn plan_tombstone(
        &self,
        key: Key,
        terms: &Terms,
        durable: bool,
        alone: bool,
        earlier: &[Planned<D::File>],
    ) -> Result<Planned<D::File>, Refusal<D::File>> {
        let mut plan = Planned::begin(key, durable);
        let before = self.before(&plan, earlier, !terms.is_empty()).await?;
        if !before.exists {
            let (bucket, name) = plan.key.as_ref().clone();
            if matches!(before.on_disk, OnDisk::Absent) {
                self.mountpath().note_absent(&bucket, &name);
            }
            let absent = StoreError::NotFound { bucket, name };
            let revived = self.journal.as_ref().and_then(|j| j.revived(&plan.key));
            if revived.is_none_or(|commit| terms.commits().any(|only| only != commit)) {
                return Err(absent.into());
            }
            // Its file went by no change of ours: a crash would file it again from the journal.
            plan.on_disk = before.on_disk;
            plan.commit = self.mountpath().next_commit();
            plan.outcome = Some(Err(absent));
            return Ok(plan);
        }
        // Who removes what is of a certain commit moves names, and knows of the copies.
        if alone && terms.if_commit.is_none() && before.record.as_ref().is_some_and(|p| p.copies > 1) {
            let (bucket, name) = plan.key.as_ref().clone();
            let durability = if durable { Durability::Durable } else { Durability::Relaxed };
            let delete = Change::Delete { bucket, name, terms: terms.clone(), durability };
            return Err(Refusal::HasCopies(Box::new(delete)));
        }
        if !terms.is_empty() {
            terms.check(&plan.key.0, &plan.key.1, before.record.as_deref())?;
        }
        let named = BucketDirs::of(&plan.key.0).map_err(StoreError::from)?.named;
        // An escaped name that came back after a power loss could meet its plain successor.
        plan.durable |= matches!(&before.on_disk, OnDisk::At { path, .. } if path.is_within(&named));
        plan.on_disk = before.on_disk;
        plan.commit = self.mountpath().next_commit();
        plan.outcome = Some(Ok(Outcome::Deleted(before.record)));
        Ok(plan)
    }

    /// What a name is before a change: what an earlier change of the group makes of it, else what is acknowledged,
    /// else what the disk holds. `sure`: as for [`present`](Self::present).
    async fn before(
        &self,
        plan: &Planned<D::File>,
        earlier: &[Planned<D::File>],
        sure: bool,
    ) -> Result<Before, StoreError> {
        let same = |p: &&Planned<D::File>| p.slot == plan.slot && p.key == plan.key;
        let side_by_side = self.has_bug(Bug::SameVersionTwice);
        if let Some(p) = earlier.iter().rev().find(same).filter(|_| !side_by_side) {
            let (record, on_disk) = (p.record.clone(), p.on_disk.clone());
            return Ok(Before { exists: record.is_some(), record, on_disk });
        }
        let (bucket, name) = (&plan.key.0, &plan.key.1);
        if let Some(on_disk) = self.journal.as_ref().and_then(|j| j.backlog.on_disk(&plan.key)) {
            let record = match self.mountpath().acknowledged().find(bucket, name) {
                Some(Unfiled::Put { record, .. }) => Some(record),
                Some(Unfiled::Deleted) | None => None,
            };
            return Ok(Before { exists: record.is_some(), record, on_disk });
        }
        let dirs = BucketDirs::of(bucket)?;
        let located = self.volume.locate(&dirs, name, Access::Buffered).await?.located;
        let record = self.present(&dirs, name, located.as_ref(), sure).await?.map(Arc::new);
        let exists = located.as_ref().is_some_and(|l| l.record.is_some());
        let on_disk = match located {
            None => OnDisk::Absent,
            Some(located) => {
                let beside = stale_beside(&dirs.beside, Some(&located));
                OnDisk::At { path: located.path, beside }
            }
        };
        Ok(Before { exists, record, on_disk })
    }

    /// Makes room in the journal for entries of these bytes, and in memory.
    pub(super) async fn make_room(&mut self, bytes: usize) -> Result<(), StoreError> {
        loop {
            self.mountpath().refuse_poisoned()?;
            let Some(journal) = &mut self.journal else { return Ok(()) };
            let crowded = journal.backlog.bytes() > JOURNAL_UNFILED_BYTES_MAX;
            if !crowded && (journal.has_room(bytes) || journal.switch()) {
                return Ok(());
            }
            if self.file_some(FILED_AT_ONCE).await {
                continue;
            }
            let Some(journal) = &mut self.journal else { return Ok(()) };
            let ended = journal.end_emptying().await;
            if !self.note_emptied(ended)? && self.is_stuck().await {
                let disk = DiskError::of_file("journal", DiskErrorKind::NoSpace);
                return Err(StoreError::NoSpace(disk));
            }
        }
    }

    /// Whether names find no room on the disk even now.
    async fn is_stuck(&mut self) -> bool {
        let Some(journal) = &mut self.journal else { return false };
        if !journal.backlog.is_stuck() {
            return false;
        }
        journal.backlog.retry();
        while self.file_some(FILED_AT_ONCE).await {}
        self.journal.as_ref().is_some_and(|j| j.backlog.is_stuck())
    }
}

impl<F> Planned<F> {
    fn begin(key: Key, durable: bool) -> Self {
        Self {
            slot: Slot::of(&key.0, &key.1),
            key: Arc::new(key),
            durable,
            record: None,
            encoded: Vec::new(),
            content: None,
            commit: CommitId::default(),
            on_disk: OnDisk::Absent,
            outcome: None,
            reply: None,
        }
    }
}

/// What a change takes of a batch, at most.
fn bytes_of<F>(change: &Change<F>) -> usize {
    let (bucket, name) = change.key();
    let name = name.map_or(0, |n| n.as_str().len());
    match change {
        Change::Put(put) => {
            let record = RECORD_OWN_BYTES_MAX + attrs_bytes(&put.attrs);
            entry_bytes(bucket, name, record, usize::try_from(put.prepared.size).unwrap_or(usize::MAX))
        }
        _ => entry_bytes(bucket, name, 0, 0),
    }
}

/// Bytes of what a client gave with its object.
fn attrs_bytes(attrs: &Attrs) -> usize {
    let c = &attrs.content;
    let texts =
        [&c.content_type, &c.encoding, &c.disposition, &c.language, &c.cache_control, &c.expires].into_iter();
    let remote = attrs
        .remote
        .as_ref()
        .map_or(0, |r| [&r.etag, &r.version].into_iter().flatten().map(String::len).sum());
    let etag = match &attrs.etag {
        Some(Etag::Text(text)) => text.len(),
        _ => 0,
    };
    texts.flatten().map(String::len).sum::<usize>() + attrs.custom.bytes() + remote + etag
}
