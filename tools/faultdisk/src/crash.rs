//! Power loss, tried: record a workload on a fresh file system, rebuild the disk of many moments, let the file system
//! recover each, and ask a checker whether what was promised is there ([`crate::bench`]).
//!
//! The workload gets `FAULTDISK_MNT` (the mounted file system), `FAULTDISK_SEQ` (the file with the number of records so
//! far) and `FAULTDISK_SEED` (another one for each run).

use crate::RigError;
use crate::disk::Recorded;
use crate::fuse::Served;
use crate::history::History;
use crate::rig::{Fs, Loop, Mounted, Scratch};
use crate::rng::Rng;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
    /// Chooses what the workload does, the crash points and what survives.
    pub seed: u64,
    /// Images that are checked at once.
    pub jobs: usize,
    /// Where the log, the history and the recorded disk are kept while the run lasts.
    pub scratch: PathBuf,
}

/// What one run found, or several together.
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
    /// How long it took, recording included.
    pub took: Duration,
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

    /// Counts one image and what was found on it.
    pub fn image(&mut self, point: Point, findings: &[String]) {
        self.images += 1;
        self.bad_images += u64::from(!findings.is_empty());
        for line in findings {
            match line.split_ascii_whitespace().next() {
                Some("lost") => self.lost += 1,
                Some("torn") => self.torn += 1,
                _ => self.broken += 1,
            }
            if self.findings.len() < FINDINGS_MAX {
                self.findings.push(format!("--until {} --seed {}: {line}", point.until, point.seed));
            }
        }
    }

    /// Adds what another run found; its findings are told by its own report.
    pub fn add(&mut self, run: &Self) {
        self.records += run.records;
        self.acked += run.acked;
        self.images += run.images;
        self.bad_images += run.bad_images;
        self.lost += run.lost;
        self.torn += run.torn;
        self.broken += run.broken;
        self.took += run.took;
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
    let mut workload = command(workload)?;
    workload.env("FAULTDISK_MNT", &mnt).env("FAULTDISK_SEQ", served.seq());
    workload.env("FAULTDISK_SEED", plan.seed.to_string());
    let history = run_workload(workload, &dir.join("history"))?;
    mounted.unmount()?;
    if history.ops().iter().all(|op| op.acked.is_none()) {
        return Err(RigError::Void("the workload acknowledged nothing".into()));
    }
    Ok(history)
}

fn run_workload(mut command: Command, keep: &Path) -> Result<History, RigError> {
    let text = format!("{command:?}");
    let fail = |reason: String| RigError::Command { command: text.clone(), reason };
    command.stdout(Stdio::piped()).stdin(Stdio::null());
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

/// The command of these words.
pub(crate) fn command(words: &[OsString]) -> Result<Command, RigError> {
    let (program, arguments) =
        words.split_first().ok_or_else(|| RigError::Void("no command was given".into()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_add_up() {
        let point = Point { until: 7, seed: 8 };
        let mut run = Report { acked: 5, ..Report::default() };
        run.image(point, &[]);
        assert!(run.clean());
        run.image(point, &["lost a: gone".into(), "torn b: half".into(), "broken file system: no".into()]);
        let mut sum = Report::default();
        sum.add(&run);
        sum.add(&run);
        let Report { images, bad_images, lost, torn, broken, acked, .. } = sum;
        assert_eq!((images, bad_images, lost, torn, broken, acked), (4, 2, 2, 2, 2, 10));
        assert!(!sum.clean() && run.findings[0] == "--until 7 --seed 8: lost a: gone");
    }

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
