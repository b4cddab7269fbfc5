//! Where an object is: its bucket's properties and the one disk of this node that its name belongs to.

use std::sync::Arc;
use std::time::Duration;

use weir_auth::Permit;
use weir_cluster::{BucketInfo, ClusterError, ClusterView, Fill, Node, NodeId, hrw};
use weir_store::{Change, Durability, Outcome, Put, Slot, StoreError, Volume};
use weir_types::{Access, Bucket, BucketName, ObjectName, limits};

use crate::committer::CommitError;
use crate::disk::{RingDisk, RingFile};
use crate::disks::{Disk, DiskSet};
use crate::fail::Failure;
use crate::mirror;
use crate::shard::Shard;
use crate::shifts::{What, absent};

/// How often a node that is behind looks whether it has caught up.
const CATCH_UP_TICK: Duration = Duration::from_millis(5);

/// A name with its bucket, under one view of the cluster, for a caller who was permitted to do something there. What
/// touches an object's data or metadata takes a place, so none of it can be called before the gate has been asked.
#[derive(Clone)]
pub(crate) struct Place {
    _permit: Permit,
    view: Arc<ClusterView>,
    pub(crate) bucket: Bucket,
    pub(crate) name: ObjectName,
    digest: u64,
    bid: u64,
    slot: Slot,
    access: Access,
    set: Arc<DiskSet>,
    at: usize,
    volume: Volume<RingDisk>,
    /// Whether the object, if there is one, is on the disk that its name belongs to.
    settled: bool,
}

impl Place {
    /// The bucket's entry. It was there when the place was made, and a view does not change.
    pub(crate) fn info(&self) -> &BucketInfo {
        self.view.bucket(&self.bucket).expect("a place is made of a bucket in its view")
    }

    /// The disk that its name belongs to.
    pub(crate) fn disk(&self) -> &Disk {
        self.set.disks.get(self.at).expect("a place is made on a disk of its set")
    }

    pub(crate) fn volume(&self) -> &Volume<RingDisk> {
        &self.volume
    }

    /// The directory of its disk, as `Ais-Location` shows it.
    pub(crate) fn mountpath(&self) -> &std::path::Path {
        &self.disk().path
    }

    /// On how many disks the object is to be.
    pub(crate) fn copies(&self) -> usize {
        self.info().props.copies()
    }

    /// The directories of the disks of an object with so many copies; none if it has one.
    pub(crate) fn mountpaths_of(&self, copies: usize) -> Vec<String> {
        if copies < 2 {
            return Vec::new();
        }
        let disks = self.set.ranked(self.digest).into_iter().filter_map(|at| self.set.disks.get(at));
        disks.take(copies).map(|disk| disk.path.display().to_string()).collect()
    }

    /// The disks that it was made under.
    pub(crate) fn set(&self) -> &Arc<DiskSet> {
        &self.set
    }

    /// The digest of its whole name, which placement goes by.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// The ID of its bucket, unlike that of any earlier bucket of the name.
    pub(crate) fn bid(&self) -> u64 {
        self.bid
    }

    /// Whether its bucket's own mask allows something.
    pub(crate) fn allows(&self, needed: Access) -> bool {
        self.access.allows(needed)
    }

    /// Where its mountpath keeps the generation of its name.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// Whether its disk is so full that clients write nothing to it (AIS: `space.out_of_space`).
    pub(crate) fn is_out_of_space(&self) -> bool {
        let space = self.volume.mountpath().space();
        self.view.config.space.fill(space.used, space.total()) == Fill::Out
    }

    /// Whether the name is this target's by its view.
    pub(crate) fn is_own(&self) -> bool {
        self.view.smap.owner(self.digest).is_some_and(|owner| self.view.me.is(owner))
    }

    /// Who, beside the owner, may hold the object. Copies of remote objects are not asked for: their origin has them.
    pub(crate) fn holders(&self) -> Vec<There> {
        if self.view.moving.is_none() || self.bucket.provider.is_remote() {
            return Vec::new();
        }
        let there = |owner: &NodeId| There {
            view: self.view.clone(),
            bucket: self.bucket.clone(),
            owner: owner.clone(),
        };
        self.view.holders_of(self.digest).into_iter().map(there).collect()
    }

    /// Whether the map has changed since it was made: what is not here may have moved away meanwhile.
    pub(crate) fn is_outdated(&self, shard: &Shard) -> bool {
        shard.shared.view.load().smap.version != self.view.smap.version
    }

    /// Whether these are the view and the disks it was made under.
    pub(crate) fn is_under(&self, view: &Arc<ClusterView>, set: &Arc<DiskSet>) -> bool {
        Arc::ptr_eq(&self.view, view) && Arc::ptr_eq(&self.set, set)
    }

    /// What a change of this bucket must survive.
    pub(crate) fn durability(&self) -> Durability {
        match self.info().props.durability {
            weir_cluster::Durability::Durable => Durability::Durable,
            weir_cluster::Durability::Relaxed => Durability::Relaxed,
        }
    }

    /// Has a change of its name carried out. Where the name belongs to another disk by now, it is moved there first, and
    /// so is what was written for it.
    pub(crate) async fn change(
        &self,
        shard: &Shard,
        change: Change<RingFile>,
    ) -> Result<Outcome<RingFile>, CommitError> {
        if self.is_own() && shard.shared.view.load().owners_changed_since(self.view.smap.version) {
            // Since the holders were asked there may be others.
            return Err(CommitError::Store(StoreError::NotOwner));
        }
        let moves = shard.shared.walker.moves();
        let mut change = change;
        let mut moved = None;
        let mut has_copies = false;
        let removes = matches!(change, Change::Delete { .. });
        loop {
            let place = moved.as_ref().unwrap_or(self);
            let same = shard.shared.disks.load().version == place.set.version;
            if !(same && place.settled) {
                let now = place.again_for(shard, what_of(&change)).await?;
                if now.disk().id != place.disk().id {
                    change = take_over(now.volume(), change).await?;
                }
                moved = Some(now);
                continue;
            }
            place.refuse_unknown(&change)?;
            let done = match moves.copies(&place.bucket) {
                1 if !has_copies => place.disk().commits.change(change).await,
                // Boxed: few requests come here, and each connection would hold its state.
                copies => Box::pin(mirror::change(&shard.volumes, moves, &place.set, copies, change)).await,
            };
            match done {
                Ok(Outcome::HasCopies(back)) => {
                    change = *back;
                    has_copies = true;
                }
                Ok(Outcome::Misplaced(back)) => {
                    change = *back;
                    shard.handle.sleep(CATCH_UP_TICK).await;
                }
                Err(CommitError::Store(error)) if error.is_not_found() => {
                    let name = (&place.bucket, &place.name);
                    let unsettled = removes && !has_copies && !place.set.settled;
                    // Boxed: few requests come here, and each connection would hold its state.
                    if unsettled && Box::pin(moves.remove_stayed(&shard.volumes, name)).await? {
                        return Ok(Outcome::Deleted(None));
                    }
                    return Err(absent(&place.set, &place.bucket, &place.name, place.digest).into());
                }
                done => return done,
            }
        }
    }

    /// Has something of its name stored that another target gave, as long as the map is the one by which that was asked. An owner
    /// in between may have changed or removed it, and this target be its owner again by now.
    pub(crate) async fn take_in(
        &self,
        shard: &Shard,
        change: Change<RingFile>,
    ) -> Result<Outcome<RingFile>, CommitError> {
        if self.is_outdated(shard) {
            return Err(CommitError::Store(StoreError::NotOwner));
        }
        self.change(shard, change).await
    }

    /// Waits until every change of its name that was begun here before is done, on all disks that may have a copy.
    pub(crate) async fn settle(&self, shard: &Shard) -> Result<(), CommitError> {
        let settle = || Change::Settle { bucket: self.bucket.clone() };
        let moves = shard.shared.walker.moves();
        if moves.copies(&self.bucket) == 1 {
            return self.change(shard, settle()).await.map(drop);
        }
        // What changes all copies has its turn with the name until it is done.
        let _turn = moves.turn(self.digest).await;
        for disk in &shard.shared.disks.now().disks {
            disk.commits.change(settle()).await?;
        }
        Ok(())
    }

    /// The place of the name under the disks of now, where the object is before this ends, and the upload, if one is named.
    pub(crate) async fn again(&self, shard: &Shard, upload: Option<&str>) -> Result<Self, CommitError> {
        self.again_for(shard, upload.map_or(What::Object, What::Upload)).await
    }

    async fn again_for(&self, shard: &Shard, what: What<'_>) -> Result<Self, CommitError> {
        let moves = shard.shared.walker.moves();
        let (set, _) = moves.settle(&shard.volumes, &self.bucket, &self.name, what).await?;
        let at = set.placed(self.digest).ok_or(StoreError::Abandoned("no disk is in service"))?;
        let volume = shard.volumes.at(&set, at).ok_or(StoreError::Abandoned("a disk could not be opened"))?;
        Ok(Self { set, at, volume, settled: true, ..self.clone() })
    }

    /// Refuses what depends on an object that a disk out of service may hold.
    fn refuse_unknown(&self, change: &Change<RingFile>) -> Result<(), StoreError> {
        let depends = match change {
            Change::Delete { .. } => true,
            Change::Put(put) => !put.terms.is_empty(),
            _ => false,
        };
        match absent(&self.set, &self.bucket, &self.name, self.digest) {
            away @ StoreError::Away { .. } if depends => Err(away),
            _ => Ok(()),
        }
    }
}

/// What of a name is to be where it belongs before a change.
fn what_of(change: &Change<RingFile>) -> What<'_> {
    match change {
        Change::PutPart { upload, .. } | Change::AbortUpload { upload, .. } => What::Upload(upload),
        Change::Put(put) => match &put.upload {
            Some(upload) => What::Upload(upload),
            None if put.terms.is_empty() && put.attrs.moved.is_none() => What::Doomed,
            None => What::Object,
        },
        Change::Delete { terms, .. } if terms.is_empty() => What::Doomed,
        _ => What::Object,
    }
}

/// A change with what was written for it on the disk that it belongs to.
async fn take_over(
    volume: &Volume<RingDisk>,
    change: Change<RingFile>,
) -> Result<Change<RingFile>, StoreError> {
    Ok(match change {
        Change::Put(put) => {
            let Put { bucket, name, prepared, terms, attrs, flight, upload } = *put;
            let prepared = volume.take_over(prepared).await?;
            Change::Put(Box::new(Put { bucket, name, prepared, terms, attrs, flight, upload }))
        }
        Change::PutPart { bucket, name, upload, number, prepared, etag } => {
            let prepared = volume.take_over(prepared).await?;
            Change::PutPart { bucket, name, upload, number, prepared, etag }
        }
        other => other,
    })
}

/// Where a name is.
pub(crate) enum Located {
    /// Here.
    Here(Place),
    /// At another node.
    There(Box<There>),
}

/// The target that a name belongs to, where that is another node, under one view of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct There {
    pub(crate) view: Arc<ClusterView>,
    pub(crate) bucket: Bucket,
    pub(crate) owner: NodeId,
}

impl There {
    /// The owner's entry in the cluster map.
    pub(crate) fn node(&self) -> Option<&Node> {
        self.view.smap.targets.get(&self.owner)
    }
}

impl Shard {
    pub(crate) fn view(&self) -> Arc<ClusterView> {
        self.shared.view.load_full()
    }

    /// The place of an object, if the bucket's own mask allows what the caller is permitted. An unknown bucket of a
    /// provider with an origin is asked for there and adopted.
    pub(crate) async fn place(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        permit: Permit,
    ) -> Result<Place, PlaceError> {
        let mut view = self.view();
        if view.bucket(bucket).is_err() && self.may_adopt(bucket) {
            match self.shared.control.adopt_bucket(bucket.clone()).await {
                Ok(true) => view = self.view(),
                Ok(false) => {}
                Err(why) => return Err(PlaceError::Origin(why)),
            }
        }
        let info = view.bucket(bucket)?;
        if !info.props.access.allows(permit.access()) {
            return Err(PlaceError::Masked);
        }
        self.own_place(view, bucket, name, permit)
    }

    /// The place of an object that is this target's under a view, whatever the bucket's mask allows.
    pub(crate) fn own_place(
        &self,
        view: Arc<ClusterView>,
        bucket: &Bucket,
        name: &ObjectName,
        permit: Permit,
    ) -> Result<Place, PlaceError> {
        let owner = view.owner(bucket, name.as_str()).ok_or(PlaceError::NoTarget)?;
        if view.me.target.as_ref() != Some(&owner.id) {
            let owner = owner.id.clone();
            return Err(PlaceError::Elsewhere(Box::new(There { view, bucket: bucket.clone(), owner })));
        }
        self.place_under(view, bucket, name, permit)
    }

    /// The place of an object here, whoever owns it.
    pub(crate) fn place_under(
        &self,
        view: Arc<ClusterView>,
        bucket: &Bucket,
        name: &ObjectName,
        permit: Permit,
    ) -> Result<Place, PlaceError> {
        let info = view.bucket(bucket)?;
        let (bid, access) = (info.bid, info.props.access);
        let digest = hrw::object_digest(bucket, name.as_str());
        let set = self.shared.disks.now();
        let at = set.placed(digest).ok_or(PlaceError::NoDisk)?;
        let volume = self.volumes.at(&set, at).ok_or(PlaceError::NoDisk)?;
        let settled = set.settled;
        let (slot, bucket, name) = (Slot::of(bucket, name), bucket.clone(), name.clone());
        Ok(Place { _permit: permit, view, bucket, name, digest, bid, slot, access, set, at, volume, settled })
    }

    /// Waits until the view of the cluster has reached a log index, for as long as is borne; whether it has.
    pub(crate) async fn reach(&self, index: u64) -> bool {
        #[cfg(debug_assertions)]
        if crate::planted::takes_stale_maps() {
            return true;
        }
        let give_up = self.handle.now() + Duration::from_secs(limits::CATCH_UP_SECONDS_MAX);
        while self.shared.view.load().index < index {
            if self.handle.now() >= give_up {
                return false;
            }
            self.handle.sleep(CATCH_UP_TICK).await;
        }
        true
    }

    /// The bucket that S3 means by a name.
    pub(crate) fn bucket_by_name(&self, name: &BucketName) -> Result<Option<Bucket>, ClusterError> {
        Ok(self.view().bmd.by_name(name)?.map(|(bucket, _)| bucket.clone()))
    }

    /// The same, asked for at the origins, where there are any.
    pub(crate) async fn find_bucket(&self, name: &BucketName) -> Result<Option<Bucket>, Failure> {
        if self.shared.origins.is_none() {
            return Ok(None);
        }
        let found = self.shared.control.find_bucket(name.clone()).await;
        Ok(found.map_err(PlaceError::Origin)?)
    }

    fn may_adopt(&self, bucket: &Bucket) -> bool {
        bucket.provider.is_remote()
            && self.shared.origins.as_ref().is_some_and(|origins| origins.serves(bucket.provider))
    }
}

/// Why a name has no place here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// No such bucket, as a rule.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The bucket's origin could not be asked.
    #[error("{0}")]
    Origin(String),
    /// The bucket's mask does not allow what the caller may.
    #[error("the bucket's access mask does not allow this")]
    Masked,
    /// The name belongs to another node.
    #[error("the name belongs to t[{}]", .0.owner)]
    Elsewhere(Box<There>),
    /// Every target is under maintenance, or there is none.
    #[error("no target is in service")]
    NoTarget,
    /// Every disk is out.
    #[error("no disk is in service")]
    NoDisk,
}
