//! What a change of the map does to names: they have other owners at once, and their objects follow by a rebalance.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_cluster::{ClusterView, Done, JobId, JobOrder, Moving, Node, NodeFlags, NodeId, Smap};

use super::command::Refused;
use crate::runtime::{Bug, planted};

/// After a command: where the owners are others than they were by `before`, objects may be elsewhere than at their owner.
pub(super) fn settle(view: &mut ClusterView, before: &Arc<Smap>) {
    if Arc::ptr_eq(before, &view.smap) {
        return;
    }
    let smap = view.smap.clone();
    for gone in before.targets.keys().filter(|id| !smap.targets.contains_key(*id)) {
        forget(view, gone);
    }
    if owners(before) == owners(&view.smap) {
        return;
    }
    let nothing_kept = view.bmd.iter().next().is_none() && view.bmd.removing().is_empty();
    if view.moving.is_none() && nothing_kept {
        return;
    }
    // A target that is new holds nothing: it began with empty disks.
    let holds = |node: &Node| node.is_here() || !planted(Bug::AwayHoldsNothing);
    let stays = |id: &&NodeId| view.smap.targets.get(*id).is_some_and(holds);
    let targets = before.targets.keys().filter(stays).cloned().collect();
    let moving = Moving::begin(view.moving.as_deref(), view.smap.version, owners(before), targets);
    view.moving = moving.map(Arc::new);
    let ended: Vec<JobId> = view
        .jobs
        .iter()
        .filter(|j| j.runs() && j.order.rebalances().is_some())
        .map(|j| j.id.clone())
        .collect();
    for id in ended {
        Arc::make_mut(&mut view.jobs).stop(&id, "the owners changed again");
    }
}

/// Before a part of a job is noted as ended: a target that has moved all that was not its own holds its own alone.
pub(super) fn note_end(view: &mut ClusterView, job: &JobId, target: &NodeId, done: &Done) {
    let Some(job) = view.jobs.get(job.as_str()).filter(|job| job.stopped.is_none() && done.error.is_none())
    else {
        return;
    };
    let is_part = job.parts.get(target).is_some_and(|part| part.ended_ns.is_none());
    let of_now = view.moving.as_ref().is_some_and(|m| job.order.rebalances() == Some(m.version));
    if is_part && of_now {
        forget(view, target);
        if view.smap.targets.get(target).is_some_and(|t| t.flags.any(NodeFlags::MAINTENANCE)) {
            Arc::make_mut(&mut view.smap).set_flags(
                target.as_str(),
                NodeFlags::MAINTENANCE_REBALANCED,
                NodeFlags::default(),
            );
        }
    }
}

/// Those that have a part in the rebalance to the owners by this version of the map.
pub(super) fn rebalancing(view: &ClusterView, version: u64) -> Result<Vec<NodeId>, Refused> {
    let moving = view.moving.as_ref().filter(|m| m.version == version);
    let moving = moving.ok_or_else(|| Refused::Invalid("every object is at its owner".into()))?;
    if view.jobs.rebalances_to(version).any(|job| job.runs()) {
        return Err(Refused::Invalid("a rebalance runs".into()));
    }
    Ok(moving.holders().iter().cloned().collect())
}

/// Before a job about objects begins: the rebalance does that the leader would begin next. So the job is one of after the owners
/// changed, and waits until objects are at rest, rather than of before.
pub(super) fn begin_due(view: &mut ClusterView, now_ns: u64) -> Result<(), Refused> {
    let Some(version) = view.moving.as_ref().map(|moving| moving.version) else { return Ok(()) };
    if view.jobs.rebalances_to(version).next().is_some() {
        return Ok(());
    }
    let (id, order) = (view.jobs.next_rebalance()?, JobOrder::Rebalance { version });
    let holders = rebalancing(view, version)?;
    Arc::make_mut(&mut view.jobs).start(id, order, now_ns, holders);
    Ok(())
}

/// Expects that somebody is left to take objects, before a target stops owning names.
pub(super) fn expect_others(view: &ClusterView, node: &NodeId, set: NodeFlags) -> Result<(), Refused> {
    let rests = set.any(NodeFlags::MAINTENANCE.with(NodeFlags::DECOMMISSION));
    let holds = view.bmd.iter().next().is_some();
    match view.smap.targets.get(node) {
        Some(target) if rests && holds && target.is_active() => {}
        _ => return Ok(()),
    }
    if view.smap.active_targets().all(|target| target.id == *node) {
        return Err(Refused::Invalid(format!("{node} is the last target: nobody could take its objects")));
    }
    Ok(())
}

fn forget(view: &mut ClusterView, target: &NodeId) {
    view.moving = view.moving.take().and_then(|m| Moving::clone(&m).without(target.as_str())).map(Arc::new);
}

fn owners(smap: &Smap) -> BTreeSet<NodeId> {
    smap.active_targets().map(|t| t.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use weir_cluster::{BucketPropsPatch, ClusterUuid, NetInfo, Role, Selection};
    use weir_types::{Bucket, BucketName, Provider};

    use super::super::command::Command;
    use super::super::state::State;
    use super::*;

    fn target(n: usize) -> NodeId {
        NodeId::new(format!("target{n:02}")).unwrap()
    }

    struct World(State, u64);

    impl World {
        fn new(targets: usize) -> Self {
            let gateway = Node::new(NodeId::new("gateway0").unwrap(), Role::Gateway, NetInfo::new("h", 1));
            let mut world = Self(State::default(), 0);
            world.apply(Command::Form {
                uuid: ClusterUuid::new("Yx3l2Jk9p").unwrap(),
                now_ns: 1,
                primary: Box::new(gateway),
                config: Box::default(),
            });
            (1..=targets).for_each(|n| world.join(n));
            world
        }

        fn apply(&mut self, command: Command) {
            self.1 += 1;
            self.0.apply(self.1, command).unwrap();
            let bytes = self.0.encode().unwrap();
            assert_eq!(State::decode(&bytes).unwrap(), self.0, "a snapshot is the whole state");
        }

        fn join(&mut self, n: usize) {
            let node = Node::new(target(n), Role::Target, NetInfo::new("h", n as u16));
            self.apply(Command::Admit(Box::new(node)));
        }

        fn bucket(&mut self) {
            let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
            let props = BucketPropsPatch::new([], false).unwrap();
            self.apply(Command::CreateBucket { bucket, props, now_ns: 1 });
        }

        fn flags(&mut self, n: usize, set: NodeFlags, clear: NodeFlags) {
            self.apply(Command::SetFlags { node: target(n), set, clear });
        }

        fn view(&self) -> &ClusterView {
            self.0.view().unwrap()
        }

        fn version(&self) -> u64 {
            self.view().moving.as_ref().unwrap().version
        }

        fn holders(&self) -> Vec<String> {
            let holders = self.view().moving.iter().flat_map(|m| m.holders().iter().map(ToString::to_string));
            holders.collect()
        }

        fn begin(&mut self) -> JobId {
            let id = self.view().jobs.next_rebalance().unwrap();
            let order = Box::new(JobOrder::Rebalance { version: self.version() });
            self.apply(Command::StartJob { id: id.clone(), order, now_ns: 5 });
            id
        }

        fn end(&mut self, job: &JobId, n: usize) {
            let (job, target) = (job.clone(), target(n));
            self.apply(Command::EndPart { job, target, done: Done::default(), now_ns: 9 });
        }
    }

    #[test]
    fn objects_move_when_the_owners_change_and_there_are_any() {
        let mut world = World::new(2);
        assert!(world.view().moving.is_none(), "no bucket, no objects");
        world.bucket();
        world.flags(1, NodeFlags::AWAY, NodeFlags::default());
        world.flags(1, NodeFlags::default(), NodeFlags::AWAY);
        assert!(world.view().moving.is_none(), "who is away keeps its names");
        world.join(3);
        assert_eq!(world.holders(), ["target01", "target02"], "who is new holds nothing");
        let job = world.begin();
        assert_eq!(job.as_str(), "g1");
        world.end(&job, 1);
        assert_eq!(world.holders(), ["target02"]);
        world.end(&job, 2);
        assert!(world.view().moving.is_none() && !world.view().jobs.get("g1").unwrap().runs());
    }

    #[test]
    fn a_job_of_nobody_is_refused() {
        let mut world = World::new(1);
        world.flags(1, NodeFlags::MAINTENANCE, NodeFlags::default());
        world.bucket();
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let selection = Selection::Prefix(String::new());
        let order = Box::new(JobOrder::RemoveObjects { bucket, bid: 1, selection });
        let start = Command::StartJob { id: JobId::new("job000001").unwrap(), order, now_ns: 5 };
        assert!(matches!(world.0.apply(100, start), Err(Refused::Invalid(_))));
        assert!(world.view().jobs.get("job000001").is_none());
    }

    #[test]
    fn a_job_that_begins_before_the_rebalance_is_of_after_the_change() {
        let mut world = World::new(2);
        world.bucket();
        world.join(3);
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let order = JobOrder::RemoveObjects { bucket, bid: 1, selection: Selection::Prefix(String::new()) };
        for id in ["job000001", "job000002"] {
            let (id, order) = (JobId::new(id).unwrap(), Box::new(order.clone()));
            world.apply(Command::StartJob { id, order, now_ns: 5 });
        }
        let jobs = &world.view().jobs;
        let rebalances: Vec<_> = jobs.rebalances_to(world.version()).map(|job| job.started_ns).collect();
        assert_eq!(rebalances, [5], "one, as early as the first job");
        world.end(&JobId::new("g1").unwrap(), 1);
        assert_eq!(world.holders(), ["target02"]);
    }

    #[test]
    fn the_last_target_goes_on() {
        for set in [NodeFlags::MAINTENANCE, NodeFlags::DECOMMISSION] {
            let rest = |n| Command::SetFlags { node: target(n), set, clear: NodeFlags::default() };
            let mut world = World::new(2);
            world.bucket();
            world.apply(rest(1));
            assert!(matches!(world.0.apply(100, rest(2)), Err(Refused::Invalid(_))));
            world.flags(2, NodeFlags::AWAY, NodeFlags::default());
            assert!(matches!(world.0.apply(100, rest(2)), Err(Refused::Invalid(_))));
            assert_eq!(world.view().smap.active_targets().count(), 1);
            world.join(3);
            world.apply(rest(2));

            let mut empty = World::new(1);
            empty.apply(rest(1));
        }
    }

    #[test]
    fn a_further_change_begins_anew_and_forgets_nobody() {
        let mut world = World::new(3);
        world.bucket();
        world.flags(3, NodeFlags::MAINTENANCE, NodeFlags::default());
        let first = world.begin();
        world.end(&first, 1);
        world.join(4);
        assert_eq!(world.holders(), ["target01", "target02", "target03"]);
        assert!(world.view().jobs.get("g1").unwrap().stopped.is_some());
        // The end of a part under the earlier map says nothing of now.
        world.end(&first, 2);
        assert_eq!(world.holders().len(), 3);
        let second = world.begin();
        world.end(&second, 3);
        assert!(world.view().smap.targets[&target(3)].flags.any(NodeFlags::MAINTENANCE_REBALANCED));
        assert_eq!(world.holders(), ["target01", "target02"]);
        world.apply(Command::RemoveNode { node: target(3) });
        assert_eq!(world.holders(), ["target01", "target02"], "the owners are the same");
        world.apply(Command::RemoveNode { node: target(1) });
        assert_eq!(world.holders(), ["target02", "target04"], "who left holds nothing of the cluster");
    }

    #[test]
    fn who_was_stopped_is_not_through() {
        let mut world = World::new(2);
        world.bucket();
        world.join(3);
        let job = world.begin();
        let why = "user abort".into();
        world.apply(Command::StopJob { id: job.clone(), why });
        world.end(&job, 1);
        world.end(&job, 2);
        assert_eq!(world.holders(), ["target01", "target02"]);
        let again = world.begin();
        assert_eq!(again.as_str(), "g2");
        let order = Box::new(JobOrder::Rebalance { version: world.version() });
        let refused = Command::StartJob { id: JobId::new("g9").unwrap(), order, now_ns: 5 };
        assert!(world.0.apply(99, refused).is_err(), "one at a time");
    }
}
