//! CPU time: of the loader's own threads, of servers' processes, and of the kernel's softirqs, as /proc tells them.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::error::LoadError;

/// CPU time of the calling thread, user and system.
pub(crate) fn of_this_thread() -> Duration {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(Duration::ZERO, |usage| {
        let time = |t: nix::sys::time::TimeVal| {
            Duration::from_secs(t.tv_sec().unsigned_abs()) + Duration::from_micros(t.tv_usec().unsigned_abs())
        };
        time(usage.user_time()) + time(usage.system_time())
    })
}

/// What servers and the kernel had used at one moment, in seconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    servers: Vec<(i32, f64)>,
    softirq: f64,
}

impl Sample {
    /// Of these processes, all their threads.
    pub(crate) fn take(pids: &[i32]) -> Result<Self, LoadError> {
        let tick = 1.0 / ticks_per_second();
        let one = |pid: &i32| {
            let (path, text) = process_file(*pid, "stat")?;
            let ticks = figure(path, text, "the figures of a process", process_ticks)?;
            Ok((*pid, ticks as f64 * tick))
        };
        let softirq = machine_figure("/proc/stat", "a line of all CPUs together", softirq_ticks)?;
        Ok(Self {
            servers: pids.iter().map(one).collect::<Result<_, LoadError>>()?,
            softirq: softirq as f64 * tick,
        })
    }

    /// What was used since `earlier`: of each server, and in softirqs on all CPUs.
    pub(crate) fn since(&self, earlier: &Self) -> (Vec<(i32, f64)>, f64) {
        let servers = self.servers.iter().zip(&earlier.servers);
        let servers = servers.map(|((pid, now), (_, before))| (*pid, (now - before).max(0.0)));
        (servers.collect(), (self.softirq - earlier.softirq).max(0.0))
    }
}

/// What /proc tells of a process, and where.
fn process_file(pid: i32, name: &str) -> Result<(PathBuf, String), LoadError> {
    let path = PathBuf::from(format!("/proc/{pid}/{name}"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(e) => Err(LoadError::Proc { path, expected: "a running process", got: e.to_string() }),
    }
}

/// What `find` finds in a file that tells of the whole machine.
fn machine_figure(
    path: &str,
    expected: &'static str,
    find: fn(&str) -> Option<u64>,
) -> Result<u64, LoadError> {
    let path = PathBuf::from(path);
    match std::fs::read_to_string(&path) {
        Ok(text) => figure(path, text, expected, find),
        Err(error) => Err(LoadError::File { path, error }),
    }
}

fn figure(
    path: PathBuf,
    text: String,
    expected: &'static str,
    find: fn(&str) -> Option<u64>,
) -> Result<u64, LoadError> {
    find(&text).ok_or(LoadError::Proc { path, expected, got: text })
}

fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |t| t as f64)
}

/// utime and stime of a process, fields 14 and 15 of its stat (proc(5)); its name, in parentheses, may hold anything.
fn process_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<u64>().ok();
    Some(field()? + field()?)
}

/// The seventh figure of the line `cpu`.
fn softirq_ticks(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_ascii_whitespace().nth(6)?.parse().ok()
}

/// RAM of the node that a process is: its cgroup's limit, or the machine's memory where it has none; in bytes.
pub fn memory_of(pid: i32) -> Result<u64, LoadError> {
    let (_, text) = process_file(pid, "cgroup")?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let mut dir = PathBuf::from("/sys/fs/cgroup").join(group.trim_start_matches('/'));
    let mut least = machine_figure("/proc/meminfo", "MemTotal in kB", memory_total)?;
    // A limit of any group above holds as well.
    loop {
        let limit = std::fs::read_to_string(dir.join("memory.max")).ok();
        if let Some(limit) = limit.and_then(|text| text.trim().parse().ok()) {
            least = least.min(limit);
        }
        if !dir.pop() || !dir.starts_with("/sys/fs/cgroup") {
            return Ok(least);
        }
    }
}

fn memory_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found() {
        let stat = "42 (a) name) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 3 0 100 0";
        assert_eq!(process_ticks(stat), Some(200));
        assert_eq!(process_ticks("42 (a"), None);
        assert_eq!(softirq_ticks("cpu  1 2 3 4 5 6 77 8 9 10\ncpu0 1 2 3\n"), Some(77));
        assert_eq!(memory_total("MemTotal:       100 kB\nMemFree: 1 kB\n"), Some(102_400));
    }

    #[test]
    fn this_process_is_measured() {
        let own = std::process::id() as i32;
        let before = Sample::take(&[own]).unwrap();
        let used = of_this_thread();
        let mut sum = 0_u64;
        while of_this_thread() - used < Duration::from_millis(60) {
            sum = std::hint::black_box(sum + 1);
        }
        let (servers, softirq) = Sample::take(&[own]).unwrap().since(&before);
        assert_eq!(servers[0].0, own);
        assert!(servers[0].1 > 0.0 && softirq >= 0.0);
        assert!(memory_of(own).unwrap() > 1 << 20);
        let missing = Sample::take(&[i32::MAX]).unwrap_err().to_string();
        assert!(missing.contains("expected a running process"), "{missing}");
    }
}
