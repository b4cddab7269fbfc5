//! The leader's turn at objects whose owners changed: a rebalance begins, and who leaves goes when it holds nothing any more.

use std::time::Duration;

use weir_cluster::{ClusterView, Job, NodeFlags};

use crate::raft::command::Command;
use crate::raft::node::RaftNode;

/// Before a rebalance is begun again that could not move everything.
const REST_MIN: Duration = Duration::from_secs(60);
/// The longest such rest.
const REST_MAX: Duration = Duration::from_secs(3600);

impl RaftNode {
    /// Begins the rebalance that is due, and takes targets off the map that were told to leave and hold nothing.
    pub(super) async fn tend_moves(&self, view: &ClusterView) {
        if let Some(start) = due(view, crate::now_ns()) {
            self.change(start).await;
        }
        for node in leaving(view) {
            self.change(Command::RemoveNode { node }).await;
        }
    }
}

/// The rebalance that is to begin: none runs or was stopped by somebody since the owners last changed, and the last one that
/// could not move everything has ended long enough ago.
fn due(view: &ClusterView, now_ns: u64) -> Option<Command> {
    let version = view.moving.as_ref()?.version;
    let holds_up = |job: &Job| job.runs() || job.stopped.is_some();
    if view.jobs.rebalances_to(version).any(|job| holds_up(job)) {
        return None;
    }
    let ends = view.jobs.rebalances_to(version).filter_map(|job| job.ended_ns);
    let (count, last_ns) = ends.fold((0, 0), |(count, last), end| (count + 1, last.max(end)));
    if now_ns < last_ns.saturating_add(rest_ns(count)) {
        return None;
    }
    let order = weir_cluster::JobOrder::Rebalance { version };
    let id = view.jobs.next_rebalance().ok()?;
    Some(Command::StartJob { id, order: Box::new(order), now_ns })
}

/// Before the next rebalance to the same owners, when so many have ended: each time twice as long.
fn rest_ns(ended: u32) -> u64 {
    match ended {
        0 => 0,
        ended => (REST_MIN * 2u32.pow((ended - 1).min(10))).min(REST_MAX).as_nanos() as u64,
    }
}

fn leaving(view: &ClusterView) -> Vec<weir_cluster::NodeId> {
    let holds = |id: &str| view.moving.as_ref().is_some_and(|m| m.holders().contains(id));
    let targets = view.smap.targets.values().filter(|t| t.flags.any(NodeFlags::DECOMMISSION));
    targets.filter(|t| !holds(t.id.as_str())).map(|t| t.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_are_bounded() {
        let minutes = |ended| rest_ns(ended) / 60_000_000_000;
        assert_eq!([0, 1, 2, 3, 6, 7, 500].map(minutes), [0, 1, 2, 4, 32, 60, 60]);
    }
}
