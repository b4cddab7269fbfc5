//! User-space instructions of one 4K GET and one 4K PUT in a real node: the figure that noise cannot touch, recorded per commit.
//!
//! callgrind would count them, but valgrind (3.19, Debian 12) ends at openat2, which it does not know; and virtual machines often count no
//! instructions in hardware. So the node's threads that serve requests are stepped by ptrace, one instruction at a time,
//! with the real rings beneath.

mod client;
mod stepper;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use self::client::Client;
use self::stepper::Stepper;
use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::table::{figure, table};
use crate::report::{self, Report};
use crate::rig::process::{Server, Start};
use crate::rig::{command, http};
use crate::stats::Spread;

/// Bytes of an object.
const SIZE: usize = 4096;
/// The node's files: a disk that takes its time gives timers theirs, and no instruction of ours depends on it.
const DIR: &str = "/dev/shm/weir-perf-instructions";
/// Names in turn, so that no request meets the name of the one before.
const NAMES: usize = 16;
/// A median this many times the lower decile is made of timers. A durable PUT takes seconds when stepped, with up to 1.25.
const CLEAN_MAX: f64 = 1.3;
const START_LIMIT: Duration = Duration::from_secs(60);
/// Threads that serve requests; the others have their own clocks and are left running.
const SERVING: [&str; 3] = ["shard-", "committer", "walker"];

/// What `instructions` counts.
#[derive(Args, Debug, Clone)]
pub(crate) struct InstructionsArgs {
    /// Requests counted of each kind; each takes some seconds
    #[arg(long, default_value_t = 40)]
    pub(crate) requests: usize,
    /// Requests before them, stepped too, until caches are as they stay
    #[arg(long, default_value_t = 16)]
    pub(crate) warmup: usize,
}

impl InstructionsArgs {
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "requests", &mut self.requests, 12);
        quick(&given, "warmup", &mut self.warmup, 4);
    }
}

/// One kind of request.
struct Kind {
    name: &'static str,
    method: &'static str,
    bucket: &'static str,
}

const KINDS: [Kind; 3] = [
    Kind { name: "get-4k", method: "GET", bucket: "perf-durable" },
    Kind { name: "put-4k-durable", method: "PUT", bucket: "perf-durable" },
    Kind { name: "put-4k-relaxed", method: "PUT", bucket: "perf-relaxed" },
];

/// Instructions of every request of a kind.
struct Counted {
    name: &'static str,
    each: Vec<u64>,
    /// By thread, all requests together.
    threads: Vec<(String, u64)>,
}

impl Counted {
    /// The lower decile: what a request costs that no timer's work fell into. Stepped threads are slow, so timers are often due,
    /// and their work in the same turn cannot be told apart.
    fn low(&self) -> f64 {
        let mut each = self.each.clone();
        each.sort_unstable();
        each.get(each.len() / 10).map_or(f64::NAN, |count| *count as f64)
    }

    fn median(&self) -> f64 {
        Spread::of(self.each.iter().map(|n| *n as f64)).map_or(f64::NAN, |s| s.median)
    }

    /// Whether most requests were free of other work: else the machine was too busy to count on.
    fn is_clean(&self) -> bool {
        self.median() <= self.low() * CLEAN_MAX
    }
}

/// Counts, writes the report and adds to the history.
pub(crate) fn run(common: &Common, args: &InstructionsArgs) -> Result<PathBuf> {
    let weir = common.weir()?;
    let mut report = Report::new("instructions", "Instructions of one request", common);
    let base = PathBuf::from(DIR);
    let _ = std::fs::remove_dir_all(&base);
    let counted = count(&weir, &base, common.server_cpu, args);
    let _ = std::fs::remove_dir_all(&base);
    let counted = counted?;
    fill(&mut report, &counted, args);
    let unclean: Vec<&str> = counted.iter().filter(|c| !c.is_clean()).map(|c| c.name).collect();
    if !unclean.is_empty() {
        eprintln!("not added to the history, the machine was busy: {}", unclean.join(", "));
    } else if !common.quick {
        let history = common.reports.join("instructions/history.tsv");
        append(&history, &report::commit(), &counted, args.requests)?;
    }
    report.write()
}

fn count(weir: &Path, base: &Path, cpu: usize, args: &InstructionsArgs) -> Result<Vec<Counted>> {
    let address = format!("127.0.0.1:{}", http::free_port()?);
    let server = start(weir, base, cpu, &address)?;
    let url = format!("http://{address}");
    for bucket in ["perf-durable", "perf-relaxed"] {
        http::make_bucket(&url, bucket, bucket == "perf-relaxed")?;
    }
    let body: Vec<u8> = (0..SIZE).map(|i| (i * 7) as u8).collect();
    let mut client = Client::connect(&address)?;
    // Written and then read without being stepped first: what happens once per name and per connection is over.
    for kind in KINDS.iter().rev() {
        for name in 0..NAMES * 2 {
            client.send(&request(kind, name % NAMES, &body))?;
            client.receive_all()?;
        }
    }
    let pid = *server.pids().first().ok_or_else(|| PerfError::Refused("the node has no process".into()))?;
    // Stepper and stepped hand one core to each other, before everybody else: a step over two cores takes several times as long.
    weir_ring::sys::pin_to_cpu(cpu).map_err(PerfError::io("core of the stepper"))?;
    command::clean_up(&format!("renice -n -20 -p {}", std::process::id()));
    command::clean_up(&format!("renice -n -20 -g {pid}"));
    let mut stepper = Stepper::seize(pid, |name| SERVING.iter().any(|s| name.starts_with(s)))?;
    let mut counted = Vec::new();
    for kind in &KINDS {
        let mut each = Vec::new();
        for number in 0..args.warmup + args.requests {
            if number == args.warmup {
                stepper.take_threads();
            }
            let before = stepper.total();
            client.send(&request(kind, number % NAMES, &body))?;
            stepper.step_until(|| client.has_answer())?;
            if number >= args.warmup {
                each.push(stepper.total() - before);
            }
        }
        let threads = stepper.take_threads();
        counted.push(Counted { name: kind.name, each, threads });
        if let Some(last) = counted.last() {
            eprintln!(
                "{:16} {:>9} instructions, median {:>9}",
                kind.name,
                figure(last.low()),
                figure(last.median())
            );
        }
    }
    // Before its server, whose end is not complete while threads are traced.
    drop(stepper);
    drop(server);
    Ok(counted)
}

fn start(weir: &Path, base: &Path, cpu: usize, address: &str) -> Result<Server> {
    for dir in ["node", "disk", "run"] {
        std::fs::create_dir_all(base.join(dir)).map_err(PerfError::io(base.display().to_string()))?;
    }
    let base = base.canonicalize().map_err(PerfError::io(base.display().to_string()))?;
    let text = format!(
        "dir = {:?}\nlisten = \"{address}\"\nmountpaths = [{:?}]\nshards = 1\npin = false\nspin_us = 0\nbuffers = 16\n",
        base.join("node").display().to_string(),
        base.join("disk").display().to_string(),
    );
    let file = base.join("run/weir.toml");
    std::fs::write(&file, text).map_err(PerfError::io(file.display().to_string()))?;
    let mut program = Command::new(weir);
    // A stepped thread is thousands of times slower: it would tell of stalls all the time.
    program.arg("serve").arg("--config").arg(&file).env("WEIR_LOG", "error");
    let run = base.join("run");
    let mut server = Start { name: "weir", cpus: &cpu.to_string(), cgroup: None, dir: &run }.run(&program)?;
    let health = format!("http://{address}/v1/health?readiness=true");
    server.wait_ready(START_LIMIT, || http::get_status(&health) == Some(200))?;
    Ok(server)
}

fn request(kind: &Kind, name: usize, body: &[u8]) -> Vec<u8> {
    let path = format!("/v1/objects/{}/instructions-{name:04}?provider=ais", kind.bucket);
    let mut bytes = format!("{} {path} HTTP/1.1\r\nHost: localhost\r\n", kind.method).into_bytes();
    if kind.method == "PUT" {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
    } else {
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn fill(report: &mut Report, counted: &[Counted], args: &InstructionsArgs) {
    report.text(format!(
        "User-space instructions of a release build on one connection, {} requests of each kind after {} of warm-up, over {NAMES} names; \
         the kernel's are not counted. The threads that serve ({}) are stepped by ptrace, a repeated string instruction counts once; turns that \
         only a timer began and the control core, which has its own clock, are left out. valgrind 3.19 does not know openat2 and cannot run a node; hardware \
         counters are missing on most virtual machines. \
         The figure is the lower decile of the requests: those that no timer's work fell into.",
        args.requests,
        args.warmup,
        SERVING.map(|s| s.trim_end_matches('-')).join(", "),
    ));
    let mut rows = Vec::new();
    for kind in counted {
        let spread = Spread::of(kind.each.iter().map(|n| *n as f64));
        let per = |total: u64| total as f64 / kind.each.len().max(1) as f64;
        let threads = kind.threads.iter().filter(|(_, n)| *n > 0);
        let threads: Vec<String> = threads.map(|(name, n)| format!("{name} {}", figure(per(*n)))).collect();
        rows.push(vec![
            kind.name.to_owned(),
            format!("{:.0}", kind.low()),
            format!("{:.0}", kind.median()),
            spread.map_or("-".into(), |s| format!("{:.0}-{:.0}", s.min, s.max)),
            threads.join(", "),
            if kind.is_clean() { String::new() } else { "MACHINE BUSY: not to be used".into() },
        ]);
        report.row(json!({
            "request": kind.name, "instructions": kind.low(), "median": kind.median(), "each": kind.each,
            "threads": kind.threads.iter().map(|(name, n)| json!({"thread": name, "instructions": n})).collect::<Vec<_>>(),
        }));
    }
    report.text(table(&["request", "instructions", "median", "min-max", "mean by thread", ""], 1, &rows));
    report.text("history.tsv has one line for each kind and counted commit, of full runs on a machine that was not busy.");
}

/// Adds one line for each kind.
fn append(path: &Path, commit: &str, counted: &[Counted], requests: usize) -> Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(PerfError::io(dir.display().to_string()))?;
    }
    let failed = || PerfError::io(path.display().to_string());
    let mut file: File = OpenOptions::new().create(true).append(true).open(path).map_err(failed())?;
    let mut text = String::new();
    if file.metadata().map_err(failed())?.len() == 0 {
        text += "date\tcommit\trequest\tinstructions\tmedian\trequests\n";
    }
    let date = time::OffsetDateTime::now_utc().date();
    for kind in counted {
        let (name, low, median) = (kind.name, kind.low(), kind.median());
        text += &format!("{date}\t{commit}\t{name}\t{low:.0}\t{median:.0}\t{requests}\n");
    }
    file.write_all(text.as_bytes()).map_err(failed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_has_one_head() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/history.tsv");
        let counted = [Counted { name: "get-4k", each: vec![60, 10, 11], threads: Vec::new() }];
        assert!(counted[0].is_clean());
        append(&path, "abc", &counted, 3).unwrap();
        append(&path, "def", &counted, 3).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[2].ends_with("\tdef\tget-4k\t10\t11\t3"), "{text}");
    }
}
