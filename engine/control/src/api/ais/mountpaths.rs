//! Mountpaths of a target: taken in and out, here or at another process.

use std::time::Duration;

use weir_ais::{AisError, MountpathMsg, Where};
use weir_types::limits::STALL_SECONDS_MAX;

use super::{Answer, error, node, node_name, others};
use crate::api::Asked;
use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};
use crate::{ControlResponse, MountpathAction, MountpathChange};

/// How long another node may take: what uses a disk that leaves at once is waited for.
const CHANGE_MAX: Duration = Duration::from_secs(2 * STALL_SECONDS_MAX);

/// Changes the mountpaths of the node addressed.
pub(super) async fn change(core: &Core, reverse: bool, no_resilver: bool, asked: &Asked<'_>) -> Answer {
    let (action, path) = match MountpathMsg::read(&asked.body)? {
        MountpathMsg::Attach(path) => (MountpathAction::Attach, path),
        MountpathMsg::Enable(path) => (MountpathAction::Enable, path),
        MountpathMsg::Disable(path) => (MountpathAction::Disable, path),
        MountpathMsg::Detach(path) => (MountpathAction::Detach, path),
        MountpathMsg::Unsupported(what) => return Err(what.into()),
    };
    let change = MountpathChange { action, path, resilver: !no_resilver };
    let id = if reverse { others::addressed(core, asked)? } else { node::own(core)? };
    if core.raft.published().me().has(id.as_str()) {
        return here(core, &change).await;
    }
    let view = core.view().map_err(error::of)?;
    let node = view.smap.node(id.as_str()).ok_or_else(|| AisError::NodeNotFound(id.to_string()))?;
    match core.ask(node, PeerCall::ChangeMountpath(change), CHANGE_MAX).await.map_err(error::of)? {
        PeerAnswer::Told { status, content_type, body } => {
            Ok(ControlResponse::new(status).body(&content_type, body))
        }
        other => Err(AisError::Internal(format!("{node} answers {other:?}"))),
    }
}

async fn here(core: &Core, change: &MountpathChange) -> Answer {
    core.backend.change_mountpath(change).await.map_err(error::of)?;
    Ok(ControlResponse::new(200))
}

/// Answers another node that asks for a change of this one's mountpaths.
pub(crate) async fn told_change(core: &Core, change: &MountpathChange) -> PeerAnswer {
    match here(core, change).await {
        Ok(response) => {
            PeerAnswer::Told { status: response.status, content_type: String::new(), body: Vec::new() }
        }
        Err(e) => {
            let name = node_name(core);
            let at = Where { method: "PUT", path: "/v1/daemon/mountpaths", remote: "", node: &name };
            let (content_type, body) = e.body(&at);
            PeerAnswer::Told { status: e.status(), content_type: content_type.to_owned(), body }
        }
    }
}
