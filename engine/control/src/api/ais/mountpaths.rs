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
pub(super) async fn change(
    core: &Core,
    reverse: bool,
    no_resilver: bool,
    label: String,
    asked: &Asked<'_>,
) -> Answer {
    let (action, path) = match MountpathMsg::read(&asked.body)? {
        MountpathMsg::Attach(path) => (MountpathAction::Attach, path),
        MountpathMsg::Enable(path) => (MountpathAction::Enable, path),
        MountpathMsg::Disable(path) => (MountpathAction::Disable, path),
        MountpathMsg::Detach(path) => (MountpathAction::Detach, path),
        MountpathMsg::Rescan(path) => (MountpathAction::Rescan, path),
        MountpathMsg::Check(path) => (MountpathAction::Check, path),
    };
    let change = MountpathChange { action, path, resilver: !no_resilver, label };
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
    match change.action {
        MountpathAction::Rescan => rescan(core, &change.path).await?,
        MountpathAction::Check => {
            let fshc = core.view().map_err(error::of)?.config.fshc.clone();
            let [files, errors] =
                [fshc.test_files, fshc.error_limit].map(|bound| usize::try_from(bound).unwrap_or(0));
            core.backend.check_mountpath(&change.path, files, errors).await.map_err(error::of)?;
        }
        _ => core.backend.change_mountpath(change).await.map_err(error::of)?,
    }
    Ok(ControlResponse::new(200))
}

/// What is under a mountpath is asked of the kernel each time: here it is said, and whether the mountpath is in service.
async fn rescan(core: &Core, path: &str) -> Result<(), AisError> {
    let all = core.backend.mountpaths().await.map_err(error::of)?;
    let found = all.iter().find(|mountpath| mountpath.path == path && mountpath.disabled.is_none());
    let not_there = || AisError::Bad(format!("mountpath {path} is not in service"));
    let found = found.ok_or_else(not_there)?;
    tracing::info!("{path} is on {} ({})", found.disks.join(", "), found.fs_type);
    Ok(())
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
