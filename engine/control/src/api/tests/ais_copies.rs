use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use weir_cluster::{NetInfo, Node as MapNode, NodeId, Role};
use weir_types::Bucket;

use super::ais_jobs::{by_id, create, wait};
use super::memory::{ais, aws};
use super::{Node, action};
use crate::Command;

/// Asks for a copy; the status and the job's ID or the error.
fn post(node: &Node, from: &str, to: &str, verb: &str, value: &str) -> (u16, String) {
    let to = if to.is_empty() { String::new() } else { format!("&bck_to=ais%2F%40%23%2F{to}%2F") };
    node.get(&format!("POST /v1/buckets/{from}{to}"), &action(verb, value))
}

/// Has something copied; the snapshot in the end.
fn copied(node: &Node, from: &str, to: &str, verb: &str, value: &str) -> Value {
    let (status, id) = post(node, from, to, verb, value);
    assert_eq!(status, 200, "{id}");
    assert_eq!((&wait(node, &id)["err"], &wait(node, &id)["aborted"]), (&json!(""), &json!(false)));
    let snaps = node.json("GET /v1/cluster?what=qryxstats", &by_id(&id));
    snaps[node.handle.identity().target.as_str()][0].clone()
}

fn exists(node: &Node, name: &str) -> bool {
    node.get(&format!("HEAD /v1/buckets/{name}?provider=ais"), "").0 == 200
}

fn filled(node: &Node, bucket: &Bucket, names: &[&str]) {
    names.iter().for_each(|name| node.memory.put(bucket, name, 10));
}

#[test]
fn a_bucket_is_copied() {
    let node = Node::start();
    create(&node, "a");
    node.ok("PATCH /v1/buckets/a?provider=ais", &action("set-bprops", r#"{"checksum":{"type":"md5"}}"#));
    filled(&node, &ais("a"), &["p/1.old", "p/2.old", "p/d/3.old", "q"]);
    let dry = copied(&node, "a?provider=ais", "b", "copy-bck", r#"{"dry_run":true}"#);
    assert_eq!((&dry["stats"]["loc-objs"], exists(&node, "b")), (&json!("4"), false));
    // The destination is made with the properties of the source.
    let value = r#"{"prefix":"p/","prepend":"new-","ext":{"old":"txt"},"non-recurs":true,"num-workers":10}"#;
    let snap = copied(&node, "a?provider=ais", "b", "copy-bck", value);
    assert_eq!(node.memory.names(&ais("b")), ["new-p/1.txt", "new-p/2.txt"]);
    assert_eq!((&snap["kind"], &snap["stats"]["loc-bytes"]), (&json!("copy-bck"), &json!("20")));
    assert_eq!((&snap["src-bck"]["name"], &snap["dst-bck"]["name"]), (&json!("a"), &json!("b")));
    assert_eq!(snap["glob.id"], json!((10 << 10).to_string()));
    let head = node.ask("HEAD /v1/buckets/b?provider=ais", "");
    assert!(head.headers.iter().any(|(_, value)| value.contains(r#""type":"md5""#)), "{:?}", head.headers);
    assert_eq!(copied(&node, "a?provider=ais", "b", "copy-bck", "null")["stats"]["loc-objs"], "4");
    assert_eq!(node.memory.names(&ais("b")).len(), 6);
    for (from, to, value, status) in [
        ("a?provider=ais", "a", "null", 400),
        ("a?provider=ais", "", "null", 400),
        ("none?provider=ais", "b", "null", 404),
        ("a?provider=ais", "b", r#"{"synchronize":true}"#, 501),
    ] {
        let (got, text) = post(&node, from, to, "copy-bck", value);
        assert_eq!(got, status, "{from} {to} {value}: {text}");
    }
}

#[test]
fn objects_are_copied_by_name_and_number() {
    let node = Node::start();
    create(&node, "a");
    filled(&node, &ais("a"), &["x", "y", "s-08", "s-09", "s-11"]);
    let to = r#""tobck":{"name":"b","provider":"ais","namespace":null}"#;
    let some = format!(r#"{{{to},"objnames":["x","never"],"prepend":"n-"}}"#);
    let snap = copied(&node, "a?provider=ais", "", "copy-listrange", &some);
    assert_eq!((&snap["kind"], &snap["stats"]["loc-objs"]), (&json!("copy-listrange"), &json!("1")));
    copied(&node, "a?provider=ais", "", "copy-listrange", &format!(r#"{{{to},"template":"s-{{08..10}}"}}"#));
    assert_eq!(node.memory.names(&ais("b")), ["n-x", "s-08", "s-09"]);
    // Of a kind that idles in AIS: shown for a while.
    let running =
        node.json("GET /v1/cluster?what=running_all", r#"{"kind":"copy-objects","show_active":true}"#);
    assert_eq!(running.as_array().unwrap().len(), 2, "{running}");
}

#[test]
fn of_a_remote_bucket_goes_what_is_asked_for() {
    let node = Node::start();
    node.memory.at_origin(&aws("far"), &["1", "2", "3"]);
    filled(&node, &aws("far"), &["1"]);
    copied(&node, "far?provider=aws", "b", "copy-bck", "null");
    assert_eq!(node.memory.names(&ais("b")), ["1"], "what is here");
    // A shard would bring in what is missing; here it is left out, and no error.
    let snap = copied(&node, "far?provider=aws&presence=0", "c", "copy-bck", "null");
    assert_eq!((node.memory.names(&ais("c")), &snap["stats"]["loc-objs"]), (vec!["1".into()], &json!("1")));
    let dry = copied(&node, "far?provider=aws&presence=0", "c", "copy-bck", r#"{"dry_run":true}"#);
    assert_eq!(dry["stats"]["loc-objs"], "3");
    assert_eq!(post(&node, "far?provider=aws", "b", "copy-bck", r#"{"latest-ver":true}"#).0, 501);
    assert_eq!(post(&node, "far?provider=aws", "b", "move-bck", "null").0, 400);
}

#[test]
fn a_bucket_is_renamed() {
    let node = Node::start();
    create(&node, "a");
    filled(&node, &ais("a"), &["1", "2"]);
    let snap = copied(&node, "a?provider=ais", "b", "move-bck", "null");
    assert_eq!((&snap["kind"], &snap["stats"]["loc-objs"]), (&json!("move-bck"), &json!("2")));
    assert_eq!(node.memory.names(&ais("b")), ["1", "2"]);
    assert!(!exists(&node, "a") && exists(&node, "b"));
    // The old name is free once what was kept under it is gone.
    let begun = std::time::Instant::now();
    while node.get("POST /v1/buckets/a?provider=ais", &action("create-bck", "null")).0 != 200 {
        assert!(begun.elapsed().as_secs() < 30);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(node.memory.names(&ais("a")).is_empty());
    assert_eq!(post(&node, "a?provider=ais", "b", "move-bck", "null").0, 409);
    assert_eq!(post(&node, "a?provider=ais", "a", "move-bck", "null").0, 400);
}

#[test]
fn a_rename_that_is_stopped_or_cut_off_loses_nothing() {
    let node = Node::start();
    create(&node, "a");
    filled(&node, &ais("a"), &["1", "2"]);
    node.memory.busy.store(true, Ordering::Relaxed);
    let (_, id) = post(&node, "a?provider=ais", "b", "move-bck", "null");
    // Meanwhile it cannot go by another way.
    assert_eq!(node.get("DELETE /v1/buckets/a?provider=ais", &action("destroy-bck", "null")).0, 503);
    assert_eq!(post(&node, "a?provider=ais", "c", "move-bck", "null").0, 503);
    let node = node.restarted();
    node.ok("PUT /v1/cluster", &action("stop", &json!({"ID": id, "Kind": ""}).to_string()));
    assert_eq!(wait(&node, &id)["aborted"], true);
    assert_eq!(node.memory.names(&ais("a")), ["1", "2"]);
    node.ok("DELETE /v1/buckets/b?provider=ais", &action("destroy-bck", "null"));
    // Again, over a restart, to its end.
    let (status, id) = post(&node, "a?provider=ais", "b", "move-bck", "null");
    assert_eq!(status, 200, "{id}");
    let node = node.restarted();
    assert!(exists(&node, "a"), "it goes at the end");
    node.memory.busy.store(false, Ordering::Relaxed);
    assert_eq!(wait(&node, &id)["err"], "");
    assert_eq!(node.memory.names(&ais("b")), ["1", "2"]);
    assert!(!exists(&node, "a"));
}

#[test]
fn a_copy_says_when_a_target_joined_meanwhile() {
    let node = Node::start();
    create(&node, "a");
    filled(&node, &ais("a"), &["1", "2"]);
    node.memory.busy.store(true, Ordering::Relaxed);
    let value = r#"{"tobck":{"name":"b","provider":"ais"},"objnames":["1","2"]}"#;
    let (status, id) = post(&node, "a?provider=ais", "", "copy-listrange", value);
    assert_eq!(status, 200, "{id}");
    let new = MapNode::new(NodeId::new("t9t9t9t9").unwrap(), Role::Target, NetInfo::new("127.0.0.1", 9));
    super::block_on(node.handle.propose(Command::PutNode(Box::new(new)))).unwrap();
    node.memory.busy.store(false, Ordering::Relaxed);
    assert!(wait(&node, &id)["err"].as_str().unwrap().contains("joined meanwhile"));
}
