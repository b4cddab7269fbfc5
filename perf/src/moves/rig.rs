//! A playground of several processes, its mountpaths on emulated disks, and what is done to it by the client commands of `weir`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{MovesArgs, Show};
use crate::error::{PerfError, Result};
use crate::options::Common;
use crate::rig::cgroup::Cgroup;
use crate::rig::disk::{Backing, Disk};
use crate::rig::loader::{Load, Watch};
use crate::rig::machine::Workers;
use crate::rig::place::Place;
use crate::rig::playground::{JOB_MAX, Killed, Moved, Playground, PlaygroundSpec, ids, sum};
use crate::rig::process::Server;
use crate::rig::{command, http, playground, stop};

/// The bucket that is read, and its copy.
pub(super) const SET: &str = "moves";
pub(super) const COPY: &str = "moves-copy";
const OBJECT: u64 = 1 << 20;
const PREFIX: &str = "object-";
const SEED: u64 = 1;
/// Below the rig's directory.
const PLAYGROUND: &str = "playground";
/// On a disk beside its objects: journals, the file system's own, and what is under way.
const SPARE: u64 = 448 << 20;
/// Connections that check objects.
const CHECKERS: usize = 16;
/// How long what follows a death is looked at by itself.
const SETTLE: Duration = Duration::from_secs(5);
/// A cluster that has no leader after this will have none.
const LEADER_MAX: Duration = Duration::from_secs(60);

/// Lets readers have what a death has left.
pub(super) fn settle() -> Result<Moved> {
    stop::sleep(SETTLE).map(|()| Moved::default())
}

/// The running cluster. Fields are dropped in order: processes before disks, disks before their images.
pub(super) struct Rig<'a> {
    common: &'a Common,
    args: &'a MovesArgs,
    weir: PathBuf,
    run: PathBuf,
    /// Nodes that were killed and run again.
    again: RefCell<Vec<Server>>,
    playground: Playground,
    group: Cgroup,
    _disks: Vec<Disk>,
    _backing: Backing,
    _workers: Workers,
    _place: Place,
}

impl<'a> Rig<'a> {
    pub(super) fn start(common: &'a Common, args: &'a MovesArgs, show: Show) -> Result<Self> {
        let weir = common.weir()?;
        let place = Place::open(&common.base, &["mkfs.xfs", "losetup", "fallocate"])?;
        let workers = Workers::keep_to(place.base(), common.load_cpu)?;
        let _ = std::fs::remove_dir_all(place.base().join(PLAYGROUND));
        let dir = place.dir(PLAYGROUND)?;
        // A copy of the set and the share of a target that has left fit beside it.
        let bytes = 3 * (args.mib << 20) + SPARE;
        let backing = Backing::make(&place, bytes * args.disks() as u64)?;
        let mut disks = Vec::new();
        for target in 1..=args.targets {
            for mountpath in 1..=args.mountpaths {
                let at = format!("{PLAYGROUND}/cluster/t{target}/mp{mountpath}");
                disks.push(Disk::make(&place, &backing, &at, bytes)?);
            }
        }
        let mut group = Cgroup::make(PLAYGROUND)?;
        let run = place.dir("run")?;
        let (targets, mountpaths) = (args.targets, args.mountpaths);
        let gateways = if show == Show::Loss { 3 } else { 1 };
        let spec = PlaygroundSpec {
            weir: &weir,
            dir: &dir,
            run: &run,
            gateways,
            targets,
            mountpaths,
            cgroup: Some(&group),
        };
        let mut playground = spec.start()?;
        // The one that is killed is nobody's way in.
        let map = playground::map(&playground.url)?;
        let other = playground::nodes(&map, "pmap").find(|(id, _)| Some(*id) != playground::leader(&map));
        if let Some((_, url)) = other {
            playground.url = url.to_owned();
        }
        for disk in &disks {
            let bytes = args.bandwidth * 1_000_000;
            group.throttle(&disk.number()?, bytes, bytes)?;
        }
        http::make_bucket(&playground.url, SET, false)?;
        Ok(Self {
            common,
            args,
            weir,
            run,
            again: RefCell::default(),
            playground,
            group,
            _disks: disks,
            _backing: backing,
            _workers: workers,
            _place: place,
        })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.again.take().into_iter().try_for_each(Server::stop)?;
        self.playground.server.stop()
    }

    /// Objects of the set.
    fn names(&self) -> u64 {
        (self.args.mib << 20) / OBJECT * self.args.disks() as u64
    }

    pub(super) fn write_set(&self) -> Result<()> {
        let load = Load { prefill: true, seconds: 1.0, connections: CHECKERS, ..self.load() };
        load.run(&self.watch()).map(drop)?;
        // From now on what is read is on the disks: a page cache that held the set would have no limit.
        let needed = self.group.needed()?;
        self.group.limit(Some(needed + self.names() * OBJECT / 20 + (256 << 20)))
    }

    /// The reads that go on while the rest happens.
    pub(super) fn reads(&self) -> (Load<'_>, Watch<'static>) {
        (self.load(), self.watch())
    }

    fn load(&self) -> Load<'_> {
        Load {
            size: OBJECT,
            names: self.names(),
            prefix: Some(PREFIX),
            seed: SEED,
            connections: self.args.depth * self.args.disks(),
            seconds: self.args.seconds,
            ..Load::reads(&self.weir, &self.playground.url, SET)
        }
    }

    fn watch(&self) -> Watch<'static> {
        Watch { disks: &[], cpu: self.common.server_cpu }
    }

    /// Reads and compares every object of a bucket, once: how many there are. An error if one is not there or not as it was written.
    pub(super) fn check(&self, bucket: &str) -> Result<u64> {
        let names = self.names();
        let mut command = Command::new(&self.weir);
        command.args(["load", "get", "--api", "ais", "--order", "sequential", "--verify", "--quiet"]);
        command.args(["--endpoint", &self.playground.url, "--bucket", bucket, "--name-prefix", PREFIX]);
        let numbers = [("--size", OBJECT), ("--names", names), ("--operations", names), ("--seed", SEED)];
        numbers.iter().for_each(|(flag, number)| {
            command.args([flag, number.to_string().as_str()]);
        });
        command.args(["--connections", &CHECKERS.to_string(), "--json", "-"]);
        let said = command::run(&mut command)?;
        let outcome = crate::rig::loader::parse(&said)?;
        if outcome.errors == 0 && outcome.requests == names {
            return Ok(names);
        }
        let got =
            format!("{bucket}: of {names} objects {} came, {} did not", outcome.requests, outcome.errors);
        Err(PerfError::Server { name: PLAYGROUND.into(), got })
    }

    /// The last target of the map.
    pub(super) fn a_target(&self) -> Result<String> {
        playground::targets(&self.playground.url)?
            .pop()
            .ok_or_else(|| PerfError::Refused("the map has no target".into()))
    }

    /// The URL of the last target of the map.
    pub(super) fn a_target_url(&self) -> Result<String> {
        let map = playground::map(&self.playground.url)?;
        let url = playground::nodes(&map, "tmap").last().map(|(_, url)| url.to_owned());
        url.ok_or_else(|| PerfError::Refused("the map has no target".into()))
    }

    /// The URL of the gateway that leads.
    pub(super) fn leader(&self) -> Result<String> {
        let map = playground::map(&self.playground.url)?;
        let leader = playground::leader(&map);
        let url = playground::nodes(&map, "pmap").find(|(id, _)| Some(*id) == leader);
        url.map(|(_, url)| url.to_owned())
            .ok_or_else(|| PerfError::parse("the map", "a leader", &map.to_string()))
    }

    pub(super) fn kill(&self, url: &str) -> Result<Killed> {
        self.playground.kill(url)
    }

    /// How long it takes until another gateway leads than the one at this URL.
    pub(super) fn led_again(&self, dead: &str) -> Result<Duration> {
        let begin = Instant::now();
        let led = stop::until(LEADER_MAX, || {
            let other = self.leader().ok().filter(|leader| leader != dead);
            Ok(other.map(|_| begin.elapsed()))
        })?;
        led.ok_or_else(|| PerfError::Refused("no other gateway leads".into()))
    }

    pub(super) fn start_again(&self, killed: Option<&Killed>) -> Result<Moved> {
        if let Some(killed) = killed {
            self.again.borrow_mut().push(killed.start(&self.run, Some(&self.group))?);
        }
        Ok(Moved::default())
    }

    /// A mountpath of a target.
    pub(super) fn a_disk_of(&self, target: &str) -> Result<String> {
        let all = self.playground.json(&["mountpath", "list", "--node", target])?;
        let paths = all.get(target).and_then(Value::as_object);
        let path = paths.and_then(|paths| paths.keys().next()).cloned();
        path.ok_or_else(|| PerfError::parse("weir mountpath list", "mountpaths", &all.to_string()))
    }

    pub(super) fn copy(&self) -> Result<Moved> {
        http::make_bucket(&self.playground.url, COPY, false)?;
        let url =
            format!("{}/v1/buckets/{SET}?provider=ais&bck_to=ais%2F%40%23%2F{COPY}%2F", self.playground.url);
        let id = http::post(&url, &json!({"action": "copy-bck", "value": {}}))?;
        self.playground.weir(&["wait", id.trim()])?;
        Ok(sum(&self.playground.jobs("copy-bck")?, &[]))
    }

    /// A target leaves: what it holds moves to the others first.
    pub(super) fn remove(&self, target: &str) -> Result<Moved> {
        let before = ids(&self.playground.jobs("rebalance")?);
        self.playground.weir(&["cluster", "remove", target])?;
        let over = stop::until(JOB_MAX, || {
            let gone = !playground::targets(&self.playground.url)?.iter().any(|t| t == target);
            let jobs = self.playground.jobs("rebalance")?;
            let runs = jobs.iter().any(|job| job["state"] == "runs");
            Ok((gone && !runs).then_some(jobs))
        })?;
        let jobs = over.ok_or_else(|| PerfError::Refused(format!("{target} has not left")))?;
        Ok(sum(&jobs, &before))
    }

    pub(super) fn detach(&self, target: &str, disk: &str) -> Result<Moved> {
        self.resilvered(&["mountpath", "detach", disk, "--node", target])
    }

    pub(super) fn attach(&self, target: &str, disk: &str) -> Result<Moved> {
        self.resilvered(&["mountpath", "attach", disk, "--node", target])
    }

    /// A change of mountpaths, waited for.
    fn resilvered(&self, change: &[&str]) -> Result<Moved> {
        let before = ids(&self.playground.jobs("resilver")?);
        self.playground.weir(change)?;
        Ok(sum(&self.playground.jobs("resilver")?, &before))
    }
}
