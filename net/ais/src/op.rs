use serde::{Deserialize, Serialize};
use weir_types::{Bucket, BucketName, Namespace, ObjectName, Provider};

use crate::error::Unsupported;
use crate::{AppendHandle, HeadProps, Marker};

/// What a request head asks for. Operations named after a method with several meanings (`BucketGet`, `Delete`, …)
/// are settled by the action message in the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AisOp {
    /// On one object: shards serve it.
    Object {
        /// Its bucket.
        bucket: Bucket,
        /// Its name.
        object: ObjectName,
        /// What to do.
        op: ObjectOp,
        /// The gateway's mark, if one redirected the request.
        marker: Option<Marker>,
    },
    /// GET of `/v1/buckets[/B]`: the body decides, see [`crate::BucketGet`].
    BucketGet(BucketQuery),
    /// HEAD of a bucket.
    BucketHead {
        /// The bucket.
        bucket: Bucket,
        /// Do not add an unknown remote bucket to the cluster's.
        dont_add: bool,
        /// Which buckets count.
        presence: Presence,
        /// A summary is asked for too.
        summary: Option<HeadSummary>,
    },
    /// POST to a bucket: see [`crate::BucketPost`].
    BucketPost {
        /// The bucket.
        bucket: Bucket,
        /// The destination, for renaming and copying.
        to: Option<Bucket>,
        /// Which objects count, if the client says so.
        presence: Option<Presence>,
        /// Create a remote bucket's entry without asking the origin.
        dont_head_remote: bool,
    },
    /// POST to the objects of a bucket, without a name: see [`crate::ObjectsPost`].
    ObjectsPost {
        /// The bucket.
        bucket: Bucket,
    },
    /// PATCH of a bucket: see [`crate::BucketPatch`].
    BucketPatch {
        /// The bucket.
        bucket: Bucket,
    },
    /// DELETE of a bucket: see [`crate::BucketDelete`].
    BucketDelete {
        /// The bucket.
        bucket: Bucket,
        /// Evict the objects, keep the bucket's entry.
        keep_md: bool,
    },
    /// `/v1/health`.
    Health(HealthQuery),
    /// GET of this node: `/v1/daemon?what=`.
    Daemon(What),
    /// PUT to this node: see [`crate::DaemonPut`].
    DaemonPut {
        /// Assignments of the path form `set-config?name=value`; none in the form with an action message.
        assignments: Option<Vec<(String, String)>>,
    },
    /// The same by way of a gateway, for the node in header `Ais-Node-Id`: GET.
    Reverse(What),
    /// The same: PUT.
    ReversePut {
        /// As in `DaemonPut`.
        assignments: Option<Vec<(String, String)>>,
    },
    /// `/v1/daemon/mountpaths` or, by way of a gateway, `/v1/reverse/daemon/mountpaths`: see [`crate::MountpathMsg`].
    Mountpaths {
        /// For the node in header `Ais-Node-Id`.
        reverse: bool,
        /// Nothing is moved.
        no_resilver: bool,
        /// What the mountpath is to be called.
        label: String,
    },
    /// `/v1/cluster?what=`.
    Cluster(What),
    /// PUT to the cluster: see [`crate::ClusterPut`].
    ClusterPut {
        /// Assignments of the path form `set-config?name=value`; none in the form with an action message.
        assignments: Option<Vec<(String, String)>>,
        /// Not kept across a restart.
        transient: bool,
    },
    /// PUT `/v1/cluster/proxy/<id>`: this gateway is to lead.
    SetPrimary {
        /// Its ID, as it came.
        gateway: String,
    },
    /// Whether the caller's own token is accepted.
    TokenCheck,
    /// `/metrics`.
    Metrics,
    /// What AIS has and this server does not.
    Unsupported(Unsupported),
}

/// What to do with one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectOp {
    /// Read it.
    Get(GetArgs),
    /// Its properties.
    Head(HeadArgs),
    /// Write it.
    Put {
        /// Do not load the previous version's metadata first.
        skip_vc: bool,
    },
    /// Write one part of a multipart upload.
    PutPart {
        /// The upload.
        upload: String,
        /// From 1.
        part: u32,
    },
    /// Append to it; nobody sees that yet.
    Append {
        /// What the previous append answered; none begins.
        handle: Option<AppendHandle>,
    },
    /// Make what was appended visible.
    Flush {
        /// What the last append answered.
        handle: AppendHandle,
    },
    /// Copy it; no body.
    Copy {
        /// Destination bucket.
        to: Bucket,
        /// Destination name.
        name: ObjectName,
        /// Compare with the origin first.
        latest: bool,
    },
    /// Delete it, evict it or abort an upload: see [`crate::DeleteAction`].
    Delete {
        /// The upload.
        upload: Option<String>,
    },
    /// Change its custom metadata: see [`crate::custom_patch`].
    Patch {
        /// Replace all of it rather than add.
        replace: bool,
    },
    /// Rename, lock check, multipart: see [`crate::PostAction`].
    Post {
        /// The upload.
        upload: Option<String>,
    },
}

/// What GET of an object carries besides its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GetArgs {
    /// Compare with the origin first.
    pub latest: bool,
    /// Absence is expected: log nothing.
    pub silent: bool,
}

/// What HEAD of an object carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadArgs {
    /// Which objects count.
    pub presence: Presence,
    /// Compare with the origin first.
    pub latest: bool,
    /// Properties asked for; none means HEAD of the first kind, with all headers.
    pub props: Option<HeadProps>,
}

/// HEAD of a bucket with a summary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadSummary {
    /// Count what is not in the cluster too.
    pub remote: bool,
    /// Names to count begin with this.
    pub prefix: String,
    /// The job that counts; none starts one.
    pub uuid: Option<String>,
}

/// Which objects or buckets count (AIS: `presence`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Presence {
    /// Anywhere, with properties.
    #[default]
    Exists,
    /// Anywhere, by status alone.
    ExistsNoProps,
    /// In place in the cluster.
    Present,
    /// The same, by status alone.
    PresentNoProps,
    /// Anywhere in the cluster.
    PresentInCluster,
    /// Not in the cluster.
    ExistsOutside,
}

impl Presence {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "0" => Self::Exists,
            "1" => Self::ExistsNoProps,
            "2" => Self::Present,
            "3" => Self::PresentNoProps,
            "4" => Self::PresentInCluster,
            "5" => Self::ExistsOutside,
            _ => return None,
        })
    }

    /// Whether only what is in the cluster counts.
    pub fn in_cluster_only(self) -> bool {
        matches!(self, Self::Present | Self::PresentNoProps | Self::PresentInCluster)
    }

    /// Whether the status is all that is asked for.
    pub fn status_only(self) -> bool {
        matches!(self, Self::ExistsNoProps | Self::PresentNoProps)
    }
}

/// Provider and namespace as a filter; none means any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketScope {
    /// The provider.
    pub provider: Option<Provider>,
    /// The namespace.
    pub namespace: Option<Namespace>,
}

impl BucketScope {
    /// Whether `bucket` passes.
    pub fn admits(&self, bucket: &Bucket) -> bool {
        self.provider.is_none_or(|p| p == bucket.provider)
            && self.namespace.as_ref().is_none_or(|n| *n == bucket.namespace)
    }
}

/// What GET of buckets is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketQuery {
    /// Filter.
    pub scope: BucketScope,
    /// The one bucket; none means all that pass the filter.
    pub name: Option<BucketName>,
    /// Which count.
    pub presence: Presence,
}

impl BucketQuery {
    /// The one bucket meant, if a name was given.
    pub fn bucket(&self) -> Option<Bucket> {
        let name = self.name.clone()?;
        let provider = self.scope.provider.unwrap_or_default();
        Some(Bucket { provider, namespace: self.scope.namespace.clone().unwrap_or_default(), name })
    }
}

/// What is asked of a node's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthQuery {
    /// Whether it runs.
    Alive,
    /// Whether it is ready.
    Ready,
    /// Whether the cluster has started and its leader could rebalance.
    PrimaryReady,
    /// Whether it leads.
    IsPrimary,
    /// Its state as JSON.
    State {
        /// From the leader only.
        primary: bool,
    },
}

/// AIS's `what=`. It travels between nodes: variants and fields are only ever added at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each is AIS's query of that name")]
pub enum What {
    Smap,
    Bmd,
    Config,
    ClusterConfig,
    Snode,
    SysInfo,
    NodeStats,
    NodeStatus,
    Metrics,
    Mountpaths,
    Disk,
    Remote,
    Backends,
    TargetIps,
    SoftwareVersion,
    TlsCertificate,
    Log { severity: char, offset: u64, all: bool },
    JobStatus,
    JobStatusAll,
    JobSnaps,
    JobsRunning,
}
