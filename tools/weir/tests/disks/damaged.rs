//! What is damaged stays where it is, and holds nothing else up.

use std::io::{Seek, SeekFrom, Write};

use serde_json::Value;

use super::*;

fn spoil(node: &Node, mountpath: &str, name: &str) {
    let path = node.dir.join(mountpath).join("@ais/b/%ob").join(name);
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(1000)).unwrap();
    file.write_all(b"!spoilt!").unwrap();
    file.sync_all().unwrap();
}

/// How the resilvers that have ended came out.
fn errors(node: &Node) -> Vec<String> {
    let answer = node.of("GET /v1/cluster?what=status_all", br#"{"kind":"resilver"}"#);
    let all: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let ended = all.as_array().into_iter().flatten().filter(|job| job["end_time"] != 0);
    ended.filter_map(|job| job["err"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_damaged_object_stays_and_holds_no_other_up() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::serving(dir.path(), &["mp1", "mp2"]);
    let body = |n: usize| content(n as u64, 300_000);
    for n in 0..40 {
        assert_eq!(node.put(&name(n), &body(n)), 200);
    }
    let mut held = node.files("mp1");
    held.sort();
    assert!(held.len() > 4, "{held:?}");
    let damaged = held.split_off(held.len() - 2);
    damaged.iter().for_each(|name| spoil(&node, "mp1", name));
    let gone = node.change("DELETE", "detach-mp", "mp1", "");
    assert_eq!(gone.status, 200, "{}", gone.text());
    until("the resilver says what it leaves", || {
        errors(&node)
            .iter()
            .any(|error| error.contains("2 left as they are") && error.contains("corrupt"))
            .then_some(())
    });
    until("the others are moved", || (node.files("mp1").len() == 2).then_some(()));
    for n in 0..40 {
        let answer = node.get(&name(n));
        match damaged.contains(&name(n)) {
            false => assert!(answer.status == 200 && answer.body == body(n), "{}: {}", name(n), answer.head),
            // An error, or an answer that is cut short; never that there is nothing.
            true => assert!(
                answer.status != 404 && !(answer.status == 200 && answer.is_whole()),
                "{}",
                answer.head
            ),
        }
    }
    assert_eq!(node.mountpaths()[1], ["mp1"], "it waits for what it holds");
    // One is written anew, one is removed.
    assert_eq!(node.put(&damaged[0], b"new"), 200);
    assert!(node.get(&damaged[0]).body == b"new");
    let removed = node.of(&object("DELETE", &damaged[1]), b"");
    assert!([200, 204].contains(&removed.status), "{removed:?}");
    assert_eq!(node.get(&damaged[1]).status, 404);
    let begun = node.of("PUT /v1/cluster", br#"{"action":"start","value":{"kind":"resilver"}}"#);
    assert_eq!(begun.status, 200, "{}", begun.text());
    until("the mountpath has left", || {
        (node.mountpaths() == [vec!["mp2".to_owned()], vec![], vec![]] && node.is_settled()).then_some(())
    });
    assert!(node.get(&damaged[0]).body == b"new");
    assert_eq!(node.get(&damaged[1]).status, 404);
}
