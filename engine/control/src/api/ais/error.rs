//! The one place where errors of the control core become AIS's.

use weir_ais::{AisError, Unsupported};
use weir_auth::Denied;
use weir_cluster::ClusterError;
use weir_store::StoreError;

use crate::{BackendError, ControlError, Refused};

/// Seconds after which what is unavailable for a moment is worth another try.
const RETRY_SECONDS: u32 = 1;

/// AIS's error for a denial of the gate.
pub(super) fn denied(denied: Denied) -> AisError {
    match denied.ais_status() {
        403 => AisError::Forbidden(denied.to_string()),
        400 => AisError::Bad(denied.to_string()),
        _ => AisError::Unauthorized(denied.to_string()),
    }
}

/// AIS's error for anything that fails in the control core.
pub(super) fn of(error: impl Into<ControlError>) -> AisError {
    let error = error.into();
    let text = error.to_string();
    match error {
        ControlError::Refused(refused) => of_refusal(refused, text),
        ControlError::Cluster(error) => error.into(),
        ControlError::Backend(error) => of_backend(error, text),
        ControlError::NoAgreement(_) | ControlError::Overloaded | ControlError::Stopped => {
            AisError::Unavailable { what: text, retry_s: RETRY_SECONDS }
        }
        ControlError::State { .. }
        | ControlError::Locked { .. }
        | ControlError::Identity { .. }
        | ControlError::Peers(_)
        | ControlError::NotTaken(_)
        | ControlError::Elsewhere(_)
        | ControlError::Thread(_) => AisError::Internal(text),
    }
}

fn of_refusal(refused: Refused, text: String) -> AisError {
    match refused {
        Refused::BucketExists(bucket) => ClusterError::BucketExists(bucket).into(),
        Refused::BucketNotFound(bucket) => ClusterError::BucketNotFound(bucket).into(),
        Refused::TooManyBuckets(max) => {
            ClusterError::TooManyBuckets { max: usize::try_from(max).unwrap_or(usize::MAX) }.into()
        }
        Refused::Invalid(_) | Refused::NotEnoughTargets(_) | Refused::TooManyNodes(_) => AisError::Bad(text),
        Refused::NodeNotFound(node) => AisError::NodeNotFound(node.to_string()),
        Refused::Formed(_)
        | Refused::NotFormed
        | Refused::BucketBeingRemoved(_)
        | Refused::TooManyJobs(_) => AisError::Unavailable { what: text, retry_s: RETRY_SECONDS },
    }
}

fn of_backend(error: BackendError, text: String) -> AisError {
    match error {
        BackendError::NoBucket(bucket) => ClusterError::BucketNotFound(bucket).into(),
        BackendError::Denied { .. } => AisError::Forbidden(text),
        BackendError::NotConfigured(provider) => {
            let what = format!("{} buckets (no origin is configured)", provider.as_str());
            Unsupported::new("access", what).into()
        }
        BackendError::Unsupported(what) => Unsupported::new("carry out", what).into(),
        BackendError::Origin(_) => AisError::Origin(text),
        BackendError::Failed(_) => AisError::Internal(text),
        BackendError::NoRoom(_) => AisError::NoSpace(text),
        BackendError::Mountpath(_) => AisError::Bad(text),
        BackendError::Busy(_) => AisError::Unavailable { what: text, retry_s: RETRY_SECONDS },
        BackendError::Store(error) => match error {
            StoreError::NotFound { bucket, name } => {
                AisError::DeleteNotFound { object: weir_ais::Cname::new(&bucket, &name) }
            }
            StoreError::NoSpace(_) => AisError::NoSpace(text),
            StoreError::Poisoned(_)
            | StoreError::NoLease
            | StoreError::NotOwner
            | StoreError::Away { .. }
            | StoreError::TooMany { .. } => AisError::Unavailable { what: text, retry_s: RETRY_SECONDS },
            _ => AisError::Internal(text),
        },
    }
}
