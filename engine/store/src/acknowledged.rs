use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::RwLock;
use weir_types::{Bucket, ObjectName};

use crate::Record;

/// A change that was acknowledged and is durable elsewhere (a journal), but whose file is not in place yet.
#[derive(Clone, Debug)]
pub enum Unfiled {
    /// The object is gone, whatever the disk says.
    Deleted,
    /// The object is this, whatever the disk says.
    Put {
        /// Its metadata.
        record: Arc<Record>,
        /// Its bytes.
        content: Arc<[u8]>,
    },
}

type Names = BTreeMap<ObjectName, Unfiled>;

/// What is acknowledged but not yet filed. Every open and every listing asks it before the disk; while nothing is
/// unfiled that costs one load.
#[derive(Default)]
pub struct Acknowledged {
    count: AtomicUsize,
    buckets: RwLock<BTreeMap<Bucket, Names>>,
}

impl Acknowledged {
    /// The state of a name, if it is unfiled.
    pub fn find(&self, bucket: &Bucket, name: &ObjectName) -> Option<Unfiled> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.buckets.read().get(bucket)?.get(name).cloned()
    }

    /// Names that are unfiled.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether every name is filed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All unfiled names of a bucket, in the order of their bytes.
    pub fn of_bucket(&self, bucket: &Bucket) -> Vec<(ObjectName, Unfiled)> {
        if self.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let buckets = self.buckets.read();
        buckets.get(bucket).into_iter().flatten().map(|(n, u)| (n.clone(), u.clone())).collect()
    }

    /// Notes a change that is about to be acknowledged.
    pub fn insert(&self, bucket: &Bucket, name: &ObjectName, what: Unfiled) {
        let mut buckets = self.buckets.write();
        let names = match buckets.get_mut(bucket) {
            Some(names) => names,
            None => buckets.entry(bucket.clone()).or_default(),
        };
        let old = match names.get_mut(name) {
            Some(state) => Some(std::mem::replace(state, what)),
            None => names.insert(name.clone(), what),
        };
        if old.is_none() {
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    /// Forgets all names of a bucket that is gone.
    pub(crate) fn remove_bucket(&self, bucket: &Bucket) {
        if let Some(names) = self.buckets.write().remove(bucket) {
            self.count.fetch_sub(names.len(), Ordering::Release);
        }
    }

    /// Forgets a name once its file is in place.
    pub fn remove(&self, bucket: &Bucket, name: &ObjectName) {
        let mut buckets = self.buckets.write();
        let Some(names) = buckets.get_mut(bucket) else { return };
        if names.remove(name).is_some() {
            self.count.fetch_sub(1, Ordering::Release);
        }
        if names.is_empty() {
            buckets.remove(bucket);
        }
    }
}
