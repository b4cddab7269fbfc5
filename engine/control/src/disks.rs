//! Rates of disks: what they did between two looks at their counters.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weir_ais::DiskStat;

use crate::{Backend, DiskCounters};

/// A look that is younger says too little.
const AGE_MIN: Duration = Duration::from_millis(200);
/// A look that is older says what was, not what is.
const AGE_MAX: Duration = Duration::from_secs(30);
/// How long to wait for a second look when the last one is of no use.
const WAIT: Duration = Duration::from_millis(500);

#[derive(Clone)]
struct Look {
    at: Instant,
    counters: BTreeMap<String, DiskCounters>,
}

/// The last look, for who asks again and again.
#[derive(Default)]
pub(crate) struct DiskRates {
    last: Mutex<Option<Look>>,
}

impl DiskRates {
    /// Rates of each disk since the last question, if that was a short while ago; otherwise over half a second.
    pub(crate) async fn now(&self, backend: &dyn Backend) -> BTreeMap<String, DiskStat> {
        let look = || Look { at: Instant::now(), counters: backend.disk_counters() };
        let last = self.last.lock().clone();
        let before = match last.filter(|l| (AGE_MIN..=AGE_MAX).contains(&l.at.elapsed())) {
            Some(last) => last,
            None => {
                let first = look();
                tokio::time::sleep(WAIT).await;
                first
            }
        };
        let after = look();
        let elapsed = after.at.duration_since(before.at);
        let of = |(name, now): (&String, &DiskCounters)| {
            let then = before.counters.get(name)?;
            Some((name.clone(), stat(then, now, elapsed)))
        };
        let rates = after.counters.iter().filter_map(of).collect();
        *self.last.lock() = Some(after);
        rates
    }
}

fn stat(then: &DiskCounters, now: &DiskCounters, elapsed: Duration) -> DiskStat {
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let number = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
    let per_second = |n: u64| number(u128::from(n) * 1000 / u128::from(ms));
    let average = |bytes: u64, count: u64| number(u128::from(bytes / count.max(1)));
    let (read, written) = (
        now.read_bytes.saturating_sub(then.read_bytes),
        now.written_bytes.saturating_sub(then.written_bytes),
    );
    DiskStat {
        read_bps: per_second(read),
        read_avg: average(read, now.reads.saturating_sub(then.reads)),
        write_bps: per_second(written),
        write_avg: average(written, now.writes.saturating_sub(then.writes)),
        // The two clocks do not tick together.
        util: number(u128::from(now.busy_ms.saturating_sub(then.busy_ms)) * 100 / u128::from(ms)).min(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_differences_over_time() {
        let then = DiskCounters { reads: 10, read_bytes: 1 << 20, writes: 5, written_bytes: 7, busy_ms: 100 };
        let now = DiskCounters {
            reads: 14,
            read_bytes: (1 << 20) + (64 << 10),
            written_bytes: 7,
            busy_ms: 600,
            ..then
        };
        let got = stat(&then, &now, Duration::from_secs(2));
        let want = DiskStat { read_bps: 32 << 10, read_avg: 16 << 10, write_bps: 0, write_avg: 0, util: 25 };
        assert_eq!(got, want);
        assert_eq!(stat(&now, &then, Duration::ZERO), DiskStat::default(), "counters that went back");
        let busy = DiskCounters { busy_ms: 1100, ..then };
        assert_eq!(stat(&then, &busy, Duration::from_millis(999)).util, 100);
    }
}
