//! Raft's messages to other nodes. A peer whose endpoint is unknown is unreachable, and the log goes on without it.

use std::io;

use openraft::error::{InstallSnapshotError, RPCError, RaftError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};

use super::types::{Peer, RaftId, Types};

/// Gives a link for each peer of the membership.
pub(crate) struct Links;

/// The way to one peer.
pub(crate) struct Link {
    peer: Peer,
}

impl RaftNetworkFactory<Types> for Links {
    type Network = Link;

    async fn new_client(&mut self, _target: RaftId, node: &Peer) -> Link {
        Link { peer: node.clone() }
    }
}

impl Link {
    /// This node has no transport to other nodes, whatever their endpoint.
    fn unreachable(&self) -> Unreachable {
        let what =
            if self.peer.endpoint.is_empty() { "its endpoint is unknown" } else { "no transport to it" };
        Unreachable::new(&io::Error::new(io::ErrorKind::NotConnected, format!("{}: {what}", self.peer)))
    }
}

type Failed<E = openraft::error::Infallible> = RPCError<RaftId, Peer, RaftError<RaftId, E>>;

impl RaftNetwork<Types> for Link {
    async fn append_entries(
        &mut self,
        _rpc: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftId>, Failed> {
        Err(self.unreachable().into())
    }

    async fn install_snapshot(
        &mut self,
        _rpc: InstallSnapshotRequest<Types>,
        _option: RPCOption,
    ) -> Result<InstallSnapshotResponse<RaftId>, Failed<InstallSnapshotError>> {
        Err(self.unreachable().into())
    }

    async fn vote(
        &mut self,
        _rpc: VoteRequest<RaftId>,
        _option: RPCOption,
    ) -> Result<VoteResponse<RaftId>, Failed> {
        Err(self.unreachable().into())
    }
}
