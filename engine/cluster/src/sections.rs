//! The sections that buckets have and the cluster's configuration gives defaults for, named, typed and
//! defaulted as in AIS (`cmn/config.go`, `cmn/api.go`, `cmn/feat/feat.go`), and the two that are Weir's own.
#![allow(
    missing_docs,
    reason = "fields are AIS's own settings, documented under their names in AIS's configuration"
)]

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_types::{Access, ChecksumKind};

use crate::ClusterError;
use crate::settings::{Leaf, Scalar, Settings, leaf_settings, section};
use crate::units::Size;

/// What an acknowledged write survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Durability {
    /// Power loss.
    #[default]
    Durable,
    /// The end of the process, not a power cut (AIS's only way).
    Relaxed,
}

/// How S3 ETags are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum EtagKind {
    /// MD5 of the content, as clients of plain PUT expect.
    #[default]
    Md5,
    /// From the checksum that is there anyway: unique, not an MD5.
    Fast,
}

/// When metadata or data is written (AIS `WritePolicy`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum WriteMode {
    #[default]
    Immediate,
    Delayed,
    Never,
}

/// When intra-cluster streams are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Compression {
    #[default]
    Never,
    Always,
}

/// Leaves that are one of a few words.
macro_rules! words {
    ($($ty:ty { $($word:literal = $value:path),* $(,)? })*) => {$(
        impl Leaf for $ty {
            fn scalar(&self) -> Option<Scalar> {
                Some(Scalar::Text(match self { $($value => $word,)* }.to_owned()))
            }
            fn parse(text: &str) -> Result<Self, String> {
                match text { $($word => Ok($value),)* _ => Err(concat!("one of", $(" ", $word),*).to_owned()) }
            }
        }
        leaf_settings!($ty);
    )*};
}
words! {
    Durability { "durable" = Durability::Durable, "relaxed" = Durability::Relaxed }
    EtagKind { "md5" = EtagKind::Md5, "fast" = EtagKind::Fast }
    WriteMode { "immediate" = WriteMode::Immediate, "delayed" = WriteMode::Delayed, "never" = WriteMode::Never }
    Compression { "never" = Compression::Never, "always" = Compression::Always }
}

impl Leaf for ChecksumKind {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(self.as_str().to_owned()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
            .filter(|kind| kind.is_bucket_kind())
            .ok_or_else(|| "one of none xxhash xxhash2 md5 crc32c sha256 sha512".into())
    }
}

/// A decimal text on the wire; also reads `ro`, `rw`, `su` and `0x..`.
impl Leaf for Access {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(self.0.to_string()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        let read = Self::GET | Self::HEAD_OBJECT | Self::HEAD_BUCKET | Self::LIST_OBJECTS;
        let number = match text {
            "ro" => Ok(read.0),
            "rw" => Ok((read | Self::PUT | Self::APPEND | Self::DELETE_OBJECT | Self::MOVE_OBJECT).0),
            "su" => Ok(Self::ALL.0),
            _ => match text.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16),
                None => text.parse(),
            },
        };
        number.map(Self).map_err(|_| "a decimal access mask, ro, rw or su".into())
    }
}

/// AIS's feature flags, as a mask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Features(pub u64);

/// The flags' names by bit.
const FEATURES: [&str; 28] = [
    "Enforce-IntraCluster-Access",
    "Skip-Loading-VersionChecksum-MD",
    "Do-not-Auto-Detect-FileShare",
    "S3-API-via-Root",
    "Fsync-PUT",
    "LZ4-Block-1MB",
    "LZ4-Frame-Checksum",
    "Do-not-Allow-Passing-FQN-to-ETL",
    "Ignore-LimitedCoexistence-Conflicts",
    "S3-Presigned-Request",
    "Do-not-Optimize-Listing-Virtual-Dirs",
    "Disable-Cold-GET",
    "Streaming-Cold-GET",
    "S3-Reverse-Proxy",
    "S3-Use-Path-Style",
    "Do-not-Delete-When-Rebalancing",
    "Do-not-Set-Control-Plane-ToS",
    "Trust-Crypto-Safe-Checksums",
    "S3-ListObjectVersions",
    "Enable-Detailed-Prom-Metrics",
    "Force-Container-CPU-Mem",
    "Resume-Interrupted-MPU",
    "Keep-Unknown-FQN",
    "Load-Balance-GET",
    "Count-Object-NotFound-Stats",
    "Enable-Go-Runtime-Metrics",
    "Dload-Allow-Private-Egress",
    "S3-Redirect-Rebuild",
];

impl Features {
    /// A cold GET is refused: only what is in the cluster is served.
    pub const DISABLE_COLD_GET: Self = Self(1 << 11);
    /// What a single bucket may have; other bits are the cluster's alone.
    pub const BUCKET: Self =
        Self(1 << 1 | 1 << 4 | 1 << 9 | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 18 | 1 << 21 | 1 << 24);

    /// Whether all bits of `flag` are set.
    pub fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }
}

/// A decimal text on the wire; also reads names joined by commas, and `none`.
impl Leaf for Features {
    fn scalar(&self) -> Option<Scalar> {
        Some(Scalar::Text(self.0.to_string()))
    }
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text == "none" {
            return Ok(Self::default());
        }
        if let Ok(mask) = text.parse() {
            return Ok(Self(mask));
        }
        let bit =
            |name: &str| FEATURES.iter().position(|f| f.eq_ignore_ascii_case(name.trim())).map(|n| 1 << n);
        let bits: Option<Vec<u64>> = text.split(',').map(bit).collect();
        bits.map(|bits| Self(bits.iter().fold(0, |a, b| a | b)))
            .ok_or_else(|| "a mask or names of features".into())
    }
}
leaf_settings!(ChecksumKind, Access);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

section!(
    /// Whole-object checksums.
    Checksums {
        kind as "type": ChecksumKind = ChecksumKind::XxHash2;
        validate_cold_get: bool = false;
        validate_warm_get: bool = false;
        validate_obj_move: bool = false;
        enable_read_range: bool = false;
    }
);
section!(
    /// Object versions.
    Versioning { enabled: bool = true; validate_warm_get: bool = false; synchronize: bool = false; }
);
section!(
    /// Copies of every object on the mountpaths of one target.
    Mirror { copies: i64 = 2; burst_buffer: i64 = 512; enabled: bool = false; }
);
section!(
    /// Erasure coding. `objsize_limit` -1 always replicates.
    Erasure {
        compression: Compression = Compression::Never;
        bundle_multiplier: i64 = 2;
        burst_buffer: i64 = 512;
        objsize_limit: i64 = 262_144;
        data_slices: i64 = 2;
        parity_slices: i64 = 2;
        enabled: bool = false;
        disk_only: bool = false;
    }
);
section!(
    /// Chunked storage of large objects.
    Chunks {
        objsize_limit: Size = Size(0);
        max_monolithic_size: Size = Size(1 << 40);
        chunk_size: Size = Size(1 << 30);
        checkpoint_every: Option<i64> = None;
        flags: Option<i64> = None;
    }
);
section!(
    /// Eviction of what the origin has.
    Lru {
        dont_evict_time: Duration = secs(7200);
        capacity_upd_time: Duration = secs(600);
        batch_size: i64 = 32_768;
        enabled: bool = false;
    }
);
section!(
    /// Pace towards an origin.
    BackendRate {
        interval: Duration = secs(60);
        max_tokens: i64 = 1000;
        enabled: bool = false;
        per_op_max_tokens: Option<String> = None;
        num_retries: i64 = 3;
    }
);
section!(
    /// Pace of clients.
    FrontendRate {
        interval: Duration = secs(60);
        max_tokens: i64 = 1000;
        enabled: bool = false;
        per_op_max_tokens: Option<String> = None;
        burst_size: i64 = 375;
    }
);
section!(
    /// Request rates.
    RateLimit { backend: BackendRate = Default::default(); frontend: FrontendRate = Default::default(); }
);
section!(
    /// When data and metadata are written.
    WritePolicy { data: WriteMode = WriteMode::Immediate; md: WriteMode = WriteMode::Immediate; }
);
section!(
    /// An S3 origin's particulars.
    ExtraAws {
        cloud_region: Option<String> = None;
        endpoint: Option<String> = None;
        profile: Option<String> = None;
        max_pagesize: Option<i64> = None;
        multipart_size: Option<Size> = None;
    }
);
section!(
    /// A GCS origin's particulars.
    ExtraGcp { application_creds: Option<String> = None; }
);
section!(
    /// An OCI origin's particulars.
    ExtraOci { region: Option<String> = None; }
);
section!(
    /// Particulars by provider, and a text of the user's own.
    Extra {
        aws: ExtraAws = Default::default();
        gcp: ExtraGcp = Default::default();
        oci: ExtraOci = Default::default();
        custom: Option<String> = None;
    }
);

section!(
    /// A namespace by its two names.
    NamespaceNames {
        /// UUID or alias of another cluster.
        uuid: String = String::new();
        /// Name within it.
        name: String = String::new();
    }
);
section!(
    /// The bucket behind an `ais://` bucket, by its names; all empty means none.
    BackendNames {
        /// Name.
        name: String = String::new();
        /// Provider.
        provider: String = String::new();
        /// Namespace.
        namespace: NamespaceNames = Default::default();
    }
);

/// A check of one section: `ok` must hold.
pub(crate) fn expect(ok: bool, what: impl FnOnce() -> String) -> Result<(), ClusterError> {
    if ok { Ok(()) } else { Err(ClusterError::Conflict { what: what() }) }
}

impl Mirror {
    pub(crate) fn validate(&self) -> Result<(), ClusterError> {
        expect((2..=32).contains(&self.copies), || {
            format!("mirror.copies: expected 2 to 32, got {}", self.copies)
        })?;
        expect(self.burst_buffer > 0, || {
            format!("mirror.burst_buffer: expected > 0, got {}", self.burst_buffer)
        })
    }
}

impl Erasure {
    /// Targets that full encoding needs: every slice and the object itself on its own.
    pub fn targets_needed(&self) -> usize {
        let slices =
            if self.objsize_limit < 0 { self.parity_slices } else { self.data_slices + self.parity_slices };
        usize::try_from(slices.saturating_add(1)).unwrap_or(1)
    }

    pub(crate) fn validate(&self) -> Result<(), ClusterError> {
        let slices = 1..=32;
        expect(self.objsize_limit >= -1, || {
            format!("ec.objsize_limit: expected >= -1, got {}", self.objsize_limit)
        })?;
        expect(slices.contains(&self.data_slices), || {
            format!("ec.data_slices: expected 1 to 32, got {}", self.data_slices)
        })?;
        expect(slices.contains(&self.parity_slices), || {
            format!("ec.parity_slices: expected 1 to 32, got {}", self.parity_slices)
        })
    }
}

impl Chunks {
    pub(crate) fn validate(&self) -> Result<(), ClusterError> {
        let whole = Size(1 << 30)..=Size(1 << 40);
        let chunk = Size(1 << 10)..=Size(5 << 30);
        expect(whole.contains(&self.max_monolithic_size), || {
            format!("chunks.max_monolithic_size: expected 1GiB to 1TiB, got {}", self.max_monolithic_size)
        })?;
        expect(self.objsize_limit <= self.max_monolithic_size, || {
            format!("chunks.objsize_limit: expected at most max_monolithic_size, got {}", self.objsize_limit)
        })?;
        expect(chunk.contains(&self.chunk_size), || {
            format!("chunks.chunk_size: expected 1KiB to 5GiB, got {}", self.chunk_size)
        })
    }
}

impl RateLimit {
    pub(crate) fn validate(&self) -> Result<(), ClusterError> {
        let (b, f) = (&self.backend, &self.frontend);
        expect(b.max_tokens > 0 && f.max_tokens > 0, || "rate_limit: expected max_tokens > 0".into())?;
        expect(!b.interval.is_zero() && !f.interval.is_zero(), || {
            "rate_limit: expected interval > 0".into()
        })?;
        expect((1..=f.max_tokens).contains(&f.burst_size), || {
            format!("rate_limit.frontend.burst_size: expected 1 to max_tokens, got {}", f.burst_size)
        })
    }
}
