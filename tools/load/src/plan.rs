//! What one run does, checked before anything starts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use weir_types::limits::{
    LOAD_CONNECTIONS_MAX, LOAD_ENDPOINTS_MAX, LOAD_SECONDS_MAX, LOAD_THREADS_MAX, OBJECT_NAME_BYTES_MAX,
};
use weir_types::{BucketName, ObjectName, Provider};

use crate::endpoint::Endpoint;
use crate::error::LoadError;
use crate::names::{NAMES_MAX, Order, push_name};
use crate::sign::AccessKey;
use crate::size::Sizes;

/// What requests do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    /// Read whole objects.
    Get,
    /// Store objects.
    Put,
    /// Store with that share of the requests, 0 to 1, read with the others.
    Mixed(f64),
    /// Read so many bytes from anywhere in an object.
    Range(u64),
    /// List a page of the names after any.
    List,
}

impl Mode {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
            Self::Mixed(_) => "mixed",
            Self::Range(_) => "range",
            Self::List => "list",
        }
    }
}

/// How servers are spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Api {
    /// The AIS API: /v1/objects/BUCKET/NAME, redirects followed.
    Ais,
    /// S3, path style.
    S3,
    /// Plain HTTP: ENDPOINT/NAME.
    Http,
}

impl Api {
    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ais => "ais",
            Self::S3 => "s3",
            Self::Http => "http",
        }
    }
}

/// A bucket as a loader names it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BucketArg {
    /// For the AIS API alone.
    pub provider: String,
    /// Its name; empty where the API has no buckets.
    pub name: String,
}

impl FromStr for BucketArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (scheme, name) = text.split_once("://").unwrap_or(("ais", text));
        let provider = Provider::parse(scheme).filter(|_| !scheme.is_empty());
        let provider = provider
            .ok_or_else(|| format!("a bucket: expected NAME, ais://NAME or s3://NAME, got {text:?}"))?;
        BucketName::new(name).map_err(|e| e.to_string())?;
        Ok(Self { provider: provider.as_str().to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for BucketArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What requests do.
    pub mode: Mode,
    /// How servers are spoken to.
    pub api: Api,
    /// Servers; an object's name says which of them keeps it.
    pub endpoints: Vec<Endpoint>,
    /// The bucket; unused by plain HTTP.
    pub bucket: BucketArg,
    /// Lengths of objects; where it is not given, answers of any length are taken.
    pub sizes: Option<Sizes>,
    /// Connections, all threads together.
    pub connections: usize,
    /// Threads.
    pub threads: usize,
    /// CPUs that the threads are pinned to, in turn; empty: none is.
    pub cpus: Vec<usize>,
    /// Requests per second, all threads together, sent whether earlier ones are answered or not; `None`: each connection
    /// sends when it has its answer.
    pub rate: Option<f64>,
    /// Bytes of an answer's content that a connection takes in a second at most.
    pub stream_rate: Option<u64>,
    /// Time before the measurement.
    pub warmup: Duration,
    /// Time of the measurement, where the number of requests does not say it.
    pub duration: Duration,
    /// Requests of the measurement.
    pub operations: Option<u64>,
    /// Objects written before the measurement.
    pub prefill: Option<u64>,
    /// Objects of the working set.
    pub names: u64,
    /// What names begin with.
    pub prefix: String,
    /// The names themselves, where they are not a prefix and a number each.
    pub listed: Option<Arc<[ObjectName]>>,
    /// The order of names.
    pub order: Order,
    /// Of names' order, sizes and content.
    pub seed: u64,
    /// Content that comes is compared byte for byte.
    pub verify: bool,
    /// Compressibility of content.
    pub compressible: f64,
    /// Time for one request.
    pub timeout: Duration,
    /// Names of one listing page.
    pub page: u64,
    /// Bearer token.
    pub token: Option<String>,
    /// Key that signs S3 requests.
    pub access_key: Option<AccessKey>,
    /// Gateway whose mark AIS requests carry, so that targets take writes directly.
    pub gateway: Option<String>,
    /// Processes whose CPU time is taken.
    pub server_pids: Vec<i32>,
}

impl Plan {
    /// Refuses what cannot work.
    pub fn checked(self) -> Result<Self, LoadError> {
        let usage = |text: String| Err(LoadError::Usage(text));
        let bounded = [
            ("--connections", self.connections as u64, LOAD_CONNECTIONS_MAX as u64),
            ("--threads", self.threads as u64, LOAD_THREADS_MAX as u64),
            ("--names", self.names, NAMES_MAX),
            ("--endpoint", self.endpoints.len() as u64, LOAD_ENDPOINTS_MAX as u64),
            ("--duration in seconds", self.duration.as_secs().max(1), LOAD_SECONDS_MAX),
            ("--warmup in seconds", self.warmup.as_secs() + 1, LOAD_SECONDS_MAX),
        ];
        for (flag, got, max) in bounded {
            if got == 0 || got > max {
                return usage(format!("{flag}: expected 1 to {max}, got {got}"));
            }
        }
        if self.threads > self.connections {
            return usage(format!(
                "--threads {}: expected at most one per connection ({})",
                self.threads, self.connections
            ));
        }
        if self.rate.is_some_and(|r| !(r.is_finite() && r > 0.0 && r <= 1e8)) {
            return usage("--rate: expected requests per second above 0".into());
        }
        if self.stream_rate == Some(0) {
            return usage("--stream-rate: expected bytes per second above 0".into());
        }
        if self.api != Api::Http && self.bucket.name.is_empty() {
            return usage(format!("--api {} needs --bucket", self.api.name()));
        }
        if self.api == Api::Http && self.mode == Mode::List {
            return usage("plain HTTP has no listings: use --api ais or s3".into());
        }
        if self.api != Api::Ais && self.gateway.is_some() {
            return usage("--direct is the AIS API's".into());
        }
        let writes = matches!(self.mode, Mode::Put | Mode::Mixed(_)) || self.prefill.is_some();
        if (writes || self.verify || matches!(self.mode, Mode::Range(_))) && self.sizes.is_none() {
            return usage("--size is needed to write, to verify and to read ranges".into());
        }
        if self.verify && self.mode == Mode::List {
            return usage("--verify: a listing has no content to verify".into());
        }
        if self.prefix.len() + 12 > OBJECT_NAME_BYTES_MAX {
            return usage(format!("--name-prefix: expected at most {} bytes", OBJECT_NAME_BYTES_MAX - 12));
        }
        Ok(self)
    }

    /// What all names begin with.
    pub(crate) fn name_prefix(&self) -> &str {
        if self.listed.is_some() { "" } else { &self.prefix }
    }

    /// Appends the name of object `number`.
    pub(crate) fn push_name(&self, out: &mut Vec<u8>, number: u64) {
        match self.listed_name(number) {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => push_name(out, self.prefix.as_bytes(), number),
        }
    }

    /// The name of object `number`, where it is not made of prefix and number.
    pub(crate) fn listed_name(&self, number: u64) -> Option<&str> {
        let listed = self.listed.as_ref()?;
        listed.get(usize::try_from(number).ok()?).map(ObjectName::as_str)
    }

    /// The run that writes the first `names` objects of this one's set, before it.
    pub(crate) fn fill(&self, names: u64) -> Self {
        Self {
            mode: Mode::Put,
            rate: None,
            stream_rate: None,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(LOAD_SECONDS_MAX),
            operations: Some(names),
            prefill: None,
            names,
            order: Order::Sequential,
            server_pids: Vec::new(),
            ..self.clone()
        }
    }
}
