use std::sync::Arc;

use weir_types::Bucket;

use crate::{Bmd, ClusterConfig, ClusterError, Node, Smap, hrw};

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
}

impl ClusterView {
    /// The target that owns the object; none when no target is active.
    pub fn owner(&self, bucket: &Bucket, object: &str) -> Option<&Node> {
        self.smap.owner(hrw::object_digest(bucket, object))
    }

    /// The properties in force for `bucket`'s objects, or the error that says it is missing.
    pub fn bucket(&self, bucket: &Bucket) -> Result<&crate::BucketInfo, ClusterError> {
        self.bmd.expect(bucket)
    }
}
