//! What must hold after every step of a simulation, and at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_cluster::{ClusterView, JobId, NodeId};

use super::cluster::Cluster;
use super::store::{Disks, Key, digest};

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The view of each index, as it was first seen anywhere.
    views: BTreeMap<u64, Arc<ClusterView>>,
    /// The index of each process's view as it was last looked at.
    last: BTreeMap<usize, u64>,
    /// The newest view that was looked at for itself.
    newest: Option<Arc<ClusterView>>,
}

/// Changes that were answered.
#[derive(Default)]
pub(super) struct Answered {
    /// Names of the buckets that were made.
    pub(super) buckets: BTreeSet<String>,
    /// Names of those that were removed.
    pub(super) removed: BTreeSet<String>,
    /// The greatest index.
    pub(super) index: u64,
    /// Changes that were asked for.
    pub(super) asked: u64,
}

/// What was wrong.
pub(super) type Wrong = String;

impl Seen {
    /// Looks at all processes.
    pub(super) fn check(&mut self, cluster: &Cluster) -> Result<(), Wrong> {
        let now = cluster.world.now();
        let mut leading = Vec::new();
        let answered = cluster.answered.lock().index;
        let all = cluster.rafts();
        for (place, raft) in &all {
            if raft.would_lead(now) {
                leading.push(*place);
            }
            if let Some(views) = raft.published().views() {
                self.same(*place, &views.load())?;
            }
        }
        self.follow(cluster)?;
        for (place, raft) in all.iter().filter(|(_, raft)| raft.lease().holds(now)) {
            let index = raft.view().map_or(0, |view| view.index);
            // Who is off the map owns nothing, and nobody waits for it.
            let is_off = cluster.target(*place).is_some_and(|id| !self.is_mapped(id));
            if index < answered && !is_off {
                return Err(format!(
                    "{place} holds a lease with index {index}: change {answered} was answered"
                ));
            }
        }
        if leading.len() > 1 {
            return Err(format!("{leading:?} lead at once"));
        }
        self.one_commit(cluster)?;
        cluster.history.judge()
    }

    /// Looks at the newest view for itself, when there is a newer one.
    fn follow(&mut self, cluster: &Cluster) -> Result<(), Wrong> {
        let Some((_, view)) = self.views.last_key_value() else { return Ok(()) };
        if self.newest.as_ref().is_some_and(|newest| newest.index >= view.index) {
            return Ok(());
        }
        let view = view.clone();
        if let Some(before) = self.newest.replace(view.clone()) {
            let gone = before.smap.targets.keys().filter(|id| !view.smap.targets.contains_key(*id));
            let holding: Vec<_> =
                gone.filter(|id| cluster.disks(id).is_some_and(|d| !d.all().is_empty())).collect();
            if let Some(id) = holding.iter().find(|id| !cluster.forced.contains(**id)) {
                return Err(format!("{id} left in order and holds objects"));
            }
            if !holding.is_empty() {
                let has =
                    |disks: &Disks, key: &Key, write| disks.object(key).is_some_and(|o| o.write == write);
                let mapped: Vec<_> = mapped(cluster, &view).collect();
                cluster.history.lost(|key, write| mapped.iter().any(|(_, disks)| has(disks, key, write)));
            }
        }
        struck_off(cluster, &view)?;
        for job in view.jobs.iter().filter(|job| !job.runs()) {
            cluster.history.job_ended(&job.id, job.stopped.is_none() && job.error().is_none())?;
        }
        Ok(())
    }

    /// All copies of one name are of one commit.
    fn one_commit(&self, cluster: &Cluster) -> Result<(), Wrong> {
        let Some(view) = &self.newest else { return Ok(()) };
        for key in cluster.history.take_moved() {
            let copies =
                mapped(cluster, view).filter_map(|(id, disks)| Some((disks.object(&key)?.commit, id)));
            let copies: BTreeMap<_, _> = copies.collect();
            if copies.len() > 1 {
                return Err(format!("{} has copies of several commits: {copies:?}", key.1));
            }
        }
        Ok(())
    }

    /// How many rebalances there were.
    pub(super) fn rebalances(&self) -> u64 {
        let Some(view) = &self.newest else { return 0 };
        view.jobs.iter().filter(|job| job.order.rebalances().is_some() && !job.runs()).count() as u64
    }

    /// Whether a target is on the newest map.
    pub(super) fn is_mapped(&self, target: &NodeId) -> bool {
        self.newest.as_ref().is_none_or(|view| view.smap.targets.contains_key(target))
    }

    /// All processes' views of one index are the same.
    fn same(&mut self, place: usize, view: &Arc<ClusterView>) -> Result<(), Wrong> {
        if self.last.insert(place, view.index) == Some(view.index) {
            return Ok(());
        }
        let first = self.views.entry(view.index).or_insert_with(|| view.clone());
        let same = first.smap == view.smap
            && first.bmd == view.bmd
            && first.config == view.config
            && first.jobs == view.jobs
            && first.moving == view.moving;
        same.then_some(()).ok_or_else(|| format!("{place} has another view of index {}", view.index))
    }

    /// A process died: it may come back with an earlier view.
    pub(super) fn died(&mut self, place: usize) {
        self.last.remove(&place);
    }
}

/// The targets on the map, with their disks.
fn mapped<'c>(
    cluster: &'c Cluster,
    view: &'c ClusterView,
) -> impl Iterator<Item = (&'c NodeId, &'c Disks)> + use<'c> {
    view.smap.targets.keys().filter_map(|id| Some((id, cluster.disks(id)?)))
}

/// Who may hold nothing of others holds nothing of others.
fn struck_off(cluster: &Cluster, view: &ClusterView) -> Result<(), Wrong> {
    let may = |id: &NodeId| view.moving.as_ref().is_some_and(|moving| moving.holders().contains(id));
    for (id, disks) in mapped(cluster, view).filter(|(id, _)| !may(id)) {
        let is_own = |key: &Key| view.smap.owner(digest(key)).is_some_and(|owner| owner.id == *id);
        if let Some((key, _)) = disks.all().iter().find(|(key, _)| !is_own(key)) {
            return Err(format!("{id} holds {} of another, and is not asked for it", key.1));
        }
    }
    Ok(())
}

/// What objects lack to be at rest.
fn unrest_of_objects(cluster: &Cluster, view: &ClusterView) -> Option<Wrong> {
    if let Some(moving) = &view.moving {
        let jobs: Vec<_> = view.jobs.rebalances_to(moving.version).collect();
        let said = |job: &JobId| -> Vec<_> {
            cluster.cores().iter().map(|(place, core)| (*place, core.parts.progress(job))).collect()
        };
        let said: Vec<_> = jobs.iter().map(|job| said(&job.id)).collect();
        return Some(format!(
            "objects are on the move: {:?} hold some, {jobs:?}, {said:?}",
            moving.holders()
        ));
    }
    if let Some(job) = view.jobs.iter().find(|job| job.runs()) {
        return Some(format!("job {} of {:?} runs", job.id, job.order.kind()));
    }
    if let Some(job) = cluster.history.unended() {
        return Some(format!("job {job} was begun and is not known"));
    }
    if let Some(bucket) = view.bmd.removing().iter().find(|bucket| view.bmd.get(bucket).is_none()) {
        return Some(format!("{bucket} is gone, and its name is not free"));
    }
    for (key, write) in cluster.history.names() {
        let copies = mapped(cluster, view).filter_map(|(id, disks)| Some((id, disks.object(&key)?.write)));
        let copies: Vec<_> = copies.collect();
        let owner = view.smap.owner(digest(&key)).map(|owner| &owner.id);
        let wanted: Vec<_> = owner.zip(write).into_iter().collect();
        if copies != wanted {
            let was = cluster.history.last(&key);
            return Some(format!("of {} there is {copies:?}, not {wanted:?}: {was}", key.1));
        }
    }
    None
}

/// What is missing for everybody to be at rest; `None` if nothing is.
pub(super) fn unrest(cluster: &Cluster) -> Option<Wrong> {
    let now = cluster.world.now();
    let all = cluster.rafts();
    if all.len() < cluster.len() {
        return Some(format!("{} of {} run", all.len(), cluster.len()));
    }
    let leaders: Vec<_> = all.iter().filter(|(_, raft)| raft.would_lead(now)).collect();
    let [(_, leader)] = leaders[..] else { return Some(format!("{} lead", leaders.len())) };
    let answered = cluster.answered.lock();
    let first = leader.view().ok()?;
    for (place, raft) in &all {
        let Ok(view) = raft.view() else { return Some(format!("{place} has no view")) };
        if !raft.lease().holds(now) {
            return Some(format!("{place} has no lease"));
        }
        if view.index != first.index || view.smap != first.smap || view.bmd != first.bmd {
            return Some(format!("{place} is at {}, the leader at {}", view.index, first.index));
        }
    }
    if first.smap.len() != cluster.len() || !first.smap.gateways.values().all(weir_cluster::Node::is_here) {
        return Some(format!("the map is {:?}", first.smap));
    }
    if first.smap.primary != leader.identity().gateway {
        return Some("the map has another primary than the leader".into());
    }
    let has = |name: &String| first.bmd.iter().any(|(bucket, _)| bucket.name.as_str() == name);
    let lost: Vec<_> = answered.buckets.iter().filter(|name| !has(name)).collect();
    if !lost.is_empty() {
        return Some(format!("buckets were answered and are lost: {lost:?}"));
    }
    if let Some(back) = answered.removed.iter().find(|name| has(name)) {
        return Some(format!("bucket {back} was removed and is there"));
    }
    unrest_of_objects(cluster, &first)
}
