//! How much memory the node may use: the machine's, or less where a control group says so.

use std::path::{Path, PathBuf};

/// Bytes; `None` where the kernel does not tell.
pub(crate) fn bytes_max() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let own = std::fs::read_to_string("/proc/self/cgroup").ok();
    let groups = own.as_deref().and_then(group_of).into_iter().flat_map(|group| {
        let top = Path::new("/sys/fs/cgroup");
        let own: PathBuf = top.join(group.trim_start_matches('/'));
        let up: Vec<PathBuf> =
            own.ancestors().take_while(|dir| dir.starts_with(top)).map(Into::into).collect();
        up.into_iter()
            .filter_map(|dir| std::fs::read_to_string(dir.join("memory.max")).ok()?.trim().parse().ok())
    });
    machine.into_iter().chain(groups).min()
}

/// `MemTotal` of /proc/meminfo.
fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The process's group in the unified hierarchy, of /proc/self/cgroup.
fn group_of(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(total_of("MemTotal:       24571320 kB\nMemFree: 1 kB\n"), Some(24_571_320 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(group_of("1:name=x:/y\n0::/system.slice/weir\n"), Some("/system.slice/weir"));
        assert!(bytes_max().is_none_or(|bytes| bytes > 1 << 20));
    }
}
