//! The control core of a node: what all nodes agree on, and every request that is not an object transfer.
//!
//! [`Control::start`] makes one thread with a tokio current-thread runtime. On it run Raft (openraft, its log and
//! snapshots in redb) and the answers to control requests of both dialects, called as functions: no sockets.
//! Nothing there takes longer than 5 ms: disks, merges and large encodings are left to workers. Every change
//! of buckets, map or configuration goes through the log and is answered after the new [`ClusterView`] is published.
//!
//! The control core refuses to know sockets, rings and files of objects; it reaches the node's store and origins
//! through [`Backend`].
//!
//! [`ClusterView`]: weir_cluster::ClusterView

mod api;
mod backend;
mod config;
mod core;
mod disks;
mod error;
mod figures;
mod finds;
mod gather;
mod handle;
mod jobs;
mod log;
mod members;
mod peers;
mod raft;
mod removal;
mod request;
mod runtime;
mod sessions;
#[cfg(test)]
mod sim;
mod thread;

pub use backend::{
    BY_COMMAND, Backend, BackendError, BackendFuture, ColdObject, CopyCall, DiskCounters, LocalPage,
    MountpathAction, MountpathChange, MountpathFacts, Place, PromoteCall, RemoteEntry, RemoteOrigin,
    RemotePage, RemoteQuery, Upload,
};
pub use config::{ControlConfig, Identity, PeersConfig, SNAPSHOT_ENTRIES};
pub use error::ControlError;
pub use gather::{Merge, union};
pub use handle::ControlHandle;
pub use log::{LogLine, LogTail};
pub use raft::command::{Applied, Command, Refused};
pub use request::{ControlOp, ControlRequest, ControlResponse, Overloaded};
pub(crate) use runtime::now_ns;
pub use thread::Control;
