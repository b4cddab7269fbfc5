//! Removal of many objects, each at its owner: one question to each owner, and each object's own outcome.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use weir_cluster::{ClusterView, Node, hrw};
use weir_store::{Condition, StoreError, Terms};
use weir_types::{Bucket, ObjectName};

use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};
use crate::{Backend, BackendError, ControlError};

/// Removals of one request that are under way together: enough to fill a committer's batch.
const REMOVALS_TOGETHER_MAX: usize = 64;

/// An object that is to go if the terms hold.
pub(crate) type Removal = (ObjectName, Terms);

/// [`Terms`] on their way between nodes; of a condition `None` is any object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WireTerms {
    if_match: Option<Option<Vec<String>>>,
    if_none_match: Option<Option<Vec<String>>>,
    if_unmodified_since_ns: Option<u64>,
    if_modified_since_ns: Option<u64>,
    if_size: Option<u64>,
}

/// What became of an object at its owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Removed {
    /// It is gone; whether it was there.
    Gone(bool),
    /// It is not there, and the terms need it.
    NotFound,
    /// The terms do not hold.
    Precondition(String),
    /// Not now.
    Later(String),
    /// It failed.
    Failed(String),
}

impl Core {
    /// Removes objects as a client's DELETE does; the outcomes in the order asked.
    pub(crate) async fn remove_objects(
        &self,
        bucket: &Bucket,
        objects: Vec<Removal>,
    ) -> Vec<Result<bool, ControlError>> {
        if self.raft.company().is_none() {
            return here(self.backend.as_ref(), None, bucket, objects).await;
        }
        let view = match self.view() {
            Ok(view) => view,
            Err(error) => return objects.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut outcomes: Vec<Result<bool, ControlError>> = Vec::new();
        let mut of_owner: BTreeMap<_, (&Node, Vec<usize>, Vec<Removal>)> = BTreeMap::new();
        for (i, (name, terms)) in objects.into_iter().enumerate() {
            outcomes.push(Err(ControlError::NoAgreement("no target is in service".into())));
            if let Some(owner) = view.smap.owner(hrw::object_digest(bucket, name.as_str())) {
                let (_, places, theirs) =
                    of_owner.entry(&owner.id).or_insert((owner, Vec::new(), Vec::new()));
                places.push(i);
                theirs.push((name, terms));
            }
        }
        let asked = of_owner.into_values().map(|(owner, places, theirs)| {
            let view = &view;
            async move { (places, self.remove_at(view, owner, bucket, theirs).await) }
        });
        for (places, theirs) in join_all(asked).await {
            for (place, outcome) in places.into_iter().zip(theirs) {
                if let Some(at) = outcomes.get_mut(place) {
                    *at = outcome;
                }
            }
        }
        outcomes
    }

    async fn remove_at(
        &self,
        view: &ClusterView,
        owner: &Node,
        bucket: &Bucket,
        objects: Vec<Removal>,
    ) -> Vec<Result<bool, ControlError>> {
        if view.me.is(owner) {
            return here(self.backend.as_ref(), Some(view), bucket, objects).await;
        }
        let names: Vec<ObjectName> = objects.iter().map(|(name, _)| name.clone()).collect();
        let objects = objects.into_iter().map(|(name, terms)| (name, WireTerms::of(terms))).collect();
        let call = PeerCall::Remove { bucket: bucket.clone(), objects, index: view.index };
        let outcomes = match self.at_target(owner, call).await {
            Ok(PeerAnswer::Removed(outcomes)) if outcomes.len() == names.len() => outcomes,
            Ok(_) => {
                vec![Removed::Failed(format!("{owner}: expected an outcome for each object")); names.len()]
            }
            Err(error) => return names.iter().map(|_| Err(error.clone())).collect(),
        };
        let outcome = |(outcome, name)| outcome_of(outcome, bucket, name);
        outcomes.into_iter().zip(names).map(outcome).collect()
    }
}

/// What this target answers: under a view that is no older than the asker's, and for names that are its own.
pub(crate) async fn removed(
    backend: &dyn Backend,
    view: &ClusterView,
    bucket: &Bucket,
    objects: Vec<(ObjectName, WireTerms)>,
) -> Vec<Removed> {
    let own = |name: &ObjectName| {
        let owner = view.smap.owner(hrw::object_digest(bucket, name.as_str()));
        owner.is_some_and(|owner| view.me.is(owner))
    };
    if objects.iter().any(|(name, _)| !own(name)) {
        let later = Removed::Later("the map changed meanwhile".into());
        return vec![later; objects.len()];
    }
    let objects = objects.into_iter().map(|(name, terms)| (name, terms.terms())).collect();
    here(backend, Some(view), bucket, objects).await.into_iter().map(removed_of).collect()
}

async fn here(
    backend: &dyn Backend,
    view: Option<&ClusterView>,
    bucket: &Bucket,
    objects: Vec<Removal>,
) -> Vec<Result<bool, ControlError>> {
    let remove = |(name, terms): Removal| async move {
        if view.is_some_and(|view| view.may_be_elsewhere(bucket, name.as_str())) {
            backend.own_object(bucket, &name).await?;
        }
        backend.delete_object(bucket, &name, &terms).await.map_err(ControlError::from)
    };
    stream::iter(objects).map(remove).buffered(REMOVALS_TOGETHER_MAX).collect().await
}

fn removed_of(outcome: Result<bool, ControlError>) -> Removed {
    let error = match outcome {
        Ok(there) => return Removed::Gone(there),
        Err(error) => error,
    };
    let text = error.to_string();
    match error {
        ControlError::Backend(BackendError::Store(error)) => match error {
            error if error.is_not_found() => Removed::NotFound,
            StoreError::Precondition { .. } => Removed::Precondition(text),
            StoreError::TooMany { .. }
            | StoreError::NoLease
            | StoreError::NotOwner
            | StoreError::Away { .. }
            | StoreError::Poisoned(_) => Removed::Later(text),
            _ => Removed::Failed(text),
        },
        ControlError::Backend(BackendError::Busy(_)) => Removed::Later(text),
        _ => Removed::Failed(text),
    }
}

fn outcome_of(outcome: Removed, bucket: &Bucket, name: ObjectName) -> Result<bool, ControlError> {
    let store = |error| Err(BackendError::Store(error).into());
    match outcome {
        Removed::Gone(there) => Ok(there),
        Removed::NotFound => store(StoreError::NotFound { bucket: bucket.clone(), name }),
        Removed::Precondition(got) => store(StoreError::Precondition { what: "the condition", name, got }),
        Removed::Later(why) => Err(ControlError::NoAgreement(why)),
        Removed::Failed(why) => Err(ControlError::Elsewhere(why)),
    }
}

impl WireTerms {
    fn of(terms: Terms) -> Self {
        let condition = |condition: Option<Condition>| {
            condition.map(|condition| match condition {
                Condition::Any => None,
                Condition::Etags(etags) => Some(etags),
            })
        };
        Self {
            if_match: condition(terms.if_match),
            if_none_match: condition(terms.if_none_match),
            if_unmodified_since_ns: terms.if_unmodified_since_ns,
            if_modified_since_ns: terms.if_modified_since_ns,
            if_size: terms.if_size,
        }
    }

    fn terms(self) -> Terms {
        let condition = |condition: Option<Option<Vec<String>>>| {
            condition.map(|etags| etags.map_or(Condition::Any, Condition::Etags))
        };
        Terms {
            if_match: condition(self.if_match),
            if_none_match: condition(self.if_none_match),
            if_unmodified_since_ns: self.if_unmodified_since_ns,
            if_modified_since_ns: self.if_modified_since_ns,
            if_size: self.if_size,
            ..Terms::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_arrive_as_they_were() {
        let etags = Condition::Etags(vec!["a".into(), "b".into()]);
        for terms in [
            Terms::default(),
            Terms { if_match: Some(Condition::Any), if_none_match: Some(etags.clone()), ..Terms::default() },
            Terms {
                if_match: Some(etags),
                if_unmodified_since_ns: Some(1),
                if_modified_since_ns: Some(2),
                if_size: Some(3),
                ..Terms::default()
            },
        ] {
            let bytes = postcard::to_stdvec(&WireTerms::of(terms.clone())).unwrap();
            assert_eq!(postcard::from_bytes::<WireTerms>(&bytes).unwrap().terms(), terms);
        }
    }

    #[test]
    fn outcomes_keep_their_meaning() {
        let bucket = Bucket::global(weir_types::Provider::Ais, weir_types::BucketName::new("b").unwrap());
        let name = ObjectName::new("o").unwrap();
        let precondition = StoreError::Precondition { what: "If-Match", name: name.clone(), got: "e".into() };
        let not_found = StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
        let store = |error: &StoreError| Err(ControlError::Backend(BackendError::Store(error.clone())));
        let through = |outcome| outcome_of(removed_of(outcome), &bucket, name.clone());
        assert!(matches!(through(Ok(true)), Ok(true)));
        let error = through(store(&not_found)).unwrap_err();
        assert!(matches!(error, ControlError::Backend(BackendError::Store(e)) if e.is_not_found()));
        let error = through(store(&precondition)).unwrap_err();
        assert!(matches!(error, ControlError::Backend(BackendError::Store(StoreError::Precondition { .. }))));
        assert!(matches!(through(store(&StoreError::NoLease)), Err(ControlError::NoAgreement(_))));
    }
}
