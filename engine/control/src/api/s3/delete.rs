//! Multi-object delete.

use weir_s3::conditions::{EtagMatch, WriteConditions};
use weir_s3::documents::{DeleteTarget, parse_delete};
use weir_s3::{S3Code, S3Error, render};
use weir_store::{Condition, Terms};
use weir_types::Bucket;

use super::{Answer, document, error};
use crate::core::Core;
use crate::{BackendError, ControlError};

/// Removes up to 1000 objects; each key has its own outcome, in the order asked.
pub(super) async fn objects(core: &Core, bucket: &Bucket, body: &[u8]) -> Answer {
    let request = parse_delete(body)?;
    let mut asked = Vec::new();
    let mut outcomes = Vec::new();
    for DeleteTarget { key, name, conditions } in request.objects {
        let outcome = name.map(|name| asked.push((name, terms(&conditions))));
        outcomes.push((key, outcome, conditions));
    }
    let mut removed = core.remove_objects(bucket, asked).await.into_iter();
    let outcomes: Vec<(String, Result<(), S3Error>)> = outcomes
        .into_iter()
        .map(|(key, outcome, conditions)| {
            let removed = |()| removed.next().map_or(Ok(()), |removed| judged(removed, &conditions));
            (key, outcome.and_then(removed))
        })
        .collect();
    let outcomes = outcomes.iter().map(|(key, outcome)| (key.as_str(), outcome.clone()));
    Ok(document(render::delete_result(outcomes, request.quiet)))
}

/// What is not there is gone: a removal is idempotent, unless it was to be there.
fn judged(removed: Result<bool, ControlError>, conditions: &WriteConditions) -> Result<(), S3Error> {
    match removed {
        Ok(_) => Ok(()),
        Err(ControlError::Backend(BackendError::Store(e))) if e.is_not_found() => {
            if terms(conditions).is_empty() { Ok(()) } else { Err(S3Code::PreconditionFailed.into()) }
        }
        Err(e) => Err(error::of(e)),
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
        ..Terms::default()
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
