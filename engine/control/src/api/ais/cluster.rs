//! The cluster as a whole: health, `what=`, configuration, jobs.

use std::collections::BTreeMap;

use weir_ais::headers::names;
use weir_ais::{
    AisError, ClusterPut, ClusterSysInfo, HealthQuery, JobQuery, Mountpaths, NodeStateFlags, NodeStateInfo,
    Snap, Unsupported, What,
};

use super::{Answer, error, json, node};
use crate::ControlResponse;
use crate::api::Asked;
use crate::core::Core;
use crate::raft::command::Command;

/// `/v1/health`.
pub(super) fn health(core: &Core, query: HealthQuery) -> Answer {
    let view = core.view().map_err(error::of)?;
    let leads = core.raft.progress().leads;
    let ready = core.backend.is_ready();
    let response = match query {
        HealthQuery::Alive => ControlResponse::new(200),
        HealthQuery::Ready => ControlResponse::new(if ready { 200 } else { 503 }),
        HealthQuery::PrimaryReady => ControlResponse::new(if ready && leads { 200 } else { 503 }),
        HealthQuery::IsPrimary => ControlResponse::new(if leads { 200 } else { 503 }),
        HealthQuery::State { .. } => {
            let started = NodeStateFlags::CLUSTER_STARTED;
            let flags = if ready { NodeStateFlags::OK } else { started };
            json(&NodeStateInfo::new(&view, flags))
        }
    };
    let up = core.started.elapsed().as_nanos();
    // The cluster is up since its leader is; a lone node leads since its start.
    Ok(response.with(names::NODE_UPTIME, up.to_string()).with(names::CLUSTER_UPTIME, up.to_string()))
}

/// `/v1/cluster?what=`.
pub(super) async fn about(core: &Core, what: What, asked: &Asked<'_>) -> Answer {
    let view = core.view().map_err(error::of)?;
    let (gateway, target) = (core.identity().gateway.clone(), core.identity().target.clone());
    match what {
        What::NodeStats => {
            let stats = async |id| node::stats(core, &view, id).await;
            let (proxy, target_stats) = (stats(&gateway).await?, stats(&target).await?);
            Ok(json(
                &serde_json::json!({ "proxy": { gateway.as_str(): proxy }, "target": { target.as_str(): target_stats } }),
            ))
        }
        What::SysInfo => {
            let info = node::sys_info(core).await?;
            Ok(json(&ClusterSysInfo {
                proxy: BTreeMap::from([(gateway.to_string(), info.mem_cpu)]),
                target: BTreeMap::from([(target.to_string(), info)]),
            }))
        }
        What::Mountpaths => {
            let mountpaths: Mountpaths = node::mountpaths(core).await?;
            Ok(json(&serde_json::json!({ "targets": { target.as_str(): mountpaths } })))
        }
        What::JobStatus | What::JobStatusAll | What::JobSnaps | What::JobsRunning => {
            jobs(&what, &JobQuery::read(&asked.body)?, target.as_str())
        }
        other => node::about(core, &gateway, other, asked).await,
    }
}

/// Kinds of jobs and their other names, as AIS has them: a question about any other kind is an error.
const JOB_KINDS: [&str; 53] = [
    "election",
    "elect-primary",
    "rebalance",
    "etl-inline",
    "lru",
    "lru-eviction",
    "cleanup-store",
    "cleanup",
    "summary-bck",
    "summary",
    "summary-shard",
    "shard-summary",
    "resilver",
    "rechunk",
    "index-shard",
    "shard-index",
    "ec-get",
    "ec-put",
    "ec-resp",
    "put-copies",
    "archive",
    "copy-listrange",
    "copy-objects",
    "etl-listrange",
    "etl-objects",
    "blob-download",
    "download",
    "dsort",
    "promote",
    "promote-files",
    "evict-listrange",
    "evict-objects",
    "evict-remote-bck",
    "evict-remote-bucket",
    "delete-listrange",
    "delete-objects",
    "prefetch-listrange",
    "prefetch-objects",
    "ec-encode",
    "ec-bucket",
    "make-n-copies",
    "mirror",
    "move-bck",
    "rename-bucket",
    "copy-bck",
    "copy-bucket",
    "etl-bck",
    "etl-bucket",
    "list",
    "get-batch",
    "create-inventory",
    "load-lom-cache",
    "warm-up-metadata",
];

/// Answers questions about jobs. No kind of job runs here, so that an ID is never known and a known kind has none.
pub(super) fn jobs(what: &What, query: &JobQuery, target: &str) -> Answer {
    let known = query.kind.is_empty() || JOB_KINDS.contains(&query.kind.as_str());
    match what {
        What::JobSnaps if query.id.is_empty() && known => {
            Ok(json(&BTreeMap::from([(target, Vec::<Snap>::new())])))
        }
        What::JobStatusAll | What::JobsRunning if known => Ok(json(&Vec::<String>::new())),
        _ => Err(query.not_found()),
    }
}

/// `PUT /v1/cluster`.
pub(super) async fn change(
    core: &Core,
    assignments: Option<Vec<(String, String)>>,
    transient: bool,
    asked: &Asked<'_>,
) -> Answer {
    let now_ns = crate::now_ns();
    let command = match ClusterPut::read(assignments, &asked.body)? {
        ClusterPut::SetConfig(_) if transient => {
            return Err(Unsupported::new("set", "configuration that a restart forgets").into());
        }
        ClusterPut::SetConfig(config) => {
            settable(config.iter())?;
            Command::SetConfig { config, now_ns }
        }
        ClusterPut::ResetConfig => Command::ResetConfig { now_ns },
        // No job runs, so that whatever is to stop has stopped.
        ClusterPut::StopJob(_) => return Ok(ControlResponse::new(200)),
        ClusterPut::ResetStats { .. } => return Err(Unsupported::new("reset", "statistics").into()),
        ClusterPut::RotateLogs => {
            return Err(Unsupported::new("rotate", "logs (they go to standard error)").into());
        }
        ClusterPut::Unsupported(what) => return Err(what.into()),
    };
    core.raft.propose(command).await.map_err(error::of)?;
    Ok(ControlResponse::new(200))
}

/// Refuses settings that would promise what is not done: protection without the jobs that make it, eviction and
/// rates that nothing enforces, and authentication, which follows from the credentials given at start. Sending back
/// what a bucket has is no promise: none of these can be on.
pub(super) fn settable<'p>(mut settings: impl Iterator<Item = (&'p str, &'p str)>) -> Result<(), AisError> {
    const OFF: [&str; 7] = ["", "false", "f", "no", "n", "off", "0"];
    const SWITCHES: [&str; 6] = [
        "mirror.enabled",
        "ec.enabled",
        "lru.enabled",
        "rate_limit.backend.enabled",
        "rate_limit.frontend.enabled",
        "auth.client_auth_required",
    ];
    let promise = settings.find(|(name, value)| {
        let name = name.to_ascii_lowercase();
        SWITCHES.contains(&name.as_str()) && !OFF.contains(&value.trim().to_ascii_lowercase().as_str())
    });
    promise.map_or(Ok(()), |(name, _)| Err(Unsupported::new("enable", name).into()))
}
