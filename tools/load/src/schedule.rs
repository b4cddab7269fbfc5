//! The open loop's arithmetic: when requests are due, which is nobody's choice but the clock's.
//!
//! Requests are due at equal distances from the begin on. One that finds no idle connection waits, and its latency counts from
//! when it was due: a server that stands still for a second shows a second in the report, not one slow request.
//! Time comes in as nanoseconds since the begin.

use weir_types::limits::LOAD_QUEUE_MAX;

/// The requests that one thread sends: every `threads`-th of them all.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// Nanoseconds between two requests of this thread.
    interval: f64,
    /// When its first one is due.
    first: f64,
    /// Requests handed out or left out.
    taken: u64,
    /// Requests left out because too many waited.
    left_out: u64,
}

impl Schedule {
    /// `rate` in requests per second, all threads together.
    pub(crate) fn new(rate: f64, thread: usize, threads: usize) -> Self {
        let between = 1e9 / rate;
        Self { interval: between * threads as f64, first: between * thread as f64, taken: 0, left_out: 0 }
    }

    /// When the next request that was not handed out is due, which may be in the past.
    pub(crate) fn next_due(&self) -> u64 {
        (self.first + self.interval * self.taken as f64) as u64
    }

    /// When the first request after `now` is due.
    pub(crate) fn next_after(&self, now: u64) -> u64 {
        (self.first + self.interval * (self.taken + self.waiting(now)) as f64) as u64
    }

    /// Hands out the next request if it is due at `now`: when it was due. Those for which no room was in the queue are left
    /// out, the oldest first.
    pub(crate) fn take(&mut self, now: u64) -> Option<u64> {
        let waiting = self.waiting(now);
        let too_many = waiting.saturating_sub(LOAD_QUEUE_MAX);
        self.taken += too_many;
        self.left_out += too_many;
        let due = self.next_due();
        (due <= now).then(|| {
            self.taken += 1;
            due
        })
    }

    /// Requests that are due at `now` and not handed out.
    pub(crate) fn waiting(&self, now: u64) -> u64 {
        if now as f64 >= self.first {
            let due = ((now as f64 - self.first) / self.interval) as u64 + 1;
            due.saturating_sub(self.taken)
        } else {
            0
        }
    }

    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_share_the_rate_evenly() {
        let near = |thread, now| {
            let mut schedule = Schedule::new(1000.0, thread, 2);
            std::iter::from_fn(|| schedule.take(now)).collect::<Vec<_>>()
        };
        assert_eq!(near(0, 5_000_000), [0, 2_000_000, 4_000_000]);
        assert_eq!(near(1, 5_000_000), [1_000_000, 3_000_000, 5_000_000]);
        assert_eq!(near(1, 999_999), [0; 0]);
        assert_eq!(Schedule::new(1000.0, 1, 2).next_after(5_000_000), 7_000_000);
    }

    #[test]
    fn waiting_counts_as_latency() {
        // 1000 requests a second, one connection, and a server that answers each at once but stands still from 10 ms to 30 ms.
        let mut schedule = Schedule::new(1000.0, 0, 1);
        let mut latencies = Vec::new();
        let mut now = 0;
        while let Some(due) = schedule.take(now) {
            let sent = now;
            let answered = if (10_000_000..30_000_000).contains(&sent) { 30_000_000 } else { sent };
            latencies.push((answered - due) / 1_000_000);
            now = answered.max(schedule.next_due());
            if now > 40_000_000 {
                break;
            }
        }
        // The requests due while it stood still waited 20 ms, 19 ms, and so on: no single slow one hides the others.
        let slow: Vec<u64> = latencies.iter().copied().filter(|l| *l > 0).collect();
        assert_eq!(slow, (1..=20).rev().collect::<Vec<_>>());
        assert_eq!(latencies.len(), 41);
    }

    #[test]
    fn the_queue_is_bounded_and_what_is_left_out_counted() {
        let mut schedule = Schedule::new(1e9, 0, 1);
        assert_eq!(schedule.waiting(9), 10);
        let now = LOAD_QUEUE_MAX + 99;
        assert_eq!(schedule.take(now), Some(100));
        assert_eq!((schedule.left_out(), schedule.waiting(now)), (100, LOAD_QUEUE_MAX - 1));
        assert_eq!(schedule.take(now), Some(101));
        assert_eq!(schedule.left_out(), 100);
    }
}
