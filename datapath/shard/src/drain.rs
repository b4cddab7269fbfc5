//! The end of a node: requests under way are answered, for a bounded time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Whether the node drains, and for how long at most.
#[derive(Debug, Default)]
pub struct Drain {
    begun: AtomicBool,
    millis: AtomicU64,
}

impl Drain {
    /// From now on connections are not accepted, and requests under way have `most` to end.
    pub fn begin(&self, most: Duration) {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Ordering::Relaxed);
        self.begun.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// What was given to [`Self::begin`].
    pub fn most(&self) -> Duration {
        Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}
