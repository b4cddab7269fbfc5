//! How slowly a client may send a body.

use std::time::Duration;

use weir_types::limits;

/// Time that a body's sender has left. It begins with a grace, every byte earns its share of a second at the least rate
/// that is borne, and waiting uses it up. What was earned is bounded by the stall limit: a fast begin buys no long
/// silence.
#[derive(Debug)]
pub(crate) struct Pace {
    left: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { left: Duration::from_secs(limits::BODY_GRACE_SECONDS) }
    }

    /// How long the next bytes may take.
    pub(crate) fn within(&self) -> Duration {
        self.left
    }

    /// `bytes` came after waiting for them. Time in which nobody waited for the client is not its fault.
    pub(crate) fn received(&mut self, bytes: usize, waited: Duration) {
        let earned = Duration::from_nanos(bytes as u64 * 1_000_000_000 / limits::BODY_RATE_MIN);
        let most = Duration::from_secs(limits::STALL_SECONDS_MAX);
        self.left = (self.left.saturating_sub(waited) + earned).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Receipts of `(bytes, waited ms)` and what is left after them, ms.
    fn check(receipts: &[(usize, u64)], left_ms: u64) {
        let mut pace = Pace::new();
        receipts.iter().for_each(|&(n, ms)| pace.received(n, Duration::from_millis(ms)));
        assert_eq!(pace.within(), Duration::from_millis(left_ms), "{receipts:?}");
    }

    #[test]
    fn slow_bodies_run_out_of_time() {
        check(&[], 10_000);
        check(&[(1024, 1000); 100], 10_000);
        check(&[(512, 1000); 19], 500);
        check(&[(0, 9_999)], 1);
        check(&[(256 << 10, 1)], 30_000);
        check(&[(256 << 10, 1), (0, 29_000), (1024, 500)], 1_500);
        check(&[(0, 20_000)], 0);
    }
}
