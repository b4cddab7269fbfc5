//! Disks that a node had and does not find at its start.

mod support;

use support::{Running, start};

fn node(dir: &tempfile::TempDir, mountpaths: &[&str]) -> Result<Running, String> {
    start(dir.path(), mountpaths, |_| {}).map_err(|e| e.to_string())
}

#[test]
fn a_lost_disk_is_out_of_service_until_it_is_replaced_at_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let statuses = |node: &Running| -> Vec<u16> {
        (0..32).map(|n| node.ask(&format!("GET /kept/{n}"), b"").0).collect()
    };
    {
        let node = node(&dir, &["mp1", "mp2"]).unwrap();
        assert_eq!(node.ask("PUT /kept", b"").0, 200);
        (0..32).for_each(|n| assert_eq!(node.ask(&format!("PUT /kept/{n}"), b"x").0, 200));
        assert_eq!(statuses(&node), [200; 32]);
    }
    std::fs::remove_dir_all(dir.path().join("mp2")).unwrap();
    let left = {
        // The node goes on with the other one; what may have been on the lost one is not said to be absent.
        let node = node(&dir, &["mp1", "mp2"]).unwrap();
        let statuses = statuses(&node);
        assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
        statuses.iter().filter(|status| **status == 200).count()
    };
    assert!((1..32).contains(&left), "{left} of 32");
    // What OPERATIONS.md says to do where the node is not running.
    let registry = dir.path().join("node/mountpaths.toml");
    let text = std::fs::read_to_string(&registry).unwrap();
    let section = format!("[mountpaths.{:?}]\n", dir.path().join("mp2").display().to_string());
    assert!(text.contains(&section), "{text}");
    std::fs::write(&registry, text.replace(&section, &format!("{section}replaced = true\n"))).unwrap();
    let node = node(&dir, &["mp1", "mp2"]).unwrap();
    let statuses = statuses(&node);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), left);
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 32 - left);
    assert!(!std::fs::read_to_string(&registry).unwrap().contains("replaced"));
}

#[test]
fn a_node_that_has_lost_its_only_disk_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    node(&dir, &["mp1"]).unwrap().stop();
    std::fs::remove_dir_all(dir.path().join("mp1")).unwrap();
    let refused = node(&dir, &["mp1"]).err().expect("it must not start");
    assert!(refused.contains("no identity file"), "{refused}");
}
