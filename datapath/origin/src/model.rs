use std::sync::Arc;
use std::time::SystemTime;

use weir_types::{Bucket, BucketName, Checksum, ObjectName, Provider};

/// Name of a bucket at the origin.
pub type RemoteBucketName = BucketName;

/// A bucket at an origin: what every call names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteBucket {
    /// Which kind of origin holds it.
    pub provider: Provider,
    /// Its name there.
    pub name: RemoteBucketName,
    /// The bucket's own endpoint (bucket property): one of the configured ones, or any where the configuration allows
    /// it. `None`: the first configured origin of the provider that has the bucket.
    pub endpoint: Option<Arc<str>>,
    /// The bucket's own region (bucket property). `None`: the endpoint's.
    pub region: Option<Arc<str>>,
}

impl RemoteBucket {
    /// The bucket under its own name, at whichever configured origin has it.
    pub fn of(bucket: &Bucket) -> Self {
        Self { provider: bucket.provider, name: bucket.name.clone(), endpoint: None, region: None }
    }

    /// The same bucket at one endpoint; an empty text means any.
    pub fn at(self, endpoint: &str) -> Self {
        Self { endpoint: (!endpoint.is_empty()).then(|| endpoint.into()), ..self }
    }

    /// The same bucket in one region; an empty text means the endpoint's.
    pub fn in_region(self, region: &str) -> Self {
        Self { region: (!region.is_empty()).then(|| region.into()), ..self }
    }

    /// The canonical form, `s3://bucket`.
    pub fn canonical(&self) -> String {
        format!("{}://{}", self.provider.scheme(), self.name)
    }
}

/// A bucket as an origin lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginBucket {
    /// Provider of the origin.
    pub provider: Provider,
    /// Its name.
    pub name: RemoteBucketName,
    /// URL of the endpoint that has it.
    pub endpoint: String,
    /// Region of the endpoint.
    pub region: String,
    /// When it was created, where the origin says so.
    pub created: Option<SystemTime>,
}

/// Facts about one version of one object, from HEAD or from the head of a GET.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OriginObject {
    /// Whole size in bytes, also when a range was asked.
    pub size: u64,
    /// ETag without its quotes; a weak one keeps its `W/` and quotes.
    pub etag: Option<String>,
    /// Version ID, where the bucket has versions (`null` counts as none).
    pub version: Option<String>,
    /// Last-Modified, to the second.
    pub last_modified: Option<SystemTime>,
    /// Content headers that belong to the object.
    pub content: ContentHeaders,
    /// `x-amz-meta-*`: names in lower case without the prefix, in the origin's order.
    pub user: Vec<(String, String)>,
    /// The whole object's checksum as the origin keeps it; none for composite (per part) ones.
    pub checksum: Option<Checksum>,
}

/// Content headers that belong to an object.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ContentHeaders {
    /// Content-Type.
    pub content_type: Option<String>,
    /// Cache-Control.
    pub cache_control: Option<String>,
    /// Content-Disposition.
    pub disposition: Option<String>,
    /// Content-Encoding.
    pub encoding: Option<String>,
    /// Content-Language.
    pub language: Option<String>,
    /// Expires.
    pub expires: Option<String>,
}

/// Which part of a bucket to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// Only names that begin so.
    pub prefix: String,
    /// Only names (and common prefixes) greater than this, in byte order. Ignored with `continuation`.
    pub start_after: String,
    /// Roll names up to the next delimiter after the prefix; `Some("/")` as a rule.
    pub delimiter: Option<String>,
    /// Entries and common prefixes together; 1 to 1000, more counts as 1000.
    pub limit: usize,
    /// [`ListPage::continuation`] of the page before: cheaper for the origin than `start_after`.
    pub continuation: Option<String>,
}

/// One page of a listing, in the byte order of whole names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Objects.
    pub entries: Vec<ListEntry>,
    /// Common prefixes, delimiter included.
    pub common_prefixes: Vec<String>,
    /// Whether names follow.
    pub more: bool,
    /// The origin's token of the next page when `more`.
    pub continuation: Option<String>,
    /// Keys left out because no [`ObjectName`] can hold them.
    pub refused: usize,
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListEntry {
    /// Name.
    pub name: ObjectName,
    /// Size in bytes.
    pub size: u64,
    /// ETag without its quotes.
    pub etag: Option<String>,
    /// Last-Modified.
    pub last_modified: Option<SystemTime>,
}

/// What the origin threads did since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OriginStats {
    /// Requests sent, retries and resumptions included.
    pub requests: u64,
    /// Requests that failed (not: that were answered by an absence).
    pub failures: u64,
    /// Requests tried again after a passing failure.
    pub retries: u64,
    /// Streams taken up again where they broke.
    pub resumes: u64,
    /// Body bytes of objects delivered.
    pub bytes: u64,
    /// Streams open now.
    pub streams: u64,
}
