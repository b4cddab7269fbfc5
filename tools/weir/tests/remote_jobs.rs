//! Jobs about remote buckets, on a real node with an origin behind it: copies of them, and copies that go to make room.

mod nodes;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nodes::{ask, free_ports, until};
use serde_json::{Value, json};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

struct Playground {
    child: Child,
    port: u16,
}

impl Playground {
    fn start(dir: &std::path::Path) -> Self {
        let port = free_ports(1);
        let mut command = Command::new(WEIR);
        command.args(["playground", "--shards", "1", "--dir"]).arg(dir).args(["--port", &port.to_string()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut banner).unwrap(), 0, "it ended after:\n{banner}");
        }
        Self { child, port }
    }

    fn weir(&self, args: &[&str]) -> String {
        let url = format!("http://127.0.0.1:{}", self.port);
        let output = Command::new(WEIR).args(args).env("WEIR_ENDPOINT", url).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn act(&self, action: &str, value: &Value) -> String {
        let body = json!({ "action": action, "value": value }).to_string();
        let answer = ask(self.port, "PUT /v1/cluster", &[], body.as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// Objects of the sample that are on the node's disks.
    fn here(&self) -> usize {
        let list: Value = serde_json::from_str(&self.weir(&["ls", "s3://sample", "--json"])).unwrap();
        list.as_array().unwrap().iter().filter(|entry| entry["cached"] == true).count()
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn copies_go_where_the_disk_is_too_full_and_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let node = Playground::start(&dir.path().join("node"));
    let out = dir.path().join("out");
    node.weir(&["get", "-r", "s3://sample", out.to_str().unwrap()]);
    node.weir(&["create", "ais://own"]);
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    node.weir(&["put", own, "ais://own/kept"]);
    let all = node.here();
    assert!(all > 0);
    // What was read lately stays, however full the disk is.
    node.act("set-config", &json!({"space": {"cleanupwm": 1, "lowwm": 1, "highwm": 1}}));
    let lru = json!({"Kind": "lru", "ID": "", "Bck": null, "Buckets": null});
    node.weir(&["wait", &node.act("start", &lru)]);
    assert_eq!(node.here(), all);
    node.act("set-config", &json!({"lru": {"dont_evict_time": "0s"}}));
    // An object that is in the journal alone was written a moment ago, and stays until the next time.
    until("all copies are gone", || {
        node.weir(&["wait", &node.act("start", &lru)]);
        (node.here() == 0).then_some(())
    });
    assert!(node.weir(&["show", "job", "lru-eviction", "--all"]).contains("done"));
    assert_eq!(node.weir(&["get", "ais://own/kept", "-"]), std::fs::read_to_string(own).unwrap());
    node.weir(&["wait", &node.act("start", &json!({"Kind": "cleanup"}))]);
}

#[test]
fn of_a_remote_bucket_what_is_here_is_copied_or_everything() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    let node = Playground::start(&home);
    node.weir(&["evict", "s3://sample/shard-{001..020}.bin"]);
    let here = node.here();
    let all: Value = serde_json::from_str(&node.weir(&["ls", "s3://sample", "--json"])).unwrap();
    let all = all.as_array().unwrap();
    assert!(here > 0 && here < all.len(), "{here} of {}", all.len());
    let copied = |to: &str, presence: &str| {
        let line = format!("POST /v1/buckets/sample?provider=aws&bck_to=ais%2F%40%23%2F{to}%2F{presence}");
        let begun = ask(node.port, &line, &[], br#"{"action":"copy-bck","value":{"prepend":"x/"}}"#).unwrap();
        assert_eq!(begun.status, 200, "{begun:?}");
        node.weir(&["wait", &begun.text()]);
        node.weir(&["ls", &format!("ais://{to}")]).lines().count()
    };
    assert_eq!(copied("some", ""), here);
    assert_eq!(copied("all", "&presence=0"), all.len());
    for entry in all.iter().take(3) {
        let name = entry["name"].as_str().unwrap();
        let origin = std::fs::read(home.join("origin/sample").join(name)).unwrap();
        let copy = dir.path().join("copy");
        node.weir(&["get", &format!("ais://all/x/{name}"), copy.to_str().unwrap()]);
        assert!(std::fs::read(copy).unwrap() == origin, "{name}");
    }
}
