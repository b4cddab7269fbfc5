//! What copying a bucket changes in the replicated state: its destination is made, and a bucket that is renamed goes.
//!
//! | a rename | the source | the destination |
//! |---|---|---|
//! | begins | is marked: it is read, and takes no changes | is made with the source's properties |
//! | ends well at every target | is gone; what is kept of it is removed | has every object |
//! | is stopped, fails somewhere, or owners change | loses its mark and stays as it was | stays with what it has |
//!
//! Whether every object was copied can only be said while nobody's objects move: so owners that change, even if they change
//! back, stop a rename.

use std::sync::Arc;

use weir_cluster::{BucketProps, ClusterView, CopyOrder, Job, JobId};
use weir_types::{Bucket, Provider};

use super::command::Refused;

/// Kinds of jobs that move objects.
const MOVERS: [&str; 2] = ["rebalance", "resilver"];

/// Makes ready what a copying needs, or refuses it; a refusal changes nothing.
pub(super) fn begin(view: &mut ClusterView, copy: &mut CopyOrder, now_ns: u64) -> Result<(), Refused> {
    let from = view.bmd.expect(&copy.from)?;
    copy.from_bid = from.bid;
    let props = match copy.from.provider {
        Provider::Ais => from.props.clone(),
        // Where a remote bucket's origin is, and what follows from it, is nothing for another bucket.
        _ => BucketProps::inherit(&view.config, &copy.to),
    };
    let present = view.bmd.get(&copy.to).map(|to| to.bid);
    if copy.is_rename() {
        view.bmd.takes_objects(&copy.from)?;
        if present.is_some() {
            return Err(Refused::BucketExists(copy.to.clone()));
        }
        if let Some(why) = movement(view) {
            return Err(Refused::Invalid(format!("bucket \"{}\" cannot be renamed now: {why}", copy.from)));
        }
    }
    copy.to_bid = match present {
        Some(_) => {
            view.bmd.takes_objects(&copy.to)?;
            present.unwrap_or_default()
        }
        None if copy.dry_run => 0,
        None => {
            let bmd = Arc::make_mut(&mut view.bmd);
            bmd.create(copy.to.clone(), props, now_ns)?;
            if copy.is_rename()
                && let Err(error) = bmd.begin_removal(&copy.from)
            {
                bmd.destroy(&copy.to)?;
                return Err(error.into());
            }
            bmd.expect(&copy.to)?.bid
        }
    };
    Ok(())
}

/// The renames that run.
pub(super) fn renames(view: &ClusterView) -> Vec<JobId> {
    let is_rename = |job: &&Arc<Job>| job.runs() && job.order.copies().is_some_and(CopyOrder::is_rename);
    view.jobs.iter().filter(is_rename).map(|job| job.id.clone()).collect()
}

/// After a command: what it means for renames that ran before it.
pub(super) fn follow(view: &mut ClusterView, renames: &[JobId]) {
    for id in renames {
        let Some(job) = view.jobs.get(id.as_str()).cloned() else { continue };
        if !job.runs() {
            end(view, &job);
        } else if job.stopped.is_none() {
            let why = if job.has_owners_of(&view.smap) {
                movement(view)
            } else {
                Some("owners of objects changed meanwhile")
            };
            if let Some(why) = why {
                Arc::make_mut(&mut view.jobs).stop(id, why);
            }
        }
    }
}

/// Why nobody can say that all objects are where they belong.
fn movement(view: &ClusterView) -> Option<&'static str> {
    let moves = |job: &Arc<Job>| job.runs() && MOVERS.contains(&job.order.kind());
    if view.smap.active_targets().next().is_none() {
        return Some("no target is in service");
    }
    let is_moving = view.moving.is_some() || view.jobs.iter().any(moves);
    is_moving.then_some("objects are on the move to other targets or disks")
}

/// The source goes if everything was copied, and stays otherwise.
fn end(view: &mut ClusterView, job: &Job) {
    let Some(copy) = job.order.copies() else { return };
    let is_same = |bucket: &Bucket, bid: u64| view.bmd.get(bucket).is_some_and(|info| info.bid == bid);
    let is_marked = view.bmd.removing().contains(&copy.from);
    if !is_marked || !is_same(&copy.from, copy.from_bid) {
        return;
    }
    let is_copied = job.stopped.is_none() && job.error().is_none() && is_same(&copy.to, copy.to_bid);
    let bmd = Arc::make_mut(&mut view.bmd);
    if is_copied {
        // The mark stays until what is kept of it is removed. It is there: it was asked for above.
        let _ = bmd.destroy(&copy.from);
    } else {
        bmd.end_removal(&copy.from);
    }
}

#[cfg(test)]
mod tests {
    use weir_cluster::{
        BucketPropsPatch, ClusterConfig, ClusterUuid, CopyKind, Done, JobOrder, NetInfo, Node, NodeFlags,
        NodeId, Role, Selection,
    };
    use weir_types::BucketName;

    use super::*;
    use crate::raft::command::Command;
    use crate::raft::state::State;

    fn node(role: Role, id: &str) -> Box<Node> {
        Box::new(Node::new(NodeId::new(id).unwrap(), role, NetInfo::new("h", 1)))
    }

    fn bucket(name: &str) -> Bucket {
        Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
    }

    struct Log(State, u64);

    impl Log {
        fn apply(&mut self, command: Command) {
            self.1 += 1;
            self.0.apply(self.1, command).unwrap();
        }

        fn view(&self) -> &ClusterView {
            self.0.view().unwrap()
        }

        /// A cluster of two targets that renames a bucket.
        fn renaming() -> (Self, JobId) {
            let mut log = Self(State::default(), 0);
            let (uuid, primary) = (ClusterUuid::new("Yx3l2Jk9p").unwrap(), node(Role::Gateway, "p1p1p1p1"));
            log.apply(Command::Form { uuid, now_ns: 1, primary, config: Box::new(ClusterConfig::default()) });
            log.apply(Command::PutNode(node(Role::Target, "t1t1t1t1")));
            log.apply(Command::PutNode(node(Role::Target, "t2t2t2t2")));
            let props = BucketPropsPatch::new([], false).unwrap();
            log.apply(Command::CreateBucket { bucket: bucket("a"), props, now_ns: 2 });
            let order = CopyOrder {
                as_what: CopyKind::Rename,
                from: bucket("a"),
                from_bid: 0,
                to: bucket("b"),
                to_bid: 0,
                selection: Selection::Prefix(String::new()),
                prepend: String::new(),
                extensions: Default::default(),
                flat: false,
                dry_run: false,
                outside: false,
                workers: 0,
            };
            let id = JobId::new("rename001").unwrap();
            let order = Box::new(JobOrder::CopyObjects(Box::new(order)));
            log.apply(Command::StartJob { id: id.clone(), order, now_ns: 3 });
            assert!(log.view().bmd.takes_objects(&bucket("a")).is_err());
            (log, id)
        }

        fn end(&mut self, id: &JobId, target: &str, error: Option<&str>) {
            let done = Done { error: error.map(str::to_owned), ..Done::default() };
            let target = NodeId::new(target).unwrap();
            self.apply(Command::EndPart { job: id.clone(), target, done, now_ns: 4 });
        }

        /// Whether the bucket has its former name and takes objects.
        fn is_as_before(&self) -> bool {
            self.view().bmd.takes_objects(&bucket("a")).is_ok()
        }
    }

    #[test]
    fn the_source_goes_with_the_last_part() {
        let (mut log, id) = Log::renaming();
        log.end(&id, "t1t1t1t1", None);
        assert!(log.view().bmd.get(&bucket("a")).is_some());
        log.end(&id, "t2t2t2t2", None);
        let bmd = &log.view().bmd;
        assert!(bmd.get(&bucket("a")).is_none() && bmd.removing().contains(&bucket("a")));
        assert!(bmd.get(&bucket("b")).is_some());
    }

    #[test]
    fn a_part_that_failed_keeps_it() {
        let (mut log, id) = Log::renaming();
        log.end(&id, "t1t1t1t1", Some("disk"));
        log.end(&id, "t2t2t2t2", None);
        assert!(log.is_as_before());
    }

    #[test]
    fn owners_that_change_stop_a_rename() {
        let none = NodeFlags::default();
        let there_and_back = |log: &mut Log| {
            let node = || NodeId::new("t2t2t2t2").unwrap();
            log.apply(Command::SetFlags { node: node(), set: NodeFlags::MAINTENANCE, clear: none });
            log.apply(Command::SetFlags { node: node(), set: none, clear: NodeFlags::MAINTENANCE });
        };
        let joined = |log: &mut Log| log.apply(Command::PutNode(node(Role::Target, "t3t3t3t3")));
        for change in [&there_and_back as &dyn Fn(&mut Log), &joined] {
            let (mut log, id) = Log::renaming();
            change(&mut log);
            assert!(log.view().jobs.get("rename001").unwrap().stopped.is_some());
            log.end(&id, "t1t1t1t1", None);
            log.end(&id, "t2t2t2t2", None);
            assert!(log.is_as_before());
        }
        let (mut log, id) = Log::renaming();
        log.end(&id, "t1t1t1t1", None);
        log.apply(Command::RemoveNode { node: NodeId::new("t2t2t2t2").unwrap() });
        assert!(log.is_as_before(), "who left took its part along");
    }

    #[test]
    fn a_destination_that_went_keeps_the_source() {
        let (mut log, id) = Log::renaming();
        log.apply(Command::DestroyBucket { bucket: bucket("b"), bid: None });
        log.end(&id, "t1t1t1t1", None);
        log.end(&id, "t2t2t2t2", None);
        assert!(log.is_as_before());
    }
}
