//! What a shard counts. Written by its own thread, read by whoever renders `/metrics`.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Operations that are counted and timed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Op {
    /// Object read from a local disk.
    Get,
    /// Object read while it arrives from its origin, or straight from there.
    ColdGet,
    /// Object written.
    Put,
    /// Object metadata read.
    Head,
    /// Object deleted.
    Delete,
    /// Object copied or renamed.
    Copy,
    /// Multipart create, part, complete, abort and lists.
    Multipart,
    /// Whatever the control core answered.
    Control,
}

impl Op {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Get, "get"),
        (Self::ColdGet, "cold_get"),
        (Self::Put, "put"),
        (Self::Head, "head"),
        (Self::Delete, "delete"),
        (Self::Copy, "copy"),
        (Self::Multipart, "multipart"),
        (Self::Control, "control"),
    ];
}

#[derive(Debug)]
struct OpMetrics {
    requests: AtomicU64,
    errors: AtomicU64,
    // Locked by one writer at a time; contended only while /metrics is rendered.
    micros: Mutex<Histogram<u64>>,
}

/// Counters of one shard.
#[derive(Debug)]
pub struct ShardMetrics {
    ops: [OpMetrics; Op::ALL.len()],
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections accepted in all.
    pub accepted: AtomicU64,
    /// Bytes of bodies received.
    pub bytes_in: AtomicU64,
    /// Bytes of bodies sent.
    pub bytes_out: AtomicU64,
    /// Objects whose files are kept open.
    pub open_objects: AtomicU64,
    /// Bytes of objects kept in memory.
    pub hot_bytes: AtomicU64,
    /// Requests refused because a bound was reached.
    pub overloaded: AtomicU64,
    /// Panics caught, each of which cost its connections.
    pub panics: AtomicU64,
    /// Steps over 2 ms in which the shard's thread slept: it waited for a disk.
    pub stalls_slept: AtomicU64,
    /// The longest of them, in microseconds.
    pub stall_slept_longest: AtomicU64,
    /// Steps over 2 ms in which pages of the program were read in.
    pub stalls_paged: AtomicU64,
    /// Steps over 2 ms in which it ran, or had its CPU taken away.
    pub stalls_ran: AtomicU64,
}

impl Default for ShardMetrics {
    fn default() -> Self {
        let op = || OpMetrics {
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            // 1 us to 1 h in two significant digits: about 20 KiB each.
            micros: Mutex::new(Histogram::new_with_bounds(1, 3_600_000_000, 2).expect("constant bounds")),
        };
        Self {
            ops: std::array::from_fn(|_| op()),
            connections: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            open_objects: AtomicU64::new(0),
            hot_bytes: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            stalls_slept: AtomicU64::new(0),
            stall_slept_longest: AtomicU64::new(0),
            stalls_paged: AtomicU64::new(0),
            stalls_ran: AtomicU64::new(0),
        }
    }
}

impl ShardMetrics {
    /// Counts one answered request.
    pub fn record(&self, op: Op, status: u16, took: Duration) {
        let m = &self.ops[op as usize];
        m.requests.fetch_add(1, Relaxed);
        if status >= 400 {
            m.errors.fetch_add(1, Relaxed);
        }
        if let Ok(mut h) = m.micros.lock() {
            h.saturating_record((took.as_micros() as u64).max(1));
        }
    }

    /// Requests of one operation so far.
    pub fn requests(&self, op: Op) -> u64 {
        self.ops[op as usize].requests.load(Relaxed)
    }

    /// Requests of one operation answered with an error so far.
    pub fn errors(&self, op: Op) -> u64 {
        self.ops[op as usize].errors.load(Relaxed)
    }
}

/// The shards' part of `/metrics`, in the Prometheus text format.
pub fn render(shards: &[std::sync::Arc<ShardMetrics>]) -> String {
    let mut out = String::with_capacity(8 << 10);
    let mut family = |name: &str, kind: &str, help: &str, lines: &mut dyn FnMut(&mut String)| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        lines(&mut out);
    };
    let per_op = |out: &mut String, name: &str, value: &dyn Fn(&OpMetrics) -> u64| {
        for (i, shard) in shards.iter().enumerate() {
            for (op, label) in Op::ALL {
                let v = value(&shard.ops[op as usize]);
                let _ = writeln!(out, "{name}{{shard=\"{i}\",op=\"{label}\"}} {v}");
            }
        }
    };
    family("weir_requests_total", "counter", "Requests answered.", &mut |out| {
        per_op(out, "weir_requests_total", &|m| m.requests.load(Relaxed));
    });
    family("weir_request_errors_total", "counter", "Requests answered with 4xx or 5xx.", &mut |out| {
        per_op(out, "weir_request_errors_total", &|m| m.errors.load(Relaxed));
    });
    family("weir_request_seconds", "summary", "Time from request head to last byte.", &mut |out| {
        for (i, shard) in shards.iter().enumerate() {
            for (op, label) in Op::ALL {
                let m = &shard.ops[op as usize];
                let Ok(h) = m.micros.lock() else { continue };
                if h.is_empty() {
                    continue;
                }
                for q in [0.5, 0.99, 0.999] {
                    let s = h.value_at_quantile(q) as f64 / 1e6;
                    let _ = writeln!(
                        out,
                        "weir_request_seconds{{shard=\"{i}\",op=\"{label}\",quantile=\"{q}\"}} {s}"
                    );
                }
                let sum = h.mean() * h.len() as f64 / 1e6;
                let _ = writeln!(out, "weir_request_seconds_sum{{shard=\"{i}\",op=\"{label}\"}} {sum}");
                let _ =
                    writeln!(out, "weir_request_seconds_count{{shard=\"{i}\",op=\"{label}\"}} {}", h.len());
            }
        }
    });
    type Gauge = (&'static str, &'static str, &'static str, fn(&ShardMetrics) -> &AtomicU64);
    let singles: [Gauge; 12] = [
        ("weir_connections", "gauge", "Connections open.", |m| &m.connections),
        ("weir_connections_accepted_total", "counter", "Connections accepted.", |m| &m.accepted),
        ("weir_received_bytes_total", "counter", "Bytes of bodies received.", |m| &m.bytes_in),
        ("weir_sent_bytes_total", "counter", "Bytes of bodies sent.", |m| &m.bytes_out),
        ("weir_open_objects", "gauge", "Objects whose files are kept open.", |m| &m.open_objects),
        ("weir_hot_bytes", "gauge", "Bytes of objects kept in memory.", |m| &m.hot_bytes),
        ("weir_overloaded_total", "counter", "Requests refused at a bound.", |m| &m.overloaded),
        ("weir_panics_total", "counter", "Panics caught.", |m| &m.panics),
        ("weir_stalls_slept_total", "counter", "Steps over 2 ms that waited for a disk.", |m| {
            &m.stalls_slept
        }),
        ("weir_stall_slept_longest_us", "gauge", "The longest of them, in microseconds.", |m| {
            &m.stall_slept_longest
        }),
        (
            "weir_stalls_paged_total",
            "counter",
            "Steps over 2 ms that waited for pages of the program: the host is short of memory.",
            |m| &m.stalls_paged,
        ),
        ("weir_stalls_ran_total", "counter", "Steps over 2 ms without the CPU, or of computing.", |m| {
            &m.stalls_ran
        }),
    ];
    for (name, kind, help, field) in singles {
        family(name, kind, help, &mut |out| {
            for (i, shard) in shards.iter().enumerate() {
                let _ = writeln!(out, "{name}{{shard=\"{i}\"}} {}", field(shard).load(Relaxed));
            }
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_appear() {
        let m = ShardMetrics::default();
        m.record(Op::Get, 200, Duration::from_micros(100));
        m.record(Op::Get, 404, Duration::from_micros(100));
        let text = render(&[std::sync::Arc::new(m)]);
        for line in [
            "weir_requests_total{shard=\"0\",op=\"get\"} 2",
            "weir_request_errors_total{shard=\"0\",op=\"get\"} 1",
            "weir_request_seconds{shard=\"0\",op=\"get\",quantile=\"0.5\"} 0.0001",
            "weir_connections{shard=\"0\"} 0",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
