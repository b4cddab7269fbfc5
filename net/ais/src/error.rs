use weir_cluster::ClusterError;
use weir_http::HttpError;
use weir_types::{Bucket, BucketNameError, CustomMetaError, ObjectName, ObjectNameError, RangeError};

/// Something AIS does and Weir does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What was asked for: a verb.
    pub action: String,
    /// Of what.
    pub what: String,
}

impl Unsupported {
    /// `action` cannot be done to `what`.
    pub fn new(action: impl Into<String>, what: impl Into<String>) -> Self {
        Self { action: action.into(), what: what.into() }
    }
}

/// An object as messages name it: `ais://bucket/object`. The Python SDK reads it out of errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cname(String);

impl Cname {
    /// The name of `object` in `bucket`.
    pub fn new(bucket: &Bucket, object: &ObjectName) -> Self {
        Self(format!("{bucket}/{object}"))
    }
}

impl std::fmt::Display for Cname {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every way an AIS request fails. The Python SDK reads bucket and object URLs out of these texts: a missing bucket
/// must show `provider://bucket` not followed by a slash, a missing object `provider://bucket/object`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AisError {
    /// The request makes no sense; the text says why.
    #[error("{0}")]
    Bad(String),
    /// A path or query that is malformed.
    #[error("{0}")]
    Http(#[from] HttpError),
    /// A bucket name that is none.
    #[error(transparent)]
    BucketName(#[from] BucketNameError),
    /// An object name that is none.
    #[error(transparent)]
    ObjectName(#[from] ObjectNameError),
    /// Custom metadata that is refused.
    #[error(transparent)]
    Custom(#[from] CustomMetaError),
    /// No such provider.
    #[error("invalid backend provider {got:?}: must be one of [ais aws gcp azure oci]")]
    Provider {
        /// What came.
        got: String,
    },
    /// This path is not served with this method.
    #[error("invalid method '{method}', expecting [{allow}]")]
    Method {
        /// What came.
        method: &'static str,
        /// What is served, joined by `, `.
        allow: &'static str,
    },
    /// No such path.
    #[error("invalid URL path {path:?}")]
    Path {
        /// What came.
        path: String,
    },
    /// The action message names no action that exists here.
    #[error("invalid action {action:?} ({what})")]
    Action {
        /// What came.
        action: String,
        /// Where.
        what: &'static str,
    },
    /// What the cluster's state refuses.
    #[error("{}", cluster_text(.0))]
    Cluster(#[from] ClusterError),
    /// The object is not there.
    #[error("{node}: {object} does not exist")]
    ObjectNotFound {
        /// The target that looked, as `t[ID]`.
        node: String,
        /// The object.
        object: Cname,
    },
    /// The object to delete is not there.
    #[error("{object} doesn't exist")]
    DeleteNotFound {
        /// The object.
        object: Cname,
    },
    /// The object was there and its origin no longer has it.
    #[error("{object} was removed remotely")]
    RemoteGone {
        /// The object.
        object: Cname,
    },
    /// The object and its origin's differ.
    #[error("metadata mismatch: {object} differs from its remote version")]
    RemoteMismatch {
        /// The object.
        object: Cname,
    },
    /// No such job.
    #[error("xaction {0} not found")]
    JobNotFound(String),
    /// No such multipart upload.
    #[error("multipart upload {id:?} of {object} does not exist")]
    UploadNotFound {
        /// The upload ID that came.
        id: String,
        /// The object.
        object: Cname,
    },
    /// No node has this ID.
    #[error("node {0:?} does not exist")]
    NodeNotFound(String),
    /// Not built.
    #[error("cannot {} {} - operation not supported", .0.action, .0.what)]
    Unsupported(Unsupported),
    /// ETL, which AIS has in Kubernetes alone.
    #[error("the operation requires Kubernetes")]
    KubernetesRequired,
    /// Something else holds what this needs.
    #[error("{what} is currently busy, please try again")]
    Busy {
        /// What is held.
        what: String,
    },
    /// For remote buckets only.
    #[error("{action}: expecting remote bucket (have {bucket})")]
    NotRemote {
        /// What was asked for.
        action: &'static str,
        /// The bucket that came.
        bucket: Bucket,
    },
    /// No room.
    #[error("out of space: {0}")]
    NoSpace(String),
    /// The range cannot be served.
    #[error("{object}: {error}")]
    Range {
        /// The object.
        object: Cname,
        /// What is wrong with it.
        error: RangeError,
        /// Bytes of the object.
        size: u64,
    },
    /// The content differs from the checksum that came with it.
    #[error("{object} checksum: expected [{expected}], actual [{actual}]")]
    Checksum {
        /// The object.
        object: Cname,
        /// Kind and value that came.
        expected: String,
        /// Kind and value of the content.
        actual: String,
    },
    /// Too many requests.
    #[error("rate limit exceeded: {what}, retry in {retry_s} s")]
    TooMany {
        /// Of what.
        what: String,
        /// Seconds to wait.
        retry_s: u32,
    },
    /// Not now.
    #[error("{what}")]
    Unavailable {
        /// Why.
        what: String,
        /// Seconds to wait.
        retry_s: u32,
    },
    /// A change came to a target that no gateway sent.
    #[error("{node}: {method}(obj) is expected to be redirected")]
    NotRedirected {
        /// The target, as `t[ID]`.
        node: String,
        /// The method.
        method: &'static str,
    },
    /// No credential, or one that is not accepted.
    #[error("{0}")]
    Unauthorized(String),
    /// A credential that does not allow this.
    #[error("{0}")]
    Forbidden(String),
    /// The bucket's access mask does not allow this.
    #[error("bucket {bucket}: {action} access denied")]
    AccessDenied {
        /// The bucket.
        bucket: Bucket,
        /// What was asked for.
        action: &'static str,
    },
    /// The body is longer than this request may have.
    #[error("request body has {got} bytes: expected at most {max}")]
    TooLarge {
        /// Bytes that came or were announced.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// The body ended early.
    #[error("request body ended after {got} of {expected} bytes")]
    Truncated {
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        expected: u64,
    },
    /// The origin failed.
    #[error("{0}")]
    Origin(String),
    /// Our own fault: a disk error, for one.
    #[error("{0}")]
    Internal(String),
}

impl From<Unsupported> for AisError {
    fn from(what: Unsupported) -> Self {
        Self::Unsupported(what)
    }
}

/// AIS says of a missing bucket of another provider that it is remote.
fn cluster_text(error: &ClusterError) -> String {
    match error {
        ClusterError::BucketNotFound(b) if b.provider.is_remote() || !b.namespace.uuid.is_empty() => {
            format!("remote bucket \"{b}\" does not exist")
        }
        other => other.to_string(),
    }
}
