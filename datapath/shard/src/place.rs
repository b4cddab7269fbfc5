//! Where an object is: its bucket's properties and the one disk of this node that its name belongs to.

use std::sync::Arc;

use weir_auth::Permit;
use weir_cluster::{BucketInfo, ClusterError, ClusterView, hrw};
use weir_store::{Change, Durability, Outcome, Slot, Volume};
use weir_types::{Access, Bucket, BucketName, ObjectName};

use crate::committer::{CommitError, CommitPort, disk_of};
use crate::disk::{RingDisk, RingFile};
use crate::fail::Failure;
use crate::shard::Shard;

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
    disk: usize,
}

impl Place {
    /// The bucket's entry. It was there when the place was made, and a view does not change.
    pub(crate) fn info(&self) -> &BucketInfo {
        self.view.bucket(&self.bucket).expect("a place is made of a bucket in its view")
    }

    pub(crate) fn volume<'s>(&self, shard: &'s Shard) -> &'s Volume<RingDisk> {
        &shard.volumes[self.disk]
    }

    pub(crate) fn commits<'s>(&self, shard: &'s Shard) -> &'s CommitPort {
        &shard.shared.disks[self.disk].commits
    }

    /// The directory of its disk, as `Ais-Location` shows it.
    pub(crate) fn mountpath<'s>(&self, shard: &'s Shard) -> &'s std::path::Path {
        &shard.shared.disks[self.disk].path
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

    /// Whether this is the view it was made under.
    pub(crate) fn is_under(&self, view: &Arc<ClusterView>) -> bool {
        Arc::ptr_eq(&self.view, view)
    }

    /// Number of its disk among the node's.
    pub(crate) fn disk(&self) -> usize {
        self.disk
    }

    /// What a change of this bucket must survive.
    pub(crate) fn durability(&self) -> Durability {
        match self.info().props.durability {
            weir_cluster::Durability::Durable => Durability::Durable,
            weir_cluster::Durability::Relaxed => Durability::Relaxed,
        }
    }

    pub(crate) async fn change(
        &self,
        shard: &Shard,
        change: Change<RingFile>,
    ) -> Result<Outcome<RingFile>, CommitError> {
        self.commits(shard).change(change).await
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
        let (bid, access) = (info.bid, info.props.access);
        if !access.allows(permit.access()) {
            return Err(PlaceError::Masked);
        }
        let disk = disk_of(&self.shared.disks, bucket, name).ok_or(PlaceError::NoDisk)?;
        let digest = hrw::object_digest(bucket, name.as_str());
        let (slot, bucket, name) = (Slot::of(bucket, name), bucket.clone(), name.clone());
        Ok(Place { _permit: permit, view, bucket, name, digest, bid, slot, access, disk })
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
    /// Every disk is out.
    #[error("no disk is in service")]
    NoDisk,
}
