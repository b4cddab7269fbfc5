//! Multi-object delete.

use futures_util::{StreamExt, stream};
use weir_s3::conditions::{EtagMatch, WriteConditions};
use weir_s3::documents::{DeleteTarget, parse_delete};
use weir_s3::{S3Code, S3Error, render};
use weir_store::{Condition, Terms};
use weir_types::Bucket;

use super::{Answer, document, error};
use crate::core::Core;
use crate::{BackendError, ControlError};

/// Removals of one request that are under way together: enough to fill a committer's batch.
const REMOVALS_TOGETHER_MAX: usize = 64;

/// Removes up to 1000 objects; each key has its own outcome, in the order asked.
pub(super) async fn objects(core: &Core, bucket: &Bucket, body: &[u8]) -> Answer {
    let request = parse_delete(body)?;
    let outcomes: Vec<(String, _)> = stream::iter(request.objects)
        .map(|target: DeleteTarget| async move {
            let outcome = remove(core, bucket, &target).await;
            (target.key, outcome)
        })
        .buffered(REMOVALS_TOGETHER_MAX)
        .collect()
        .await;
    let outcomes = outcomes.iter().map(|(key, outcome)| (key.as_str(), outcome.clone()));
    Ok(document(render::delete_result(outcomes, request.quiet)))
}

async fn remove(core: &Core, bucket: &Bucket, target: &DeleteTarget) -> Result<(), S3Error> {
    let name = target.name.clone()?;
    let terms = terms(&target.conditions);
    match core.backend.delete_object(bucket, &name, &terms).await {
        // What is not there is gone: a removal is idempotent.
        Ok(_) => Ok(()),
        Err(BackendError::Store(e)) if e.is_not_found() => {
            if terms.is_empty() {
                Ok(())
            } else {
                Err(S3Code::PreconditionFailed.into())
            }
        }
        Err(e) => Err(error::of(ControlError::Backend(e))),
    }
}

/// The store's form of S3's conditions.
fn terms(conditions: &WriteConditions) -> Terms {
    const SECOND_NS: u64 = 1_000_000_000;
    let condition = |m: &EtagMatch| match m {
        EtagMatch::Any => Condition::Any,
        EtagMatch::List(tags) => {
            // A weak tag never matches.
            Condition::Etags(tags.iter().filter(|t| !t.weak).map(|t| t.tag.clone()).collect())
        }
    };
    // The client gives whole seconds: any moment of that second is meant.
    let second = conditions.if_match_mtime.map(|s| s.saturating_mul(SECOND_NS));
    Terms {
        if_match: conditions.if_match.as_ref().map(condition),
        if_none_match: conditions.if_none_match.as_ref().map(condition),
        if_unmodified_since_ns: second.map(|ns| ns.saturating_add(SECOND_NS - 1)),
        if_modified_since_ns: second.map(|ns| ns.saturating_sub(1)),
        if_size: conditions.if_match_size,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_become_terms() {
        let parsed = WriteConditions {
            if_match: Some(EtagMatch::parse("\"a\", W/\"b\"")),
            if_none_match: Some(EtagMatch::Any),
            if_match_mtime: Some(2),
            if_match_size: Some(7),
        };
        let terms = terms(&parsed);
        assert_eq!(terms.if_match, Some(Condition::Etags(vec!["a".into()])));
        assert_eq!(terms.if_none_match, Some(Condition::Any));
        assert_eq!(
            (terms.if_modified_since_ns, terms.if_unmodified_since_ns),
            (Some(1_999_999_999), Some(2_999_999_999))
        );
        assert_eq!(terms.if_size, Some(7));
    }
}
