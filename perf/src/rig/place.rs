//! Where a rig lives: one directory, one run at a time, and the way to remove what a killed run left behind.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

use super::{cgroup, command, machine, process};
use crate::error::{PerfError, Result};

/// Begins the names of our cgroups.
pub(crate) const PREFIX: &str = "weir-perf-";

/// The directory of a rig, locked.
#[derive(Debug)]
pub(crate) struct Place {
    base: PathBuf,
    _lock: Flock<File>,
}

impl Place {
    /// Takes the directory after checking that this can work at all: root, and every one of `tools` installed.
    pub(crate) fn open(base: &Path, tools: &[&str]) -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Err(PerfError::Refused(
                "loop devices, mounts and cgroups need root: run this as root".into(),
            ));
        }
        let missing: Vec<&str> = tools.iter().filter(|t| find(t).is_none()).copied().collect();
        if !missing.is_empty() {
            let packages = "apt-get install fio nginx-light xfsprogs util-linux valgrind";
            return Err(PerfError::Refused(format!("not installed: {} ({packages})", missing.join(", "))));
        }
        let place = Self::lock(base)?;
        if !mounts_below(place.base())?.is_empty() || !cgroup::left_over().is_empty() {
            return Err(PerfError::Refused(format!(
                "an earlier run left mounts or cgroups behind: weir-perf clean --base {}",
                base.display()
            )));
        }
        Ok(place)
    }

    fn lock(base: &Path) -> Result<Self> {
        std::fs::create_dir_all(base.join("run")).map_err(PerfError::io(base.display().to_string()))?;
        // Absolute: children have it in their configuration.
        let base = base.canonicalize().map_err(PerfError::io(base.display().to_string()))?;
        let path = base.join("lock");
        let file = File::create(&path).map_err(PerfError::io(path.display().to_string()))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { base, _lock: lock }),
            Err(_) => Err(PerfError::Refused(format!("another weir-perf uses {}", base.display()))),
        }
    }

    pub(crate) fn base(&self) -> &Path {
        &self.base
    }

    /// A directory below it, made if need be.
    pub(crate) fn dir(&self, name: &str) -> Result<PathBuf> {
        let path = self.base.join(name);
        std::fs::create_dir_all(&path).map_err(PerfError::io(path.display().to_string()))?;
        Ok(path)
    }
}

/// Removes what a killed run left: processes, mounts, loop devices, cgroups, files.
pub(crate) fn clean(base: &Path) -> Result<()> {
    let place = Place::lock(base)?;
    let base = place.base();
    process::kill_recorded(&base.join("run"));
    // The images' tmpfs goes after the devices that have them open.
    let (back, disks): (Vec<_>, Vec<_>) =
        mounts_below(base)?.into_iter().partition(|mount| mount.ends_with(super::disk::BACKING));
    for mount in disks {
        super::disk::unmount(&mount);
    }
    let listed = command::run(&mut command::words("losetup --list --noheadings --output NAME,BACK-FILE"))?;
    for line in listed.lines() {
        let mut words = line.split_whitespace();
        if let (Some(device), Some(file)) = (words.next(), words.next())
            && Path::new(file).starts_with(base)
        {
            command::clean_up(&format!("losetup -d {device}"));
        }
    }
    for mount in back {
        super::disk::unmount(&mount);
    }
    for group in cgroup::left_over() {
        cgroup::remove(&group);
    }
    machine::restore_workqueues(base);
    std::fs::remove_dir_all(base).map_err(PerfError::io(base.display().to_string()))
}

fn mounts_below(base: &Path) -> Result<Vec<PathBuf>> {
    let text = std::fs::read_to_string("/proc/self/mounts").map_err(PerfError::io("/proc/self/mounts"))?;
    Ok(mounted(&text, base))
}

/// Mount points below `base`, the last mounted first.
fn mounted(mounts: &str, base: &Path) -> Vec<PathBuf> {
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|p| p.starts_with(base)).collect();
    points.reverse();
    points
}

/// A program on the path.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|dir| dir.join(tool)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_of_ours_come_last_first() {
        let text = "proc /proc proc rw 0 0\nback /b/back tmpfs rw 0 0\n/dev/loop0 /b/d0 xfs rw 0 0\nx /bb/d0 xfs rw 0 0\n";
        assert_eq!(mounted(text, Path::new("/b")), [Path::new("/b/d0"), Path::new("/b/back")]);
    }

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find("sh").is_some());
        assert!(find("no-such-program-anywhere").is_none());
    }
}
