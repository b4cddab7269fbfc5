//! What clients see while objects move: a bucket is copied and a target leaves; a disk is taken out and comes back; the leader and a
//! target are killed and come back. Reads go on all the time, their throughput is drawn over time, and in the end every object is read and compared.

mod rig;
mod text;

use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::rig::machine;
use crate::rig::playground::Moved;
use rig::{COPY, Rig, SET, settle};

/// What `moves` shows.
#[derive(Args, Debug, Clone)]
pub(crate) struct MovesArgs {
    /// What happens beside the reads
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Show::Rebalance, Show::Resilver, Show::Loss])]
    pub(crate) show: Vec<Show>,
    /// Targets, each a process of its own; one gateway before them, or three of which one is killed
    #[arg(long, default_value_t = 5)]
    pub(crate) targets: usize,
    /// Disks of each target
    #[arg(long, default_value_t = 3)]
    pub(crate) mountpaths: usize,
    /// Bandwidth of a disk, in MB/s (10^6 bytes)
    #[arg(long, default_value_t = 20)]
    pub(crate) bandwidth: u64,
    /// MiB of objects on each disk, of 1 MiB each
    #[arg(long, default_value_t = 96)]
    pub(crate) mib: u64,
    /// Requests under way for each disk
    #[arg(long, default_value_t = 6)]
    pub(crate) depth: usize,
    /// Seconds that the reads go on
    #[arg(long, default_value_t = 120.0)]
    pub(crate) seconds: f64,
    /// Seconds between one thing's end and the next
    #[arg(long, default_value_t = 10.0)]
    pub(crate) rest: f64,
}

impl MovesArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "targets", &mut self.targets, 3);
        quick(&given, "mountpaths", &mut self.mountpaths, 2);
        quick(&given, "mib", &mut self.mib, 32);
        quick(&given, "seconds", &mut self.seconds, 40.0);
        quick(&given, "rest", &mut self.rest, 5.0);
    }

    fn disks(&self) -> usize {
        self.targets * self.mountpaths
    }
}

/// What happens beside the reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Show {
    /// A bucket is copied, then a target leaves
    Rebalance,
    /// A disk is taken out, then in again
    Resilver,
    /// The leader is killed and started again, then a target
    Loss,
}

impl Show {
    fn name(self) -> &'static str {
        match self {
            Self::Rebalance => "rebalance",
            Self::Resilver => "resilver",
            Self::Loss => "loss",
        }
    }
}

/// One thing that happened, in seconds of the reads.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) from: f64,
    pub(crate) until: f64,
    /// Disks in service after it.
    pub(crate) disks: usize,
    /// What the job says it did.
    pub(crate) moved: Moved,
}

/// A demonstration with what the readers saw.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Shown {
    pub(crate) show: Show,
    pub(crate) steps: Vec<Step>,
    /// MB that came in each second, from the first on.
    pub(crate) rate: Vec<f64>,
    /// Of the reads, while all that happened.
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    /// CPU time that was used by anybody, in parts of all cores'.
    pub(crate) busy: f64,
    /// Seconds after which another gateway led.
    pub(crate) led_again: Option<f64>,
    /// Objects that were read and compared in the end, by bucket.
    pub(crate) checked: Vec<(String, u64)>,
}

/// Shows and writes the report. An error if the end finds an object missing or with other content.
pub(crate) fn run(common: &Common, args: &MovesArgs) -> Result<PathBuf> {
    if args.targets < 2 || args.mountpaths < 2 {
        return Err(PerfError::Refused("expected at least 2 targets and 2 mountpaths".into()));
    }
    let mut report = Report::new("moves", "Reads while objects move", common);
    let shown: Result<Vec<Shown>> = args.show.iter().map(|show| shown(common, args, *show)).collect();
    text::fill(&mut report, &shown?, args)?;
    report.write()
}

fn shown(common: &Common, args: &MovesArgs, show: Show) -> Result<Shown> {
    let rig = Rig::start(common, args, show)?;
    rig.write_set()?;
    let (begin, used) = (Instant::now(), machine::busy_seconds()?);
    let (reads, (steps, led_again)) = std::thread::scope(|scope| {
        let (load, watch) = rig.reads();
        let reads = scope.spawn(move || load.run(&watch));
        let steps = Steps { rig: &rig, args, begin, done: Vec::new() }.of(show);
        let reads = reads.join().map_err(|_| PerfError::Refused("the loader's thread panicked".into()))?;
        Ok::<_, PerfError>((reads?.outcome, steps?))
    })?;
    let busy = (machine::busy_seconds()? - used) / (begin.elapsed().as_secs_f64() * machine::cores() as f64);
    let mut checked = vec![(SET.to_owned(), rig.check(SET)?)];
    if show == Show::Rebalance {
        checked.push((COPY.to_owned(), rig.check(COPY)?));
    }
    let rate = reads.per_second.iter().map(|second| second.arrived_bytes as f64 / 1e6).collect();
    let (requests, errors) = (reads.requests, reads.errors);
    let shown = Shown { show, steps, rate, requests, errors, busy, led_again, checked };
    text::progress(&shown);
    rig.stop()?;
    Ok(shown)
}

/// What happens, one after the other.
struct Steps<'r> {
    rig: &'r Rig<'r>,
    args: &'r MovesArgs,
    begin: Instant,
    done: Vec<Step>,
}

impl Steps<'_> {
    /// What happened, and after how many seconds another gateway led.
    fn of(mut self, show: Show) -> Result<(Vec<Step>, Option<f64>)> {
        let (all, mut led_again) = (self.args.disks(), None);
        match show {
            Show::Rebalance => {
                self.step("copy of the bucket", all, |rig| rig.copy())?;
                let target = self.rig.a_target()?;
                self.step("a target leaves", all - self.args.mountpaths, |rig| rig.remove(&target))?;
            }
            Show::Resilver => {
                let target = self.rig.a_target()?;
                let disk = self.rig.a_disk_of(&target)?;
                self.step("a disk is taken out", all - 1, |rig| rig.detach(&target, &disk))?;
                self.step("it is taken in again", all, |rig| rig.attach(&target, &disk))?;
            }
            Show::Loss => {
                let leader = self.rig.leader()?;
                let mut killed = None;
                self.step("the leader is killed", all, |rig| {
                    killed = Some(rig.kill(&leader)?);
                    led_again = Some(rig.led_again(&leader)?.as_secs_f64());
                    settle()
                })?;
                self.step("it is started again", all, |rig| rig.start_again(killed.as_ref()))?;
                let target = self.rig.a_target_url()?;
                self.step("a target is killed", all - self.args.mountpaths, |rig| {
                    killed = Some(rig.kill(&target)?);
                    settle()
                })?;
                self.step("it is started again", all, |rig| rig.start_again(killed.as_ref()))?;
            }
        }
        Ok((self.done, led_again))
    }

    fn step(&mut self, what: &str, disks: usize, act: impl FnOnce(&Rig<'_>) -> Result<Moved>) -> Result<()> {
        crate::rig::stop::sleep(std::time::Duration::from_secs_f64(self.args.rest))?;
        let from = self.begin.elapsed().as_secs_f64();
        eprintln!("{from:.0} s: {what}");
        let moved = act(self.rig)?;
        let until = self.begin.elapsed().as_secs_f64();
        self.done.push(Step { what: what.into(), from, until, disks, moved });
        Ok(())
    }
}
