use weir_types::{Bucket, ChecksumKind, CustomMetaError, ObjectName};

use crate::{DiskPath, IdentityError, PathError, RecordError};

/// What kind of failure a disk reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskErrorKind {
    /// No such file or directory.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// A directory where a file was expected.
    IsDirectory,
    /// A file where a directory was expected.
    NotDirectory,
    /// The directory is not empty.
    NotEmpty,
    /// No room: blocks, inodes or quota.
    NoSpace,
    /// The name or attribute is more than this file system holds.
    TooLong,
    /// Out of buffers, descriptors or queue places for now.
    Busy,
    /// Refused: permissions, a symbolic link, a read-only file system.
    Refused,
    /// An I/O error, or anything not named above.
    Io,
}

/// A disk operation that failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{operation} of {path}: {kind:?}{}", errno.map(|e| format!(" (errno {e})")).unwrap_or_default())]
pub struct DiskError {
    /// The operation's name, as in [`crate::Disk`].
    pub operation: &'static str,
    /// What it was about: a path beneath the mountpath, or `(open file)`.
    pub path: String,
    /// The kind.
    pub kind: DiskErrorKind,
    /// The kernel's number, where there was one.
    pub errno: Option<i32>,
}

impl DiskError {
    /// An error about `path`.
    pub fn at(operation: &'static str, path: &DiskPath, kind: DiskErrorKind) -> Self {
        Self { operation, path: path.to_string(), kind, errno: None }
    }

    /// An error about an open file.
    pub fn of_file(operation: &'static str, kind: DiskErrorKind) -> Self {
        Self { operation, path: "(open file)".into(), kind, errno: None }
    }

    /// The kind of a Linux error number, and the number kept.
    pub fn from_errno(operation: &'static str, path: impl Into<String>, errno: i32) -> Self {
        use DiskErrorKind as K;
        let kind = match errno {
            2 => K::NotFound,                  // ENOENT
            17 => K::AlreadyExists,            // EEXIST
            21 => K::IsDirectory,              // EISDIR
            20 => K::NotDirectory,             // ENOTDIR
            39 => K::NotEmpty,                 // ENOTEMPTY
            28 | 122 => K::NoSpace,            // ENOSPC, EDQUOT
            36 | 7 | 34 => K::TooLong,         // ENAMETOOLONG, E2BIG, ERANGE
            11 | 12 | 16 | 23 | 24 => K::Busy, // EAGAIN, ENOMEM, EBUSY, ENFILE, EMFILE
            // EPERM, EACCES, EXDEV, EINVAL, EROFS, ELOOP: the call was wrong or not allowed, the disk is well.
            1 | 13 | 18 | 22 | 30 | 40 => K::Refused,
            _ => K::Io,
        };
        Self { operation, path: path.into(), kind, errno: Some(errno) }
    }
}

/// Why the store did not do what was asked. Cheap to clone, so that one failure can answer many.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// No such object.
    #[error("{bucket}/{name} does not exist")]
    NotFound {
        /// The bucket.
        bucket: Bucket,
        /// The name.
        name: ObjectName,
    },
    /// No such object on the disks in service, but a disk that is out of service may hold it.
    #[error("{name}: mountpath {disk}, which may hold it, is out of service")]
    Away {
        /// The name.
        name: ObjectName,
        /// Root of the mountpath.
        disk: String,
    },
    /// A precondition does not hold: HTTP 412.
    #[error("{what} does not hold for {name}: the object's ETag is {got}")]
    Precondition {
        /// Which one: `If-Match`, `If-None-Match`, ...
        what: &'static str,
        /// The name.
        name: ObjectName,
        /// The present ETag, or `(absent)`.
        got: String,
    },
    /// The content's checksum is not the stated one.
    #[error("{} checksum mismatch: expected {expected}, got {got}", kind.as_str())]
    ChecksumMismatch {
        /// Which checksum.
        kind: ChecksumKind,
        /// Stated, in hex.
        expected: String,
        /// Computed, in hex.
        got: String,
    },
    /// The content's length is not the stated one.
    #[error("length mismatch: expected {expected} bytes, got {got}")]
    SizeMismatch {
        /// Stated.
        expected: u64,
        /// Written.
        got: u64,
    },
    /// A stored block does not fit its checksum: its bytes were not given out.
    #[error(
        "{name}: block {block} (at byte {offset}) is corrupt: expected crc32c {expected:08x}, got {got:08x}"
    )]
    Corrupt {
        /// The object.
        name: ObjectName,
        /// Number of the block.
        block: u64,
        /// Its first byte.
        offset: u64,
        /// Recorded.
        expected: u32,
        /// Computed.
        got: u32,
    },
    /// File and record disagree about the size.
    #[error("{name}: file has {got} bytes, its record says {expected}")]
    Truncated {
        /// The object.
        name: ObjectName,
        /// Recorded.
        expected: u64,
        /// Found.
        got: u64,
    },
    /// The metadata record, or what lies beside the object, cannot be read.
    #[error("{path}: {error}")]
    Record {
        /// Whose.
        path: String,
        /// Why.
        error: RecordError,
    },
    /// Metadata too large for this store: names, custom metadata and headers together.
    #[error("metadata record has {got} bytes: expected at most {max}")]
    RecordTooLarge {
        /// Its size.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// No room on the disk: HTTP 507. Nothing of the change is kept.
    #[error("no space on mountpath: {0}")]
    NoSpace(DiskError),
    /// The disk failed.
    #[error("disk failed: {0}")]
    Disk(DiskError),
    /// The mountpath had an I/O error and takes no more changes until the node is started again.
    #[error("mountpath takes no changes after an I/O error: {0}")]
    Poisoned(String),
    /// No such multipart upload (or it is another name's).
    #[error("upload {id} does not exist")]
    NoSuchUpload {
        /// Its ID.
        id: String,
    },
    /// A part is missing or not the one named.
    #[error("part {number} of upload {id}: expected ETag {expected}, got {got}")]
    Part {
        /// The upload.
        id: String,
        /// Number of the part.
        number: u32,
        /// What the caller named, or `any`.
        expected: String,
        /// What is there, or `(absent)`.
        got: String,
    },
    /// The bucket takes no objects: it is on its way out, or gone.
    #[error("bucket \"{bucket}\" {}", if *removing { "is being removed: try again shortly" } else { "does not exist" })]
    BucketClosed {
        /// The bucket.
        bucket: Bucket,
        /// Whether it may yet stay.
        removing: bool,
    },
    /// The node takes no changes: the cluster may not count on it.
    #[error("no majority of gateways stands behind this node: it takes no changes")]
    NoLease,
    /// The name belongs to another target by now.
    #[error("the name belongs to another target by now: try again")]
    NotOwner,
    /// What was moved here is no newer than what is here.
    #[error("what moved is no newer than what is here of {name} ({present})")]
    Outdated {
        /// The object.
        name: ObjectName,
        /// What is here.
        present: crate::CommitId,
    },
    /// A bound of the store is reached.
    #[error("too many {what}: at most {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// Custom metadata is not acceptable.
    #[error(transparent)]
    Custom(#[from] CustomMetaError),
    /// The mountpath's identity is not the expected one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Something that cannot be a path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A cold read that was shared failed.
    #[error("cold read failed: {0}")]
    Flight(crate::FlightError),
    /// The work of a change was given up before its commit (its writer or leader went away).
    #[error("the change was given up: {0}")]
    Abandoned(&'static str),
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error.kind {
            DiskErrorKind::NoSpace => Self::NoSpace(error),
            _ => Self::Disk(error),
        }
    }
}

impl StoreError {
    /// Whether it says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether it says that what is stored is not what was written; it will not be at another time either.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::Truncated { .. } | Self::Record { .. })
    }

    /// Whether it is an I/O error of the disk, after which nothing may be assumed of what was written.
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Disk(e) if e.kind == DiskErrorKind::Io)
    }
}
