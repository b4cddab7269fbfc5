use std::fmt;
use std::time::Duration;

use weir_types::{Provider, limits};

use crate::OriginError;

/// What the origin threads need to know. `Default` has no origin, one thread and the limits of `weir-types`.
#[derive(Clone, Debug)]
pub struct OriginsConfig {
    /// The endpoints, in the order in which a bucket is looked for.
    pub origins: Vec<OriginConfig>,
    /// Whether a bucket's own endpoint (a bucket property) may be one that `origins` does not name. It is then asked
    /// with the credentials of the provider's first origin, or of the environment. Off, because whoever may set a
    /// property could otherwise make this node speak to any host it can reach.
    pub bucket_endpoints: bool,
    /// Threads, each with its own connections; 1 or 2 are enough for 10 GB/s of plain HTTP.
    pub threads: usize,
    /// Streams that run at once; further ones wait.
    pub streams_max: usize,
    /// Chunks buffered per stream.
    pub chunks_max: usize,
    /// Limit to connect, TLS included.
    pub connect_max: Duration,
    /// Limit from request to response head.
    pub head_max: Duration,
    /// Limit without a byte of body while there is room for it.
    pub stall_max: Duration,
}

impl Default for OriginsConfig {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            bucket_endpoints: false,
            threads: 1,
            streams_max: limits::ORIGIN_STREAMS_MAX,
            chunks_max: limits::ORIGIN_CHUNKS_MAX,
            connect_max: Duration::from_secs(limits::ORIGIN_CONNECT_SECONDS_MAX),
            head_max: Duration::from_secs(limits::ORIGIN_HEAD_SECONDS_MAX),
            stall_max: Duration::from_secs(limits::ORIGIN_STALL_SECONDS_MAX),
        }
    }
}

/// One S3-compatible endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginConfig {
    /// Provider of its buckets; `aws` is the one there is today.
    pub provider: Provider,
    /// URL: `http://host[:port]` or `https://host[:port]`, an optional path before the bucket.
    /// Empty: `https://s3.<region>.amazonaws.com`.
    pub endpoint: String,
    /// Region of signatures; empty means `us-east-1`.
    pub region: String,
    /// How requests are signed.
    pub credentials: Credentials,
    /// `endpoint/bucket/key` (true) or `bucket.endpoint/key`; `None`: host style at `*.amazonaws.com` only.
    pub path_style: Option<bool>,
    /// Whether a plain `http://` endpoint is allowed.
    pub http_allowed: bool,
}

impl OriginConfig {
    /// An S3 endpoint with the credentials of the environment and plain HTTP allowed.
    pub fn s3(endpoint: impl Into<String>) -> Self {
        Self {
            provider: Provider::Aws,
            endpoint: endpoint.into(),
            region: String::new(),
            credentials: Credentials::from_env(),
            path_style: None,
            http_allowed: true,
        }
    }

    /// The origin that AWS's usual variables describe (`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, `AWS_REGION`,
    /// `AWS_DEFAULT_REGION`, keys); `None` when no endpoint variable is set.
    pub fn from_env() -> Option<Self> {
        let endpoint = env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL"))?;
        let region = env("AWS_REGION").or_else(|| env("AWS_DEFAULT_REGION")).unwrap_or_default();
        Some(Self { region, ..Self::s3(endpoint) })
    }

    /// What cannot work is refused before anything starts.
    pub fn check(&self) -> Result<(), OriginError> {
        crate::endpoint::Endpoint::new(self).map(drop)
    }
}

/// How requests are signed.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    Anonymous,
    /// SigV4 with a fixed key.
    Key {
        /// Access key ID.
        id: String,
        /// Secret access key.
        secret: String,
        /// Session token of temporary credentials.
        session: Option<String>,
    },
}

impl Credentials {
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`; anonymous when the first two are unset.
    pub fn from_env() -> Self {
        match (env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(secret)) => Self::Key { id, secret, session: env("AWS_SESSION_TOKEN") },
            _ => Self::Anonymous,
        }
    }

    /// A fixed key; anonymous when `id` is empty.
    pub fn key(id: impl Into<String>, secret: impl Into<String>) -> Self {
        match id.into() {
            id if id.is_empty() => Self::Anonymous,
            id => Self::Key { id, secret: secret.into(), session: None },
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Key { id, .. } => f.debug_struct("Key").field("id", id).finish_non_exhaustive(),
        }
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}
