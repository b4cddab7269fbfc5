use std::path::PathBuf;

use std::net::SocketAddr;

use weir_auth::PeerKey;
use weir_cluster::{ClusterConfig, ClusterUuid, Me, NetInfo, NodeId, Roles};
use weir_s3::S3Config;

/// Log entries between two snapshots of the replicated state.
pub const SNAPSHOT_ENTRIES: u64 = 2000;

/// What the control core of one node is started with.
#[derive(Clone, Debug)]
pub struct ControlConfig {
    /// Directory of the replicated state; made if absent, readable by the owner only.
    pub state_dir: PathBuf,
    /// What this process is.
    pub roles: Roles,
    /// The way to other nodes; `None`: the cluster is this process alone.
    pub peers: Option<PeersConfig>,
    /// ID of this node's gateway; `None`: the stored one, made at first start.
    pub gateway: Option<NodeId>,
    /// ID of this node's target; `None`: the stored one, made at first start.
    pub target: Option<NodeId>,
    /// Where clients reach this node.
    pub public: NetInfo,
    /// Where nodes reach it for control.
    pub intra_control: NetInfo,
    /// Where nodes reach it for data.
    pub intra_data: NetInfo,
    /// CPU that the control thread is pinned to.
    pub cpu: Option<usize>,
    /// Configuration of a cluster made by this start; a cluster that exists keeps its own.
    pub cluster: ClusterConfig,
    /// What the S3 API answers of region and owner.
    pub s3: S3Config,
    /// Log entries between two snapshots: [`SNAPSHOT_ENTRIES`].
    pub snapshot_entries: u64,
}

impl ControlConfig {
    /// Defaults for a node whose three listeners are one endpoint.
    pub fn new(state_dir: impl Into<PathBuf>, net: NetInfo) -> Self {
        Self {
            state_dir: state_dir.into(),
            roles: Roles::default(),
            peers: None,
            gateway: None,
            target: None,
            public: net.clone(),
            intra_control: net.clone(),
            intra_data: net,
            cpu: None,
            cluster: ClusterConfig::default(),
            s3: S3Config::default(),
            snapshot_entries: SNAPSHOT_ENTRIES,
        }
    }
}

/// How a process meets the other nodes.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// Address of the intra-control listener.
    pub listen: SocketAddr,
    /// `host:port` of intra-control listeners to ask for the cluster. A process that is named first, or alone with an empty
    /// list, makes the cluster if nobody knows of one.
    pub seeds: Vec<String>,
    /// From the join secret.
    pub key: PeerKey,
}

/// Who this node is: the same for the life of its state directory.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The cluster it belongs to, or makes at its first start.
    pub cluster: ClusterUuid,
    /// Its gateway role.
    pub gateway: NodeId,
    /// Its target role.
    pub target: NodeId,
}

impl Identity {
    /// The IDs that count for a process of these roles.
    pub fn me(&self, roles: Roles) -> Me {
        Me {
            gateway: roles.has_gateway().then(|| self.gateway.clone()),
            target: roles.has_target().then(|| self.target.clone()),
        }
    }
}
