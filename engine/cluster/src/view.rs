use std::sync::Arc;

use weir_types::Bucket;

use crate::{Bmd, ClusterConfig, ClusterError, Jobs, Me, Moving, Node, NodeId, Smap, hrw};

/// What all nodes agreed on up to one log index. Immutable: a change makes a new view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterView {
    /// The last log index that is in it.
    pub index: u64,
    /// The cluster map.
    pub smap: Arc<Smap>,
    /// The buckets.
    pub bmd: Arc<Bmd>,
    /// The configuration.
    pub config: Arc<ClusterConfig>,
    /// Counts changes of the configuration.
    pub config_version: u64,
    /// When the configuration last changed, in nanoseconds since 1970.
    pub config_updated_ns: u64,
    /// The jobs that run, and the last that ended.
    pub jobs: Arc<Jobs>,
    /// Objects that may be elsewhere than at their owner; none: all are there.
    pub moving: Option<Arc<Moving>>,
    /// Who this process is.
    pub me: Arc<Me>,
}

impl ClusterView {
    /// The target that owns the object; none when no target is active.
    pub fn owner(&self, bucket: &Bucket, object: &str) -> Option<&Node> {
        self.smap.owner(hrw::object_digest(bucket, object))
    }

    /// Whether this process owns the object.
    pub fn is_own(&self, bucket: &Bucket, object: &str) -> bool {
        self.owner(bucket, object).is_some_and(|owner| self.me.target.as_ref() == Some(&owner.id))
    }

    /// Whether the object of a name may be elsewhere than at its owner. Copies of remote objects are not looked for: their
    /// origin has them.
    pub fn may_be_elsewhere(&self, bucket: &Bucket, object: &str) -> bool {
        self.moving.is_some()
            && !bucket.provider.is_remote()
            && !self.holders_of(hrw::object_digest(bucket, object)).is_empty()
    }

    /// Whether the owners have changed since this version of the map, as far as that is known: while objects are on the move
    /// because of it.
    pub fn owners_changed_since(&self, version: u64) -> bool {
        self.moving.as_ref().is_some_and(|moving| moving.version > version)
    }

    /// Who, beside its owner, may hold the object of a name.
    pub fn holders_of(&self, object_digest: u64) -> Vec<&NodeId> {
        let (Some(moving), Some(owner)) = (&self.moving, self.smap.owner(object_digest)) else {
            return Vec::new();
        };
        moving.holders_of(object_digest, &owner.id)
    }

    /// The properties in force for `bucket`'s objects, or the error that says it is missing.
    pub fn bucket(&self, bucket: &Bucket) -> Result<&crate::BucketInfo, ClusterError> {
        self.bmd.expect(bucket)
    }
}
