//! What can go wrong before or beside an operation. Operations themselves answer with `io::Error`, the kernel's own word.

use std::{fmt, io};

use thiserror::Error;

/// A reactor or a disk ring could not be made. Each text is one sentence with its remedy, fit to be shown to an operator.
#[derive(Debug, Error)]
pub enum RingError {
    /// The kernel has no io_uring at all (ENOSYS).
    #[error(
        "this kernel has no io_uring (io_uring_setup answered ENOSYS): run Linux 6.1 or newer, built with CONFIG_IO_URING"
    )]
    Missing,
    /// The kernel has it, the administrator switched it off.
    #[error(
        "io_uring is switched off on this host (kernel.io_uring_disabled is {value}): run `sysctl kernel.io_uring_disabled=0` as root"
    )]
    Disabled {
        /// Content of /proc/sys/kernel/io_uring_disabled: 1 (needs CAP_SYS_ADMIN or the io_uring group) or 2 (nobody).
        value: u8,
    },
    /// A seccomp filter or a security module refuses it (EPERM, EACCES).
    #[error(
        "io_uring is refused to this process ({source}), usually by a container's seccomp profile: allow io_uring_setup, \
         io_uring_enter and io_uring_register in the profile (docker: `--security-opt seccomp=unconfined` or a profile of your own)"
    )]
    Refused {
        /// What the kernel answered.
        source: io::Error,
    },
    /// io_uring is there and lacks what the reactor needs.
    #[error("this kernel's io_uring is too old ({lacks}): run Linux 6.1 or newer")]
    TooOld {
        /// The missing feature, in the kernel's own name.
        lacks: &'static str,
    },
    /// No memory for rings or buffers, or the limit of locked memory is below a ring's own pages.
    #[error(
        "no memory for {what} ({source}): ask for fewer or smaller buffers or rings, or raise the limit of locked memory (`ulimit -l`, LimitMEMLOCK)"
    )]
    Memory {
        /// What was being reserved.
        what: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// The limit of open files is reached.
    #[error(
        "no descriptor left for {what} ({source}): raise the limit of open files (`ulimit -n`, LimitNOFILE)"
    )]
    Descriptors {
        /// What needed one.
        what: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A value of the configuration is out of its range.
    #[error("reactor configuration: {field} must be {expected}, got {got}")]
    Config {
        /// Name of the field.
        field: &'static str,
        /// The range.
        expected: &'static str,
        /// The value.
        got: usize,
    },
    /// One reactor has as many disk rings as it may.
    #[error("a reactor has at most {max} disk rings: give it fewer mountpaths")]
    DiskRings {
        /// The bound.
        max: usize,
    },
    /// The thread could not be pinned.
    #[error(
        "this thread cannot be pinned to CPU {cpu} ({source}): choose one of the CPUs that the process may use (`taskset -p`)"
    )]
    Pin {
        /// The CPU that was asked for.
        cpu: usize,
        /// What the kernel answered.
        source: io::Error,
    },
    /// Anything else the kernel answered while a ring was set up.
    #[error("{step} failed: {source}")]
    Setup {
        /// The system call or register operation.
        step: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
}

impl RingError {
    /// Sorts an error of io_uring_setup or a neighbour of it by its remedy.
    pub(crate) fn from_setup(step: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSYS) => RingError::Missing,
            Some(libc::EPERM | libc::EACCES) => match disabled() {
                Some(value) if value > 0 => RingError::Disabled { value },
                _ => RingError::Refused { source },
            },
            Some(libc::EINVAL) => RingError::TooOld { lacks: step },
            Some(libc::ENOMEM) => RingError::Memory { what: step, source },
            Some(libc::EMFILE | libc::ENFILE) => RingError::Descriptors { what: step, source },
            _ => RingError::Setup { step, source },
        }
    }
}

/// The administrator's switch; `None` where the kernel has none (before 6.6).
fn disabled() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

/// The reactor has as many tasks as its configuration allows; the future was dropped unpolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the reactor has its {max} tasks already")]
pub struct TasksFull {
    /// The bound.
    pub max: usize,
}

/// A [`Handle::timeout`](crate::Handle::timeout) ran out before its future was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the deadline passed")]
pub struct Elapsed;

/// A message was not taken; it comes back.
#[derive(PartialEq, Eq, Error)]
pub enum SendError<T> {
    /// The mailbox holds as many messages as it may.
    #[error("the mailbox is full")]
    Full(T),
    /// The receiver is gone.
    #[error("the mailbox is closed")]
    Closed(T),
}

impl<T> SendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Full(message) | SendError::Closed(message) => message,
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Full(_) => "Full",
            SendError::Closed(_) => "Closed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(errno: i32, expected: &str) {
        let text = RingError::from_setup("io_uring_setup", io::Error::from_raw_os_error(errno)).to_string();
        assert!(text.contains(expected), "errno {errno}: {text}");
        assert!(!text.contains('\n'), "one sentence: {text}");
    }

    #[test]
    fn every_refusal_names_its_remedy() {
        check(libc::ENOSYS, "Linux 6.1 or newer");
        check(libc::EPERM, if disabled().is_some_and(|v| v > 0) { "sysctl" } else { "seccomp" });
        check(libc::EACCES, if disabled().is_some_and(|v| v > 0) { "sysctl" } else { "seccomp" });
        check(libc::EINVAL, "Linux 6.1 or newer");
        check(libc::ENOMEM, "ulimit -l");
        check(libc::EMFILE, "ulimit -n");
        check(libc::EIO, "io_uring_setup failed");
    }
}
