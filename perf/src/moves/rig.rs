//! A playground of several processes, its mountpaths on emulated disks, and what is done to it by the client commands of `weir`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::MovesArgs;
use crate::error::{PerfError, Result};
use crate::options::Common;
use crate::rig::cgroup::Cgroup;
use crate::rig::disk::{Backing, Disk};
use crate::rig::loader::{Load, Pace, Watch};
use crate::rig::machine::Workers;
use crate::rig::place::Place;
use crate::rig::process::{Server, Start};
use crate::rig::{command, http, stop};

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
/// A cluster that is not ready, or a job that has not ended, after this never will.
const READY_MAX: Duration = Duration::from_secs(60);
const JOB_MAX: Duration = Duration::from_secs(1800);
/// Connections that check objects.
const CHECKERS: usize = 16;

/// What a job says it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// The running cluster. Fields are dropped in order: processes before disks, disks before their images.
pub(super) struct Rig<'a> {
    common: &'a Common,
    args: &'a MovesArgs,
    weir: PathBuf,
    url: String,
    server: Server,
    group: Cgroup,
    _disks: Vec<Disk>,
    _backing: Backing,
    _workers: Workers,
    _place: Place,
}

impl<'a> Rig<'a> {
    pub(super) fn start(common: &'a Common, args: &'a MovesArgs) -> Result<Self> {
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
        let port = http::free_ports(3 * (args.targets + 1))?;
        let mut program = Command::new(&weir);
        program.args(["playground", "--gateways", "1", "--shards", "1", "--dir"]).arg(&dir);
        program.args(["--port", &port.to_string(), "--targets", &args.targets.to_string()]);
        program.args(["--mountpaths", &args.mountpaths.to_string()]);
        let run = place.dir("run")?;
        let start = Start { name: PLAYGROUND, cpus: "", cgroup: Some(&group), dir: &run };
        let mut server = start.run(&program)?;
        let url = format!("http://127.0.0.1:{port}");
        let map = format!("{url}/v1/daemon?what=smap");
        let ready = |node: u16| {
            let health = format!("http://127.0.0.1:{}/v1/health?readiness=true", port + node);
            http::get_status(&health) == Some(200)
        };
        server.wait_ready(READY_MAX, || {
            let known = http::get_text(&map).ok().and_then(|text| serde_json::from_str::<Value>(&text).ok());
            known.is_some_and(|map| targets(&map).len() == args.targets)
                && (0..=args.targets as u16).all(ready)
        })?;
        for disk in &disks {
            let bytes = args.bandwidth * 1_000_000;
            group.throttle(&disk.number()?, bytes, bytes)?;
        }
        http::make_bucket(&url, SET, false)?;
        Ok(Self {
            common,
            args,
            weir,
            url,
            server,
            group,
            _disks: disks,
            _backing: backing,
            _workers: workers,
            _place: place,
        })
    }

    pub(super) fn stop(self) -> Result<()> {
        self.server.stop()
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
            weir: &self.weir,
            mode: "get",
            endpoint: &self.url,
            api: "ais",
            direct: None,
            bucket: SET,
            size: OBJECT,
            names: self.names(),
            prefix: Some(PREFIX),
            seed: SEED,
            connections: self.args.depth * self.args.disks(),
            pace: Pace::default(),
            seconds: self.args.seconds,
            warmup: 0.0,
            prefill: false,
            cpus: "",
            servers: &[],
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
        command.args(["--endpoint", &self.url, "--bucket", bucket, "--name-prefix", PREFIX]);
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

    /// Runs a client command; what it prints.
    fn weir(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.weir);
        command.args(args).args(["--endpoint", &self.url, "--quiet"]);
        command::run(&mut command)
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let said = self.weir(&[args, &["--json"]].concat())?;
        serde_json::from_str(&said).map_err(|_| PerfError::parse(args.join(" "), "JSON", &said))
    }

    /// The last target of the map.
    pub(super) fn a_target(&self) -> Result<String> {
        self.targets()?.pop().ok_or_else(|| PerfError::Refused("the map has no target".into()))
    }

    fn targets(&self) -> Result<Vec<String>> {
        let text = http::get_text(&format!("{}/v1/daemon?what=smap", self.url))?;
        let map = serde_json::from_str(&text).map_err(|_| PerfError::parse("the map", "JSON", &text))?;
        Ok(targets(&map))
    }

    /// A mountpath of a target.
    pub(super) fn a_disk_of(&self, target: &str) -> Result<String> {
        let all = self.json(&["mountpath", "list", "--node", target])?;
        let paths = all.get(target).and_then(Value::as_object);
        let path = paths.and_then(|paths| paths.keys().next()).cloned();
        path.ok_or_else(|| PerfError::parse("weir mountpath list", "mountpaths", &all.to_string()))
    }

    pub(super) fn copy(&self) -> Result<Moved> {
        http::make_bucket(&self.url, COPY, false)?;
        let url = format!("{}/v1/buckets/{SET}?provider=ais&bck_to=ais%2F%40%23%2F{COPY}%2F", self.url);
        let id = http::post(&url, &json!({"action": "copy-bck", "value": {}}))?;
        self.weir(&["wait", id.trim()])?;
        Ok(sum(&self.jobs("copy-bck")?, &[]))
    }

    /// A target leaves: what it holds moves to the others first.
    pub(super) fn remove(&self, target: &str) -> Result<Moved> {
        let before = ids(&self.jobs("rebalance")?);
        self.weir(&["cluster", "remove", target])?;
        let over = stop::until(JOB_MAX, || {
            let gone = !self.targets()?.iter().any(|t| t == target);
            let jobs = self.jobs("rebalance")?;
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
        let before = ids(&self.jobs("resilver")?);
        self.weir(change)?;
        Ok(sum(&self.jobs("resilver")?, &before))
    }

    /// The jobs of a kind that are known, ended ones too.
    fn jobs(&self, kind: &str) -> Result<Vec<Value>> {
        match self.json(&["show", "job", kind, "--all"]) {
            Ok(Value::Array(jobs)) => Ok(jobs),
            Ok(other) => Err(PerfError::parse("weir show job", "a list", &other.to_string())),
            // Of a kind that has not run yet.
            Err(PerfError::Command { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// IDs of the targets of a map.
fn targets(map: &Value) -> Vec<String> {
    let targets = map.get("tmap").and_then(Value::as_object);
    targets.into_iter().flatten().map(|(id, _)| id.clone()).collect()
}

fn ids(jobs: &[Value]) -> Vec<String> {
    jobs.iter().filter_map(|job| job["id"].as_str().map(str::to_owned)).collect()
}

/// What the jobs did that were not there `before`.
fn sum(jobs: &[Value], before: &[String]) -> Moved {
    let new = jobs.iter().filter(|job| job["id"].as_str().is_none_or(|id| before.iter().all(|b| b != id)));
    let count = |job: &Value, name: &str| job[name].as_u64().unwrap_or(0);
    new.fold(Moved::default(), |all, job| Moved {
        objects: all.objects + count(job, "objects"),
        bytes: all.bytes + count(job, "bytes"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_that_were_there_do_not_count() {
        let jobs = [
            json!({"id": "g1", "objects": 5, "bytes": 50, "state": "done"}),
            json!({"id": "g2", "objects": 1, "bytes": 10, "state": "done"}),
            json!({"id": "g3", "objects": 2, "bytes": 20, "state": "done"}),
        ];
        assert_eq!(sum(&jobs, &ids(&jobs[..1])), Moved { objects: 3, bytes: 30 });
    }

    #[test]
    fn targets_of_a_map() {
        assert_eq!(targets(&json!({"tmap": {"a": {}, "b": {}}, "pmap": {"p": {}}})), ["a", "b"]);
        assert!(targets(&json!({})).is_empty());
    }
}
