//! The one binary: `weir serve` and `weir playground` run a node, every other command is a client of one.
//!
//! A command is one file in `commands/`: its flags, what it asks over the AIS API, and what it prints.

mod cli;
mod client;
mod commands;
mod error;
mod logging;
mod node;
mod output;
mod playground;
mod progress;
mod serve;
mod template;
mod uri;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let json = cli.common.json;
    match cli::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough (`weir ls | head`).
        Err(error::ToolError::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            output::failure(&error, json);
            ExitCode::FAILURE
        }
    }
}
