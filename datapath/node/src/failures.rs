//! What disks, shards and origins fail with, as the control core hears it.

use futures_channel::oneshot;
use weir_control::BackendError;
use weir_origin::OriginError;
use weir_shard::{CommitError, CopyFailure};
use weir_types::Bucket;

/// No shard took the work.
pub(crate) fn no_room() -> BackendError {
    BackendError::Busy("no shard has room for a copy".into())
}

/// What became of a copy that a shard was given to make.
pub(crate) fn outcome(
    told: Result<Result<Option<u64>, CopyFailure>, oneshot::Canceled>,
) -> Result<Option<u64>, BackendError> {
    told.map_err(|_| no_room())?.map_err(|failure| match failure {
        CopyFailure::Later(why) => BackendError::Busy(why),
        CopyFailure::Never(why) => BackendError::Failed(why),
    })
}

/// What a committer refused or failed.
pub(crate) fn commit_error(error: CommitError) -> BackendError {
    match error {
        CommitError::Store(error) => BackendError::Store(error),
        other => BackendError::Busy(other.to_string()),
    }
}

/// What an origin refused or failed.
pub(crate) fn origin_error(bucket: &Bucket, error: OriginError) -> BackendError {
    match error {
        OriginError::BucketNotFound { .. } => BackendError::NoBucket(bucket.clone()),
        OriginError::NotConfigured { .. } => BackendError::NotConfigured(bucket.provider),
        OriginError::Denied { got, .. } => BackendError::Denied { bucket: bucket.clone(), what: got },
        OriginError::Busy { .. } => BackendError::Busy(error.to_string()),
        other => BackendError::Origin(other.to_string()),
    }
}
