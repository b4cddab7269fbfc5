//! The one place where errors of the control core become S3's.

use weir_auth::Denied;
use weir_s3::{S3Code, S3Error};
use weir_store::StoreError;

use crate::{BackendError, ControlError, Refused};

/// S3's error for a denial of the gate.
pub(super) fn denied(denied: Denied) -> S3Error {
    let (_, name) = denied.s3();
    let code = S3Code::ALL.iter().find(|c| c.as_str() == name).copied().unwrap_or(S3Code::AccessDenied);
    S3Error::new(code, denied.to_string())
}

/// S3's error for anything that fails in the control core.
pub(super) fn of(error: impl Into<ControlError>) -> S3Error {
    let error = error.into();
    let text = error.to_string();
    match error {
        ControlError::Refused(refused) => of_refusal(&refused, text),
        ControlError::Cluster(_) => S3Error::new(S3Code::InvalidRequest, text),
        ControlError::Backend(error) => of_backend(&error, text),
        ControlError::NoAgreement(_) | ControlError::Overloaded | ControlError::Stopped => {
            S3Error::new(S3Code::ServiceUnavailable, text)
        }
        ControlError::State { .. }
        | ControlError::Locked { .. }
        | ControlError::Identity { .. }
        | ControlError::Peers(_)
        | ControlError::NotTaken(_)
        | ControlError::Elsewhere(_)
        | ControlError::Thread(_) => S3Error::new(S3Code::InternalError, text),
    }
}

fn of_refusal(refused: &Refused, text: String) -> S3Error {
    match refused {
        Refused::BucketExists(bucket) => {
            S3Error::from(S3Code::BucketAlreadyOwnedByYou).with("BucketName", bucket.name.as_str())
        }
        Refused::BucketNotFound(bucket) => S3Error::no_such_bucket(bucket.name.as_str()),
        Refused::BucketBeingRemoved(_) | Refused::TooManyJobs(_) => {
            S3Error::new(S3Code::OperationAborted, text)
        }
        Refused::TooManyBuckets(_) => S3Error::new(S3Code::TooManyBuckets, text),
        Refused::Invalid(_)
        | Refused::NotEnoughTargets(_)
        | Refused::NodeNotFound(_)
        | Refused::TooManyNodes(_) => S3Error::new(S3Code::InvalidRequest, text),
        Refused::Formed(_) | Refused::NotFormed => S3Error::new(S3Code::ServiceUnavailable, text),
    }
}

fn of_backend(error: &BackendError, text: String) -> S3Error {
    match error {
        BackendError::NoBucket(bucket) => S3Error::no_such_bucket(bucket.name.as_str()),
        BackendError::Store(error) => match error {
            StoreError::NotFound { name, .. } => S3Error::no_such_key(name.as_str()),
            StoreError::Precondition { .. } => S3Error::new(S3Code::PreconditionFailed, text),
            StoreError::NoSpace(_) => S3Error::new(S3Code::InsufficientStorage, text),
            StoreError::TooMany { .. } => S3Error::new(S3Code::SlowDown, text),
            StoreError::Poisoned(_)
            | StoreError::NoLease
            | StoreError::NotOwner
            | StoreError::Away { .. } => S3Error::new(S3Code::ServiceUnavailable, text),
            _ => S3Error::new(S3Code::InternalError, text),
        },
        BackendError::Denied { .. } => S3Error::new(S3Code::AccessDenied, text),
        BackendError::NotConfigured(_) | BackendError::Unsupported(_) => {
            S3Error::new(S3Code::NotImplemented, text)
        }
        BackendError::Origin(_) => S3Error::new(S3Code::ServiceUnavailable, text),
        BackendError::Failed(_) => S3Error::new(S3Code::InternalError, text),
        BackendError::NoRoom(_) => S3Error::new(S3Code::InsufficientStorage, text),
        BackendError::Mountpath(_) => S3Error::new(S3Code::InvalidArgument, text),
        BackendError::Busy(_) => S3Error::new(S3Code::SlowDown, text),
    }
}
