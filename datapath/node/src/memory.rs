//! How much memory the node may use: the machine's, or less where a control group says so.

use std::path::{Path, PathBuf};

/// Bytes; `None` where the kernel does not tell.
pub(crate) fn bytes_max() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text));
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let hierarchies = [
        (group_of(&own), "/sys/fs/cgroup", "memory.max"),
        (memory_group_of(&own), "/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
    ];
    let groups =
        hierarchies.into_iter().filter_map(|(group, top, file)| limit_of(group?, Path::new(top), file));
    machine.into_iter().chain(groups).min()
}

/// The least limit of a group and of those above it. A process in a namespace of its own sees a path that is not below `top`: there,
/// `top` is its group.
fn limit_of(group: &str, top: &Path, file: &str) -> Option<u64> {
    let own: PathBuf = top.join(group.trim_start_matches('/'));
    let up = own.ancestors().take_while(|dir| dir.starts_with(top));
    up.filter_map(|dir| std::fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()).min()
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

/// The process's group in the memory hierarchy of version 1, of /proc/self/cgroup.
fn memory_group_of(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| {
        let (controllers, group) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("a/b")).unwrap();
        for (dir, limit) in [("", "max"), ("a", "1000\n"), ("a/b", "9223372036854771712\n")] {
            std::fs::write(top.path().join(dir).join("limit"), limit).unwrap();
        }
        assert_eq!(limit_of("/a/b", top.path(), "limit"), Some(1000));
        assert_eq!(limit_of("/", top.path(), "limit"), None);
        assert_eq!(limit_of("/elsewhere", top.path(), "limit"), None);
    }

    #[test]
    fn what_the_kernel_says_is_read() {
        assert_eq!(total_of("MemTotal:       24571320 kB\nMemFree: 1 kB\n"), Some(24_571_320 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(group_of("1:name=x:/y\n0::/system.slice/weir\n"), Some("/system.slice/weir"));
        let old = "4:cpu,memory:/docker/ab\n0::/\n";
        assert_eq!((memory_group_of(old), memory_group_of("0::/x\n")), (Some("/docker/ab"), None));
        assert!(bytes_max().is_none_or(|bytes| bytes > 1 << 20));
    }
}
