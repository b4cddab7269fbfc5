//! The same read-and-send loop on three runtimes, so that the choice of our own reactor stays a measured one.
//!
//! Each server is one thread on one core. It takes a request to its empty line, without looking into it, picks the next file of
//! the set, reads it with O_DIRECT in chunks of at most 256 KiB and sends each chunk, the head before the first. No runtime
//! spins, caches, checks or allocates for a request beyond what its interface makes it do; each file says what that is.

mod files;
mod over_glommio;
mod over_monoio;
mod over_ring;
mod wire;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::plot::Bars;
use crate::report::table::{self, figure, ratio, size, table};
use crate::rig::disk::{Backing, Disk};
use crate::rig::loader::{Load, Measured, Pace, Watch};
use crate::rig::machine::Workers;
use crate::rig::process::{Server, Start};
use crate::rig::{http, place::Place};
use crate::stats::{Evidence, Spread, marks};

/// Bytes read at once.
pub(crate) const CHUNK: usize = 256 << 10;
/// Bytes of the file set of one size: far above what a device's own cache would hold.
const SET_BYTES: u64 = 512 << 20;
/// Files of a set at most: all of them stay open.
const FILES_MAX: u64 = 2000;
const DISK_BYTES: u64 = 3 << 29;
const START_LIMIT: Duration = Duration::from_secs(20);

/// Which runtime serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    Ring,
    Monoio,
    Glommio,
}

impl Runtime {
    const ALL: [Self; 3] = [Self::Ring, Self::Monoio, Self::Glommio];

    fn name(self) -> &'static str {
        match self {
            Self::Ring => "weir-ring",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Monoio => "monoio",
            Self::Glommio => "glommio",
        }
    }
}

/// One server, run as a process of its own by the report.
#[derive(Args, Debug)]
pub(crate) struct ServeArgs {
    runtime: Runtime,
    /// Directory of the files
    #[arg(long)]
    files: PathBuf,
    /// Bytes of each file
    #[arg(long, value_parser = table::parse_size)]
    size: u64,
    #[arg(long)]
    listen: SocketAddr,
    /// The core it runs on
    #[arg(long, default_value_t = 0)]
    cpu: usize,
}

/// Serves until it is killed.
pub(crate) fn serve(args: &ServeArgs) -> Result<()> {
    let files = files::open(&args.files, args.size)?;
    let job = wire::Job { files, size: args.size as usize, listen: args.listen, cpu: args.cpu };
    match args.runtime {
        Runtime::Ring => over_ring::serve(job),
        Runtime::Monoio => over_monoio::serve(job),
        Runtime::Glommio => over_glommio::serve(job, &args.files),
    }
}

/// What `runtimes` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct RuntimesArgs {
    /// Sizes of the files
    #[arg(long, value_delimiter = ',', default_value = "4K,64K,1M", value_parser = table::parse_size)]
    pub(crate) sizes: Vec<u64>,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub(crate) connections: Vec<usize>,
    /// Rounds; in each the runtimes take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Measured seconds of a run
    #[arg(long, default_value_t = 4.0)]
    pub(crate) seconds: f64,
    /// Seconds before them
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
}

impl RuntimesArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "connections", &mut self.connections, vec![16]);
        quick(&given, "runs", &mut self.runs, 1);
        quick(&given, "seconds", &mut self.seconds, 2.0);
    }
}

/// One row: a size, a number of connections, a runtime, and its runs.
struct Row {
    size: u64,
    connections: usize,
    runtime: Runtime,
    runs: Vec<Measured>,
}

impl Row {
    fn rate(&self) -> Vec<Option<f64>> {
        self.runs.iter().map(|r| Some(r.outcome.requests_per_second)).collect()
    }

    fn cpu_us(&self) -> Vec<Option<f64>> {
        let one = |r: &Measured| r.outcome.server_cpu_seconds() * 1e6 / r.outcome.requests as f64;
        self.runs.iter().map(|r| Some(one(r))).collect()
    }

    fn median(values: &[Option<f64>]) -> Option<Spread> {
        Spread::of(values.iter().flatten().copied())
    }
}

/// Measures all three and writes the report.
pub(crate) fn run(common: &Common, args: &RuntimesArgs) -> Result<PathBuf> {
    let weir = common.weir()?;
    let place = Place::open(&common.base, &["mkfs.xfs", "losetup", "taskset", "fallocate", "dd"])?;
    let mut report = Report::new("runtimes", "Three runtimes, one loop", common);
    let _workers = Workers::keep_to(place.base(), common.load_cpu)?;
    let backing = Backing::make(&place, DISK_BYTES)?;
    let disk = Disk::make(&place, &backing, "d0", DISK_BYTES)?;
    let mut rows = Vec::new();
    for size in args.sizes.iter().copied() {
        let set = disk.mount().join("set");
        files::make(&set, size, (SET_BYTES / size).clamp(4, FILES_MAX))?;
        let mut servers = Vec::new();
        for runtime in Runtime::ALL {
            servers.push((runtime, start(&place, common, runtime, &set, size)?));
        }
        for connections in args.connections.iter().copied() {
            let mut own: Vec<Row> =
                Runtime::ALL.map(|runtime| Row { size, connections, runtime, runs: Vec::new() }).into();
            for _ in 0..args.runs {
                for (row, (_, (server, url))) in own.iter_mut().zip(&mut servers) {
                    let watch = Watch { disks: &[disk.name().to_owned()], cpu: common.server_cpu };
                    let load = Load {
                        weir: &weir,
                        mode: "get",
                        endpoint: url,
                        api: "http",
                        direct: None,
                        bucket: "",
                        size,
                        names: 1000,
                        prefix: None,
                        names_from: None,
                        seed: 1,
                        connections,
                        pace: Pace::default(),
                        seconds: args.seconds,
                        warmup: args.warmup,
                        prefill: false,
                        cpus: &common.load_cpu.to_string(),
                        servers: &server.pids(),
                    };
                    row.runs.push(load.run(&watch)?);
                    server.alive()?;
                }
            }
            own.iter().for_each(progress);
            rows.append(&mut own);
        }
        drop(servers);
        std::fs::remove_dir_all(&set).map_err(PerfError::io("file set"))?;
    }
    fill(&mut report, &rows, args)?;
    report.write()
}

fn start(
    place: &Place,
    common: &Common,
    runtime: Runtime,
    set: &Path,
    size: u64,
) -> Result<(Server, String)> {
    let own = std::env::current_exe().map_err(PerfError::io("own program"))?;
    let address = format!("127.0.0.1:{}", http::free_port()?);
    let mut program = Command::new(own);
    program.args(["runtime-server", runtime.word(), "--files"]).arg(set);
    program.args([
        "--size",
        &size.to_string(),
        "--listen",
        &address,
        "--cpu",
        &common.server_cpu.to_string(),
    ]);
    let cpus = common.server_cpu.to_string();
    let dir = place.dir("run")?;
    let start = Start { name: runtime.word(), cpus: &cpus, cgroup: None, dir: &dir };
    let mut server = start.run(&program)?;
    server.wait_ready(START_LIMIT, || std::net::TcpStream::connect(&address).is_ok())?;
    Ok((server, format!("http://{address}")))
}

fn progress(row: &Row) {
    eprintln!(
        "{:4} c{:<3} {:10} {:>9} req/s {:>8} CPU-us/request",
        size(row.size),
        row.connections,
        row.runtime.name(),
        table::median(Row::median(&row.rate())),
        table::median(Row::median(&row.cpu_us())),
    );
}

fn fill(report: &mut Report, rows: &[Row], args: &RuntimesArgs) -> Result<()> {
    report.text(format!(
        "O_DIRECT read of a file and a send over loopback, the request not looked into; one core for the server, one for loader and \
         disk; {} interleaved runs of {} s. Medians; ratios are weir-ring's to the other's in the same round, with their range: \
         above 1 for requests and below 1 for CPU weir-ring is ahead.",
        args.runs, args.seconds
    ));
    let mut lines = Vec::new();
    for group in rows.chunks(Runtime::ALL.len()) {
        for row in group {
            lines.push(line(row, &group[0]));
            report.row(data(row));
        }
    }
    let head = [
        "size",
        "conns",
        "runtime",
        "req/s",
        "p50 us",
        "p99 us",
        "CPU-us/req",
        "req/s ratio",
        "CPU ratio",
        "marks",
    ];
    report.text(table(&head, 3, &lines));
    for bytes in &args.sizes {
        let of = |runtime: Runtime| {
            let own = rows.iter().filter(move |r| r.size == *bytes && r.runtime == runtime);
            own.map(|r| Row::median(&r.cpu_us()).map(|s| s.median)).collect::<Vec<_>>()
        };
        let bars = Bars {
            title: format!("{} read and sent: CPU-us/request, less is better", size(*bytes)),
            y: "CPU-us/request".into(),
            groups: args.connections.iter().map(|c| format!("{c} connections")).collect(),
            series: Runtime::ALL.map(|runtime| (runtime.name().to_owned(), of(runtime))).into(),
        };
        report.plot(&format!("cpu-{}", size(*bytes)), "CPU per request", bars.svg()?);
    }
    Ok(())
}

fn line(row: &Row, ours: &Row) -> Vec<String> {
    let latency = |of: fn(&Measured) -> f64| table::median(Spread::of(row.runs.iter().map(of)));
    let compared = |a: &[Option<f64>], b: &[Option<f64>]| {
        if row.runtime == ours.runtime { "1".into() } else { ratio(Spread::ratio(a, b)) }
    };
    let marks: Vec<String> = marks(evidence(row)).iter().map(ToString::to_string).collect();
    vec![
        size(row.size),
        row.connections.to_string(),
        row.runtime.name().into(),
        table::median(Row::median(&row.rate())),
        latency(|r| r.outcome.latency_us.p50),
        latency(|r| r.outcome.latency_us.p99),
        table::median(Row::median(&row.cpu_us())),
        compared(&ours.rate(), &row.rate()),
        compared(&ours.cpu_us(), &row.cpu_us()),
        marks.join("; "),
    ]
}

fn evidence(row: &Row) -> Evidence {
    let rows = row.runs.iter();
    let shares = rows.clone().map(|r| r.device_per_second.0 / (r.outcome.bytes as f64 / r.outcome.seconds));
    Evidence {
        runs: row.runs.len(),
        errors: rows.clone().map(|r| r.outcome.errors).sum(),
        loader_bound: rows.filter(|r| r.outcome.loader_bound()).count(),
        device_share: Spread::of(shares).map(|s| s.median),
    }
}

fn data(row: &Row) -> serde_json::Value {
    json!({
        "size": row.size, "connections": row.connections, "runtime": row.runtime.name(),
        "requests_per_second": row.rate(), "cpu_us_per_request": row.cpu_us(), "marks": marks(evidence(row)),
        "latency_us": row.runs.iter().map(|r| r.outcome.latency_us).collect::<Vec<_>>(),
        "softirq_seconds": row.runs.iter().map(|r| r.softirq_seconds).collect::<Vec<_>>(),
        "device_bytes_per_second": row.runs.iter().map(|r| figure(r.device_per_second.0)).collect::<Vec<_>>(),
    })
}
