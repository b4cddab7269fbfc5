//! The report's tables and plots.

use serde_json::json;

use super::PeersArgs;
use super::bench::{Row, Run};
use super::plan::{Case, Contender};
use crate::error::Result;
use crate::report::Report;
use crate::report::plot::Bars;
use crate::report::table::{median, ratio, size, table};
use crate::stats::{Evidence, Mark, Spread, marks};

impl Row {
    /// One figure of every run, in order.
    fn all(&self, of: impl Fn(&Run) -> Option<f64>) -> Vec<Option<f64>> {
        self.runs.iter().map(of).collect()
    }

    fn spread(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(of))
    }

    fn marks(&self) -> Vec<Mark> {
        marks(Evidence {
            runs: self.runs.len(),
            errors: self.runs.iter().map(|r| r.errors).sum(),
            loader_bound: self.runs.iter().filter(|r| r.loader_bound).count(),
            device_share: self.spread(|r| r.device_share).map(|s| s.median),
        })
    }

    fn is_same_group(&self, other: &Row) -> bool {
        (self.case, self.size, self.connections) == (other.case, other.size, other.connections)
    }
}

/// One line to whoever waits.
pub(crate) fn progress(row: &Row) {
    let marks: Vec<String> = row.marks().iter().map(ToString::to_string).collect();
    eprintln!(
        "{:16} {:>4} c{:<3} {:20} {:>9} req/s {:>7} CPU-us {}",
        row.case.name(),
        size(row.size),
        row.connections,
        row.name,
        median(row.spread(|r| Some(r.requests))),
        median(row.spread(|r| r.cpu_us)),
        marks.join("; ")
    );
}

/// Writes everything into the report.
pub(crate) fn fill(report: &mut Report, rows: &[Row], args: &PeersArgs) -> Result<()> {
    report.text(format!(
        "One core for the server with all its threads, one for loader and loop device; XFS on a loop device with direct I/O over \
         tmpfs; memory held. {} interleaved runs of {} s after {} s; medians. A ratio is ours to that row's in the same round, with \
         its range over the rounds: for requests above 1, for CPU below 1 Weir is ahead. A loader-bound row is judged by CPU-us/request. \
         nginx serves the very files that Weir wrote. Durable for fio is write and fsync in as many streams as there are connections. \
         Soft interrupts are those of the server's core; most of them are part of the CPU column already, as loopback delivers in the \
         sender's context.",
        args.runs, args.seconds, args.warmup
    ));
    for case in &args.cases {
        let own: Vec<&Row> = rows.iter().filter(|r| r.case == *case).collect();
        if own.is_empty() {
            continue;
        }
        report.text(format!("## {}", case.title()));
        report.text(case_table(*case, &own));
        for bytes in &args.sizes {
            plots(report, *case, *bytes, &own)?;
        }
    }
    for row in rows {
        report.row(json!({
            "case": row.case, "size": row.size, "connections": row.connections, "server": row.name,
            "marks": row.marks(), "runs": row.runs,
        }));
    }
    Ok(())
}

fn case_table(case: Case, rows: &[&Row]) -> String {
    let mut head = vec![
        "size",
        "conns",
        "server",
        "req/s",
        "GiB/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "CPU-us/req",
        "CPU-s/GiB",
        "softirq-us/req",
    ];
    if case.is_cold() {
        head.push("device %");
    }
    head.extend(["req/s: ours/this", "CPU: ours/this", "p50: ours/this", "marks"]);
    let lines: Vec<Vec<String>> = rows.iter().map(|row| line(case, row, rows)).collect();
    table(&head, 3, &lines)
}

fn line(case: Case, row: &Row, rows: &[&Row]) -> Vec<String> {
    let ours = rows.iter().find(|r| r.contender == Contender::Weir && r.is_same_group(row));
    let compared = |of: fn(&Run) -> Option<f64>| match ours {
        _ if row.contender == Contender::Weir => "1".into(),
        Some(ours) => ratio(Spread::ratio(&ours.all(of), &row.all(of))),
        None => "-".into(),
    };
    let figure = |of: fn(&Run) -> Option<f64>| median(row.spread(of));
    let mut cells = vec![
        size(row.size),
        row.connections.to_string(),
        row.name.clone(),
        figure(|r| Some(r.requests)),
        figure(|r| Some(r.gib)),
        figure(|r| Some(r.latency_us.p50)),
        figure(|r| Some(r.latency_us.p99)),
        figure(|r| Some(r.latency_us.p999)),
        figure(|r| r.cpu_us),
        figure(|r| r.cpu_seconds_per_gib),
        figure(|r| r.softirq_us),
    ];
    if case.is_cold() {
        cells.push(figure(|r| r.device_share.map(|s| s * 100.0)));
    }
    cells.extend([
        compared(|r| Some(r.requests)),
        compared(|r| r.cpu_us),
        compared(|r| Some(r.latency_us.p50)),
    ]);
    let marks: Vec<String> = row.marks().iter().map(ToString::to_string).collect();
    cells.push(marks.join("; "));
    cells
}

/// Requests and CPU of one size over connections.
fn plots(report: &mut Report, case: Case, bytes: u64, rows: &[&Row]) -> Result<()> {
    let own: Vec<&&Row> = rows.iter().filter(|r| r.size == bytes).collect();
    let mut connections: Vec<usize> = own.iter().map(|r| r.connections).collect();
    connections.dedup();
    let mut names: Vec<&str> = Vec::new();
    for row in &own {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    for (what, unit, of) in [
        ("rate", "requests/s", (|r: &Run| Some(r.requests)) as fn(&Run) -> Option<f64>),
        ("cpu", "CPU-us/request", |r: &Run| r.cpu_us),
    ] {
        let value = |name: &str, connections: usize| {
            let row = own.iter().find(|r| r.name == name && r.connections == connections)?;
            row.spread(of).map(|s| s.median)
        };
        let series = |name: &&str| {
            let values: Vec<Option<f64>> = connections.iter().map(|c| value(name, *c)).collect();
            (values.iter().any(Option::is_some)).then(|| ((*name).to_owned(), values))
        };
        let bars = Bars {
            title: format!("{} {}: {unit}", case.title(), size(bytes)),
            y: unit.into(),
            groups: connections.iter().map(|c| format!("{c} connections")).collect(),
            series: names.iter().filter_map(series).collect(),
        };
        report.plot(
            &format!("{}-{}-{what}", case.name(), size(bytes)),
            &format!("{unit}, {}", size(bytes)),
            bars.svg()?,
        );
    }
    Ok(())
}
