//! What must hold after every step of a simulation, and at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_cluster::ClusterView;

use super::cluster::Cluster;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Seen {
    /// The view of each index, as it was first seen anywhere.
    views: BTreeMap<u64, Arc<ClusterView>>,
    /// The index of each process's view as it was last looked at.
    last: BTreeMap<usize, u64>,
}

/// Changes that were answered.
#[derive(Default)]
pub(super) struct Answered {
    /// Names of the buckets that were made.
    pub(super) buckets: BTreeSet<String>,
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
        for (place, raft) in cluster.rafts() {
            if raft.would_lead(now) {
                leading.push(place);
            }
            let Some(views) = raft.published().views() else { continue };
            let view = views.load();
            if raft.lease().holds(now) && view.index < answered {
                return Err(format!(
                    "{place} holds a lease with index {}: change {answered} was answered",
                    view.index
                ));
            }
            self.same(place, &view)?;
        }
        if leading.len() > 1 {
            return Err(format!("{leading:?} lead at once"));
        }
        Ok(())
    }

    /// All processes' views of one index are the same.
    fn same(&mut self, place: usize, view: &Arc<ClusterView>) -> Result<(), Wrong> {
        if self.last.insert(place, view.index) == Some(view.index) {
            return Ok(());
        }
        let first = self.views.entry(view.index).or_insert_with(|| view.clone());
        let same = first.smap == view.smap && first.bmd == view.bmd && first.config == view.config;
        same.then_some(()).ok_or_else(|| format!("{place} has another view of index {}", view.index))
    }

    /// A process died: it may come back with an earlier view.
    pub(super) fn died(&mut self, place: usize) {
        self.last.remove(&place);
    }
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
    (!lost.is_empty()).then(|| format!("buckets were answered and are lost: {lost:?}"))
}
