//! What is known of nodes wherever they are: asked of the process that each is.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::try_join_all;
use serde_json::Value;
use weir_ais::headers::names;
use weir_ais::{AisError, What, Where};
use weir_cluster::{Node, NodeId, Role};
use weir_types::limits::PEER_CALL_MILLIS_MAX;

use super::{Answer, error, node, node_name};
use crate::ControlResponse;
use crate::api::Asked;
use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};

/// How long a node may take to speak of itself.
const TELL_MAX: Duration = Duration::from_millis(PEER_CALL_MILLIS_MAX);

/// The node that a request by way of a gateway is for.
pub(super) fn addressed(core: &Core, asked: &Asked<'_>) -> Result<NodeId, AisError> {
    let id = asked.head.header(names::NODE_ID).unwrap_or_default();
    let view = core.view().map_err(error::of)?;
    let node = view.smap.node(id).ok_or_else(|| AisError::NodeNotFound(id.chars().take(64).collect()))?;
    Ok(node.id.clone())
}

/// `what=` of any node of the map.
pub(super) async fn about(core: &Core, id: &NodeId, what: What, body: &[u8]) -> Answer {
    if core.raft.published().me().has(id.as_str()) {
        return node::about(core, id, what, body).await;
    }
    let view = core.view().map_err(error::of)?;
    let node = view.smap.node(id.as_str()).ok_or_else(|| AisError::NodeNotFound(id.to_string()))?;
    let call = PeerCall::About { node: id.clone(), what, body: body.to_vec() };
    match core.ask(node, call, TELL_MAX).await.map_err(error::of)? {
        PeerAnswer::Told { status, content_type, body } => {
            Ok(ControlResponse::new(status).body(&content_type, body))
        }
        other => Err(AisError::Internal(format!("{node} answers {other:?}"))),
    }
}

/// Answers another node that asks about one of this process's.
pub(crate) async fn told(core: &Core, id: &NodeId, what: What, body: &[u8]) -> PeerAnswer {
    let answered = if core.raft.published().me().has(id.as_str()) {
        node::about(core, id, what, body).await
    } else {
        Err(AisError::NodeNotFound(id.to_string()))
    };
    match answered {
        Ok(response) => PeerAnswer::Told {
            status: response.status,
            content_type: response.header("Content-Type").unwrap_or_default().to_owned(),
            body: response.body.to_vec(),
        },
        Err(e) => {
            let name = node_name(core);
            let at = Where { method: "GET", path: "/v1/daemon", remote: "", node: &name };
            let (content_type, body) = e.body(&at);
            PeerAnswer::Told { status: e.status(), content_type: content_type.to_owned(), body }
        }
    }
}

/// The nodes of a role that are heard of.
pub(super) fn here(core: &Core, role: Role) -> Result<Vec<NodeId>, AisError> {
    let view = core.view().map_err(error::of)?;
    let nodes = match role {
        Role::Gateway => &view.smap.gateways,
        Role::Target => &view.smap.targets,
    };
    Ok(nodes.values().filter(|n| n.is_here()).map(|n: &Node| n.id.clone()).collect())
}

/// What each of these nodes answers, in JSON; an error if one does not.
pub(super) async fn of_each(
    core: &Core,
    nodes: Vec<NodeId>,
    what: &What,
) -> Result<BTreeMap<String, Value>, AisError> {
    let asked = nodes.into_iter().map(|id| async move {
        let answer = about(core, &id, what.clone(), &[]).await?;
        let value = serde_json::from_slice(&answer.body);
        let value = value.map_err(|e| AisError::Internal(format!("{id} speaks no JSON: {e}")))?;
        if answer.status != 200 {
            return Err(AisError::Internal(format!("{id} answers {}: {value}", answer.status)));
        }
        Ok((id.to_string(), value))
    });
    Ok(try_join_all(asked).await?.into_iter().collect())
}
