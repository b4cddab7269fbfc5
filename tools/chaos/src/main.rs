//! `weir-chaos`: rounds of chaos, each with a seed, and a closing line that counts them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;

use clap::Parser;
use weir_chaos::cluster::{Cluster, Plan};
use weir_chaos::error::ChaosError;
use weir_chaos::events::Kind;
use weir_chaos::node::remove;
use weir_chaos::report::Report;
use weir_chaos::round::{Manner, Outcome, World};
use weir_chaos::unique::Ledger;
use weir_faultdisk::rng::Rng;

/// Breaks a cluster in many ways while clients work on it, and judges what they saw
#[derive(Parser, Debug)]
#[command(name = "weir-chaos")]
struct Args {
    /// Rounds of each kind
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u64,
    /// Decides what happens and in which order; round N by itself has seed S + N - 1
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Kinds of events; all of them by default
    #[arg(long, value_enum, value_delimiter = ',', value_name = "KIND,...")]
    kinds: Vec<Kind>,
    /// Operations on contended names, in all rounds together, at least
    #[arg(long, value_name = "N", default_value_t = 0)]
    operations: u64,
    /// Operations before, while something is broken, and after it, at least
    #[arg(long, value_name = "N", default_value_t = 300)]
    phase: u64,
    /// Clients of contended names
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// Contended names of a round
    #[arg(long, value_name = "N", default_value_t = 6)]
    names: usize,
    /// Clients that write objects of their own
    #[arg(long, value_name = "N", default_value_t = 2)]
    writers: usize,
    /// Targets and mountpaths change beside whatever else happens
    #[arg(long)]
    overlap: bool,
    /// The binary under test; beside this one by default
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Where clusters have their directories; those of bad rounds stay
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A bug that is planted in all nodes, of a build with debug assertions
    #[arg(long, value_name = "BUG")]
    planted: Option<String>,
    /// Something must be found: succeed at the first round in which something is
    #[arg(long)]
    must_find: bool,
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            say("0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// All rounds; whether everything was as it must be.
fn run(args: &Args) -> Result<bool, ChaosError> {
    let (kinds, skipped) = kinds(&args.kinds);
    let here = std::env::current_exe().map_err(ChaosError::io("find", "weir-chaos"))?;
    let run = Run {
        args,
        weir: args.weir.clone().unwrap_or_else(|| here.with_file_name("weir")),
        dir: args.dir.clone().unwrap_or_else(std::env::temp_dir),
        namespaces: kinds.contains(&Kind::Cut),
        number: AtomicU64::new(0),
    };
    let mut report = Report::default();
    let found = run.rounds(&schedule(&kinds, args.rounds, args.seed), &mut report)?;
    report.lines().iter().for_each(|line| say(line));
    let (mut good, mut bad) = report.counts();
    // Where nothing could be done, nothing could be found.
    if args.must_find && !kinds.is_empty() {
        (good, bad) = (u64::from(found), u64::from(!found));
    }
    say(&format!("{good} passed, {bad} failed, {skipped} skipped"));
    Ok(bad == 0)
}

/// What is asked for and can be done here, and how many cannot.
fn kinds(asked: &[Kind]) -> (Vec<Kind>, usize) {
    let asked = if asked.is_empty() { &Kind::ALL } else { asked };
    let possible = |kind: &Kind| match kind.missing() {
        None => true,
        Some(missing) => {
            say(&format!("skipped: {} needs {missing}, which is not here", kind.name()));
            false
        }
    };
    let kinds: Vec<Kind> = asked.iter().copied().filter(possible).collect();
    (kinds.clone(), asked.len() - kinds.len())
}

/// So many rounds of each kind, in an order of chance.
fn schedule(kinds: &[Kind], rounds: u64, seed: u64) -> Vec<Kind> {
    let mut all: Vec<Kind> = (0..rounds).flat_map(|_| kinds.iter().copied()).collect();
    Rng::new(seed).shuffle(&mut all);
    all
}

struct Run<'a> {
    args: &'a Args,
    weir: PathBuf,
    dir: PathBuf,
    namespaces: bool,
    number: AtomicU64,
}

impl Run<'_> {
    /// Does them, and goes on with the same kinds until there were operations enough; whether something was found.
    fn rounds(&self, schedule: &[Kind], report: &mut Report) -> Result<bool, ChaosError> {
        let args = self.args;
        let manner = Manner {
            clients: args.clients,
            writers: args.writers,
            names: args.names,
            phase: args.phase,
            operations: args.operations.div_ceil(schedule.len().max(1) as u64),
            overlap: args.overlap,
        };
        let mut world: Option<(World, PathBuf)> = None;
        for (done, kind) in (0u64..).zip(schedule.iter().cycle()) {
            if done >= schedule.len() as u64 && report.operations() >= args.operations {
                break;
            }
            let seed = args.seed + done;
            let (mut now, dir) = match world.take() {
                Some(world) => world,
                None => self.fresh(done)?,
            };
            let outcome = now.round(&manner, &self.number, *kind, seed);
            report.add(&outcome);
            self.tell(done + 1, &outcome);
            if outcome.is_good() {
                world = Some((now, dir));
                continue;
            }
            // That a round did not come to its end is no finding.
            if args.must_find && !outcome.is_clean() {
                // What was planted is known: nobody will look at it.
                drop(now);
                remove(&dir)?;
                return Ok(true);
            }
            say(&format!("  its cluster is in {}", dir.display()));
        }
        if let Some((world, dir)) = world {
            drop(world);
            remove(&dir)?;
        }
        Ok(false)
    }

    /// A new cluster.
    fn fresh(&self, done: u64) -> Result<(World, PathBuf), ChaosError> {
        let dir = self.dir.join(format!("weir-chaos-{}-{done}", std::process::id()));
        remove(&dir)?;
        let planted = self.args.planted.as_deref();
        let plan = Plan { weir: &self.weir, dir: &dir, planted, namespaces: self.namespaces };
        let cluster = Cluster::start(&plan)?;
        Ok((World { cluster, ledger: Ledger::default(), content: self.args.seed, rounds: 0 }, dir))
    }

    fn tell(&self, round: u64, outcome: &Outcome) {
        let Outcome { kind, seed, operations, acknowledged, took, .. } = outcome;
        let verdict = if outcome.is_good() { "good" } else { "BAD" };
        let led = outcome.led_after.map(|led| format!(", another led after {} ms", led.as_millis()));
        say(&format!(
            "round {round} {}, seed {seed}: {verdict}; {operations} operations, {acknowledged} objects, reads failed for {} ms{} \
             ({:.1} s)",
            kind.name(),
            outcome.unread.as_millis(),
            led.unwrap_or_default(),
            took.as_secs_f64()
        ));
        if let Some(error) = &outcome.error {
            say(&format!("  error: {error}"));
        }
        outcome.told.iter().for_each(|what| say(&format!("  {what}")));
        if !outcome.is_good() {
            let overlap = if self.args.overlap { " --overlap" } else { "" };
            say(&format!(
                "  again: cargo xtask chaos --rounds 1 --kinds {} --seed {seed}{overlap}",
                kind.name()
            ));
        }
    }
}
