//! The S3 API as functions of bytes and values: routing, XML, aws-chunked bodies, checksums, conditions, listings.
//!
//! A request passes once: [`classify`] tells the dialect, [`route`] makes one [`S3Op`] of the head with typed
//! parameters, the caller does what it says, and the `render` functions make the answer. Whatever is refused is an
//! [`S3Error`], whose code, status and text stand in one table.
//!
//! This crate refuses to know sockets, disks, clocks, credentials and the cluster.

mod address;
pub mod attributes;
pub mod attrs;
pub mod body;
pub mod chunked;
pub mod conditions;
mod dates;
pub mod documents;
mod encryption;
mod error;
pub mod flexible;
pub mod listing;
pub mod multipart;
mod names;
mod object_route;
pub mod op;
pub mod render;
mod request;
mod route;
mod status;
pub mod tags;
pub mod uploads;
mod xml;

pub use address::{Dialect, S3Config, classify};
pub use attrs::USER_META_PREFIX;
pub use dates::{http_date, iso8601};
pub use error::{Result, S3Code, S3Error};
pub use names::{RESERVED, check_new_bucket};
pub use op::{BucketOp, ObjectOp, S3Op};
pub use request::{PlainHead, RequestHead};
pub use route::route;
