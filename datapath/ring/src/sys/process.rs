//! The process and the machine: limits, CPUs, boot.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// Identity of this boot of the kernel: another one after every restart of the machine.
pub fn boot_id() -> io::Result<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    parse_uuid(text.trim()).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the kernel's boot id: a UUID expected, got {text:?}"),
        )
    })
}

/// 32 hexadecimal digits, dashes anywhere between them.
fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pairs: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |n, d| n * 16 + d) as u8).collect();
    if digits.len() == 32 { pairs.try_into().ok() } else { None }
}

/// CPUs that this thread may run on, ascending.
pub fn cpus_allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect())
}

/// Binds this thread to one CPU.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// How often this thread has gone to sleep on its own, and how often because a page of its memory had to be read from a disk
/// first; 0 where the kernel does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sleeps {
    pub(crate) all: u64,
    pub(crate) for_pages: u64,
}

pub(crate) fn sleeps() -> Sleeps {
    use nix::sys::resource::{UsageWho, getrusage};
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Sleeps::default(), |usage| Sleeps {
        all: usage.voluntary_context_switches() as u64,
        for_pages: usage.major_page_faults() as u64,
    })
}

/// What the process may have after [`raise_limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub open_files: u64,
    /// Bytes of locked memory, which registered buffers count against; `u64::MAX` is no limit.
    pub locked_bytes: u64,
}

/// Raises the limits of open files and of locked memory as far as this process may: to the hard limit, and locked memory beyond it
/// where privileges allow. What cannot be raised stays.
pub fn raise_limits() -> io::Result<Limits> {
    raise(Resource::RLIMIT_NOFILE, false)?;
    raise(Resource::RLIMIT_MEMLOCK, true)?;
    Ok(Limits {
        open_files: getrlimit(Resource::RLIMIT_NOFILE)?.0,
        locked_bytes: getrlimit(Resource::RLIMIT_MEMLOCK)?.0,
    })
}

fn raise(resource: Resource, beyond: bool) -> io::Result<()> {
    if beyond && setrlimit(resource, u64::MAX, u64::MAX).is_ok() {
        return Ok(());
    }
    let (soft, hard) = getrlimit(resource)?;
    if soft < hard { Ok(setrlimit(resource, hard, hard)?) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_one_identity() {
        let id = boot_id().unwrap();
        assert_eq!(id, boot_id().unwrap());
        assert_ne!(id, [0; 16]);
    }

    #[test]
    fn uuids_are_parsed_strictly() {
        let check = |text: &str, expected: Option<u8>| {
            assert_eq!(parse_uuid(text).map(|id| id[15]), expected, "{text}")
        };
        check("00000000-0000-0000-0000-0000000000ff", Some(255));
        check("000000000000000000000000000000fF", Some(255));
        check("", None);
        check("0000000000000000000000000000000", None);
        check("000000000000000000000000000000000", None);
        check("0000000000000000000000000000000g", None);
    }

    #[test]
    fn a_thread_pins_itself_to_an_allowed_cpu() {
        let outcome = std::thread::spawn(|| {
            let last = *cpus_allowed()?.last().ok_or(io::ErrorKind::NotFound)?;
            pin_to_cpu(last)?;
            assert_eq!(cpus_allowed()?, [last]);
            assert!(pin_to_cpu(100_000).is_err());
            io::Result::Ok(())
        });
        outcome.join().unwrap().unwrap();
    }

    #[test]
    fn limits_are_raised_to_the_hard_ones() {
        let limits = raise_limits().unwrap();
        assert_eq!(limits.open_files, getrlimit(Resource::RLIMIT_NOFILE).unwrap().1);
        assert_eq!(raise_limits().unwrap(), limits);
    }
}
