//! What a target keeps of objects, whatever becomes of its processes: each change is there when it is made.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_cluster::{ClusterView, hrw};
use weir_store::CommitId;
use weir_types::{Bucket, ObjectName};

/// A name with its bucket.
pub(super) type Key = (Bucket, ObjectName);

/// An object as it lies on a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Object {
    pub(super) commit: CommitId,
    pub(super) write: u64,
    pub(super) written_ns: u64,
}

/// A target's disks. They outlive its processes.
#[derive(Clone, Default)]
pub(super) struct Disks(Arc<Mutex<OnDisk>>);

#[derive(Default)]
struct OnDisk {
    objects: BTreeMap<Key, Object>,
    lives: u64,
}

impl Disks {
    pub(super) fn begin_life(&self) -> u64 {
        let mut disk = self.0.lock();
        disk.lives += 1;
        disk.lives
    }

    pub(super) fn object(&self, key: &Key) -> Option<Object> {
        self.0.lock().objects.get(key).copied()
    }

    /// Everything on them, in order.
    pub(super) fn all(&self) -> Vec<(Key, Object)> {
        self.0.lock().objects.iter().map(|(key, object)| (key.clone(), *object)).collect()
    }

    pub(super) fn remove_bucket(&self, bucket: &Bucket) {
        self.0.lock().objects.retain(|(of, _), _| of != bucket);
    }

    pub(super) fn put(&self, key: &Key, object: Object) {
        self.0.lock().objects.insert(key.clone(), object);
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.lock().objects.remove(key);
    }
}

pub(super) fn digest((bucket, name): &Key) -> u64 {
    hrw::object_digest(bucket, name.as_str())
}

pub(super) fn is_own(view: &ClusterView, (bucket, name): &Key) -> bool {
    view.is_own(bucket, name.as_str())
}
