//! What is acknowledged and in the journal alone can be seen in `/metrics`, until it is in plain files.

mod support;

use std::time::{Duration, Instant};

use support::{Running, start};

/// What has not happened by then never will.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// `weir_disk_unfiled` and `weir_disk_unfiled_bytes` of the only disk.
fn unfiled(node: &Running) -> (u64, u64) {
    let (status, text) = node.ask("GET /metrics", b"");
    assert_eq!(status, 200, "{text}");
    let of = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("{name}{{mountpath=")));
        let line = line.unwrap_or_else(|| panic!("{name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    (of("weir_disk_unfiled"), of("weir_disk_unfiled_bytes"))
}

#[test]
fn what_waits_for_its_file_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), &["mp1"], |_| {}).unwrap();
    assert_eq!(node.ask("PUT /kept", b"").0, 200);
    let begun = Instant::now();
    // They are filed 50 ms after the last of them: one look may come too late, not every one.
    let seen = (0u32..).find_map(|n| {
        assert!(begun.elapsed() < WAIT_MAX, "nothing was ever seen");
        assert_eq!(node.ask(&format!("PUT /kept/{n}"), &[7; 1000]).0, 200);
        Some(unfiled(&node)).filter(|(names, bytes)| *names > 0 && *bytes > 0)
    });
    // The bytes are looked at after the names, of which some may have been filed meanwhile.
    let (names, bytes) = seen.unwrap();
    assert!(bytes <= 1000 * names && bytes.is_multiple_of(1000), "{bytes} bytes of {names} names");
    while unfiled(&node) != (0, 0) {
        assert!(begun.elapsed() < WAIT_MAX, "{:?} are not filed", unfiled(&node));
    }
}
