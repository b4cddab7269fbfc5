//! The measurement: for each size a fresh file system, sets written once through every server that takes PUTs, then the cases.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::PeersArgs;
use super::plan::{COLD, Case, Contender, DURABLE, HOT, RELAXED, Sets};
use super::servers::{Servers, Setting};
use crate::error::{PerfError, Result};
use crate::options::Common;
use crate::rig::disk::{Backing, Disk};
use crate::rig::fio::{self, Fio, Work};
use crate::rig::loader::{Latency, Load, Measured, Pace, Watch};
use crate::rig::machine::Workers;
use crate::rig::memory::Held;
use crate::rig::node::bucket_dir;
use crate::rig::place::Place;
use crate::rig::{http, stop};

/// Room for our sets, PUTs under way and fio's file.
const DISK_BYTES: u64 = 6 << 30;
/// Room for a peer's own copy of the sets.
const PEER_BYTES: u64 = 4 << 30;
const FIO_BYTES: u64 = 1 << 30;
/// Begins the names of every set, for everybody.
const PREFIX: &str = "perf-";
/// How long our node may take to make plain files of what it acknowledged, once stopped.
const PLAIN_LIMIT: Duration = Duration::from_secs(30);

/// What one run of one server gave; rates a second, times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Run {
    pub(crate) requests: f64,
    pub(crate) gib: f64,
    pub(crate) latency_us: Latency,
    /// CPU of the server's processes; `None` where nobody serves.
    pub(crate) cpu_us: Option<f64>,
    pub(crate) cpu_seconds_per_gib: Option<f64>,
    /// Soft interrupts on the server's core, a request.
    pub(crate) softirq_us: Option<f64>,
    /// Share of the served bytes that the device read.
    pub(crate) device_share: Option<f64>,
    pub(crate) loader_bound: bool,
    pub(crate) errors: u64,
}

/// One server in one case, with its runs.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) case: Case,
    pub(crate) size: u64,
    pub(crate) connections: usize,
    pub(crate) contender: Contender,
    pub(crate) name: String,
    pub(crate) runs: Vec<Run>,
}

/// Measures everything that `args` selects.
pub(crate) fn measure(common: &Common, args: &PeersArgs) -> Result<Vec<Row>> {
    let weir = common.weir()?;
    let place =
        Place::open(&common.base, &["nginx", "fio", "mkfs.xfs", "losetup", "taskset", "fallocate", "dd"])?;
    let _workers = Workers::keep_to(place.base(), common.load_cpu)?;
    let bytes = DISK_BYTES + PEER_BYTES * args.peers.len() as u64;
    let backing = Backing::make(&place, bytes)?;
    let disk = Disk::make(&place, &backing, "d0", bytes)?;
    let held = Held::take(&place, (args.leave_gib * f64::from(1 << 30)) as u64)?;
    eprintln!("memory held: {:.1} GiB", held.bytes() as f64 / f64::from(1 << 30));
    let setting = Setting { common, args, weir: &weir, place: &place, disk: &disk };
    let mut rows = Vec::new();
    for size in args.sizes.iter().copied() {
        disk.format()?;
        let _ = std::fs::remove_dir_all(setting.node_dir());
        let bench =
            Bench { setting, sets: Sets::of(size, args.cold_names), held: &held, seeds: Cell::new(0) };
        bench.size(&mut rows)?;
    }
    Ok(rows)
}

struct Bench<'a> {
    setting: Setting<'a>,
    sets: Sets,
    held: &'a Held,
    seeds: Cell<u64>,
}

impl Bench<'_> {
    fn size(&self, rows: &mut Vec<Row>) -> Result<()> {
        let args = self.setting.args;
        self.fill_sets()?;
        let fio_file = self.setting.disk.mount().join("fio");
        fio::lay_out(&fio_file, FIO_BYTES)?;
        let (cold, warm): (Vec<Case>, Vec<Case>) = args.cases.iter().partition(|case| case.is_cold());
        for (cases, is_cold) in [(warm, false), (cold, true)] {
            if cases.is_empty() {
                continue;
            }
            // Inodes and dentries are the root cgroup's, so they stay cached whatever a server's limit is.
            touch_inodes(self.setting.disk.mount())?;
            self.held.fill()?;
            let most = args.connections.iter().copied().max().unwrap_or(1);
            let mut servers = self.setting.start(true, is_cold.then(|| self.sets.cold_slack(most)))?;
            if !is_cold {
                read_all(&bucket_dir(&self.setting.mountpath(), HOT))?;
            }
            for case in cases {
                self.case(case, &mut servers, &fio_file, rows)?;
            }
            servers.stop()?;
        }
        Ok(())
    }

    /// Writes the sets through everybody who takes PUTs, and leaves plain files.
    fn fill_sets(&self) -> Result<()> {
        let args = self.setting.args;
        let servers = self.setting.start(false, Some(512 << 20))?;
        for url in servers.bucket_makers(args) {
            for bucket in [HOT, COLD, DURABLE, RELAXED] {
                http::make_bucket(&url, bucket, bucket == RELAXED && servers.is_ours(&url))?;
            }
        }
        let writers = std::iter::once(Contender::Weir).chain((0..args.peers.len()).map(Contender::Peer));
        for contender in writers {
            for case in [Case::GetHot, Case::GetCold] {
                eprintln!(
                    "{} x {} into {} of {}",
                    self.sets.names(case),
                    self.sets.size,
                    case.bucket(),
                    self.name(contender)
                );
                let quick = Timing { connections: 32, seconds: 1.0, warmup: 0.0, prefill: true };
                self.load(case, contender, &servers, &quick)?;
            }
        }
        servers.stop()?;
        for case in [Case::GetHot, Case::GetCold] {
            let dir = bucket_dir(&self.setting.mountpath(), case.bucket());
            let names = self.sets.names(case);
            let plain = stop::until(PLAIN_LIMIT, || Ok((count(&dir) == names).then_some(())))?;
            plain.ok_or_else(|| PerfError::Server {
                name: "weir".into(),
                got: format!("{} plain files in {}, expected {names}", count(&dir), dir.display()),
            })?;
        }
        Ok(())
    }

    fn case(&self, case: Case, servers: &mut Servers, fio_file: &Path, rows: &mut Vec<Row>) -> Result<()> {
        let args = self.setting.args;
        for connections in args.connections.iter().copied() {
            let contenders = case.contenders(args.peers.len());
            let row = |contender| Row {
                case,
                size: self.sets.size,
                connections,
                contender,
                name: self.name(contender),
                runs: Vec::new(),
            };
            let mut own: Vec<Row> = contenders.into_iter().map(row).collect();
            let timing = Timing { connections, seconds: args.seconds, warmup: args.warmup, prefill: false };
            for _ in 0..args.runs {
                for row in &mut own {
                    if case == Case::GetColdInodes {
                        drop_inodes()?;
                    }
                    row.runs.push(match row.contender {
                        Contender::Fio => self.fio(case, fio_file, &timing)?,
                        contender => self.served(case, self.load(case, contender, servers, &timing)?),
                    });
                    servers.alive()?;
                }
            }
            own.iter().for_each(super::text::progress);
            rows.append(&mut own);
        }
        Ok(())
    }

    fn name(&self, contender: Contender) -> String {
        match contender {
            Contender::Weir => "weir".into(),
            Contender::NginxSendfile => "nginx sendfile".into(),
            Contender::NginxDirectio => "nginx aio+directio".into(),
            Contender::Fio => "fio".into(),
            Contender::Peer(index) => {
                self.setting.args.peers.get(index).map_or("peer".into(), |p| p.name.clone())
            }
        }
    }

    fn load(&self, case: Case, contender: Contender, servers: &Servers, timing: &Timing) -> Result<Measured> {
        let common = self.setting.common;
        let target = servers
            .target(contender, case, self.setting.args)
            .ok_or_else(|| PerfError::Server { name: self.name(contender), got: "does not run".into() })?;
        let load = Load {
            weir: self.setting.weir,
            mode: if case.is_put() { "put" } else { "get" },
            endpoint: &target.endpoint,
            api: &target.api,
            direct: target.direct.as_deref(),
            bucket: case.bucket(),
            size: self.sets.size,
            names: self.sets.names(case),
            prefix: Some(PREFIX),
            names_from: None,
            seed: self.seed(),
            connections: timing.connections,
            pace: Pace::default(),
            seconds: timing.seconds,
            warmup: timing.warmup,
            prefill: timing.prefill,
            cpus: &common.load_cpu.to_string(),
            servers: &target.pids,
        };
        load.run(&Watch { disks: &[self.setting.disk.name().to_owned()], cpu: common.server_cpu })
    }

    /// Another one for each run: with the same, runs would ask for the same names in the same order, and what one server had read
    /// would be in the page cache for the next.
    fn seed(&self) -> u64 {
        self.seeds.set(self.seeds.get() + 1);
        self.seeds.get()
    }

    fn served(&self, case: Case, measured: Measured) -> Run {
        let outcome = &measured.outcome;
        let requests = outcome.requests as f64;
        let gib = outcome.bytes as f64 / f64::from(1 << 30);
        let cpu = (!outcome.server.is_empty()).then(|| outcome.server_cpu_seconds());
        let served = outcome.bytes as f64 / outcome.seconds;
        Run {
            requests: outcome.requests_per_second,
            gib: outcome.gib_per_second,
            latency_us: outcome.latency_us,
            cpu_us: cpu.map(|s| s * 1e6 / requests),
            cpu_seconds_per_gib: cpu.map(|s| s / gib),
            softirq_us: Some(measured.softirq_seconds * 1e6 / requests),
            device_share: case.is_cold().then(|| measured.device_per_second.0 / served),
            loader_bound: outcome.loader_bound(),
            errors: outcome.errors,
        }
    }

    fn fio(&self, case: Case, file: &Path, timing: &Timing) -> Result<Run> {
        let files = [PathBuf::from(file)];
        let cpus = self.setting.common.server_cpu.to_string();
        let fio = Fio {
            work: if case.is_put() { Work::WriteAndSync } else { Work::Read },
            files: &files,
            file_bytes: FIO_BYTES,
            block: self.sets.size,
            depth: timing.connections,
            warmup: timing.warmup,
            seconds: timing.seconds,
            cpus: &cpus,
            cgroup: None,
        };
        let rates = fio.run()?;
        let [p50, p99, p999] = rates.latency_us;
        Ok(Run {
            requests: rates.per_second,
            gib: rates.bytes_per_second / f64::from(1 << 30),
            latency_us: Latency { p50, p99, p999 },
            cpu_us: None,
            cpu_seconds_per_gib: None,
            softirq_us: None,
            device_share: None,
            loader_bound: false,
            errors: 0,
        })
    }
}

/// How long and with how many connections a run asks.
struct Timing {
    connections: usize,
    seconds: f64,
    warmup: f64,
    prefill: bool,
}

/// Files directly in and below a directory.
fn count(dir: &Path) -> u64 {
    let mut files = 0;
    let _ = walk(dir, &mut |_| {
        files += 1;
        Ok(())
    });
    files
}

/// Asks for every inode, so that it and its dentry are cached and charged to the root cgroup.
fn touch_inodes(dir: &Path) -> Result<()> {
    walk(dir, &mut |path| path.metadata().map(drop))
}

/// Reads every file, so that its pages are cached.
fn read_all(dir: &Path) -> Result<()> {
    walk(dir, &mut |path| std::fs::read(path).map(drop))
}

fn walk(dir: &Path, visit: &mut dyn FnMut(&Path) -> std::io::Result<()>) -> Result<()> {
    stop::check()?;
    for entry in std::fs::read_dir(dir).map_err(PerfError::io(dir.display().to_string()))? {
        let entry = entry.map_err(PerfError::io(dir.display().to_string()))?;
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            walk(&entry.path(), visit)?;
        } else {
            // A server may be removing a file of its own.
            let _ = visit(&entry.path());
        }
    }
    Ok(())
}

/// Drops inodes and dentries from the kernel's caches.
fn drop_inodes() -> Result<()> {
    nix::unistd::sync();
    std::fs::write("/proc/sys/vm/drop_caches", "2").map_err(PerfError::io("drop_caches"))
}
