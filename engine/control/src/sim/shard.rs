//! What of a process serves objects: a model of the datapath, step by step as docs/decisions/0025-rebalance.md has it.
//!
//! Whose a name is, who may hold its object and whether the cluster counts on this process is what the real view and the real
//! lease say. Bytes, connections and several disks of one target are left out: an object is the number of the write that made it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use weir_cluster::{ClusterView, NodeId};
use weir_store::{CommitId, StoreError};
use weir_types::limits::CATCH_UP_SECONDS_MAX;

use super::history::History;
use super::net::{Listener, carry};
use super::store::{Disks, Key, Object, digest, is_own};
use super::world::World;
use crate::api::tests::Memory;
use crate::raft::node::RaftNode;
use crate::runtime::{self, Bug, planted};

/// How long a target may take to answer another.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often the holders are asked for what is not here.
const LOOKS: usize = 2;
/// Between two looks of one that is behind.
const CATCH_UP_TICK: Duration = Duration::from_millis(5);
/// A body comes within this time, as a rule.
const BODY_MAX: Duration = Duration::from_millis(100);
/// A sync takes this long, as a rule.
const SYNC_MAX: Duration = Duration::from_millis(3);

/// What a client wants of an object; a write has its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Op {
    Get,
    Put(u64),
    Delete,
}

/// The same may go well later: 503.
pub(super) type Later = String;
/// The write that made the object that was read, written or removed; `None` if there is none: 404.
pub(super) type Found = Result<Option<u64>, Later>;

/// What a client was told, and whether the answer says that it may be stale.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) found: Found,
    pub(super) stale: bool,
}

/// What one process asks another.
struct Question {
    key: Key,
    /// How far the asker has applied the log.
    index: u64,
    /// The asker's version of the map.
    version: u64,
    what: What,
}

enum What {
    /// A client's request, of the owner.
    Request(Op),
    /// A client's read of what may be there.
    Read,
    /// Of who may hold it: what it is.
    Take,
    /// It has it: what is there of this commit goes.
    Release(CommitId),
}

enum Answer {
    Told(Told),
    Held(Option<Object>),
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Put(u64),
    Move(Object),
    Delete,
    /// With the version of the map by which another owns it.
    Release(CommitId, u64),
}

/// One life of it.
pub(super) struct Shard {
    raft: RaftNode,
    pub(super) disks: Disks,
    life: u64,
    /// Who has it changes names; how many there were.
    committer: tokio::sync::Mutex<u64>,
    /// Who takes the object of a name.
    taking: Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>,
    open: AtomicBool,
    pub(super) stop_asked: AtomicBool,
    pub(super) history: History,
    /// What is not about objects.
    pub(super) memory: Memory,
}

impl Shard {
    pub(super) fn new(raft: RaftNode, disks: Disks, history: History) -> Self {
        let life = disks.begin_life();
        Self {
            raft,
            disks,
            life,
            committer: Default::default(),
            taking: Default::default(),
            open: AtomicBool::new(false),
            stop_asked: AtomicBool::new(false),
            history,
            memory: Memory::default(),
        }
    }

    /// Takes requests from now on.
    pub(super) fn open(&self) {
        self.open.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    pub(super) fn view(&self) -> Result<Arc<ClusterView>, Later> {
        self.raft.view().map_err(|e| e.to_string())
    }

    /// Carries out a client's request, wherever the name belongs.
    pub(super) async fn request(&self, key: &Key, op: Op) -> Told {
        self.passed_on(key, op).await.unwrap_or_else(|later| self.told(Err(later)))
    }

    async fn passed_on(&self, key: &Key, op: Op) -> Result<Told, Later> {
        let view = self.view()?;
        let owner = view.smap.owner(digest(key)).ok_or("no target is in service")?;
        if view.me.is(owner) {
            return Ok(self.told(self.here(&view, key, op).await));
        }
        match self.ask(&view, &owner.id, key, What::Request(op)).await? {
            Answer::Told(told) => Ok(told),
            Answer::Held(_) => Err("another answer than the one to the question".into()),
        }
    }

    fn told(&self, found: Found) -> Told {
        Told { found, stale: !self.raft.lease().holds(runtime::now()) }
    }

    /// What is asked of an object of this target, by the view under which the request came.
    async fn here(&self, view: &Arc<ClusterView>, key: &Key, op: Op) -> Found {
        let done = match op {
            Op::Get => self.read(view, key).await?,
            Op::Put(write) => {
                self.own(view, key).await?;
                runtime::sleep(by_chance(BODY_MAX)).await;
                Some(self.change(view, key, Change::Put(write)).await?)
            }
            Op::Delete => {
                self.own(view, key).await?;
                match self.change(view, key, Change::Delete).await {
                    Err(Failed::NotThere) => None,
                    removed => Some(removed?),
                }
            }
        };
        let is_outdated = self.view()?.smap.version != view.smap.version;
        match done {
            None if is_outdated => Err("what is not here may have moved away".into()),
            done => Ok(done),
        }
    }

    async fn read(&self, view: &Arc<ClusterView>, key: &Key) -> Found {
        let mut was_here = false;
        for _ in 0..LOOKS {
            let holders = view.holders_of(digest(key));
            if holders.is_empty() || planted(Bug::MissKept) {
                break;
            }
            was_here = self.disks.object(key).is_some();
            if was_here {
                break;
            }
            let mut unknown = None;
            for holder in holders {
                match self.ask(view, holder, key, What::Read).await {
                    Ok(Answer::Held(Some(object))) => return Ok(Some(object.write)),
                    Ok(_) => {}
                    Err(later) => unknown = Some(later),
                }
            }
            match unknown {
                Some(later) if !planted(Bug::AwayIsEmpty) => return Err(later),
                _ => {}
            }
        }
        runtime::sleep(by_chance(SYNC_MAX)).await;
        match self.disks.object(key) {
            // A removal for an owner in between may have been under way.
            None if was_here => Err("it was here".into()),
            found => Ok(found.map(|object| object.write)),
        }
    }

    /// Before a client's change: whoever may hold the object gives it up.
    async fn own(&self, view: &Arc<ClusterView>, key: &Key) -> Result<(), Later> {
        if planted(Bug::MovesAnything) {
            return Ok(());
        }
        self.gather(view, key).await
    }

    /// Has the object here, and nowhere else.
    pub(super) async fn gather(&self, view: &Arc<ClusterView>, key: &Key) -> Result<(), Later> {
        let holders = view.holders_of(digest(key));
        if holders.is_empty() {
            return Ok(());
        }
        let turn = self.taking.lock().entry(key.clone()).or_default().clone();
        let _turn = turn.lock().await;
        for holder in holders {
            let is_away = view.smap.targets.get(holder).is_none_or(|node| !node.is_here());
            if is_away && planted(Bug::AwayIsEmpty) {
                continue;
            }
            self.take(view, key, holder).await?;
        }
        Ok(())
    }

    /// Takes the object from one holder: stored here, durable, then removed there.
    async fn take(&self, view: &Arc<ClusterView>, key: &Key, holder: &NodeId) -> Result<(), Later> {
        let Answer::Held(Some(held)) = self.ask(view, holder, key, What::Take).await? else { return Ok(()) };
        if self.disks.object(key).is_some() {
            // A removal that was begun for another owner may still be under way.
            self.settle().await;
        }
        let here = self.disks.object(key).filter(|_| !planted(Bug::MovesAnything));
        if here.is_none_or(|here| here.commit < held.commit) {
            runtime::sleep(by_chance(BODY_MAX)).await;
            match self.change(view, key, Change::Move(held)).await {
                Ok(_) | Err(Failed::Outdated) => {}
                Err(Failed::Later(later)) => return Err(later),
                Err(Failed::NotThere) => return Err("a move was refused".into()),
            }
        }
        if planted(Bug::MovedIsKept) {
            return Ok(());
        }
        self.ask(view, holder, key, What::Release(held.commit)).await.map(drop)
    }

    /// A change of a name under the view by which its holders were asked.
    async fn change(&self, view: &Arc<ClusterView>, key: &Key, change: Change) -> Result<u64, Failed> {
        let now = self.view()?;
        if matches!(change, Change::Move(_)) && now.smap.version != view.smap.version {
            return Err(StoreError::NotOwner.into());
        }
        if is_own(view, key) && now.owners_changed_since(view.smap.version) {
            return Err(StoreError::NotOwner.into());
        }
        self.commit(key, change).await
    }

    /// Removes an object as a job does.
    pub(super) async fn remove(&self, key: &Key) -> Result<(), Failed> {
        self.commit(key, Change::Delete).await.map(drop)
    }

    /// Copies an object of this target to where the copy belongs; whether there was one.
    pub(super) async fn copy(&self, from: &Key, to: &Key) -> Result<bool, Later> {
        if !is_own(&*self.view()?, from) {
            return Err("the name belongs to another target".into());
        }
        let Some(object) = self.disks.object(from) else { return Ok(false) };
        let copy = Op::Put(self.history.copy_of(object.write));
        self.request(to, copy).await.found.map(|_| true)
    }

    /// One change after the other, each by the view and the lease of its turn; the write that came or went.
    async fn commit(&self, key: &Key, change: Change) -> Result<u64, Failed> {
        let mut turn = self.committer.lock().await;
        let view = self.view()?;
        if let Change::Release(_, version) = change {
            // This may be the one that stays.
            if is_own(&view, key) || view.owners_changed_since(version) {
                return Err(StoreError::NotOwner.into());
            }
        } else {
            if !self.raft.lease().holds(runtime::now()) {
                return Err(StoreError::NoLease.into());
            }
            if !is_own(&view, key) {
                return Err(StoreError::NotOwner.into());
            }
        }
        if matches!(change, Change::Put(_) | Change::Move(_)) && view.bmd.takes_objects(&key.0).is_err() {
            return Err(Failed::Later("the bucket takes no objects".into()));
        }
        let present = self.disks.object(key);
        match (change, present) {
            (Change::Delete | Change::Release(..), None) => return Err(Failed::NotThere),
            (Change::Release(commit, _), Some(present)) if present.commit != commit => {
                return Err(Failed::Later("another commit is there".into()));
            }
            (Change::Move(moved), Some(present))
                if present.commit >= moved.commit && !planted(Bug::MovesAnything) =>
            {
                return Err(Failed::Outdated);
            }
            _ => {}
        }
        // Until it is synced it is nowhere: a death leaves it undone.
        runtime::sleep(by_chance(SYNC_MAX)).await;
        *turn += 1;
        let commit = CommitId { map_version: view.smap.version, sequence: self.life << 40 | *turn };
        Ok(match change {
            Change::Put(write) => {
                self.disks.put(key, Object { commit, write, written_ns: runtime::now_ns() });
                self.history.committed(key, Some((write, commit)));
                write
            }
            Change::Move(object) => {
                self.disks.put(key, object);
                self.history.moved(key, Some((object.write, object.commit)));
                object.write
            }
            Change::Delete => {
                self.disks.remove(key);
                self.history.committed(key, None);
                present.map_or(0, |object| object.write)
            }
            Change::Release(..) => {
                self.disks.remove(key);
                self.history.moved(key, None);
                present.map_or(0, |object| object.write)
            }
        })
    }

    /// Waits for every change that was begun before.
    pub(super) async fn settle(&self) {
        drop(self.committer.lock().await);
    }

    async fn ask(
        &self,
        view: &Arc<ClusterView>,
        to: &NodeId,
        key: &Key,
        what: What,
    ) -> Result<Answer, Later> {
        let node = view.smap.targets.get(to).filter(|node| node.is_here());
        let node = node.ok_or_else(|| format!("{to} has not been heard of"))?;
        let question = Question { key: key.clone(), index: view.index, version: view.smap.version, what };
        let to = to.clone();
        let answered =
            carry(&node.intra_control.authority(), move |there: Listener| there.shard.answer(to, question));
        let Some(answered) = answered else { return Err("there is no simulation".into()) };
        match runtime::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) | Err(_) => Err(format!("{} does not answer", node.id)),
        }
    }

    /// Answers another process.
    fn answer(self: Arc<Self>, to: NodeId, question: Question) -> BoxFuture<'static, Result<Answer, Later>> {
        async move {
            if !self.is_open() || self.raft.published().me().target.as_ref() != Some(&to) {
                return Err("it takes no requests".into());
            }
            self.reach(question.index).await?;
            let (key, view) = (&question.key, self.view()?);
            let held = match question.what {
                What::Request(_) if !is_own(&view, key) => return Err("one of the two is behind".into()),
                What::Request(op) => {
                    let found = self.here(&view, key, op).await;
                    return Ok(Answer::Told(self.told(found)));
                }
                What::Read => self.disks.object(key),
                What::Take | What::Release(_) if is_own(&view, key) => {
                    return Err("the asker knows an earlier map".into());
                }
                What::Take => {
                    // What was begun here while the name was this target's is done first; what comes later is refused.
                    self.settle().await;
                    self.disks.object(key)
                }
                What::Release(commit) => {
                    self.settle().await;
                    match self.change(&view, key, Change::Release(commit, question.version)).await {
                        Ok(_) | Err(Failed::NotThere) => return Ok(Answer::Held(None)),
                        Err(Failed::Later(later)) => return Err(later),
                        Err(Failed::Outdated) => return Err("a removal was refused".into()),
                    }
                }
            };
            if held.is_none() && question.version < self.view()?.smap.version {
                // It may be at an owner that the asker does not know of.
                return Err("the asker is behind".into());
            }
            Ok(Answer::Held(held))
        }
        .boxed()
    }

    async fn reach(&self, index: u64) -> Result<(), Later> {
        let begun = runtime::now();
        while self.view()?.index < index {
            if runtime::since(begun) > Duration::from_secs(CATCH_UP_SECONDS_MAX) {
                return Err("it is behind".into());
            }
            runtime::sleep(CATCH_UP_TICK).await;
        }
        Ok(())
    }
}

/// Why nothing changed.
pub(super) enum Failed {
    NotThere,
    /// What is here is as new as what was to move here.
    Outdated,
    Later(Later),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Later(error.to_string())
    }
}

impl From<Later> for Failed {
    fn from(later: Later) -> Self {
        Self::Later(later)
    }
}

impl From<Failed> for Later {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Later(later) => later,
            Failed::NotThere => "it is not there".into(),
            Failed::Outdated => "it is outdated".into(),
        }
    }
}

/// Up to this long, and now and then much longer.
fn by_chance(max: Duration) -> Duration {
    World::here().map_or(Duration::ZERO, |world| {
        let max = if world.chance(30) { max * 30 } else { max };
        Duration::from_nanos(world.below(u64::try_from(max.as_nanos()).unwrap_or(1)))
    })
}
