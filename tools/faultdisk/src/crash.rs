//! Power loss, tried: record a workload on a fresh file system, rebuild the disk of many moments, let the file system
//! recover each, and ask a checker whether what was promised is there.
//!
//! The checker gets `FAULTDISK_MNT` (the mounted file system) and `FAULTDISK_ALLOWED` (what may be found, by
//! [`crate::history::write_allowed`]). It prints a line that begins with `lost` or `torn` for each broken promise and
//! exits 0; any other exit means that recovery itself failed. The workload gets `FAULTDISK_MNT` and `FAULTDISK_SEQ`.

use crate::RigError;
use crate::disk::{Backing, Rebuilt, Recorded};
use crate::fuse::Served;
use crate::history::{History, write_allowed};
use crate::log::Log;
use crate::replay;
use crate::rig::{Fs, Loop, Mounted, Scratch};
use crate::rng::Rng;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The programs under test.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The workload, as words.
    pub workload: Vec<OsString>,
    /// The checker, as words.
    pub check: Vec<OsString>,
}

/// What one run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file system.
    pub fs: Fs,
    /// Size of the disk in bytes; XFS wants 300 MiB and more.
    pub disk_bytes: u64,
    /// Crash images to make.
    pub images: u64,
    /// Chooses the crash points and what survives.
    pub seed: u64,
    /// Where the log, the history and the images are kept while the run lasts.
    pub scratch: PathBuf,
}

/// What a run found.
#[derive(Debug, Default, Clone)]
pub struct Report {
    /// Records of the disk, flushes included.
    pub records: u64,
    /// Operations acknowledged.
    pub acked: u64,
    /// Images checked.
    pub images: u64,
    /// Images with a finding.
    pub bad_images: u64,
    /// Promises broken: names absent or older than acknowledged.
    pub lost: u64,
    /// Names with bytes that nobody wrote.
    pub torn: u64,
    /// Images that did not mount or that the checker could not read.
    pub broken: u64,
    /// The first findings, each with the point and seed that show it again.
    pub findings: Vec<String>,
}

/// Findings kept in a report; the counts go on.
const FINDINGS_MAX: usize = 20;

impl Report {
    /// No promise was broken.
    pub fn clean(&self) -> bool {
        self.lost + self.torn + self.broken == 0
    }
}

/// One moment at which power fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Records that the disk had received.
    pub until: u64,
    /// Decides what of the volatile cache survived.
    pub seed: u64,
}

/// Half of the points are moments of an acknowledgement, where a missing sync shows; the others are anywhere from the
/// first operation on. In the order of the log.
pub fn points(history: &History, records: u64, images: u64, seed: u64) -> Vec<Point> {
    let mut rng = Rng::new(seed);
    let acks: Vec<u64> = history.ops().iter().filter_map(|op| op.acked).collect();
    let first = history.ops().first().map_or(0, |op| op.begun);
    let mut points: Vec<Point> = (0..images)
        .map(|i| {
            let ack = acks.get(rng.below(acks.len() as u64) as usize);
            let any = first + rng.below(records.saturating_sub(first) + 1);
            let until = if i % 2 == 0 { ack.copied().unwrap_or(any) } else { any };
            Point { until, seed: rng.bits() }
        })
        .collect();
    points.sort_unstable();
    points
}

/// Records the workload on a new file system: leaves `log` and `history` in `dir`.
pub fn record(plan: &Plan, workload: &[OsString], dir: &Path) -> Result<History, RigError> {
    let scratch = Scratch::new(&plan.scratch)?;
    let (fuse, mnt) = (scratch.dir("fuse")?, scratch.dir("mnt")?);
    let disk = Recorded::open(&scratch.path().join("image"), plan.disk_bytes, &dir.join("log"))?;
    let served = Served::start(&fuse, Arc::new(Mutex::new(disk)))?;
    let device = Loop::attach(&served.disk())?;
    device.format(plan.fs)?;
    let mounted = Mounted::new(device.device(), &mnt, plan.fs)?;
    let history = run_workload(workload, &mnt, &served.seq(), &dir.join("history"))?;
    mounted.unmount()?;
    if history.ops().iter().all(|op| op.acked.is_none()) {
        return Err(RigError::Void("the workload acknowledged nothing".into()));
    }
    Ok(history)
}

fn run_workload(words: &[OsString], mnt: &Path, seq: &Path, keep: &Path) -> Result<History, RigError> {
    let text = format!("{words:?}");
    let fail = |reason: String| RigError::Command { command: text.clone(), reason };
    let mut command = command(words)?;
    command.env("FAULTDISK_MNT", mnt).env("FAULTDISK_SEQ", seq).stdout(Stdio::piped()).stdin(Stdio::null());
    let mut child = command.spawn().map_err(|e| fail(e.to_string()))?;
    let mut history = History::default();
    let mut kept = std::fs::File::create(keep).map_err(RigError::io("create", keep))?;
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).lines() {
            let line = line.map_err(|e| fail(e.to_string()))?;
            if history.line(&line)? {
                writeln!(kept, "{line}").map_err(RigError::io("write", keep))?;
            } else {
                eprintln!("workload: {line}");
            }
        }
    }
    let status = child.wait().map_err(|e| fail(e.to_string()))?;
    if !status.success() {
        return Err(fail(status.to_string()));
    }
    Ok(history)
}

fn command(words: &[OsString]) -> Result<Command, RigError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| RigError::Void("no command was given".into()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// Rebuilds and checks each of `points`, which are in the order of the log.
pub fn check(
    plan: &Plan,
    programs: &Programs,
    dir: &Path,
    history: &History,
    points: &[Point],
) -> Result<Report, RigError> {
    let log = Log::open(&dir.join("log"))?;
    let bench = Bench::new(plan)?;
    let mut report = Report {
        records: log.records().len() as u64,
        acked: history.acked(u64::MAX) as u64,
        images: points.len() as u64,
        ..Report::default()
    };
    let mut from = 0;
    for point in points {
        {
            let mut disk = bench.disk();
            disk.reset();
            from = replay::apply_durable(&log, from, point.until, |at, data| disk.put_base(at, data))?;
            let put =
                |at, data: &[u8]| disk.write(at, data).map_err(RigError::io("write", "the rebuilt disk"));
            replay::apply_survivors(&log, point.until, point.seed, plan.fs.sector_bytes(), put)?;
        }
        write_allowed(&bench.allowed, &history.allowed(point.until))?;
        let findings = bench.ask(plan.fs, &programs.check)?;
        report.bad_images += u64::from(!findings.is_empty());
        for line in findings {
            note(&mut report, *point, &line);
        }
    }
    Ok(report)
}

fn note(report: &mut Report, point: Point, line: &str) {
    match line.split_ascii_whitespace().next() {
        Some("lost") => report.lost += 1,
        Some("torn") => report.torn += 1,
        _ => report.broken += 1,
    }
    if report.findings.len() < FINDINGS_MAX {
        report.findings.push(format!("--until {} --seed {}: {line}", point.until, point.seed));
    }
}

/// A rebuilt disk under one loop device, mounted anew for each image.
struct Bench {
    // In the order in which they must go.
    device: Loop,
    _served: Served,
    disk: Arc<Mutex<Rebuilt>>,
    mnt: PathBuf,
    allowed: PathBuf,
    _scratch: Scratch,
}

impl Bench {
    fn new(plan: &Plan) -> Result<Self, RigError> {
        let scratch = Scratch::new(&plan.scratch)?;
        let disk = Rebuilt::create(&scratch.path().join("base"), plan.disk_bytes)?;
        let disk = Arc::new(Mutex::new(disk));
        let served = Served::start(&scratch.dir("fuse")?, disk.clone())?;
        let device = Loop::attach(&served.disk())?;
        let (mnt, allowed) = (scratch.dir("mnt")?, scratch.path().join("allowed"));
        Ok(Self { device, _served: served, disk, mnt, allowed, _scratch: scratch })
    }

    fn disk(&self) -> MutexGuard<'_, Rebuilt> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Mounts the disk as it is and runs the checker; its findings.
    fn ask(&self, fs: Fs, check: &[OsString]) -> Result<Vec<String>, RigError> {
        let mounted = match Mounted::new(self.device.device(), &self.mnt, fs) {
            Ok(mounted) => mounted,
            Err(e) => return Ok(vec![format!("broken file system: {e}")]),
        };
        let mut command = command(check)?;
        let command = command.env("FAULTDISK_MNT", &self.mnt).env("FAULTDISK_ALLOWED", &self.allowed);
        let output = command.stdin(Stdio::null()).output();
        let output =
            output.map_err(|e| RigError::Command { command: format!("{check:?}"), reason: e.to_string() })?;
        mounted.unmount()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let is_finding = |l: &&str| l.starts_with("lost ") || l.starts_with("torn ");
        let mut findings: Vec<String> = text.lines().filter(is_finding).map(str::to_owned).collect();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr);
            let last = error.lines().next_back().unwrap_or("no message").to_owned();
            findings.push(format!("broken recovery: the checker ended with {}: {last}", output.status));
        }
        Ok(findings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_ordered_and_lean_to_acknowledgements() {
        let mut history = History::default();
        for i in 0..10 {
            history.line(&format!("begin {i} {} n v", 100 + i * 10)).unwrap();
            history.line(&format!("ack {i} {}", 105 + i * 10)).unwrap();
        }
        let points = points(&history, 300, 100, 1);
        assert!(points.is_sorted() && points.len() == 100);
        assert!(points.iter().all(|p| (100..=300).contains(&p.until)));
        let at_acks = points.iter().filter(|p| p.until % 10 == 5 && p.until < 200).count();
        assert!(at_acks >= 50, "{at_acks}");
        assert_ne!(points, super::points(&history, 300, 100, 2));
    }
}
