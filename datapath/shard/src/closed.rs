//! Which buckets take new objects, as committers see it.
//!
//! A shard decides by the view under which a request came, and a body may take minutes. So the committer asks again,
//! by the view of now, right before a change is carried out: once a view without the bucket is published and what was
//! begun before is done, nothing more of it is acknowledged.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use weir_cluster::{ClusterError, ClusterView, Lease, hrw};
use weir_store::{Change, FlightError, Outcome, Request, StoreError};

use crate::disks::{DiskId, DiskSet, Disks};

/// The published views and disks and the node's lease, once there are any: disks are in service before the control core
/// is. Clones share them.
#[derive(Clone, Default)]
pub struct Closed {
    heeded: Arc<OnceLock<Heeded>>,
    /// Whether clients' changes are refused until there are any.
    waits: bool,
    /// Whose committer asks.
    disk: Option<DiskId>,
}

struct Heeded {
    views: Arc<ArcSwap<ClusterView>>,
    lease: Lease,
    disks: Disks,
}

impl Closed {
    /// Takes no client's change before it heeds a view: until then nobody knows whose the names are, nor by which version of the
    /// map a commit is to count.
    pub fn until_heeded() -> Self {
        Self { waits: true, ..Self::default() }
    }

    /// Heeds these from now on; only the first call counts.
    pub fn heed(&self, views: Arc<ArcSwap<ClusterView>>, lease: Lease, disks: Disks) {
        // A second call would bring the same.
        let _ = self.heeded.set(Heeded { views, lease, disks });
    }

    /// The same for the committer of a disk.
    pub(crate) fn of(&self, disk: DiskId) -> Self {
        Self { disk: Some(disk), ..self.clone() }
    }

    /// The requests that may be carried out, in order; the others are answered here. `version` hears the version of the map
    /// that the commits of these count by.
    pub(crate) fn admit<F>(&self, batch: Vec<Request<F>>, version: impl FnOnce(u64)) -> Vec<Request<F>> {
        let Some(Heeded { views, lease, disks }) = self.heeded.get() else {
            let early =
                |change: &Change<F>| (self.waits && is_clients(change)).then_some(StoreError::NoLease);
            return admitted(batch, early);
        };
        let (view, has_lease) = (views.load(), lease.holds(Instant::now()));
        let batch = keep_with_copies(&view, self.keep_placed(&disks.load(), batch));
        version(view.smap.version);
        let refusal = |change: &Change<F>| match is_clients(change) {
            true if !has_lease => Some(StoreError::NoLease),
            true if !is_owners(&view, change) => Some(StoreError::NotOwner),
            false if is_taken_back(&view, change) => Some(StoreError::NotOwner),
            _ => refusal(&view, change),
        };
        admitted(batch, refusal)
    }

    /// The requests whose names belong to the disk; the others get their changes back.
    fn keep_placed<F>(&self, set: &DiskSet, batch: Vec<Request<F>>) -> Vec<Request<F>> {
        let Some(disk) = self.disk else { return batch };
        if batch.iter().all(|request| is_placed(set, disk, request)) {
            return batch;
        }
        let keep = |request: Request<F>| match is_placed(set, disk, &request) {
            true => Some(request),
            false => give_back(request),
        };
        batch.into_iter().filter_map(keep).collect()
    }
}

/// Gives a change back that does not belong here.
fn give_back<F>(Request { change, reply, .. }: Request<F>) -> Option<Request<F>> {
    match change {
        // Its followers go on by themselves: nobody waits for what is not kept.
        Change::Put(put) if put.flight.is_some() => {
            drop(put);
            reply(Err(StoreError::Flight(FlightError::Abandoned)));
        }
        change => reply(Ok(Outcome::Misplaced(Box::new(change)))),
    }
    None
}

/// The requests but for those that change one copy where all are to change together: these get their changes back. What was
/// begun by an earlier view is among them, so a bucket's copies are complete once all that came before is done.
fn keep_with_copies<F>(view: &ClusterView, batch: Vec<Request<F>>) -> Vec<Request<F>> {
    let is_alone = |request: &Request<F>| {
        let changes = match &request.change {
            Change::Put(put) => put.flight.is_none(),
            Change::Delete { terms, .. } => terms.if_commit.is_none(),
            Change::SetCustom { .. } | Change::Release { .. } => true,
            _ => false,
        };
        let copies = |bucket| view.bmd.get(bucket).map_or(1, |info| info.props.copies());
        changes && request.together.is_none() && copies(request.change.key().0) > 1
    };
    if !batch.iter().any(is_alone) {
        return batch;
    }
    let keep = |request: Request<F>| match is_alone(&request) {
        false => Some(request),
        true => {
            (request.reply)(Ok(Outcome::HasCopies(Box::new(request.change))));
            None
        }
    };
    batch.into_iter().filter_map(keep).collect()
}

/// Whether a change is for this disk to carry out. What moves a name between disks is, wherever the name belongs; a part in a
/// change of all copies is, if they were chosen under this set.
fn is_placed<F>(set: &DiskSet, disk: DiskId, Request { change, together, .. }: &Request<F>) -> bool {
    if let Some(together) = together {
        return together.set == set.version && set.has(disk);
    }
    let moves = match change {
        Change::Adopt { .. }
        | Change::SetCopies { .. }
        | Change::AdoptUpload { .. }
        | Change::DropUpload { .. } => true,
        Change::Delete { terms, .. } => terms.if_commit.is_some(),
        _ => false,
    };
    let (bucket, name) = change.key();
    moves || name.is_none_or(|name| set.takes(disk, hrw::object_digest(bucket, name.as_str())))
}

/// Those that are not refused; the others are answered.
fn admitted<F>(
    batch: Vec<Request<F>>,
    refusal: impl Fn(&Change<F>) -> Option<StoreError>,
) -> Vec<Request<F>> {
    if batch.iter().all(|request| refusal(&request.change).is_none()) {
        return batch;
    }
    let admit = |request: Request<F>| match refusal(&request.change) {
        None => Some(request),
        Some(error) => {
            (request.reply)(Err(error));
            None
        }
    };
    batch.into_iter().filter_map(admit).collect()
}

/// Whether a client asks for the change, and may ask another node next. What the node does by itself or for the leader, and
/// copies of what is elsewhere, go on.
fn is_clients<F>(change: &Change<F>) -> bool {
    match change {
        Change::Put(put) => put.flight.is_none(),
        Change::Delete { terms, .. } => terms.if_commit.is_none(),
        Change::SetCustom { .. }
        | Change::CreateUpload { .. }
        | Change::PutPart { .. }
        | Change::AbortUpload { .. } => true,
        _ => false,
    }
}

/// Whether the name is this target's by the view of now: from the moment on that another owner may know of it, nothing changes
/// here any more, however long ago the request came.
fn is_owners<F>(view: &ClusterView, change: &Change<F>) -> bool {
    let (bucket, name) = change.key();
    // A cluster of one target needs no hash.
    view.smap.targets.len() <= 1 || name.is_none_or(|name| view.is_own(bucket, name.as_str()))
}

/// Whether the change removes what another target has taken, and that target may have been made to give it up since: because it
/// is this target's by now, or the owners have changed. What is here may be all there is.
fn is_taken_back<F>(view: &ClusterView, change: &Change<F>) -> bool {
    let taken_by = match change {
        Change::Release { map_version, .. } => Some(*map_version),
        Change::DropUpload { map_version, .. } => *map_version,
        _ => None,
    };
    taken_by.is_some_and(|version| is_owners(view, change) || view.owners_changed_since(version))
}

/// Why the change makes nothing in its bucket. A copy of a remote object is no client's only one: flights end by
/// themselves when their bucket's data is removed.
fn refusal<F>(view: &ClusterView, change: &Change<F>) -> Option<StoreError> {
    let bucket = change.key().0;
    let makes = match change {
        Change::Put(put) => put.flight.is_none(),
        Change::CreateUpload { .. }
        | Change::PutPart { .. }
        | Change::Adopt { .. }
        | Change::AdoptUpload { .. } => true,
        // A move makes and removes nothing.
        Change::Delete { terms, .. } if terms.if_commit.is_some() => false,
        // What is copied for the bucket's new name stays as it was copied.
        Change::Delete { .. } | Change::SetCustom { .. } => {
            view.bmd.removing().contains(bucket) && view.jobs.renaming(bucket).is_some()
        }
        _ => false,
    };
    let error = makes.then(|| view.bmd.takes_objects(bucket).err()).flatten()?;
    let removing = matches!(error, ClusterError::BucketBeingRemoved(_));
    Some(StoreError::BucketClosed { bucket: bucket.clone(), removing })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use weir_cluster::{Bmd, ClusterUuid, Me, Moving, NetInfo, Node, NodeId, Role, Smap};
    use weir_store::CommitId;
    use weir_types::{Bucket, BucketName, ObjectName, Provider};

    use super::*;

    fn id(id: &str) -> NodeId {
        NodeId::new(id).unwrap()
    }

    fn node(role: Role, name: &str) -> Node {
        Node::new(id(name), role, NetInfo::new("h", 1))
    }

    /// What the second of two targets knows, where the owners changed last with this version of the map.
    fn view(changed: Option<u64>) -> ClusterView {
        let uuid = ClusterUuid::new("Yx3l2Jk9p").unwrap();
        let mut smap = Smap::new(uuid.clone(), 1, node(Role::Gateway, "gateway0"));
        ["target01", "target02"].into_iter().for_each(|id| smap.put(node(Role::Target, id)));
        let all: BTreeSet<NodeId> = smap.targets.keys().cloned().collect();
        let moving = changed.and_then(|version| Moving::begin(None, version, all.clone(), all));
        ClusterView {
            index: 9,
            smap: Arc::new(smap),
            bmd: Arc::new(Bmd::new(uuid)),
            config: Arc::default(),
            config_version: 1,
            config_updated_ns: 1,
            jobs: Arc::default(),
            moving: moving.map(Arc::new),
            me: Arc::new(Me { gateway: None, target: Some(id("target02")) }),
        }
    }

    #[test]
    fn what_another_took_goes_until_the_owners_change_again() {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let commit = CommitId { map_version: 3, sequence: 1 };
        let name = |is_own| {
            let mut names = (0..).map(|n| format!("o{n}"));
            ObjectName::new(names.find(|n| view(None).is_own(&bucket, n) == is_own).unwrap()).unwrap()
        };
        let refused = |changed, is_own, map_version| {
            let (bucket, name, upload) = (bucket.clone(), name(is_own), "u".to_owned());
            let release =
                Change::<()>::Release { bucket: bucket.clone(), name: name.clone(), commit, map_version };
            let drop = Change::<()>::DropUpload { bucket, name, upload, map_version: Some(map_version) };
            let refused = [release, drop].map(|change| is_taken_back(&view(changed), &change));
            assert_eq!(refused[0], refused[1]);
            refused[0]
        };
        assert!(!refused(None, false, 7) && !refused(Some(7), false, 7) && !refused(Some(7), false, 8));
        assert!(refused(Some(8), false, 7), "it may have been taken from there since, and be only here");
        assert!(refused(None, true, 7) && refused(Some(7), true, 7), "this target owns it");
        let moved_here = Change::<()>::DropUpload {
            bucket: bucket.clone(),
            name: name(true),
            upload: "u".into(),
            map_version: None,
        };
        assert!(!is_taken_back(&view(Some(8)), &moved_here), "from one mountpath to another");
    }
}
