//! A slow disk beside a healthy one: what reads of the healthy one get and cost while others wait for the slow one.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::{median, ratio, table};
use crate::rig::disk::{Backing, Disk};
use crate::rig::http;
use crate::rig::loader::{Latency, Load, Watch, metric};
use crate::rig::machine::Workers;
use crate::rig::node::{Node, NodeSpec, bucket_dir};
use crate::rig::place::Place;
use crate::rig::slow::SlowDisk;
use crate::stats::{Evidence, Spread, marks};

const SIZE: u64 = 4 << 10;
const BUCKET: &str = "perf-slow";
const PREFIX: &str = "o";
/// Objects with their inodes, journals, and the file system's own.
const DISK_BYTES: u64 = 3 << 30;
/// Seconds by which reads of the slow disk begin before the measured ones, and go on after them.
const AROUND_SECONDS: f64 = 1.0;

/// What `slow` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct SlowArgs {
    /// Milliseconds that each operation of the slow disk takes
    #[arg(long, default_value_t = 50)]
    pub(crate) delay: u64,
    /// Objects, half of them on each disk
    #[arg(long, default_value_t = 200_000)]
    pub(crate) names: u64,
    /// Connections that read from the slow disk
    #[arg(long, default_value_t = 16)]
    pub(crate) waiting: usize,
    /// Rounds; in each the cases take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Measured seconds of a run
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
}

impl SlowArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "runs", &mut self.runs, 1);
        quick(&given, "names", &mut self.names, 20_000);
    }
}

#[derive(Debug, Clone, Serialize)]
struct Run {
    /// Of the healthy disk.
    requests_per_second: f64,
    /// Of the whole process for each of them: reads of the slow disk are a few hundred a second.
    cpu_us_per_request: f64,
    client_us: Latency,
    /// Of the slow disk.
    slow_requests_per_second: f64,
    /// Polls of over 2 ms that slept in the kernel, and the longest in microseconds.
    stalls: f64,
    longest_stall_us: f64,
    loader_bound: bool,
    errors: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    /// Connections that read from the slow disk; 0: it is not slow, and nobody does.
    waiting: usize,
    runs: Vec<Run>,
}

/// Measures and writes the report.
pub(crate) fn run(common: &Common, args: &SlowArgs) -> Result<PathBuf> {
    let mut report = Report::new("slow", "A slow disk beside a healthy one", common);
    let rows = measure(common, args)?;
    fill(&mut report, &rows, args);
    report.write()
}

fn measure(common: &Common, args: &SlowArgs) -> Result<Vec<Row>> {
    let weir = common.weir()?;
    let place = Place::open(&common.base, &["mkfs.xfs", "losetup", "taskset", "fallocate"])?;
    let _workers = Workers::keep_to(place.base(), common.load_cpu)?;
    let backing = Backing::make(&place, 3 * DISK_BYTES)?;
    let healthy = Disk::make(&place, &backing, "healthy", DISK_BYTES)?;
    let slow = SlowDisk::make(&place, &backing, &weir, "slow", DISK_BYTES)?;
    let mountpaths = [healthy.mount().join("mp"), slow.mount().join("mp")];
    let rig = Rig { common, args, weir: &weir, place: &place, slow: &slow, mountpaths };
    rig.write()?;
    let [healthy_names, slow_names] = [rig.names_on(0)?, rig.names_on(1)?];
    let mut rows = [0, args.waiting].map(|waiting| Row { waiting, runs: Vec::new() });
    for round in 0..args.runs {
        for row in &mut rows {
            let run = rig.run(&healthy_names, &slow_names, row.waiting, round as u64 + 1)?;
            eprintln!(
                "{} connections wait: {:.0} reads/s, {:.1} us CPU each, {:.0} stalls",
                row.waiting, run.requests_per_second, run.cpu_us_per_request, run.stalls
            );
            row.runs.push(run);
        }
    }
    Ok(rows.into())
}

struct Rig<'a> {
    common: &'a Common,
    args: &'a SlowArgs,
    weir: &'a Path,
    place: &'a Place,
    slow: &'a SlowDisk,
    /// Healthy, slow.
    mountpaths: [PathBuf; 2],
}

impl Rig<'_> {
    fn start(&self) -> Result<Node> {
        let cpus = self.common.server_cpu.to_string();
        let (dir, mountpaths) = (self.place.base().join("node"), &self.mountpaths);
        let spec = NodeSpec { name: "weir", dir, mountpaths, shards: 1, cpus: &cpus, pin: true };
        spec.start(self.weir, &self.place.dir("run")?, None)
    }

    /// Writes the set; after a clean stop each object is a plain file.
    fn write(&self) -> Result<()> {
        let _ = std::fs::remove_dir_all(self.place.base().join("node"));
        let node = self.start()?;
        http::make_bucket(&node.url, BUCKET, false)?;
        let all = Load {
            names: self.args.names,
            prefix: Some(PREFIX),
            size: SIZE,
            prefill: true,
            ..self.load(&node)
        };
        all.run(&self.watch())?;
        node.server.stop()
    }

    /// A file with the names of a disk's objects.
    fn names_on(&self, disk: usize) -> Result<PathBuf> {
        let dir = bucket_dir(&self.mountpaths[disk], BUCKET);
        let mut names = String::new();
        for entry in std::fs::read_dir(&dir).map_err(PerfError::io(dir.display().to_string()))? {
            let entry = entry.map_err(PerfError::io(dir.display().to_string()))?;
            names.push_str(&entry.file_name().to_string_lossy());
            names.push('\n');
        }
        let file = self.place.dir("run")?.join(format!("names-{disk}"));
        std::fs::write(&file, names).map_err(PerfError::io(file.display().to_string()))?;
        Ok(file)
    }

    fn load<'l>(&'l self, node: &'l Node) -> Load<'l> {
        Load::reads(self.weir, &node.url, BUCKET)
    }

    fn watch(&self) -> Watch<'static> {
        Watch { disks: &[], cpu: self.common.server_cpu }
    }

    fn run(&self, healthy: &Path, slow: &Path, waiting: usize, seed: u64) -> Result<Run> {
        nix::unistd::sync();
        std::fs::write("/proc/sys/vm/drop_caches", "3").map_err(PerfError::io("drop_caches"))?;
        let node = self.start()?;
        let (pids, cpu) = (node.server.pids(), self.common.load_cpu.to_string());
        let (seconds, warmup) = (self.args.seconds, AROUND_SECONDS);
        let reads = |names_from| Load {
            size: SIZE,
            names_from: Some(names_from),
            seed,
            cpus: &cpu,
            ..self.load(&node)
        };
        let measured = Load { seconds, warmup, servers: &pids, ..reads(healthy) };
        let beside = Load { connections: waiting, seconds: seconds + 2.0 * AROUND_SECONDS, ..reads(slow) };
        if waiting > 0 {
            self.slow.delay(self.args.delay)?;
        }
        let run = std::thread::scope(|scope| {
            let beside = (waiting > 0).then(|| scope.spawn(|| beside.run(&self.watch())));
            let outcome = measured.run(&self.watch())?.outcome;
            let page = http::get_text(&format!("{}/metrics", node.url))?;
            let waited = match beside {
                None => None,
                Some(beside) => {
                    let failed = |_| PerfError::Refused("a loader's thread panicked".into());
                    Some(beside.join().map_err(failed)??.outcome)
                }
            };
            Ok(Run {
                requests_per_second: outcome.requests_per_second,
                cpu_us_per_request: outcome.server_cpu_seconds() * 1e6 / outcome.requests as f64,
                client_us: outcome.latency_us,
                slow_requests_per_second: waited.as_ref().map_or(0.0, |waited| waited.requests_per_second),
                stalls: metric(&page, "weir_stalls_slept_total{shard=\"0\"}")?,
                longest_stall_us: metric(&page, "weir_stall_slept_longest_us{shard=\"0\"}")?,
                loader_bound: outcome.loader_bound(),
                errors: outcome.errors + waited.map_or(0, |waited| waited.errors),
            })
        });
        self.slow.delay(0)?;
        node.server.stop()?;
        run
    }
}

fn spread(row: &Row, of: impl Fn(&Run) -> f64) -> Option<Spread> {
    Spread::of(row.runs.iter().map(of))
}

fn fill(report: &mut Report, rows: &[Row], args: &SlowArgs) {
    report.text(format!(
        "4K GETs in closed loop over 16 connections of the objects of one disk, half of {}; alone, and while {} connections read those of a \
         second disk, each of whose operations takes {} ms, metadata's too. One node, one shard on one core; no caches at the start of a \
         run. CPU is the whole process's. A stall is a poll of the shard's of over 2 ms that slept in the kernel. {} interleaved runs of {} \
         s, a fresh process each; medians, ratios of the same round. The slow disk's server shares the loader's core.",
        args.names, args.waiting, args.delay, args.runs, args.seconds,
    ));
    let head = [
        "waiting",
        "req/s",
        "to alone",
        "CPU us/req",
        "to alone",
        "p50 us",
        "p99 us",
        "slow disk req/s",
        "stalls",
        "longest us",
        "marks",
    ];
    let lines: Vec<Vec<String>> = rows.iter().map(|row| line(row, rows)).collect();
    report.text(table(&head, 1, &lines));
    for row in rows {
        report.row(serde_json::json!(row));
    }
}

fn line(row: &Row, rows: &[Row]) -> Vec<String> {
    let to_alone = |of: fn(&Run) -> f64| {
        let each = |row: &Row| -> Vec<Option<f64>> { row.runs.iter().map(|run| Some(of(run))).collect() };
        let alone = rows.iter().find(|other| other.waiting == 0);
        ratio(alone.and_then(|alone| Spread::ratio(&each(row), &each(alone))))
    };
    let marks = marks(Evidence {
        runs: row.runs.len(),
        errors: row.runs.iter().map(|r| r.errors).sum(),
        loader_bound: row.runs.iter().filter(|r| r.loader_bound).count(),
        device_share: None,
    });
    let most = row.runs.iter().map(|r| r.longest_stall_us).fold(0.0, f64::max);
    vec![
        row.waiting.to_string(),
        median(spread(row, |r| r.requests_per_second)),
        to_alone(|r| r.requests_per_second),
        median(spread(row, |r| r.cpu_us_per_request)),
        to_alone(|r| r.cpu_us_per_request),
        median(spread(row, |r| r.client_us.p50)),
        median(spread(row, |r| r.client_us.p99)),
        median(spread(row, |r| r.slow_requests_per_second)),
        format!("{:.0}", row.runs.iter().map(|r| r.stalls).sum::<f64>()),
        format!("{most:.0}"),
        marks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    ]
}
