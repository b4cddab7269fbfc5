//! Threads of another process, run one instruction at a time and counted.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{PerfError, Result};
use crate::rig::stop;

/// A time without a counted instruction after which all threads count as waiting in the kernel.
const QUIET: Duration = Duration::from_millis(3);
/// Passes over the threads between two looks whether the answer is there.
const PASSES: u32 = 64;
/// Number and outcome of the call that a reactor waits by, when it ended because a timer was due.
const IO_URING_ENTER: u64 = 426;
const TIMED_OUT: i64 = -62;

/// Seized threads with their counts.
#[derive(Debug)]
pub(crate) struct Stepper {
    process: Pid,
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Thread {
    id: Pid,
    name: String,
    count: u64,
    /// Address of the instruction before: a repeated one stays where it is.
    at: Option<u64>,
    /// In a turn that only a timer began. It is no request's, and as stepped threads are slow there are many of them.
    timer: bool,
}

impl Stepper {
    /// Seizes the threads of `pid` whose names `wanted` likes, and begins to step them.
    pub(crate) fn seize(pid: u32, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let process = Pid::from_raw(pid.cast_signed());
        let mut threads = Vec::new();
        let tasks = format!("/proc/{pid}/task");
        for task in std::fs::read_dir(&tasks).map_err(PerfError::io(tasks.clone()))?.flatten() {
            let name =
                std::fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            let id = task.file_name().to_string_lossy().parse().map(Pid::from_raw);
            if let (true, Ok(id)) = (wanted(&name), id) {
                ptrace::seize(id, ptrace::Options::empty()).map_err(failed("seize"))?;
                ptrace::interrupt(id).map_err(failed("interrupt"))?;
                threads.push(Thread { id, name, count: 0, at: None, timer: false });
            }
        }
        if threads.is_empty() {
            return Err(PerfError::Refused(format!("no thread of process {pid} serves requests")));
        }
        Ok(Self { process, threads })
    }

    /// Instructions of all threads so far.
    pub(crate) fn total(&self) -> u64 {
        self.threads.iter().map(|t| t.count).sum()
    }

    /// The counts by thread name; they start from zero again.
    pub(crate) fn take_threads(&mut self) -> Vec<(String, u64)> {
        self.threads.iter_mut().map(|t| (t.name.clone(), std::mem::take(&mut t.count))).collect()
    }

    /// Steps until `done`, and then until every thread waits in the kernel.
    pub(crate) fn step_until(&mut self, mut done: impl FnMut() -> Result<bool>) -> Result<()> {
        let (mut is_done, mut total, mut since) = (false, self.total(), Instant::now());
        for pass in 0u32.. {
            let mut stepped = false;
            for index in 0..self.threads.len() {
                stepped |= self.step(index)?;
            }
            if !stepped {
                std::thread::yield_now();
            }
            if stepped && !pass.is_multiple_of(PASSES) {
                continue;
            }
            stop::check()?;
            is_done = is_done || done()?;
            if self.total() != total {
                (total, since) = (self.total(), Instant::now());
            }
            if is_done && since.elapsed() > QUIET {
                break;
            }
        }
        Ok(())
    }

    /// Lets a stopped thread execute one instruction; false when it runs or waits.
    fn step(&mut self, index: usize) -> Result<bool> {
        let Some(thread) = self.threads.get_mut(index) else { return Ok(false) };
        let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
        let signal = match waitpid(thread.id, Some(flags)).map_err(failed("wait"))? {
            WaitStatus::StillAlive => return Ok(false),
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                let (at, waited) = state(thread.id)?;
                if let Some(outcome) = waited {
                    thread.timer = outcome == TIMED_OUT;
                }
                if thread.at != Some(at) && !thread.timer {
                    thread.count += 1;
                }
                thread.at = Some(at);
                None
            }
            // A signal on its way to the thread goes on.
            WaitStatus::Stopped(_, signal) => Some(signal),
            WaitStatus::PtraceEvent(..) => None,
            other => return Err(PerfError::Server { name: thread.name.clone(), got: format!("{other:?}") }),
        };
        ptrace::step(thread.id, signal).map_err(failed("step"))?;
        Ok(true)
    }
}

/// A stepped process cannot be left to itself: it is ended.
impl Drop for Stepper {
    fn drop(&mut self) {
        let _ = kill(self.process, Signal::SIGKILL);
        for thread in &self.threads {
            // Until its tracer has heard of a thread's end, its process cannot end for its parent either.
            while let Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..)) =
                waitpid(thread.id, Some(WaitPidFlag::__WALL))
            {}
        }
    }
}

fn failed(what: &'static str) -> impl FnOnce(Errno) -> PerfError {
    move |error| PerfError::Io { what: format!("ptrace {what}"), error: error.into() }
}

/// Where a stopped thread is, and what its wait gave when it has just come out of one.
#[cfg(target_arch = "x86_64")]
fn state(thread: Pid) -> Result<(u64, Option<i64>)> {
    let regs = ptrace::getregs(thread).map_err(failed("registers"))?;
    // Only a stop at the end of a system call has its number.
    let waited = (regs.orig_rax == IO_URING_ENTER).then(|| regs.rax.cast_signed());
    Ok((regs.rip, waited))
}

/// Here the outcome of a system call cannot be told from any other number.
#[cfg(target_arch = "aarch64")]
fn state(thread: Pid) -> Result<(u64, Option<i64>)> {
    ptrace::getregs(thread).map(|regs| (regs.pc, None)).map_err(failed("registers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_stepped_and_ended() {
        // `yes` executes instructions for ever.
        let mut child =
            std::process::Command::new("yes").stdout(std::process::Stdio::null()).spawn().unwrap();
        // A thread has its program's name only some time after the start.
        let comm = format!("/proc/{}/comm", child.id());
        while std::fs::read_to_string(&comm).unwrap() != "yes\n" {
            std::thread::yield_now();
        }
        let mut stepper = Stepper::seize(child.id(), |name| name == "yes").unwrap();
        for _ in 0..1_000_000 {
            stepper.step(0).unwrap();
            if stepper.total() >= 100 {
                break;
            }
        }
        assert!(stepper.total() >= 100, "{}", stepper.total());
        let threads = stepper.take_threads();
        assert_eq!((threads.len(), threads[0].0.as_str()), (1, "yes"));
        assert_eq!(stepper.total(), 0);
        drop(stepper);
        // Its only thread was traced, so its end has been heard already.
        assert!(!child.wait().is_ok_and(|status| status.success()));
    }

    #[test]
    fn a_process_without_such_threads_is_refused() {
        assert!(matches!(Stepper::seize(std::process::id(), |_| false), Err(PerfError::Refused(_))));
    }
}
