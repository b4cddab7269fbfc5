//! The types that openraft is instantiated with.
#![allow(unreachable_pub, reason = "the macro makes them public in a private module")]

use std::fmt;
use std::io::Cursor;

use serde::{Deserialize, Serialize};

use super::command::{Answer, Command};
#[cfg(test)]
use crate::sim::Runtime;

/// What openraft runs on.
#[cfg(not(test))]
pub type Runtime = openraft::TokioRuntime;

/// A voter's or learner's number in Raft: the placement digest of its node ID.
pub(crate) type RaftId = u64;

/// What Raft keeps of a peer beside its number.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// The node ID, as in the cluster map.
    pub node: String,
    /// Where its intra-control listener is: `host:port`; empty while unknown, and then it is unreachable.
    pub endpoint: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.node, self.endpoint)
    }
}

openraft::declare_raft_types!(
    /// Raft as the control core uses it.
    pub Types:
        D = Command,
        R = Answer,
        NodeId = RaftId,
        Node = Peer,
        Entry = openraft::Entry<Types>,
        SnapshotData = Cursor<Vec<u8>>,
        AsyncRuntime = Runtime,
);

/// openraft's types, instantiated.
pub(crate) type LogId = openraft::LogId<RaftId>;
pub(crate) type Vote = openraft::Vote<RaftId>;
pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type StorageError = openraft::StorageError<RaftId>;
pub(crate) type StoredMembership = openraft::StoredMembership<RaftId, Peer>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<RaftId, Peer>;
pub(crate) type Raft = openraft::Raft<Types>;
