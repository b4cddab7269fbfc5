//! Membership by command: who leads, who rests, who leaves.
//!
//! A target that rests or leaves owns no names from the command on; its objects move to their owners by a rebalance, and are
//! reachable meanwhile. One that leaves is taken off the map by the leader when it holds nothing any more, and told to stop.

use std::sync::Arc;
use std::time::Duration;

use weir_ais::{AisError, NodeAction, NodeActionKind};
use weir_cluster::{JobId, Node, NodeFlags, NodeId, Role};

use super::{Answer, error};
use crate::core::Core;
use crate::peers::PeerCall;
use crate::raft::command::Command;
use crate::{ControlError, ControlResponse, runtime};

/// How long the answer waits for the rebalance to begin, for its ID.
const BEGIN_MAX: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// `PUT /v1/cluster/proxy/<id>`.
pub(super) async fn set_primary(core: &Core, id: &str) -> Answer {
    let id = NodeId::new(id)?;
    core.raft.set_primary(&id).await.map_err(error::of)?;
    Ok(ControlResponse::new(200))
}

/// Actions on nodes, one after the other; an error leaves the rest as they were. The answer is the ID of the rebalance, if
/// objects move.
pub(crate) async fn act(core: &Arc<Core>, action: &NodeAction) -> Answer {
    for id in &action.nodes {
        let view = core.view().map_err(error::of)?;
        let node = view.smap.node(id).ok_or_else(|| AisError::NodeNotFound(id.clone()))?.clone();
        if !matches!(action.kind, NodeActionKind::StopMaintenance | NodeActionKind::Shutdown) {
            may_rest(core, &node).await?;
        }
        match action.kind {
            NodeActionKind::StartMaintenance => {
                flag(core, &node, NodeFlags::MAINTENANCE, NodeFlags::default()).await?;
            }
            NodeActionKind::StopMaintenance => {
                let resting = NodeFlags::MAINTENANCE.with(NodeFlags::MAINTENANCE_REBALANCED);
                flag(core, &node, NodeFlags::default(), resting).await?;
            }
            NodeActionKind::Decommission => {
                decommission(core, node, action.no_shutdown).await?;
            }
            NodeActionKind::Shutdown => stop(core, &node).await?,
            NodeActionKind::RemoveUnsafe if node.is_here() => {
                return Err(AisError::Bad(format!("rm-unsafe {node}: it is here; decommission it")));
            }
            NodeActionKind::RemoveUnsafe => {
                // It may have come back since: it takes no names any more, or has no lease, before nobody asks it.
                flag(core, &node, NodeFlags::DECOMMISSION, NodeFlags::default()).await?;
                propose(core, Command::RemoveNode { node: node.id }).await?;
            }
        }
    }
    let id = rebalance(core).await;
    if let Some(id) = id.clone().filter(|_| action.skip_rebalance) {
        // The objects stay where they are; their owners ask for them there.
        propose(core, Command::StopJob { id, why: "no rebalance was wanted".into() }).await?;
    }
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    Ok(ControlResponse::new(200).body("text/plain; charset=utf-8", id))
}

/// The rebalance that follows from the last change of the owners.
pub(super) async fn rebalance(core: &Core) -> Option<JobId> {
    let begun = runtime::now();
    loop {
        let view = core.view().ok()?;
        let version = view.moving.as_ref()?.version;
        if let Some(job) = view.jobs.rebalances_to(version).last() {
            return Some(job.id.clone());
        }
        if runtime::since(begun) > BEGIN_MAX {
            return None;
        }
        runtime::sleep(LOOK).await;
    }
}

/// Stops every process, this one last.
pub(super) async fn shutdown(core: &Core) -> Answer {
    let view = core.view().map_err(error::of)?;
    let own = core.raft.published().me().clone();
    for node in view.smap.targets.values().chain(view.smap.gateways.values()).filter(|n| !own.is(n)) {
        if let Err(error) = core.at_target(node, PeerCall::Stop).await {
            tracing::warn!("{node} is not told to stop: {error}");
        }
    }
    core.backend.request_stop();
    Ok(ControlResponse::new(200))
}

/// The leader and the last of its kind go on.
async fn may_rest(core: &Core, node: &Node) -> Result<(), AisError> {
    let view = core.view().map_err(error::of)?;
    if view.smap.primary == node.id {
        return Err(AisError::Bad(format!("{node} leads: let another gateway lead first (set-primary)")));
    }
    Ok(())
}

async fn decommission(core: &Arc<Core>, node: Node, no_shutdown: bool) -> Result<(), AisError> {
    flag(core, &node, NodeFlags::DECOMMISSION, NodeFlags::default()).await?;
    if node.role == Role::Gateway {
        propose(core, Command::RemoveNode { node: node.id.clone() }).await?;
        return if no_shutdown { Ok(()) } else { stop(core, &node).await };
    }
    if !no_shutdown {
        runtime::spawn(stop_when_gone(core.clone(), node));
    }
    Ok(())
}

/// The leader takes it off the map when it holds nothing any more.
async fn stop_when_gone(core: Arc<Core>, node: Node) {
    loop {
        runtime::sleep(LOOK).await;
        let Ok(view) = core.view() else { continue };
        match view.smap.targets.get(&node.id) {
            // Somebody thought better of it.
            Some(target) if !target.flags.any(NodeFlags::DECOMMISSION) => return,
            Some(_) => {}
            None => break,
        }
    }
    if let Err(error) = stop(&core, &node).await {
        tracing::warn!("{node} has left and is not told to stop: {error}");
    }
}

async fn stop(core: &Core, node: &Node) -> Result<(), AisError> {
    core.at_target(node, PeerCall::Stop).await.map(drop).map_err(error::of)
}

async fn flag(core: &Core, node: &Node, set: NodeFlags, clear: NodeFlags) -> Result<(), AisError> {
    propose(core, Command::SetFlags { node: node.id.clone(), set, clear }).await
}

async fn propose(core: &Core, command: Command) -> Result<(), AisError> {
    core.raft.propose(command).await.map(drop).map_err(|e: ControlError| error::of(e))
}
