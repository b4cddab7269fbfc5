//! fio on the same disks: what a device gives when nothing stands in between.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::cgroup::Cgroup;
use super::command;
use crate::error::{PerfError, Result};

/// One way of asking the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Direct reads at random places, `depth` under way for each file.
    Read,
    /// Direct writes at random places, each followed by fsync, in `depth` streams.
    WriteAndSync,
    /// Direct writes at random places, `depth` under way for each file.
    Write,
}

/// A run of fio.
#[derive(Debug, Clone)]
pub(crate) struct Fio<'a> {
    pub(crate) work: Work,
    /// One file for each disk, written before by [`lay_out`].
    pub(crate) files: &'a [PathBuf],
    pub(crate) file_bytes: u64,
    pub(crate) block: u64,
    pub(crate) depth: usize,
    pub(crate) warmup: f64,
    pub(crate) seconds: f64,
    /// As taskset has them; empty: any.
    pub(crate) cpus: &'a str,
    pub(crate) cgroup: Option<&'a Cgroup>,
}

/// What a run gave, all files together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rates {
    pub(crate) per_second: f64,
    pub(crate) bytes_per_second: f64,
    /// p50, p99, p99.9; with syncs, of the write and of the sync added up.
    pub(crate) latency_us: [f64; 3],
}

/// Writes a file of `bytes` in full, past the page cache: unwritten extents would be read without the disk.
pub(crate) fn lay_out(path: &Path, bytes: u64) -> Result<()> {
    let text = format!(
        "dd if=/dev/urandom of={} bs=1M count={} oflag=direct conv=fsync",
        path.display(),
        bytes >> 20
    );
    command::run(&mut command::words(&text)).map(drop)
}

impl Fio<'_> {
    /// Runs it.
    pub(crate) fn run(&self) -> Result<Rates> {
        let said = command::run(&mut self.command())?;
        rates(&said)
    }

    fn command(&self) -> Command {
        let (rw, engine) = match self.work {
            Work::Read => ("randread", format!("--ioengine=io_uring --iodepth={}", self.depth)),
            Work::Write => ("randwrite", format!("--ioengine=io_uring --iodepth={}", self.depth)),
            Work::WriteAndSync => {
                ("randwrite", format!("--ioengine=psync --fsync=1 --numjobs={}", self.depth))
            }
        };
        let mut text = format!(
            "fio --output-format=json --rw={rw} {engine} --direct=1 --bs={} --size={} --thread --time_based \
             --ramp_time={}ms --runtime={}ms --group_reporting --norandommap --fallocate=none",
            self.block,
            self.file_bytes,
            (self.warmup * 1000.0) as u64,
            (self.seconds * 1000.0) as u64,
        );
        if !self.cpus.is_empty() {
            text += &format!(" --cpus_allowed={}", self.cpus);
        }
        for (index, file) in self.files.iter().enumerate() {
            text += &format!(" --name=disk{index} --filename={}", file.display());
        }
        match self.cgroup {
            None => command::words(&text),
            Some(group) => {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("echo $$ > {}; exec {text}", group.procs().display())]);
                shell
            }
        }
    }
}

/// The sums of fio's JSON; latencies of the slowest group.
fn rates(said: &str) -> Result<Rates> {
    // Warnings may stand before the object.
    let from = said.find('{').unwrap_or(0);
    let json: Value =
        serde_json::from_str(&said[from..]).map_err(|_| PerfError::parse("fio", "its JSON", said))?;
    let jobs = json.get("jobs").and_then(Value::as_array).filter(|jobs| !jobs.is_empty());
    let jobs = jobs.ok_or_else(|| PerfError::parse("fio", "jobs", said))?;
    let mut sum = Rates::default();
    for job in jobs {
        if job.get("error").and_then(Value::as_u64).unwrap_or(0) != 0 {
            return Err(PerfError::parse("fio", "jobs without error", &job.to_string()));
        }
        for side in ["read", "write"].map(|side| &job[side]) {
            sum.per_second += side["iops"].as_f64().unwrap_or(0.0);
            sum.bytes_per_second += side["bw_bytes"].as_f64().unwrap_or(0.0);
            for (latency, name) in sum.latency_us.iter_mut().zip(["50.000000", "99.000000", "99.900000"]) {
                let own = side["clat_ns"]["percentile"][name].as_f64().unwrap_or(0.0);
                let sync = job["sync"]["lat_ns"]["percentile"][name].as_f64().unwrap_or(0.0);
                let both = if own > 0.0 { own + sync } else { 0.0 };
                *latency = latency.max(both / 1000.0);
            }
        }
    }
    if sum.bytes_per_second > 0.0 { Ok(sum) } else { Err(PerfError::parse("fio", "bytes moved", said)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_added_up() {
        let text = r#"fio: a warning
{"jobs":[{"error":0,"read":{"iops":10.0,"bw_bytes":100,"clat_ns":{"percentile":{"50.000000":1000,"99.000000":2000,"99.900000":3000}}},
"write":{"iops":0,"bw_bytes":0},"sync":{}},
{"error":0,"read":{"iops":0,"bw_bytes":0},"write":{"iops":5.0,"bw_bytes":50,"clat_ns":{"percentile":{"50.000000":4000,"99.000000":1,"99.900000":1}}},
"sync":{"lat_ns":{"percentile":{"50.000000":6000}}}}]}"#;
        let got = rates(text).unwrap();
        assert_eq!((got.per_second, got.bytes_per_second), (15.0, 150.0));
        assert_eq!(got.latency_us, [10.0, 2.0, 3.0]);
    }

    #[test]
    fn nothing_moved_is_an_error() {
        assert!(rates(r#"{"jobs":[{"read":{"iops":0,"bw_bytes":0}}]}"#).is_err());
        assert!(rates(r#"{"jobs":[{"error":5,"read":{"iops":1,"bw_bytes":1}}]}"#).is_err());
        assert!(rates(r#"{"jobs":[]}"#).is_err());
        assert!(rates("no json").is_err());
    }

    #[test]
    fn one_job_for_each_disk() {
        let files = [PathBuf::from("/a/f"), PathBuf::from("/b/f")];
        let fio = Fio {
            work: Work::Read,
            files: &files,
            file_bytes: 1 << 20,
            block: 4096,
            depth: 8,
            warmup: 1.5,
            seconds: 4.0,
            cpus: "0",
            cgroup: None,
        };
        let line = command::line(&fio.command());
        assert!(
            line.contains("--ramp_time=1500ms --runtime=4000ms") && line.contains("--iodepth=8"),
            "{line}"
        );
        assert!(line.contains("--name=disk0 --filename=/a/f --name=disk1 --filename=/b/f"), "{line}");
    }
}
