//! What is agreed on: commands, and the answers that applying them gives.
//!
//! A command carries everything that applying it needs (times, identities), so that every node comes to the same
//! state. The encoding is postcard: variants and fields are only ever added at the end.

use serde::{Deserialize, Serialize};
use weir_cluster::{
    BucketInfo, BucketPropsPatch, ClusterConfig, ClusterError, ClusterUuid, ConfigPatch, Done, JobId,
    JobOrder, Node, NodeFlags, NodeId,
};
use weir_types::Bucket;

/// A change of the replicated state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Makes the cluster: the first command of its life, refused ever after.
    Form {
        /// Its identity.
        uuid: ClusterUuid,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
        /// The gateway that leads.
        primary: Box<Node>,
        /// The configuration to begin with.
        config: Box<ClusterConfig>,
    },
    /// Adds a node, or replaces the one of its ID and role.
    PutNode(Box<Node>),
    /// Makes a bucket with the cluster's defaults and `props` on top.
    CreateBucket {
        /// Which.
        bucket: Bucket,
        /// Properties that differ from the defaults.
        props: BucketPropsPatch,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
    /// Takes in a bucket that was found at its origin; one that is here already stays as it is.
    AddRemoteBucket {
        /// Which.
        bucket: Bucket,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
    /// Forgets a bucket.
    DestroyBucket {
        /// Which.
        bucket: Bucket,
        /// Only if it still is the bucket of this ID.
        bid: Option<u64>,
    },
    /// Changes some properties.
    SetBucketProps {
        /// Of which bucket.
        bucket: Bucket,
        /// What changes.
        props: BucketPropsPatch,
    },
    /// Gives a bucket the cluster's defaults again.
    ResetBucketProps {
        /// Which.
        bucket: Bucket,
    },
    /// Changes some of the configuration.
    SetConfig {
        /// What changes.
        config: ConfigPatch,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
    /// Gives the configuration its defaults again.
    ResetConfig {
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
    /// Marks a bucket as on its way out.
    BeginRemoval {
        /// Which.
        bucket: Bucket,
        /// Only if it still is the bucket of this ID.
        bid: Option<u64>,
    },
    /// Takes that mark away: the bucket stays, or what was kept of it is gone.
    EndRemoval {
        /// Which.
        bucket: Bucket,
    },
    /// Sets and clears bits of a node's state.
    SetFlags {
        /// Which.
        node: NodeId,
        /// Bits to set.
        set: NodeFlags,
        /// Bits to clear, before.
        clear: NodeFlags,
    },
    /// Notes which gateway leads.
    SetPrimary {
        /// Which.
        gateway: NodeId,
    },
    /// Puts a node on the map that is there and says so; its state stays as it was, but it is not away.
    Admit(Box<Node>),
    /// Forgets a bucket that is marked; one whose mark was taken away meanwhile stays.
    DestroyMarked {
        /// Which.
        bucket: Bucket,
        /// Only if it still is the bucket of this ID.
        bid: Option<u64>,
    },
    /// Takes a node off the map.
    RemoveNode {
        /// Which.
        node: NodeId,
    },
    /// Begins a job.
    StartJob {
        /// Its ID.
        id: JobId,
        /// What it does.
        order: Box<JobOrder>,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
    /// Tells a job to stop; one that has ended stays as it is.
    StopJob {
        /// Which.
        id: JobId,
        /// Why.
        why: String,
    },
    /// A target's part of a job has ended.
    EndPart {
        /// Which job.
        job: JobId,
        /// Whose part.
        target: NodeId,
        /// What it came to.
        done: Done,
        /// Now, nanoseconds since 1970.
        now_ns: u64,
    },
}

/// What applying a log entry answers. Public because openraft's types must be; nothing outside sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(unreachable_pub, reason = "a part of openraft's types, which must be public")]
pub enum Answer {
    /// The entry was not a command.
    None,
    /// The command was carried out.
    Applied(Applied),
    /// The state does not allow it; nothing changed.
    Refused(Refused),
}

/// What a command did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// Its place in the log: a view with at least this index has it.
    pub index: u64,
    /// The bucket concerned, as it is now; of a destroyed one, as it was.
    pub bucket: Option<Box<BucketInfo>>,
}

/// Why a command was not carried out: [`ClusterError`] in a form that can be replicated.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// The bucket is there already.
    #[error("bucket \"{0}\" already exists")]
    BucketExists(Bucket),
    /// No such bucket.
    #[error("bucket \"{0}\" does not exist")]
    BucketNotFound(Bucket),
    /// The cluster holds as many buckets as it may.
    #[error("too many buckets: at most {0}")]
    TooManyBuckets(u64),
    /// Names, properties or values that are not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// Erasure coding asks for more targets than there are.
    #[error("{0}")]
    NotEnoughTargets(String),
    /// The cluster is made already.
    #[error("cluster {0} exists: a node joins it, it is not made again")]
    Formed(ClusterUuid),
    /// The cluster is not made yet.
    #[error("the cluster is not made yet")]
    NotFormed,
    /// The bucket is on its way out.
    #[error("bucket \"{0}\" is being removed: try again shortly")]
    BucketBeingRemoved(Bucket),
    /// No such node.
    #[error("node {0} is not on the map")]
    NodeNotFound(NodeId),
    /// The map holds as many nodes as it may.
    #[error("too many nodes: at most {0}")]
    TooManyNodes(u64),
    /// As many jobs run as may.
    #[error("too many jobs at once: at most {0}; try again when one has ended")]
    TooManyJobs(u64),
}

impl From<ClusterError> for Refused {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::BucketExists(bucket) => Self::BucketExists(bucket),
            ClusterError::BucketBeingRemoved(bucket) => Self::BucketBeingRemoved(bucket),
            ClusterError::BucketNotFound(bucket) => Self::BucketNotFound(bucket),
            ClusterError::TooManyBuckets { max } => Self::TooManyBuckets(max as u64),
            e @ ClusterError::NotEnoughTargets { .. } => Self::NotEnoughTargets(e.to_string()),
            e => Self::Invalid(e.to_string()),
        }
    }
}
