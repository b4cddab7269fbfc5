//! One mountpath's objects: layout, metadata record, the PUT transaction, recovery, listing, multipart and cold arrivals.
//!
//! Bytes of an object are written and read by any thread through a [`Volume`]; names change only through the one
//! [`Committer`] of the mountpath. Both reach the disk through the [`Disk`] trait and nothing else: this crate refuses
//! to know sockets, threads, clocks, clusters and HTTP. Time comes in requests. `docs/FORMAT.md` is the on-disk contract.
#![allow(async_fn_in_trait, reason = "a disk belongs to one thread: its futures need not be Send")]

mod acknowledged;
mod blocks;
mod carry;
mod change;
mod commit;
mod disk;
mod error;
mod flight;
mod generation;
mod identity;
mod journal;
mod lanes;
mod layout;
mod list;
mod mirror;
mod mountpath;
mod moves;
mod multipart;
mod object;
mod path;
mod record;
mod recover;
mod sidecar;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
mod volume;
mod watch;
mod work;
mod writer;

pub use acknowledged::{Acknowledged, Unfiled};
pub use change::{
    Attrs, Change, Committed, Condition, CustomChange, Moved, Outcome, Put, Reply, Request, Terms, Together,
    UploadAttrs, VersionRule,
};
pub use commit::Committer;
#[cfg(any(test, feature = "sim"))]
pub use commit::Planted;
pub use disk::{Access, Buffer, DirEntry, Disk, EntryKind, FileStat, Space};
pub use error::{DiskError, DiskErrorKind, StoreError};
pub use flight::{Flight, FlightError, FlightHead, Lead, Progress};
pub use generation::Slot;
pub use identity::{Attach, Identity, IdentityError};
pub use list::{ListQuery, ListedObject, Page, Row, Rows};
pub use mirror::{Ahead, Copies, CopyHolder, Evened};
pub use mountpath::{CommitClock, Mountpath, MountpathOptions, Stats};
pub use moves::{Holder, move_object, remove_object};
pub use multipart::{PartChoice, PartInfo, UploadInfo};
pub use object::{Chunk, Chunks, Object, Piece};
pub use path::{DiskPath, PathError};
pub use record::{
    Blocks, BootId, CommitId, ContentHeaders, Etag, FORMAT_VERSION, Record, RecordError, RemoteIdentity, Span,
};
pub use recover::Recovered;
pub use volume::Volume;
pub use watch::Watch;
pub use writer::{Durability, Expected, Prepared, WriteOptions, Writer};
