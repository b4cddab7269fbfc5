//! Large streams beside small reads: the p99 of a 4K GET, taken in the server, alone and while streams of 1 GiB objects run.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::{figure, median, ratio, table};
use crate::rig::disk::{Backing, Disk};
use crate::rig::http;
use crate::rig::loader::{Latency, Load, Pace, Watch, get_latency};
use crate::rig::machine::Workers;
use crate::rig::memory::Held;
use crate::rig::node::{Node, NodeSpec};
use crate::rig::place::Place;
use crate::stats::{Evidence, Spread, marks};

const SMALL: u64 = 4 << 10;
const LARGE: u64 = 1 << 30;
const BUCKET: &str = "perf-fairness";
/// Names that are read so often that reads from the disk, the first of each, are far fewer than one in a hundred.
const HOT_NAMES: u64 = 64;
/// Large objects: more than the memory that is left for page cache.
const LARGE_NAMES: u64 = 4;
/// Large objects, small ones with their inodes, and the file system's own.
const DISK_BYTES: u64 = 6 << 30;
/// Seconds by which streams begin before small reads.
const LEAD_SECONDS: f64 = 2.0;
/// Seconds for which they go on after them: a whole object takes 11 s at the full rate, and longer beside others.
const TRAIL_SECONDS: f64 = 10.0;

/// What `fairness` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct FairnessArgs {
    /// Streams of 1 GiB objects
    #[arg(long, default_value_t = 16)]
    pub(crate) streams: usize,
    /// Bytes a second that a client takes of each
    #[arg(long, default_value_t = 100_000_000)]
    pub(crate) stream_rate: u64,
    /// 4K reads a second, in open loop
    #[arg(long, default_value_t = 2000.0)]
    pub(crate) rate: f64,
    /// Names of the small objects that are read from the disk
    #[arg(long, default_value_t = 100_000)]
    pub(crate) cold_names: u64,
    /// Rounds; in each the cases take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Measured seconds of a run
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
}

impl FairnessArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "runs", &mut self.runs, 1);
        quick(&given, "cold_names", &mut self.cold_names, 20_000);
    }
}

/// Where the small objects are when they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Set {
    Memory,
    Disk,
}

impl Set {
    fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

#[derive(Debug, Clone, Serialize)]
struct Run {
    /// As the server counts: from the request's head to its last byte taken by the kernel; microseconds.
    server_us: Latency,
    /// As the loader counts, from when the request was due.
    client_us: Latency,
    requests_per_second: f64,
    /// Bytes a second of all streams together, as the loader takes them.
    stream_bytes_per_second: f64,
    /// Share of its core that the server used.
    core_busy: f64,
    loader_bound: bool,
    errors: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Row {
    set: Set,
    streams: usize,
    runs: Vec<Run>,
}

/// Measures and writes the report.
pub(crate) fn run(common: &Common, args: &FairnessArgs) -> Result<PathBuf> {
    let mut report = Report::new("fairness", "Small reads beside large streams", common);
    let rows = measure(common, args)?;
    fill(&mut report, &rows, args);
    report.write()
}

fn measure(common: &Common, args: &FairnessArgs) -> Result<Vec<Row>> {
    let weir = common.weir()?;
    let place = Place::open(&common.base, &["mkfs.xfs", "losetup", "taskset", "fallocate", "dd"])?;
    let _workers = Workers::keep_to(place.base(), common.load_cpu)?;
    let backing = Backing::make(&place, DISK_BYTES)?;
    let disk = Disk::make(&place, &backing, "d0", DISK_BYTES)?;
    let _held = Held::take(&place, 3 << 30)?;
    let rig = Rig { common, args, weir: &weir, place: &place, disk: &disk };
    rig.write_sets()?;
    let case = |set, streams| Row { set, streams, runs: Vec::new() };
    let mut rows: Vec<Row> = [Set::Memory, Set::Disk]
        .into_iter()
        .flat_map(|set| [case(set, 0), case(set, args.streams)])
        .collect();
    for _ in 0..args.runs {
        for row in &mut rows {
            let seed = row.runs.len() as u64 + 1;
            row.runs.push(rig.run(row.set, row.streams, seed)?);
        }
    }
    rows.iter().for_each(progress);
    Ok(rows)
}

struct Rig<'a> {
    common: &'a Common,
    args: &'a FairnessArgs,
    weir: &'a Path,
    place: &'a Place,
    disk: &'a Disk,
}

impl Rig<'_> {
    /// A fresh node: its histograms are of one run alone.
    fn start(&self) -> Result<Node> {
        let mountpaths = [self.disk.mount().join("mp")];
        let cpus = self.common.server_cpu.to_string();
        let dir = self.place.base().join("node");
        let spec = NodeSpec { name: "weir", dir, mountpaths: &mountpaths, shards: 1, cpus: &cpus, pin: true };
        spec.start(self.weir, &self.place.dir("run")?, None)
    }

    fn write_sets(&self) -> Result<()> {
        let _ = std::fs::remove_dir_all(self.place.base().join("node"));
        let node = self.start()?;
        http::make_bucket(&node.url, BUCKET, false)?;
        let small = self.args.cold_names.max(HOT_NAMES);
        for (prefix, size, names, connections) in
            [("small-", SMALL, small, 16), ("large-", LARGE, LARGE_NAMES, 1)]
        {
            let pids = node.server.pids();
            let load = self.load(&node, &pids, prefix, size, names);
            // Long enough for one read of a large object.
            Load { prefill: true, seconds: 5.0, connections, ..load }.run(&self.watch(&[]))?;
        }
        node.server.stop()
    }

    fn load<'l>(
        &'l self,
        node: &'l Node,
        pids: &'l [u32],
        prefix: &'l str,
        size: u64,
        names: u64,
    ) -> Load<'l> {
        Load {
            size,
            names,
            prefix: Some(prefix),
            seconds: self.args.seconds,
            servers: pids,
            ..Load::reads(self.weir, &node.url, BUCKET)
        }
    }

    fn watch<'w>(&self, disks: &'w [String]) -> Watch<'w> {
        Watch { disks, cpu: self.common.server_cpu }
    }

    fn run(&self, set: Set, streams: usize, seed: u64) -> Result<Run> {
        nix::unistd::sync();
        std::fs::write("/proc/sys/vm/drop_caches", "3").map_err(PerfError::io("drop_caches"))?;
        let node = self.start()?;
        let pids = node.server.pids();
        let cpu = self.common.load_cpu.to_string();
        let names = if set == Set::Memory { HOT_NAMES } else { self.args.cold_names };
        let small = Load {
            seed,
            pace: Pace { requests: Some(self.args.rate), stream: None },
            warmup: LEAD_SECONDS,
            cpus: &cpu,
            ..self.load(&node, &pids, "small-", SMALL, names)
        };
        let large = Load {
            seed,
            connections: streams,
            pace: Pace { requests: None, stream: Some(self.args.stream_rate) },
            seconds: self.args.seconds + LEAD_SECONDS + TRAIL_SECONDS,
            cpus: &cpu,
            ..self.load(&node, &pids, "large-", LARGE, LARGE_NAMES)
        };
        std::thread::scope(|scope| {
            let beside = (streams > 0).then(|| scope.spawn(|| large.run(&self.watch(&[]))));
            let outcome = small.run(&self.watch(&[]))?.outcome;
            let page = http::get_text(&format!("{}/metrics", node.url))?;
            let streamed = match beside {
                None => 0.0,
                Some(beside) => {
                    let failed = |_| PerfError::Refused("a loader's thread panicked".into());
                    // While the small reads were measured; a stream's first object lasts longer than they do.
                    let until = LEAD_SECONDS + self.args.seconds;
                    beside.join().map_err(failed)??.outcome.arrived_per_second(LEAD_SECONDS, until)
                }
            };
            Ok(Run {
                server_us: get_latency(&page)?,
                client_us: outcome.latency_us,
                requests_per_second: outcome.requests_per_second,
                stream_bytes_per_second: streamed,
                core_busy: outcome.server_cpu_seconds() / outcome.seconds,
                loader_bound: outcome.loader_bound(),
                errors: outcome.errors,
            })
        })
    }
}

fn spread(row: &Row, of: impl Fn(&Run) -> f64) -> Option<Spread> {
    Spread::of(row.runs.iter().map(of))
}

fn progress(row: &Row) {
    eprintln!(
        "4K from {}, {} streams: p50 {} us, p99 {} us in the server",
        row.set.name(),
        row.streams,
        median(spread(row, |r| r.server_us.p50)),
        median(spread(row, |r| r.server_us.p99)),
    );
}

fn fill(report: &mut Report, rows: &[Row], args: &FairnessArgs) {
    report.text(format!(
        "4K GETs in open loop at {} a second over 16 connections, alone and beside {} streams of 1 GiB objects, of each of which a client \
         takes {} MB/s (10^6 bytes). One shard on one core, one disk. From memory: {HOT_NAMES} names; from the disk: {} names, no \
         caches at the start. The server's times are from the request's head to its last byte taken by the kernel, all GETs since its start: \
         each run has a fresh server, and streams are a few of ten thousand requests. {} interleaved runs of {} s; medians, ratios of the \
         same round.",
        args.rate,
        args.streams,
        args.stream_rate / 1_000_000,
        args.cold_names,
        args.runs,
        args.seconds,
    ));
    let head = [
        "4K from",
        "streams",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "p99 to alone",
        "client p99 us",
        "req/s",
        "streams MB/s",
        "core busy",
        "marks",
    ];
    let lines: Vec<Vec<String>> = rows.iter().map(|row| line(row, rows)).collect();
    report.text(table(&head, 2, &lines));
    for row in rows {
        report.row(serde_json::json!(row));
    }
}

fn line(row: &Row, rows: &[Row]) -> Vec<String> {
    let p99 = |row: &Row| -> Vec<Option<f64>> { row.runs.iter().map(|r| Some(r.server_us.p99)).collect() };
    let alone = rows.iter().find(|other| other.set == row.set && other.streams == 0);
    let marks = marks(Evidence {
        runs: row.runs.len(),
        errors: row.runs.iter().map(|r| r.errors).sum(),
        loader_bound: row.runs.iter().filter(|r| r.loader_bound).count(),
        device_share: None,
    });
    vec![
        row.set.name().into(),
        row.streams.to_string(),
        median(spread(row, |r| r.server_us.p50)),
        median(spread(row, |r| r.server_us.p99)),
        median(spread(row, |r| r.server_us.p999)),
        ratio(alone.and_then(|alone| Spread::ratio(&p99(row), &p99(alone)))),
        median(spread(row, |r| r.client_us.p99)),
        median(spread(row, |r| r.requests_per_second)),
        spread(row, |r| r.stream_bytes_per_second / 1e6).map_or("-".into(), |s| figure(s.median)),
        spread(row, |r| r.core_busy).map_or("-".into(), |s| format!("{:.0} %", s.median * 100.0)),
        marks.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    ]
}
