//! Mountpaths that come, go, and lose what they hold.

use std::path::Path;

use serde_json::{Value, json};
use weir_faultdisk::rng::Rng;

use super::Event;
use crate::cluster::{BUCKETS, Cluster, until};
use crate::error::ChaosError;
use crate::node::remove;

/// One is detached and another attached, in either order.
pub(super) fn exchange(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    let target = event.take_target(dice)?;
    let old = oldest(cluster, target)?;
    let fresh = cluster.node(target).fresh_mountpath()?;
    if dice.chance(50) {
        attach(cluster, target, &fresh)?;
        detach(cluster, target, &old)?;
    } else {
        detach(cluster, target, &old)?;
        attach(cluster, target, &fresh)?;
    }
    cluster.settled(target)?;
    remove(&old)
}

/// The copies of the mirrored bucket go from one mountpath, behind the node's back.
pub(super) fn wipe(event: &Event<'_, '_>, dice: &mut Rng) -> Result<(), ChaosError> {
    let cluster = event.cluster();
    let target = event.take_target(dice)?;
    let wiped = oldest(cluster, target)?.join("@ais").join(BUCKETS[1]);
    // What is written meanwhile may be in the middle of a directory that goes: those who remove are tried again.
    until("the copies are gone", || remove(&wiped).ok())?;
    event.scene.more(event.operations)
}

fn oldest(cluster: &Cluster, target: usize) -> Result<std::path::PathBuf, ChaosError> {
    let node = cluster.node(target);
    let oldest = node.mountpaths().first().cloned();
    oldest.ok_or_else(|| ChaosError::Usage(format!("n{target} has no mountpath")))
}

/// Attaches a mountpath and waits until it is in service.
pub(super) fn attach(cluster: &Cluster, target: usize, path: &Path) -> Result<(), ChaosError> {
    change(cluster, target, ("PUT", "attach-mp"), path, |states| states.available)?;
    cluster.node(target).attached(path.to_owned());
    Ok(())
}

/// Detaches a mountpath and waits until it has left.
pub(super) fn detach(cluster: &Cluster, target: usize, path: &Path) -> Result<(), ChaosError> {
    change(cluster, target, ("DELETE", "detach-mp"), path, |states| !states.is_there())?;
    cluster.node(target).detached(path);
    Ok(())
}

/// Takes a mountpath into service again.
pub(super) fn enable(cluster: &Cluster, target: usize, path: &Path) -> Result<(), ChaosError> {
    change(cluster, target, ("POST", "enable-mp"), path, |states| states.available)
}

/// Where a mountpath stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct States {
    /// In service.
    pub(super) available: bool,
    /// On its way out.
    pub(super) leaving: bool,
    /// Out of service.
    pub(super) disabled: bool,
}

impl States {
    fn is_there(self) -> bool {
        self.available || self.leaving || self.disabled
    }
}

/// Where a mountpath of a target stands, if the target says so.
pub(super) fn states(cluster: &Cluster, target: usize, path: &Path) -> Option<States> {
    let answer = cluster.ask(target, "GET", "/v1/daemon?what=mountpaths", b"").filter(|a| a.status == 200)?;
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    let path = path.display().to_string();
    let has = |state: &str| json[state].as_array().is_some_and(|all| all.iter().any(|p| *p == path.as_str()));
    Some(States { available: has("available"), leaving: has("waiting_dd"), disabled: has("disabled") })
}

/// Has a mountpath changed, and waits until it is so; told again where the target was not there to hear it.
fn change(
    cluster: &Cluster,
    target: usize,
    (method, action): (&str, &str),
    path: &Path,
    done: impl Fn(States) -> bool,
) -> Result<(), ChaosError> {
    let body = json!({"action": action, "value": path.display().to_string()}).to_string();
    let mut told = String::from("nothing");
    let waited = until(&format!("{action} {} at n{target}", path.display()), || {
        let now = states(cluster, target, path)?;
        if done(now) {
            return Some(());
        }
        if !now.leaving {
            let answer = cluster.ask(target, method, "/v1/daemon/mountpaths", body.as_bytes())?;
            told = format!("{} {}", answer.status, answer.text());
        }
        None
    });
    waited.map_err(|e| ChaosError::Program { command: e.to_string(), got: told })
}
