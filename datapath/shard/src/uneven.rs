//! Whether copies of objects may be uneven: what was under way when a process died or a disk failed may be on some disks and
//! not on others. Who reads such an object has it made even; a pass over all of them does it for those that nobody reads, and
//! is due until one has come to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What may be uneven on a node. Clones share it.
#[derive(Clone, Default)]
pub struct Uneven(Arc<Marks>);

#[derive(Default)]
struct Marks {
    /// How often something may have been left uneven.
    made: AtomicU64,
    /// How many of these a pass has seen to.
    seen_to: AtomicU64,
}

impl Uneven {
    /// Something may be uneven.
    pub fn mark(&self) {
        self.0.made.fetch_add(1, Ordering::AcqRel);
    }

    /// The mark up to which a pass that begins now sees to everything; none if nothing is known to be uneven.
    pub fn due(&self) -> Option<u64> {
        let made = self.0.made.load(Ordering::Acquire);
        (self.0.seen_to.load(Ordering::Acquire) < made).then_some(made)
    }

    /// A pass has seen to everything up to a mark.
    pub fn seen_to(&self, mark: u64) {
        self.0.seen_to.fetch_max(mark, Ordering::AcqRel);
    }

    /// A change of several copies begins.
    pub(crate) fn change(&self) -> Changing {
        Changing { uneven: self.clone(), is_whole: false }
    }
}

/// A change of several copies, which leaves them uneven unless it is said to be whole.
pub(crate) struct Changing {
    uneven: Uneven,
    is_whole: bool,
}

impl Changing {
    /// All copies are changed, or none.
    pub(crate) fn whole(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        if !self.is_whole {
            self.uneven.mark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_marked_during_a_pass_is_due_after_it() {
        let uneven = Uneven::default();
        uneven.change().whole();
        assert_eq!(uneven.due(), None);
        drop(uneven.change());
        let first = uneven.due().unwrap();
        uneven.mark();
        uneven.seen_to(first);
        let second = uneven.due().unwrap();
        uneven.seen_to(second);
        uneven.seen_to(first);
        assert_eq!(uneven.due(), None);
    }
}
