//! A node of this process: what it knows of the cluster, its condition, its statistics. A gateway and a target in one process
//! share everything but their IDs and the disks, which are the target's.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_ais::{
    AIS_VERSION, AisError, Capacity, CapacityMountpath, CapacityWithDisks, DaemonPut, LoadAvg, LocalConfig,
    MemCpu, Mountpaths, NodeStateFlags, NodeStateInfo, NodeStats, NodeStatus, SmapJson, SnodeJson,
    TargetSysInfo, Unsupported, What, bmd_json, cluster_config_json, node_config_json,
};
use weir_cluster::{ClusterView, Node, NodeId, Role};

use super::{Answer, error, jobs, json};
use crate::api::{Asked, space};
use crate::backend::percent;
use crate::core::Core;
use crate::log::LogTail;
use crate::{ControlError, ControlResponse};

/// The node that this process answers as.
pub(super) fn own(core: &Core) -> Result<NodeId, AisError> {
    let id = core.raft.published().me().id().cloned();
    id.ok_or_else(|| AisError::Internal("a process without a role".into()))
}

/// `what=` of one node.
pub(super) async fn about(core: &Core, id: &NodeId, what: What, body: &[u8]) -> Answer {
    let view = core.view().map_err(error::of)?;
    Ok(match what {
        What::Smap => json(&SmapJson::from(view.smap.as_ref())),
        What::Bmd => on_worker(move || json(&bmd_json(&view.bmd))).await?,
        What::Config => json(&node_config_json(&local_config(core).await?, &view)),
        What::ClusterConfig => json(&cluster_config_json(&view)),
        What::Snode => json(&SnodeJson::from(find(&view, id)?)),
        What::SysInfo if find(&view, id)?.role == Role::Target => json(&sys_info(core).await?),
        What::SysInfo => json(&sys_info(core).await?.mem_cpu),
        What::NodeStats => json(&stats(core, &view, id).await?),
        What::NodeStatus => json(&status(core, &view, id).await?),
        What::Metrics => {
            let tracker = tracker(core, Role::Target);
            json(&tracker.keys().map(|name| (name, metric_kind(name))).collect::<BTreeMap<_, _>>())
        }
        What::Mountpaths => json(&mountpaths(core).await?),
        What::Disk => {
            let disks = core.disks.now(core.backend.as_ref()).await;
            json(&CapacityWithDisks { capacity: capacity(core).await?, disks })
        }
        What::Remote => json(&serde_json::json!({ "a": [], "ver": 1 })),
        What::Backends => {
            let providers = core.backend.remote_providers();
            json(&providers.iter().map(|p| p.as_str()).collect::<Vec<_>>())
        }
        What::TargetIps => text(target_hosts(&view)),
        What::SoftwareVersion => text(AIS_VERSION),
        What::TlsCertificate => {
            return Err(Unsupported::new("show", "a certificate: no TLS is configured").into());
        }
        What::Log { severity, offset, all } => log(severity != 'i', offset, all).await?,
        What::JobStatus | What::JobStatusAll | What::JobSnaps | What::JobsRunning => {
            return jobs::of_node(core, &what, body);
        }
    })
}

/// PUT to one node.
pub(super) fn change(assignments: Option<Vec<(String, String)>>, asked: &Asked<'_>) -> Answer {
    Err(match DaemonPut::read(assignments, &asked.body)? {
        DaemonPut::ResetStats { .. } => Unsupported::new("reset", "statistics").into(),
        DaemonPut::RotateLogs => {
            LogTail::of_process().rotate();
            return Ok(ControlResponse::new(200));
        }
        DaemonPut::Unsupported(what) => what.into(),
    })
}

/// The last of the log: the page that grows as text, or everything as an archive.
async fn log(severe: bool, offset: u64, all: bool) -> Answer {
    let log = LogTail::of_process();
    if !all {
        return Ok(text(log.text(severe, offset)?));
    }
    let archive = on_worker(move || log.archive(severe)).await?;
    let archive = archive.map_err(|e| AisError::Internal(format!("an archive of the log: {e}")))?;
    Ok(ControlResponse::new(200).body("application/x-gzip", archive))
}

fn find<'v>(view: &'v ClusterView, id: &NodeId) -> Result<&'v Node, AisError> {
    view.smap.node(id.as_str()).ok_or_else(|| AisError::NodeNotFound(id.to_string()))
}

fn text(text: impl Into<Bytes>) -> ControlResponse {
    ControlResponse::new(200).body("text/plain; charset=utf-8", text)
}

/// Runs what may take long away from the control thread.
pub(super) async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AisError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| error::of(ControlError::Thread(format!("control worker: {e}"))))
}

/// Host names of the targets' three listeners, as AIS lists them for firewalls.
fn target_hosts(view: &ClusterView) -> String {
    let mut hosts = Vec::new();
    for target in view.smap.targets.values() {
        for net in [&target.public, &target.intra_control, &target.intra_data] {
            if !hosts.contains(&net.host.as_str()) {
                hosts.push(net.host.as_str());
            }
        }
    }
    hosts.join(",")
}

async fn local_config(core: &Core) -> Result<LocalConfig, AisError> {
    let (config, facts) = (&core.config, core.backend.mountpaths().await.map_err(error::of)?);
    let mut local = LocalConfig {
        fspaths: facts.into_iter().map(|m| (m.path, m.label)).collect(),
        confdir: config.state_dir.display().to_string(),
        ..LocalConfig::default()
    };
    let net = &mut local.host_net;
    (net.hostname, net.port) = (config.public.host.clone(), config.public.port.to_string());
    net.hostname_intra_control = config.intra_control.host.clone();
    net.port_intra_control = config.intra_control.port.to_string();
    net.hostname_intra_data = config.intra_data.host.clone();
    net.port_intra_data = config.intra_data.port.to_string();
    Ok(local)
}

/// The target's mountpaths by state.
pub(super) async fn mountpaths(core: &Core) -> Result<Mountpaths, AisError> {
    let mut out = Mountpaths::default();
    for mountpath in core.backend.mountpaths().await.map_err(error::of)? {
        let list = match (&mountpath.disabled, mountpath.leaving) {
            (Some(_), _) => &mut out.disabled,
            (None, true) => &mut out.waiting_dd,
            (None, false) => &mut out.available,
        };
        list.push(mountpath.path);
    }
    Ok(out)
}

/// The target's space.
pub(super) async fn capacity(core: &Core) -> Result<Capacity, AisError> {
    let mut mountpaths = BTreeMap::new();
    let all = core.backend.mountpaths().await.map_err(error::of)?;
    let view = core.view().map_err(error::of)?;
    let cs_err = space::words(&view.config, &all);
    for facts in all.into_iter().filter(|facts| facts.disabled.is_none()) {
        let pct_used = i32::try_from(percent(facts.used, facts.total())).unwrap_or(100);
        let mut mountpath = CapacityMountpath {
            mountpath_label: facts.label,
            disks: facts.disks,
            used: facts.used,
            avail: facts.free,
            pct_used,
            ..CapacityMountpath::default()
        };
        mountpath.fs.fs = facts.device;
        mountpath.fs.fs_type = facts.fs_type;
        mountpath.fs.fs_id = facts.fs_id;
        mountpaths.insert(facts.path, mountpath);
    }
    Ok(Capacity { cs_err, ..Capacity::new(mountpaths) })
}

/// AIS's name of how long a node has run, in nanoseconds.
const UPTIME: &str = "up.ns.time";

/// A node's statistics by AIS's names. Requests are the target's alone.
fn tracker(core: &Core, role: Role) -> BTreeMap<String, u64> {
    let uptime = u64::try_from(core.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let counters = if role == Role::Target { core.backend.counters() } else { BTreeMap::new() };
    let counters = counters.into_iter().map(|(name, v)| (name, u64::try_from(v).unwrap_or(0)));
    counters.chain([(UPTIME.to_owned(), uptime)]).collect()
}

/// What a statistic measures, in AIS's words.
fn metric_kind(name: &str) -> &'static str {
    match name {
        UPTIME => "special",
        _ if name.ends_with(".size") => "size",
        _ => "counter",
    }
}

/// A node's statistics and space. Only the target has space.
pub(super) async fn stats(core: &Core, view: &ClusterView, id: &NodeId) -> Result<NodeStats, AisError> {
    let node = find(view, id)?;
    let capacity = match node.role {
        Role::Gateway => Capacity::default(),
        Role::Target => capacity(core).await?,
    };
    Ok(NodeStats { snode: node.into(), tracker: tracker(core, node.role), capacity })
}

/// What is to be known of this process at once: whether it has started, and whether its disks are too full.
pub(super) async fn state(core: &Core, view: &ClusterView) -> Result<NodeStateFlags, AisError> {
    let mountpaths = core.backend.mountpaths().await.map_err(error::of)?;
    Ok(started(core) | space::flags(&view.config, &mountpaths))
}

fn started(core: &Core) -> NodeStateFlags {
    if core.backend.is_ready() { NodeStateFlags::OK } else { NodeStateFlags::CLUSTER_STARTED }
}

async fn status(core: &Core, view: &ClusterView, id: &NodeId) -> Result<NodeStatus, AisError> {
    let node = find(view, id)?;
    let flags = match node.role {
        Role::Gateway => started(core),
        Role::Target => state(core, view).await?,
    };
    let state = NodeStateInfo::new(view, flags);
    let stats = stats(core, view, id).await?;
    let mut status = NodeStatus::new(node, view, state, stats, sys_info(core).await?);
    status.rebalance_snap = jobs::running_rebalance(core, view, id);
    Ok(status)
}

/// Memory, CPU and space of this host.
pub(super) async fn sys_info(core: &Core) -> Result<TargetSysInfo, AisError> {
    let capacity = capacity(core).await?;
    let fs_capacity = capacity.total_used.saturating_add(capacity.total_avail);
    Ok(TargetSysInfo {
        mem_cpu: on_worker(mem_cpu).await?,
        fs_used: capacity.total_used,
        fs_capacity,
        pct_fs_used: percent(capacity.total_used, fs_capacity),
    })
}

/// From the kernel's own files; what cannot be read is zero.
fn mem_cpu() -> MemCpu {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let loadavg = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    mem_cpu_of(&meminfo, &loadavg, cpus)
}

fn mem_cpu_of(meminfo: &str, loadavg: &str, cpus: usize) -> MemCpu {
    let bytes = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) << 10
    };
    let (all, mem_avail) = (bytes("MemTotal"), bytes("MemAvailable"));
    let mem_used = all.saturating_sub(mem_avail);
    let mut loads = loadavg.split(' ').map(|n| n.parse().unwrap_or(0.0));
    let mut load = || loads.next().unwrap_or(0.0);
    let load_avg = LoadAvg { one: load(), five: load(), fifteen: load() };
    let pct_cpu_used = (load_avg.one * 100.0 / cpus.max(1) as f64).min(100.0);
    let pct_mem_used = if all == 0 { 0.0 } else { mem_used as f64 * 100.0 / all as f64 };
    MemCpu { mem_used, mem_avail, pct_mem_used, pct_cpu_used, load_avg, cpu_util: pct_cpu_used as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files() {
        let info = mem_cpu_of("MemTotal:  4 kB\nMemAvailable:  1 kB\n", "0.50 1.00 2.00 1/2 3\n", 2);
        assert_eq!((info.mem_used, info.mem_avail, info.pct_mem_used), (3072, 1024, 75.0));
        assert_eq!((info.load_avg.fifteen, info.cpu_util), (2.0, 25));
        assert_eq!(mem_cpu_of("", "", 0), MemCpu::default());
        assert_eq!((percent(1, 0), percent(1, 3), percent(u64::MAX, u64::MAX)), (100, 33, 100));
    }
}
