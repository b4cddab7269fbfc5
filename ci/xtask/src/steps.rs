//! Runs steps, shows what they print and counts what they tried.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// What all steps together tried.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    count: Count,
    failed: Vec<Failed>,
}

/// A step that failed, and what it printed that says why.
#[derive(Debug)]
struct Failed {
    what: String,
    why: Vec<String>,
}

/// Things tried.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[expect(clippy::print_stdout, reason = "a check's results go to standard output")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    root().join(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

/// How what is started is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Build {
    /// As the tests are, sharing their build.
    Debug,
    /// For speed.
    Release,
}

impl Build {
    /// What `WEIR_PROFILE` says (`release`); as the tests where it says nothing.
    pub(crate) fn asked() -> Self {
        let release = std::env::var("WEIR_PROFILE").is_ok_and(|profile| profile == "release");
        if release { Self::Release } else { Self::Debug }
    }

    /// Builds the programs of these packages.
    pub(crate) fn make(self, steps: &mut Steps, packages: &[&str]) -> bool {
        let mut arguments = vec!["build", "--quiet"];
        arguments.extend(packages.iter().flat_map(|package| ["-p", package]));
        arguments.extend((self == Self::Release).then_some("--release"));
        steps.command("programs under test", cargo(&arguments))
    }

    /// A program of this workspace, as [`Build::make`] leaves it.
    pub(crate) fn binary(self, name: &str) -> PathBuf {
        target().join(if self == Self::Release { "release" } else { "debug" }).join(name)
    }
}

/// The compiler's host triple.
pub(crate) fn host() -> String {
    let version = Command::new("rustc").arg("-vV").output().map(|o| o.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&version).into_owned();
    version.lines().find_map(|l| l.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu").to_owned()
}

pub(crate) fn program(name: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(root());
    command
}

pub(crate) fn cargo(arguments: &[&str]) -> Command {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), arguments)
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Runs a command to its end; true if it succeeded.
    pub(crate) fn command(&mut self, what: &str, mut command: Command) -> bool {
        say(&format!("== {what}"));
        let begin = Instant::now();
        let mut why = Why::default();
        let (count, good) = match tee(&mut command, &mut why) {
            Ok(result) => result,
            Err(e) => {
                why.hear(&format!("cannot run {:?}: {e}", command.get_program()));
                (Count::default(), false)
            }
        };
        self.end(what, count, (!good).then(|| why.told()), begin)
    }

    /// Runs a check of our own, which returns what it found wrong.
    pub(crate) fn function(&mut self, what: &str, check: impl FnOnce() -> (Count, Vec<String>)) -> bool {
        say(&format!("== {what}"));
        let begin = Instant::now();
        let (count, findings) = check();
        for finding in &findings {
            say(finding);
        }
        self.end(what, count, (!findings.is_empty()).then_some(findings), begin)
    }

    pub(crate) fn skip(&mut self, line: &str) {
        say(&format!("skipped: {line}"));
        self.count.skipped += 1;
    }

    /// `why` it failed, if it did.
    fn end(&mut self, what: &str, count: Count, why: Option<Vec<String>>, begin: Instant) -> bool {
        let good = why.is_none();
        self.count.add(count);
        // A step that counts nothing is one thing tried; one that fails outside of its tests has failed all the same.
        match (good, count) {
            (true, Count { passed: 0, skipped: 0, .. }) => self.count.passed += 1,
            (false, Count { failed: 0, .. }) => self.count.failed += 1,
            _ => {}
        }
        self.failed.extend(why.map(|why| Failed { what: what.to_owned(), why }));
        let verdict = if good { "good" } else { "FAILED" };
        say(&format!("== {what}: {verdict} ({:.0} s)", begin.elapsed().as_secs_f64()));
        good
    }

    /// What failed and why, together at the end; the closing line and the exit status.
    pub(crate) fn close(self) -> ExitCode {
        for Failed { what, why } in &self.failed {
            say(&format!("FAILED: {what}"));
            why.iter().for_each(|line| say(&format!("    {line}")));
        }
        let Count { passed, failed, skipped } = self.count;
        say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
        ExitCode::from(u8::from(!self.failed.is_empty() || failed > 0))
    }
}

/// Lines of a step's output that say why it failed.
#[derive(Debug, Default)]
struct Why {
    named: Vec<String>,
    last: VecDeque<String>,
    /// Whether the lines are of `cargo test`'s part about failures.
    within: bool,
}

impl Why {
    const NAMED_MAX: usize = 200;
    const LAST_MAX: usize = 40;

    fn hear(&mut self, line: &str) {
        match line {
            "failures:" => self.within = true,
            _ if line.starts_with("test result: ") => self.within = false,
            _ => {}
        }
        let named = self.within || ["FAILED ", "ERROR ", "E  "].iter().any(|mark| line.starts_with(mark));
        if named && !is_backtrace(line) && !line.trim().is_empty() && self.named.len() < Self::NAMED_MAX {
            self.named.push(line.to_owned());
        }
        if self.last.len() == Self::LAST_MAX {
            self.last.pop_front();
        }
        self.last.push_back(line.to_owned());
    }

    /// What a test runner named; the end of the output where it named nothing.
    fn told(self) -> Vec<String> {
        if self.named.is_empty() { self.last.into() } else { self.named }
    }
}

/// A frame of a backtrace: `  12: name`, or `             at file:line`.
fn is_backtrace(line: &str) -> bool {
    let text = line.trim_start();
    let frame = text.split_once(": ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    text.len() < line.len() && (frame || text.starts_with("at "))
}

/// Runs `command`, passes on what it prints and adds up the closing lines of test runners in it.
fn tee(command: &mut Command, why: &mut Why) -> std::io::Result<(Count, bool)> {
    let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn()?;
    let mut count = Count::default();
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            say(&line);
            why.hear(&line);
            count.add(closing_line(&line).unwrap_or_default());
        }
    }
    Ok((count, child.wait()?.success()))
}

/// The counts of a test runner's last line: `cargo test`'s, pytest's, or the plain `N passed, N failed`.
fn closing_line(line: &str) -> Option<Count> {
    let line = line.trim().trim_matches('=').trim();
    let cargo = line
        .strip_prefix("test result: ")
        .map(|rest| rest.split_once(". ").map_or(rest, |(_, counts)| counts));
    let pytest =
        (line.contains(" in ") && line.ends_with('s') || line.ends_with(')')) && line.contains(" passed");
    let plain = line
        .split(", ")
        .all(|part| part.ends_with(" passed") || part.ends_with(" failed") || part.ends_with(" skipped"));
    let counts = match cargo {
        Some(counts) => counts,
        None if pytest || plain || (line.contains(" failed") && line.contains(" in ")) => {
            line.split(" in ").next()?
        }
        None => return None,
    };
    let mut count = Count::default();
    let mut seen = false;
    for part in counts.split([',', ';']) {
        let mut words = part.split_whitespace();
        let (Some(Ok(number)), Some(kind)) = (words.next().map(str::parse::<u64>), words.next()) else {
            continue;
        };
        match kind {
            "passed" => count.passed += number,
            "failed" | "errors" | "error" => count.failed += number,
            "skipped" | "ignored" => count.skipped += number,
            _ => continue,
        }
        seen = true;
    }
    seen.then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_step_failed() {
        let told = |output: &str| {
            let mut why = Why::default();
            output.lines().for_each(|line| why.hear(line));
            why.told()
        };
        let cargo = "test a ... ok\n\nfailures:\n\n---- b stdout ----\nit is 2\n   0: std::panic\n             at lib.rs:1\n\
                     failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\ntest c ... ok";
        assert_eq!(told(cargo), ["failures:", "---- b stdout ----", "it is 2", "failures:", "    b"]);
        let pytest =
            "....F\n    assert 1 == 2\nE   assert 1 == 2\nFAILED t.py::t - assert 1 == 2\n1 failed in 0.1s";
        assert_eq!(told(pytest), ["E   assert 1 == 2", "FAILED t.py::t - assert 1 == 2"]);
        assert_eq!(told("one\ntwo"), ["one", "two"]);
        let long: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        assert_eq!(told(&long.join("\n")), long[60..]);
    }

    #[test]
    fn closing_lines() {
        let check = |line: &str, expected: Option<(u64, u64, u64)>| {
            let expected = expected.map(|(passed, failed, skipped)| Count { passed, failed, skipped });
            assert_eq!(closing_line(line), expected, "{line}");
        };
        check(
            "test result: ok. 16 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            Some((16, 0, 2)),
        );
        check(
            "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.5s",
            Some((3, 1, 0)),
        );
        check("6 failed, 63 passed, 75 skipped in 112.95s (0:01:52)", Some((63, 6, 75)));
        check("===== 1 failed, 22 passed, 4 errors in 3.72s =====", Some((22, 5, 0)));
        check("2 failed in 0.10s", Some((0, 2, 0)));
        check("8 passed, 0 failed, 0 skipped", Some((8, 0, 0)));
        check("a test that passed in 3s", None);
        check("error: 3 things", None);
        check("", None);
    }
}
