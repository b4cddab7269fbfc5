use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Until when this node may take it that the cluster counts on it: a majority stood behind the leader that said so, and the
/// leader moves nothing of this node's before. Changes are taken only while it holds; reads go on without it, and say that they
/// may be stale. Clones share it; asking costs one load.
#[derive(Clone, Debug)]
pub struct Lease(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begin: Instant,
    /// Nanoseconds after `begin`; 0: never given.
    until: AtomicU64,
}

/// No end: of a node that is a cluster by itself.
const FOREVER: u64 = u64::MAX;

impl Lease {
    /// A lease that nobody has given yet. No `now` asked about later is before `begin`.
    pub fn none(begin: Instant) -> Self {
        Self(Arc::new(Shared { begin, until: AtomicU64::new(0) }))
    }

    /// A lease without an end.
    pub fn forever(begin: Instant) -> Self {
        let lease = Self::none(begin);
        lease.0.until.store(FOREVER, Ordering::Release);
        lease
    }

    /// Whether it holds at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        self.nanos(now) < self.0.until.load(Ordering::Acquire)
    }

    /// For how long it has been over at `now`; zero while it holds, `None` if it never held.
    pub fn over_for(&self, now: Instant) -> Option<Duration> {
        match self.0.until.load(Ordering::Acquire) {
            0 => None,
            until => Some(Duration::from_nanos(self.nanos(now).saturating_sub(until))),
        }
    }

    /// For how long nobody has stood behind this node at `now`: since the lease ended, or since its begin if it was never given.
    /// `None` while it holds.
    pub fn stale_for(&self, now: Instant) -> Option<Duration> {
        let since_begin = || now.saturating_duration_since(self.0.begin);
        (!self.holds(now)).then(|| self.over_for(now).unwrap_or_else(since_begin))
    }

    /// Lets it hold until `until`, unless it holds longer already.
    pub fn extend(&self, until: Instant) {
        self.0.until.fetch_max(self.nanos(until), Ordering::AcqRel);
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.0.begin).as_nanos()).unwrap_or(FOREVER - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_until_its_end_and_is_never_shortened() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let lease = Lease::none(begin);
        assert!(!lease.holds(begin) && lease.over_for(at(9)).is_none());
        assert_eq!(lease.stale_for(at(9)), Some(Duration::from_millis(9)));
        lease.extend(at(10));
        let other = lease.clone();
        other.extend(at(5));
        assert!(lease.holds(at(9)) && !lease.holds(at(10)));
        assert_eq!(lease.over_for(at(9)), Some(Duration::ZERO));
        assert_eq!(lease.over_for(at(13)), Some(Duration::from_millis(3)));
        assert_eq!((lease.stale_for(at(9)), lease.stale_for(at(13))), (None, lease.over_for(at(13))));
        let forever = Lease::forever(begin);
        forever.extend(at(1));
        assert!(forever.holds(at(u64::from(u32::MAX))));
        assert_eq!(forever.over_for(at(5)), Some(Duration::ZERO));
    }
}
