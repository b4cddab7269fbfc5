//! `weir load`, started with the arguments of a measurement and read from its JSON; beside it, what the kernel counted
//! meanwhile: bytes of disks, soft interrupts of the server's core.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{command, machine};
use crate::error::{PerfError, Result};

/// One run of the loader.
#[derive(Debug, Clone)]
pub(crate) struct Load<'a> {
    /// The `weir` binary.
    pub(crate) weir: &'a Path,
    /// `get` or `put`.
    pub(crate) mode: &'a str,
    pub(crate) endpoint: &'a str,
    /// `ais`, `s3` or `http`.
    pub(crate) api: &'a str,
    /// The gateway whose mark requests to an AIS target carry.
    pub(crate) direct: Option<&'a str>,
    pub(crate) bucket: &'a str,
    pub(crate) size: u64,
    pub(crate) names: u64,
    /// What names begin with; `None`: as the seed says.
    pub(crate) prefix: Option<&'a str>,
    /// A file of names, in place of the number of names and the prefix.
    pub(crate) names_from: Option<&'a Path>,
    pub(crate) seed: u64,
    pub(crate) connections: usize,
    /// What the loader is held to; the default is nothing.
    pub(crate) pace: Pace,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    /// Write every name once first.
    pub(crate) prefill: bool,
    /// The loader's CPUs as taskset has them.
    pub(crate) cpus: &'a str,
    /// Processes of the server, whose CPU is counted.
    pub(crate) servers: &'a [u32],
}

/// How fast the loader goes, where it does not go as fast as it can.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// Requests a second, whether earlier ones are answered or not.
    pub(crate) requests: Option<f64>,
    /// Bytes that each connection takes in a second.
    pub(crate) stream: Option<u64>,
}

/// What the loader says of a run.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) gib_per_second: f64,
    pub(crate) latency_us: Latency,
    pub(crate) loader: Loader,
    pub(crate) server: Vec<ServerCpu>,
    pub(crate) per_second: Vec<Second>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Second {
    /// From 1 on.
    pub(crate) second: u64,
    /// Content that came, also with answers that did not end in it.
    pub(crate) arrived_bytes: u64,
}

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

/// What the loader itself needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Loader {
    /// Share of its time that the busiest thread was on a CPU.
    pub(crate) busiest_thread: f64,
    pub(crate) loader_bound: bool,
}

/// What one process of the server needed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServerCpu {
    pub(crate) cpu_seconds: f64,
}

/// A run with what the kernel counted meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) outcome: Outcome,
    /// Bytes that the watched disks read and wrote a second.
    pub(crate) device_per_second: (f64, f64),
    /// Seconds in soft interrupts on the server's core.
    pub(crate) softirq_seconds: f64,
}

/// What is watched while a loader runs.
#[derive(Debug, Clone)]
pub(crate) struct Watch<'a> {
    /// Names as in /proc/diskstats.
    pub(crate) disks: &'a [String],
    /// The server's core.
    pub(crate) cpu: usize,
}

impl<'a> Load<'a> {
    /// Reads of a bucket by AIS's API, as fast as they go, for a second; of which objects is the caller's to say.
    pub(crate) fn reads(weir: &'a Path, endpoint: &'a str, bucket: &'a str) -> Self {
        Self {
            weir,
            mode: "get",
            endpoint,
            api: "ais",
            direct: None,
            bucket,
            size: 0,
            names: 1,
            prefix: None,
            names_from: None,
            seed: 1,
            connections: 16,
            pace: Pace::default(),
            seconds: 1.0,
            warmup: 0.0,
            prefill: false,
            cpus: "",
            servers: &[],
        }
    }
}

impl Load<'_> {
    /// Runs it to its end.
    pub(crate) fn run(&self, watch: &Watch<'_>) -> Result<Measured> {
        let mut samples = vec![Sample::now(watch)];
        let said = command::run_watched(&mut self.command(), || samples.push(Sample::now(watch)))?;
        samples.push(Sample::now(watch));
        Ok(measured(parse(&said)?, self.warmup, &samples))
    }

    /// The command line of `weir load`.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.weir);
        command.args(["load", self.mode, "--endpoint", self.endpoint, "--api", self.api]);
        if self.api != "http" {
            command.args(["--bucket", self.bucket]);
        }
        let numbers = format!(
            "--size {} --connections {} --threads 1 --duration {}ms --warmup {}ms --order uniform --seed {}",
            self.size,
            self.connections,
            (self.seconds * 1000.0) as u64,
            (self.warmup * 1000.0) as u64,
            self.seed,
        );
        command.args(numbers.split(' '));
        match self.names_from {
            Some(file) => command.arg("--names-from").arg(file),
            None => command.args(["--names", &self.names.to_string()]),
        };
        if let Some(rate) = self.pace.requests {
            command.args(["--rate", &rate.to_string()]);
        }
        if let Some(rate) = self.pace.stream {
            command.args(["--stream-rate", &rate.to_string()]);
        }
        if let Some(gateway) = self.direct {
            command.args(["--direct", gateway]);
        }
        if let Some(prefix) = self.prefix {
            command.args(["--name-prefix", prefix]);
        }
        if self.prefill {
            command.arg("--prefill");
        }
        if !self.cpus.is_empty() {
            command.args(["--cpu", self.cpus]);
        }
        for pid in self.servers {
            command.args(["--server-pid", &pid.to_string()]);
        }
        command.args(["--quiet", "--json", "-"]);
        command
    }
}

impl Outcome {
    /// CPU seconds of all processes of the server.
    pub(crate) fn server_cpu_seconds(&self) -> f64 {
        self.server.iter().map(|s| s.cpu_seconds).sum()
    }

    /// Bytes of content that came in a second, in the whole seconds from `from` to `until`; 0 if there is none.
    pub(crate) fn arrived_per_second(&self, from: f64, until: f64) -> f64 {
        let within = |row: &&Second| row.second as f64 > from && row.second as f64 <= until;
        let rows = self.per_second.iter().filter(within);
        let (seconds, bytes) =
            rows.fold((0.0, 0.0), |(n, sum), row| (n + 1.0, sum + row.arrived_bytes as f64));
        if seconds > 0.0 { bytes / seconds } else { 0.0 }
    }

    /// Whether the loader was the limit.
    pub(crate) fn loader_bound(&self) -> bool {
        self.loader.loader_bound || self.loader.busiest_thread > crate::stats::LOADER_BUSY_MAX
    }
}

/// The loader's JSON object, from whatever else it printed.
pub(crate) fn parse(said: &str) -> Result<Outcome> {
    let from = said.find('{').unwrap_or(0);
    let outcome: Outcome = serde_json::Deserializer::from_str(&said[from..])
        .into_iter()
        .next()
        .and_then(std::result::Result::ok)
        .ok_or_else(|| PerfError::parse("weir load", "its JSON", said))?;
    if outcome.requests == 0 || outcome.seconds <= 0.0 {
        return Err(PerfError::parse("weir load", "requests", said));
    }
    Ok(outcome)
}

/// Counters at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    read: u64,
    written: u64,
    softirq: u64,
}

impl Sample {
    fn now(watch: &Watch<'_>) -> Self {
        let diskstats = machine::read("/proc/diskstats").unwrap_or_default();
        let bytes = watch.disks.iter().filter_map(|d| machine::disk_bytes(&diskstats, d));
        let (read, written) = bytes.fold((0, 0), |sum, disk| (sum.0 + disk.0, sum.1 + disk.1));
        let stat = machine::read("/proc/stat").unwrap_or_default();
        let (softirq, _) = machine::cpu_ticks(&stat, watch.cpu).unwrap_or_default();
        Self { at: Instant::now(), read, written, softirq }
    }
}

/// An outcome with the counters' growth. They are taken around the whole run, as only the loader knows when its measured part begins. A
/// rate of a device is over the time in which it grew: a loader that is slow to begin does not make it smaller.
fn measured(outcome: Outcome, warmup: f64, samples: &[Sample]) -> Measured {
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let rate = |of: fn(&Sample) -> u64| {
        let grew = of(&last).saturating_sub(of(&first)) as f64;
        grew / growing(samples, of).max(outcome.seconds)
    };
    let softirq = last.softirq.saturating_sub(first.softirq) as f64 / machine::TICKS;
    Measured {
        device_per_second: (rate(|s| s.read), rate(|s| s.written)),
        // These go on whatever the device does: warm-up and measurement are taken as alike.
        softirq_seconds: softirq * outcome.seconds / (outcome.seconds + warmup),
        outcome,
    }
}

/// Seconds from the last sample before a counter's growth to the first that has all of it.
fn growing(samples: &[Sample], of: fn(&Sample) -> u64) -> f64 {
    let (first, last) = (of(&samples[0]), of(&samples[samples.len() - 1]));
    let begin = samples.iter().rev().find(|s| of(s) == first);
    let end = samples.iter().find(|s| of(s) == last);
    match (begin, end) {
        (Some(begin), Some(end)) => end.at.saturating_duration_since(begin.at).as_secs_f64(),
        _ => 0.0,
    }
}

/// Of all GETs of a node with one shard since its start, by its page of metrics: from a request's head to its last byte taken by
/// the kernel.
pub(crate) fn get_latency(page: &str) -> Result<Latency> {
    let quantile = |q: &str| {
        let name = format!("weir_request_seconds{{shard=\"0\",op=\"get\",quantile=\"{q}\"}}");
        metric(page, &name).map(|seconds| seconds * 1e6)
    };
    Ok(Latency { p50: quantile("0.5")?, p99: quantile("0.99")?, p999: quantile("0.999")? })
}

/// The value of one line of a page of metrics.
pub(crate) fn metric(page: &str, name: &str) -> Result<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.ok_or_else(|| PerfError::parse(name, "a line of /metrics", page))
}

/// The `weir` binary: as given, or the one beside this program.
pub(crate) fn weir_binary(given: Option<&Path>) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => {
            let own = std::env::current_exe().map_err(PerfError::io("own program"))?;
            own.with_file_name("weir")
        }
    };
    match path.canonicalize() {
        Ok(path) if path.is_file() => Ok(path),
        _ => Err(PerfError::Refused(format!(
            "no {}: cargo build --release -p weir -p weir-perf, or --weir FILE",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_read() {
        let text = r#"{"mode":"get","api":"ais","size":4096,"connections":16,"threads":1,"seconds":5.0,"requests":100,
            "errors":1,"bytes":409600,"requests_per_second":20.0,"gib_per_second":0.1,
            "latency_us":{"p50":1.5,"p90":2,"p99":3,"p999":4,"max":5,"mean":1.6},
            "loader":{"cpu_seconds":1.0,"busiest_thread":0.95,"loader_bound":false},
            "server":[{"pid":1,"cpu_seconds":2.0,"cpu_us_per_request":1,"cpu_seconds_per_gib":3},{"pid":2,"cpu_seconds":0.5}],
            "softirq_seconds":0.2,
            "per_second":[{"second":1,"bytes":7,"arrived_bytes":1},{"second":2,"arrived_bytes":10},{"second":3,"arrived_bytes":20},
            {"second":4,"arrived_bytes":100}]}"#;
        let got = parse(text).unwrap();
        assert_eq!((got.requests, got.errors, got.latency_us.p999), (100, 1, 4.0));
        assert!((got.server_cpu_seconds() - 2.5).abs() < 1e-9);
        assert!(got.loader_bound());
        assert_eq!(got.arrived_per_second(1.0, 3.0), 15.0);
        assert_eq!(got.arrived_per_second(4.0, 9.0), 0.0);
        assert!(parse("{}").is_err());
        assert!(parse("nothing").is_err());
        assert!(parse(r#"{"requests":0,"seconds":1}"#).is_err());
    }

    #[test]
    fn a_device_is_as_fast_as_while_it_grew() {
        let begin = Instant::now();
        let sample = |ms: u64, read: u64| Sample {
            at: begin + std::time::Duration::from_millis(ms),
            read,
            written: 0,
            softirq: ms / 10,
        };
        let samples =
            [sample(0, 7), sample(500, 7), sample(3000, 507), sample(5500, 1007), sample(6000, 1007)];
        let outcome = Outcome { seconds: 4.0, ..Outcome::default() };
        let got = measured(outcome.clone(), 1.0, &samples);
        assert_eq!(got.device_per_second, (200.0, 0.0));
        assert!((got.softirq_seconds - 4.8).abs() < 1e-9, "{got:?}");
        // All at once is no high rate: it was too little for the measured time.
        let samples = [sample(0, 0), sample(50, 1000), sample(6000, 1000)];
        assert_eq!(measured(outcome, 1.0, &samples).device_per_second, (250.0, 0.0));
    }

    #[test]
    fn the_command_line() {
        let load = Load {
            weir: Path::new("weir"),
            mode: "get",
            endpoint: "http://127.0.0.1:1",
            api: "http",
            direct: None,
            bucket: "b",
            size: 4096,
            names: 10,
            prefix: None,
            names_from: None,
            seed: 7,
            connections: 16,
            pace: Pace { requests: Some(2000.0), stream: Some(5) },
            seconds: 1.5,
            warmup: 0.5,
            prefill: false,
            cpus: "1",
            servers: &[5, 6],
        };
        let listed = Load { names_from: Some(Path::new("/n")), ..load.clone() };
        assert!(command::line(&listed.command()).contains(" --seed 7 --names-from /n --rate 2000 "));
        assert_eq!(
            command::line(&load.command()),
            "weir load get --endpoint http://127.0.0.1:1 --api http --size 4096 --connections 16 --threads 1 \
             --duration 1500ms --warmup 500ms --order uniform --seed 7 --names 10 --rate 2000 --stream-rate 5 \
             --cpu 1 --server-pid 5 --server-pid 6 --quiet --json -"
        );
    }

    #[test]
    fn a_page_of_metrics_is_read() {
        let page = "# TYPE weir_request_seconds summary\n\
                    weir_request_seconds{shard=\"0\",op=\"get\",quantile=\"0.5\"} 0.0001\n\
                    weir_request_seconds{shard=\"0\",op=\"get\",quantile=\"0.99\"} 0.002\n\
                    weir_request_seconds{shard=\"0\",op=\"get\",quantile=\"0.999\"} 0.003\n\
                    weir_connections{shard=\"0\"} 17\n";
        let latency = get_latency(page).unwrap();
        assert!((latency.p50 - 100.0).abs() < 1e-6 && (latency.p99 - 2000.0).abs() < 1e-6, "{latency:?}");
        assert_eq!(metric(page, "weir_connections{shard=\"0\"}").unwrap(), 17.0);
        assert!(metric(page, "weir_absent").is_err());
    }
}
