//! Raft's messages to other nodes. A peer is where the map says, or, until it is on the map, where it said when it came. A
//! cluster of one process has no way to others, and its log goes on without them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::error::{InstallSnapshotError, NetworkError, RPCError, RaftError, RemoteError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use weir_types::limits::PEER_CALL_MILLIS_MAX;

use super::machine::Published;
use super::types::{Peer, RaftId, Types};
use crate::peers::{PeerAnswer, PeerCall, PeerError, Peers};

/// Gives a link for each peer of the membership.
pub(crate) struct Links {
    pub(crate) peers: Option<Arc<Peers>>,
    pub(crate) published: Published,
}

/// The way to one peer.
pub(crate) struct Link {
    id: RaftId,
    peer: Peer,
    peers: Option<Arc<Peers>>,
    published: Published,
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: RaftId, node: &Peer) -> Link {
        Link { id: target, peer: node.clone(), peers: self.peers.clone(), published: self.published.clone() }
    }
}

/// What fails on the way.
enum Broken {
    Unreachable(Unreachable),
    Network(NetworkError),
}

impl<E: std::error::Error> From<Broken> for RPCError<RaftId, Peer, E> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unreachable(e) => Self::Unreachable(e),
            Broken::Network(e) => Self::Network(e),
        }
    }
}

impl Broken {
    fn unreachable(what: String) -> Self {
        Self::Unreachable(Unreachable::new(&io::Error::new(io::ErrorKind::NotConnected, what)))
    }

    fn network(what: String) -> Self {
        Self::Network(NetworkError::new(&io::Error::other(what)))
    }

    /// Another answer than the one to the call.
    fn unexpected(answer: &PeerAnswer) -> Self {
        Self::network(format!("unexpected answer {answer:?}"))
    }
}

impl Link {
    async fn call(&self, call: PeerCall, option: &RPCOption) -> Result<PeerAnswer, Broken> {
        let Some(peers) = &self.peers else {
            return Err(Broken::unreachable(format!("{}: this process is a cluster by itself", self.peer)));
        };
        let mapped = self.published.views().and_then(|views| {
            let view = views.load();
            view.smap.node(&self.peer.node).map(|node| node.intra_control.authority())
        });
        let endpoint = mapped.unwrap_or_else(|| self.peer.endpoint.clone());
        if endpoint.is_empty() {
            return Err(Broken::unreachable(format!("{}: its endpoint is unknown", self.peer)));
        }
        let within = option.hard_ttl().min(Duration::from_millis(PEER_CALL_MILLIS_MAX));
        peers.call(&endpoint, &self.peer.node, &call, within).await.map_err(|error| match error {
            PeerError::Unreachable(what) => Broken::unreachable(what),
            PeerError::Failed(what) | PeerError::Refused(what) => Broken::network(what),
        })
    }

    fn remote<E: std::error::Error>(&self, error: E) -> RPCError<RaftId, Peer, E> {
        RPCError::RemoteError(RemoteError::new_with_node(self.id, self.peer.clone(), error))
    }
}

type Failed<E = openraft::error::Infallible> = RPCError<RaftId, Peer, RaftError<RaftId, E>>;

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftId>, Failed> {
        match self.call(PeerCall::Append(Box::new(rpc)), &option).await? {
            PeerAnswer::Append(answer) => answer.map_err(|e| self.remote(e)),
            other => Err(Broken::unexpected(&other).into()),
        }
    }

    async fn install_snapshot(
        &mut self,
        rpc: InstallSnapshotRequest<Types>,
        option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftId>, Failed<InstallSnapshotError>> {
        match self.call(PeerCall::Snapshot(Box::new(rpc)), &option).await? {
            PeerAnswer::Snapshot(answer) => answer.map_err(|e| self.remote(e)),
            other => Err(Broken::unexpected(&other).into()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<RaftId>,
        option: RPCOption,
    ) -> Result<VoteResponse<RaftId>, Failed> {
        match self.call(PeerCall::Vote(rpc), &option).await? {
            PeerAnswer::Vote(answer) => answer.map_err(|e| self.remote(e)),
            other => Err(Broken::unexpected(&other).into()),
        }
    }
}
