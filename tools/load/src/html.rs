//! Reports as pages that need nothing else: tables, and plots as SVG in the page itself.

use std::fmt::Write;

use crate::error::LoadError;
use crate::plot::{Axis, Plot};
use crate::report::{Latency, Report};
use crate::text;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}\
    table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ddd;text-align:right}\
    td:first-child,th:first-child{text-align:left}h2{margin-top:2em}.note{background:#fff3cd;padding:.4em .8em}\
    svg{max-width:100%;height:auto}code{background:#f2f2f2;padding:0 .3em}";

/// A page of one run.
pub(crate) fn page(report: &Report) -> Result<String, LoadError> {
    let title = format!("{} {} over {}", report.mode, report.size, report.api);
    Ok(frame(&title, &section(&title, report)?))
}

/// A page around a body.
pub(crate) fn frame(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>\
         </head>\n<body>\n{body}</body></html>\n"
    )
}

/// Figures and plots of one run below a heading.
pub(crate) fn section(heading: &str, report: &Report) -> Result<String, LoadError> {
    let r = report;
    let mut out = format!("<h2>{}</h2>\n", escaped(heading));
    for note in &r.notes {
        out.push_str(&format!("<p class=\"note\">{}</p>\n", escaped(note)));
    }
    out.push_str(&setting(r));
    out.push_str(&table(&figures(r)));
    if !r.errors_by_kind.is_empty() {
        let rows =
            r.errors_by_kind.iter().map(|e| vec![e.kind.clone(), e.count.to_string(), e.first.clone()]);
        let head = vec!["errors".to_owned(), "count".to_owned(), "the first".to_owned()];
        out.push_str(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
    for plot in plots(r) {
        out.push_str(&plot.svg()?);
        out.push('\n');
    }
    Ok(out)
}

/// What was asked for, in a sentence.
fn setting(r: &Report) -> String {
    let endpoints: Vec<String> = r.endpoints.iter().map(|e| format!("<code>{}</code>", escaped(e))).collect();
    let pace = r.rate.map_or("closed loop".to_owned(), |rate| format!("open loop of {rate} requests/s"));
    format!(
        "<p>{} on {}: {} connections on {} threads, {pace}, {} names in {} order, seed {}{}; {:.1} s{}.</p>\n",
        escaped(&r.size),
        endpoints.join(", "),
        r.connections,
        r.threads,
        r.names,
        r.order,
        r.seed,
        if r.verify { ", content compared" } else { "" },
        r.seconds,
        if r.interrupted { ", stopped early" } else { "" },
    )
}

/// The table of the figures, heads first.
fn figures(r: &Report) -> Vec<Vec<String>> {
    let heads = ["", "requests", "requests/s", "GiB/s", "p50", "p90", "p99", "p99.9", "max"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut row = |name: &str, requests: u64, rate: f64, gib: f64, latency: &Latency| {
        let mut cells =
            vec![name.to_owned(), requests.to_string(), format!("{rate:.0}"), format!("{gib:.3}")];
        let l = latency;
        cells.extend([l.p50, l.p90, l.p99, l.p999, l.max].map(text::time));
        rows.push(cells);
    };
    row("all", r.requests, r.requests_per_second, r.gib_per_second, &r.latency_us);
    for (name, part) in [("reads", &r.reads), ("writes", &r.writes)] {
        if let Some(p) = part {
            row(name, p.requests, p.requests_per_second, p.gib_per_second, &p.latency_us);
        }
    }
    rows.push(vec!["errors".into(), r.errors.to_string()]);
    let busiest = format!("busiest thread {:.0} %", r.loader.busiest_thread * 100.0);
    rows.push(vec!["loader CPU".into(), format!("{:.2} s", r.loader.cpu_seconds), busiest]);
    for s in &r.server {
        let each = s.cpu_us_per_request.map_or(String::new(), |us| format!("{us:.1} us/request"));
        let gib = s.cpu_seconds_per_gib.map_or(String::new(), |c| format!("{c:.3} s/GiB"));
        rows.push(vec![format!("server {}", s.pid), format!("{:.2} s", s.cpu_seconds), each, gib]);
    }
    rows.push(vec!["softirqs".into(), format!("{:.2} s", r.softirq_seconds)]);
    if let Some(open) = &r.open_loop {
        let late = open.lateness_us;
        let mut cells = vec!["sent late".to_owned(), String::new(), String::new(), String::new()];
        cells.extend([late.p50, late.p90, late.p99, late.p999, late.max].map(text::time));
        rows.push(cells);
        rows.push(vec![
            "waiting at the end, left out".into(),
            open.waiting.to_string(),
            open.left_out.to_string(),
        ]);
    }
    rows
}

/// The plots of a run; those over time only where there is time to show.
fn plots(r: &Report) -> Vec<Plot<'_>> {
    let over = |value: &dyn Fn(&crate::report::Row) -> f64| -> Vec<(f64, f64)> {
        r.per_second.iter().map(|row| (row.second as f64, value(row))).collect()
    };
    let seconds = ("second", Axis::Even);
    let mut plots = Vec::new();
    if r.per_second.len() > 1 {
        plots.push(Plot {
            title: "Throughput",
            x: seconds,
            y: ("requests/s", Axis::Even),
            lines: vec![("requests/s", over(&|row| row.requests_per_second))],
        });
        plots.push(Plot {
            title: "Latency over time",
            x: seconds,
            y: ("microseconds", Axis::Decades),
            lines: vec![
                ("p50", over(&|row| row.latency_us.p50)),
                ("p90", over(&|row| row.latency_us.p90)),
                ("p99", over(&|row| row.latency_us.p99)),
                ("p99.9", over(&|row| row.latency_us.p999)),
                ("max", over(&|row| row.latency_us.max)),
            ],
        });
    }
    // One request in so many took longer: 10 is the 90th percentile, 1000 the 99.9th.
    let tail = r.distribution.iter().filter(|(quantile, _)| *quantile < 1.0);
    plots.push(Plot {
        title: "Latency distribution",
        x: ("one request in ... takes longer", Axis::Decades),
        y: ("microseconds", Axis::Decades),
        lines: vec![("latency", tail.map(|(quantile, us)| (1.0 / (1.0 - quantile), *us)).collect())],
    });
    plots
}

/// Rows as a table; the first is its head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let mut out = String::from("<table>\n");
    for (i, row) in rows.iter().enumerate() {
        let cell = if i == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for text in row {
            // Writing to a string cannot fail.
            let _ = write!(out, "<{cell}>{}</{cell}>", escaped(text));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n");
    out
}

/// Text that means itself in a page: servers' messages stand in it.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
