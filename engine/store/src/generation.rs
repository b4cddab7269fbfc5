use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use weir_types::{Bucket, ObjectName};

/// Slots of the table: names share a slot by hash, so a shared slot only costs a cache miss.
const SLOTS: usize = 16_384;

/// One counter per hash of a name, so that caches of open objects on other threads need no message: odd while a change
/// of some name of the slot is becoming visible, even and greater afterwards.
pub(crate) struct Generations(Box<[AtomicU64]>);

impl Generations {
    pub(crate) fn new() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn slot(bucket: &Bucket, name: &ObjectName) -> usize {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one((bucket, name));
        (hash % SLOTS as u64) as usize
    }

    pub(crate) fn load(&self, slot: usize) -> u64 {
        self.0.get(slot).map_or(1, |s| s.load(Ordering::Acquire))
    }

    /// Makes the slot odd: before a change becomes visible. The committer is the only writer.
    pub(crate) fn begin(&self, slot: usize) {
        if let Some(s) = self.0.get(slot) {
            let now = s.load(Ordering::Relaxed);
            assert!(now.is_multiple_of(2), "a change began in a slot whose last one has not ended");
            s.store(now + 1, Ordering::SeqCst);
        }
    }

    /// Makes the slot even: after the change.
    pub(crate) fn end(&self, slot: usize) {
        if let Some(s) = self.0.get(slot) {
            let now = s.load(Ordering::Relaxed);
            assert!(!now.is_multiple_of(2), "a change ended that had not begun");
            s.store(now + 1, Ordering::SeqCst);
        }
    }

    /// Every slot moves on: a whole bucket went away.
    pub(crate) fn bump_all(&self) {
        for s in &self.0 {
            s.fetch_add(2, Ordering::SeqCst);
        }
    }
}
