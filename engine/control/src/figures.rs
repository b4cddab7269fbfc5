//! The control core's own figures, in Prometheus text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use parking_lot::Mutex;

use crate::raft::node::Progress;

/// Counts of what the control thread answered.
#[derive(Default)]
pub(crate) struct Figures {
    answered: Mutex<BTreeMap<(&'static str, u16), Series>>,
}

#[derive(Clone, Copy, Default)]
struct Series {
    count: u64,
    seconds: f64,
}

impl Figures {
    /// Notes one answer of a dialect.
    pub(crate) fn answered(&self, dialect: &'static str, status: u16, took: Duration) {
        let mut answered = self.answered.lock();
        let series = answered.entry((dialect, status)).or_default();
        series.count += 1;
        series.seconds += took.as_secs_f64();
    }

    /// The text, in the exposition format.
    pub(crate) fn render(&self, progress: Progress, uptime: Duration, under_way: usize) -> String {
        let mut out = String::with_capacity(2048);
        let mut figure = |name: &str, kind: &str, help: &str, value: &dyn std::fmt::Display| {
            // Writing to a String cannot fail.
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        };
        figure(
            "weir_uptime_seconds",
            "gauge",
            "Seconds since the control core was ready.",
            &uptime.as_secs_f64(),
        );
        figure("weir_control_under_way", "gauge", "Control requests and calls not yet answered.", &under_way);
        figure("weir_raft_term", "gauge", "Raft term.", &progress.term);
        figure(
            "weir_raft_voters",
            "gauge",
            "Gateways that vote: the cluster goes on without less than half of them.",
            &progress.voters,
        );
        figure("weir_raft_leads", "gauge", "Whether this node leads.", &u8::from(progress.leads));
        figure("weir_raft_last_log_index", "gauge", "Last entry of the log.", &progress.last_log);
        figure("weir_raft_applied_index", "gauge", "Last entry applied.", &progress.applied);
        figure("weir_raft_snapshot_index", "gauge", "Last entry in the snapshot.", &progress.snapshot);
        let answered = self.answered.lock();
        series(&mut out, "weir_control_answers_total", "Control requests answered.", &answered, |s| {
            s.count as f64
        });
        let help = "Seconds spent on control requests, waiting included.";
        series(&mut out, "weir_control_answer_seconds_total", help, &answered, |s| s.seconds);
        out
    }
}

fn series(
    out: &mut String,
    name: &str,
    help: &str,
    all: &BTreeMap<(&'static str, u16), Series>,
    value: impl Fn(&Series) -> f64,
) {
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} counter\n");
    for ((dialect, status), series) in all {
        let _ = writeln!(out, "{name}{{api=\"{dialect}\",status=\"{status}\"}} {}", value(series));
    }
}
