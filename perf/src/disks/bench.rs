//! The measurement: disks made once, a fresh file system and node for each number of them, data written before the limit is set.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::even::{self, Even};
use super::{DisksArgs, Mode};
use crate::error::{PerfError, Result};
use crate::options::Common;
use crate::rig::cgroup::Cgroup;
use crate::rig::disk::{Backing, Disk};
use crate::rig::fio::{self, Fio, Work};
use crate::rig::http;
use crate::rig::loader::{Load, Measured, Pace, Watch};
use crate::rig::machine::Workers;
use crate::rig::node::{Node, NodeSpec};
use crate::rig::place::Place;

const BUCKET: &str = "perf-disks";
const FIO_BYTES: u64 = 256 << 20;
/// On a disk beside objects and fio's file: what is under way, and the file system's own.
const SPARE_BYTES: u64 = 320 << 20;

/// Who moved the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Who {
    Weir,
    Fio,
}

/// How disks are spread over nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// All disks in one node on one core.
    Disks,
    /// One disk in each node.
    Targets,
}

/// One run, all disks together.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Run {
    pub(crate) bytes_per_second: f64,
    pub(crate) cpu_seconds_per_gib: Option<f64>,
    /// Share of its time that the server's CPU cost is of one core.
    pub(crate) server_busy: Option<f64>,
    /// For GET, the share of the served bytes that the disks read.
    pub(crate) device_share: Option<f64>,
    pub(crate) loader_bound: bool,
    pub(crate) errors: u64,
}

/// A number of disks in one way, with its runs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Point {
    pub(crate) shape: Shape,
    pub(crate) bandwidth: u64,
    pub(crate) count: usize,
    pub(crate) mode: Mode,
    pub(crate) who: Who,
    /// The fullest disk's share of the mean number of objects.
    pub(crate) imbalance: f64,
    pub(crate) runs: Vec<Run>,
}

/// Measures everything that `args` selects.
pub(crate) fn measure(common: &Common, args: &DisksArgs) -> Result<Vec<Point>> {
    let weir = common.weir()?;
    let place = Place::open(&common.base, &["fio", "mkfs.xfs", "losetup", "taskset", "fallocate", "dd"])?;
    let _workers = Workers::keep_to(place.base(), common.load_cpu)?;
    let most = args.disks.iter().chain(&args.targets).copied().max().unwrap_or(1);
    let bytes = (args.mib << 20) + FIO_BYTES + SPARE_BYTES;
    let backing = Backing::make(&place, bytes * most as u64)?;
    let disks: Result<Vec<Disk>> =
        (0..most).map(|i| Disk::make(&place, &backing, &format!("d{i}"), bytes)).collect();
    let disks = disks?;
    let mut points = Vec::new();
    for (shape, counts) in [(Shape::Disks, &args.disks), (Shape::Targets, &args.targets)] {
        for count in counts.iter().copied().filter(|count| *count > 0) {
            let Some(disks) = disks.get(..count) else { continue };
            let rig = Rig { common, args, weir: &weir, place: &place, disks, shape };
            rig.measure(&mut points)?;
        }
    }
    Ok(points)
}

struct Rig<'a> {
    common: &'a Common,
    args: &'a DisksArgs,
    weir: &'a Path,
    place: &'a Place,
    disks: &'a [Disk],
    shape: Shape,
}

impl Rig<'_> {
    fn measure(&self, points: &mut Vec<Point>) -> Result<()> {
        let nodes = self.nodes()?;
        let files: Vec<PathBuf> = self.disks.iter().map(|d| d.mount().join("fio")).collect();
        self.write_first(&nodes, &files)?;
        // Memory for what nodes need and a twentieth of the set: a page cache that held the set would have no limit.
        let mut group = Cgroup::make("disks")?;
        // Under version 2 a disk's limit is that of whoever asks, so fio needs a group, too; not one with so little memory.
        let mut fio_group = Cgroup::make("fio")?;
        let running = self.start(&nodes, Some(&group))?;
        let connections = (self.args.depth * self.disks.len()) as u64;
        group.limit(Some(
            group.needed()? + self.set_bytes() / 20 + connections * self.args.size.min(1 << 20),
        ))?;
        let bandwidths = match self.shape {
            Shape::Disks => &self.args.bandwidths[..],
            Shape::Targets => &self.args.bandwidths[..1.min(self.args.bandwidths.len())],
        };
        for bandwidth in bandwidths.iter().copied() {
            for disk in self.disks {
                for group in [&mut group, &mut fio_group] {
                    group.throttle(&disk.number()?, bandwidth * 1_000_000, bandwidth * 1_000_000)?;
                }
            }
            let measured = self.rounds(bandwidth, &nodes, &running, &files, &fio_group);
            group.unthrottle()?;
            fio_group.unthrottle()?;
            points.append(&mut measured?);
        }
        drop(running);
        drop(group);
        Ok(())
    }

    /// What the nodes are: disks freshly formatted, names that lie evenly.
    fn nodes(&self) -> Result<Vec<NodeSetup>> {
        let per_node = match self.shape {
            Shape::Disks => self.disks.len(),
            Shape::Targets => 1,
        };
        let mut nodes = Vec::new();
        for (index, disks) in self.disks.chunks(per_node).enumerate() {
            let mut mountpaths = Vec::new();
            for disk in disks {
                disk.format()?;
                mountpaths.push(disk.mount().join("mp"));
            }
            let dir = self.place.base().join(format!("node{index}"));
            let _ = std::fs::remove_dir_all(&dir);
            let bytes: Vec<&[u8]> = mountpaths.iter().map(|p| p.as_os_str().as_encoded_bytes()).collect();
            let names = ((self.args.mib << 20) / self.args.size).max(1) * disks.len() as u64;
            let even = even::search(BUCKET, &bytes, names)?;
            let name = format!("weir{index}");
            nodes.push(NodeSetup { name, dir, mountpaths, names, even });
        }
        Ok(nodes)
    }

    fn start(&self, nodes: &[NodeSetup], group: Option<&Cgroup>) -> Result<Vec<Node>> {
        let run = self.place.dir("run")?;
        let cpus = self.common.server_cpu.to_string();
        let start = |node: &NodeSetup| {
            let spec = NodeSpec {
                name: &node.name,
                dir: node.dir.clone(),
                mountpaths: &node.mountpaths,
                shards: 1,
                cpus: &cpus,
                // Nodes that share a core neither bind to it nor spin.
                pin: nodes.len() == 1,
            };
            spec.start(self.weir, &run, group)
        };
        nodes.iter().map(start).collect()
    }

    /// Objects and fio's files, before any limit.
    fn write_first(&self, nodes: &[NodeSetup], files: &[PathBuf]) -> Result<()> {
        let running = self.start(nodes, None)?;
        for (setup, node) in nodes.iter().zip(&running) {
            http::make_bucket(&node.url, BUCKET, false)?;
            let timing = Timing { connections: 16, seconds: 1.0, warmup: 0.0, prefill: true, round: 0 };
            self.load(Mode::Get, setup, node, &timing)?;
        }
        for node in running {
            node.server.stop()?;
        }
        files.iter().try_for_each(|file| fio::lay_out(file, FIO_BYTES))
    }

    fn rounds(
        &self,
        bandwidth: u64,
        nodes: &[NodeSetup],
        running: &[Node],
        files: &[PathBuf],
        group: &Cgroup,
    ) -> Result<Vec<Point>> {
        let imbalance = nodes.iter().map(|n| n.even.imbalance).fold(1.0, f64::max);
        let mut points = Vec::new();
        for mode in self.args.modes.iter().copied() {
            for who in [Who::Weir, Who::Fio] {
                let (shape, count) = (self.shape, self.disks.len());
                points.push(Point { shape, bandwidth, count, mode, who, imbalance, runs: Vec::new() });
            }
        }
        for round in 0..self.args.runs {
            for point in &mut points {
                point.runs.push(match point.who {
                    Who::Weir => self.served(round, point.mode, nodes, running)?,
                    Who::Fio => self.fio(point.mode, files, group)?,
                });
            }
        }
        points.iter().for_each(super::text::progress);
        Ok(points)
    }

    /// One loader for each node, all at once.
    fn served(&self, round: usize, mode: Mode, nodes: &[NodeSetup], running: &[Node]) -> Result<Run> {
        let connections = self.args.depth * self.disks.len() / nodes.len();
        let timing = Timing {
            connections,
            seconds: self.args.seconds,
            warmup: self.args.warmup,
            prefill: false,
            round,
        };
        let timing = &timing;
        let measured: Result<Vec<Measured>> = std::thread::scope(|scope| {
            let pairs = nodes.iter().zip(running);
            let threads: Vec<_> = pairs
                .map(|(setup, node)| scope.spawn(move || self.load(mode, setup, node, timing)))
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|r| r.unwrap_or_else(|_| Err(PerfError::Refused("a loader's thread panicked".into()))))
                .collect()
        });
        Ok(sum(mode, &measured?))
    }

    fn load(&self, mode: Mode, setup: &NodeSetup, node: &Node, timing: &Timing) -> Result<Measured> {
        let load = Load {
            weir: self.weir,
            mode: mode.name(),
            endpoint: &node.url,
            api: "ais",
            direct: None,
            bucket: BUCKET,
            size: self.args.size,
            names: setup.names,
            prefix: Some(&setup.even.prefix),
            names_from: None,
            seed: timing.round as u64 + 1,
            connections: timing.connections,
            pace: Pace::default(),
            seconds: timing.seconds,
            warmup: timing.warmup,
            prefill: timing.prefill,
            cpus: &self.common.load_cpu.to_string(),
            servers: &node.server.pids(),
        };
        let own = |disk: &&Disk| setup.mountpaths.iter().any(|p| p.starts_with(disk.mount()));
        let disks: Vec<String> = self.disks.iter().filter(own).map(|d| d.name().to_owned()).collect();
        load.run(&Watch { disks: &disks, cpu: self.common.server_cpu })
    }

    fn fio(&self, mode: Mode, files: &[PathBuf], group: &Cgroup) -> Result<Run> {
        let fio = Fio {
            work: if mode == Mode::Get { Work::Read } else { Work::Write },
            files,
            file_bytes: FIO_BYTES,
            block: self.args.size,
            depth: self.args.depth,
            warmup: self.args.warmup,
            seconds: self.args.seconds,
            cpus: &self.common.server_cpu.to_string(),
            cgroup: Some(group),
        };
        let rates = fio.run()?;
        Ok(Run {
            bytes_per_second: rates.bytes_per_second,
            cpu_seconds_per_gib: None,
            server_busy: None,
            device_share: None,
            loader_bound: false,
            errors: 0,
        })
    }

    fn set_bytes(&self) -> u64 {
        (self.args.mib << 20) * self.disks.len() as u64
    }
}

/// A node that is to be started.
struct NodeSetup {
    name: String,
    dir: PathBuf,
    mountpaths: Vec<PathBuf>,
    names: u64,
    even: Even,
}

/// How long and with how many connections a run asks.
struct Timing {
    connections: usize,
    seconds: f64,
    warmup: f64,
    prefill: bool,
    /// Every round asks in another order.
    round: usize,
}

/// All nodes of one run together.
fn sum(mode: Mode, measured: &[Measured]) -> Run {
    let all = measured.iter();
    let rate: f64 = all.clone().map(|m| m.outcome.bytes as f64 / m.outcome.seconds).sum();
    let cpu: f64 = all.clone().map(|m| m.outcome.server_cpu_seconds() / m.outcome.seconds).sum();
    let read: f64 = all.clone().map(|m| m.device_per_second.0).sum();
    Run {
        bytes_per_second: rate,
        cpu_seconds_per_gib: Some(cpu / (rate / f64::from(1 << 30))),
        server_busy: Some(cpu),
        device_share: (mode == Mode::Get).then_some(read / rate),
        loader_bound: all.clone().any(|m| m.outcome.loader_bound()),
        errors: all.map(|m| m.outcome.errors).sum(),
    }
}
