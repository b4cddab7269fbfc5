//! Gateways and targets, each a process, as `weir playground` starts them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;
use serde_json::Value;

use super::cgroup::Cgroup;
use super::command;
use super::http;
use super::process::{Server, Start};
use crate::error::{PerfError, Result};

/// A cluster that is not ready after this never will be.
const READY_MAX: Duration = Duration::from_secs(60);
/// A job that has not ended after this never will.
pub(crate) const JOB_MAX: Duration = Duration::from_secs(1800);

/// What is started.
pub(crate) struct PlaygroundSpec<'a> {
    pub(crate) weir: &'a Path,
    /// Where the nodes live; target N has its mountpaths at `cluster/tN/mp1` and so on.
    pub(crate) dir: &'a Path,
    /// For its log.
    pub(crate) run: &'a Path,
    pub(crate) gateways: usize,
    pub(crate) targets: usize,
    pub(crate) mountpaths: usize,
    pub(crate) cgroup: Option<&'a Cgroup>,
}

/// What a job says it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

/// A running playground.
#[derive(Debug)]
pub(crate) struct Playground {
    weir: PathBuf,
    pub(crate) server: Server,
    /// A gateway's.
    pub(crate) url: String,
}

/// How a node's process was started, which is killed.
pub(crate) struct Killed {
    /// The program first.
    command: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    url: String,
}

impl PlaygroundSpec<'_> {
    /// Starts it, and waits until all nodes are ready.
    pub(crate) fn start(&self) -> Result<Playground> {
        let nodes = self.gateways + self.targets;
        let port = http::free_ports(3 * nodes)?;
        let mut program = Command::new(self.weir);
        program.args(["playground", "--shards", "1", "--dir"]).arg(self.dir);
        program.args(["--gateways", &self.gateways.to_string()]);
        program.args(["--port", &port.to_string(), "--targets", &self.targets.to_string()]);
        program.args(["--mountpaths", &self.mountpaths.to_string()]);
        let start = Start { name: "playground", cpus: "", cgroup: self.cgroup, dir: self.run };
        let mut server = start.run(&program)?;
        let url = format!("http://127.0.0.1:{port}");
        let is_ready = |node: u16| {
            let health = format!("http://127.0.0.1:{}/v1/health?readiness=true", port + node);
            http::get_status(&health) == Some(200)
        };
        server.wait_ready(READY_MAX, || {
            targets(&url).is_ok_and(|known| known.len() == self.targets) && (0..nodes as u16).all(is_ready)
        })?;
        Ok(Playground { weir: self.weir.to_owned(), server, url })
    }
}

impl Playground {
    /// Runs a client command; what it prints.
    pub(crate) fn weir(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.weir);
        command.args(args).args(["--endpoint", &self.url, "--quiet"]);
        command::run(&mut command)
    }

    /// The same with JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Result<Value> {
        let said = self.weir(&[args, &["--json"]].concat())?;
        serde_json::from_str(&said).map_err(|_| PerfError::parse(args.join(" "), "JSON", &said))
    }

    /// Kills the node at this URL, without a word before.
    pub(crate) fn kill(&self, url: &str) -> Result<Killed> {
        let words = |pid: u32, file: &str| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let words = text.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words.map(|word| OsString::from_vec(word.to_vec())).collect::<Vec<_>>()
        };
        let address = url.trim_start_matches("http://");
        let serves = |pid: &u32| {
            words(*pid, "cmdline").windows(2).any(|two| two[0] == "--listen" && two[1] == address)
        };
        let pid = self.server.pids().into_iter().find(serves);
        let pid = pid.ok_or_else(|| PerfError::Refused(format!("no node of the playground serves {url}")))?;
        // Nobody holds its input when it is started again.
        let command = words(pid, "cmdline").into_iter().filter(|word| word != "--until-stdin-ends").collect();
        let environment = words(pid, "environ").into_iter().filter_map(|word| {
            let text = word.into_string().ok()?;
            text.split_once('=').map(|(name, value)| (name.into(), value.into()))
        });
        let environment = environment.collect();
        let killed = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        killed.map_err(|e| PerfError::Refused(format!("kill of {url}: {e}")))?;
        Ok(Killed { command, environment, url: url.to_owned() })
    }

    /// The jobs of a kind that are known, ended ones too.
    pub(crate) fn jobs(&self, kind: &str) -> Result<Vec<Value>> {
        match self.json(&["show", "job", kind, "--all"]) {
            Ok(Value::Array(jobs)) => Ok(jobs),
            Ok(other) => Err(PerfError::parse("weir show job", "a list", &other.to_string())),
            // Of a kind that has not run yet.
            Err(PerfError::Command { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Killed {
    /// Starts it again, and waits until it is ready.
    pub(crate) fn start(&self, run: &Path, cgroup: Option<&Cgroup>) -> Result<Server> {
        let (program, arguments) = self
            .command
            .split_first()
            .ok_or_else(|| PerfError::Refused(format!("the command of {} is not known", self.url)))?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut server = Start { name: "again", cpus: "", cgroup, dir: run }.run(&command)?;
        let health = format!("{}/v1/health?readiness=true", self.url);
        server.wait_ready(READY_MAX, || http::get_status(&health) == Some(200))?;
        Ok(server)
    }
}

/// ID of the leader among the gateways, from a map.
pub(crate) fn leader(map: &Value) -> Option<&str> {
    map["proxy_si"]["daemon_id"].as_str()
}

/// Public URLs of the gateways (`pmap`) or the targets (`tmap`) on a map, with their IDs.
pub(crate) fn nodes<'m>(map: &'m Value, kind: &str) -> impl Iterator<Item = (&'m str, &'m str)> {
    let nodes = map.get(kind).and_then(Value::as_object).into_iter().flatten();
    nodes.filter_map(|(id, node)| Some((id.as_str(), node["public_net"]["direct_url"].as_str()?)))
}

/// The map of the gateway at this endpoint.
pub(crate) fn map(url: &str) -> Result<Value> {
    let text = http::get_text(&format!("{url}/v1/daemon?what=smap"))?;
    serde_json::from_str(&text).map_err(|_| PerfError::parse("the map", "JSON", &text))
}

/// IDs of the targets on it.
pub(crate) fn targets(url: &str) -> Result<Vec<String>> {
    map(url).map(|map| targets_of(&map))
}

fn targets_of(map: &Value) -> Vec<String> {
    nodes(map, "tmap").map(|(id, _)| id.to_owned()).collect()
}

/// IDs of jobs.
pub(crate) fn ids(jobs: &[Value]) -> Vec<String> {
    jobs.iter().filter_map(|job| job["id"].as_str().map(str::to_owned)).collect()
}

/// What the jobs did that were not there `before`.
pub(crate) fn sum(jobs: &[Value], before: &[String]) -> Moved {
    let new = jobs.iter().filter(|job| job["id"].as_str().is_none_or(|id| before.iter().all(|b| b != id)));
    let count = |job: &Value, name: &str| job[name].as_u64().unwrap_or(0);
    new.fold(Moved::default(), |all, job| Moved {
        objects: all.objects + count(job, "objects"),
        bytes: all.bytes + count(job, "bytes"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let node = |url: &str| json!({"public_net": {"direct_url": url}});
        let map = json!({
            "tmap": {"a": node("http://a"), "b": node("http://b")},
            "pmap": {"p": node("http://p")},
            "proxy_si": {"daemon_id": "p"},
        });
        assert_eq!(targets_of(&map), ["a", "b"]);
        assert_eq!(nodes(&map, "pmap").collect::<Vec<_>>(), [("p", "http://p")]);
        assert_eq!(leader(&map), Some("p"));
        assert!(targets_of(&json!({})).is_empty());
    }
}
