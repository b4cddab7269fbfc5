//! Any other endpoint on the command line: `NAME=URL[,api=ais|s3][,admin=URL][,direct=ID][,start=PROGRAM][,pid=N][,limit=MIB]`.

use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::http;
use super::process::{Server, Start, family};
use crate::error::{PerfError, Result};

const START_LIMIT: Duration = Duration::from_secs(120);

/// An endpoint to be measured beside ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerSpec {
    pub(crate) name: String,
    pub(crate) url: String,
    /// `ais` (also makes buckets by it) or `s3` (its buckets must be there).
    pub(crate) api: String,
    /// Where buckets are made, when that is another process's job.
    pub(crate) admin: String,
    /// The gateway whose mark requests carry, when `url` is an AIS target asked directly.
    pub(crate) direct: Option<String>,
    /// A program that becomes the server, run with RIG_DISK (an empty file system's directory) and RIG_RUN in its environment,
    /// in the foreground, on the server's core.
    pub(crate) start: Option<String>,
    /// A server that runs already, of whose family CPU is counted; where it runs is its owner's matter.
    pub(crate) pid: Option<u32>,
    /// Memory limit of cold cases in MiB; by default what it needs once it is ready, and 256 MiB.
    pub(crate) limit_mib: Option<u64>,
}

impl FromStr for PeerSpec {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = |what: &str| {
            format!("{what} in {text:?}; expected NAME=URL[,api=..][,start=..][,pid=..][,limit=..]")
        };
        let mut parts = text.split(',');
        let (name, url) = parts.next().and_then(|p| p.split_once('=')).ok_or_else(|| wrong("no name"))?;
        if name.is_empty() || !url.starts_with("http://") {
            return Err(wrong("no http:// URL"));
        }
        let mut peer = Self {
            name: name.into(),
            url: url.trim_end_matches('/').into(),
            api: "ais".into(),
            admin: url.trim_end_matches('/').into(),
            direct: None,
            start: None,
            pid: None,
            limit_mib: None,
        };
        for part in parts {
            match part.split_once('=') {
                Some(("api", api @ ("ais" | "s3"))) => peer.api = api.into(),
                Some(("admin", url)) if url.starts_with("http://") => {
                    peer.admin = url.trim_end_matches('/').into()
                }
                Some(("direct", id)) => peer.direct = Some(id.into()),
                Some(("start", program)) => peer.start = Some(program.into()),
                Some(("pid", pid)) => peer.pid = Some(pid.parse().map_err(|_| wrong("no pid"))?),
                Some(("limit", mib)) => peer.limit_mib = Some(mib.parse().map_err(|_| wrong("no limit"))?),
                _ => return Err(wrong(part)),
            }
        }
        Ok(peer)
    }
}

/// A peer that answers.
#[derive(Debug)]
pub(crate) struct Peer {
    server: Option<Server>,
    pid: Option<u32>,
}

impl PeerSpec {
    /// Starts it if that is ours to do, and waits until it answers.
    pub(crate) fn start(&self, run: &Path, disk: &Path, cpus: &str, cgroup: Option<&Cgroup>) -> Result<Peer> {
        // AIS answers long before its nodes know each other; others are ready when they answer at all.
        let answers = || match self.api.as_str() {
            "ais" => http::get_status(&format!("{}/v1/health?prr=true", self.admin)) == Some(200),
            _ => http::get_status(&self.url).is_some(),
        };
        let Some(program) = &self.start else {
            if let (Some(pid), Some(group)) = (self.pid, cgroup) {
                for pid in family(pid) {
                    group.take_in(pid)?;
                }
            }
            return if answers() {
                Ok(Peer { server: None, pid: self.pid })
            } else {
                Err(PerfError::Server { name: self.name.clone(), got: format!("not ready at {}", self.url) })
            };
        };
        let mut command = Command::new(program);
        command.env("RIG_DISK", disk).env("RIG_RUN", run);
        let mut server = Start { name: &self.name, cpus, cgroup, dir: run }.run(&command)?;
        server.wait_ready(START_LIMIT, answers)?;
        Ok(Peer { server: Some(server), pid: None })
    }
}

impl Peer {
    /// Its processes, as far as they are known.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let of_pid = || self.pid.map(family).unwrap_or_default();
        self.server.as_ref().map_or_else(of_pid, Server::pids)
    }

    /// An error if it was started here and has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.server.as_mut().map_or(Ok(()), Server::alive)
    }

    /// Stops what was started.
    pub(crate) fn stop(self) -> Result<()> {
        self.server.map_or(Ok(()), Server::stop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read() {
        let peer: PeerSpec = "ais=http://127.0.0.1:51081/,start=/x/start.sh,limit=700".parse().unwrap();
        assert_eq!(
            (peer.name.as_str(), peer.url.as_str(), peer.api.as_str()),
            ("ais", "http://127.0.0.1:51081", "ais")
        );
        assert_eq!((peer.start.as_deref(), peer.pid, peer.limit_mib), (Some("/x/start.sh"), None, Some(700)));
        let peer: PeerSpec = "m=http://h:1,api=s3,pid=12".parse().unwrap();
        assert_eq!((peer.api.as_str(), peer.pid), ("s3", Some(12)));
        for wrong in
            ["", "ais", "ais=ftp://x", "=http://x", "a=http://x,api=smb", "a=http://x,pid=z", "a=http://x,y"]
        {
            assert!(wrong.parse::<PeerSpec>().is_err(), "{wrong}");
        }
    }
}
