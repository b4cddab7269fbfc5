//! The report of `moves`: for each demonstration what happened, what readers saw meanwhile, and their throughput over time.

use super::{MovesArgs, Shown, Step};
use crate::error::Result;
use crate::report::Report;
use crate::report::plot::{Line, Lines};
use crate::report::table::table;

/// One line on the terminal.
pub(super) fn progress(shown: &Shown) {
    let slowest = shown.rate.iter().copied().fold(f64::INFINITY, f64::min);
    eprintln!(
        "{}: {} reads, {} errors, the slowest second {slowest:.0} MB/s, {:.0} % of the CPU, objects compared in the end: {}",
        shown.show.name(),
        shown.requests,
        shown.errors,
        100.0 * shown.busy,
        checked(shown)
    );
}

fn checked(shown: &Shown) -> String {
    let each = shown.checked.iter().map(|(bucket, objects)| format!("{objects} of {bucket}"));
    each.collect::<Vec<_>>().join(", ")
}

/// Writes everything into the report.
pub(super) fn fill(report: &mut Report, all: &[Shown], args: &MovesArgs) -> Result<()> {
    report.text(format!(
        "A gateway and {} targets, each a process, with {} disks each: XFS on loop devices with direct I/O over tmpfs, limited by the \
         block cgroup to {} MB/s. {} MiB of 1 MiB objects on each disk at the beginning. {} reads under way for each disk, asked of \
         the gateway and redirected, for {} s. All processes on all cores; a memory cgroup leaves room for a twentieth of the set in the \
         page cache. In the end every object is read and compared with what was written; one that is missing or different ends the command \
         with an error.",
        args.targets, args.mountpaths, args.bandwidth, args.mib, args.depth, args.seconds
    ));
    for shown in all {
        report.text(format!("## {}", title(shown)));
        report.text(phases(shown, args.bandwidth));
        report.text(format!(
            "{} reads while this happened, {} of them failed; {:.0} % of all cores' time was used, loader and disks included. Compared in the end: {} objects, none missing, none different.",
            shown.requests,
            shown.errors,
            100.0 * shown.busy,
            checked(shown)
        ));
        if let Some(seconds) = shown.led_again {
            report.text(format!(
                "Three gateways, the readers ask one that does not lead. Another one led {seconds:.1} s after the leader's death. What is killed is looked at for 5 s by itself."
            ));
        }
        report.plot(shown.show.name(), title(shown), plot(shown, args.bandwidth).svg()?);
        report.row(serde_json::json!(shown));
    }
    Ok(())
}

fn title(shown: &Shown) -> &'static str {
    match shown.show {
        super::Show::Rebalance => "A bucket is copied, a target leaves",
        super::Show::Resilver => "A disk is taken out and in again",
        super::Show::Loss => "The leader is killed and started again, then a target",
    }
}

/// Stretches of time: each step, and the rests around them.
fn stretches(shown: &Shown) -> Vec<(String, f64, f64, usize, Option<&Step>)> {
    let end = shown.rate.len() as f64;
    let mut from = 0.0;
    let mut disks = shown.steps.iter().map(|s| s.disks).max().unwrap_or(0);
    let mut all = Vec::new();
    for step in &shown.steps {
        all.push(("reads alone".to_owned(), from, step.from.min(end), disks, None));
        disks = step.disks;
        all.push((step.what.clone(), step.from.min(end), step.until.min(end), disks, Some(step)));
        from = step.until.min(end);
    }
    all.push(("reads alone".to_owned(), from, end, disks, None));
    all
}

fn phases(shown: &Shown, bandwidth: u64) -> String {
    let rows = stretches(shown).into_iter().map(|(what, from, until, disks, step)| {
        // Whole seconds within.
        let (first, last) = (from.ceil() as usize, (until as usize).min(shown.rate.len()));
        let within = shown.rate.get(first..last.max(first)).unwrap_or_default();
        let mean = within.iter().sum::<f64>() / within.len().max(1) as f64;
        let least = within.iter().copied().fold(f64::INFINITY, f64::min);
        let figure = |value: f64| if within.is_empty() { "-".into() } else { format!("{value:.0}") };
        let moved = step.map(|s| s.moved);
        vec![
            what,
            format!("{from:.0}-{until:.0}"),
            disks.to_string(),
            figure(mean),
            figure(least),
            figure(100.0 * mean / (disks as u64 * bandwidth) as f64),
            step.map_or(String::new(), |s| format!("{:.1}", s.until - s.from)),
            moved.map_or(String::new(), |m| m.objects.to_string()),
            moved.map_or(String::new(), |m| format!("{:.0}", m.bytes as f64 / 1e6)),
        ]
    });
    table(
        &[
            "",
            "seconds",
            "disks",
            "reads MB/s",
            "least in a second",
            "% of the disks",
            "took s",
            "objects moved",
            "MB moved",
        ],
        1,
        &rows.collect::<Vec<_>>(),
    )
}

fn plot(shown: &Shown, bandwidth: u64) -> Lines {
    let disks = stretches(shown).into_iter().flat_map(|(_, from, until, disks, _)| {
        let all = (disks as u64 * bandwidth) as f64;
        [(from, all), (until, all)]
    });
    let reads = shown.rate.iter().enumerate().map(|(second, rate)| (second as f64 + 0.5, *rate));
    Lines {
        title: title(shown).into(),
        x: "seconds".into(),
        y: "MB/s".into(),
        series: vec![
            Line { name: "all disks in service".into(), points: disks.collect(), ideal: true },
            Line { name: "reads".into(), points: reads.collect(), ideal: false },
        ],
        marks: shown.steps.iter().map(|s| (s.what.clone(), s.from, s.until)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Show;
    use super::*;

    fn shown() -> Shown {
        let step = |what: &str, from, until, disks| Step {
            what: what.into(),
            from,
            until,
            disks,
            moved: crate::rig::playground::Moved { objects: 3, bytes: 3_000_000 },
        };
        Shown {
            show: Show::Resilver,
            steps: vec![step("out", 2.0, 4.0, 3), step("in", 6.0, 7.0, 4)],
            rate: vec![40.0, 40.0, 20.0, 22.0, 30.0, 30.0, 31.0, 40.0],
            requests: 100,
            errors: 0,
            busy: 0.5,
            led_again: None,
            checked: vec![("b".into(), 10)],
        }
    }

    #[test]
    fn stretches_follow_one_another() {
        let shown = shown();
        let all: Vec<_> = stretches(&shown).into_iter().map(|s| (s.1, s.2, s.3)).collect();
        assert_eq!(all, [(0.0, 2.0, 4), (2.0, 4.0, 3), (4.0, 6.0, 3), (6.0, 7.0, 4), (7.0, 8.0, 4)]);
        let text = phases(&shown, 10);
        assert!(text.contains("| out | 2-4 | 3 | 21 | 20 | 70 | 2.0 | 3 | 3 |"), "{text}");
    }

    #[test]
    fn a_plot_names_what_happened() {
        let svg = plot(&shown(), 10).svg().unwrap();
        for word in ["reads", "all disks in service", "out", "in"] {
            assert!(svg.contains(word), "{word}");
        }
    }
}
