use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use weir_types::{Bucket, ObjectName};

/// Slots of the table: names share a slot by hash, so a shared slot only costs a cache miss.
const SLOTS: usize = 16_384;
/// Bits of a generation that count a slot's changes; those above count changes of everything.
const SLOT_BITS: u32 = 48;

/// Where the generation of a name is kept: the same for ever, on every mountpath.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Slot(usize);

impl Slot {
    /// The slot of an object's name.
    pub fn of(bucket: &Bucket, name: &ObjectName) -> Self {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one((bucket, name));
        Self((hash % SLOTS as u64) as usize)
    }
}

/// One counter per hash of a name, so that caches of open objects on other threads need no message: odd while a change
/// of some name of the slot is becoming visible, even and greater afterwards. The committer is the only writer.
pub(crate) struct Generations {
    slots: Box<[AtomicU64]>,
    /// The same for all names at once: a bucket goes away.
    all: AtomicU64,
}

impl Generations {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), all: AtomicU64::new(0) }
    }

    /// `None` while a change is becoming visible. Two equal answers mean that nothing changed from the first to the
    /// second: the common counter is read before the slot's, and at the moment between the two reads both were as read.
    pub(crate) fn load(&self, slot: Slot) -> Option<u64> {
        let all = self.all.load(Ordering::Acquire);
        let own = self.slots.get(slot.0)?.load(Ordering::Acquire);
        (all.is_multiple_of(2) && own.is_multiple_of(2)).then_some(all << SLOT_BITS | own)
    }

    /// Makes the slot odd: before a change becomes visible.
    pub(crate) fn begin(&self, slot: Slot) {
        if let Some(s) = self.slots.get(slot.0) {
            begin(s);
        }
    }

    /// Makes the slot even: after the change.
    pub(crate) fn end(&self, slot: Slot) {
        if let Some(s) = self.slots.get(slot.0) {
            end(s);
        }
    }

    /// Before a whole bucket goes away.
    pub(crate) fn begin_all(&self) {
        begin(&self.all);
    }

    /// After it went.
    pub(crate) fn end_all(&self) {
        end(&self.all);
    }
}

fn begin(counter: &AtomicU64) {
    let now = counter.load(Ordering::Relaxed);
    assert!(now.is_multiple_of(2), "a change began in a slot whose last one has not ended");
    counter.store(now + 1, Ordering::SeqCst);
}

fn end(counter: &AtomicU64) {
    let now = counter.load(Ordering::Relaxed);
    assert!(!now.is_multiple_of(2), "a change ended that had not begun");
    counter.store(now + 1, Ordering::SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_while_it_lasts_and_afterwards() {
        let g = Generations::new();
        let (a, b) = (Slot(1), Slot(2));
        let before = g.load(a).unwrap();
        assert_eq!(g.load(a), Some(before));
        g.begin(a);
        assert_eq!((g.load(a), g.load(b)), (None, Some(0)));
        g.end(a);
        let after = g.load(a).unwrap();
        assert!(after > before);
        g.begin_all();
        assert_eq!((g.load(a), g.load(b)), (None, None));
        g.begin(b);
        g.end(b);
        g.end_all();
        assert!(g.load(a).unwrap() > after && g.load(b).unwrap() > 0);
        assert_eq!(g.load(Slot(SLOTS)), None, "no such slot, nothing to rely on");
    }
}
