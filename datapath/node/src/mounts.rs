//! What there is to say of mountpaths: state and space, and which device and file system they lie on.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use weir_control::{DiskCounters, MountpathFacts};
use weir_shard::{DiskSet, Duty};

/// The kernel's unit in `/proc/diskstats`, whatever the disk's own.
const SECTOR_BYTES: u64 = 512;

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Its source, such as `/dev/nvme0n1p1`.
    pub(crate) device: String,
    /// Its type, such as `xfs`.
    pub(crate) fs_type: String,
}

/// The mount that holds `path`, as the kernel's table has it.
pub(crate) fn of(path: &Path) -> Option<Mount> {
    let (major, minor) = device(path)?;
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&table, major, minor)
}

/// Name and counters of the disk under `path`; none where the file system has no disk of its own (tmpfs, overlay).
pub(crate) fn disk(path: &Path) -> Option<(String, DiskCounters)> {
    let (major, minor) = device(path)?;
    counters(&std::fs::read_to_string("/proc/diskstats").ok()?, major, minor)
}

/// State and space of all mountpaths of a node.
pub(crate) fn all(set: &DiskSet, labels: &BTreeMap<PathBuf, String>) -> Vec<MountpathFacts> {
    let label = |path: &Path| labels.get(path).cloned().unwrap_or_default();
    let disks = set.disks.iter().map(|disk| {
        let space = disk.mountpath.space();
        MountpathFacts {
            used: space.used,
            free: space.free,
            leaving: disk.duty == Duty::Leaving,
            label: label(&disk.path),
            ..facts(&disk.path)
        }
    });
    let away = set.away.iter().map(|away| MountpathFacts {
        disabled: Some(away.why.clone()),
        path: away.path.display().to_string(),
        label: label(&away.path),
        ..MountpathFacts::default()
    });
    disks.chain(away).collect()
}

/// What is known of a directory's file system.
fn facts(path: &Path) -> MountpathFacts {
    let mount = of(path).unwrap_or_default();
    let by_device = || mount.device.rsplit('/').next().map(str::to_owned);
    let name = disk(path).map(|(name, _)| name).or_else(by_device);
    MountpathFacts {
        path: path.display().to_string(),
        disks: name.into_iter().collect(),
        device: mount.device,
        fs_id: device(path).map_or([0; 2], |(major, minor)| [major as i32, minor as i32]),
        fs_type: mount.fs_type,
        ..MountpathFacts::default()
    }
}

/// Whether two directories are on one file system.
pub(crate) fn same_file_system(one: &Path, other: &Path) -> bool {
    device(one).is_some_and(|device| Some(device) == self::device(other))
}

/// Major and minor number of the device that holds `path`.
fn device(path: &Path) -> Option<(u64, u64)> {
    let device = std::fs::metadata(path).ok()?.dev();
    Some(((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00)))
}

/// One line: major, minor, name, reads, reads merged, sectors read, ms, writes, writes merged, sectors written, ms, under way, ms busy ...
fn counters(table: &str, major: u64, minor: u64) -> Option<(String, DiskCounters)> {
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        (number(0)? == major && number(1)? == minor).then_some(())?;
        let counters = DiskCounters {
            reads: number(3)?,
            read_bytes: number(5)?.saturating_mul(SECTOR_BYTES),
            writes: number(7)?,
            written_bytes: number(9)?.saturating_mul(SECTOR_BYTES),
            busy_ms: number(12)?,
        };
        Some(((*fields.get(2)?).to_owned(), counters))
    })
}

/// One line: `36 35 98:0 /root /mount opts - type source superopts`.
fn find(table: &str, major: u64, minor: u64) -> Option<Mount> {
    let wanted = format!("{major}:{minor}");
    table.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        (left.split(' ').nth(2)? == wanted).then_some(())?;
        let mut fields = right.split(' ');
        Some(Mount { fs_type: fields.next()?.into(), device: fields.next()?.into() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let table = "22 1 254:0 / / rw - ext4 /dev/vda rw\n36 35 7:1 / /mnt rw shared:1 - xfs /dev/loop1 rw,noquota\n";
        let found = find(table, 7, 1).unwrap();
        assert_eq!((found.device.as_str(), found.fs_type.as_str()), ("/dev/loop1", "xfs"));
        assert_eq!(find(table, 9, 9), None);
        assert!(of(Path::new("/")).is_some());
    }

    #[test]
    fn counters_are_read() {
        let table = "   7       1 loop1 1 0 8 2 3 0 16 4 0 5 6\n 259       0 nvme0n1 10 1 20 3 40 5 60 7 0 80 90 1 2 3 4\n";
        let (name, got) = counters(table, 259, 0).unwrap();
        let want = DiskCounters {
            reads: 10,
            read_bytes: 20 * 512,
            writes: 40,
            written_bytes: 60 * 512,
            busy_ms: 80,
        };
        assert_eq!((name.as_str(), got), ("nvme0n1", want));
        assert_eq!(counters(table, 259, 1), None);
        assert_eq!(counters("7 1 loop1 1\n", 7, 1), None);
    }
}
