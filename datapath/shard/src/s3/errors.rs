//! Failures in the words of S3. No other file of the shard maps them.

use weir_auth::Denied;
use weir_cluster::ClusterError;
use weir_origin::OriginError;
use weir_s3::{S3Code, S3Error};
use weir_store::{FlightError, StoreError};
use weir_types::RangeError;

use crate::body::BodyError;
use crate::fail::Failure;
use crate::place::PlaceError;

/// A refusal in the words of S3.
pub(crate) type Refusal = crate::refusal::Refusal<S3Error>;

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self::Answer(error, false)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conn(error) => Self::Gone(error),
            Failure::Body(BodyError::Conn(error)) => Self::Gone(error),
            // Where the next request begins is not known any more.
            Failure::Body(BodyError::Http(error)) => {
                let code = match error.status() {
                    413 => S3Code::EntityTooLarge,
                    _ => S3Code::IncompleteBody,
                };
                Self::Answer(S3Error::new(code, error.to_string()), true)
            }
            Failure::Body(BodyError::S3(error)) => Self::Answer(error, true),
            Failure::Place(error) => place(&error).into(),
            Failure::Store(error) => store(&error).into(),
            Failure::Overloaded(why) => S3Error::new(S3Code::SlowDown, why).into(),
            Failure::Behind | Failure::NotHeld | Failure::Peer { .. } => {
                S3Error::new(S3Code::ServiceUnavailable, failure.to_string()).into()
            }
            Failure::Origin(error) => origin(&error).into(),
            Failure::Range(error) => range(error).into(),
            Failure::NotPromoted(why) => S3Error::new(S3Code::InvalidRequest, why).into(),
            Failure::Unsupported(what) => S3Error::new(S3Code::NotImplemented, what).into(),
        }
    }
}

pub(crate) fn denied(denied: &Denied) -> S3Error {
    let (status, name) = denied.s3();
    let known = S3Code::ALL.iter().find(|code| code.as_str() == name && code.status() == status);
    let code = known.copied().unwrap_or(S3Code::AccessDenied);
    S3Error::new(code, denied.to_string())
}

pub(crate) fn cluster(error: &ClusterError) -> S3Error {
    match error {
        ClusterError::BucketNotFound(bucket) => S3Error::no_such_bucket(bucket.name.as_str()),
        other => S3Error::new(S3Code::InvalidBucketName, other.to_string()),
    }
}

fn place(error: &PlaceError) -> S3Error {
    match error {
        PlaceError::Cluster(error) => cluster(error),
        PlaceError::Origin(why) => S3Error::new(S3Code::ServiceUnavailable, why.clone()),
        PlaceError::Masked => S3Error::new(S3Code::AccessDenied, error.to_string()),
        PlaceError::NoDisk | PlaceError::NoTarget | PlaceError::Elsewhere(_) => {
            S3Error::new(S3Code::ServiceUnavailable, error.to_string())
        }
    }
}

fn range(error: RangeError) -> S3Error {
    match error {
        RangeError::Unsatisfiable { size } => S3Error::from(S3Code::InvalidRange)
            .with("ActualObjectSize", size.to_string())
            .with_header("content-range", format!("bytes */{size}")),
        RangeError::Malformed => S3Error::new(S3Code::InvalidArgument, error.to_string()),
    }
}

fn origin(error: &OriginError) -> S3Error {
    match error {
        OriginError::NotFound { object, .. } => S3Error::no_such_key(object),
        OriginError::BucketNotFound { bucket } => S3Error::no_such_bucket(bucket),
        OriginError::Range { size, .. } => range(RangeError::Unsatisfiable { size: *size }),
        OriginError::Changed { .. } => S3Error::new(S3Code::PreconditionFailed, error.to_string()),
        OriginError::Denied { .. } => S3Error::new(S3Code::AccessDenied, error.to_string()),
        _ => S3Error::new(S3Code::ServiceUnavailable, error.to_string()),
    }
}

fn store(error: &StoreError) -> S3Error {
    let text = error.to_string();
    match error {
        StoreError::NotFound { name, .. } => S3Error::no_such_key(name.as_str()),
        StoreError::Precondition { .. } | StoreError::Outdated { .. } => {
            S3Error::new(S3Code::PreconditionFailed, text)
        }
        StoreError::ChecksumMismatch { .. } => S3Error::new(S3Code::BadDigest, text),
        StoreError::SizeMismatch { .. } => S3Error::new(S3Code::IncompleteBody, text),
        StoreError::NoSpace(_) => S3Error::new(S3Code::InsufficientStorage, text),
        StoreError::NoSuchUpload { id } => S3Error::from(S3Code::NoSuchUpload).with("UploadId", id.clone()),
        StoreError::Part { number, .. } => {
            S3Error::new(S3Code::InvalidPart, text).with("PartNumber", number.to_string())
        }
        StoreError::BucketClosed { bucket, removing: false } => S3Error::no_such_bucket(bucket.name.as_str()),
        // The removal may yet be refused, so the client shall try again.
        StoreError::NoLease | StoreError::NotOwner | StoreError::BucketClosed { removing: true, .. } => {
            S3Error::new(S3Code::ServiceUnavailable, text)
        }
        StoreError::Custom(_) | StoreError::RecordTooLarge { .. } => {
            S3Error::new(S3Code::MetadataTooLarge, text)
        }
        StoreError::Path(_) => S3Error::new(S3Code::KeyTooLongError, text),
        StoreError::TooMany { .. } => S3Error::new(S3Code::SlowDown, text),
        StoreError::Flight(FlightError::NotFound) => S3Error::from(S3Code::NoSuchKey),
        StoreError::Flight(_)
        | StoreError::Poisoned(_)
        | StoreError::Abandoned(_)
        | StoreError::Away { .. } => S3Error::new(S3Code::ServiceUnavailable, text),
        StoreError::Corrupt { .. }
        | StoreError::Truncated { .. }
        | StoreError::Record { .. }
        | StoreError::Disk(_)
        | StoreError::Identity(_) => {
            tracing::error!("{text}");
            S3Error::new(S3Code::InternalError, text)
        }
    }
}
