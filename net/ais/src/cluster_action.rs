//! What the action message of a cluster or node request asks for.

use serde_json::Value;
use weir_cluster::{ClusterConfig, ConfigPatch};

use crate::error::Unsupported;
use crate::settings_json::assignments;
use crate::{ActionMsg, AisError};

/// PUT to the cluster.
#[derive(Debug, Clone, PartialEq)]
pub enum ClusterPut {
    /// Change the configuration.
    SetConfig(ConfigPatch),
    /// Back to the defaults.
    ResetConfig,
    /// Counters to zero.
    ResetStats {
        /// Those of errors alone.
        errors_only: bool,
    },
    /// Begin new log files.
    RotateLogs,
    /// Begin a job.
    StartJob(crate::StartMsg),
    /// Stop a job; with one that is not there, nothing happens.
    StopJob(crate::JobMsg),
    /// Maintenance, leaving and the like, of single nodes.
    Node(crate::NodeAction),
    /// Stop every node.
    Shutdown,
    /// Not built.
    Unsupported(Unsupported),
}

impl ClusterPut {
    /// Reads the path's assignments, or else the body.
    pub fn read(path: Option<Vec<(String, String)>>, body: &[u8]) -> Result<Self, AisError> {
        if let Some(pairs) = path {
            return Ok(Self::SetConfig(from_query(pairs)?));
        }
        let msg = ActionMsg::parse(body)?;
        if let Some(action) = crate::NodeAction::of(&msg)? {
            return Ok(Self::Node(action));
        }
        Ok(match msg.action.as_str() {
            "shutdown" => Self::Shutdown,
            "set-config" => Self::SetConfig(assignments::<ClusterConfig>(&msg.value()?)?),
            "reset-config" => Self::ResetConfig,
            "reset-stats" => Self::ResetStats { errors_only: msg.value == Value::Bool(true) },
            "rotate-logs" => Self::RotateLogs,
            "stop" => Self::StopJob(crate::JobMsg::read(&msg.value()?)?),
            "start" => Self::StartJob(crate::StartMsg::read(&msg.value()?)?),
            "decommission" | "clear-lcache" | "reload-creds" => {
                Self::Unsupported(Unsupported::new(msg.action, "cluster"))
            }
            _ => return Err(msg.unknown("PUT cluster")),
        })
    }
}

/// PUT to one node.
#[derive(Debug, Clone, PartialEq)]
pub enum DaemonPut {
    /// Counters to zero.
    ResetStats {
        /// Those of errors alone.
        errors_only: bool,
    },
    /// Begin new log files.
    RotateLogs,
    /// Not built: a node here has no configuration of its own beside its start parameters.
    Unsupported(Unsupported),
}

impl DaemonPut {
    /// Reads the path's assignments, or else the body.
    pub fn read(path: Option<Vec<(String, String)>>, body: &[u8]) -> Result<Self, AisError> {
        if path.is_some() {
            return Ok(Self::Unsupported(Unsupported::new("set-config", "one node")));
        }
        let msg = ActionMsg::parse(body)?;
        Ok(match msg.action.as_str() {
            "reset-stats" => Self::ResetStats { errors_only: msg.value == Value::Bool(true) },
            "rotate-logs" => Self::RotateLogs,
            "set-config" | "reset-config" => Self::Unsupported(Unsupported::new(msg.action, "one node")),
            _ => return Err(msg.unknown("PUT node")),
        })
    }
}

/// Names in a query must exist, unlike those in JSON.
fn from_query(pairs: Vec<(String, String)>) -> Result<ConfigPatch, AisError> {
    if pairs.is_empty() {
        return Err(AisError::Bad("set-config: expected at least one name=value".into()));
    }
    Ok(ConfigPatch::new(pairs, false)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster() {
        let read = |body: &str| ClusterPut::read(None, body.as_bytes());
        assert!(matches!(
            read(r#"{"action":"set-config","value":{"lru":{"enabled":true}}}"#),
            Ok(ClusterPut::SetConfig(_))
        ));
        assert_eq!(
            read(r#"{"action":"reset-stats","value":true}"#),
            Ok(ClusterPut::ResetStats { errors_only: true })
        );
        assert!(matches!(read(r#"{"action":"stop","value":{"ID":"x"}}"#), Ok(ClusterPut::StopJob(_))));
        assert!(matches!(read(r#"{"action":"start","value":{"Kind":"lru"}}"#), Ok(ClusterPut::StartJob(_))));
        assert!(matches!(
            read(r#"{"action":"start","value":{"Kind":"resilver","node":"t1"}}"#),
            Ok(ClusterPut::StartJob(job)) if job.node == "t1"
        ));
        assert!(read(r#"{"action":"none"}"#).is_err());
        let by_path = |pairs: &[(&str, &str)]| {
            ClusterPut::read(Some(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()), b"")
        };
        assert!(matches!(by_path(&[("checksum.type", "md5")]), Ok(ClusterPut::SetConfig(_))));
        for bad in [&[][..], &[("nope", "1")], &[("checksum.type", "x")]] {
            assert_eq!(by_path(bad).unwrap_err().status(), 400, "{bad:?}");
        }
    }
}
