//! The set of disks of a node that holds objects stays as it is.

mod support;

use support::{Running, start};

fn node(dir: &tempfile::TempDir, mountpaths: &[&str]) -> Result<Running, String> {
    start(dir.path(), mountpaths, |_| {}).map_err(|e| e.to_string())
}

#[test]
fn a_start_with_other_disks_is_refused_while_there_are_objects() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing is stored yet: any set will do.
    node(&dir, &["mp1"]).unwrap().stop();
    node(&dir, &["mp1", "mp2"]).unwrap().stop();
    let names: Vec<String> = (0..32).map(|n| format!("GET /kept/{n}")).collect();
    {
        let node = node(&dir, &["mp2", "mp3"]).unwrap();
        assert_eq!(node.ask("PUT /kept", b"").0, 200);
        for name in &names {
            assert_eq!(node.ask(&name.replace("GET", "PUT"), name.as_bytes()).0, 200);
        }
    }
    std::fs::rename(dir.path().join("mp3"), dir.path().join("moved")).unwrap();
    for mountpaths in [&["mp2"][..], &["mp2", "moved"], &["mp2", "mp3", "mp4"]] {
        let refused = node(&dir, mountpaths).err().expect("it must not start");
        assert!(refused.contains("holds objects") && refused.contains("expected"), "{refused}");
        // Nothing was made where it would be in the way.
        assert!(!dir.path().join("mp4/.weir").exists() && !dir.path().join("mp3/.weir").exists());
    }
    drop(std::fs::remove_dir(dir.path().join("mp3")));
    std::fs::rename(dir.path().join("moved"), dir.path().join("mp3")).unwrap();
    let node = node(&dir, &["mp3", "mp2"]).unwrap();
    for name in &names {
        assert_eq!(node.ask(name, b""), (200, name.clone()));
    }
}

#[test]
fn a_lost_disk_is_replaced_at_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let held = |node: &Running| (0..32).filter(|n| node.ask(&format!("GET /kept/{n}"), b"").0 == 200).count();
    {
        let node = node(&dir, &["mp1", "mp2"]).unwrap();
        assert_eq!(node.ask("PUT /kept", b"").0, 200);
        (0..32).for_each(|n| assert_eq!(node.ask(&format!("PUT /kept/{n}"), b"x").0, 200));
        assert_eq!(held(&node), 32);
    }
    std::fs::remove_dir_all(dir.path().join("mp2")).unwrap();
    let refused = node(&dir, &["mp1", "mp2"]).err().expect("it must not start");
    assert!(refused.contains("no identity file"), "{refused}");
    // What OPERATIONS.md says to do.
    let registry = dir.path().join("node/mountpaths.toml");
    let text = std::fs::read_to_string(&registry).unwrap();
    let section = format!("[mountpaths.{:?}]\n", dir.path().join("mp2").display().to_string());
    assert!(text.contains(&section), "{text}");
    std::fs::write(&registry, text.replace(&section, &format!("{section}replaced = true\n"))).unwrap();
    let node = node(&dir, &["mp1", "mp2"]).unwrap();
    let left = held(&node);
    assert!((1..32).contains(&left), "{left} of 32");
    assert!(!std::fs::read_to_string(&registry).unwrap().contains("replaced"));
}
