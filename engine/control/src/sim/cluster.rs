//! The processes of a simulation, what is asked of them, and what becomes of them.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use weir_auth::{PeerKey, Secret};
use weir_cluster::{NetInfo, NodeId, Roles};

use super::checks::{Answered, Seen, Wrong, unrest};
use super::disk::{Disk, Open};
use super::history::History;
use super::net::Listener;
use super::shard::Shard;
use super::store::Disks;
use super::world::{NOBODY, Place, World};
use crate::core::Core;
use crate::peers::{CoreLink, Hub};
use crate::raft::db::Db;
use crate::raft::node::{RaftNode, identity};
use crate::removal::Removals;
use crate::{ControlConfig, ControlError, PeersConfig, runtime};

/// For how long things go wrong.
const TROUBLE: Duration = Duration::from_secs(30);
/// How long everybody may take after that to be at rest.
const REST_MAX: Duration = Duration::from_secs(60);

/// A process, whether it runs or not.
pub(super) struct Process {
    pub(super) config: ControlConfig,
    disk: Disk,
    /// What it keeps of objects, as a target.
    pub(super) disks: Disks,
    /// It was never started.
    pub(super) waits: bool,
    pub(super) life: Option<Arc<Mutex<Life>>>,
}

/// One life of it.
#[derive(Default)]
pub(super) struct Life {
    raft: Option<RaftNode>,
    pub(super) shard: Option<Arc<Shard>>,
    pub(super) core: Option<Arc<Core>>,
    /// Why it ended by itself.
    pub(super) ended: Option<String>,
}

/// All of them.
pub(super) struct Cluster {
    pub(super) world: Rc<World>,
    pub(super) answered: Arc<Mutex<Answered>>,
    pub(super) history: History,
    /// Targets that somebody took off the map, whatever they hold.
    pub(super) forced: BTreeSet<NodeId>,
    pub(super) processes: Vec<Process>,
    pub(super) gateways: usize,
    /// Of 1000 things that may go wrong, how many do.
    trouble: u64,
    /// New nodes so far in place of others.
    pub(super) renewed: u64,
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
    /// Requests for objects that were answered by other than 503, of so many.
    pub(super) served: u64,
    pub(super) requests: u64,
    pub(super) rebalances: u64,
    pub(super) deeds: u64,
    pub(super) elapsed: Duration,
}

impl Outcome {
    /// Together with another; a trace is of one alone.
    pub(super) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.answered += other.answered;
        self.asked += other.asked;
        self.served += other.served;
        self.requests += other.requests;
        self.rebalances += other.rebalances;
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
    let (requests, served) = cluster.history.count();
    (0..cluster.len()).for_each(|place| cluster.kill(place, false));
    world.end();
    lived.map(|()| Outcome {
        trace: world.trace(),
        messages: world.net.sent(),
        answered,
        asked,
        served,
        requests,
        rebalances: cluster.seen.rebalances(),
        deeds: cluster.deeds,
        elapsed: world.elapsed(),
    })
}

impl Cluster {
    fn new(world: Rc<World>) -> Self {
        let gateways = [1, 3, 3, 3, 5][usize::try_from(world.below(5)).unwrap()];
        let targets = 1 + usize::try_from(world.below(3)).unwrap();
        let later = 1 + usize::try_from(world.below(2)).unwrap();
        let trouble = [1000, 300, 100][usize::try_from(world.below(3)).unwrap()];
        let mut cluster = Self::of(world, gateways, targets + later);
        cluster.trouble = trouble;
        cluster.processes.iter_mut().skip(gateways + targets).for_each(|process| process.waits = true);
        cluster
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
            Process { config, disk: Disk::default(), disks: Disks::default(), waits: false, life: None }
        };
        let processes = (0..gateways + targets).map(process).collect();
        Self {
            world,
            answered: Arc::default(),
            history: History::default(),
            forced: BTreeSet::new(),
            processes,
            gateways,
            trouble: 1000,
            renewed: 0,
            seen: Seen::default(),
            deeds: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.processes.len()
    }

    /// Those that run so far that they take part.
    pub(super) fn rafts(&self) -> Vec<(Place, RaftNode)> {
        let raft = |p: &Process| p.life.as_ref().and_then(|life| life.lock().raft.clone());
        self.processes.iter().enumerate().filter_map(|(place, p)| Some((place, raft(p)?))).collect()
    }

    /// The ID of a process that is a target.
    pub(super) fn target(&self, place: Place) -> Option<&NodeId> {
        (place >= self.gateways).then_some(self.processes[place].config.target.as_ref()?)
    }

    /// The disks of a target.
    pub(super) fn disks(&self, target: &NodeId) -> Option<&Disks> {
        let mut targets = self.processes.iter().skip(self.gateways);
        targets.find(|process| process.config.target.as_ref() == Some(target)).map(|process| &process.disks)
    }

    fn live(&mut self) -> Result<(), Wrong> {
        self.start_all();
        let mut next = Duration::from_millis(500);
        let mut next_request = next;
        while self.world.elapsed() < TROUBLE {
            self.step()?;
            if self.world.elapsed() >= next {
                self.something();
                next = self.world.elapsed() + Duration::from_millis(20 + self.world.below(400));
            }
            if self.world.elapsed() >= next_request {
                self.request();
                next_request = self.world.elapsed() + Duration::from_millis(10 + self.world.below(110));
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

    pub(super) fn start(&mut self, place: Place) {
        let process = &mut self.processes[place];
        if process.life.is_some() || process.waits {
            return;
        }
        let life = Arc::new(Mutex::new(Life::default()));
        process.life = Some(life.clone());
        let (config, open, disks) = (process.config.clone(), process.disk.open(), process.disks.clone());
        let history = self.history.clone();
        self.world.spawn_at(place, async move {
            if let Err(error) = begin(place, config, open, (disks, history), &life).await {
                life.lock().ended = Some(error.to_string());
            }
        });
    }

    pub(super) fn kill(&mut self, place: Place, power: bool) {
        let Some(life) = self.processes[place].life.take() else { return };
        // First: what is dropped below would close its file in order.
        self.processes[place].disk.died(power);
        self.world.net.gone(place);
        let ended = std::mem::take(&mut *life.lock());
        drop(ended);
        self.world.kill(place);
        self.seen.died(place);
    }

    /// Starts again who does not run or does nothing any more. Who was taken off the map begins anew, with nothing.
    pub(super) fn bring_back(&mut self) {
        for place in 0..self.len() {
            let Some(life) = self.processes[place].life.clone() else {
                self.start(place);
                continue;
            };
            let (is_over, is_off) = life.lock().end();
            if is_over {
                self.kill(place, false);
            }
            let target = self.processes[place].config.target.as_ref();
            if is_off && target.is_some_and(|id| !self.seen.is_mapped(id)) {
                self.renew(place);
            }
            self.start(place);
        }
    }

    /// Gives a process of a node that is off the map empty disks, as another node.
    fn renew(&mut self, place: Place) {
        self.renewed += 1;
        let renewed = NodeId::new(format!("targetx{}", self.renewed)).unwrap();
        let process = &mut self.processes[place];
        process.config.target = Some(renewed);
        (process.disk, process.disks) = Default::default();
    }

    fn make_peace(&mut self) {
        self.world.net.heal();
        self.world.net.weather(0, 0);
        (0..self.len()).for_each(|place| self.world.stand(place, false));
        self.processes.iter_mut().for_each(|process| process.waits = false);
        self.bring_back();
    }

    pub(super) fn any(&self, of: usize) -> Place {
        usize::try_from(self.world.below(of as u64)).unwrap()
    }

    /// Something happens: a change is asked for more often than something goes wrong.
    fn something(&mut self) {
        self.deeds += 1;
        let (any, all) = (self.any(self.len()), self.len());
        let what = self.world.below(40);
        if what >= 20 && !self.world.chance(self.trouble) {
            return;
        }
        match what {
            0..12 => self.ask(),
            12..17 => self.change_members(),
            17 | 18 => self.begin_job(),
            19 => self.remove_bucket(),
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
}

impl Life {
    /// Whether it does nothing any more, and whether that is because its node is off the map.
    fn end(&self) -> (bool, bool) {
        let refused = |raft: &RaftNode| raft.company().and_then(|company| company.refused.lock().clone());
        let why = self.ended.clone().or_else(|| self.raft.as_ref().and_then(refused));
        let is_off = why.as_ref().is_some_and(|why| why.contains("taken off the map"));
        let is_asked = self.shard.as_ref().is_some_and(|shard| shard.stop_asked.load(Ordering::Relaxed));
        (is_off || is_asked || self.ended.is_some(), is_off)
    }
}

/// A process from its start on, as the control thread does it.
async fn begin(
    place: Place,
    config: ControlConfig,
    open: Open,
    (disks, history): (Disks, History),
    life: &Mutex<Life>,
) -> Result<(), ControlError> {
    let db = Db::over(open).map_err(|e| ControlError::Thread(e.to_string()))?;
    let identity = identity(&db, &config).await?;
    let raft = RaftNode::begin(db, identity, &config).await?;
    let shard = Arc::new(Shard::new(raft.clone(), disks, history));
    let (removals, link) = (Removals::default(), CoreLink::default());
    let hub =
        Hub { raft: raft.clone(), backend: shard.clone(), removals: removals.clone(), core: link.clone() };
    if let Some(world) = World::here() {
        let listener = Listener { place, hub, shard: shard.clone() };
        world.net.listen(&config.intra_control.authority(), listener);
    }
    raft.take_turns();
    life.lock().raft = Some(raft.clone());
    raft.settle(&config, runtime::now_ns()).await?;
    let core = Core::begin(raft, shard.clone(), removals, link, config);
    shard.open();
    let mut life = life.lock();
    (life.shard, life.core) = (Some(shard), Some(core));
    Ok(())
}
