//! Crash images, checked: each is rebuilt in memory, mounted, recovered by its file system and shown to a checker.
//!
//! The checker gets `FAULTDISK_MNT` (the mounted file system) and `FAULTDISK_ALLOWED` (what may be found, by
//! [`crate::history::write_allowed`]). It prints a line that begins with `lost` or `torn` for each broken promise and
//! exits 0; any other exit means that recovery itself failed.
//!
//! Faults are not injected here, so no server stands between the loop device and the image. Mounting and unmounting wait
//! more than they compute: several benches work at once, each on a disk and a loop device of its own.

use crate::RigError;
use crate::crash::{Plan, Point, Report, command};
use crate::history::{History, write_allowed};
use crate::log::Log;
use crate::rebuilt::Rebuilt;
use crate::replay;
use crate::rig::{Loop, Mounted, Scratch};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

/// A point and what was found there.
type Checked = (Point, Vec<String>);

/// Rebuilds and checks each of `points`, which are in the order of the log kept in `dir`.
pub fn check(
    plan: &Plan,
    checker: &[OsString],
    dir: &Path,
    history: &History,
    points: &[Point],
) -> Result<Report, RigError> {
    let log = Log::open(&dir.join("log"))?;
    let jobs = plan.jobs.clamp(1, points.len().max(1));
    let mut checked = thread::scope(|scope| {
        let (log, benches) = (&log, 0..jobs);
        // Each takes every so-manieth point: late ones, on fuller disks, take longer.
        let share = |bench| points.iter().copied().skip(bench).step_by(jobs);
        let work =
            |bench| scope.spawn(move || Bench::new(plan)?.check(plan, checker, log, history, share(bench)));
        let benches: Vec<_> = benches.map(work).collect();
        let results = benches
            .into_iter()
            .map(|bench| bench.join().unwrap_or_else(|_| Err(RigError::Void("a bench panicked".into()))));
        results.collect::<Result<Vec<Vec<Checked>>, RigError>>()
    })?
    .concat();
    checked.sort_unstable();
    let mut report = Report {
        records: log.records().len() as u64,
        acked: history.acked(u64::MAX) as u64,
        ..Report::default()
    };
    for (point, findings) in &checked {
        report.image(*point, findings);
    }
    Ok(report)
}

/// A rebuilt disk under one loop device, mounted anew for each image.
struct Bench {
    // In the order in which they must go.
    device: Loop,
    disk: Rebuilt,
    mnt: PathBuf,
    allowed: PathBuf,
    _scratch: Scratch,
}

impl Bench {
    fn new(plan: &Plan) -> Result<Self, RigError> {
        let scratch = Scratch::new(&plan.scratch)?;
        let disk = Rebuilt::new(plan.disk_bytes)?;
        let device = Loop::attach(disk.path())?;
        let (mnt, allowed) = (scratch.dir("mnt")?, scratch.path().join("allowed"));
        Ok(Self { device, disk, mnt, allowed, _scratch: scratch })
    }

    fn check(
        mut self,
        plan: &Plan,
        checker: &[OsString],
        log: &Log,
        history: &History,
        points: impl Iterator<Item = Point>,
    ) -> Result<Vec<Checked>, RigError> {
        let mut checked = Vec::new();
        let mut from = 0;
        for point in points {
            let disk = &mut self.disk;
            disk.reset()?;
            from = replay::apply_durable(log, from, point.until, |at, data| disk.put_base(at, data))?;
            let put = |at, data: &[u8]| disk.put(at, data);
            replay::apply_survivors(log, point.until, point.seed, plan.fs.tears(), put)?;
            write_allowed(&self.allowed, &history.allowed(point.until))?;
            checked.push((point, self.ask(plan, checker)?));
        }
        Ok(checked)
    }

    /// Mounts the disk as it is and runs the checker; its findings.
    fn ask(&self, plan: &Plan, checker: &[OsString]) -> Result<Vec<String>, RigError> {
        let mounted = match Mounted::new(self.device.device(), &self.mnt, plan.fs) {
            Ok(mounted) => mounted,
            Err(e) => return Ok(vec![format!("broken file system: {e}")]),
        };
        let mut command = command(checker)?;
        let command = command.env("FAULTDISK_MNT", &self.mnt).env("FAULTDISK_ALLOWED", &self.allowed);
        let output = command.stdin(Stdio::null()).output();
        let output = output
            .map_err(|e| RigError::Command { command: format!("{checker:?}"), reason: e.to_string() })?;
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
