//! What several holders know of a bucket, joined.

mod merge;

pub use merge::Merge;
