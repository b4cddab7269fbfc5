//! Weir beside its peers on one box: one core for the server, one for loader and disk, the same files for those that serve files.

mod bench;
mod plan;
mod servers;
mod text;

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::parse_size;
use crate::rig::peer::PeerSpec;

pub(crate) use plan::Case;

/// What `peers` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct PeersArgs {
    /// Object sizes
    #[arg(long, value_delimiter = ',', default_value = "4K,64K,1M,16M", value_parser = parse_size)]
    pub(crate) sizes: Vec<u64>,
    /// Connections
    #[arg(long, value_delimiter = ',', default_value = "1,16,64")]
    pub(crate) connections: Vec<usize>,
    /// Cases
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Case::ALL)]
    pub(crate) cases: Vec<Case>,
    /// Rounds; in each all servers take turns
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Measured seconds of a run
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// Seconds before them
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// API that our node is asked by: ais or s3
    #[arg(long, default_value = "ais", value_parser = ["ais", "s3"])]
    pub(crate) api: String,
    /// Another endpoint: NAME=URL[,api=ais|s3][,admin=URL][,direct=ID][,start=PROGRAM][,pid=N][,limit=MIB]; may be repeated
    #[arg(long = "peer", value_name = "SPEC")]
    pub(crate) peers: Vec<PeerSpec>,
    /// GiB of memory that are not held: for page cache and servers
    #[arg(long, default_value_t = 3.0)]
    pub(crate) leave_gib: f64,
    /// Names of the 4K cold set; fewer would not exceed what a cache can hold
    #[arg(long, default_value_t = plan::COLD_NAMES)]
    pub(crate) cold_names: u64,
}

impl PeersArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "sizes", &mut self.sizes, vec![4 << 10, 1 << 20]);
        quick(&given, "connections", &mut self.connections, vec![16]);
        quick(&given, "runs", &mut self.runs, 1);
        quick(&given, "seconds", &mut self.seconds, 2.0);
        quick(&given, "warmup", &mut self.warmup, 0.5);
    }
}

/// Measures and writes the report.
pub(crate) fn run(common: &Common, args: &PeersArgs) -> Result<PathBuf> {
    let mut report = Report::new("peers", "Peers on one box", common);
    let rows = bench::measure(common, args)?;
    text::fill(&mut report, &rows, args)?;
    report.write()
}
