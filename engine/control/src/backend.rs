//! What the control core asks of the node: its local store, its origins and its figures.
//!
//! The node implements [`Backend`]; tests implement it in memory. Futures are boxed and `Send`, so that the work
//! itself may run anywhere: the control thread only awaits it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use weir_cluster::BucketProps;
use weir_store::{ListQuery, Record, StoreError, Terms};
use weir_types::{Bucket, ObjectName, Provider};

/// What every call of [`Backend`] returns.
pub type BackendFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// The node, as the control core sees it.
pub trait Backend: Send + Sync + 'static {
    /// One page of what this node holds of `bucket`, over all mountpaths, in the byte order of whole names.
    /// A bucket with nothing in it is an empty page, not an error.
    fn list_page<'a>(&'a self, bucket: &'a Bucket, query: &'a ListQuery) -> BackendFuture<'a, LocalPage>;

    /// The metadata of one object that this node holds; `None` if it does not hold it.
    fn object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<Record>>;

    /// Removes one object as a client's DELETE does, if `terms` hold; `false` if there was none and none was required.
    fn delete_object<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        terms: &'a Terms,
    ) -> BackendFuture<'a, bool>;

    /// Whether the bucket holds no object. Open multipart uploads do not count.
    fn is_empty<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, bool>;

    /// Resolves when every change of `bucket` that was begun before is done, and the answers of [`Backend::is_empty`]
    /// know of it. What begins later heeds the view of now: a bucket that takes no objects gets none.
    fn settle<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()>;

    /// Removes everything that this node keeps of `bucket`, which is no longer in the cluster view (or, with an
    /// eviction that keeps it there, whose copies go). Resolves when nothing of it is visible any more.
    fn remove_bucket_data<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()>;

    /// Open multipart uploads of `bucket`, in the order of key, then of initiation.
    fn uploads<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, Vec<Upload>>;

    /// State and space of every mountpath.
    fn mountpaths(&self) -> BackendFuture<'_, Vec<MountpathFacts>>;

    /// One page of what the origin holds of a remote bucket.
    fn remote_page<'a>(&'a self, bucket: &'a Bucket, query: &'a RemoteQuery)
    -> BackendFuture<'a, RemotePage>;

    /// Whether the origin at `origin` has the bucket: [`BackendError::NoBucket`] if it does not.
    fn remote_head<'a>(&'a self, bucket: &'a Bucket, origin: &'a RemoteOrigin) -> BackendFuture<'a, ()>;

    /// Every bucket that the node's credentials see at the origins of `provider`.
    fn remote_buckets(&self, provider: Provider) -> BackendFuture<'_, Vec<Bucket>>;

    /// Providers that have an origin configured.
    fn remote_providers(&self) -> Vec<Provider>;

    /// Counters by AIS's tracker names (`get.n`, `put.size`, ...), for statistics queries.
    fn counters(&self) -> BTreeMap<String, i64>;

    /// What each disk under the mountpaths has done since the host started, by its name (`nvme0n1`); without those
    /// whose file system has no disk of its own.
    fn disk_counters(&self) -> BTreeMap<String, DiskCounters>;

    /// Figures of shards, disks and operations in Prometheus text, to be joined with the control core's own.
    fn metrics_text(&self) -> String;

    /// Whether the node takes client requests: its mountpaths are attached and recovered.
    fn is_ready(&self) -> bool;
}

/// What a disk has done since the host started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounters {
    /// Reads completed.
    pub reads: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Writes completed.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Milliseconds in which something was under way.
    pub busy_ms: u64,
}

/// One page of what this node holds.
#[derive(Clone, Debug, Default)]
pub struct LocalPage {
    /// Objects in byte order.
    pub entries: Vec<LocalEntry>,
    /// Common prefixes in byte order, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts after; `None`: this is the last.
    pub next: Option<String>,
}

/// One object that this node holds.
#[derive(Clone, Debug)]
pub struct LocalEntry {
    /// Name.
    pub name: ObjectName,
    /// Metadata.
    pub record: Record,
    /// Root of the mountpath that holds it.
    pub mountpath: Arc<str>,
    /// ID of the target that holds it; empty: this node's.
    pub target: Arc<str>,
}

/// An open multipart upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// Object that it will become.
    pub key: ObjectName,
    /// Its ID.
    pub id: String,
    /// When it was begun, nanoseconds since 1970.
    pub initiated_ns: u64,
}

/// State and space of a mountpath.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountpathFacts {
    /// Its root.
    pub path: String,
    /// The operator's label; empty as a rule.
    pub label: String,
    /// Device of the file system, such as `/dev/nvme0n1p1`.
    pub device: String,
    /// Type of the file system, such as `xfs`.
    pub fs_type: String,
    /// `f_fsid` of the file system.
    pub fs_id: [i32; 2],
    /// Disks under the file system, such as `nvme0n1`.
    pub disks: Vec<String>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes free.
    pub free: u64,
    /// Why it takes no requests; `None` while it does.
    pub disabled: Option<String>,
}

/// Where a remote bucket's origin answers; what its properties leave open follows from the node's settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteOrigin {
    /// URL of its endpoint (property `extra.aws.endpoint`).
    pub endpoint: Option<String>,
    /// Region of signatures (property `extra.aws.cloud_region`).
    pub region: Option<String>,
}

impl RemoteOrigin {
    /// As the bucket's properties say.
    pub fn of(props: &BucketProps) -> Self {
        let origin = props.origin();
        Self { endpoint: origin.endpoint.map(str::to_owned), region: origin.region.map(str::to_owned) }
    }
}

/// Which part of a remote bucket to list.
#[derive(Clone, Debug, Default)]
pub struct RemoteQuery {
    /// Where the bucket is.
    pub origin: RemoteOrigin,
    /// Prefix, start, delimiter and limit, as for a local page; the origin may give fewer.
    pub list: ListQuery,
    /// [`RemotePage::continuation`] of the page before, which outweighs `start_after`.
    pub continuation: Option<String>,
}

/// One page of what an origin holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemotePage {
    /// Objects in byte order.
    pub entries: Vec<RemoteEntry>,
    /// Common prefixes in byte order, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Whether names follow.
    pub more: bool,
    /// The origin's own token of the next page.
    pub continuation: Option<String>,
}

/// One object at an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteEntry {
    /// Name.
    pub name: ObjectName,
    /// Bytes.
    pub size: u64,
    /// ETag without quotes.
    pub etag: Option<String>,
    /// Version there.
    pub version: Option<String>,
    /// Last change there, nanoseconds since 1970.
    pub modified_ns: Option<u64>,
}

/// Why the node could not do what the control core asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The origin has no such bucket.
    #[error("remote bucket \"{0}\" does not exist")]
    NoBucket(Bucket),
    /// The origin refuses the credentials or the operation.
    #[error("origin of \"{bucket}\" refused: {what}")]
    Denied {
        /// Which bucket.
        bucket: Bucket,
        /// What the origin said, and what to do.
        what: String,
    },
    /// No origin is configured for the provider.
    #[error("no origin is configured for {}", .0.as_str())]
    NotConfigured(Provider),
    /// The origin cannot be reached or has an error of its own: the same call may succeed later.
    #[error("origin failed: {0}")]
    Origin(String),
    /// The node cannot do this, now or later.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Too much is under way: the same call may succeed shortly.
    #[error("{0}")]
    Busy(String),
}
