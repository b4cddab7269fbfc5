//! Which HTTP status, AIS type name and waiting time an error is answered with. No other file maps errors.

use weir_cluster::ClusterError;

use crate::AisError;

impl AisError {
    /// The HTTP status. 500 is for our own faults alone: clients retry it, and a user's mistake would cost minutes.
    pub fn status(&self) -> u16 {
        match self {
            Self::Http(e) => e.status(),
            Self::Cluster(e) => match e {
                ClusterError::BucketExists(_) => 409,
                ClusterError::BucketNotFound(_) => 404,
                ClusterError::TooManyBuckets { .. } => 507,
                ClusterError::BucketBeingRemoved(_) => 503,
                ClusterError::Id { .. }
                | ClusterError::UnknownKey { .. }
                | ClusterError::BadValue { .. }
                | ClusterError::Conflict { .. }
                | ClusterError::NotEnoughTargets { .. }
                | ClusterError::AmbiguousBucket { .. }
                | ClusterError::ReservedName { .. } => 400,
            },
            Self::Unauthorized(_) => 401,
            Self::Forbidden(_) | Self::AccessDenied { .. } => 403,
            Self::ObjectNotFound { .. }
            | Self::DeleteNotFound { .. }
            | Self::JobNotFound(_)
            | Self::UploadNotFound { .. }
            | Self::NodeNotFound(_) => 404,
            Self::Method { .. } => 405,
            Self::Busy { .. } | Self::RemoteMismatch { .. } => 409,
            Self::RemoteGone { .. } => 410,
            Self::TooLarge { .. } => 413,
            Self::Range { .. } => 416,
            Self::TooMany { .. } => 429,
            Self::Internal(_) => 500,
            Self::Unsupported(_) => 501,
            Self::Origin(_) => 502,
            Self::Unavailable { .. } => 503,
            Self::NoSpace(_) => 507,
            Self::Bad(_)
            | Self::BucketName(_)
            | Self::ObjectName(_)
            | Self::Custom(_)
            | Self::Provider { .. }
            | Self::Path { .. }
            | Self::Action { .. }
            | Self::KubernetesRequired
            | Self::NotRemote { .. }
            | Self::Checksum { .. }
            | Self::NotRedirected { .. }
            | Self::Truncated { .. } => 400,
        }
    }

    /// The name of AIS's error type; empty where AIS has none.
    pub fn tcode(&self) -> &'static str {
        match self {
            Self::Cluster(ClusterError::BucketExists(_)) => "ErrBucketAlreadyExists",
            Self::Cluster(ClusterError::BucketNotFound(b))
                if b.provider.is_remote() || !b.namespace.uuid.is_empty() =>
            {
                "ErrRemoteBckNotFound"
            }
            Self::Cluster(ClusterError::BucketNotFound(_)) => "ErrBckNotFound",
            Self::Cluster(ClusterError::NotEnoughTargets { .. }) => "ErrNotEnoughTargets",
            Self::ObjectNotFound { .. } | Self::UploadNotFound { .. } | Self::NodeNotFound(_) => {
                "ErrNotFound"
            }
            Self::JobNotFound(_) => "ErrXactNotFound",
            Self::RemoteMismatch { .. } => "ErrRemoteMetadataMismatch",
            Self::Unsupported(_) => "ErrUnsupp",
            Self::Busy { .. } => "ErrBusy",
            Self::NoSpace(_) => "ErrCapExceeded",
            Self::Range { .. } => "ErrRangeNotSatisfiable",
            Self::TooMany { .. } => "ErrRateLimitFrontend",
            Self::AccessDenied { .. } => "ErrBucketAccessDenied",
            Self::Checksum { .. } => "ErrDataCksum",
            Self::Provider { .. } => "ErrInvalidBackendProvider",
            _ => "",
        }
    }

    /// Seconds for `Retry-After`: with 429 and 503.
    pub fn retry_after_s(&self) -> Option<u32> {
        match self {
            Self::TooMany { retry_s, .. } | Self::Unavailable { retry_s, .. } => Some(*retry_s),
            _ => None,
        }
    }

    /// The value of `Allow`: with 405.
    pub fn allow(&self) -> Option<&'static str> {
        match self {
            Self::Method { allow, .. } => Some(allow),
            _ => None,
        }
    }

    /// The value of `Content-Range`: with 416.
    pub fn content_range(&self) -> Option<String> {
        match self {
            Self::Range { size, .. } => Some(format!("bytes */{size}")),
            _ => None,
        }
    }
}
