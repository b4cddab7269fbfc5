//! The AIS API as functions of values: request heads to typed operations, action messages to typed actions, and
//! what the cluster and the store know to the headers, JSON and msgpack that AIS's clients read.
//!
//! This crate refuses to know sockets, files, clocks, threads and who may do what. Section numbers in its comments
//! are those of AIS's public behaviour as its sources of version 5.0 show it.

mod action;
mod admission;
mod append;
mod bucket_action;
mod cluster_action;
mod copy_action;
mod error;
mod head_props;
pub mod headers;
mod jobs;
mod json_fields;
mod list;
mod list_msg;
mod mountpath_action;
mod multipart;
mod node_action;
mod node_json;
mod object_action;
mod op;
mod promote_action;
mod query;
mod redirect;
mod render;
mod route;
mod settings_json;
mod shapes;
mod status;
mod summary;
mod times;

pub use action::ActionMsg;
pub use admission::{Marker, admit_direct};
pub use append::AppendHandle;
pub use bucket_action::{BucketDelete, BucketGet, BucketPatch, BucketPost};
pub use cluster_action::{ClusterPut, DaemonPut};
pub use error::{AisError, Cname, Unsupported};
pub use head_props::HeadProps;
pub use headers::{ChunkFacts, EcFacts, HeaderSink, Location, ObjectFacts, PutHeaders};
pub use jobs::{JobMsg, JobQuery, JobStatus, Snap, SnapStats, StartMsg, running_name};
pub use list::{EntryFacts, EntryFlags, LsoEntry, LsoRes};
pub use list_msg::{LsoFlags, LsoMsg, Shown};
pub use mountpath_action::MountpathMsg;
pub use multipart::PartRef;
pub use node_action::{NodeAction, NodeActionKind};
pub use node_json::{
    Capacity, CapacityMountpath, CapacityWithDisks, DiskStat, FsInfo, LoadAvg, MemCpu, Mountpaths,
    NodeStateFlags, NodeStateInfo, NodeStats, NodeStatus, Primary, SmapState, TargetSysInfo, Version,
};
pub use object_action::{DeleteAction, PostAction, custom_patch};
pub use op::{
    AisOp, BucketQuery, BucketScope, GetArgs, HeadArgs, HeadSummary, HealthQuery, ObjectOp, Presence, What,
};
pub use promote_action::{ObjectsPost, PromoteMsg};
pub use query::Query;
pub use redirect::{Redirect, RedirectBase};
pub use render::{CONTENT_JSON, CONTENT_MSGPACK, Where, accepts_msgpack, json};
pub use route::{claims, route};
pub use settings_json::{assignments, settings_json};
pub use shapes::{
    BckJson, HostNet, LocalConfig, NetJson, NsJson, SmapJson, SnodeJson, TestPaths, bmd_json, bprops_json,
    cluster_config_json, node_config_json,
};
pub use summary::{BucketSummary, ObjectCount, ObjectSize, SummaryMsg, TotalSize};
pub use times::rfc3339;

/// The AIS version whose API this is; its command line compares it with its own.
pub const AIS_VERSION: &str = "5.0.0";
