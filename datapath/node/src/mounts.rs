//! Which device and file system a directory lies on, for reports.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
    let device = std::fs::metadata(path).ok()?.dev();
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&table, (device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00))
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
}
