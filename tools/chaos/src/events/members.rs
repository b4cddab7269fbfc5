//! Targets that come and go by command.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use weir_faultdisk::rng::Rng;

use super::Event;
use crate::cluster::{Cluster, until};
use crate::error::ChaosError;

/// How long the process of a target that left may take to end by itself.
const END: Duration = Duration::from_secs(30);

pub(super) fn join(event: &Event<'_, '_>) -> Result<(), ChaosError> {
    let spare = event.cluster().spare();
    let spare = spare.ok_or_else(|| ChaosError::Usage("no target is there to join".into()))?;
    event.taken.lock().insert(spare);
    enter(event.cluster(), spare)
}

pub(super) fn leave(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let target = event.take_target(dice)?;
    decommission(event.cluster(), target)
}

pub(super) fn maintenance(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    let target = event.take_target(dice)?;
    let id = cluster.node(target).id();
    act(cluster, "start-maintenance", &id, |flags| flags & 4 != 0)?;
    cluster.rested(&id)?;
    event.scene.more(event.operations)?;
    let before = known(cluster)?;
    act(cluster, "stop-maintenance", &id, |flags| flags & 4 == 0)?;
    cluster.flagged(&id, 0)?;
    cluster.rebalanced(&before)
}

/// Starts the spare target and waits until it has what is its own.
pub(super) fn enter(cluster: &Cluster, spare: usize) -> Result<(), ChaosError> {
    let before = known(cluster)?;
    cluster.set_member(spare, true);
    cluster.start_node(spare)?;
    let id = cluster.node(spare).id();
    cluster.flagged(&id, 0)?;
    cluster.rebalanced(&before)
}

/// Has a target leave for good; its place is that of a new one from then on.
pub(super) fn decommission(cluster: &Cluster, target: usize) -> Result<(), ChaosError> {
    let id = cluster.node(target).id();
    act(cluster, "decommission-node", &id, |flags| flags & 8 != 0)?;
    cluster.off_the_map(&id)?;
    cluster.set_member(target, false);
    let mut node = cluster.node(target);
    if !node.ends(END) {
        // A leader that died meanwhile has told nobody to stop.
        node.kill();
    }
    node.renew(cluster.common())
}

/// The rebalances that are known at the moment.
fn known(cluster: &Cluster) -> Result<BTreeMap<String, bool>, ChaosError> {
    until("rebalances are known", || cluster.rebalances())
}

/// Has an action on a target carried out, which its flags show. An answer that was lost on the way is none.
fn act(cluster: &Cluster, action: &str, id: &str, done: impl Fn(u64) -> bool) -> Result<(), ChaosError> {
    let body = json!({"action": action, "value": {"sid": id}});
    let is_done = |_: &crate::http::Answer| match cluster.map() {
        None => false,
        Some(map) => map["tmap"][id]["flags"].as_u64().is_none_or(&done),
    };
    cluster.command("PUT", "/v1/cluster", &body, is_done).map(drop)
}
