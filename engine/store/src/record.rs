//! The metadata record of one object: the value of the attribute `user.weir`.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{Checksum, ChecksumKind, CustomMeta, ObjectName, Provider};

mod decode;
mod encode;

/// The format that this code writes; it refuses to read a later one.
pub const FORMAT_VERSION: u16 = 1;
/// Name of the attribute that holds the record.
pub(crate) const RECORD_XATTR: &str = "user.weir";
/// Largest record: what the smallest of the supported file systems (ext4, 4 KiB blocks) holds in one attribute.
pub(crate) const RECORD_BYTES_MAX: usize = 3900;
/// Bytes before the flatbuffer: `W` `R`, format version, crc32c of the rest.
const ENVELOPE_BYTES: usize = 8;
/// Runs of equal part sizes kept in the record; more go beside the object.
pub(crate) const PART_RUNS_INLINE_MAX: usize = 16;

/// Place of a change in the order of all changes: of two holders of a name the greater wins, everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct CommitId {
    /// Version of the cluster map under which it was made.
    pub map_version: u64,
    /// Number within the mountpath: start epoch in the high 24 bits, a counter in the low 40.
    pub sequence: u64,
}

/// 32 hex digits: also the name of the file that lies beside the object.
impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.map_version, self.sequence)
    }
}

impl CommitId {
    /// Reads its 32 hex digits.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|t| t.len() == 32 && t.is_ascii())?;
        let (map, sequence) = text.split_at(16);
        let number = |s| u64::from_str_radix(s, 16).ok();
        Some(Self { map_version: number(map)?, sequence: number(sequence)? })
    }
}

/// The kernel's boot ID: which life of the host wrote something that was never synced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BootId(pub [u8; 16]);

/// An S3 ETag, without quotes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Etag {
    /// MD5 of the content.
    Md5([u8; 16]),
    /// MD5 of the parts' MD5s, and the number of parts.
    Multipart([u8; 16], u32),
    /// The sequence of the commit that brought the content: what `etag = fast` and the AIS API give.
    Commit(u64),
    /// As it came from elsewhere.
    Text(String),
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(md5) => f.write_str(&hex::encode(md5)),
            Self::Multipart(md5, parts) => write!(f, "{}-{parts}", hex::encode(md5)),
            // 16 digits and a dash: no client takes it for an MD5.
            Self::Commit(sequence) => write!(f, "{sequence:016x}-1"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Headers that a GET gives back as the PUT stated them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ContentHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`, without `aws-chunked`.
    pub encoding: Option<String>,
    /// `Content-Disposition`.
    pub disposition: Option<String>,
    /// `Content-Language`.
    pub language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, verbatim.
    pub expires: Option<String>,
}

/// What the object is at its origin.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RemoteIdentity {
    /// Whose it is.
    pub provider: Provider,
    /// ETag there, without quotes.
    pub etag: Option<String>,
    /// Version there.
    pub version: Option<String>,
    /// Last change there, nanoseconds since 1970.
    pub modified_ns: Option<u64>,
}

/// A run of the object's bytes in some file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// File beside the object, relative to its bucket's directory; empty: the object's own file.
    pub file: String,
    /// First byte in that file.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// Block checksums (crc32c) of the object, or where they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Blocks {
    /// In the record.
    Inline {
        /// Size of a block in bytes: a power of two, 4 KiB to 256 KiB.
        block_bytes: u32,
        /// One for each block.
        sums: Vec<u32>,
    },
    /// In the file `%ck/<commit id>` of the bucket.
    Beside {
        /// Size of a block in bytes.
        block_bytes: u32,
        /// Its name: the commit that brought the content.
        file: CommitId,
    },
}

impl Blocks {
    /// Size of a block in bytes.
    pub fn block_bytes(&self) -> u32 {
        match self {
            Self::Inline { block_bytes, .. } | Self::Beside { block_bytes, .. } => *block_bytes,
        }
    }
}

/// Metadata of one object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The true name, when the file's path does not show it.
    pub name: Option<ObjectName>,
    /// Size of the object in bytes.
    pub size: u64,
    /// Whole-object checksums; the first is the bucket's kind (none: the bucket keeps none).
    pub checksums: Vec<Checksum>,
    /// Version of an object whose data of record is here: 1, 2, ...
    pub version: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: u64,
    /// First version's time, nanoseconds since 1970.
    pub created_ns: u64,
    /// Custom metadata.
    pub custom: CustomMeta,
    /// Content headers.
    pub content: ContentHeaders,
    /// ETag; always set by a commit.
    pub etag: Option<Etag>,
    /// Identity at the origin, for a copy of a remote object.
    pub remote: Option<RemoteIdentity>,
    /// Copies on this node, this one included.
    pub copies: u8,
    /// Which change made this state.
    pub commit: CommitId,
    /// Where the bytes are; empty: all of them in the object's own file.
    pub spans: Vec<Span>,
    /// Block checksums.
    pub blocks: Blocks,
    /// Sizes of multipart parts as runs (count, bytes); empty: not a multipart object, or `parts_beside`.
    pub part_runs: Vec<(u32, u64)>,
    /// The part sizes are in the file beside the object.
    pub parts_beside: bool,
    /// ID of the multipart upload that made the object.
    pub upload: Option<String>,
    /// Set on a relaxed object: the boot under which it was written, never synced.
    pub boot: Option<BootId>,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It does not begin as one.
    #[error("not a metadata record")]
    NotARecord,
    /// Of a format that this program does not know.
    #[error("record format {got}: expected at most {FORMAT_VERSION}")]
    Format {
        /// Its format version.
        got: u16,
    },
    /// Damaged.
    #[error("record damaged: expected crc32c {expected:08x}, got {got:08x}")]
    Checksum {
        /// Recorded.
        expected: u32,
        /// Computed.
        got: u32,
    },
    /// A field is out of bounds or makes no sense.
    #[error("record field {field} is malformed")]
    Malformed {
        /// Which.
        field: &'static str,
    },
    /// Well-formed, but of a kind this version cannot serve.
    #[error("record needs {what}, which this version does not serve")]
    Unsupported {
        /// What.
        what: &'static str,
    },
}

impl Default for Record {
    fn default() -> Self {
        Self {
            name: None,
            size: 0,
            checksums: Vec::new(),
            version: 0,
            modified_ns: 0,
            created_ns: 0,
            custom: CustomMeta::default(),
            content: ContentHeaders::default(),
            etag: None,
            remote: None,
            copies: 1,
            commit: CommitId::default(),
            spans: Vec::new(),
            blocks: Blocks::Inline { block_bytes: crate::blocks::BLOCK_BYTES_MIN, sums: Vec::new() },
            part_runs: Vec::new(),
            parts_beside: false,
            upload: None,
            boot: None,
        }
    }
}

impl Record {
    /// The bytes of the attribute.
    pub fn encode(&self) -> Vec<u8> {
        encode::encode(self)
    }

    /// Reads what [`encode`](Self::encode) wrote; any other bytes give an error, never a panic.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        decode::decode(bytes)
    }

    /// The bucket's checksum, or `none`.
    pub fn checksum(&self) -> Checksum {
        self.checksums.first().cloned().unwrap_or(Checksum::NONE)
    }

    /// The checksum of `kind`, if it is kept.
    pub fn checksum_of(&self, kind: ChecksumKind) -> Option<&Checksum> {
        self.checksums.iter().find(|c| c.kind == kind)
    }

    /// ETag without quotes: the origin's for a copy of a remote object, else the object's own.
    pub fn etag_text(&self) -> String {
        let remote = self.remote.as_ref().and_then(|r| r.etag.clone());
        remote.or_else(|| self.etag.as_ref().map(ToString::to_string)).unwrap_or_default()
    }

    /// Version as clients see it: the origin's for a copy of a remote object, else the number.
    pub fn version_text(&self) -> String {
        match &self.remote {
            Some(remote) => remote.version.clone().unwrap_or_default(),
            None => self.version.to_string(),
        }
    }

    /// Last change as clients see it: the origin's for a copy of a remote object.
    pub fn last_modified_ns(&self) -> u64 {
        self.remote.as_ref().and_then(|r| r.modified_ns).unwrap_or(self.modified_ns)
    }

    /// Number of the parts whose sizes are in the record.
    pub fn part_count(&self) -> u32 {
        self.part_runs.iter().fold(0, |n, (count, _)| n.saturating_add(*count))
    }
}

/// Part sizes as runs of (count, bytes).
pub(crate) fn runs_of(parts: &[u64]) -> Vec<(u32, u64)> {
    let mut runs: Vec<(u32, u64)> = Vec::new();
    for size in parts {
        match runs.last_mut() {
            Some((count, bytes)) if bytes == size => *count += 1,
            _ => runs.push((1, *size)),
        }
    }
    runs
}
