//! `total throughput = N x single-disk throughput`, on emulated disks of a fixed bandwidth, beside fio on the same disks.

mod bench;
mod even;
mod text;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::error::Result;
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::parse_size;

/// What `disks` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct DisksArgs {
    /// Numbers of disks
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8")]
    pub(crate) disks: Vec<usize>,
    /// Bandwidths of a disk, in MB/s (10^6 bytes)
    #[arg(long, value_delimiter = ',', default_value = "100,400")]
    pub(crate) bandwidths: Vec<u64>,
    /// Numbers of nodes side by side, one disk each, of the first bandwidth
    #[arg(long, value_delimiter = ',', default_value = "3,6")]
    pub(crate) targets: Vec<usize>,
    /// GET, PUT
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Mode::Get, Mode::Put])]
    pub(crate) modes: Vec<Mode>,
    /// Requests under way for each disk
    #[arg(long, default_value_t = 8)]
    pub(crate) depth: usize,
    /// Rounds; in each Weir and fio take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Measured seconds of a run; the throttle works in slices of 100 ms
    #[arg(long, default_value_t = 4.0)]
    pub(crate) seconds: f64,
    /// Seconds before them: throttles begin with a credit
    #[arg(long, default_value_t = 1.5)]
    pub(crate) warmup: f64,
    /// Size of an object
    #[arg(long, default_value = "1M", value_parser = parse_size)]
    pub(crate) size: u64,
    /// MiB of objects on each disk
    #[arg(long, default_value_t = 320)]
    pub(crate) mib: u64,
}

impl DisksArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "disks", &mut self.disks, vec![1, 4]);
        quick(&given, "bandwidths", &mut self.bandwidths, vec![100]);
        quick(&given, "targets", &mut self.targets, vec![3]);
        quick(&given, "runs", &mut self.runs, 1);
        quick(&given, "seconds", &mut self.seconds, 3.0);
        quick(&given, "mib", &mut self.mib, 160);
    }
}

/// What is done to the disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    Get,
    Put,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Put => "put",
        }
    }
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Measures and writes the report.
pub(crate) fn run(common: &Common, args: &DisksArgs) -> Result<PathBuf> {
    let mut report = Report::new("disks", "N disks, N times one disk", common);
    let points = bench::measure(common, args)?;
    text::fill(&mut report, &points, args)?;
    report.write()
}
