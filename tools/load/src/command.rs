//! One call of `weir load`: from flags to reports.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::cli::{LoadCli, LoadCommand, OutputArgs};
use crate::error::LoadError;
use crate::html;
use crate::litmus::Litmus;
use crate::plan::{Mode, Plan};
use crate::report::Report;
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
        LoadCommand::Get(args) => (args.plan(Mode::Get)?, &args.common.output),
        LoadCommand::Put(args) => (args.plan(Mode::Put)?, &args.common.output),
        LoadCommand::List(args) => (args.plan(Mode::List)?, &args.common.output),
        LoadCommand::Mixed(args) => {
            (args.load.plan(Mode::Mixed(args.write_share.0))?, &args.load.common.output)
        }
        LoadCommand::Range(args) => {
            (args.load.plan(Mode::Range(args.range_size.0))?, &args.load.common.output)
        }
        LoadCommand::Litmus(args) => return litmus(&args.litmus()?, &args.common.output),
    };
    one(&plan, output)
}

fn one(plan: &Plan, output: &OutputArgs) -> Result<Verdict, LoadError> {
    let stop = stopped_by_signals()?;
    let mut view = View::new(!output.quiet && std::io::stderr().is_terminal());
    let report = run(plan, &stop, &mut |progress| view.show(progress))?;
    view.end();
    write(output, &report, || html::page(&report), || text::summary(&report))?;
    Ok(verdict([&report].into_iter()))
}

fn litmus(litmus: &Litmus, output: &OutputArgs) -> Result<Verdict, LoadError> {
    let stop = stopped_by_signals()?;
    let mut view = View::new(!output.quiet && std::io::stderr().is_terminal());
    let report = litmus.run(&stop, &mut |phase, progress| {
        view.label(phase);
        view.show(progress);
    })?;
    view.end();
    write(output, &report, || report.page(), || text::columns(&report.rows(), &report.notes))?;
    Ok(verdict(report.clusters.iter().flat_map(|c| &c.phases).map(|p| &p.report)))
}

fn verdict<'r>(reports: impl Iterator<Item = &'r Report> + Clone) -> Verdict {
    match () {
        () if reports.clone().any(Report::wrong_content) => Verdict::WrongContent,
        () if reports.clone().all(|report| report.requests == 0) => Verdict::Nothing,
        () => Verdict::Good,
    }
}

/// A flag that the first SIGINT or SIGTERM sets; the second one ends the process at once.
fn stopped_by_signals() -> Result<Arc<AtomicBool>, LoadError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag set by the first.
        signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())
            .and_then(|_| signal_hook::flag::register(signal, stop.clone()))
            .map_err(|error| LoadError::Usage(format!("signals: {error}")))?;
    }
    Ok(stop)
}

/// Writes a report to where it is wanted: as JSON, as a page, and for people unless standard output has the JSON.
fn write(
    output: &OutputArgs,
    report: &impl Serialize,
    page: impl FnOnce() -> Result<String, LoadError>,
    text: impl FnOnce() -> String,
) -> Result<(), LoadError> {
    if let Some(path) = &output.html {
        write_file(path, page()?.as_bytes())?;
    }
    let to_stdout = output.json.as_deref() == Some(Path::new("-"));
    if let Some(path) = &output.json {
        let json = serde_json::to_string(report);
        let json = json.map_err(|error| LoadError::File { path: path.clone(), error: error.into() })? + "\n";
        if to_stdout { print(json.as_bytes())? } else { write_file(path, json.as_bytes())? }
    }
    if to_stdout { Ok(()) } else { print(text().as_bytes()) }
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    std::fs::write(path, bytes).map_err(|error| LoadError::File { path: path.to_owned(), error })
}

fn print(bytes: &[u8]) -> Result<(), LoadError> {
    match std::io::stdout().write_all(bytes) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome.map_err(|error| LoadError::File { path: "standard output".into(), error }),
    }
}
