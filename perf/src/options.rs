//! What every report takes from the command line.

use std::path::PathBuf;

use clap::Args;

use crate::error::Result;
use crate::rig::loader::weir_binary;

/// Flags of all commands.
#[derive(Args, Debug, Clone)]
pub(crate) struct Common {
    /// Few, short runs, to see that it works; the report goes to NAME-quick and says so
    #[arg(long, global = true)]
    pub(crate) quick: bool,
    /// Directory of the rig, not on tmpfs: mounts, logs and a file of a few GiB; removed by `clean`
    #[arg(long, global = true, default_value = "/var/tmp/weir-perf")]
    pub(crate) base: PathBuf,
    /// The report goes to NAME-PART: flags that select belong to it, and the whole report stays beside it
    #[arg(long, global = true, value_name = "PART")]
    pub(crate) part: Option<String>,
    /// Where reports are written
    #[arg(long, global = true, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/reports"))]
    pub(crate) reports: PathBuf,
    /// The weir binary; by default the one beside this program
    #[arg(long, global = true)]
    pub(crate) weir: Option<PathBuf>,
    /// The server's core
    #[arg(long, global = true, default_value_t = 0)]
    pub(crate) server_cpu: usize,
    /// The core of loader and loop devices
    #[arg(long, global = true, default_value_t = 1)]
    pub(crate) load_cpu: usize,
}

impl Common {
    /// The directory of a report.
    pub(crate) fn report_dir(&self, name: &str) -> PathBuf {
        let part = self.part.as_ref().map_or_else(String::new, |part| format!("-{part}"));
        self.reports.join(format!("{name}{part}{}", if self.quick { "-quick" } else { "" }))
    }

    /// The weir binary, which must be there.
    pub(crate) fn weir(&self) -> Result<PathBuf> {
        weir_binary(self.weir.as_deref())
    }
}

/// Gives a flag of a command a smaller value for `--quick`, unless the command line names it.
pub(crate) fn quick<T>(given: &impl Fn(&str) -> bool, id: &str, flag: &mut T, less: T) {
    if !given(id) {
        *flag = less;
    }
}
