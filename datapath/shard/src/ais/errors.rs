//! Failures in the words of AIS. No other file of the shard maps them.

use weir_ais::{AisError, Cname, Unsupported};
use weir_auth::Denied;
use weir_origin::OriginError;
use weir_store::{FlightError, StoreError};
use weir_types::{Bucket, ObjectName, RangeError};

use crate::body::BodyError;
use crate::fail::Failure;
use crate::place::PlaceError;

/// A refusal in the words of AIS.
pub(crate) type Refusal = crate::refusal::Refusal<AisError>;

impl From<AisError> for Refusal {
    fn from(error: AisError) -> Self {
        Self::Answer(error, false)
    }
}

/// Failures that name no object; those that do go through [`about`].
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conn(error) | Failure::Body(BodyError::Conn(error)) => Self::Gone(error),
            Failure::Body(BodyError::Http(error)) => Self::Answer(AisError::Http(error), true),
            Failure::Body(BodyError::S3(error)) => Self::Answer(AisError::Bad(error.to_string()), true),
            Failure::Place(PlaceError::Cluster(error)) => AisError::Cluster(error).into(),
            Failure::Place(PlaceError::Origin(why)) => AisError::Origin(why).into(),
            Failure::Place(error @ PlaceError::Masked) => AisError::Forbidden(error.to_string()).into(),
            Failure::Place(
                error @ (PlaceError::NoDisk | PlaceError::NoTarget | PlaceError::Elsewhere(_)),
            ) => unavailable(&error.to_string()).into(),
            Failure::Store(error) => store(&error).into(),
            Failure::Overloaded(why) => unavailable(why).into(),
            Failure::Behind | Failure::NotHeld | Failure::Peer { .. } => {
                unavailable(&failure.to_string()).into()
            }
            Failure::Origin(error) => AisError::Origin(error.to_string()).into(),
            Failure::Range(error) => AisError::Bad(error.to_string()).into(),
            Failure::NotPromoted(why) => AisError::Bad(why).into(),
            Failure::Unsupported(what) => AisError::Unsupported(Unsupported::new("carry out:", what)).into(),
        }
    }
}

/// A failure about one object, which the texts of AIS name.
pub(crate) fn about(failure: Failure, node: &str, bucket: &Bucket, object: &ObjectName) -> Refusal {
    if failure.is_not_found() {
        return AisError::ObjectNotFound { node: node.into(), object: Cname::new(bucket, object) }.into();
    }
    match failure {
        Failure::Range(error) => range(error, bucket, object).into(),
        Failure::Origin(OriginError::Range { size, .. }) => {
            range(RangeError::Unsatisfiable { size }, bucket, object).into()
        }
        Failure::Origin(OriginError::BucketNotFound { .. }) => {
            AisError::Cluster(weir_cluster::ClusterError::BucketNotFound(bucket.clone())).into()
        }
        Failure::Store(StoreError::ChecksumMismatch { kind, expected, got }) => {
            let of = |value| format!("{}: {value}", kind.as_str());
            AisError::Checksum { object: Cname::new(bucket, object), expected: of(expected), actual: of(got) }
                .into()
        }
        Failure::Store(StoreError::NoSuchUpload { id }) => {
            AisError::UploadNotFound { id, object: Cname::new(bucket, object) }.into()
        }
        other => other.into(),
    }
}

fn range(error: RangeError, bucket: &Bucket, object: &ObjectName) -> AisError {
    let size = match error {
        RangeError::Unsatisfiable { size } => size,
        RangeError::Malformed => 0,
    };
    AisError::Range { object: Cname::new(bucket, object), error, size }
}

pub(crate) fn denied(denied: &Denied) -> AisError {
    match denied.ais_status() {
        403 => AisError::Forbidden(denied.to_string()),
        400 => AisError::Bad(denied.to_string()),
        _ => AisError::Unauthorized(denied.to_string()),
    }
}

fn unavailable(what: &str) -> AisError {
    AisError::Unavailable { what: what.into(), retry_s: 1 }
}

fn store(error: &StoreError) -> AisError {
    let text = error.to_string();
    match error {
        StoreError::NoSpace(_) => AisError::NoSpace(text),
        StoreError::SizeMismatch { expected, got } => AisError::Truncated { got: *got, expected: *expected },
        StoreError::Flight(FlightError::Origin(why)) => AisError::Origin(why.clone()),
        StoreError::Flight(_)
        | StoreError::Poisoned(_)
        | StoreError::Abandoned(_)
        | StoreError::Away { .. } => unavailable(&text),
        StoreError::BucketClosed { bucket, removing: false } => {
            AisError::Cluster(weir_cluster::ClusterError::BucketNotFound(bucket.clone()))
        }
        StoreError::NoLease | StoreError::NotOwner | StoreError::BucketClosed { removing: true, .. } => {
            unavailable(&text)
        }
        StoreError::TooMany { .. } => AisError::TooMany { what: text, retry_s: 1 },
        StoreError::Custom(error) => AisError::Custom(error.clone()),
        StoreError::Corrupt { .. }
        | StoreError::Truncated { .. }
        | StoreError::Record { .. }
        | StoreError::Disk(_)
        | StoreError::Identity(_) => {
            tracing::error!("{text}");
            AisError::Internal(text)
        }
        _ => AisError::Bad(text),
    }
}
