//! `cargo xtask`: the project's checks, the same on a laptop and in CI.
//!
//! A check is a step: a command or a function that says how many things it tried. Steps go on after a failure; the last
//! line counts them all, and the exit status is 1 when anything failed.

mod arrows;
mod chaos;
mod clients;
mod crash;
mod steps;
mod tidy;

use std::process::ExitCode;
use steps::{Steps, cargo};

const HELP: &str = "usage: cargo xtask COMMAND

  check                 format, lints, licences (where cargo-deny is installed), and the rules of this tree
  test                  everything short: check, all tests, planted bugs, loom, clients, power loss on 200 images
  clients [-- ARGS]     real clients against a real node; ARGS go to pytest (for instance -m big)
  kill9 [--rounds N]    kill -9 under load, restart, compare; 50 rounds by default
  crash [--images N] [--seed S]
                        power loss: N crash images of the real store on XFS and ext4; 20000 by default, built for speed
                        above 1000. Other seeds are other histories: runs with seeds 1, 101, 201, ... add up
  linearize [--operations N]
                        reads and changes of names from many connections on four shards: could they have happened one
                        after the other; 1000000 operations by default
  chaos [--rounds N] [--seed S] [--kinds A,B,...] [--operations N] [--overlap]
                        a cluster of real processes under load while nodes die, come and go, disks fail and the network is cut:
                        N rounds of each kind, 20 by default, in an order by seed; built for speed above 2
  simulate [--seeds N] [--from S]
                        the agreement of several processes in simulation: N seeds, 10000 by default, from S on
  hostile               hostile names with strace on every call that carries a path
  asan                  the reactor's tests under AddressSanitizer (nightly toolchain)
  loom                  every interleaving of the mailbox
  planted               each planted bug must be noticed";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |flag: &str, otherwise: u64| -> u64 {
        let at = arguments.iter().position(|a| a == flag);
        at.and_then(|i| arguments.get(i + 1)).and_then(|n| n.parse().ok()).unwrap_or(otherwise)
    };
    let mut steps = Steps::new();
    match arguments.first().map(String::as_str) {
        Some("check") => check(&mut steps),
        Some("test") => test(&mut steps),
        Some("clients") => {
            let rest = arguments.iter().position(|a| a == "--").map_or(arguments.len(), |i| i + 1);
            clients::build(&mut steps);
            clients::run(&mut steps, "1", &arguments[rest..]);
        }
        Some("kill9") => {
            clients::build(&mut steps);
            let rounds = number("--rounds", 50).to_string();
            clients::one(&mut steps, "test_kill9.py::test_kill_9_under_load", &["--rounds", &rounds]);
        }
        Some("hostile") => {
            clients::build(&mut steps);
            clients::one(
                &mut steps,
                "test_hostile_names.py::test_strace_sees_no_name_outside_the_mountpaths",
                &["-s"],
            );
        }
        Some("crash") => crash::store(&mut steps, number("--images", 20_000), number("--seed", 1)),
        Some("linearize") => linearize(&mut steps, number("--operations", 1_000_000)),
        Some("chaos") => {
            chaos::run(&mut steps, &arguments[1..], number("--rounds", 20), number("--operations", 0));
        }
        Some("simulate") => simulate(&mut steps, number("--seeds", 10_000), number("--from", 1)),
        Some("asan") => asan(&mut steps),
        Some("loom") => loom(&mut steps),
        Some("planted") => planted(&mut steps),
        _ => {
            steps::say(HELP);
            return ExitCode::from(2);
        }
    }
    steps.close()
}

fn check(steps: &mut Steps) {
    steps.function("the rules of this tree", tidy::run);
    steps.command("format", cargo(&["fmt", "--all", "--check"]));
    steps.command(
        "lints",
        cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
    );
    if cargo(&["deny", "--version"]).output().is_ok_and(|o| o.status.success()) {
        steps.command(
            "licences, bans and sources",
            cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]),
        );
    } else {
        steps.skip("licences: cargo-deny is not installed");
    }
}

fn test(steps: &mut Steps) {
    check(steps);
    // The planted bugs of the store and of the caches are tests of the workspace.
    steps.command("all tests", cargo(&["test", "--workspace", "--no-fail-fast"]));
    planted_in_the_reactor(steps);
    loom(steps);
    clients::build(steps);
    clients::run(steps, "1", &[]);
    clients::run(steps, "4", &[]);
    crash::self_test(steps);
    crash::store(steps, 200, 1);
    chaos::short(steps);
}

fn planted(steps: &mut Steps) {
    planted_in_the_reactor(steps);
    steps.command(
        "planted bugs of the store",
        cargo(&["test", "-p", "weir-store", "--test", "crash", "--test", "journal_crash"]),
    );
    let finds = ["test", "-p", "weir-node", "--test", "linearize", "finds"];
    steps.command("planted bugs of the caches of open objects", cargo(&finds));
    let finds = ["test", "-p", "weir-control", "--lib", "sim::tests::finds"];
    steps.command("planted bugs of the agreement", cargo(&finds));
    chaos::planted(steps);
}

/// These are planted by a build.
fn planted_in_the_reactor(steps: &mut Steps) {
    steps.command("planted bugs of the reactor", steps::program("sh", &["datapath/ring/tests/planted.sh"]));
}

fn linearize(steps: &mut Steps, operations: u64) {
    let test =
        ["test", "-p", "weir-node", "--test", "linearize", "linearizable", "--", "--exact", "--nocapture"];
    let mut command = cargo(&test);
    command.env("WEIR_LINEARIZE_OPERATIONS", operations.to_string());
    steps.command(&format!("linearizable: {operations} operations"), command);
}

/// Built for speed where there are many: the tests run 200 as they are.
fn simulate(steps: &mut Steps, seeds: u64, from: u64) {
    let speed: &[&str] = if seeds > 1000 { &["--release"] } else { &[] };
    let test = ["--lib", "sim::tests::nothing", "--", "--nocapture"];
    let mut command = cargo(&[&["test", "-p", "weir-control"], speed, &test].concat());
    command.env("WEIR_SIMULATE_SEEDS", seeds.to_string()).env("WEIR_SIMULATE_FROM", from.to_string());
    steps.command(&format!("simulation: {seeds} seeds"), command);
}

fn loom(steps: &mut Steps) {
    let mut command = cargo(&["test", "-p", "weir-ring", "--release", "--test", "loom_mailbox"]);
    command.env("RUSTFLAGS", "--cfg loom").env("CARGO_TARGET_DIR", steps::target().join("loom"));
    steps.command("every interleaving of the mailbox", command);
}

fn asan(steps: &mut Steps) {
    let host = steps::host();
    let mut command =
        steps::program("rustup", &["run", "nightly", "cargo", "test", "-p", "weir-ring", "--target", &host]);
    // The proxies that rustup installs name a toolchain by this variable, above the pinned one.
    command.env("RUSTUP_TOOLCHAIN", "nightly").env("RUSTFLAGS", "-Zsanitizer=address");
    command.env("CARGO_TARGET_DIR", steps::target().join("asan"));
    steps.command("the reactor under AddressSanitizer", command);
}
