//! The report as lines for people.

use std::fmt::Write;

use crate::report::{Errors, Latency, Report};

/// All that matters, in a dozen lines.
pub(crate) fn summary(report: &Report) -> String {
    let mut out = String::new();
    let r = report;
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "{} {} over {}, {} connections on {} threads, {:.1} s{}",
        r.mode,
        r.size,
        r.api,
        r.connections,
        r.threads,
        r.seconds,
        if r.interrupted { " (stopped early)" } else { "" }
    ));
    line(format!("  requests   {:>12}   {:.0}/s", r.requests, r.requests_per_second));
    line(format!("  content    {:>12}   {:.3} GiB/s", size(r.bytes), r.gib_per_second));
    line(format!("  latency    {}", latency(&r.latency_us)));
    for (name, part) in [("  reads      ", &r.reads), ("  writes     ", &r.writes)] {
        if let Some(part) = part {
            line(format!(
                "{name}{:>12}   {:.0}/s   {}",
                part.requests,
                part.requests_per_second,
                latency(&part.latency_us)
            ));
        }
    }
    if let Some(open) = &r.open_loop {
        line(format!("  sent late  {}", latency(&open.lateness_us)));
        line(format!("  waiting    {:>12}   at the end; {} left out", open.waiting, open.left_out));
    }
    line(format!("  errors     {:>12}", r.errors));
    errors(&r.errors_by_kind).lines().for_each(|l| line(l.to_owned()));
    if !r.errors_outside.is_empty() {
        line("  errors before and after the measurement".to_owned());
        errors(&r.errors_outside).lines().for_each(|l| line(l.to_owned()));
    }
    let busiest = r.loader.busiest_thread * 100.0;
    line(format!("  loader     {:>11.2}s   CPU; busiest thread {busiest:.0} %", r.loader.cpu_seconds));
    for s in &r.server {
        let each = s.cpu_us_per_request.map_or(String::new(), |us| format!(", {us:.1} us/request"));
        let gib = s.cpu_seconds_per_gib.map_or(String::new(), |c| format!(", {c:.3} s/GiB"));
        line(format!("  server     {:>11.2}s   CPU of {}{each}{gib}", s.cpu_seconds, s.pid));
    }
    line(format!("  softirqs   {:>11.2}s   on all CPUs", r.softirq_seconds));
    r.notes.iter().for_each(|note| line(format!("  note: {note}")));
    out
}

/// Rows in columns, the first being their heads, and notes below.
pub(crate) fn columns(rows: &[Vec<String>], notes: &[String]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    notes.iter().for_each(|note| out.push_str(&format!("note: {note}\n")));
    out
}

fn errors(errors: &[Errors]) -> String {
    errors.iter().fold(String::new(), |mut out, e| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "    {} {}: {}", e.count, e.kind, e.first);
        out
    })
}

/// Percentiles in the unit that fits each.
pub(crate) fn latency(l: &Latency) -> String {
    let shown = [("p50", l.p50), ("p90", l.p90), ("p99", l.p99), ("p99.9", l.p999), ("max", l.max)];
    shown.map(|(name, us)| format!("{name} {}", time(us))).join("   ")
}

pub(crate) fn time(us: f64) -> String {
    match us {
        _ if us < 1e3 => format!("{us:.0} us"),
        _ if us < 1e6 => format!("{:.2} ms", us / 1e3),
        _ => format!("{:.2} s", us / 1e6),
    }
}

fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes < 1 << 20 => format!("{bytes} B"),
        _ if bytes < 1 << 30 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
