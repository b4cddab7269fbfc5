//! Copies that are made after the answer: until they are, nobody sees what they were, and nobody takes it for what counts.

use super::*;

const NAMES: usize = 6;

fn of_version(n: usize, version: usize, size: usize) -> Vec<u8> {
    content((n + 1000 * version) as u64, size)
}

#[test]
fn a_copy_that_is_kept_open_is_not_read_once_its_successor_was_answered() {
    // Large, so that the copies take a while.
    const SIZE: usize = 4_000_000;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::serving(dir.path(), &["mp1", "mp2"]);
    keep(&node, 2);
    set(&node, json!({"write_policy": {"data": "delayed"}}));
    for version in 0..8 {
        for n in 0..NAMES {
            assert_eq!(node.put(&name(n), &of_version(n, version, SIZE)), 200);
            for _ in 0..2 {
                let answer = node.get(&name(n));
                assert!(answer.status == 200 && answer.body == of_version(n, version, SIZE), "{version} {n}");
            }
        }
        even(&node, NAMES);
        // Each shard keeps one of the copies open by now.
        for n in (0..NAMES).cycle().take(6 * NAMES) {
            assert_eq!(node.get(&name(n)).status, 200);
        }
    }
}

#[test]
fn a_mountpath_that_returns_keeps_what_is_newer_than_the_copy() {
    const SIZE: usize = 300_000;
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = Node::serving(dir.path(), &all);
    keep(&node, 2);
    let put = |node: &Node, version: usize| {
        for n in 0..NAMES {
            assert_eq!(node.put(&name(n), &of_version(n, version, SIZE)), 200);
        }
        even(node, NAMES);
    };
    let (at, aside) = (|n| file(dir.path(), "mp2", n), |n: usize| dir.path().join(format!("old{n}")));
    put(&node, 1);
    node.stop();
    (0..NAMES).for_each(|n| fs::rename(at(n), aside(n)).unwrap());
    node.start(&all);
    put(&node, 2);
    node.stop();
    // As if the second had been answered when the first mountpath alone had it, which then went.
    (0..NAMES).for_each(|n| fs::rename(aside(n), at(n)).unwrap());
    node.start(&all);
    assert_eq!(node.change("POST", "disable-mp", "mp1", "?dntres=true").status, 200);
    assert_eq!(node.change("POST", "enable-mp", "mp1", "").status, 200);
    node.settled();
    even(&node, NAMES);
    for (n, got) in contents(&node, "mp1") {
        let is_new = (0..NAMES).any(|m| name(m) == n && of_version(m, 2, SIZE) == got);
        assert!(is_new, "{n} is older than what was answered");
    }
}
