//! Removal of many objects, each at its owner: one question to each owner, and each object's own outcome.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
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
        let views = match self.raft.views() {
            Ok(views) => views,
            Err(error) => return objects.iter().map(|_| Err(error.clone())).collect(),
        };
        let view = views.load_full();
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
            return match self.raft.views() {
                Ok(views) => here(self.backend.as_ref(), Some(views), bucket, objects).await,
                Err(error) => objects.iter().map(|_| Err(error.clone())).collect(),
            };
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

/// What this target answers: under views that are no older than the asker's, and for names that are its own.
pub(crate) async fn removed(
    backend: &dyn Backend,
    views: &ArcSwap<ClusterView>,
    bucket: &Bucket,
    objects: Vec<(ObjectName, WireTerms)>,
) -> Vec<Removed> {
    let objects = objects.into_iter().map(|(name, terms)| (name, terms.terms())).collect();
    here(backend, Some(views), bucket, objects).await.into_iter().map(removed_of).collect()
}

/// Sees to it, before a removal, that no other target holds an object that is this one's by the view of now. Refused where it is
/// not, and where the owners have changed since the holders were asked: there may be others.
pub(crate) async fn own(
    backend: &dyn Backend,
    views: &ArcSwap<ClusterView>,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<(), BackendError> {
    let view = views.load_full();
    let is_own = view.owner(bucket, name.as_str()).is_some_and(|owner| view.me.is(owner));
    if is_own && view.may_be_elsewhere(bucket, name.as_str()) {
        backend.own_object(bucket, name).await?;
    }
    let changed = views.load().moving.as_ref().is_some_and(|moving| moving.version > view.smap.version);
    match is_own && !changed {
        true => Ok(()),
        false => Err(StoreError::NotOwner.into()),
    }
}

/// Removes objects here, each by the view of its turn: the last of a long list comes late.
async fn here(
    backend: &dyn Backend,
    views: Option<&ArcSwap<ClusterView>>,
    bucket: &Bucket,
    objects: Vec<Removal>,
) -> Vec<Result<bool, ControlError>> {
    let remove = |(name, terms): Removal| async move {
        if let Some(views) = views {
            own(backend, views, bucket, &name).await?;
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
    use std::sync::Arc;

    use weir_cluster::{BucketPropsPatch, ClusterUuid, Me, NetInfo, NodeId, Role};
    use weir_types::{BucketName, Provider};

    use super::*;
    use crate::api::tests::{Memory, block_on};
    use crate::raft::command::Command;
    use crate::raft::state::State;

    fn bucket() -> Bucket {
        Bucket::global(Provider::Ais, BucketName::new("b").unwrap())
    }

    fn node(role: Role, id: &str) -> Box<Node> {
        Box::new(Node::new(NodeId::new(id).unwrap(), role, NetInfo::new("h", 1)))
    }

    /// The views of the second target: when it has come, and when a third has.
    fn views() -> [Arc<ClusterView>; 2] {
        let (mut log, mut index) = (State::default(), 0);
        let mut apply = |command| {
            index += 1;
            log.apply(index, command).unwrap();
            log.view().unwrap().clone()
        };
        let (uuid, primary) = (ClusterUuid::new("Yx3l2Jk9p").unwrap(), node(Role::Gateway, "gateway0"));
        apply(Command::Form { uuid, now_ns: 1, primary, config: Box::default() });
        apply(Command::Admit(node(Role::Target, "target01")));
        let props = BucketPropsPatch::new([], false).unwrap();
        apply(Command::CreateBucket { bucket: bucket(), props, now_ns: 1 });
        let me = Arc::new(Me { gateway: None, target: Some(NodeId::new("target02").unwrap()) });
        ["target02", "target03"].map(|id| {
            let view = apply(Command::Admit(node(Role::Target, id)));
            Arc::new(ClusterView { me: me.clone(), ..view })
        })
    }

    #[test]
    fn nothing_is_removed_where_the_owners_change_while_holders_are_asked() {
        let [before, after] = views();
        let name = |is_own| {
            let mut names = (0..).map(|n| format!("o{n}"));
            let found = names.find(|n| [&before, &after].iter().all(|v| v.is_own(&bucket(), n) == is_own));
            found.unwrap()
        };
        let (own, other) = (name(true), name(false));
        let (memory, views) = (Memory::default(), Arc::new(ArcSwap::new(before)));
        memory.put(&bucket(), &own, 1);
        memory.put(&bucket(), &other, 1);
        let remove = || {
            let named =
                |name: &String| (ObjectName::new(name.clone()).unwrap(), WireTerms::of(Terms::default()));
            block_on(removed(&memory, &views, &bucket(), [&own, &other].map(named).into()))
        };
        let published = views.clone();
        *memory.while_asked.lock() = Some(Box::new(move || published.store(after)));
        assert!(matches!(&remove()[..], [Removed::Later(_), Removed::Later(_)]));
        assert_eq!(memory.names(&bucket()).len(), 2);
        // By the view of now, of which the list is not.
        assert!(matches!(&remove()[..], [Removed::Gone(true), Removed::Later(_)]));
        assert_eq!(memory.names(&bucket()), [other.as_str()]);
    }

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
        let bucket = bucket();
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
