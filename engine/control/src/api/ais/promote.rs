//! Files of targets that become objects: who may, where they are, and the job that does it.

use std::time::Duration;

use weir_ais::{AisError, PromoteMsg};
use weir_cluster::{JobOrder, Node, Promotable, PromoteOrder};
use weir_types::limits::PEER_CALL_MILLIS_MAX;
use weir_types::{Access, Bucket};

use super::{Answer, error, jobs, on_bucket, on_mask};
use crate::api::Asked;
use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};

/// Begins the job; the answer is its ID. Refused if a target that takes part does not allow the path, or none has it.
pub(super) async fn begin(core: &Core, bucket: Bucket, msg: PromoteMsg, asked: &Asked<'_>) -> Answer {
    on_bucket(asked, Access::PROMOTE, &bucket)?;
    let info = core.bucket(&bucket, false).await.map_err(error::of)?;
    on_mask(asked, Access::PROMOTE, &bucket, &info, "PROMOTE")?;
    if bucket.provider.is_remote() {
        return Err(weir_ais::Unsupported::new("promote", bucket.to_string()).into());
    }
    let view = core.view().map_err(error::of)?;
    let takes_part = |node: &&Node| msg.node.is_empty() || node.id.as_str() == msg.node;
    let targets: Vec<&Node> = view.smap.targets.values().filter(takes_part).collect();
    if targets.is_empty() {
        return Err(AisError::NodeNotFound(msg.node));
    }
    let mut found = false;
    for target in &targets {
        found |= looked(core, target, &msg.source).await? != Promotable::Nothing;
    }
    if !found {
        let what = format!("promote: no target has a file or directory {:?}", msg.source);
        return Err(AisError::Bad(what));
    }
    let order = PromoteOrder {
        bid: info.bid,
        bucket,
        source: msg.source,
        object: msg.object,
        recursive: msg.recursive,
        overwrite: msg.overwrite,
        delete_source: msg.delete_source,
        target: targets.first().filter(|_| !msg.node.is_empty()).map(|target| target.id.clone()),
    };
    jobs::start(core, JobOrder::Promote(Box::new(order))).await
}

/// What the path leads to at a target.
async fn looked(core: &Core, target: &Node, path: &str) -> Result<Promotable, AisError> {
    let refused = |why: String| AisError::Forbidden(format!("promote: t[{}]: {why}", target.id));
    if core.raft.published().me().is(target) {
        return core.backend.promotable(path).await.map_err(|e| refused(e.to_string()));
    }
    let within = Duration::from_millis(PEER_CALL_MILLIS_MAX);
    match core.ask(target, PeerCall::Promotable { path: path.to_owned() }, within).await.map_err(error::of)? {
        PeerAnswer::Promotable(looked) => looked.map_err(refused),
        _ => Err(AisError::Internal(format!("t[{}] answers something else than it was asked", target.id))),
    }
}
