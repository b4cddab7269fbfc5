//! A disk that can lose power: one image file served by FUSE, a loop device on it, a real file system on that.
//!
//! The server sees every block write and every flush of the file system in order. It records them, so that the disk of
//! any moment can be rebuilt as a volatile write cache may have left it, and it can answer with errors, wait, flip bits
//! or cut the disk off. Nothing here knows what an object store is: a workload is a process that says what it was
//! promised ([`history`]), a checker is a process that says what it finds.
//!
//! Needs root, `/dev/fuse`, a loop device and the `mkfs` of the file system ([`rig::missing`] names what is not there).

pub mod bench;
pub mod crash;
pub mod ctl;
pub mod disk;
pub mod error;
pub mod fuse;
pub mod history;
pub mod log;
pub mod posix;
pub mod rebuilt;
pub mod replay;
pub mod rig;
pub mod rng;

pub use error::RigError;
