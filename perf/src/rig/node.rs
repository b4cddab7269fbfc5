//! A Weir node as a process of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cgroup::Cgroup;
use super::http;
use super::process::{Server, Start};
use crate::error::{PerfError, Result};

const START_LIMIT: Duration = Duration::from_secs(60);

/// How a node is set up.
#[derive(Debug, Clone)]
pub(crate) struct NodeSpec<'a> {
    pub(crate) name: &'a str,
    /// Directory of its own state: kept between starts.
    pub(crate) dir: PathBuf,
    pub(crate) mountpaths: &'a [PathBuf],
    pub(crate) shards: usize,
    /// As taskset has them: all threads of the node, its committers and control core too.
    pub(crate) cpus: &'a str,
    /// Whether shards bind themselves and spin.
    pub(crate) pin: bool,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) server: Server,
    pub(crate) url: String,
}

impl NodeSpec<'_> {
    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, weir: &Path, run: &Path, cgroup: Option<&Cgroup>) -> Result<Node> {
        std::fs::create_dir_all(&self.dir).map_err(PerfError::io(self.dir.display().to_string()))?;
        for path in self.mountpaths {
            std::fs::create_dir_all(path).map_err(PerfError::io(path.display().to_string()))?;
        }
        let address = format!("127.0.0.1:{}", http::free_port()?);
        let file = run.join(format!("{}.toml", self.name));
        std::fs::write(&file, self.toml(&address)).map_err(PerfError::io(file.display().to_string()))?;
        let mut program = Command::new(weir);
        program.arg("serve").arg("--config").arg(&file);
        let start = Start { name: self.name, cpus: self.cpus, cgroup, dir: run };
        let mut server = start.run(&program)?;
        let url = format!("http://{address}");
        let health = format!("{url}/v1/health?readiness=true");
        server.wait_ready(START_LIMIT, || http::get_status(&health) == Some(200))?;
        Ok(Node { server, url })
    }

    fn toml(&self, address: &str) -> String {
        let paths: Vec<String> =
            self.mountpaths.iter().map(|p| format!("{:?}", p.display().to_string())).collect();
        format!(
            "dir = {:?}\nlisten = \"{address}\"\nmountpaths = [{}]\nshards = {}\npin = {}\nspin_us = {}\n",
            self.dir.display().to_string(),
            paths.join(", "),
            self.shards,
            self.pin,
            if self.pin { 50 } else { 0 },
        )
    }
}

/// Where a mountpath keeps the objects of an AIS bucket: plain files under their own names.
pub(crate) fn bucket_dir(mountpath: &Path, bucket: &str) -> PathBuf {
    mountpath.join("@ais").join(bucket).join("%ob")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration() {
        let paths = [PathBuf::from("/a/d0"), PathBuf::from("/a/d1")];
        let spec =
            NodeSpec { name: "n", dir: "/a/n".into(), mountpaths: &paths, shards: 1, cpus: "0", pin: false };
        assert_eq!(
            spec.toml("127.0.0.1:1"),
            "dir = \"/a/n\"\nlisten = \"127.0.0.1:1\"\nmountpaths = [\"/a/d0\", \"/a/d1\"]\nshards = 1\npin = false\nspin_us = 0\n"
        );
    }
}
