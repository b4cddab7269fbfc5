//! What a run has measured, in the shape that its JSON has.

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::plan::Plan;
use crate::record::{Failures, Record, Tally};

/// A thread that was busy for a greater share of the time made the measurement its own.
pub const BOUND_SHARE: f64 = 0.9;
/// Points of the distribution that a report keeps.
const DISTRIBUTION_POINTS: usize = 200;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `get`, `put`, `mixed`, `range` or `list`.
    pub mode: &'static str,
    /// `ais`, `s3` or `http`.
    pub api: &'static str,
    /// Length of objects as it was given.
    pub size: String,
    /// Servers.
    pub endpoints: Vec<String>,
    /// Connections, all threads together.
    pub connections: usize,
    /// Threads.
    pub threads: usize,
    /// Requests per second that were asked for; `None` in a closed loop.
    pub rate: Option<f64>,
    /// Share of writes, in a mixed run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_share: Option<f64>,
    /// Objects of the working set.
    pub names: u64,
    /// What their names begin with.
    pub name_prefix: String,
    /// `uniform`, `sequential` or `zipf`.
    pub order: String,
    /// Of names' order, sizes and content.
    pub seed: u64,
    /// Content was compared.
    pub verify: bool,
    /// Requests were signed.
    pub signed: bool,
    /// Length of the measurement.
    pub seconds: f64,
    /// Requests that succeeded.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Content that went or came with those that succeeded.
    pub bytes: u64,
    /// Content that came within the measurement, also with requests that did not end in it.
    pub arrived_bytes: u64,
    /// Of those that succeeded.
    pub requests_per_second: f64,
    /// Of content.
    pub gib_per_second: f64,
    /// Of requests that succeeded.
    pub latency_us: Latency,
    /// Reads of a mixed run by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<Part>,
    /// Writes of a mixed run by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Part>,
    /// An open loop's queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_loop: Option<OpenLoop>,
    /// Failures by kind.
    pub errors_by_kind: Vec<Errors>,
    /// Failures before and after the measurement.
    pub errors_outside: Vec<Errors>,
    /// Requests without an answer when the run ended.
    pub unfinished: u64,
    /// The run was stopped before its end.
    pub interrupted: bool,
    /// What the loader itself used.
    pub loader: Loader,
    /// What servers' processes used.
    pub server: Vec<Server>,
    /// Time that all CPUs of this machine spent in softirqs.
    pub softirq_seconds: f64,
    /// The measurement second by second.
    pub per_second: Vec<Row>,
    /// Latency at quantiles ever closer to 1: (quantile, microseconds).
    pub distribution: Vec<(f64, f64)>,
    /// What a reader should know of the figures.
    pub notes: Vec<String>,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "each is the percentile of that name")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
    pub mean: f64,
}

/// One direction of a mixed run.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Requests that succeeded.
    pub requests: u64,
    /// Their content.
    pub bytes: u64,
    /// Per second of the measurement.
    pub requests_per_second: f64,
    /// Of content.
    pub gib_per_second: f64,
    /// Their latency.
    pub latency_us: Latency,
}

/// How an open loop kept its schedule. Latencies count from when requests were due.
#[derive(Debug, Clone, Serialize)]
pub struct OpenLoop {
    /// How late requests were sent.
    pub lateness_us: Latency,
    /// Requests that were due and waited at the end.
    pub waiting: u64,
    /// Requests that were due and left out since too many waited.
    pub left_out: u64,
}

/// Failures of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct Errors {
    /// As in `status 404`, `timeout`, `content`.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// What the first one said.
    pub first: String,
}

/// The loader's own CPU time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Loader {
    /// User and system, all threads together.
    pub cpu_seconds: f64,
    /// Busy share of the busiest thread, 0 to 1.
    pub busiest_thread: f64,
    /// A thread was busier than [`BOUND_SHARE`]: the servers could have done more.
    pub loader_bound: bool,
    /// User and system of each.
    pub thread_cpu_seconds: Vec<f64>,
}

/// A server process's CPU time over the measurement.
#[derive(Debug, Clone, Serialize)]
pub struct Server {
    /// Its process.
    pub pid: i32,
    /// User and system, all its threads.
    pub cpu_seconds: f64,
    /// Microseconds for each request of the whole run; `None` without any.
    pub cpu_us_per_request: Option<f64>,
    /// Seconds for each GiB of content of the whole run; `None` without any.
    pub cpu_seconds_per_gib: Option<f64>,
}

/// One second.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// From 1 on.
    pub second: u64,
    /// Requests that succeeded.
    pub requests: u64,
    /// Requests that failed.
    pub errors: u64,
    /// Content.
    pub bytes: u64,
    /// Content that came, also with requests that did not end in this second.
    pub arrived_bytes: u64,
    /// Per second.
    pub requests_per_second: f64,
    /// Of content.
    pub gib_per_second: f64,
    /// Latency.
    pub latency_us: Latency,
}

impl Latency {
    /// Of a histogram of nanoseconds.
    pub(crate) fn of(histogram: &Histogram<u64>) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |quantile| microseconds(histogram.value_at_quantile(quantile) as f64);
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: microseconds(histogram.max() as f64),
            mean: microseconds(histogram.mean()),
        }
    }
}

impl Row {
    /// `width` seconds of a run.
    pub(crate) fn of(second: u64, record: &Record, width: f64) -> Self {
        Self {
            second,
            requests: record.requests(),
            errors: record.failures.all(),
            bytes: record.bytes(),
            arrived_bytes: record.arrived,
            requests_per_second: rounded(record.requests() as f64 / width),
            gib_per_second: gib(record.bytes()) / width,
            latency_us: Latency::of(&record.latency()),
        }
    }
}

impl Part {
    pub(crate) fn of(tally: &Tally, seconds: f64) -> Self {
        Self {
            requests: tally.requests,
            bytes: tally.bytes,
            requests_per_second: rounded(tally.requests as f64 / seconds),
            gib_per_second: gib(tally.bytes) / seconds,
            latency_us: Latency::of(&tally.latency),
        }
    }
}

impl Errors {
    pub(crate) fn of(failures: &Failures) -> Vec<Self> {
        let one = |(kind, (count, first)): (&crate::error::FailureKind, &(u64, String))| Self {
            kind: kind.label(),
            count: *count,
            first: first.clone(),
        };
        failures.0.iter().map(one).collect()
    }
}

impl Server {
    pub(crate) fn of(pid: i32, cpu_seconds: f64, requests: u64, bytes: u64) -> Self {
        Self {
            pid,
            cpu_seconds: rounded(cpu_seconds),
            cpu_us_per_request: (requests > 0).then(|| rounded(cpu_seconds * 1e6 / requests as f64)),
            cpu_seconds_per_gib: (bytes > 0).then(|| cpu_seconds / gib(bytes)),
        }
    }
}

impl Report {
    /// What was asked for, without figures.
    pub(crate) fn of(plan: &Plan) -> Self {
        let write_share = match plan.mode {
            crate::plan::Mode::Mixed(share) => Some(share),
            _ => None,
        };
        Self {
            mode: plan.mode.name(),
            api: plan.api.name(),
            size: plan.sizes.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string),
            endpoints: plan.endpoints.iter().map(|e| format!("http://{}{}", e.authority, e.base)).collect(),
            connections: plan.connections,
            threads: plan.threads,
            rate: plan.rate,
            write_share,
            names: plan.names,
            name_prefix: plan.name_prefix().to_owned(),
            order: format!("{:?}", plan.order).to_lowercase(),
            seed: plan.seed,
            verify: plan.verify,
            signed: plan.access_key.is_some(),
            seconds: 0.0,
            requests: 0,
            errors: 0,
            bytes: 0,
            arrived_bytes: 0,
            requests_per_second: 0.0,
            gib_per_second: 0.0,
            latency_us: Latency::default(),
            reads: None,
            writes: None,
            open_loop: None,
            errors_by_kind: Vec::new(),
            errors_outside: Vec::new(),
            unfinished: 0,
            interrupted: false,
            loader: Loader::default(),
            server: Vec::new(),
            softirq_seconds: 0.0,
            per_second: Vec::new(),
            distribution: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Enters the books of a measurement of so many seconds.
    pub(crate) fn enter(&mut self, record: &Record, seconds: f64) {
        let all = record.latency();
        // A run that was stopped before its measurement began has no seconds.
        let divisor = if seconds > 0.0 { seconds } else { f64::INFINITY };
        self.seconds = rounded(seconds);
        self.requests = record.requests();
        self.errors = record.failures.all();
        self.bytes = record.bytes();
        self.arrived_bytes = record.arrived;
        self.requests_per_second = rounded(self.requests as f64 / divisor);
        self.gib_per_second = gib(self.bytes) / divisor;
        self.latency_us = Latency::of(&all);
        if self.write_share.is_some() {
            self.reads = Some(Part::of(&record.reads, divisor));
            self.writes = Some(Part::of(&record.writes, divisor));
        }
        self.errors_by_kind = Errors::of(&record.failures);
        self.distribution = distribution(&all);
    }

    /// Whether objects came that were not what was written.
    pub fn wrong_content(&self) -> bool {
        self.errors_by_kind.iter().chain(&self.errors_outside).any(|e| e.kind == "content")
    }
}

fn distribution(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let points = histogram.iter_quantiles(10).take(DISTRIBUTION_POINTS);
    points.map(|v| (v.quantile_iterated_to(), microseconds(v.value_iterated_to() as f64))).collect()
}

/// Bytes as GiB.
pub(crate) fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Nanoseconds as microseconds.
fn microseconds(ns: f64) -> f64 {
    rounded(ns / 1e3)
}

/// With three digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
