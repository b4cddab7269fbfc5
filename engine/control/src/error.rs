use std::path::PathBuf;

use weir_cluster::{ClusterError, NodeId};

use crate::backend::BackendError;
use crate::raft::command::Refused;

/// Why the control core could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// The state file cannot be used.
    #[error("control state {path}: {what}")]
    State {
        /// The file.
        path: PathBuf,
        /// What happened.
        what: String,
    },
    /// Another process has the state file open.
    #[error("control state {path} is in use by another process: one node per directory")]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The state directory belongs to another node.
    #[error("state directory belongs to {role} {expected}, not to {got}: give each node its own directory")]
    Identity {
        /// `gateway` or `target`.
        role: &'static str,
        /// The stored ID.
        expected: NodeId,
        /// The configured one.
        got: NodeId,
    },
    /// The control thread could not be started.
    #[error("control thread: {0}")]
    Thread(String),
    /// The replicated state does not allow the change.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The listener for nodes cannot be had.
    #[error("intra-control: {0}")]
    Peers(String),
    /// The cluster does not take this node, and will not.
    #[error("this node is not taken into the cluster: {0}")]
    NotTaken(String),
    /// No majority, or no leader yet: nothing was changed, or it is not known whether it was.
    #[error("no agreement: {0}")]
    NoAgreement(String),
    /// Another node failed at what it was asked.
    #[error("{0}")]
    Elsewhere(String),
    /// A value that is wrong by itself.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The store or the origin failed.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// More requests wait than [`weir_types::limits::CONTROL_QUEUE_MAX`].
    #[error("control core is overloaded: try again shortly")]
    Overloaded,
    /// The control core has been stopped.
    #[error("control core is stopped")]
    Stopped,
}
