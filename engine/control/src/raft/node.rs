//! This node's part in the agreement: who it is, how it starts, and how a command is proposed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use openraft::error::{ClientWriteError, InitializeError, RaftError};
use openraft::{Config, SnapshotPolicy};
use weir_cluster::{ClusterUuid, Lease, Node, NodeFlags, NodeId, Role};

use weir_types::limits::{COMMAND_BYTES_MAX, COMMANDS_PER_REQUEST_MAX};

use super::command::{Answer, Applied, Command};
use super::db::{Db, DbError, key};
use super::log::LogStore;
use super::machine::{Machine, Published};
use super::network::Links;
use super::types::{Peer, Raft, RaftId};
use crate::members::{self, Company};
use crate::peers::Peers;
use crate::{ControlConfig, ControlError, Identity, runtime};

/// How long a start waits for a leader before it gives up. One voter elects itself within milliseconds.
const START_SECONDS_MAX: u64 = 30;
/// A piece of a snapshot on its way to another node, in bytes.
const SNAPSHOT_PIECE_BYTES: u64 = 1 << 20;
/// Log entries kept behind a snapshot, so that a peer that was away shortly needs no snapshot.
const ENTRIES_KEPT: u64 = 500;

/// The Raft member of this process.
#[derive(Clone)]
pub(crate) struct RaftNode {
    raft: Raft,
    published: Published,
    lease: Lease,
    identity: Identity,
    id: RaftId,
    /// The others; `None`: the cluster is this process alone, now and ever.
    company: Option<Arc<Company>>,
}

/// The stored identity, made at first use. IDs given by the configuration must be the stored ones.
pub(crate) async fn identity(db: &Db, config: &ControlConfig) -> Result<Identity, ControlError> {
    let failed = |e: DbError| state_error(config, &e);
    if let Some(stored) = db.value_now::<Identity>(key::IDENTITY).map_err(failed)? {
        check("gateway", &stored.gateway, config.gateway.as_ref())?;
        check("target", &stored.target, config.target.as_ref())?;
        return Ok(stored);
    }
    let found = match &config.peers {
        Some(peers) => members::meet(config, peers).await?,
        None => None,
    };
    let joins = found.is_some();
    let made = Identity {
        cluster: found.unwrap_or_else(|| ClusterUuid::generate(runtime::random())),
        gateway: config.gateway.clone().unwrap_or_else(|| NodeId::generate(runtime::random())),
        target: config.target.clone().unwrap_or_else(|| NodeId::generate(runtime::random())),
    };
    // In this order: without an identity the rest counts for nothing.
    db.put_now(key::JOINS, &joins).map_err(failed)?;
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
    /// Starts Raft over `db`. It takes part from here on, if it is one of several and its messages are handed to it.
    pub(crate) async fn begin(
        db: Db,
        identity: Identity,
        config: &ControlConfig,
    ) -> Result<Self, ControlError> {
        let me = identity.me(config.roles);
        let failed = |e: DbError| state_error(config, &e);
        let id = me.id().ok_or_else(|| ControlError::Thread("a process without a role".into()))?.clone();
        let published = Published::new(me);
        let machine = Machine::open(db.clone(), published.clone()).map_err(failed)?;
        let company = match &config.peers {
            None => None,
            Some(peers) => {
                let joins = db.value_now::<bool>(key::JOINS).map_err(failed)?.unwrap_or(false);
                let member = db.value_now::<bool>(key::MEMBER).map_err(failed)?.unwrap_or(false);
                let way = Peers::new(peers.key.clone(), identity.cluster.as_str(), id.as_str());
                let nodes = roles(&identity, config);
                Some(Arc::new(Company::new(
                    Arc::new(way),
                    peers.seeds.clone(),
                    nodes,
                    joins && !member,
                    db.clone(),
                )))
            }
        };
        let links = Links { peers: company.as_ref().map(|c| c.peers.clone()), published: published.clone() };
        let raft = Raft::new(id.digest(), raft_config(config)?, links, LogStore::new(db), machine);
        let raft = raft.await.map_err(agreement)?;
        let begin = runtime::now();
        let lease = if company.is_none() { Lease::forever(begin) } else { Lease::none(begin) };
        Ok(Self { raft, published, lease, identity, id: id.digest(), company })
    }

    /// Begins what this process owes the others: signs of life, and, while it leads, the leader's turns.
    pub(crate) fn take_turns(&self) {
        runtime::spawn(self.clone().keep_forever());
        runtime::spawn(self.clone().confirm_forever());
        runtime::spawn(self.clone().tend_forever());
    }

    /// Makes the cluster if this process is to make one, and resolves when the cluster counts on it and it has applied
    /// everything that was ever acknowledged.
    pub(crate) async fn settle(&self, config: &ControlConfig, now_ns: u64) -> Result<(), ControlError> {
        let alone = !self.raft.is_initialized().await.map_err(agreement)? || self.votes_alone();
        match &self.company {
            Some(company) if company.joins() || !alone => self.meet(company).await,
            _ => {
                if let Some(company) = &self.company {
                    self.ask_seeds(company).await?;
                }
                self.lead(self.id, config).await?;
                self.form(config, now_ns).await?;
                match &self.company {
                    Some(company) => self.meet(company).await,
                    None => Ok(()),
                }
            }
        }
    }

    fn votes_alone(&self) -> bool {
        let metrics = self.raft.metrics();
        let m = metrics.borrow();
        let voters: Vec<RaftId> = m.membership_config.membership().voter_ids().collect();
        voters == [self.id]
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
        let nodes = roles(&self.identity, config);
        if self.published.views().is_none() {
            let primary = nodes.first().filter(|n| n.role == Role::Gateway).cloned();
            let primary = primary.ok_or_else(|| {
                ControlError::NotTaken("a target makes no cluster: name a gateway among the seeds".into())
            })?;
            let form = Command::Form {
                uuid: self.identity.cluster.clone(),
                now_ns,
                primary: Box::new(primary),
                config: Box::new(config.cluster.clone()),
            };
            self.write(form).await?;
        }
        for mut node in nodes {
            let view = self.view()?;
            let present = view.smap.node(node.id.as_str());
            // Maintenance and the like outlive a restart.
            node.flags = present.map_or(node.flags, |p| p.flags);
            if present != Some(&node) {
                self.write(Command::PutNode(Box::new(node))).await?;
            }
        }
        Ok(())
    }

    /// Has the command agreed on, stored and applied here, where this process leads; its view is published before this
    /// resolves.
    pub(crate) async fn write(&self, command: Command) -> Result<Applied, ControlError> {
        let bytes = postcard::to_stdvec(&command).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > COMMAND_BYTES_MAX {
            // A log entry that no node takes would hold up all that follow.
            let what = format!("a change of {bytes} bytes: expected at most {COMMAND_BYTES_MAX}");
            return Err(crate::Refused::Invalid(what).into());
        }
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

    /// Whether the cluster counts on this node; a lone one always does on itself.
    pub(crate) fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The others, if this process is one of several.
    pub(crate) fn company(&self) -> Option<&Arc<Company>> {
        self.company.as_ref()
    }

    /// This process's number in Raft.
    pub(crate) fn raft_id(&self) -> RaftId {
        self.id
    }

    /// Where views are published.
    pub(crate) fn published(&self) -> &Published {
        &self.published
    }

    /// The view of now.
    pub(crate) fn view(&self) -> Result<Arc<weir_cluster::ClusterView>, ControlError> {
        Ok(self.views()?.load_full())
    }

    /// Where the view of now is.
    pub(crate) fn views(&self) -> Result<&Arc<ArcSwap<weir_cluster::ClusterView>>, ControlError> {
        self.published.views().ok_or_else(|| ControlError::NoAgreement("no cluster yet".into()))
    }

    /// Term, last log index and last applied index, for metrics.
    pub(crate) fn progress(&self) -> Progress {
        let metrics = self.raft.metrics();
        let m = metrics.borrow();
        let configs = m.membership_config.membership().get_joint_config();
        Progress {
            voters: configs.iter().map(BTreeSet::len).min().unwrap_or(0),
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

    /// The Raft handle.
    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }
}

/// The roles of this process as they are to be on the map, the gateway first.
fn roles(identity: &Identity, config: &ControlConfig) -> Vec<Node> {
    let of = |id: NodeId, role, flags| {
        let mut node = Node::new(id, role, config.public.clone());
        node.intra_control = config.intra_control.clone();
        node.intra_data = config.intra_data.clone();
        node.flags = flags;
        node
    };
    let me = identity.me(config.roles);
    let gateway = me.gateway.map(|id| of(id, Role::Gateway, NodeFlags::IC));
    gateway.into_iter().chain(me.target.map(|id| of(id, Role::Target, NodeFlags::default()))).collect()
}

/// Where Raft stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// How many vote; while that changes, the fewer of before and after.
    pub(crate) voters: usize,
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
        // A voter waits for the greater before it votes for another; a candidate for both together.
        election_timeout_min: 900,
        election_timeout_max: 1200,
        max_payload_entries: COMMANDS_PER_REQUEST_MAX,
        snapshot_max_chunk_size: SNAPSHOT_PIECE_BYTES,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_entries.max(1)),
        max_in_snapshot_log_to_keep: ENTRIES_KEPT.min(config.snapshot_entries),
        ..Config::default()
    };
    Ok(Arc::new(raft.validate().map_err(agreement)?))
}

fn agreement(error: impl std::fmt::Display) -> ControlError {
    ControlError::NoAgreement(error.to_string())
}
