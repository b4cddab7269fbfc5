//! Control groups, version 1 or 2, whichever this machine has: a memory limit for servers, a bandwidth limit for disks.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::stop;
use crate::error::{PerfError, Result};

const ROOT: &str = "/sys/fs/cgroup";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A memory cgroup of ours, removed when dropped; what ran in it must have ended by then.
#[derive(Debug)]
pub(crate) struct Cgroup {
    dir: PathBuf,
    version: Version,
    /// Devices with a limit, as `major:minor`.
    throttled: Vec<String>,
    /// Processes that somebody else started, let out again at the end.
    guests: RefCell<Vec<u32>>,
}

impl Cgroup {
    /// A new one without limits. `name` tells it from others of this tool.
    pub(crate) fn make(name: &str) -> Result<Self> {
        let version = detect()?;
        let parent = match version {
            Version::V1 => Path::new(ROOT).join("memory"),
            Version::V2 => PathBuf::from(ROOT),
        };
        if version == Version::V2 {
            write(&parent.join("cgroup.subtree_control"), "+memory +io")?;
        }
        let dir = parent.join(format!("{}{name}", super::place::PREFIX));
        if !dir.is_dir() {
            std::fs::create_dir(&dir).map_err(PerfError::io(dir.display().to_string()))?;
        }
        let group = Self { dir, version, throttled: Vec::new(), guests: RefCell::default() };
        group.limit(None)?;
        Ok(group)
    }

    /// The file that takes a process in.
    pub(crate) fn procs(&self) -> PathBuf {
        self.dir.join("cgroup.procs")
    }

    /// Takes a process in that somebody else started; it goes to the root when this is dropped.
    pub(crate) fn take_in(&self, pid: u32) -> Result<()> {
        self.guests.borrow_mut().push(pid);
        write(&self.procs(), &pid.to_string())
    }

    /// Limits memory, page cache and kernel objects included; `None`: no limit.
    pub(crate) fn limit(&self, bytes: Option<u64>) -> Result<()> {
        match (self.version, bytes) {
            (Version::V1, bytes) => {
                write(&self.dir.join("memory.limit_in_bytes"), &bytes.map_or("-1".into(), |b| b.to_string()))
            }
            (Version::V2, bytes) => {
                write(&self.dir.join("memory.max"), &bytes.map_or("max".into(), |b| b.to_string()))
            }
        }
    }

    /// Bytes in use that are no page cache of files: what the processes need, whatever the limit.
    pub(crate) fn needed(&self) -> Result<u64> {
        let (usage, cache) = match self.version {
            Version::V1 => ("memory.usage_in_bytes", "cache"),
            Version::V2 => ("memory.current", "file"),
        };
        let usage_text = read(&self.dir.join(usage))?;
        let usage: u64 =
            usage_text.trim().parse().map_err(|_| PerfError::parse(usage, "a number", &usage_text))?;
        let stat = read(&self.dir.join("memory.stat"))?;
        let cache = field(&stat, cache).unwrap_or(0).saturating_sub(field(&stat, "shmem").unwrap_or(0));
        Ok(usage.saturating_sub(cache))
    }

    /// Limits a device (`major:minor`) to bytes a second, read and write; 0 is no limit. Under version 1 for the whole machine,
    /// under version 2 for what runs in this group.
    pub(crate) fn throttle(&mut self, device: &str, read_bps: u64, write_bps: u64) -> Result<()> {
        match self.version {
            Version::V1 => {
                let blkio = Path::new(ROOT).join("blkio");
                write(&blkio.join("blkio.throttle.read_bps_device"), &format!("{device} {read_bps}"))?;
                write(&blkio.join("blkio.throttle.write_bps_device"), &format!("{device} {write_bps}"))?;
            }
            Version::V2 => {
                let word = |bps: u64| if bps == 0 { "max".into() } else { bps.to_string() };
                let line = format!("{device} rbps={} wbps={}", word(read_bps), word(write_bps));
                write(&self.dir.join("io.max"), &line)?;
            }
        }
        if !self.throttled.iter().any(|d| d == device) {
            self.throttled.push(device.into());
        }
        Ok(())
    }

    /// Takes all limits of devices away.
    pub(crate) fn unthrottle(&mut self) -> Result<()> {
        for device in self.throttled.clone() {
            self.throttle(&device, 0, 0)?;
        }
        self.throttled.clear();
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.unthrottle();
        let root = self.dir.parent().unwrap_or(Path::new(ROOT)).join("cgroup.procs");
        for pid in self.guests.borrow().iter() {
            // It may have ended meanwhile.
            let _ = write(&root, &pid.to_string());
        }
        if self.version == Version::V1 {
            // Page cache charged here goes now; what cannot go moves to the parent.
            let _ = write(&self.dir.join("memory.force_empty"), "0");
        }
        if !remove(&self.dir) {
            eprintln!("cannot remove {}: is a process in it?", self.dir.display());
        }
    }
}

/// Removes a group; an exiting process may hold it for a moment.
pub(crate) fn remove(dir: &Path) -> bool {
    for _ in 0..100 {
        if std::fs::remove_dir(dir).is_ok() || !dir.exists() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Groups of this tool that an earlier run left.
pub(crate) fn left_over() -> Vec<PathBuf> {
    let parents = [Path::new(ROOT).join("memory"), PathBuf::from(ROOT)];
    let entries = parents.iter().filter_map(|p| std::fs::read_dir(p).ok()).flatten().flatten();
    let ours = entries.filter(|e| e.file_name().to_string_lossy().starts_with(super::place::PREFIX));
    ours.map(|e| e.path()).collect()
}

fn detect() -> Result<Version> {
    stop::check()?;
    let controllers = std::fs::read_to_string(format!("{ROOT}/cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|c| c == "memory") {
        return Ok(Version::V2);
    }
    if Path::new(ROOT).join("memory/memory.limit_in_bytes").exists() {
        return Ok(Version::V1);
    }
    Err(PerfError::Refused(format!("no memory cgroup below {ROOT}, neither version 1 nor 2")))
}

/// A number of `memory.stat`.
fn field(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(PerfError::io(path.display().to_string()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(PerfError::io(format!("{text} > {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_memory_stat() {
        let stat = "cache 4096\nrss 8192\ncache_x 1\nshmem 12\nfile 7\n";
        for (name, expected) in
            [("cache", Some(4096)), ("shmem", Some(12)), ("file", Some(7)), ("cach", None)]
        {
            assert_eq!(field(stat, name), expected, "{name}");
        }
    }
}
