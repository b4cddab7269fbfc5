//! What came of requests: counters and histograms of latencies, by kind of operation.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use weir_types::limits::LOAD_FAILURES_MAX;

use crate::error::{Failure, FailureKind};

/// Latencies are told apart from 100 ns up.
const LATENCY_NS_MIN: u64 = 100;
/// A latency longer than an hour counts as an hour.
const LATENCY_NS_MAX: u64 = 3_600_000_000_000;
/// Three digits: within 0.1 %.
const DIGITS: u8 = 3;

/// A histogram of nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, DIGITS)
        .unwrap_or_else(|_| unreachable!("bounds that the histogram takes"))
}

fn combine(sum: &mut Histogram<u64>, more: &Histogram<u64>) {
    // Both come from `histogram`: one shape, and nothing to refuse.
    let added = sum.add(more);
    debug_assert!(added.is_ok(), "{added:?}");
}

/// Reads or writes; listings count as reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Bytes came.
    Read,
    /// Bytes went.
    Write,
}

/// Requests of one direction.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) latency: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        Self { requests: 0, bytes: 0, latency: histogram() }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bytes += other.bytes;
        combine(&mut self.latency, &other.latency);
    }
}

/// Requests of some time.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) reads: Tally,
    pub(crate) writes: Tally,
    /// How late requests of an open loop were sent.
    pub(crate) late: Histogram<u64>,
    pub(crate) failures: Failures,
    /// Bytes of content that came, also with answers that did not end in this time.
    pub(crate) arrived: u64,
}

impl Record {
    pub(crate) fn new() -> Self {
        Self {
            reads: Tally::new(),
            writes: Tally::new(),
            late: histogram(),
            failures: Failures::default(),
            arrived: 0,
        }
    }

    pub(crate) fn success(
        &mut self,
        direction: Direction,
        latency_ns: u64,
        late_ns: Option<u64>,
        bytes: u64,
    ) {
        let tally = match direction {
            Direction::Read => &mut self.reads,
            Direction::Write => &mut self.writes,
        };
        tally.requests += 1;
        tally.bytes += bytes;
        tally.latency.saturating_record(latency_ns);
        if let Some(late) = late_ns {
            self.late.saturating_record(late);
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.reads.add(&other.reads);
        self.writes.add(&other.writes);
        combine(&mut self.late, &other.late);
        self.failures.add(&other.failures);
        self.arrived += other.arrived;
    }

    /// Begins anew.
    pub(crate) fn reset(&mut self) {
        for tally in [&mut self.reads, &mut self.writes] {
            (tally.requests, tally.bytes) = (0, 0);
            tally.latency.reset();
        }
        self.late.reset();
        self.failures = Failures::default();
        self.arrived = 0;
    }

    pub(crate) fn requests(&self) -> u64 {
        self.reads.requests + self.writes.requests
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.reads.bytes + self.writes.bytes
    }

    /// Both directions together.
    pub(crate) fn latency(&self) -> Histogram<u64> {
        let mut all = self.reads.latency.clone();
        combine(&mut all, &self.writes.latency);
        all
    }
}

/// Failures by kind, each with its first message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures(pub(crate) BTreeMap<FailureKind, (u64, String)>);

impl Failures {
    pub(crate) fn count(&mut self, failure: Failure) {
        self.merge(failure.kind, 1, || failure.message);
    }

    fn merge(&mut self, kind: FailureKind, count: u64, message: impl FnOnce() -> String) {
        // Statuses come from servers: past the bound, those not seen yet count as one kind.
        let full = self.0.len() >= LOAD_FAILURES_MAX && !self.0.contains_key(&kind);
        let kind = if full { FailureKind::Protocol } else { kind };
        self.0.entry(kind).or_insert_with(|| (0, message())).0 += count;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (kind, (count, message)) in &other.0 {
            self.merge(*kind, *count, || message.clone());
        }
    }

    pub(crate) fn all(&self) -> u64 {
        self.0.values().map(|(count, _)| count).sum()
    }

    pub(crate) fn first(&self) -> Option<&str> {
        self.0.values().next().map(|(_, message)| message.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_add_up() {
        let mut one = Record::new();
        one.success(Direction::Read, 1000, None, 10);
        one.success(Direction::Write, 3000, Some(500), 20);
        one.failures.count(FailureKind::Status(404).with("first"));
        let mut two = one.clone();
        two.failures.count(FailureKind::Status(404).with("second"));
        two.add(&one);
        assert_eq!((two.requests(), two.bytes(), two.latency().len(), two.late.len()), (4, 60, 4, 2));
        assert_eq!(two.failures.0[&FailureKind::Status(404)], (3, "first".to_owned()));
        assert_eq!((two.failures.all(), two.failures.first()), (3, Some("first")));
        two.reset();
        assert_eq!((two.requests(), two.latency().len(), two.failures.all()), (0, 0, 0));
    }

    #[test]
    fn kinds_of_failures_are_bounded() {
        let mut failures = Failures::default();
        for status in 0..1000 {
            failures.count(FailureKind::Status(status).with("s"));
        }
        assert!(failures.0.len() <= LOAD_FAILURES_MAX + 1);
        assert_eq!(failures.all(), 1000);
    }
}
