//! What nodes ask each other. Variants and fields are only ever added at the end.

use openraft::error::{InstallSnapshotError, RaftError};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, InstallSnapshotRequest, InstallSnapshotResponse,
    VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};
use weir_ais::What;
use weir_cluster::{ClusterUuid, Node, NodeId, Promotable};
use weir_types::{Bucket, ObjectName};

use crate::gather::{Removed, Sums, WireTerms};
use crate::raft::command::{Applied, Command, Refused};
use crate::raft::types::{RaftId, Types};
use crate::{MountpathChange, MountpathFacts, PromoteCall, Upload};

/// A request of a node.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PeerCall {
    /// Which cluster is this? The one question of a node that belongs to none.
    Who,
    /// Raft: log entries, or none as a sign of life.
    Append(Box<AppendEntriesRequest<Types>>),
    /// Raft: a vote.
    Vote(VoteRequest<RaftId>),
    /// Raft: a piece of a snapshot.
    Snapshot(Box<InstallSnapshotRequest<Types>>),
    /// A sign of life to the leader, which answers with a lease.
    Hello(Box<Hello>),
    /// To the leader: have a command agreed on.
    Propose(Box<Command>),
    /// Answered when the node has applied the log up to here.
    Applied {
        /// The index.
        index: u64,
    },
    /// To the gateway that is to lead: stand for election as soon as the others may vote.
    Elect,
    /// To the leader: let this gateway lead.
    Lead {
        /// Which.
        gateway: NodeId,
    },
    /// To a target: wait until every change of the bucket that was begun is done.
    Settle(Bucket),
    /// To a target: whether it holds no object of the bucket.
    IsEmpty(Bucket),
    /// To a target: remove all it keeps of a bucket that is gone.
    RemoveData(Bucket),
    /// To a target: remove its copies of a remote bucket that stays.
    DropCopies(Bucket),
    /// End the process, in order.
    Stop,
    /// What AIS clients are told of one of the process's nodes.
    About {
        /// Which.
        node: NodeId,
        /// What of it.
        what: What,
        /// The query's body.
        body: Vec<u8>,
    },
    /// To a target: a page of what it holds of a bucket.
    List {
        /// The bucket.
        bucket: Bucket,
        /// Which part of it.
        part: Part,
    },
    /// To a target: count what it holds of a bucket, from a name on.
    Count {
        /// The bucket.
        bucket: Bucket,
        /// Only names that begin so.
        prefix: String,
        /// Only names after this one.
        start_after: String,
    },
    /// To a target: its open uploads in a bucket, in the order of key and ID.
    Uploads {
        /// The bucket.
        bucket: Bucket,
        /// Only those after this key and ID.
        after: (String, String),
    },
    /// To the target that owns them: remove objects.
    Remove {
        /// The bucket.
        bucket: Bucket,
        /// Which, and on what terms.
        objects: Vec<(ObjectName, WireTerms)>,
        /// Log index of the view by which it owns them.
        index: u64,
    },
    /// To a target: its mountpaths and their space.
    Space,
    /// To the target that owns an object: have it from whoever holds it.
    Own {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        name: ObjectName,
        /// Log index of the view by which it owns the name.
        index: u64,
    },
    /// To a target: take a mountpath in or out.
    ChangeMountpath(MountpathChange),
    /// To the target that owns an object: have an upload of it from whoever holds that.
    OwnUpload {
        /// Its bucket.
        bucket: Bucket,
        /// The object's name.
        name: ObjectName,
        /// The upload's ID.
        upload: String,
        /// Log index of the view by which it owns the name.
        index: u64,
    },
    /// To a target: whether its files of that path may become objects.
    Promotable {
        /// The path.
        path: String,
    },
    /// To the target that owns an object: make it of a file.
    Promote {
        /// Which.
        call: PromoteCall,
        /// Log index of the view by which it owns the name.
        index: u64,
    },
}

/// Which part of a bucket to list, as [`weir_store::ListQuery`] has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) prefix: String,
    pub(crate) start_after: String,
    pub(crate) delimiter: String,
    pub(crate) limit: u32,
}

impl PeerCall {
    /// Its name in messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Who => "who",
            Self::Append(_) => "append",
            Self::Vote(_) => "vote",
            Self::Snapshot(_) => "snapshot",
            Self::Hello(_) => "hello",
            Self::Propose(_) => "propose",
            Self::Applied { .. } => "applied",
            Self::Elect => "elect",
            Self::Lead { .. } => "lead",
            Self::Settle(_) => "settle",
            Self::IsEmpty(_) => "is-empty",
            Self::RemoveData(_) => "remove-data",
            Self::DropCopies(_) => "drop-copies",
            Self::Stop => "stop",
            Self::About { .. } => "about",
            Self::List { .. } => "list",
            Self::Count { .. } => "count",
            Self::Uploads { .. } => "uploads",
            Self::Remove { .. } => "remove",
            Self::Space => "space",
            Self::Own { .. } => "own",
            Self::ChangeMountpath(_) => "change-mountpath",
            Self::OwnUpload { .. } => "own-upload",
            Self::Promotable { .. } => "promotable",
            Self::Promote { .. } => "promote",
        }
    }
}

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// The process's roles, as they are to be on the map. Their flags count only for a node that is new there.
    pub(crate) nodes: Vec<Node>,
    /// Whether it has never been a member: then it may become one.
    pub(crate) fresh: bool,
    /// How far it has applied the log.
    pub(crate) applied: u64,
    /// Chosen by chance at its start: another one may have applied less.
    pub(crate) life: u64,
    /// What the leader last challenged it with.
    pub(crate) nonce: Option<u64>,
}

/// What the leader says to it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum HelloAnswer {
    /// The cluster counts on the node for this long from when it asked.
    Lease {
        /// Milliseconds.
        millis: u64,
    },
    /// It is new to the leader: it is to say so again with this, which who speaks from the past cannot.
    Challenge {
        /// Chosen by chance.
        nonce: u64,
    },
    /// It is being taken in, or has to catch up first, or the leader is not sure of its majority.
    Wait,
    /// This node does not lead.
    NotLeader,
    /// The node was a member and is none any more.
    Removed,
}

/// What became of a command.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Proposed {
    /// Carried out, and applied by every live node.
    Applied(Applied),
    /// The state does not allow it.
    Refused(Refused),
    /// This node does not lead: nothing was done.
    NotLeader,
    /// It is not known whether it was done.
    Unknown(String),
}

/// The answer to a [`PeerCall`], the variant of the same meaning.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PeerAnswer {
    /// The cluster here.
    Who(ClusterUuid),
    /// Raft's.
    Append(Result<AppendEntriesResponse<RaftId>, RaftError<RaftId>>),
    /// Raft's.
    Vote(Result<VoteResponse<RaftId>, RaftError<RaftId>>),
    /// Raft's.
    Snapshot(Result<InstallSnapshotResponse<RaftId>, RaftError<RaftId, InstallSnapshotError>>),
    /// The leader's.
    Hello(HelloAnswer),
    /// The leader's.
    Proposed(Proposed),
    /// Done.
    Done,
    /// Yes or no.
    Is(bool),
    /// Not done; the text says why.
    Failed(String),
    /// What an AIS client is to be answered.
    Told {
        /// HTTP status.
        status: u16,
        /// Type of the body.
        content_type: String,
        /// The body.
        body: Vec<u8>,
    },
    /// A page of a listing, encoded where there was time for it.
    Page(#[serde(with = "serde_bytes")] Vec<u8>),
    /// What was counted.
    Counted(Sums, Option<String>),
    /// Uploads, and whether more follow.
    Uploads(Vec<Upload>, bool),
    /// What became of each object.
    Removed(Vec<Removed>),
    /// Mountpaths.
    Space(Vec<MountpathFacts>),
    /// What a path leads to, or why none of it becomes an object.
    Promotable(Result<Promotable, String>),
    /// The bytes of the object that was made, if one was.
    Promoted(Option<u64>),
}
