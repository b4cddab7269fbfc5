//! What is done to a cluster while clients work on it.
//!
//! | kind | what happens |
//! |---|---|
//! | `leader`, `follower`, `target` | the process is killed (SIGKILL), and started again after a while |
//! | `all` | all processes are killed at once, and started again |
//! | `stop` | a process stands still (SIGSTOP) for a while |
//! | `join` | the spare target joins |
//! | `leave` | a target is decommissioned; it becomes the spare one |
//! | `maintenance` | a target gives its objects away, rests, and comes back |
//! | `mountpath` | a mountpath is detached, another one attached |
//! | `wipe` | a mountpath loses the copies of the mirrored bucket without notice |
//! | `disk` | a disk begins to answer EIO; it is mended, and its node takes it back |
//! | `moves` | a target joins, or leaves, and a mountpath is exchanged at another one at the same time |
//! | `cut` | the leader and a target are cut off from the rest of the network |

mod cut;
mod disk;
mod kills;
mod members;
mod mountpaths;

use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use weir_faultdisk::rng::Rng;

use crate::cluster::{Cluster, GATEWAYS};
use crate::error::ChaosError;
use crate::network::Network;
use crate::scene::Scene;
use crate::watch::Watch;

/// A kind of event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, clap::ValueEnum)]
pub enum Kind {
    /// The leader is killed.
    Leader,
    /// Another gateway is killed.
    Follower,
    /// A target is killed.
    Target,
    /// All are killed at once.
    All,
    /// A process stands still.
    Stop,
    /// A target joins.
    Join,
    /// A target is decommissioned.
    Leave,
    /// A target rests and comes back.
    Maintenance,
    /// A mountpath is exchanged.
    Mountpath,
    /// A mountpath loses its copies.
    Wipe,
    /// A disk fails.
    Disk,
    /// Rebalance and resilver at once.
    Moves,
    /// The leader is in the minority.
    Cut,
}

impl Kind {
    /// All kinds, in the order of a report.
    pub const ALL: [Self; 13] = [
        Self::Leader,
        Self::Follower,
        Self::Target,
        Self::All,
        Self::Stop,
        Self::Join,
        Self::Leave,
        Self::Maintenance,
        Self::Mountpath,
        Self::Wipe,
        Self::Disk,
        Self::Moves,
        Self::Cut,
    ];

    /// As it is written in flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Target => "target",
            Self::All => "all",
            Self::Stop => "stop",
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Maintenance => "maintenance",
            Self::Mountpath => "mountpath",
            Self::Wipe => "wipe",
            Self::Disk => "disk",
            Self::Moves => "moves",
            Self::Cut => "cut",
        }
    }

    /// What this machine lacks for it, if anything.
    pub fn missing(self) -> Option<String> {
        match self {
            Self::Disk => weir_faultdisk::rig::missing(disk::FILE_SYSTEM),
            Self::Cut => Network::missing(),
            _ => None,
        }
    }
}

/// An event while it happens.
pub struct Event<'s, 'c> {
    /// The round that it happens in.
    pub scene: &'s Scene<'c>,
    /// Who leads.
    pub watch: &'s Watch,
    /// How many operations clients do before, during and after it.
    pub operations: u64,
    /// Targets that an event of this round has to itself.
    pub taken: &'s Mutex<BTreeSet<usize>>,
    /// How long it took until another gateway led, where that was looked at.
    pub led_after: &'s Mutex<Option<Duration>>,
}

impl<'c> Event<'_, 'c> {
    /// Has one happen, by the choices of `dice`; when it returns, everything that was broken is mended or on its way to be.
    pub fn run(&self, kind: Kind, dice: &mut Rng) -> Result<(), ChaosError> {
        match kind {
            Kind::Leader => kills::leader(self),
            Kind::Follower => kills::follower(self, dice),
            Kind::Target => kills::target(self, dice),
            Kind::All => kills::all(self),
            Kind::Stop => kills::stop(self, dice),
            Kind::Join => members::join(self),
            Kind::Leave => members::leave(self, dice),
            Kind::Maintenance => members::maintenance(self, dice),
            Kind::Mountpath => mountpaths::exchange(self, dice),
            Kind::Wipe => mountpaths::wipe(self, dice),
            Kind::Disk => disk::fail(self, dice),
            Kind::Moves => self.moves(dice),
            Kind::Cut => cut::minority(self, dice),
        }
    }

    /// A change of the targets and one of mountpaths, at the same time.
    fn moves(&self, dice: &mut Rng) -> Result<(), ChaosError> {
        let (mut first, mut second) = (Rng::new(dice.bits()), Rng::new(dice.bits()));
        std::thread::scope(|scope| {
            let exchanged = scope.spawn(|| mountpaths::exchange(self, &mut second));
            let moved = match self.cluster().spare() {
                Some(_) => members::join(self),
                None => members::leave(self, &mut first),
            };
            let exchanged = exchanged.join().unwrap_or_else(|_| {
                Err(ChaosError::Usage("the thread that exchanged a mountpath panicked".into()))
            });
            moved.and(exchanged)
        })
    }

    fn cluster(&self) -> &'c Cluster {
        self.scene.cluster
    }

    /// A target that no other event of this round has.
    fn take_target(&self, dice: &mut Rng) -> Result<usize, ChaosError> {
        let mut taken = self.taken.lock();
        let free: Vec<usize> = self.cluster().targets().into_iter().filter(|t| !taken.contains(t)).collect();
        let target = free.get(dice.below(free.len() as u64) as usize);
        let target = *target.ok_or_else(|| ChaosError::Usage("no target is left for an event".into()))?;
        taken.insert(target);
        Ok(target)
    }

    /// The gateway that leads.
    fn leader(&self) -> Result<usize, ChaosError> {
        crate::cluster::until("a gateway leads", || self.cluster().leader())
    }

    /// Waits until another gateway leads than `not`, and notes how long that took.
    fn another_leads(&self, since: u64, not: Option<usize>) -> Result<(), ChaosError> {
        let led = crate::cluster::until("another gateway leads", || self.watch.led(since, not))?;
        let took = Duration::from_nanos(led.saturating_sub(since));
        let mut noted = self.led_after.lock();
        *noted = (*noted).max(Some(took));
        Ok(())
    }

    fn followers(&self, leader: usize) -> Vec<usize> {
        (0..GATEWAYS).filter(|gateway| *gateway != leader).collect()
    }
}

/// Brings the cluster into a state that an event of this kind can begin from.
pub fn prepare(cluster: &Cluster, kind: Kind) -> Result<(), ChaosError> {
    match (kind, cluster.spare()) {
        (Kind::Join, None) => {
            let target = cluster.targets().into_iter().next_back();
            target.map_or(Ok(()), |target| members::decommission(cluster, target))
        }
        (Kind::Leave, Some(spare)) => members::enter(cluster, spare),
        _ => Ok(()),
    }
}
