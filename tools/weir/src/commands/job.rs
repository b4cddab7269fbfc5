//! Jobs: shown, and waited for.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::json;

use super::Context;
use crate::client::{Part, Status, Tally, Which};
use crate::error::ToolError;
use crate::output::{printable, size};
use crate::progress::Parts;

/// Between two looks at a job.
const LOOK: Duration = Duration::from_millis(200);
/// How long a node may be away while it is asked about a job: jobs outlive restarts.
const AWAY_MAX: Duration = Duration::from_secs(30);

#[derive(Args, Debug)]
pub(crate) struct ShowJobArgs {
    /// Its ID, for what each target does; or a kind, as in copy-bck
    job: Option<String>,
    /// Those that have ended too
    #[arg(long)]
    all: bool,
}

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// IDs of jobs, as their commands print them
    #[arg(required = true)]
    jobs: Vec<String>,
    /// Give up after so many seconds; the jobs go on
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Parts by target.
type ByTarget = BTreeMap<String, Vec<Part>>;

/// A job over its targets.
struct Whole<'p> {
    parts: Vec<(&'p str, &'p Part)>,
}

pub(crate) fn show(context: &Context, args: &ShowJobArgs) -> Result<(), ToolError> {
    let parts = match &args.job {
        None => context.client.job_parts(Which::All)?,
        // An ID, and if there is none such, a kind.
        Some(text) => match context.client.job_parts(Which::Id(text)) {
            Err(error) if error.is_absence() => {
                let of_kind = context.client.job_parts(Which::Kind(text));
                return jobs(context, &of_kind?, args.all);
            }
            found => return targets(context, text, &found?),
        },
    };
    jobs(context, &parts, args.all)
}

/// One line for each job.
fn jobs(context: &Context, parts: &ByTarget, all: bool) -> Result<(), ToolError> {
    let mut jobs: BTreeMap<(&str, &str), Whole<'_>> = BTreeMap::new();
    for (target, part) in parts.iter().flat_map(|(target, parts)| parts.iter().map(move |p| (target, p))) {
        let whole = jobs.entry((&part.started, &part.id)).or_insert_with(|| Whole { parts: Vec::new() });
        whole.parts.push((target, part));
    }
    jobs.retain(|_, job| all || !job.is_over());
    let value: Vec<_> = jobs.values().map(Whole::value).collect();
    context.output.result(&value, |out| {
        if jobs.is_empty() {
            let hint = if all { "no job is known" } else { "no job runs; --all shows those that have ended" };
            return writeln!(out, "{hint}");
        }
        let mut table = Table::new();
        let header = ["job", "kind", "buckets", "objects", "bytes", "started", "state"];
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_header(header);
        for job in jobs.values() {
            table.add_row(job.row());
        }
        writeln!(out, "{table}")
    })
}

/// What each target does of one job.
fn targets(context: &Context, id: &str, parts: &ByTarget) -> Result<(), ToolError> {
    let status = context.client.job_status(id)?;
    context.output.result(&json!({ "status": status, "targets": parts }), |out| {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        let header = ["target", "objects", "bytes", "sent", "received", "started", "ended", "state"];
        table.set_header(header);
        for (target, part) in parts.iter().flat_map(|(target, parts)| parts.iter().map(move |p| (target, p)))
        {
            let ended = part.ended().map(seconds).unwrap_or_default();
            let state = state(part.is_over(), part.aborted, &part.err, &part.left);
            let (done, started) = (part.done(), seconds(&part.started));
            let [sent, received] = [part.sent(), part.received()].map(tally);
            let (objects, bytes) = (done.objects.to_string(), size(done.bytes));
            table.add_row([target.clone(), objects, bytes, sent, received, started, ended, state]);
        }
        let buckets = parts.values().flatten().map(Part::buckets).next().unwrap_or_default();
        writeln!(out, "{} {id} {}", status.kind, printable(&buckets))?;
        writeln!(out, "{table}")
    })
}

/// Waits for jobs, one after the other; an error if one of them did not end well.
pub(crate) fn wait(context: &Context, args: &WaitArgs) -> Result<(), ToolError> {
    let until = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut ended = Vec::with_capacity(args.jobs.len());
    for id in &args.jobs {
        ended.push(wait_for(context, id, until)?);
    }
    let value = ended.iter().map(|(status, done)| {
        json!({ "id": status.id, "kind": status.kind, "objects": done.objects, "bytes": done.bytes,
            "aborted": status.aborted, "error": status.err })
    });
    let value: Vec<_> = value.collect();
    context.output.result(&value, |out| {
        for (status, Tally { objects, bytes }) in &ended {
            let state = state(true, status.aborted, &status.err, "");
            writeln!(out, "{} {}: {objects} objects, {}: {state}", status.kind, status.id, size(*bytes))?;
        }
        Ok(())
    })?;
    let failed = ended.into_iter().map(|(status, _)| status).find(|s| s.aborted || !s.err.is_empty());
    failed.map_or(Ok(()), |status| Err(ToolError::Job { id: status.id, state: status.err }))
}

/// The status of a job that has ended, with what it has done.
fn wait_for(context: &Context, id: &str, until: Option<Instant>) -> Result<(Status, Tally), ToolError> {
    let bar = Parts::start(context.progress);
    let mut away_since = None;
    loop {
        match look(context, id, &bar) {
            Ok((status, done)) if status.ended_ns != 0 => {
                bar.end();
                return Ok((status, done));
            }
            Ok(_) => away_since = None,
            Err(error) if error.may_pass() => {
                let since = *away_since.get_or_insert_with(Instant::now);
                if since.elapsed() > AWAY_MAX {
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            bar.end();
            return Err(ToolError::Job { id: id.to_owned(), state: "it goes on".into() });
        }
        sleep(LOOK);
    }
}

fn look(context: &Context, id: &str, bar: &Parts) -> Result<(Status, Tally), ToolError> {
    let status = context.client.job_status(id)?;
    // The status is by the records of the job; what its parts have done, each target says.
    let parts = match context.client.job_parts(Which::Id(id)) {
        Err(error) if error.is_absence() => ByTarget::new(),
        parts => parts?,
    };
    let all = || parts.values().flatten();
    let done: Tally = all().map(Part::done).sum();
    let over = all().filter(|part| part.is_over()).count();
    let text = format!("{} {id}  {} objects  {}", status.kind, done.objects, size(done.bytes));
    bar.show(over, all().count(), text);
    Ok((status, done))
}

impl Whole<'_> {
    fn is_over(&self) -> bool {
        self.parts.iter().all(|(_, part)| part.is_over())
    }

    fn done(&self) -> Tally {
        self.parts.iter().map(|(_, part)| part.done()).sum()
    }

    fn first(&self) -> Option<&Part> {
        self.parts.first().map(|(_, part)| *part)
    }

    fn state(&self) -> String {
        let aborted = self.parts.iter().any(|(_, part)| part.aborted);
        let said = |of: fn(&Part) -> &str| {
            self.parts.iter().map(|(_, part)| of(part)).find(|text| !text.is_empty()).unwrap_or_default()
        };
        state(self.is_over(), aborted, said(|part| &part.err), said(|part| &part.left))
    }

    fn row(&self) -> [String; 7] {
        let text = |of: &dyn Fn(&Part) -> String| self.first().map(of).unwrap_or_default();
        let done = self.done();
        [
            text(&|part| part.id.clone()),
            text(&|part| part.kind.clone()),
            printable(&text(&Part::buckets)),
            done.objects.to_string(),
            size(done.bytes),
            text(&|part| seconds(&part.started)),
            self.state(),
        ]
    }

    fn value(&self) -> serde_json::Value {
        let targets: BTreeMap<_, _> = self.parts.iter().copied().collect();
        let done = self.done();
        json!({ "id": self.first().map(|p| &p.id), "kind": self.first().map(|p| &p.kind),
            "objects": done.objects, "bytes": done.bytes, "state": self.state(), "targets": targets })
    }
}

/// What moved, if anything did.
fn tally(moved: Tally) -> String {
    match moved {
        Tally { objects: 0, .. } => "-".into(),
        Tally { objects, bytes } => format!("{objects} ({})", size(bytes)),
    }
}

fn state(is_over: bool, aborted: bool, error: &str, left: &str) -> String {
    match (is_over, aborted) {
        (_, true) => "aborted".into(),
        (_, false) if !error.is_empty() => format!("failed: {}", printable(error)),
        (true, _) => "done".into(),
        (false, _) if !left.is_empty() => format!("runs; {}", printable(left)),
        (false, _) => "runs".into(),
    }
}

/// A time to the second.
fn seconds(time: &str) -> String {
    let whole = time.split('.').next().unwrap_or(time).trim_end_matches('Z');
    format!("{} UTC", whole.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_people() {
        assert_eq!(seconds("2026-11-21T19:46:04.123Z"), "2026-11-21 19:46:04 UTC");
        assert_eq!(seconds("2026-11-21T19:46:04Z"), "2026-11-21 19:46:04 UTC");
        for (over, aborted, error, left, expected) in [
            (false, false, "", "", "runs"),
            (false, false, "", "2 left: b/x\n", "runs; 2 left: b/x\\n"),
            (true, false, "", "", "done"),
            (true, true, "user abort", "", "aborted"),
            (true, false, "disk\u{1b}", "", "failed: disk\\u{1b}"),
        ] {
            assert_eq!(state(over, aborted, error, left), expected);
        }
    }
}
