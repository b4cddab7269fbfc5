//! The protocol by which a sender learns whether its peer sleeps, and nothing else, so that loom can try every interleaving.
//!
//! The sleeper says "asleep" and then looks at its queues once more; the sender puts its message in and then looks whether
//! the peer is asleep. A sequentially consistent fence between the two steps on each side makes at least one of them see the
//! other: either the sleeper finds the message and stays up, or the sender finds it asleep and rings. The sender that
//! turns "asleep" off rings, so a peer is rung once however many send. All changes of the flag are exchanges that acquire and
//! release, so that each knows of the one before it: a sender never takes an earlier sleep, long ended, for the present one.

#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, Ordering, fence};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// Whether the owner sleeps in the kernel or is about to.
#[derive(Debug)]
pub struct Sleeping(AtomicBool);

impl Default for Sleeping {
    fn default() -> Self {
        Sleeping(AtomicBool::new(false))
    }
}

impl Sleeping {
    /// The owner is about to sleep. It must look for work after this and before sleeping, and call [`Sleeping::wake`] after either.
    pub fn prepare(&self) {
        self.0.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// The owner is up again.
    pub fn wake(&self) {
        self.0.swap(false, Ordering::AcqRel);
    }

    /// A sender has put its message in. True: the owner sleeps, ring its bell.
    #[must_use]
    pub fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::AcqRel)
    }
}
