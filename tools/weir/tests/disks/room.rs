//! A disk that fills up.

use serde_json::{Value, json};

use super::node::{Node, object};
use super::nodes::{content, until};
use super::rig::LoopMount;

const MIB: usize = 1 << 20;

fn set(node: &Node, line: &str, action: &str, value: &Value) {
    let body = json!({"action": action, "value": value}).to_string();
    let answer = node.of(line, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A figure of the one mountpath.
fn figure(node: &Node, name: &str) -> u64 {
    let text = node.of("GET /metrics", b"").text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{"))).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_disk_that_fills_up_refuses_writes_and_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_mount) = LoopMount::make(dir.path(), "mp1", 256) else {
        eprintln!("not run: this process may not mount");
        return;
    };
    let node = Node::serving(dir.path(), &["mp1"]);
    let config = json!({"space": {"cleanupwm": 1, "lowwm": 40, "highwm": 60, "out_of_space": 80},
        "lru": {"dont_evict_time": "0s", "capacity_upd_time": "1s"}, "periodic": {"stats_time": "1s"}});
    set(&node, "PUT /v1/cluster", "set-config", &config);
    let name = |n: usize| format!("o{n:03}");
    let mut kept = 0;
    let refused = until("the disk is out of space", || {
        assert!(kept < 256, "all of it was written");
        match node.of(&object("PUT", &name(kept)), &content(kept as u64, MIB)) {
            answer if answer.status == 200 => {
                kept += 1;
                None
            }
            answer => Some(answer),
        }
    });
    assert!(refused.status == 507 && refused.text().contains("space.out_of_space"), "{refused:?}");
    let (free, total) = (figure(&node, "weir_disk_bytes_free"), figure(&node, "weir_disk_bytes_total"));
    assert!(free > total / 10 && free < total / 5, "{free} of {total} are free");
    assert_eq!(figure(&node, "weir_disk_fill"), 2);
    for line in ["PUT /s3/b/small", "POST /s3/b/parts?uploads"] {
        assert_eq!(node.of(line, b"").status, 507, "{line}");
    }
    // What is there can be read, and removed; nothing goes by itself.
    (0..kept).for_each(|n| assert!(node.get(&name(n)).body == content(n as u64, MIB), "{n}"));
    assert_eq!(node.of(&object("DELETE", &name(kept - 1)), b"").status, 200);
    kept -= 1;
    let jobs = || -> Vec<Value> {
        let answer = node.of("GET /v1/cluster?what=status_all", br#"{"kind":"lru"}"#);
        serde_json::from_slice(&answer.body).unwrap()
    };
    assert_eq!(jobs(), Vec::<Value>::new());
    set(&node, "PATCH /v1/buckets/b?provider=ais", "set-bprops", &json!({"lru": {"enabled": true}}));
    until("there is room", || (figure(&node, "weir_disk_fill") == 0).then_some(()));
    let begun = until("the job has ended", || {
        let jobs = jobs();
        jobs.iter().all(|job| job["end_time"] != 0).then_some(jobs)
    });
    assert!(begun.iter().all(|job| job["err"] == ""), "{begun:?}");
    let left: Vec<usize> = (0..kept).filter(|n| node.get(&name(*n)).status == 200).collect();
    // Down to the low watermark, and not much further.
    let used = total - figure(&node, "weir_disk_bytes_free");
    assert!(used > total * 3 / 10 && used < total / 2, "{used} of {total} are used by {left:?} of {kept}");
    assert_eq!(left, (kept - left.len()..kept).collect::<Vec<_>>(), "what was read last stays");
    assert_eq!(node.put("again", &content(1, MIB)), 200);
}
