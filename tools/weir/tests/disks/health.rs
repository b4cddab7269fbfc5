//! Disks that somebody has looked at, and what they are called.

use std::fs;

use serde_json::Value;
use weir_faultdisk::ctl::answer as tell;

use super::node::Node;
use super::nodes::{content, until};
use super::rig::{FAILING_BYTES, FailingDisk};
use super::{SIZES, name};

fn json(node: &Node, line: &str) -> Value {
    serde_json::from_slice(&node.of(line, b"").body).unwrap()
}

fn flags(node: &Node) -> u64 {
    json(node, "GET /v1/health?cii=true")["flags"].as_u64().unwrap()
}

#[test]
fn a_disk_that_fails_its_check_is_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let Some(failing) = FailingDisk::make(dir.path(), "mp2") else { return };
    let node = Node::serving(dir.path(), &["mp1"]);
    node.attach("mp2");
    let body = |n: usize| content(n as u64, SIZES[1 + n % 4]);
    (0..60).for_each(|n| assert_eq!(node.put(&name(n), &body(n)), 200));
    node.settled();
    until("what is small is in files", || {
        let text = node.of("GET /metrics", b"").text();
        let unfiled = text.lines().filter(|line| line.starts_with("weir_disk_unfiled{"));
        unfiled.clone().all(|line| line.ends_with(" 0")).then_some(())
    });
    let check = |mountpath: &str| node.change("POST", "fshc-mp", mountpath, "");
    assert_eq!((check("mp1").status, check("mp2").status), (200, 200));
    // The checks are over when they have removed what they wrote.
    let wrote = |mountpath: &str| {
        let files = fs::read_dir(dir.path().join(mountpath).join("%wk")).unwrap().flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("health-")).count()
    };
    until("the checks are over", || (wrote("mp1") + wrote("mp2") == 0).then_some(()));
    assert_eq!(node.mountpaths(), [vec!["mp1".to_owned(), "mp2".to_owned()], vec![], vec![]]);
    assert_eq!(flags(&node), 6);
    // Nobody reads or writes, so that nobody has seen it yet.
    assert_eq!(tell(&failing.disk, &format!("eio-read 0 {FAILING_BYTES}")), "ok");
    until("it is taken out", || {
        assert!([200, 400].contains(&check("mp2").status));
        (node.mountpaths()[2] == ["mp2"]).then_some(())
    });
    assert_eq!(check("mp1").status, 200);
    assert_eq!(flags(&node), 6 | 1 << 13, "a disk has failed");
    let refused = check("mp2");
    assert!(refused.status == 400 && refused.text().contains("not in service"), "{refused:?}");
    assert_eq!(node.mountpaths(), [vec!["mp1".to_owned()], vec![], vec!["mp2".to_owned()]]);
    assert_eq!(tell(&failing.disk, "clear"), "ok");
    failing.mounted.unmount().unwrap();
}

#[test]
fn a_mountpath_has_the_label_that_it_was_attached_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["mp1"]);
    let attach = |node: &Node, mountpath: &str, query: &str| {
        fs::create_dir_all(node.path(mountpath)).unwrap();
        node.change("PUT", "attach-mp", mountpath, query)
    };
    assert_eq!(attach(&node, "mp2", "?mountpath_label=shelf%202").status, 200);
    assert_eq!(attach(&node, "mp3", &format!("?mountpath_label={}", "x".repeat(129))).status, 400);
    assert_eq!(attach(&node, "mp3", "?mountpath_label=a%0Ab").status, 400);
    let labels = |node: &Node| {
        let (disks, config) =
            (json(node, "GET /v1/daemon?what=disk"), json(node, "GET /v1/daemon?what=config"));
        ["mp1", "mp2"].map(|mountpath| {
            let path = node.path(mountpath);
            let label = disks["mountpaths"][&path]["mountpath_label"].as_str().map(str::to_owned);
            assert_eq!(config["fspaths"][&path].as_str().map(str::to_owned), label);
            label
        })
    };
    let called = [Some(String::new()), Some("shelf 2".to_owned())];
    assert_eq!(labels(&node), called);
    node.settled();
    node.stop();
    node.start(&["mp1"]);
    assert_eq!(labels(&node), called, "after a restart");
    assert_eq!(node.change("POST", "disable-mp", "mp2", "?dntres=true").status, 200);
    assert_eq!(node.change("POST", "rescan-mp", "mp2", "").status, 400, "it is out of service");
    assert_eq!(node.change("POST", "enable-mp", "mp2", "").status, 200);
    assert_eq!(labels(&node), called, "after it was out of service");
    for mountpath in ["mp1", "mp2"] {
        assert_eq!(node.change("POST", "rescan-mp", mountpath, "").status, 200);
    }
    assert_eq!(node.change("POST", "rescan-mp", "mp9", "").status, 400);
}
