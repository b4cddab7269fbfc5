//! Cold-tier clients: what a remote bucket holds, and its bytes, from S3-compatible endpoints.
//!
//! [`Origins::start`] makes threads of its own, each with a small tokio runtime and a pool of connections;
//! the [`OriginsHandle`] that everybody else keeps returns futures that any executor can poll. A body comes as
//! chunks over a bounded channel: a slow reader holds the origin back, a reader that goes away ends the stream.
//!
//! This crate refuses to know shards, disks, caching and who shares a stream. It speaks only to endpoints of
//! its configuration.

mod config;
mod endpoint;
mod error;
mod handle;
mod model;
mod s3;
mod stream;

pub use config::{Credentials, OriginConfig, OriginsConfig};
pub use error::OriginError;
pub use handle::{Call, Origins, OriginsHandle};
pub use model::{
    ContentHeaders, ListEntry, ListPage, ListQuery, OriginBucket, OriginObject, OriginStats, RemoteBucket,
    RemoteBucketName,
};
pub use stream::{Chunks, OriginStream};
