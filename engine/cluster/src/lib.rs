//! What every node of a cluster agrees on, and what follows from it by computation alone: the cluster map,
//! the buckets with their properties, the configuration, and which node and mountpath own a name.
//!
//! This crate refuses to know disks, sockets, clocks, threads, random numbers and JSON: times and entropy are
//! arguments, and names of properties are the dotted names that `settings` walks. The types derive serde for
//! the Raft log (postcard), so none of them may need a self-describing format.

mod bmd;
mod bucket_props;
pub mod config;
mod copy_order;
mod error;
mod fill;
pub mod hrw;
mod ids;
mod job;
mod lease;
mod me;
mod moving;
mod promote_order;
pub mod sections;
mod settings;
mod smap;
pub mod units;
mod view;

pub use bmd::{Bmd, BucketInfo, RESERVED_BUCKET_NAMES};
pub use bucket_props::{BackendBucket, BucketProps, BucketPropsPatch, Origin};
pub use config::{ClusterConfig, ConfigPatch};
pub use copy_order::{CopyKind, CopyOrder};
pub use error::ClusterError;
pub use fill::Fill;
pub use ids::{ClusterUuid, JobId, NodeId};
pub use job::{Done, Job, JobOrder, Jobs, Part, Selection};
pub use lease::Lease;
pub use me::{Me, Roles};
pub use moving::Moving;
pub use promote_order::{FileState, Promotable, PromoteOrder};
pub use sections::{Durability, EtagKind, Features};
pub use settings::{Patch, Scalar, Settings};
pub use smap::{NetInfo, Node, NodeFlags, Role, Smap};
pub use units::Size;
pub use view::ClusterView;
