//! Whether reads and changes of names, from many connections on four shards, could have happened one after the other.
//!
//! The short form runs with the tests; `cargo xtask linearize --operations N` runs the long one. Bugs that are planted
//! must each be found: what guards the caches of open objects, and what numbers the versions.

mod history;
mod http;

use std::process::Command;

use history::{Pair, workload};
use weir_lincheck::{Verdict, check};

/// Shards of the node.
const SHARDS: usize = 4;
/// Operations of a round, all clients together: each round has names of its own, and is judged by itself.
const ROUND: u64 = 6_000;
/// Operations of the short form.
const SHORT: u64 = 12_000;
/// Operations in which a planted bug must show.
const PLANTED: u64 = 240_000;

/// Operations of this run, as its caller wishes.
const OPERATIONS: &str = "WEIR_LINEARIZE_OPERATIONS";

#[test]
fn linearizable() {
    let operations: u64 = std::env::var(OPERATIONS).ok().and_then(|n| n.parse().ok()).unwrap_or(SHORT);
    let dir = tempfile::tempdir().unwrap();
    let node = http::start(dir.path(), 2, SHARDS);
    let mut client = node.client();
    workload::BUCKETS.iter().for_each(|bucket| client.make_bucket(bucket, bucket));
    let (mut done, mut rounds) = (0, 0);
    while done < operations {
        for history in workload::round(&node, rounds, ROUND / workload::CLIENTS as u64) {
            match check::<Pair>(&history, &[]) {
                Verdict::Linearizable => done += history.len() as u64,
                Verdict::Violation(at) => {
                    let from = at.saturating_sub(20);
                    panic!("not linearizable at {:?} after {:#?}", history[at], &history[from..at]);
                }
                Verdict::Unknown(at) => {
                    let now = history[at].ended;
                    let open: Vec<_> = history.iter().filter(|o| o.begun < now && o.ended >= now).collect();
                    panic!("unknown whether linearizable at {:?} beside {open:#?}", history[at]);
                }
            }
        }
        rounds += 1;
    }
    eprintln!("{done} operations on {SHARDS} shards in {rounds} rounds: 0 violations, 0 unknown");
}

/// Runs the check in a process of its own, with a bug in it.
fn finds(bug: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["linearizable", "--exact", "--nocapture"])
        .env("WEIR_PLANTED", bug)
        .env(OPERATIONS, PLANTED.to_string())
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(!output.status.success() && said.contains("not linearizable"), "{bug} was not found: {said}");
}

#[test]
fn finds_a_generation_raised_after_the_rename() {
    finds("bump-after-rename");
}

#[test]
fn finds_a_generation_read_after_the_open() {
    finds("slot-read-after-open");
}

#[test]
fn finds_two_writes_of_one_version() {
    finds("same-version-twice");
}
