//! A target joins while reads go on: what moves, and what a read takes meanwhile, in the server, against the same rate before.
//!
//! The server's histograms are of all that a process did since its start, so each phase has fresh processes on the same disks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::{figure, table};
use crate::rig::loader::{Latency, Load, Pace, Watch, get_latency};
use crate::rig::place::Place;
use crate::rig::playground::{JOB_MAX, Moved, Playground, PlaygroundSpec, sum};
use crate::rig::{http, playground, stop};

const BUCKET: &str = "perf-join";
const PREFIX: &str = "object-";
/// Connections of the reads in open loop.
const CONNECTIONS: usize = 32;

/// What `join` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct JoinArgs {
    /// Objects in the bucket
    #[arg(long, default_value_t = 100_000)]
    pub(crate) objects: u64,
    /// Bytes of each
    #[arg(long, default_value = "16K", value_parser = crate::report::table::parse_size)]
    pub(crate) size: u64,
    /// Targets before, each a process of its own; one gateway before them
    #[arg(long, default_value_t = 3)]
    pub(crate) targets: usize,
    /// Seconds of the reads before, and of those by which the capacity is found
    #[arg(long, default_value_t = 20.0)]
    pub(crate) seconds: f64,
    /// Percent of the capacity that is asked for
    #[arg(long, default_value_t = 50.0)]
    pub(crate) share: f64,
    /// Rounds, each from an empty cluster on
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
}

impl JoinArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "objects", &mut self.objects, 10_000);
        quick(&given, "seconds", &mut self.seconds, 5.0);
        quick(&given, "runs", &mut self.runs, 1);
    }
}

/// One round.
#[derive(Debug, Clone, Serialize)]
struct Run {
    /// Requests a second in closed loop.
    capacity: f64,
    rate: f64,
    /// Of the slowest target; microseconds.
    before_us: Latency,
    during_us: Latency,
    errors: u64,
    moved: Moved,
    /// From the first look at the job to its end.
    seconds: f64,
}

/// Measures and writes the report.
pub(crate) fn run(common: &Common, args: &JoinArgs) -> Result<PathBuf> {
    let mut report = Report::new("join", "A target joins", common);
    let weir = common.weir()?;
    let place = Place::open(&common.base, &[])?;
    let rig = Rig { common, args, weir: &weir, place: &place };
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        let run = rig.run()?;
        eprintln!(
            "{} a second: p99 {} us before, {} us while {} objects move in {:.1} s",
            figure(run.rate),
            figure(run.before_us.p99),
            figure(run.during_us.p99),
            run.moved.objects,
            run.seconds
        );
        runs.push(run);
    }
    fill(&mut report, &runs, args);
    report.write()
}

struct Rig<'a> {
    common: &'a Common,
    args: &'a JoinArgs,
    weir: &'a Path,
    place: &'a Place,
}

impl Rig<'_> {
    fn start(&self, targets: usize) -> Result<Playground> {
        let (dir, run) = (self.place.dir("playground")?, self.place.dir("run")?);
        let spec = PlaygroundSpec {
            weir: self.weir,
            dir: &dir,
            run: &run,
            targets,
            mountpaths: 1,
            gateways: 1,
            cgroup: None,
        };
        spec.start()
    }

    fn load<'l>(&'l self, url: &'l str) -> Load<'l> {
        Load {
            size: self.args.size,
            names: self.args.objects,
            prefix: Some(PREFIX),
            connections: CONNECTIONS,
            seconds: self.args.seconds,
            ..Load::reads(self.weir, url, BUCKET)
        }
    }

    fn watch(&self) -> Watch<'static> {
        Watch { disks: &[], cpu: self.common.server_cpu }
    }

    fn run(&self) -> Result<Run> {
        let _ = std::fs::remove_dir_all(self.place.base().join("playground"));
        let targets = self.args.targets;
        let cluster = self.start(targets)?;
        http::make_bucket(&cluster.url, BUCKET, true)?;
        // Every object is in memory from now on, as at any later start.
        let filled = Load { prefill: true, ..self.load(&cluster.url) };
        let capacity = filled.run(&self.watch())?.outcome.requests_per_second;
        cluster.server.stop()?;

        let rate = capacity * self.args.share / 100.0;
        let paced = Pace { requests: Some(rate), stream: None };
        let cluster = self.start(targets)?;
        let before = Load { pace: paced, ..self.load(&cluster.url) }.run(&self.watch())?.outcome;
        let before_us = slowest(&cluster)?;
        cluster.server.stop()?;

        let cluster = self.start(targets + 1)?;
        let begun = Instant::now();
        let load = Load { pace: paced, seconds: self.args.seconds * 3.0, ..self.load(&cluster.url) };
        let (during, ended) = std::thread::scope(|scope| {
            let reads = scope.spawn(|| load.run(&self.watch()));
            let ended = stop::until(JOB_MAX, || {
                let jobs = cluster.jobs("rebalance")?;
                let is_over = !jobs.is_empty() && jobs.iter().all(|job| job["state"] != "runs");
                Ok(is_over.then_some(jobs))
            });
            // At its end: what comes later has nothing beside it.
            let seen = (begun.elapsed().as_secs_f64(), slowest(&cluster));
            let reads =
                reads.join().map_err(|_| PerfError::Refused("the loader's thread panicked".into()))?;
            Ok::<_, PerfError>((reads?.outcome, (ended?, seen)))
        })?;
        let (jobs, (seconds, during_us)) = ended;
        let jobs = jobs.ok_or_else(|| PerfError::Refused("the rebalance has not ended".into()))?;
        let run = Run {
            capacity,
            rate,
            before_us,
            during_us: during_us?,
            errors: before.errors + during.errors,
            moved: sum(&jobs, &[]),
            seconds,
        };
        cluster.server.stop()?;
        Ok(run)
    }
}

/// The latency of GETs since the start, at the target where the 99th percentile is longest; each has one shard.
fn slowest(cluster: &Playground) -> Result<Latency> {
    let mut slowest = Latency::default();
    for (_, url) in playground::nodes(&playground::map(&cluster.url)?, "tmap") {
        let its = get_latency(&http::get_text(&format!("{url}/metrics"))?)?;
        if its.p99 > slowest.p99 {
            slowest = its;
        }
    }
    Ok(slowest)
}

fn fill(report: &mut Report, runs: &[Run], args: &JoinArgs) {
    report.text(format!(
        "A gateway and {} targets, each a process with one shard and one mountpath, all on all cores; {} objects of {} bytes. Reads in open loop at \
         {} % of what {CONNECTIONS} connections get in closed loop, uniform over all objects, asked of the gateway and redirected; then once more while \
         a target joins and takes its share. Latencies are the server's, from the request's head to its last byte taken by the kernel, of \
         the target where p99 is longest; reads of what has not moved yet are among them. The ideal share is that of one target of {}.",
        args.targets,
        args.objects,
        args.size,
        args.share,
        args.targets + 1
    ));
    let ideal = (args.objects * args.size) as f64 / (args.targets + 1) as f64;
    let head = [
        "capacity req/s",
        "rate",
        "p50 us before",
        "p99 us before",
        "p50 us during",
        "p99 us during",
        "p99 to before",
        "objects moved",
        "bytes to the ideal share",
        "seconds",
        "errors",
    ];
    let rows: Vec<Vec<String>> = runs
        .iter()
        .map(|run| {
            vec![
                figure(run.capacity),
                figure(run.rate),
                figure(run.before_us.p50),
                figure(run.before_us.p99),
                figure(run.during_us.p50),
                figure(run.during_us.p99),
                figure(run.during_us.p99 / run.before_us.p99),
                run.moved.objects.to_string(),
                figure(run.moved.bytes as f64 / ideal),
                figure(run.seconds),
                run.errors.to_string(),
            ]
        })
        .collect();
    report.text(table(&head, 0, &rows));
    runs.iter().for_each(|run| report.row(json!(run)));
}
