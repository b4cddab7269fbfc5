//! What the control core asks of the node: its local store, its origins and its figures.
//!
//! The node implements [`Backend`]; tests implement it in memory. Futures are boxed and `Send`, so that the work
//! itself may run anywhere: the control thread only awaits it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_cluster::{BucketProps, FileState, NodeId, Promotable};
use weir_store::{ListQuery, ListedObject, Page, Record, Row, Rows, StoreError, Terms, Watch};
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

    /// Copies an object that this node owns to where the copy belongs, which may be another target; the bytes it has. A
    /// copy that is there with the same content stays as it is. `None` if there is no such object, here or at its origin.
    fn copy_object<'a>(&'a self, call: &'a CopyCall) -> BackendFuture<'a, Option<u64>>;

    /// What a path of this target's host leads to, if its files may become objects; an error if they may not.
    fn promotable<'a>(&'a self, path: &'a str) -> BackendFuture<'a, Promotable> {
        let _ = path;
        Box::pin(async { Err(BackendError::Unsupported("promote".into())) })
    }

    /// What is in such a directory: names of files and of directories, each in order.
    fn promotable_dir<'a>(&'a self, path: &'a str) -> BackendFuture<'a, (Vec<String>, Vec<String>)> {
        let _ = path;
        Box::pin(async { Err(BackendError::Unsupported("promote".into())) })
    }

    /// Makes an object of this node out of a file; the bytes it has, or nothing if there is one already that stays.
    fn promote<'a>(&'a self, call: &'a PromoteCall) -> BackendFuture<'a, Option<u64>> {
        let _ = call;
        Box::pin(async { Err(BackendError::Unsupported("promote".into())) })
    }

    /// Which file a path leads to, and what it is by now.
    fn file_state<'a>(&'a self, path: &'a str) -> BackendFuture<'a, FileState> {
        let _ = path;
        Box::pin(async { Err(BackendError::Unsupported("promote".into())) })
    }

    /// Removes a file that became an object, if it is what it was before.
    fn remove_promoted<'a>(&'a self, path: &'a str, was: FileState) -> BackendFuture<'a, ()> {
        let _ = (path, was);
        Box::pin(async { Err(BackendError::Unsupported("promote".into())) })
    }

    /// Sees to it that no other target holds an object that is this node's by the view of now: what one has is moved here.
    /// The bytes of the object, if one had it.
    fn own_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<u64>> {
        let _ = (bucket, name);
        Box::pin(async { Err(BackendError::Unsupported("moving objects".into())) })
    }

    /// The same for an upload of the object.
    fn own_upload<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        id: &'a str,
    ) -> BackendFuture<'a, ()> {
        let _ = (bucket, name, id);
        Box::pin(async { Err(BackendError::Unsupported("moving uploads".into())) })
    }

    /// Removes the copy of a remote object; `false` if there was none.
    fn evict_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, bool>;

    /// Of the mountpath with this root, the copies of remote objects of these buckets that were not read since then, the
    /// one that was read longest ago first; a bounded number.
    fn coldest<'a>(
        &'a self,
        mountpath: &'a str,
        buckets: &'a [Bucket],
        unread_since_ns: u64,
    ) -> BackendFuture<'a, Vec<ColdObject>>;

    /// Work files that were last changed longer ago, with their bytes.
    fn work_files(&self, older: Duration) -> BackendFuture<'_, BTreeMap<String, u64>>;

    /// Has every disk's housekeeping begin, which removes work files that nobody uses.
    fn keep_house(&self) -> BackendFuture<'_, ()>;

    /// Drops what was appended to objects of the bucket and not flushed, where nobody has gone on with it since then; the bytes
    /// of each.
    fn drop_idle_appends<'a>(&'a self, _bucket: &'a Bucket, _since_ns: u64) -> BackendFuture<'a, Vec<u64>> {
        Box::pin(async { Ok(Vec::new()) })
    }

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

    /// Takes a disk in or out. Resolves once the change is in force; what it has moved is moved by a resilver.
    fn change_mountpath<'a>(&'a self, change: &'a MountpathChange) -> BackendFuture<'a, ()> {
        Box::pin(async { Err(BackendError::Unsupported(format!("{} a mountpath", change.action.as_str()))) })
    }

    /// Begins to look at the health of a mountpath in service, by so many files that are read and written: with so many errors it
    /// has failed, and is taken out of service.
    fn check_mountpath<'a>(&'a self, path: &'a str, _files: usize, _errors: usize) -> BackendFuture<'a, ()> {
        Box::pin(async move { Err(BackendError::Unsupported(format!("check mountpath {path}"))) })
    }

    /// The number of the set of mountpaths, if names are still to be moved under it.
    fn wants_resilver(&self) -> Option<u64> {
        None
    }

    /// Moves every name to the mountpath that it belongs to, and ends what of mountpaths leaves or returns.
    fn resilver(&self, _watch: Arc<dyn Watch>) -> BackendFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Makes or removes copies of a bucket's objects until each has as many as its properties say; reads and checks every byte
    /// of them if `thorough`. Whether all that can be even is: what is damaged everywhere cannot.
    fn even_copies<'a>(
        &'a self,
        _bucket: &'a Bucket,
        _thorough: bool,
        _watch: Arc<dyn Watch>,
    ) -> BackendFuture<'a, bool> {
        Box::pin(async { Ok(true) })
    }

    /// Whether copies of objects may be uneven, since a process died, a disk failed, or they were not made yet: the mark up to which
    /// a pass over all of them that begins now sees to everything.
    fn uneven(&self) -> Option<u64> {
        None
    }

    /// Such a pass has come to its end.
    fn seen_to(&self, _mark: u64) {}

    /// What is wrong with an object of this node that cannot be read whole, from none of its copies; none: nothing.
    fn damage<'a>(&'a self, _bucket: &'a Bucket, _name: &'a ObjectName) -> BackendFuture<'a, Option<String>> {
        Box::pin(async { Ok(None) })
    }

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

    /// Asks for an orderly end of the process, which comes soon after.
    fn request_stop(&self);

    /// Whether the node takes client requests: its mountpaths are attached and recovered.
    fn is_ready(&self) -> bool;
}

/// A copy that a node makes for the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyCall {
    /// Bucket of the source.
    pub from: Bucket,
    /// Its name.
    pub name: ObjectName,
    /// Bucket of the copy.
    pub to: Bucket,
    /// The copy's name.
    pub as_name: ObjectName,
    /// Whatever else is there under that name stays as it is.
    pub if_absent: bool,
}

/// An object by when it was last read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColdObject {
    /// When it was last read or written, nanoseconds since 1970.
    pub accessed_ns: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bucket.
    pub bucket: Bucket,
    /// Name.
    pub name: ObjectName,
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

/// One page of what disks, nodes or the cluster hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalPage {
    /// Objects in byte order, each with the number of its place.
    pub rows: Rows,
    /// Where they are.
    pub places: Vec<Place>,
    /// Common prefixes in byte order, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Where the next page starts after; `None`: this is the last.
    pub next: Option<String>,
}

/// A page as jobs read it.
pub(crate) type Read = (Vec<(ObjectName, ListedObject)>, Option<String>);

/// Where objects are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Root of the mountpath.
    pub mountpath: Arc<str>,
    /// ID of the target; empty: this node's.
    pub target: Arc<str>,
}

impl LocalPage {
    /// What one place holds.
    pub fn at(place: Place, page: Page) -> Self {
        let Page { rows, common_prefixes, next } = page;
        Self { rows, places: vec![place], common_prefixes, next }
    }

    /// Name and facts of each object, and where the next page starts after.
    pub(crate) fn read(self) -> Result<Read, BackendError> {
        let objects = self.rows.iter().map(|row| Ok((row.object_name()?, row.object()?)));
        Ok((objects.collect::<Result<_, StoreError>>()?, self.next))
    }

    /// Where a row's object is.
    pub fn place(&self, row: &Row<'_>) -> Place {
        self.places.get(usize::from(row.place)).cloned().unwrap_or_default()
    }

    /// The number of a place, which it is given if it has none.
    pub(crate) fn place_number(&mut self, place: Place) -> u16 {
        let known = self.places.iter().position(|p| *p == place);
        let number = known.unwrap_or(self.places.len());
        if known.is_none() {
            self.places.push(place);
        }
        u16::try_from(number).unwrap_or(u16::MAX)
    }
}

/// An open multipart upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Object that it will become.
    pub key: ObjectName,
    /// Its ID.
    pub id: String,
    /// When it was begun, nanoseconds since 1970.
    pub initiated_ns: u64,
}

/// Why a mountpath is out of service that somebody took out.
pub const BY_COMMAND: &str = "by command";

/// State and space of a mountpath.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountpathFacts {
    /// Its root.
    pub path: String,
    /// The operator's label; empty as a rule.
    pub label: String,
    /// Device of the file system, such as `/dev/nvme0n1p1`.
    pub device: String,
    /// Type of the file system, such as `xfs`.
    pub fs_type: String,
    /// Numbers of the file system's device: those of one file system are the same.
    pub fs_id: [i32; 2],
    /// Disks under the file system, such as `nvme0n1`.
    pub disks: Vec<String>,
    /// Bytes in use.
    pub used: u64,
    /// Bytes free.
    pub free: u64,
    /// Why it takes no requests; `None` while it does.
    pub disabled: Option<String>,
    /// What it holds is moved away before it leaves.
    pub leaving: bool,
}

impl MountpathFacts {
    /// Bytes of it in all, used and free.
    pub fn total(&self) -> u64 {
        self.used.saturating_add(self.free)
    }
}

/// `part` of `whole` in percent, rounded down.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    u64::try_from(percent).unwrap_or(100).min(100)
}

/// What is to become of a mountpath.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountpathAction {
    /// Names belong to it.
    Attach,
    /// It is in service again.
    Enable,
    /// It is out of service; what it may hold is not given up.
    Disable,
    /// It leaves the node.
    Detach,
    /// The disks under it are looked for anew.
    Rescan,
    /// Its health is looked at.
    Check,
}

impl MountpathAction {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Detach => "detach",
            Self::Rescan => "rescan",
            Self::Check => "check",
        }
    }
}

/// A change of the node's mountpaths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountpathChange {
    /// What.
    pub action: MountpathAction,
    /// Root of the mountpath.
    pub path: String,
    /// Whether what it holds is moved away first, where it goes.
    pub resilver: bool,
    /// What the operator calls it, where it is attached.
    pub label: String,
}

/// A file that is to become an object of the node that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromoteCall {
    /// The object's bucket.
    pub bucket: Bucket,
    /// The object's name.
    pub name: ObjectName,
    /// The file.
    pub file: String,
    /// The target whose file it is; none: the asked node's.
    pub from: Option<NodeId>,
    /// In place of an object that is there.
    pub overwrite: bool,
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
    /// It was tried in vain.
    #[error("{0}")]
    Failed(String),
    /// Too much is under way: the same call may succeed shortly.
    #[error("{0}")]
    Busy(String),
    /// The mountpath cannot be changed so.
    #[error("{0}")]
    Mountpath(String),
    /// The remaining mountpaths have no room for what one holds.
    #[error("{0}")]
    NoRoom(String),
}
