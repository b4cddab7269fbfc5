//! Programs that run to their end, and the record of every command line.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread::JoinHandle;
use std::time::Duration;

use super::stop;
use crate::error::{PerfError, Result};

/// No program of a rig takes longer.
const LONGEST: Duration = Duration::from_secs(3600);
/// How much of a failing program's output its error keeps.
const OUTPUT_KEPT: usize = 600;

static RECORD: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Every command line so far, in order; the record is empty afterwards.
pub(crate) fn take_record() -> Vec<String> {
    std::mem::take(&mut *lock())
}

fn lock() -> std::sync::MutexGuard<'static, Vec<String>> {
    RECORD.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes a command line down.
pub(crate) fn record(command: &Command) {
    lock().push(line(command));
}

/// A command as it could be typed.
pub(crate) fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted: Vec<String> = words.map(|word| quote(&word.to_string_lossy())).collect();
    quoted.join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Program and arguments, split at spaces.
pub(crate) fn words(text: &str) -> Command {
    let mut words = text.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("true"));
    command.args(words);
    command
}

/// Runs it to its end and gives what it printed. A signal to us ends it.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    run_watched(command, || {})
}

/// As [`run`], with something done every 50 ms while it runs.
pub(crate) fn run_watched(command: &mut Command, mut watch: impl FnMut()) -> Result<String> {
    record(command);
    let mut running = Running::start(command)?;
    let ended = stop::until(LONGEST, || {
        watch();
        running.child.try_wait().map_err(PerfError::io(line(command)))
    });
    let status = match ended {
        Ok(Some(status)) => status,
        Ok(None) => {
            return Err(PerfError::Server { name: line(command), got: "did not end within an hour".into() });
        }
        Err(error) => return Err(error),
    };
    let (out, err) = running.output();
    if status.success() {
        return Ok(out);
    }
    let said = if err.trim().is_empty() { out } else { err };
    Err(PerfError::Command { command: line(command), status: status.to_string(), output: tail(&said) })
}

/// Runs what takes something down: to its end whatever signal came; whether it succeeded.
pub(crate) fn clean_up(text: &str) -> bool {
    let mut command = words(text);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.status().is_ok_and(|status| status.success())
}

/// The end of a text, where programs say why they failed.
pub(crate) fn tail(text: &str) -> String {
    let text = text.trim();
    let skip = text.chars().count().saturating_sub(OUTPUT_KEPT);
    text.chars().skip(skip).collect()
}

/// A child with its output being gathered; killed when dropped before its end.
struct Running {
    child: Child,
    out: Option<JoinHandle<String>>,
    err: Option<JoinHandle<String>>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        // A group of its own: Ctrl-C at the terminal reaches us alone, and we end it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(PerfError::io(line(command)))?;
        let out = child.stdout.take().map(gather);
        let err = child.stderr.take().map(gather);
        Ok(Self { child, out, err })
    }

    fn output(&mut self) -> (String, String) {
        let join =
            |thread: Option<JoinHandle<String>>| thread.and_then(|t| t.join().ok()).unwrap_or_default();
        (join(self.out.take()), join(self.err.take()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            super::process::kill_group(self.child.id());
            let _ = self.child.wait();
        }
    }
}

fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks gives what came before.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_can_be_typed_again() {
        let mut command = words("fio --name=a /dev/loop0");
        command.arg("it's a").arg("");
        assert_eq!(line(&command), r"fio --name=a /dev/loop0 'it'\''s a' ''");
    }

    #[test]
    fn output_and_failure() {
        assert_eq!(run(&mut words("echo a b")).unwrap(), "a b\n");
        let mut fails = Command::new("sh");
        fails.args(["-c", "echo why >&2; exit 3"]);
        let error = run(&mut fails).unwrap_err().to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
        assert!(matches!(run(&mut words("/nonexistent/program")), Err(PerfError::Io { .. })));
    }

    #[test]
    fn the_end_of_a_text_is_kept() {
        assert_eq!(tail(" a\n"), "a");
        let long = format!("{}end", "x".repeat(2000));
        assert_eq!(tail(&long).len(), OUTPUT_KEPT);
        assert!(tail(&long).ends_with("end"));
    }
}
