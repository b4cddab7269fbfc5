//! This node's part in the agreement: who it is, how it starts, and how a command is proposed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use weir_cluster::{ClusterUuid, Node, NodeFlags, NodeId, Role};

use super::command::{Answer, Applied, Command};
use super::db::{Db, DbError, key};
use super::log::LogStore;
use super::machine::{Machine, Published};
use super::network::Links;
use super::types::{Peer, Raft, RaftId};
use crate::{ControlConfig, ControlError, Identity};

/// How long a start waits for a leader before it gives up. One voter elects itself within milliseconds.
const START_SECONDS_MAX: u64 = 30;
/// Log entries kept behind a snapshot, so that a peer that was away shortly needs no snapshot.
const ENTRIES_KEPT: u64 = 500;

/// The Raft member of this process.
#[derive(Clone)]
pub(crate) struct RaftNode {
    raft: Raft,
    published: Published,
    identity: Identity,
}

/// The stored identity, made at first use. IDs given by the configuration must be the stored ones.
pub(crate) fn identity(db: &Db, config: &ControlConfig) -> Result<Identity, ControlError> {
    let failed = |e: DbError| state_error(config, &e);
    if let Some(stored) = db.value_now::<Identity>(key::IDENTITY).map_err(failed)? {
        check("gateway", &stored.gateway, config.gateway.as_ref())?;
        check("target", &stored.target, config.target.as_ref())?;
        return Ok(stored);
    }
    let made = Identity {
        cluster: ClusterUuid::generate(rand::random()),
        gateway: config.gateway.clone().unwrap_or_else(|| NodeId::generate(rand::random())),
        target: config.target.clone().unwrap_or_else(|| NodeId::generate(rand::random())),
    };
    db.put_now(key::IDENTITY, &made).map_err(failed)?;
    Ok(made)
}

fn check(role: &'static str, stored: &NodeId, configured: Option<&NodeId>) -> Result<(), ControlError> {
    match configured {
        Some(got) if got != stored => {
            Err(ControlError::Identity { role, expected: stored.clone(), got: got.clone() })
        }
        _ => Ok(()),
    }
}

fn state_error(config: &ControlConfig, error: &DbError) -> ControlError {
    ControlError::State { path: config.state_dir.join(super::db::FILE_NAME), what: error.to_string() }
}

impl RaftNode {
    /// Starts Raft over `db`, makes the cluster if there is none, and resolves when this node leads and has
    /// applied everything that was ever acknowledged.
    pub(crate) async fn start(
        db: Db,
        identity: Identity,
        config: &ControlConfig,
        now_ns: u64,
    ) -> Result<Self, ControlError> {
        let published = Published::default();
        let machine = Machine::open(db.clone(), published.clone()).map_err(|e| state_error(config, &e))?;
        let id: RaftId = identity.gateway.digest();
        let raft_config = raft_config(config)?;
        let raft = Raft::new(id, raft_config, Links, LogStore::new(db), machine).await.map_err(agreement)?;
        let node = Self { raft, published, identity };
        let started = node.lead(id, config).await;
        let formed = match started {
            Ok(()) => node.form(config, now_ns).await,
            failed => failed,
        };
        if let Err(error) = formed {
            node.shutdown().await;
            return Err(error);
        }
        Ok(node)
    }

    /// Becomes leader and applies what is in the log.
    async fn lead(&self, id: RaftId, config: &ControlConfig) -> Result<(), ControlError> {
        if !self.raft.is_initialized().await.map_err(agreement)? {
            let endpoint = format!("{}:{}", config.intra_control.host, config.intra_control.port);
            let me = Peer { node: self.identity.gateway.to_string(), endpoint };
            match self.raft.initialize(BTreeMap::from([(id, me)])).await {
                Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
                Err(e) => return Err(agreement(e)),
            }
        } else if self.raft.current_leader().await != Some(id) {
            // A lone voter need not wait for the silence of a leader.
            self.raft.trigger().elect().await.map_err(agreement)?;
        }
        let patience = Some(Duration::from_secs(START_SECONDS_MAX));
        self.raft.wait(patience).current_leader(id, "to lead after start").await.map_err(agreement)?;
        self.raft.ensure_linearizable().await.map_err(agreement)?;
        Ok(())
    }

    /// Makes the cluster if this is its first start, and puts this process's nodes on its map as they are now.
    async fn form(&self, config: &ControlConfig, now_ns: u64) -> Result<(), ControlError> {
        let [gateway, target] = self.roles(config);
        if self.published.views().is_none() {
            let form = Command::Form {
                uuid: self.identity.cluster.clone(),
                now_ns,
                primary: Box::new(gateway.clone()),
                config: Box::new(config.cluster.clone()),
            };
            self.propose(form).await?;
        }
        for mut node in [gateway, target] {
            let view = self.view()?;
            let present = view.smap.node(node.id.as_str());
            // Maintenance and the like outlive a restart.
            node.flags = present.map_or(node.flags, |p| p.flags);
            if present != Some(&node) {
                self.propose(Command::PutNode(Box::new(node))).await?;
            }
        }
        Ok(())
    }

    /// The two roles of this process.
    fn roles(&self, config: &ControlConfig) -> [Node; 2] {
        let of = |id: &NodeId, role, flags| {
            let mut node = Node::new(id.clone(), role, config.public.clone());
            node.intra_control = config.intra_control.clone();
            node.intra_data = config.intra_data.clone();
            node.flags = flags;
            node
        };
        [
            of(&self.identity.gateway, Role::Gateway, NodeFlags::IC),
            of(&self.identity.target, Role::Target, NodeFlags::default()),
        ]
    }

    /// Has the command agreed on, stored and applied; its view is published before this resolves.
    pub(crate) async fn propose(&self, command: Command) -> Result<Applied, ControlError> {
        match self.raft.client_write(command).await {
            Ok(written) => match written.data {
                Answer::Applied(applied) => Ok(applied),
                Answer::Refused(refused) => Err(refused.into()),
                Answer::None => Err(ControlError::NoAgreement("the entry was not a command".into())),
            },
            Err(RaftError::APIError(ClientWriteError::ForwardToLeader(to))) => {
                let leader = to.leader_node.map_or("unknown".into(), |peer| peer.to_string());
                Err(ControlError::NoAgreement(format!("this node does not lead; the leader is {leader}")))
            }
            Err(e) => Err(agreement(e)),
        }
    }

    /// Who this node is.
    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where views are published.
    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// The view of now.
    pub(crate) fn view(&self) -> Result<Arc<weir_cluster::ClusterView>, ControlError> {
        let views = self.published.views();
        views.map(|v| v.load_full()).ok_or_else(|| ControlError::NoAgreement("no cluster yet".into()))
    }

    /// Term, last log index and last applied index, for metrics.
    pub(crate) fn progress(&self) -> Progress {
        let metrics = self.raft.metrics();
        let m = metrics.borrow();
        Progress {
            term: m.current_term,
            last_log: m.last_log_index.unwrap_or(0),
            applied: m.last_applied.map_or(0, |id| id.index),
            snapshot: m.snapshot.map_or(0, |id| id.index),
            // After a storage error the last metrics stay as they were, but nothing is agreed on any more.
            leads: m.running_state.is_ok() && m.current_leader == Some(m.id),
        }
    }

    /// Stops Raft; everything acknowledged is on disk already.
    pub(crate) async fn shutdown(&self) {
        if let Err(e) = self.raft.shutdown().await {
            tracing::warn!("raft ended by a panic: {e}");
        }
    }

    /// The Raft handle, for tests that drive it.
    #[cfg(test)]
    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }
}

/// Where Raft stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) term: u64,
    pub(crate) last_log: u64,
    pub(crate) applied: u64,
    pub(crate) snapshot: u64,
    pub(crate) leads: bool,
}

fn raft_config(config: &ControlConfig) -> Result<Arc<Config>, ControlError> {
    let raft = Config {
        cluster_name: "weir".into(),
        heartbeat_interval: 250,
        election_timeout_min: 1000,
        election_timeout_max: 2000,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_entries.max(1)),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT.min(config.snapshot_entries),
        ..Config::default()
    };
    Ok(Arc::new(raft.validate().map_err(agreement)?))
}

fn agreement(error: impl std::fmt::Display) -> ControlError {
    ControlError::NoAgreement(error.to_string())
}
