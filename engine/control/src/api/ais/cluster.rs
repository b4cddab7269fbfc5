//! The cluster as a whole: health, `what=`, configuration, jobs.

use std::sync::Arc;
use std::time::Instant;

use weir_ais::headers::names;
use weir_ais::{AisError, ClusterPut, HealthQuery, NodeStateInfo, Unsupported, What};
use weir_cluster::Role;

use super::{Answer, error, jobs, json, members, node, others};
use crate::ControlResponse;
use crate::api::Asked;
use crate::core::Core;
use crate::raft::command::Command;

/// `/v1/health`.
pub(super) async fn health(core: &Core, query: HealthQuery) -> Answer {
    let view = core.view().map_err(error::of)?;
    let leads = core.raft.surely_leads();
    let led = core.raft.lease().holds(Instant::now());
    let ready = core.backend.is_ready();
    let response = match query {
        HealthQuery::Alive => ControlResponse::new(200),
        HealthQuery::Ready => ControlResponse::new(if ready { 200 } else { 503 }),
        // A gateway that does not lead speaks for the one that does, while it hears of it.
        HealthQuery::PrimaryReady => ControlResponse::new(if ready && led { 200 } else { 503 }),
        HealthQuery::IsPrimary => ControlResponse::new(if leads { 200 } else { 503 }),
        HealthQuery::State { .. } => json(&NodeStateInfo::new(&view, node::state(core, &view).await?)),
    };
    let up = core.started.elapsed().as_nanos();
    // The cluster is up since its leader is; a lone node leads since its start.
    Ok(response.with(names::NODE_UPTIME, up.to_string()).with(names::CLUSTER_UPTIME, up.to_string()))
}

/// `/v1/cluster?what=`.
pub(super) async fn about(core: &Core, what: What, asked: &Asked<'_>) -> Answer {
    let me = core.raft.published().me();
    match what {
        What::NodeStats | What::SysInfo => {
            let gateway = me.gateway.iter().cloned().collect();
            let (gateways, targets) = match what {
                // This gateway alone speaks of its statistics, as AIS has it.
                What::NodeStats => (gateway, others::here(core, Role::Target)?),
                _ => (others::here(core, Role::Gateway)?, others::here(core, Role::Target)?),
            };
            let proxy = others::of_each(core, gateways, &what).await?;
            let target = others::of_each(core, targets, &what).await?;
            Ok(json(&serde_json::json!({ "proxy": proxy, "target": target })))
        }
        What::Mountpaths => {
            let targets = others::of_each(core, others::here(core, Role::Target)?, &what).await?;
            Ok(json(&serde_json::json!({ "targets": targets })))
        }
        What::JobStatus | What::JobStatusAll | What::JobSnaps | What::JobsRunning => {
            jobs::of_cluster(core, &what, &asked.body).await
        }
        other => node::about(core, &node::own(core)?, other, &asked.body).await,
    }
}

/// `PUT /v1/cluster`.
pub(super) async fn change(
    core: &Arc<Core>,
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
        ClusterPut::StartJob(msg) => return jobs::start_kind(core, msg).await,
        ClusterPut::StopJob(msg) => return jobs::stop(core, &msg).await,
        ClusterPut::ResetStats { .. } => return Err(Unsupported::new("reset", "statistics").into()),
        ClusterPut::RotateLogs => {
            return Err(Unsupported::new("rotate", "the logs of all nodes at once").into());
        }
        ClusterPut::Node(action) => return members::act(core, &action).await,
        ClusterPut::Shutdown => return members::shutdown(core).await,
        ClusterPut::Unsupported(what) => return Err(what.into()),
    };
    core.raft.propose(command).await.map_err(error::of)?;
    Ok(ControlResponse::new(200))
}

/// Refuses settings that would promise what is not done: protection without the jobs that make it, rates that nothing enforces,
/// and authentication, which follows from the credentials given at start. Sending back what a bucket has is no promise: none
/// of these can be on.
pub(super) fn settable<'p>(mut settings: impl Iterator<Item = (&'p str, &'p str)>) -> Result<(), AisError> {
    const OFF: [&str; 7] = ["", "false", "f", "no", "n", "off", "0"];
    const SWITCHES: [&str; 5] = [
        super::mirror::SWITCH,
        "ec.enabled",
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
