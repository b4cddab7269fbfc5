//! The workload and the checker of power loss on the real store: the disk of production under the store of production,
//! with a committer on a thread of its own and several clients at once.
//!
//! `run` prints its history; `check` recovers what a crash left and says which promises are broken. With a step planted
//! to be left out, the rig must find it.

mod check;
mod content;
mod node;
mod run;
mod skipping;

use clap::{Parser, Subcommand};
use skipping::Skip;
use std::path::PathBuf;
use std::process::ExitCode;

/// What every part of this program may fail with; it is read by a person.
type Failure = Box<dyn std::error::Error>;

#[derive(Parser)]
#[command(about = "Operations on the real store, for crash images", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run operations in $FAULTDISK_MNT and print their history
    Run {
        /// Operations of all clients together
        #[arg(long, default_value_t = 500)]
        ops: u64,
        /// Clients, each with names of its own
        #[arg(long, default_value_t = 6)]
        clients: u64,
        #[arg(long, env = "FAULTDISK_SEED", default_value_t = 1)]
        seed: u64,
        /// A step that is left out
        #[arg(long, value_enum, default_value = "nothing")]
        plant: Skip,
    },
    /// Recover $FAULTDISK_MNT and compare it with $FAULTDISK_ALLOWED
    Check,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run { ops, clients, seed, plant } => run::run(&run::Load { ops, clients, seed, plant }),
        Command::Check => check::check(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("weir-crash-workload: {e}");
            ExitCode::FAILURE
        }
    }
}

fn environment(name: &str) -> Result<PathBuf, Failure> {
    std::env::var_os(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set").into())
}

#[expect(clippy::print_stdout, reason = "the protocol of the rig is on standard output")]
fn say(line: &str) {
    println!("{line}");
}
