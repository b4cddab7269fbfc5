//! What clients and operators ask of the processes. Each asks one process, and hears nothing if that dies.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_ais::{NodeAction, NodeActionKind};
use weir_cluster::{BucketPropsPatch, CopyKind, CopyOrder, JobId, JobOrder, NodeId, Selection};
use weir_types::{Bucket, BucketName, ObjectName, Provider};

use super::cluster::Cluster;
use super::shard::{Op, Shard};
use super::world::Place;
use crate::api::act;
use crate::core::Core;
use crate::raft::command::Command;
use crate::runtime;

/// The bucket with objects.
pub(super) const OBJECTS: &str = "objects";
/// The bucket with copies of them.
const COPIES: &str = "copies";
/// Objects that are asked for.
const NAMES: [&str; 8] = ["a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/3", "b/4"];

fn bucket(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}

fn create(name: &str) -> Command {
    let props = BucketPropsPatch::new([], false).unwrap();
    Command::CreateBucket { bucket: bucket(name), props, now_ns: runtime::now_ns() }
}

fn copy(from_bid: u64, to: Bucket, prefix: &str) -> CopyOrder {
    CopyOrder {
        as_what: CopyKind::Bucket,
        from: bucket(OBJECTS),
        from_bid,
        to,
        to_bid: 0,
        selection: Selection::Prefix(prefix.into()),
        prepend: String::new(),
        extensions: BTreeMap::new(),
        flat: false,
        dry_run: false,
        outside: false,
        workers: 0,
    }
}

impl Cluster {
    pub(super) fn cores(&self) -> Vec<(Place, Arc<Core>)> {
        let core = |place: Place| Some((place, self.processes[place].life.as_ref()?.lock().core.clone()?));
        (0..self.len()).filter_map(core).collect()
    }

    /// Processes that take requests.
    pub(super) fn shards(&self) -> Vec<(Place, Arc<Shard>)> {
        let shard = |place: Place| Some((place, self.processes[place].life.as_ref()?.lock().shard.clone()?));
        (0..self.len()).filter_map(shard).collect()
    }

    /// Somebody whose core runs has something carried out.
    fn by_any<F: Future<Output = ()> + Send + 'static>(&self, what: impl FnOnce(Arc<Core>) -> F) {
        let cores = self.cores();
        if !cores.is_empty() {
            let (place, core) = cores[self.any(cores.len())].clone();
            self.world.spawn_at(place, what(core));
        }
    }

    /// Somebody who runs is asked to make a bucket.
    pub(super) fn ask(&self) {
        let all = self.rafts();
        if all.is_empty() {
            return;
        }
        let (place, raft) = all[self.any(all.len())].clone();
        let answered = self.answered.clone();
        answered.lock().asked += 1;
        let name = format!("b{}", answered.lock().asked);
        self.world.spawn_at(place, async move {
            if let Ok(applied) = raft.propose(create(&name)).await {
                let mut answered = answered.lock();
                answered.index = answered.index.max(applied.index);
                answered.buckets.insert(name);
            }
        });
    }

    /// Somebody is asked to remove a bucket that is there.
    pub(super) fn remove_bucket(&self) {
        let mut answered = self.answered.lock();
        let Some(name) = answered.buckets.pop_first() else { return };
        answered.asked += 1;
        drop(answered);
        let answered = self.answered.clone();
        self.by_any(|core| async move {
            if core.destroy_bucket(bucket(&name), None).await.is_ok() {
                answered.lock().removed.insert(name);
            }
        });
    }

    /// Somebody is asked to let another gateway lead.
    pub(super) fn move_leadership(&self) {
        let all = self.rafts();
        if all.is_empty() {
            return;
        }
        let (place, raft) = all[self.any(all.len())].clone();
        let gateway = NodeId::new(format!("gateway{}", self.any(self.gateways))).unwrap();
        self.world.spawn_at(place, async move {
            // Whether it can is its matter.
            let _ = raft.set_primary(&gateway).await;
        });
    }

    /// Somebody is asked for an object, or to change it.
    pub(super) fn request(&self) {
        let shards = self.shards();
        if shards.is_empty() {
            return;
        }
        let (place, shard) = shards[self.any(shards.len())].clone();
        let key = (bucket(OBJECTS), ObjectName::new(NAMES[self.any(NAMES.len())]).unwrap());
        let op = match self.world.below(10) {
            0..5 => Op::Get,
            5..9 => Op::Put(self.history.write()),
            _ => Op::Delete,
        };
        if shard.view().is_ok_and(|view| view.bmd.get(&key.0).is_none()) {
            let made = self.rafts().into_iter().find(|(at, _)| *at == place);
            let Some((_, raft)) = made else { return };
            // It is asked for again until it is there.
            return self.world.spawn_at(place, async move { drop(raft.propose(create(OBJECTS)).await) });
        }
        let history = self.history.clone();
        let begun = history.asks();
        self.world.spawn_at(place, async move {
            let told = shard.request(&key, op).await;
            history.told(&key, begun, op == Op::Get, &told);
        });
    }

    /// A job is begun that removes objects, or copies them.
    pub(super) fn begin_job(&self) {
        let history = self.history.clone();
        let prefix = ["a/", "a/1", "b/"][self.any(3)];
        let to = self.world.chance(500).then(|| bucket(COPIES));
        self.by_any(|core| async move {
            let Ok(view) = core.view() else { return };
            let Some(bid) = view.bmd.get(&bucket(OBJECTS)).map(|info| info.bid) else { return };
            let order = match to.clone() {
                Some(to) => JobOrder::CopyObjects(Box::new(copy(bid, to, prefix))),
                None => {
                    let selection = Selection::Prefix(prefix.into());
                    JobOrder::RemoveObjects { bucket: bucket(OBJECTS), bid, selection }
                }
            };
            let id = JobId::generate(runtime::random());
            history.job(id.clone(), prefix, to);
            let (order, now_ns) = (Box::new(order), runtime::now_ns());
            if core.raft.propose(Command::StartJob { id: id.clone(), order, now_ns }).await.is_ok() {
                history.accepted(&id);
            }
        });
    }

    /// A target joins, rests, is back, leaves, or is given up.
    pub(super) fn change_members(&mut self) {
        let any = self.gateways + self.any(self.len() - self.gateways);
        let process = &mut self.processes[any];
        if std::mem::take(&mut process.waits) {
            return self.start(any);
        }
        let Some(id) = process.config.target.clone() else { return };
        let kind = match self.world.below(10) {
            0..3 => NodeActionKind::StartMaintenance,
            3..7 => NodeActionKind::StopMaintenance,
            7..9 => NodeActionKind::Decommission,
            _ if process.life.is_some() => return,
            _ => NodeActionKind::RemoveUnsafe,
        };
        if kind == NodeActionKind::RemoveUnsafe {
            self.forced.insert(id.clone());
        }
        let nodes = vec![id.to_string()];
        let (skip_rebalance, rm_user_data, no_shutdown) = (false, false, self.world.chance(500));
        self.by_any(|core| async move {
            let action = NodeAction { kind, nodes, skip_rebalance, rm_user_data, no_shutdown };
            // Whether it may be is theirs to say.
            let _ = act(&core, &action).await;
        });
    }
}
