//! What happened to objects, and what clients were told of them.
//!
//! A change of a name is carried out at one moment, which is known here. So what a read may give is known, too: what was there
//! when it began, or what came until it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use weir_cluster::JobId;
use weir_store::CommitId;
use weir_types::Bucket;

use super::checks::Wrong;
use super::clients::OBJECTS;
use super::shard::Told;
use super::store::Key;

/// Shared by all that happens in one simulation.
#[derive(Clone, Default)]
pub(super) struct History(Arc<Mutex<Happened>>);

#[derive(Default)]
struct Happened {
    /// Counts what happens.
    moment: u64,
    writes: u64,
    names: BTreeMap<Key, Vec<State>>,
    reads: Vec<Read>,
    /// Names of which a copy came or went since that was looked at.
    moved: BTreeSet<Key>,
    jobs: BTreeMap<JobId, Job>,
    /// Of writes that copied another: which.
    copies: BTreeMap<u64, u64>,
    asked: u64,
    answered: u64,
    wrong: Option<Wrong>,
}

/// What a name was from a moment on.
#[derive(Clone, Copy, Debug)]
struct State {
    from: u64,
    /// The write and its commit; none: there is no object.
    write: Option<(u64, CommitId)>,
    /// What was there until its target was taken off the map: it may be on its way from there all the same.
    lost: Option<(u64, CommitId)>,
}

/// An answer that says what a name is.
struct Read {
    key: Key,
    begun: u64,
    ended: u64,
    write: Option<u64>,
    stale: bool,
}

/// A job about the objects with a prefix.
struct Job {
    prefix: String,
    /// Where they are copied to; none: they are removed.
    to: Option<Bucket>,
    asked: u64,
    is_over: bool,
    /// Its begin was answered.
    is_accepted: bool,
}

impl Happened {
    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    fn states(&self, key: &Key) -> &[State] {
        self.names.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// Why a read could not give what it gave.
    fn judge(&self, read: &Read) -> Result<(), Wrong> {
        let states = self.states(&read.key);
        let before = states.iter().rposition(|state| state.from < read.begun);
        let is = |of: Option<(u64, CommitId)>| of.map(|(write, _)| write) == read.write;
        let was = |state: &State| is(state.write) || state.lost.is_some() && is(state.lost);
        let since = states.get(before.unwrap_or(0)..).unwrap_or_default();
        let mut meanwhile = since.iter().take_while(|state| state.from < read.ended);
        let is_right = match read.stale {
            true => read.write.is_none() || states.iter().any(was),
            false => meanwhile.any(was) || before.is_none() && read.write.is_none(),
        };
        let name = &read.key.1;
        let last: Vec<_> = states.iter().rev().take(4).collect();
        is_right.then_some(()).ok_or_else(|| {
            let Read { begun, ended, write, .. } = read;
            format!(
                "{name} was {write:?} for who asked from {begun} to {ended}: it was, last first, {last:?}"
            )
        })
    }
}

impl History {
    /// Somebody asks; the moment.
    pub(super) fn asks(&self) -> u64 {
        let happened = &mut *self.0.lock();
        happened.asked += 1;
        happened.tick()
    }

    /// The number of a write that is to be.
    pub(super) fn write(&self) -> u64 {
        let happened = &mut *self.0.lock();
        happened.writes += 1;
        happened.writes
    }

    /// A client was told what a name is, or, of a change, what it was.
    pub(super) fn told(&self, key: &Key, begun: u64, is_read: bool, told: &Told) {
        let happened = &mut *self.0.lock();
        let ended = happened.tick();
        let Ok(write) = told.found else { return };
        happened.answered += 1;
        if is_read || write.is_none() {
            let stale = told.stale;
            happened.reads.push(Read { key: key.clone(), begun, ended, write, stale });
        }
    }

    /// A name changed.
    pub(super) fn committed(&self, key: &Key, write: Option<(u64, CommitId)>) {
        let happened = &mut *self.0.lock();
        let from = happened.tick();
        let states = happened.names.entry(key.clone()).or_default();
        let last = states.iter().rev().find_map(|state| state.write);
        if let (Some((_, commit)), Some((_, last))) = (write, last)
            && commit <= last
        {
            let text = format!("{}: commit {commit} came after {last}", key.1);
            happened.wrong.get_or_insert(text);
        }
        states.push(State { from, write, lost: None });
        happened.moved.insert(key.clone());
    }

    /// A copy of an object came or went.
    pub(super) fn moved(&self, key: &Key, came: Option<(u64, CommitId)>) {
        let happened = &mut *self.0.lock();
        happened.moved.insert(key.clone());
        let from = happened.tick();
        if let Some(states) = happened.names.get_mut(key)
            && came.is_some()
            && states.last().is_some_and(|last| last.lost == came)
        {
            states.push(State { from, write: came, lost: None });
        }
    }

    /// What is left of names in the cluster: those of which nothing is are lost to whoever took their target off it.
    pub(super) fn lost(&self, left: impl Fn(&Key, u64) -> bool) {
        let happened = &mut *self.0.lock();
        let from = happened.tick();
        for (key, states) in &mut happened.names {
            let lost = states.last().and_then(|last| last.write).filter(|(write, _)| !left(key, *write));
            if lost.is_some() {
                states.push(State { from, write: None, lost });
            }
        }
    }

    /// All names and what they are.
    pub(super) fn names(&self) -> Vec<(Key, Option<u64>)> {
        let last = |states: &Vec<State>| states.last().and_then(|state| state.write).map(|(write, _)| write);
        self.0.lock().names.iter().map(|(key, states)| (key.clone(), last(states))).collect()
    }

    /// What a name was, last first.
    pub(super) fn last(&self, key: &Key) -> String {
        let happened = self.0.lock();
        let last: Vec<_> = happened.states(key).iter().rev().take(6).collect();
        format!("it was, last first, {last:?}")
    }

    /// Names of which a copy came or went since this was asked last.
    pub(super) fn take_moved(&self) -> BTreeSet<Key> {
        std::mem::take(&mut self.0.lock().moved)
    }

    /// Judges what was told since this was asked last.
    pub(super) fn judge(&self) -> Result<(), Wrong> {
        let happened = &mut *self.0.lock();
        if let Some(wrong) = &happened.wrong {
            return Err(wrong.clone());
        }
        let reads = std::mem::take(&mut happened.reads);
        reads.iter().try_for_each(|read| happened.judge(read))
    }

    /// The number of a write that is to copy another.
    pub(super) fn copy_of(&self, write: u64) -> u64 {
        let copy = self.write();
        self.0.lock().copies.insert(copy, write);
        copy
    }

    /// A job is asked for, about what has a prefix: to copy it, or to remove it.
    pub(super) fn job(&self, job: JobId, prefix: &str, to: Option<Bucket>) {
        let happened = &mut *self.0.lock();
        let asked = happened.tick();
        let job_is = Job { prefix: prefix.into(), to, asked, is_over: false, is_accepted: false };
        happened.jobs.insert(job, job_is);
    }

    /// Its begin was answered.
    pub(super) fn accepted(&self, job: &JobId) {
        if let Some(job) = self.0.lock().jobs.get_mut(job) {
            job.is_accepted = true;
        }
    }

    /// A job whose begin was answered and of whose end nobody has heard.
    pub(super) fn unended(&self) -> Option<JobId> {
        let happened = self.0.lock();
        let mut jobs = happened.jobs.iter();
        jobs.find(|(_, job)| job.is_accepted && !job.is_over).map(|(id, _)| id.clone())
    }

    /// The cluster says that a job has ended: well if `well`. Then everything is copied, or gone, that was there when it was
    /// asked for and is now.
    pub(super) fn job_ended(&self, id: &JobId, well: bool) -> Result<(), Wrong> {
        let happened = &mut *self.0.lock();
        let Some(job) = happened.jobs.get_mut(id).filter(|job| !job.is_over) else { return Ok(()) };
        job.is_over = true;
        let job = &happened.jobs[id];
        for ((bucket, name), states) in happened.names.iter().filter(|_| well) {
            let Some(State { from, write: Some((write, _)), .. }) = states.last() else { continue };
            if *from > job.asked || bucket.name.as_str() != OBJECTS || !name.as_str().starts_with(&job.prefix)
            {
                continue;
            }
            let is_copy = |state: &&State| {
                let copied = state.write.and_then(|(copy, _)| happened.copies.get(&copy));
                state.from > job.asked && copied == Some(write)
            };
            let copies = job.to.as_ref().map(|to| happened.states(&(to.clone(), name.clone())));
            if !copies.is_some_and(|states| states.iter().any(|state| is_copy(&state))) {
                let what = if job.to.is_some() { "is not copied" } else { "is there" };
                return Err(format!(
                    "{id} of {} has ended well, and {name} ({write} from {from}) {what}",
                    job.asked
                ));
            }
        }
        Ok(())
    }

    /// Requests asked, and answered other than by 503.
    pub(super) fn count(&self) -> (u64, u64) {
        let happened = self.0.lock();
        (happened.asked, happened.answered)
    }
}
