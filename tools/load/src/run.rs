//! A run from its plan to its report: the set written first, threads started, servers' CPU time taken at both ends of the
//! measurement, the books put together.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::content::Content;
use crate::cpu::Sample;
use crate::error::LoadError;
use crate::plan::Plan;
use crate::record::{Failures, Record};
use crate::report::{BOUND_SHARE, Errors, Latency, Loader, OpenLoop, Report, Row, Server};
use crate::worker::{Common, Outcome, Second, Worker};

/// Time to find out whether a server is there at all.
const PROBE_WAIT: Duration = Duration::from_secs(5);
/// Seconds' books of each thread on their way to the one that adds them up.
const SECONDS_QUEUED: usize = 4;
/// Time that threads get to start before the clock does.
const START: Duration = Duration::from_millis(5);

/// What a run says while it goes on.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'r> {
    /// The set of so many objects is being written.
    Prefill(u64),
    /// The measurement begins, after this time of warm-up; it will take about so long, unless operations are counted.
    Begin(Duration, Option<Duration>),
    /// Another second is over.
    Second(&'r Row),
}

/// Carries out a plan. Setting `stop` ends it early; the report then tells of what ran.
pub fn run(
    plan: &Plan,
    stop: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Report, LoadError> {
    for endpoint in &plan.endpoints {
        TcpStream::connect_timeout(&endpoint.address, PROBE_WAIT).map_err(|error| {
            LoadError::Unreachable { endpoint: format!("http://{}", endpoint.authority), error }
        })?;
    }
    let content = Arc::new(Content::new(plan.seed, plan.compressible));
    if let Some(names) = plan.prefill {
        progress(Progress::Prefill(names));
        let run = execute(plan.fill(names), &content, stop, &mut |_| {})?;
        if !run.record.failures.0.is_empty() {
            let failed = run.record.failures.all();
            let first = run.record.failures.first().unwrap_or_default().to_owned();
            return Err(LoadError::Prefill { names, failed, first });
        }
    }
    let counted = plan.operations.is_some();
    progress(Progress::Begin(plan.warmup, (!counted).then_some(plan.duration)));
    let mut rows = Vec::new();
    let run = execute(plan.clone(), &content, stop, &mut |row| {
        progress(Progress::Second(&row));
        rows.push(row);
    })?;
    Ok(run.report(plan, rows, stop.load(Ordering::Relaxed)))
}

/// What came of a plan's threads.
struct Run {
    record: Record,
    outside: Failures,
    seconds: f64,
    outcomes: Vec<Outcome>,
    /// Servers' processes and softirqs over the measurement, or why that is not known.
    usage: Result<(Vec<(i32, f64)>, f64), LoadError>,
}

fn execute(
    plan: Plan,
    content: &Arc<Content>,
    stop: &Arc<AtomicBool>,
    row: &mut dyn FnMut(Row),
) -> Result<Run, LoadError> {
    let plan = Arc::new(plan);
    let common = Common::new(stop);
    let (sender, seconds) = sync_channel(plan.threads * SECONDS_QUEUED);
    let begin = Instant::now() + START;
    let mut threads = Vec::new();
    for index in 0..plan.threads {
        let worker = Worker {
            index,
            plan: plan.clone(),
            content: content.clone(),
            common: common.clone(),
            begin,
            seconds: sender.clone(),
        };
        let builder = std::thread::Builder::new().name(format!("load-{index}"));
        let spawned = builder.spawn(move || worker.run());
        threads.push(spawned.map_err(|e| LoadError::Thread { thread: index, got: e.to_string() })?);
    }
    drop(sender);
    let usage = watch(&plan, begin, stop, &seconds, row);
    let outcomes = threads.into_iter().enumerate().map(|(i, thread)| joined(i, thread));
    let outcomes: Vec<Outcome> = outcomes.collect::<Result<_, _>>()?;
    let mut record = Record::new();
    let mut outside = Failures::default();
    for outcome in &outcomes {
        record.add(&outcome.record);
        outside.add(&outcome.outside);
    }
    let end = outcomes.iter().map(|o| o.end).max().unwrap_or(begin);
    let seconds = end.saturating_duration_since(begin + plan.warmup).as_secs_f64();
    Ok(Run { record, outside, seconds, outcomes, usage })
}

fn joined(thread: usize, handle: JoinHandle<Result<Outcome, String>>) -> Result<Outcome, LoadError> {
    let ended = handle.join().unwrap_or_else(|_| Err("expected it to end, it panicked".to_owned()));
    ended.map_err(|got| LoadError::Thread { thread, got })
}

/// Adds up seconds' books as they come, until all threads have ended, and takes the samples at both ends of the measurement.
fn watch(
    plan: &Plan,
    begin: Instant,
    stop: &AtomicBool,
    seconds: &Receiver<Second>,
    row: &mut dyn FnMut(Row),
) -> Result<(Vec<(i32, f64)>, f64), LoadError> {
    let from = begin + plan.warmup;
    let until = from + plan.duration;
    let (mut first, mut last) = (None, None);
    let mut gathered: BTreeMap<u64, (usize, Record)> = BTreeMap::new();
    loop {
        let now = Instant::now();
        if first.is_none() && now >= from {
            first = Some(Sample::take(&plan.server_pids));
        }
        if last.is_none() && (now >= until || stop.load(Ordering::Relaxed)) {
            last = Some(Sample::take(&plan.server_pids));
        }
        let wait =
            [from, until].into_iter().map(|at| at.saturating_duration_since(now)).filter(|w| !w.is_zero());
        let wait = wait.min().unwrap_or(Duration::MAX).min(Duration::from_millis(20));
        match seconds.recv_timeout(wait) {
            Ok(second) => {
                let (threads, sum) = gathered.entry(second.number).or_insert_with(|| (0, Record::new()));
                *threads += 1;
                sum.add(&second.record);
                if *threads == plan.threads
                    && let Some((_, whole)) = gathered.remove(&second.number)
                {
                    row(Row::of(second.number, &whole, width(second.number, from, until)));
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    for (number, (_, part)) in gathered {
        row(Row::of(number, &part, width(number, from, until)));
    }
    let last = last.unwrap_or_else(|| Sample::take(&plan.server_pids))?;
    // Stopped before the measurement began: nothing was used in it.
    first.unwrap_or_else(|| Ok(last.clone())).map(|first| last.since(&first))
}

/// Length of a second of the measurement: the last one may be shorter.
fn width(number: u64, from: Instant, until: Instant) -> f64 {
    let begun = from + Duration::from_secs(number.saturating_sub(1));
    let end = until.min(begun + Duration::from_secs(1)).min(Instant::now().max(begun));
    let width = end.saturating_duration_since(begun).as_secs_f64();
    if width > 0.0 { width } else { 1.0 }
}

impl Run {
    fn report(self, plan: &Plan, rows: Vec<Row>, interrupted: bool) -> Report {
        let mut report = Report::of(plan);
        report.enter(&self.record, self.seconds);
        report.interrupted = interrupted;
        report.errors_outside = Errors::of(&self.outside);
        report.unfinished = self.outcomes.iter().map(|o| o.unfinished).sum();
        report.loader = loader(&self.outcomes);
        report.per_second = rows;
        report.open_loop = plan.rate.map(|_| OpenLoop {
            lateness_us: Latency::of(&self.record.late),
            waiting: self.outcomes.iter().map(|o| o.behind.1).sum(),
            left_out: self.outcomes.iter().map(|o| o.behind.0).sum(),
        });
        match self.usage {
            Ok((servers, softirq)) => {
                let (requests, bytes) = (report.requests, report.bytes);
                let servers = servers.into_iter().map(|(pid, cpu)| Server::of(pid, cpu, requests, bytes));
                report.server = servers.collect();
                report.softirq_seconds = softirq;
            }
            Err(error) => report.notes.push(format!("CPU time of servers is not known: {error}")),
        }
        if report.loader.loader_bound {
            report
                .notes
                .push("a thread of the loader was over 90 % busy: judge by CPU time per request".into());
        }
        report
    }
}

fn loader(outcomes: &[Outcome]) -> Loader {
    let share = |o: &Outcome| if o.wall.is_zero() { 0.0 } else { o.cpu.as_secs_f64() / o.wall.as_secs_f64() };
    let busiest = outcomes.iter().map(share).fold(0.0, f64::max);
    Loader {
        cpu_seconds: outcomes.iter().map(|o| o.cpu.as_secs_f64()).sum(),
        busiest_thread: (busiest * 1e3).round() / 1e3,
        loader_bound: busiest > BOUND_SHARE,
        thread_cpu_seconds: outcomes.iter().map(|o| o.cpu.as_secs_f64()).collect(),
    }
}
