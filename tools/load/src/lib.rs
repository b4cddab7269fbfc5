//! The load generator: requests to AIS, S3 and plain HTTP servers as fast as one core can make them, and what became of them.
//!
//! One thread is one io_uring runtime with its share of the connections. A connection is one loop that asks, reads the answer's
//! head and lets the kernel throw the body away, or compares it. This crate refuses to know what a Weir node is made of: it
//! speaks to servers over sockets alone.

mod answer;
pub mod cli;
mod command;
mod conn;
mod content;
mod cpu;
mod endpoint;
mod error;
mod html;
mod litmus;
mod names;
mod pacer;
mod plan;
mod plot;
mod record;
mod report;
mod request;
mod run;
mod schedule;
mod sign;
mod size;
mod slot;
mod text;
mod view;
mod worker;

pub use command::{Verdict, execute};
pub use content::{BLOCK_BYTES, COMPRESSIBLE_MAX, Content, ContentKey, Wrong};
pub use cpu::memory_of;
pub use endpoint::Endpoint;
pub use error::{Failure, FailureKind, LoadError};
pub use litmus::{Cluster, Litmus, LitmusReport, Phase, Scaling};
pub use names::{NAMES_MAX, Order, push_name};
pub use plan::{Api, BucketArg, Mode, Plan};
pub use report::{BOUND_SHARE, Errors, Latency, Loader, OpenLoop, Part, Report, Row, Server};
pub use run::{Progress, run};
pub use sign::AccessKey;
pub use size::{Bytes, Sizes};
