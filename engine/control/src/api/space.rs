//! What is wrong with this node's disks, as operators are told: those that have failed and those that are too full, by AIS's
//! flags, in words, and as a figure.

use std::fmt::Write as _;

use weir_ais::NodeStateFlags;
use weir_cluster::{ClusterConfig, Fill};

use crate::{BY_COMMAND, MountpathFacts};

/// Mountpaths in service, with how full they are.
fn fills<'f>(
    config: &ClusterConfig,
    facts: &'f [MountpathFacts],
) -> impl Iterator<Item = (&'f MountpathFacts, Fill)> {
    let in_service = facts.iter().filter(|mountpath| mountpath.disabled.is_none());
    in_service.map(|m| (m, config.space.fill(m.used, m.total())))
}

/// The flags that say what is wrong, if something is.
pub(super) fn flags(config: &ClusterConfig, facts: &[MountpathFacts]) -> NodeStateFlags {
    let full = match fills(config, facts).map(|(_, fill)| fill).max().unwrap_or_default() {
        Fill::Room => NodeStateFlags::default(),
        Fill::High => NodeStateFlags::LOW_CAPACITY | NodeStateFlags::DISK_LOW_CAPACITY,
        Fill::Out => NodeStateFlags::OUT_OF_SPACE | NodeStateFlags::DISK_OUT_OF_SPACE,
    };
    let has_failed =
        |mountpath: &MountpathFacts| mountpath.disabled.as_deref().is_some_and(|why| why != BY_COMMAND);
    match facts.iter().any(has_failed) {
        true => full | NodeStateFlags::DISK_FAULT,
        false => full,
    }
}

/// Which mountpath is the fullest of those that are too full; empty if none is.
pub(super) fn words(config: &ClusterConfig, facts: &[MountpathFacts]) -> String {
    let fullest = fills(config, facts).max_by_key(|(_, fill)| *fill);
    match fullest {
        Some((mountpath, Fill::High)) => format!("mountpath {} is above space.highwm", mountpath.path),
        Some((mountpath, Fill::Out)) => {
            format!("out of space: mountpath {} is above space.out_of_space", mountpath.path)
        }
        _ => String::new(),
    }
}

/// The same for `/metrics`.
pub(super) fn figures(config: &ClusterConfig, facts: &[MountpathFacts]) -> String {
    let mut out = String::from(
        "# HELP weir_disk_fill 0: has room, 1: above space.highwm, 2: above space.out_of_space, writes are refused.\n\
         # TYPE weir_disk_fill gauge\n",
    );
    for (mountpath, fill) in fills(config, facts) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "weir_disk_fill{{mountpath={:?}}} {}", mountpath.path, fill as u8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_mountpath_counts() {
        let config = ClusterConfig::default();
        let mountpath = |path: &str, used| MountpathFacts {
            path: path.into(),
            used,
            free: 100 - used,
            ..MountpathFacts::default()
        };
        let gone = MountpathFacts { disabled: Some(BY_COMMAND.into()), ..mountpath("/gone", 100) };
        let failed = MountpathFacts { disabled: Some("EIO".into()), ..gone.clone() };
        assert_eq!(flags(&config, &[gone.clone(), failed]), NodeStateFlags::DISK_FAULT);
        for (used, expected, text, figure) in [
            (90, 0, "", 0),
            (91, 1 << 11 | 1 << 23, "mountpath /b is above space.highwm", 1),
            (96, 1 << 8 | 1 << 22, "out of space: mountpath /b is above space.out_of_space", 2),
        ] {
            let facts = [mountpath("/a", 10), mountpath("/b", used), gone.clone()];
            assert_eq!(flags(&config, &facts), NodeStateFlags(expected), "{used}");
            assert_eq!(words(&config, &facts), text);
            let figures = figures(&config, &facts);
            assert!(
                figures.ends_with(&format!("\"/a\"}} 0\nweir_disk_fill{{mountpath=\"/b\"}} {figure}\n")),
                "{figures}"
            );
        }
    }
}
