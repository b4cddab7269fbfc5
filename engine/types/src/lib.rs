//! The vocabulary of Weir: bucket and object names, checksums, ranges, sizes and every limit.
//!
//! This crate refuses to know sockets, files, clocks, JSON and HTTP.

mod access;
mod bucket;
pub mod checksum;
mod combine;
mod custom;
pub mod limits;
pub mod md5;
mod object;
mod range;
mod template;

pub use access::Access;
pub use bucket::{Bucket, BucketName, BucketNameError, Namespace, Provider};
pub use checksum::{Checksum, ChecksumKind};
pub use combine::combine_crc;
pub use custom::{CustomMeta, CustomMetaError, RESERVED_META_PREFIX};
pub use object::{ObjectName, ObjectNameError};
pub use range::{ByteRange, RangeError, RangeSpec};
pub use template::Template;
