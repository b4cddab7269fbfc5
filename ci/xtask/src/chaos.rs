//! Chaos on a cluster of real processes, and the proof that its checks see.

use crate::steps::{Build, Steps, program};

/// Rounds of each kind above which a build for speed is worth its time; the same of operations.
const DEBUG_ROUNDS_MAX: u64 = 2;
const DEBUG_OPERATIONS_MAX: u64 = 50_000;
/// What happens in the short form: each way of dying once, and objects that move between nodes and disks.
const SHORT: &[&str] = &["--kinds", "leader,target,all,moves", "--phase", "100", "--clients", "6"];
/// Bugs that the processes of a cluster can have, and the rounds that show them.
const PLANTED: &[(&str, &[&str])] = &[
    ("miss-not-forwarded", &["--kinds", "join"]),
    ("stale-map", &["--kinds", "join,leave"]),
    ("ClaimForEver", &["--kinds", "cut"]),
];
/// Rounds of each kind in which a planted bug must show.
const PLANTED_ROUNDS: &str = "4";

/// As its arguments say; 20 rounds of each kind where they say nothing.
pub(crate) fn run(steps: &mut Steps, arguments: &[String], rounds: u64, operations: u64) {
    let planted = arguments.iter().any(|argument| argument == "--planted");
    let long = rounds > DEBUG_ROUNDS_MAX || operations > DEBUG_OPERATIONS_MAX;
    let build = if long && !planted { Build::Release } else { Build::asked() };
    let rounds = rounds.to_string();
    let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if !all.contains(&"--rounds") {
        all.extend(["--rounds", &rounds]);
    }
    go(steps, "chaos", build, &all);
}

/// A few rounds, for the tests.
pub(crate) fn short(steps: &mut Steps) {
    go(steps, "chaos, a few rounds", Build::asked(), SHORT);
}

/// Each planted bug is found.
pub(crate) fn planted(steps: &mut Steps) {
    for (bug, rounds) in PLANTED {
        let arguments = [&["--must-find", "--planted", bug, "--rounds", PLANTED_ROUNDS], *rounds].concat();
        go(steps, &format!("chaos with {bug}"), Build::Debug, &arguments);
    }
}

fn go(steps: &mut Steps, what: &str, build: Build, arguments: &[&str]) {
    if build.make(steps, &["weir", "weir-chaos"]) {
        steps.command(what, program(build.binary("weir-chaos"), arguments));
    }
}
