//! Measurements that anyone can repeat: one command a report. README.md says what each needs and how long it takes.

mod disks;
mod error;
mod fairness;
mod instructions;
mod join;
mod listing;
mod moves;
mod options;
mod peers;
mod report;
mod rig;
mod runtimes;
mod slow;
mod stats;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use error::Result;
use options::Common;

#[derive(Parser, Debug)]
#[command(name = "weir-perf", about = "Measurements of Weir, one command a report")]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// N disks of a fixed bandwidth, in one node and over several
    Disks(disks::DisksArgs),
    /// Weir, nginx, fio and any other endpoint on one core
    Peers(peers::PeersArgs),
    /// The same read-and-send loop on our reactor, monoio and glommio
    Runtimes(runtimes::RuntimesArgs),
    /// Latency of small reads beside large streams
    Fairness(fairness::FairnessArgs),
    /// User-space instructions of one 4K GET and PUT, recorded per commit
    Instructions(instructions::InstructionsArgs),
    /// What readers see while a bucket is copied and a target leaves, and while a disk goes and comes
    Moves(moves::MovesArgs),
    /// Names a second of all processes' CPU, time of a page, and memory, of listings over several targets
    Listing(listing::ListingArgs),
    /// What moves when a target joins, and what reads take meanwhile, in the server
    Join(join::JoinArgs),
    /// What reads of a healthy disk get and cost beside a slow one
    Slow(slow::SlowArgs),
    /// All of them, one after the other
    All,
    /// Remove what a killed run left behind
    Clean,
    /// One server of `runtimes`
    #[command(hide = true)]
    RuntimeServer(runtimes::ServeArgs),
}

fn main() -> ExitCode {
    match run(std::env::args_os()) {
        Ok(written) => {
            for dir in written {
                eprintln!("written: {}", dir.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command line; gives the directories of the reports that were written.
fn run(line: impl IntoIterator<Item = OsString>) -> Result<Vec<PathBuf>> {
    let matches = Cli::command().get_matches_from(line);
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let own = matches.subcommand().map(|(_, own)| own);
    let given = |id: &str| own.is_some_and(|m| m.value_source(id) == Some(ValueSource::CommandLine));
    let common = &cli.common;
    if common.quick {
        match &mut cli.command {
            Command::Disks(args) => args.quicken(given),
            Command::Peers(args) => args.quicken(given),
            Command::Runtimes(args) => args.quicken(given),
            Command::Fairness(args) => args.quicken(given),
            Command::Instructions(args) => args.quicken(given),
            Command::Moves(args) => args.quicken(given),
            Command::Listing(args) => args.quicken(given),
            Command::Join(args) => args.quicken(given),
            Command::Slow(args) => args.quicken(given),
            Command::All | Command::Clean | Command::RuntimeServer(_) => {}
        }
    }
    if let Command::RuntimeServer(args) = &cli.command {
        return runtimes::serve(args).map(|()| Vec::new());
    }
    rig::stop::catch_signals()?;
    let written = match &cli.command {
        Command::Disks(args) => disks::run(common, args)?,
        Command::Peers(args) => peers::run(common, args)?,
        Command::Runtimes(args) => runtimes::run(common, args)?,
        Command::Fairness(args) => fairness::run(common, args)?,
        Command::Instructions(args) => instructions::run(common, args)?,
        Command::Moves(args) => moves::run(common, args)?,
        Command::Listing(args) => listing::run(common, args)?,
        Command::Join(args) => join::run(common, args)?,
        Command::Slow(args) => slow::run(common, args)?,
        Command::All => return all(),
        Command::Clean => return rig::place::clean(&common.base).map(|()| Vec::new()),
        Command::RuntimeServer(_) => return Ok(Vec::new()),
    };
    Ok(vec![written])
}

/// Every report, each as if it had been asked for with the same flags.
fn all() -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for name in ["instructions", "runtimes", "fairness", "slow", "listing", "join", "moves", "disks", "peers"]
    {
        let line = std::env::args_os().map(|word| if word == "all" { name.into() } else { word });
        written.append(&mut run(line)?);
    }
    Ok(written)
}
