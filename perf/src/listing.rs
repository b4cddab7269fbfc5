//! Listings of a bucket over several targets, page by page: names per second of all processes' CPU, the time of a page at every
//! depth, and how much memory they take.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use rmp::Marker;
use rmp::decode::{read_array_len, read_map_len, read_marker, read_str_from_slice};
use serde::Serialize;
use serde_json::json;

use crate::error::{PerfError, Result};
use crate::options::{Common, quick};
use crate::report::Report;
use crate::report::table::{figure, table};
use crate::rig::place::Place;
use crate::rig::playground::PlaygroundSpec;
use crate::rig::{command, http, machine, stop};
use crate::stats::Spread;

const BUCKET: &str = "perf-listing";
const PREFIX: &str = "dir/";
/// Bytes of an object: only its name matters.
const SIZE: u64 = 100;
/// Between the last write and the first listing.
const SETTLED: Duration = Duration::from_secs(3);

/// What `listing` measures.
#[derive(Args, Debug, Clone)]
pub(crate) struct ListingArgs {
    /// Names in the bucket
    #[arg(long, default_value_t = 200_000)]
    pub(crate) names: u64,
    /// Names asked for in a page
    #[arg(long, default_value_t = 10_000)]
    pub(crate) page: u64,
    /// Targets, each a process of its own; one gateway before them
    #[arg(long, default_value_t = 3)]
    pub(crate) targets: usize,
    /// Listings of the whole bucket
    #[arg(long, default_value_t = 10)]
    pub(crate) runs: usize,
}

impl ListingArgs {
    /// Less of everything that the command line does not name.
    pub(crate) fn quicken(&mut self, given: impl Fn(&str) -> bool) {
        quick(&given, "names", &mut self.names, 20_000);
        quick(&given, "page", &mut self.page, 1000);
        quick(&given, "runs", &mut self.runs, 3);
    }
}

/// One listing of the whole bucket.
#[derive(Debug, Clone, Serialize)]
struct Run {
    seconds: f64,
    /// Of all processes together.
    cpu_seconds: f64,
    /// Milliseconds that each page took, as the client counts.
    pages_ms: Vec<f64>,
    /// Resident memory of all processes together, after it.
    resident_bytes: u64,
}

/// A page as far as it is of use here.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    listing: String,
    next: String,
    names: u64,
}

/// Measures and writes the report. An error if a listing has more or fewer names than there are.
pub(crate) fn run(common: &Common, args: &ListingArgs) -> Result<PathBuf> {
    let mut report = Report::new("listing", "Listings over several targets", common);
    let weir = common.weir()?;
    let place = Place::open(&common.base, &[])?;
    let _ = std::fs::remove_dir_all(place.base().join("playground"));
    let (dir, run) = (place.dir("playground")?, place.dir("run")?);
    let spec = PlaygroundSpec {
        weir: &weir,
        dir: &dir,
        run: &run,
        gateways: 1,
        targets: args.targets,
        mountpaths: 1,
        cgroup: None,
    };
    let playground = spec.start()?;
    http::make_bucket(&playground.url, BUCKET, true)?;
    let mut load = Command::new(&weir);
    load.args(["load", "put", "--api", "ais", "--order", "sequential", "--quiet", "--json", "-"]);
    load.args(["--endpoint", &playground.url, "--bucket", BUCKET, "--name-prefix", PREFIX]);
    for (flag, number) in
        [("--size", SIZE), ("--names", args.names), ("--operations", args.names), ("--connections", 32)]
    {
        load.args([flag, &number.to_string()]);
    }
    command::run(&mut load)?;
    stop::sleep(SETTLED)?;
    let pids = playground.server.pids();
    let before = resident(&pids);
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        stop::check()?;
        runs.push(listed(&playground.url, &pids, args)?);
        progress(&runs, args);
    }
    playground.server.stop()?;
    fill(&mut report, &runs, before, args);
    report.write()
}

fn listed(url: &str, pids: &[u32], args: &ListingArgs) -> Result<Run> {
    let agent = http::agent();
    let (begun, before) = (Instant::now(), cpu_seconds(pids));
    let (mut pages_ms, mut names) = (Vec::new(), 0);
    let mut page = Page { listing: String::new(), next: String::new(), names: 0 };
    loop {
        let asked = Instant::now();
        page = next(&agent, url, &page, args.page)?;
        pages_ms.push(asked.elapsed().as_secs_f64() * 1e3);
        names += page.names;
        if page.next.is_empty() {
            break;
        }
    }
    if names != args.names {
        let got = format!("a listing has {names} names of {}", args.names);
        return Err(PerfError::Server { name: BUCKET.into(), got });
    }
    Ok(Run {
        seconds: begun.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(pids) - before,
        pages_ms,
        resident_bytes: resident(pids),
    })
}

fn next(agent: &ureq::Agent, url: &str, last: &Page, size: u64) -> Result<Page> {
    let url = format!("{url}/v1/buckets/{BUCKET}?provider=ais");
    let value = json!({
        "uuid": last.listing, "prefix": "", "props": "name,size", "continuation_token": last.next,
        "pagesize": size,
    });
    let asked = agent.get(&url).header("Accept", "application/msgpack").force_send_body();
    let failed = |error: ureq::Error| PerfError::Server { name: url.clone(), got: error.to_string() };
    let mut answer =
        asked.send_json(json!({"action": "list", "name": "", "value": value})).map_err(failed)?;
    let body = answer.body_mut().read_to_vec().map_err(failed)?;
    read(&body).ok_or_else(|| PerfError::parse(url, "a page", &String::from_utf8_lossy(&body)))
}

/// A page's head; behind the entries come flags alone.
fn read(mut body: &[u8]) -> Option<Page> {
    read_map_len(&mut body).ok()?;
    let (listing, rest) = read_str_from_slice(after(body, "UUID")?).ok()?;
    let (next, rest) = read_str_from_slice(after(rest, "ContinuationToken")?).ok()?;
    let mut entries = after(rest, "Entries")?;
    let is_empty = read_marker(&mut &*entries).ok()? == Marker::Null;
    let names = if is_empty { 0 } else { read_array_len(&mut entries).ok()? };
    Some(Page { listing: listing.to_owned(), next: next.to_owned(), names: names.into() })
}

/// What follows a key.
fn after<'b>(body: &'b [u8], key: &str) -> Option<&'b [u8]> {
    let (text, rest) = read_str_from_slice(body).ok()?;
    (text == key).then_some(rest)
}

/// CPU seconds that processes have used.
fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks = |pid: &u32| {
        let stat = machine::read(&format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may contain anything.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
    };
    pids.iter().filter_map(ticks).sum::<f64>() / machine::TICKS
}

fn resident(pids: &[u32]) -> u64 {
    let bytes =
        |pid: &u32| machine::memory_bytes(&machine::read(&format!("/proc/{pid}/status")).ok()?, "VmRSS");
    pids.iter().filter_map(bytes).sum()
}

fn names_per_second(runs: &[Run], args: &ListingArgs) -> Option<Spread> {
    Spread::of(runs.iter().map(|run| args.names as f64 / run.cpu_seconds))
}

fn progress(runs: &[Run], args: &ListingArgs) {
    let Some(last) = runs.last() else { return };
    eprintln!(
        "{} names in {:.2} s, {} a CPU second, the slowest page {:.0} ms",
        args.names,
        last.seconds,
        figure(args.names as f64 / last.cpu_seconds),
        last.pages_ms.iter().copied().fold(0.0, f64::max)
    );
}

fn fill(report: &mut Report, runs: &[Run], before: u64, args: &ListingArgs) {
    report.text(format!(
        "A gateway and {} targets, each a process, on all cores; {} objects of {SIZE} bytes in one bucket. One client asks the gateway for page \
         after page of {} names with name and size, as msgpack, {} times; the page's time is the client's, from its request to the last byte of its \
         answer. CPU is that of all processes together, resident memory too.",
        args.targets, args.names, args.page, args.runs
    ));
    let pages = || runs.iter().flat_map(|run| run.pages_ms.iter().copied());
    let mut sorted: Vec<f64> = pages().collect();
    sorted.sort_by(f64::total_cmp);
    let p99 = sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1))).copied();
    let deepest = Spread::of(runs.iter().filter_map(|run| run.pages_ms.iter().rev().nth(1).copied()));
    let first = Spread::of(runs.iter().filter_map(|run| run.pages_ms.first().copied()));
    let most = runs.iter().map(|run| run.resident_bytes).max().unwrap_or(before);
    let spread = |spread: Option<Spread>| {
        spread.map_or("-".into(), |s| format!("{} ({}-{})", figure(s.median), figure(s.min), figure(s.max)))
    };
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let rows = [
        row("names per CPU second, median (range) of the listings", spread(names_per_second(runs, args))),
        row(
            "names per second of the client",
            spread(Spread::of(runs.iter().map(|r| args.names as f64 / r.seconds))),
        ),
        row("a page, ms: median (range) of all", spread(Spread::of(pages()))),
        row("its 99th percentile", p99.map_or("-".into(), figure)),
        row("the first page of a listing", spread(first)),
        row("the last full page", spread(deepest)),
        row("resident MiB before", figure(before as f64 / f64::from(1 << 20))),
        row("grown by at most", figure(most.saturating_sub(before) as f64 / f64::from(1 << 20))),
    ];
    report.text(table(&["", ""], 1, &rows));
    runs.iter().for_each(|run| report.row(json!(run)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let empty = b"\x84\xa4UUID\xa2ab\xb1ContinuationToken\xa0\xa7Entries\xc0\xa5Flags\x00";
        assert_eq!(read(empty), Some(Page { listing: "ab".into(), next: String::new(), names: 0 }));
        let one = b"\x84\xa4UUID\xa2ab\xb1ContinuationToken\xa1x\xa7Entries\x91\x81\xa1n\xa1x\xa5Flags\x00";
        assert_eq!(read(one), Some(Page { listing: "ab".into(), next: "x".into(), names: 1 }));
        assert_eq!(read(b"{}"), None);
    }

    #[test]
    fn what_a_process_uses() {
        let own = [std::process::id()];
        assert!(resident(&own) > 0 && cpu_seconds(&own) >= 0.0 && resident(&[]) == 0);
    }
}
