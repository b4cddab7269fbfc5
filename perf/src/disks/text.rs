//! The report's tables and plots.

use super::bench::{Point, Run, Shape, Who};
use super::{DisksArgs, Mode};
use crate::error::Result;
use crate::report::Report;
use crate::report::plot::{Line, Lines};
use crate::report::table::{median, size, table};
use crate::stats::{Evidence, Spread, marks};

impl Point {
    fn spread(&self, of: impl Fn(&Run) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.runs.iter().filter_map(of))
    }

    /// MB/s of all disks, 10^6 bytes.
    fn rate(&self) -> f64 {
        self.spread(|r| Some(r.bytes_per_second / 1e6)).map_or(f64::NAN, |s| s.median)
    }

    fn marks(&self) -> String {
        let marks = marks(Evidence {
            runs: self.runs.len(),
            errors: self.runs.iter().map(|r| r.errors).sum(),
            loader_bound: self.runs.iter().filter(|r| r.loader_bound).count(),
            device_share: self.spread(|r| r.device_share).map(|s| s.median),
        });
        marks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    fn is_same_series(&self, other: &Point) -> bool {
        (self.shape, self.bandwidth, self.mode, self.who)
            == (other.shape, other.bandwidth, other.mode, other.who)
    }
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Weir => "weir",
            Self::Fio => "fio",
        }
    }
}

/// One line to whoever waits.
pub(crate) fn progress(point: &Point) {
    let of = match point.shape {
        Shape::Disks => "disks",
        Shape::Targets => "targets",
    };
    eprintln!(
        "{} {of} of {} MB/s, {}, {:4}: {:.0} MB/s, {:.1} % of ideal {}",
        point.count,
        point.bandwidth,
        point.mode.name(),
        point.who.name(),
        point.rate(),
        100.0 * point.rate() / ideal(point),
        point.marks(),
    );
}

fn ideal(point: &Point) -> f64 {
    (point.count as u64 * point.bandwidth) as f64
}

/// Writes everything into the report.
pub(crate) fn fill(report: &mut Report, points: &[Point], args: &DisksArgs) -> Result<()> {
    report.text(format!(
        "Disks are XFS on loop devices with direct I/O over tmpfs, each limited by the block cgroup to the bandwidth given (MB are 10^6 \
         bytes), for reads and for writes. Objects of {}, {} requests under way for each disk, {} interleaved runs of {} s after {} s; \
         medians. One core for the server with all its threads, one for loader and loop devices. The set is twenty times what the server's \
         memory cgroup leaves for page cache. PUTs are durable. fio reads or writes as much at a time directly, as many under way. Names are chosen so \
         that objects lie evenly on the disks; the fullest disk's share of the mean is given, and bounds what can be reached.",
        size(args.size),
        args.depth,
        args.runs,
        args.seconds, args.warmup
    ));
    for (shape, title) in [
        (Shape::Disks, "N disks in one node"),
        (Shape::Targets, "Independent nodes side by side, one disk each"),
    ] {
        let own: Vec<&Point> = points.iter().filter(|p| p.shape == shape).collect();
        if own.is_empty() {
            continue;
        }
        report.text(format!("## {title}"));
        report.text(shape_table(shape, &own));
        let mut shown: Vec<&Point> = Vec::new();
        for point in own.iter().filter(|p| p.who == Who::Weir) {
            if !shown.iter().any(|s| s.is_same_series(point)) {
                plot(report, shape, args.size, point.bandwidth, point.mode, &own)?;
                shown.push(point);
            }
        }
    }
    for point in points {
        report.row(serde_json::json!(point));
    }
    Ok(())
}

fn shape_table(shape: Shape, points: &[&Point]) -> String {
    let count = if shape == Shape::Disks { "disks" } else { "targets" };
    let head = [
        "MB/s a disk",
        "mode",
        "",
        count,
        "MB/s",
        "min-max",
        "of ideal",
        "of N x single",
        "CPU-s/GiB",
        "core busy",
        "device %",
        "fullest disk",
        "marks",
    ];
    let mut points = points.to_vec();
    points.sort_by_key(|p| (p.bandwidth, p.mode as u8, p.who as u8, p.count));
    let lines: Vec<Vec<String>> = points.iter().map(|point| line(point, &points)).collect();
    table(&head, 3, &lines)
}

fn line(point: &Point, all: &[&Point]) -> Vec<String> {
    // The fewest disks of the series stand for the single one.
    let single = all.iter().filter(|p| p.is_same_series(point)).min_by_key(|p| p.count);
    let efficiency =
        single.map_or(f64::NAN, |s| point.rate() / s.rate() * s.count as f64 / point.count as f64);
    let range = point.spread(|r| Some(r.bytes_per_second / 1e6));
    let percent = |share: f64| if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "-".into() };
    vec![
        point.bandwidth.to_string(),
        point.mode.name().into(),
        point.who.name().into(),
        point.count.to_string(),
        format!("{:.0}", point.rate()),
        range.map_or("-".into(), |s| format!("{:.0}-{:.0}", s.min, s.max)),
        percent(point.rate() / ideal(point)),
        percent(efficiency),
        median(point.spread(|r| r.cpu_seconds_per_gib)),
        point.spread(|r| r.server_busy).map_or("-".into(), |s| percent(s.median)),
        point.spread(|r| r.device_share).map_or("-".into(), |s| percent(s.median)),
        if point.who == Who::Weir { format!("{:.3}", point.imbalance) } else { "-".into() },
        point.marks(),
    ]
}

fn plot(
    report: &mut Report,
    shape: Shape,
    object: u64,
    bandwidth: u64,
    mode: Mode,
    points: &[&Point],
) -> Result<()> {
    let series = |who: Who| {
        let own = points.iter().filter(|p| p.bandwidth == bandwidth && p.mode == mode && p.who == who);
        let mut line: Vec<(f64, f64)> = own.map(|p| (p.count as f64, p.rate())).collect();
        line.sort_by(|a, b| a.0.total_cmp(&b.0));
        line
    };
    let most = series(Who::Weir).last().map_or(1.0, |p| p.0);
    let (what, file) = match shape {
        Shape::Disks => ("disks", "disks"),
        Shape::Targets => ("targets", "targets"),
    };
    let lines = Lines {
        title: format!("{} of {}, {what} of {bandwidth} MB/s", mode.name().to_uppercase(), size(object)),
        x: what.into(),
        y: "MB/s".into(),
        series: vec![
            Line {
                name: "ideal".into(),
                points: vec![(0.0, 0.0), (most, most * bandwidth as f64)],
                ideal: true,
            },
            Line { name: "weir".into(), points: series(Who::Weir), ideal: false },
            Line { name: "fio".into(), points: series(Who::Fio), ideal: false },
        ],
        marks: Vec::new(),
    };
    report.plot(&format!("{file}-{bandwidth}-{}", mode.name()), &lines.title.clone(), lines.svg()?);
    Ok(())
}
