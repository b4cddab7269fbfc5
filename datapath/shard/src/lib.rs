//! One core's program: accept, parse, authorise, place, read or write, send.
//!
//! A shard owns its connections, buffers and rings and shares nothing mutable with its siblings but counters.
//! Objects' bytes pass here; names change at the committers; everything else is framed for the control core.

mod ais;
mod answer;
mod balance;
mod body;
mod clock;
mod closed;
mod cold;
mod committer;
mod conn;
mod copies;
mod custom;
mod disk;
mod disks;
mod drain;
mod evening;
mod fail;
mod get;
mod health;
mod hot;
mod idle;
mod later;
mod left;
mod metrics;
mod mirror;
mod moves;
mod opened;
mod pace;
mod place;
#[cfg(debug_assertions)]
mod planted;
mod promote;
mod put;
mod ration;
mod refusal;
mod relay;
mod reserved;
mod resilver;
mod routes;
mod s3;
mod serve;
mod shard;
mod shifts;
mod source;
mod uneven;
mod uploads;
mod volumes;
mod walker;

pub use balance::Loads;
pub use closed::Closed;
pub use committer::{CommitError, CommitPort, CommitterConfig, CommitterThread, serve_changes};
pub use copies::{CopyFailure, CopyTask};
pub use disk::{RingDisk, RingFile, Role};
pub use disks::{Away, Disk, DiskId, DiskSet, Disks, Duty};
pub use drain::Drain;
pub use health::{HealthBounds, check_disk};
pub use idle::{IdleAppend, idle_appends};
pub use metrics::{Op, ShardMetrics, render as render_metrics};
pub use moves::Errand;
pub use promote::{PromotableDir, PromoteDirs, PromoteError, PromoteTask};
pub use resilver::Pass;
pub use shard::{
    ControlCall, ControlOp, ControlPort, ControlReply, Identity, Inbound, NewConnection, Reading,
    ShardConfig, Shared, run,
};
pub use shifts::Moves;
pub use uneven::Uneven;
pub use walker::{WalkerPort, WalkerThread};

/// Why a shard or one of its helpers cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// io_uring is missing or refused.
    #[error(transparent)]
    Ring(#[from] weir_ring::RingError),
    /// A file, directory or socket.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// A mountpath was refused or could not be recovered.
    #[error("mountpath {path}: {error}")]
    Mountpath {
        /// Its directory.
        path: String,
        /// Why.
        error: Box<weir_store::StoreError>,
    },
}
