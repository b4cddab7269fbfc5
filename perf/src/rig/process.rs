//! Servers that run while they are measured: started on their cores and in their cgroups, stopped in order.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::{cgroup::Cgroup, command, stop};
use crate::error::{PerfError, Result};

/// How long a server may take to end before it is killed.
const GRACE: Duration = Duration::from_secs(20);

/// A running server. Dropping it stops it: SIGTERM, then SIGKILL for its whole group.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    child: Child,
    log: PathBuf,
    /// Says to a later `clean` that the process was ours.
    note: PathBuf,
}

/// How a server is started.
pub(crate) struct Start<'a> {
    /// For errors and the log's name.
    pub(crate) name: &'a str,
    /// CPUs as taskset has them (`0`, `0-3`); empty: any.
    pub(crate) cpus: &'a str,
    /// The memory cgroup it lives in from its first instruction.
    pub(crate) cgroup: Option<&'a Cgroup>,
    /// Directory for its log and for the note that it runs.
    pub(crate) dir: &'a Path,
}

impl Start<'_> {
    /// Starts `program`, which stays in the foreground.
    pub(crate) fn run(&self, program: &Command) -> Result<Server> {
        let mut command = self.wrap(program);
        let log = self.dir.join(format!("{}.log", self.name));
        let file = File::create(&log).map_err(PerfError::io(log.display().to_string()))?;
        let err = file.try_clone().map_err(PerfError::io("log"))?;
        command.stdin(Stdio::null()).stdout(file).stderr(err).process_group(0);
        command::record(&command);
        let child = command.spawn().map_err(PerfError::io(command::line(&command)))?;
        let note = self.dir.join(child.id().to_string());
        let born = started(child.id()).unwrap_or_default();
        std::fs::write(&note, born.to_string()).map_err(PerfError::io(note.display().to_string()))?;
        Ok(Server { name: self.name.into(), child, log, note })
    }

    /// `sh` enters the cgroup, `taskset` the CPUs, and both become the program.
    fn wrap(&self, program: &Command) -> Command {
        let mut wrapped = Command::new("sh");
        let enter = self.cgroup.map_or(String::new(), |c| format!("echo $$ > '{}'; ", c.procs().display()));
        let pin = if self.cpus.is_empty() { String::new() } else { format!("taskset -c {} ", self.cpus) };
        wrapped.arg("-c").arg(format!("{enter}exec {pin}\"$@\"")).arg(self.name);
        wrapped.arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            wrapped.env(key, value.unwrap_or_default());
        }
        wrapped
    }
}

impl Server {
    /// It and all processes that came from it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        family(self.child.id())
    }

    /// Waits until `ready` says so; an error when the server ends before, or takes longer than `limit`.
    pub(crate) fn wait_ready(&mut self, limit: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let name = self.name.clone();
        let found = stop::until(limit, || match self.child.try_wait() {
            Ok(Some(status)) => Err(self.failed(&format!("ended ({status}) before it was ready"))),
            _ => Ok(ready().then_some(())),
        })?;
        found.ok_or_else(|| PerfError::Server { name, got: format!("not ready after {} s", limit.as_secs()) })
    }

    /// An error if it has ended.
    pub(crate) fn alive(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(self.failed(&format!("ended ({status})"))),
            _ => Ok(()),
        }
    }

    fn failed(&self, what: &str) -> PerfError {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        PerfError::Server { name: self.name.clone(), got: format!("{what}: {}", command::tail(&log)) }
    }

    /// Ends it now and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        self.end();
        Ok(())
    }

    fn end(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = Pid::from_raw(self.child.id().cast_signed());
        let _ = kill(pid, Signal::SIGTERM);
        let begin = std::time::Instant::now();
        while begin.elapsed() < GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                // Whatever it started and did not end itself.
                kill_group(self.child.id());
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        kill_group(self.child.id());
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_file(&self.note);
    }
}

/// When a process began, in ticks since boot; `None` when there is none of that number.
fn started(pid: u32) -> Option<u64> {
    start_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The same from the text of /proc/PID/stat.
fn start_ticks(stat: &str) -> Option<u64> {
    // The name stands in parentheses and may contain anything, parentheses and spaces included.
    stat.rsplit_once(") ")?.1.split(' ').nth(19)?.parse().ok()
}

/// Kills the servers that notes in `dir` tell of, unless another process has the number by now.
pub(crate) fn kill_recorded(dir: &Path) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<u32>().ok();
        let born = std::fs::read_to_string(entry.path()).ok().and_then(|t| t.parse::<u64>().ok());
        if let Some(pid) = pid
            && born.is_some()
            && born == started(pid)
        {
            kill_group(pid);
        }
    }
}

/// Kills what is left of a process group that we made.
pub(crate) fn kill_group(leader: u32) {
    let _ = killpg(Pid::from_raw(leader.cast_signed()), Signal::SIGKILL);
}

/// A process and its descendants.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(pid) = all.get(at).copied() {
        at += 1;
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ended; one that nobody has waited for yet counts, too.
    fn is_gone(pid: u32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.is_empty() || stat.contains(") Z ")
    }

    #[test]
    fn stat_of_a_process_with_an_ugly_name() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 3 0 1000 1 1\n";
        assert_eq!(start_ticks(text), Some(1000));
        assert_eq!(start_ticks("42 (a) S 1"), None);
        assert_eq!(started(std::process::id()), started(std::process::id()));
        assert!(started(std::process::id()).is_some());
    }

    #[test]
    fn a_server_that_ends_early_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let start = Start { name: "fails", cpus: "", cgroup: None, dir: dir.path() };
        let mut program = Command::new("sh");
        program.args(["-c", "echo no disk >&2; exit 4"]);
        let mut server = start.run(&program).unwrap();
        let error = server.wait_ready(Duration::from_secs(10), || false).unwrap_err().to_string();
        assert!(error.contains("no disk") && error.contains('4'), "{error}");
    }

    #[test]
    fn a_server_is_stopped_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let start = Start { name: "shell", cpus: "", cgroup: None, dir: dir.path() };
        let mut program = Command::new("sh");
        program.args(["-c", "sleep 100 & wait"]);
        let server = start.run(&program).unwrap();
        let ready = stop::until(Duration::from_secs(10), || Ok((server.pids().len() == 2).then_some(())));
        assert!(ready.unwrap().is_some());
        let pids = server.pids();
        server.stop().unwrap();
        let gone =
            stop::until(Duration::from_secs(10), || Ok(pids.iter().all(|p| is_gone(*p)).then_some(())));
        assert!(gone.unwrap().is_some(), "{pids:?}");
    }
}
