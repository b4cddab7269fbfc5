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

impl Unfiled {
    /// What a listing shows of it; `None`: the name is gone.
    pub(crate) fn listed(&self) -> Option<&Record> {
        match self {
            Self::Deleted => None,
            Self::Put { record, .. } => Some(record),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Deleted => 0,
            Self::Put { content, .. } => content.len(),
        }
    }
}

type Names = BTreeMap<ObjectName, Unfiled>;

/// What is acknowledged but not yet filed. Every open and every listing asks it before the disk; while nothing is
/// unfiled that costs one load.
#[derive(Default)]
pub struct Acknowledged {
    count: AtomicUsize,
    bytes: AtomicUsize,
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

    /// Bytes of the objects among them.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
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
        self.bytes.fetch_add(what.bytes(), Ordering::Relaxed);
        let names = match buckets.get_mut(bucket) {
            Some(names) => names,
            None => buckets.entry(bucket.clone()).or_default(),
        };
        let old = match names.get_mut(name) {
            Some(state) => Some(std::mem::replace(state, what)),
            None => names.insert(name.clone(), what),
        };
        match old {
            Some(old) => drop(self.bytes.fetch_sub(old.bytes(), Ordering::Relaxed)),
            None => drop(self.count.fetch_add(1, Ordering::Release)),
        }
    }

    /// Forgets all names of a bucket that is gone.
    pub(crate) fn remove_bucket(&self, bucket: &Bucket) {
        if let Some(names) = self.buckets.write().remove(bucket) {
            self.count.fetch_sub(names.len(), Ordering::Release);
            self.bytes.fetch_sub(names.values().map(Unfiled::bytes).sum(), Ordering::Relaxed);
        }
    }

    /// Forgets a name once its file is in place.
    pub fn remove(&self, bucket: &Bucket, name: &ObjectName) {
        let mut buckets = self.buckets.write();
        let Some(names) = buckets.get_mut(bucket) else { return };
        if let Some(filed) = names.remove(name) {
            self.count.fetch_sub(1, Ordering::Release);
            self.bytes.fetch_sub(filed.bytes(), Ordering::Relaxed);
        }
        if names.is_empty() {
            buckets.remove(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    #[test]
    fn names_and_their_bytes_are_counted() {
        let bucket = |name: &str| Bucket::global(Provider::Ais, BucketName::new(name).unwrap());
        let name = |name: &str| ObjectName::new(name).unwrap();
        let put = |bytes: usize| Unfiled::Put { record: Arc::default(), content: vec![0; bytes].into() };
        let all = Acknowledged::default();
        let check = |names: usize, bytes: usize| assert_eq!((all.len(), all.bytes()), (names, bytes));
        all.insert(&bucket("a"), &name("x"), put(100));
        all.insert(&bucket("a"), &name("y"), put(10));
        all.insert(&bucket("b"), &name("x"), put(1));
        check(3, 111);
        all.insert(&bucket("a"), &name("x"), put(50));
        check(3, 61);
        all.insert(&bucket("a"), &name("x"), Unfiled::Deleted);
        check(3, 11);
        all.remove(&bucket("b"), &name("x"));
        all.remove(&bucket("b"), &name("x"));
        check(2, 10);
        all.remove_bucket(&bucket("a"));
        check(0, 0);
    }
}
