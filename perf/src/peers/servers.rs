//! The servers of one phase: all of them run, one at a time is asked.

use std::path::PathBuf;

use super::PeersArgs;
use super::plan::{COLD, Case, Contender, HOT};
use crate::error::Result;
use crate::options::Common;
use crate::rig::cgroup::Cgroup;
use crate::rig::disk::Disk;
use crate::rig::nginx::{self, Nginx};
use crate::rig::node::{Node, NodeSpec, bucket_dir};
use crate::rig::peer::Peer;
use crate::rig::place::Place;

/// MiB that a peer gets in cold cases beyond what it needs when it is ready, where the command line does not say.
const PEER_SLACK: u64 = 256 << 20;

/// What our node finds as its limit when it starts for cold cases: a sixteenth of it is for objects in demand.
const START_BYTES: u64 = 512 << 20;

/// What it gets for those, and for the objects it keeps open, beyond what it needs when it is ready.
const OWN_SLACK: u64 = 64 << 20;

/// Running servers. Fields are dropped in this order: cgroups after what ran in them.
pub(crate) struct Servers {
    weir: Node,
    nginx: Option<Nginx>,
    peers: Vec<Peer>,
    groups: Vec<Cgroup>,
}

/// Where a phase runs.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) common: &'a Common,
    pub(crate) args: &'a PeersArgs,
    pub(crate) weir: &'a std::path::Path,
    pub(crate) place: &'a Place,
    pub(crate) disk: &'a Disk,
}

impl Setting<'_> {
    pub(crate) fn mountpath(&self) -> PathBuf {
        self.disk.mount().join("mp")
    }

    /// The directory of our node's own state.
    pub(crate) fn node_dir(&self) -> PathBuf {
        self.place.base().join("node")
    }

    /// Starts ours and the peers; nginx too when the sets are there. With `cold`, each in a memory cgroup that holds what it needs
    /// and `cold` bytes more.
    pub(crate) fn start(&self, nginx: bool, cold: Option<u64>) -> Result<Servers> {
        let run = self.place.dir("run")?;
        let cpus = self.common.server_cpu.to_string();
        let group = |name: &str| cold.map(|_| Cgroup::make(name)).transpose();
        let limit = |group: Option<&Cgroup>, extra: Option<u64>| match (group, extra) {
            (Some(group), Some(extra)) => group.limit(Some(group.needed()? + extra)),
            _ => Ok(()),
        };
        let mut groups = Vec::new();
        let paths = [self.mountpath()];
        let spec = NodeSpec {
            name: "weir",
            dir: self.node_dir(),
            mountpaths: &paths,
            shards: 1,
            cpus: &cpus,
            pin: true,
        };
        let own = group("weir")?;
        // It keeps objects in demand in a share of the memory that it finds at its start.
        own.as_ref().map_or(Ok(()), |group| group.limit(Some(START_BYTES)))?;
        let weir = spec.start(self.weir, &run, own.as_ref())?;
        limit(own.as_ref(), cold.map(|bytes| bytes + OWN_SLACK))?;
        groups.extend(own);
        let own = if nginx { group("nginx")? } else { None };
        let served =
            if nginx { Some(nginx::start(&run, &self.sets_of_files(), &cpus, own.as_ref())?) } else { None };
        limit(own.as_ref(), cold)?;
        groups.extend(own);
        let mut servers = Servers { weir, nginx: served, peers: Vec::new(), groups };
        for peer in &self.args.peers {
            let own = group(&peer.name)?;
            let disk = self.disk.mount().join(format!("peer-{}", peer.name));
            std::fs::create_dir_all(&disk).map_err(crate::error::PerfError::io("directory of a peer"))?;
            servers.peers.push(peer.start(&run, &disk, &cpus, own.as_ref())?);
            match peer.limit_mib {
                Some(mib) => own.as_ref().map_or(Ok(()), |group| group.limit(Some(mib << 20)))?,
                None => limit(own.as_ref(), cold.map(|bytes| bytes + PEER_SLACK))?,
            }
            servers.groups.extend(own);
        }
        Ok(servers)
    }

    fn sets_of_files(&self) -> Vec<(String, PathBuf)> {
        let mountpath = self.mountpath();
        [HOT, COLD].map(|bucket| (bucket.to_owned(), bucket_dir(&mountpath, bucket))).into()
    }
}

/// Whom the loader asks, and how.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) api: String,
    pub(crate) direct: Option<String>,
    pub(crate) pids: Vec<u32>,
}

impl Servers {
    /// Where `contender` is asked in `case`; `None` for fio, which nobody asks.
    pub(crate) fn target(&self, contender: Contender, case: Case, args: &PeersArgs) -> Option<Target> {
        let nginx = |url: fn(&Nginx) -> &str| {
            let nginx = self.nginx.as_ref()?;
            let endpoint = format!("{}/{}", url(nginx), case.bucket());
            Some(Target { endpoint, api: "http".into(), direct: None, pids: nginx.server.pids() })
        };
        match contender {
            Contender::Weir => Some(Target {
                endpoint: self.weir.url.clone(),
                api: args.api.clone(),
                direct: None,
                pids: self.weir.server.pids(),
            }),
            Contender::NginxSendfile => nginx(|n| &n.sendfile),
            Contender::NginxDirectio => nginx(|n| &n.directio),
            Contender::Fio => None,
            Contender::Peer(index) => {
                let (peer, spec) = (self.peers.get(index)?, args.peers.get(index)?);
                let (endpoint, api, direct) = (spec.url.clone(), spec.api.clone(), spec.direct.clone());
                Some(Target { endpoint, api, direct, pids: peer.pids() })
            }
        }
    }

    /// URLs of everything that buckets can be made on by the AIS API.
    pub(crate) fn bucket_makers(&self, args: &PeersArgs) -> Vec<String> {
        let peers = args.peers.iter().filter(|p| p.api == "ais").map(|p| p.admin.clone());
        std::iter::once(self.weir.url.clone()).chain(peers).collect()
    }

    /// Whether a URL is our node's.
    pub(crate) fn is_ours(&self, url: &str) -> bool {
        self.weir.url == url
    }

    /// An error if one has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        self.weir.server.alive()?;
        if let Some(nginx) = &mut self.nginx {
            nginx.server.alive()?;
        }
        self.peers.iter_mut().try_for_each(Peer::alive)
    }

    /// Stops all of them in order.
    pub(crate) fn stop(self) -> Result<()> {
        let Self { weir, nginx, peers, groups } = self;
        weir.server.stop()?;
        nginx.map_or(Ok(()), |n| n.server.stop())?;
        peers.into_iter().try_for_each(Peer::stop)?;
        drop(groups);
        Ok(())
    }
}
