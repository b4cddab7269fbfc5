//! One call of `weir load`: from flags to reports.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{LoadCli, LoadCommand, OutputArgs};
use crate::error::LoadError;
use crate::plan::{Mode, Plan};
use crate::run::run;
use crate::text;
use crate::view::View;

/// Exit statuses of `weir load`: all went well; requests failed or nothing was done; objects came that were not what was
/// written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Requests were answered as they should be, though single ones may have failed.
    Good,
    /// Not one request succeeded.
    Nothing,
    /// Content came that was not what was written.
    WrongContent,
}

/// Carries out a call. What it has to say goes to standard output, or to files.
pub fn execute(cli: LoadCli) -> Result<Verdict, LoadError> {
    let (plan, output) = match &cli.command {
        LoadCommand::Get(args) => (args.plan(Mode::Get)?, &args.output),
        LoadCommand::Put(args) => (args.plan(Mode::Put)?, &args.output),
        LoadCommand::List(args) => (args.plan(Mode::List)?, &args.output),
        LoadCommand::Mixed(args) => (args.load.plan(Mode::Mixed(args.write_share.0))?, &args.load.output),
        LoadCommand::Range(args) => (args.load.plan(Mode::Range(args.range_size.0))?, &args.load.output),
    };
    one(&plan, output)
}

fn one(plan: &Plan, output: &OutputArgs) -> Result<Verdict, LoadError> {
    let stop = stopped_by_signals()?;
    let mut view = View::new(!output.quiet && std::io::stderr().is_terminal());
    let report = run(plan, &stop, &mut |progress| view.show(progress))?;
    view.end();
    write_json(output, &report)?;
    if output.json.as_deref() != Some(Path::new("-")) {
        print(text::summary(&report).as_bytes())?;
    }
    Ok(match () {
        () if report.wrong_content() => Verdict::WrongContent,
        () if report.requests == 0 => Verdict::Nothing,
        () => Verdict::Good,
    })
}

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process at once.
pub(crate) fn stopped_by_signals() -> Result<Arc<AtomicBool>, LoadError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag set by the first.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| LoadError::Usage(format!("signals: {error}")))?;
    }
    Ok(stop)
}

pub(crate) fn write_json(output: &OutputArgs, report: &impl Serialize) -> Result<(), LoadError> {
    let Some(path) = &output.json else { return Ok(()) };
    let mut text = serde_json::to_string(report)
        .map_err(|error| LoadError::File { path: path.clone(), error: error.into() })?;
    text.push('\n');
    if path == Path::new("-") { print(text.as_bytes()) } else { write_file(path, text.as_bytes()) }
}

pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    std::fs::write(path, bytes).map_err(|error| LoadError::File { path: path.to_owned(), error })
}

pub(crate) fn print(bytes: &[u8]) -> Result<(), LoadError> {
    match std::io::stdout().write_all(bytes) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| LoadError::File { path: "standard output".into(), error }),
    }
}
