//! The processes of a simulation, what is asked of them, and what becomes of them.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use weir_auth::{PeerKey, Secret};
use weir_cluster::{BucketPropsPatch, NetInfo, NodeId, Roles};
use weir_types::{Bucket, BucketName, Provider};

use super::checks::{Answered, Seen, Wrong, unrest};
use super::disk::{Disk, Open};
use super::world::{NOBODY, Place, World};
use crate::api::tests::Memory;
use crate::peers::Hub;
use crate::raft::command::Command;
use crate::raft::db::Db;
use crate::raft::node::{RaftNode, identity};
use crate::{ControlConfig, ControlError, PeersConfig, runtime};

/// For how long things go wrong.
const TROUBLE: Duration = Duration::from_secs(40);
/// How long everybody may take after that to be at rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// A process, whether it runs or not.
struct Process {
    config: ControlConfig,
    disk: Disk,
    life: Option<Arc<Mutex<Life>>>,
}

/// One life of it.
#[derive(Default)]
struct Life {
    raft: Option<RaftNode>,
    /// Why it ended by itself.
    ended: Option<String>,
}

/// All of them.
pub(super) struct Cluster {
    pub(super) world: Rc<World>,
    pub(super) answered: Arc<Mutex<Answered>>,
    processes: Vec<Process>,
    pub(super) gateways: usize,
    seen: Seen,
    /// What was done to them.
    pub(super) deeds: u64,
}

/// What one seed came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Outcome {
    pub(super) trace: u64,
    pub(super) messages: u64,
    pub(super) answered: u64,
    pub(super) asked: u64,
    pub(super) deeds: u64,
    pub(super) elapsed: Duration,
}

impl Outcome {
    /// Together with another; a trace is of one alone.
    pub(super) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.answered += other.answered;
        self.asked += other.asked;
        self.deeds += other.deeds;
        self.elapsed += other.elapsed;
    }
}

/// Runs one seed.
pub(super) fn run(seed: u64) -> Result<Outcome, Wrong> {
    story(seed, Cluster::new, Cluster::live)
}

pub(super) fn story(
    seed: u64,
    make: impl FnOnce(Rc<World>) -> Cluster,
    live: impl FnOnce(&mut Cluster) -> Result<(), Wrong>,
) -> Result<Outcome, Wrong> {
    let world = World::begin(seed);
    let mut cluster = make(world.clone());
    let lived = live(&mut cluster).map_err(|wrong| format!("seed {seed} at {:?}: {wrong}", world.elapsed()));
    let answered = cluster.answered.lock().buckets.len() as u64;
    let asked = cluster.answered.lock().asked;
    (0..cluster.len()).for_each(|place| cluster.kill(place, false));
    world.end();
    lived.map(|()| Outcome {
        trace: world.trace(),
        messages: world.net.sent(),
        answered,
        asked,
        deeds: cluster.deeds,
        elapsed: world.elapsed(),
    })
}

impl Cluster {
    fn new(world: Rc<World>) -> Self {
        let gateways = [1, 3, 3, 3, 5][usize::try_from(world.below(5)).unwrap()];
        let targets = 1 + usize::try_from(world.below(3)).unwrap();
        Self::of(world, gateways, targets)
    }

    pub(super) fn of(world: Rc<World>, gateways: usize, targets: usize) -> Self {
        let at = |i: usize| NetInfo::new(format!("n{i}"), 1);
        let seeds: Vec<String> = (0..gateways).map(|i| at(i).authority()).collect();
        let key = PeerKey::new(&Secret::new("a secret of the cluster")).unwrap();
        let process = |i: usize| {
            let peers = PeersConfig {
                listen: "127.0.0.1:1".parse().unwrap(),
                seeds: seeds.clone(),
                key: key.clone(),
            };
            let roles = if i < gateways { Roles::Gateway } else { Roles::Target };
            // Snapshots often enough that who was away needs one.
            let config = ControlConfig {
                roles,
                peers: Some(peers),
                snapshot_entries: 30,
                gateway: Some(NodeId::new(format!("gateway{i}")).unwrap()),
                target: Some(NodeId::new(format!("targetn{i}")).unwrap()),
                ..ControlConfig::new("/nowhere", at(i))
            };
            Process { config, disk: Disk::default(), life: None }
        };
        let processes = (0..gateways + targets).map(process).collect();
        Self { world, answered: Arc::default(), processes, gateways, seen: Seen::default(), deeds: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Those that run so far that they take part.
    pub(super) fn rafts(&self) -> Vec<(Place, RaftNode)> {
        let raft = |p: &Process| p.life.as_ref().and_then(|life| life.lock().raft.clone());
        self.processes.iter().enumerate().filter_map(|(place, p)| Some((place, raft(p)?))).collect()
    }

    fn live(&mut self) -> Result<(), Wrong> {
        self.start_all();
        let mut next = Duration::from_millis(500);
        while self.world.elapsed() < TROUBLE {
            self.step()?;
            if self.world.elapsed() >= next {
                self.something();
                next = self.world.elapsed() + Duration::from_millis(20 + self.world.below(400));
            }
        }
        self.make_peace();
        for _ in 0..500 {
            self.step()?;
        }
        self.ask();
        self.rest()
    }

    pub(super) fn start_all(&mut self) {
        // Time goes on when nobody runs.
        self.world.spawn_at(NOBODY, async {
            loop {
                runtime::sleep(Duration::from_millis(50)).await;
            }
        });
        (0..self.len()).for_each(|place| self.start(place));
    }

    /// Goes on until all are at rest.
    pub(super) fn rest(&mut self) -> Result<(), Wrong> {
        let begin = self.world.elapsed();
        while let Some(wrong) = unrest(self) {
            if self.world.elapsed() > begin + REST_MAX {
                return Err(format!("no rest: {wrong}"));
            }
            self.bring_back();
            for _ in 0..20 {
                self.step()?;
            }
        }
        Ok(())
    }

    pub(super) fn pass(&mut self, time: Duration) -> Result<(), Wrong> {
        let until = self.world.elapsed() + time;
        while self.world.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    pub(super) fn step(&mut self) -> Result<(), Wrong> {
        if !self.world.step() {
            return Err("nothing ever happens again".into());
        }
        if let Some(said) = self.world.panicked() {
            return Err(format!("a task panicked: {said}"));
        }
        let mut seen = std::mem::take(&mut self.seen);
        let checked = seen.check(self);
        self.seen = seen;
        checked
    }

    fn start(&mut self, place: Place) {
        let process = &mut self.processes[place];
        if process.life.is_some() {
            return;
        }
        let life = Arc::new(Mutex::new(Life::default()));
        process.life = Some(life.clone());
        let (config, open) = (process.config.clone(), process.disk.open());
        self.world.spawn_at(place, async move {
            if let Err(error) = begin(place, config, open, &life).await {
                life.lock().ended = Some(error.to_string());
            }
        });
    }

    pub(super) fn kill(&mut self, place: Place, power: bool) {
        let Some(life) = self.processes[place].life.take() else { return };
        // First: what is dropped below would close its file in order.
        self.processes[place].disk.died(power);
        self.world.net.gone(place);
        drop(life.lock().raft.take());
        self.world.kill(place);
        self.seen.died(place);
    }

    /// Starts again who ended by itself.
    pub(super) fn bring_back(&mut self) {
        for place in 0..self.len() {
            let ended = |life: &Arc<Mutex<Life>>| life.lock().ended.is_some();
            if self.processes[place].life.as_ref().is_some_and(ended) {
                self.kill(place, false);
            }
            self.start(place);
        }
    }

    fn make_peace(&mut self) {
        self.world.net.heal();
        self.world.net.weather(0, 0);
        (0..self.len()).for_each(|place| self.world.stand(place, false));
        self.bring_back();
    }

    pub(super) fn any(&self, of: usize) -> Place {
        usize::try_from(self.world.below(of as u64)).unwrap()
    }

    /// Something happens: a change is asked for more often than something goes wrong.
    fn something(&mut self) {
        self.deeds += 1;
        let (any, all) = (self.any(self.len()), self.len());
        match self.world.below(40) {
            0..20 => self.ask(),
            20..22 => self.kill(any, false),
            22..24 => self.kill(any, true),
            24 if self.world.chance(300) => (0..all).for_each(|place| self.kill(place, true)),
            24..28 => self.bring_back(),
            28..30 => self.world.stand(any, true),
            30..32 => (0..all).for_each(|place| self.world.stand(place, false)),
            32 => self.apart(),
            33 => self.cut_off(any),
            34..36 => self.world.net.heal(),
            36 => self.world.net.weather(self.world.below(150), self.world.below(100)),
            37 => self.world.net.weather(0, 0),
            38 => self.move_leadership(),
            _ => {}
        }
        if self.world.stands(any) && self.world.chance(200) {
            self.world.stand(any, false);
        }
    }

    /// Two sides that do not hear each other.
    fn apart(&self) {
        let sides: Vec<bool> = (0..self.len()).map(|_| self.world.chance(500)).collect();
        for (from, side) in sides.iter().enumerate() {
            let others = sides.iter().enumerate().filter(|(_, other)| *other != side);
            others.for_each(|(to, _)| self.world.net.cut(from, to));
        }
    }

    /// One that hears nobody, is heard by nobody, or both.
    fn cut_off(&self, one: Place) {
        let way = self.world.below(3);
        for other in 0..self.len() {
            if way != 0 {
                self.world.net.cut(one, other);
            }
            if way != 1 {
                self.world.net.cut(other, one);
            }
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
        let bucket = Bucket::global(Provider::Ais, BucketName::new(&name).unwrap());
        let props = BucketPropsPatch::new([], false).unwrap();
        self.world.spawn_at(place, async move {
            let create = Command::CreateBucket { bucket, props, now_ns: runtime::now_ns() };
            if let Ok(applied) = raft.propose(create).await {
                let mut answered = answered.lock();
                answered.index = answered.index.max(applied.index);
                answered.buckets.insert(name);
            }
        });
    }

    /// Somebody is asked to let another gateway lead.
    fn move_leadership(&self) {
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
}

/// A process from its start on, as the control thread does it.
async fn begin(
    place: Place,
    config: ControlConfig,
    open: Open,
    life: &Mutex<Life>,
) -> Result<(), ControlError> {
    let db = Db::over(open).map_err(|e| ControlError::Thread(e.to_string()))?;
    let identity = identity(&db, &config).await?;
    let raft = RaftNode::begin(db, identity, &config).await?;
    let hub = Hub {
        raft: raft.clone(),
        backend: Arc::new(Memory::default()),
        removals: Default::default(),
        core: Default::default(),
    };
    if let Some(world) = World::here() {
        world.net.listen(&config.intra_control.authority(), place, hub);
    }
    raft.take_turns();
    life.lock().raft = Some(raft.clone());
    raft.settle(&config, runtime::now_ns()).await
}
