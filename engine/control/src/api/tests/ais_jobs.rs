use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::memory::{ais, aws};
use super::{Node, action};

pub(super) fn create(node: &Node, name: &str) {
    node.ok(&format!("POST /v1/buckets/{name}?provider=ais"), &action("create-bck", "null"));
}

/// Begins a job; its ID.
fn begin(node: &Node, bucket: &str, verb: &str, value: &str) -> String {
    let (status, id) = node.get(&format!("DELETE /v1/buckets/{bucket}"), &action(verb, value));
    assert_eq!(status, 200, "{id}");
    id
}

pub(super) fn by_id(id: &str) -> String {
    json!({"ID": id, "Kind": "", "DaemonID": "", "Bck": null, "Buckets": null}).to_string()
}

/// Waits for a job as the SDK does: its kind by its snapshots, then its status until that has an end.
pub(super) fn wait(node: &Node, id: &str) -> Value {
    let snaps = node.json("GET /v1/cluster?what=qryxstats", &by_id(id));
    let kind = snaps.as_object().unwrap().values().next().unwrap()[0]["kind"].as_str().unwrap().to_owned();
    let begun = Instant::now();
    loop {
        let body = json!({"ID": id, "Kind": kind}).to_string();
        let status = node.json("GET /v1/cluster?what=status", &body);
        assert_eq!((&status["uuid"], &status["kind"]), (&json!(id), &json!(kind)));
        if status["end_time"] != 0 {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn objects_are_removed_by_name_number_and_prefix() {
    let node = Node::start();
    create(&node, "b");
    let bucket = ais("b");
    let names = ["a", "b", "d/1", "d/2", "e/3", "s-08", "s-09", "s-10", "s-11", "z"];
    names.iter().for_each(|name| node.memory.put(&bucket, name, 10));
    let remove = |value: &str| {
        let id = begin(&node, "b?provider=ais", "delete-listrange", value);
        let status = wait(&node, &id);
        assert_eq!((&status["err"], &status["aborted"]), (&json!(""), &json!(false)));
        let snaps = node.json("GET /v1/cluster?what=qryxstats", &by_id(&id));
        let snap = snaps[node.handle.identity().target.as_str()][0].clone();
        assert_eq!((&snap["kind"], &snap["bck"]["name"]), (&json!("delete-listrange"), &json!("b")));
        assert_ne!(snap["end-time"], "0001-01-01T00:00:00Z");
        (snap["stats"]["loc-objs"].clone(), snap["stats"]["loc-bytes"].clone())
    };
    assert_eq!(remove(r#"{"objnames":["a","never","b","","../x"]}"#).0, "2");
    assert_eq!(remove(r#"{"template":"s-{08..10}"}"#).0, "3");
    assert_eq!(remove(r#"{"objnames":null,"template":"d/"}"#), (json!("2"), json!("20")));
    assert_eq!(node.memory.names(&bucket), ["e/3", "s-11", "z"]);
    assert_eq!(remove("{}").0, "3");
    assert!(node.memory.names(&bucket).is_empty());
    assert_eq!(remove("{}").0, "0");
    // By kind: the last; both names of a kind are known; none runs.
    for kind in ["delete-listrange", "delete-objects"] {
        let body = json!({"kind": kind, "show_active": false}).to_string();
        assert_ne!(node.json("GET /v1/cluster?what=status", &body)["end_time"], 0);
        assert_eq!(node.json("GET /v1/cluster?what=status_all", &body).as_array().unwrap().len(), 5);
    }
    assert_eq!(node.json("GET /v1/cluster?what=running_all", r#"{"kind":"","show_active":true}"#), json!([]));
    assert_eq!(node.json("GET /v1/cluster?what=status_all", r#"{"kind":"evict-objects"}"#), json!([]));
}

#[test]
fn copies_of_a_remote_bucket_are_evicted() {
    let node = Node::start();
    let bucket = aws("far");
    node.memory.at_origin(&bucket, &["a/1", "a/2"]);
    node.ok("HEAD /v1/buckets/far?provider=aws", "");
    ["a/1", "a/2", "b"].iter().for_each(|name| node.memory.put(&bucket, name, 1));
    let id = begin(&node, "far?provider=aws", "evict-listrange", r#"{"template":"a/"}"#);
    assert_eq!(wait(&node, &id)["kind"], "evict-listrange");
    assert_eq!(node.memory.names(&bucket), ["b"]);
    let (status, _) =
        node.get("DELETE /v1/buckets/far?provider=aws", &action("delete-listrange", r#"{"objnames":["b"]}"#));
    assert_eq!(status, 501);
}

#[test]
fn a_job_goes_on_after_a_restart_and_stops_when_told() {
    let node = Node::start();
    create(&node, "b");
    let bucket = ais("b");
    ["a", "b"].iter().for_each(|name| node.memory.put(&bucket, name, 1));
    node.memory.busy.store(true, Ordering::Relaxed);
    let id = begin(&node, "b?provider=ais", "delete-listrange", "{}");
    let running =
        |node: &Node| node.json("GET /v1/cluster?what=running_all", r#"{"kind":"","show_active":true}"#);
    assert_eq!(running(&node), json!([format!("delete-listrange[{id}]")]));
    let node = node.restarted();
    assert_eq!(running(&node), json!([format!("delete-listrange[{id}]")]));
    node.memory.busy.store(false, Ordering::Relaxed);
    assert_eq!(wait(&node, &id)["aborted"], false);
    assert!(node.memory.names(&bucket).is_empty());

    node.memory.put(&bucket, "stays", 1);
    node.memory.busy.store(true, Ordering::Relaxed);
    let id = begin(&node, "b?provider=ais", "delete-listrange", r#"{"objnames":["stays"]}"#);
    node.ok("PUT /v1/cluster", &action("stop", &json!({"ID": "other", "Kind": ""}).to_string()));
    assert_eq!(running(&node).as_array().unwrap().len(), 1);
    node.ok("PUT /v1/cluster", &action("stop", &json!({"ID": id, "Kind": "delete-objects"}).to_string()));
    let status = wait(&node, &id);
    assert_eq!((&status["aborted"], &status["err"]), (&json!(true), &json!("user abort")));
    assert_eq!(node.memory.names(&bucket), ["stays"]);
    let snaps = node.json("GET /v1/cluster?what=qryxstats", &by_id(&id));
    let snap = &snaps[node.handle.identity().target.as_str()][0];
    assert_eq!((&snap["aborted"], &snap["abort-err"]), (&json!(true), &json!("user abort")));
    // A bucket that goes takes its jobs along.
    let id = begin(&node, "b?provider=ais", "delete-listrange", r#"{"objnames":["stays"]}"#);
    node.ok("DELETE /v1/buckets/b?provider=ais", &action("destroy-bck", "null"));
    assert!(wait(&node, &id)["err"].as_str().unwrap().contains("was removed meanwhile"));
}

/// Begins a job of a kind; what it has done in the end.
fn started(node: &Node, value: &Value) -> (u64, u64) {
    let (status, id) = node.get("PUT /v1/cluster", &action("start", &value.to_string()));
    assert_eq!(status, 200, "{id}");
    assert_eq!(wait(node, &id)["err"], "");
    let snaps = node.json("GET /v1/cluster?what=qryxstats", &by_id(&id));
    let stats = &snaps[node.handle.identity().target.as_str()][0]["stats"];
    let number = |field: &str| stats[field].as_str().unwrap().parse().unwrap();
    (number("loc-objs"), number("loc-bytes"))
}

#[test]
fn what_was_not_read_for_longest_goes_first() {
    let node = Node::start();
    let (a, b) = (aws("a"), aws("b"));
    for bucket in [&a, &b] {
        node.memory.at_origin(bucket, &[]);
        node.ok(&format!("HEAD /v1/buckets/{}?provider=aws", bucket.name), "");
    }
    create(&node, "own");
    for i in 0..30 {
        node.memory.put_at(&a, &format!("{i:02}"), 10, 1000 + i);
        node.memory.put_at(&b, &format!("{i:02}"), 10, 2000 + i);
    }
    node.memory.put_at(&aws("a"), "lately", 1000, crate::now_ns());
    node.memory.put_at(&ais("own"), "never read", 1000, 1);
    let lru = json!({"Kind": "lru", "Bck": null, "Buckets": null});
    // The disk is filled by a quarter.
    assert_eq!(started(&node, &lru), (0, 0));
    let set = |low: u64, high: u64| {
        let space = json!({"space": {"cleanupwm": 1, "lowwm": low, "highwm": high}});
        node.ok("PUT /v1/cluster", &action("set-config", &space.to_string()));
    };
    set(20, 24);
    assert_eq!(started(&node, &lru), (5, 50));
    assert_eq!(node.memory.names(&a)[0], "05");
    let second = json!({"kind": "lru-eviction", "buckets": [{"name": "b", "provider": "aws"}]});
    assert_eq!(started(&node, &second), (5, 50));
    assert_eq!((&*node.memory.names(&a)[0], &*node.memory.names(&b)[0]), ("05", "05"));
    set(5, 10);
    assert_eq!(started(&node, &lru), (20, 200));
    set(1, 2);
    assert_eq!(started(&node, &lru).0, 24);
    assert_eq!(started(&node, &lru).0, 6);
    assert_eq!(started(&node, &lru).0, 0, "what was read lately stays");
    assert_eq!(node.memory.names(&a), ["lately"]);
    assert_eq!(node.memory.names(&ais("own")), ["never read"]);
    let own = json!({"kind": "lru", "bck": {"name": "own", "provider": "ais"}}).to_string();
    assert_eq!(node.get("PUT /v1/cluster", &action("start", &own)).0, 400);
    assert_eq!(node.get("PUT /v1/cluster", &action("start", r#"{"kind":"rechunk"}"#)).0, 501);
}

#[test]
fn leftovers_are_removed() {
    let node = Node::start();
    let files = [("1", 4096), ("2, in use", 8192), ("3", 0)];
    node.memory.work_files.lock().extend(files.map(|(name, bytes)| (name.to_owned(), bytes)));
    assert_eq!(started(&node, &json!({"kind": "cleanup"})), (2, 4096));
    assert_eq!(started(&node, &json!({"kind": "cleanup-store"})), (0, 0));
}

#[test]
fn room_is_made_where_a_disk_passes_the_high_watermark() {
    let node = Node::start();
    let (a, b, own, kept) = (aws("a"), aws("b"), ais("own"), ais("kept"));
    for bucket in [&a, &b] {
        node.memory.at_origin(bucket, &[]);
        node.ok(&format!("HEAD /v1/buckets/{}?provider=aws", bucket.name), "");
    }
    ["own", "kept"].into_iter().for_each(|name| create(&node, name));
    for i in 0..10 {
        for (n, bucket) in [&a, &b, &own, &kept].into_iter().enumerate() {
            node.memory.put_at(bucket, &format!("{i}"), 10, 1000 * i + n as u64);
        }
    }
    node.memory.put_at(&own, "lately", 10, crate::now_ns());
    for bucket in ["a?provider=aws", "own?provider=ais"] {
        let on = action("set-bprops", r#"{"lru":{"enabled":true}}"#);
        node.ok(&format!("PATCH /v1/buckets/{bucket}"), &on);
    }
    let config = json!({"lru": {"capacity_upd_time": "1s"}, "periodic": {"stats_time": "1s"}});
    node.ok("PUT /v1/cluster", &action("set-config", &config.to_string()));
    let jobs = |node: &Node| node.json("GET /v1/cluster?what=status_all", r#"{"kind":"lru"}"#);
    let flags = |node: &Node| {
        let flags = node.json("GET /v1/health?cii=true", "")["flags"].as_u64().unwrap();
        flags & (1 << 8 | 1 << 11 | 1 << 22 | 1 << 23)
    };
    assert_eq!((jobs(&node), flags(&node)), (json!([]), 0), "a quarter is used");
    // 91 of 100: two buckets give, by turns, what is above the low watermark.
    let space = json!({"space": {"cleanupwm": 50, "lowwm": 84, "highwm": 90}});
    node.ok("PUT /v1/cluster", &action("set-config", &space.to_string()));
    node.memory.used.store(660, Ordering::Relaxed);
    let begun = Instant::now();
    let job = loop {
        let all = jobs(&node);
        if all[0]["end_time"].as_u64().is_some_and(|end| end > 0) {
            break all[0].clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{all}");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((&job["err"], jobs(&node).as_array().unwrap().len()), (&json!(""), 1));
    let left = ["3", "4", "5", "6", "7", "8", "9"];
    assert_eq!(node.memory.names(&a), left[1..]);
    assert_eq!(node.memory.names(&own), [&left[..], &["lately"]].concat());
    assert_eq!((node.memory.names(&b).len(), node.memory.names(&kept).len()), (10, 10));
    assert_eq!(flags(&node), 1 << 11 | 1 << 23);
    let capacity = node.json("GET /v1/daemon?what=disk", "");
    assert_eq!(capacity["cs_err"], "mountpath /mp1 is above space.highwm");
    let metrics = String::from_utf8(node.ask("GET /metrics", "").body.to_vec()).unwrap();
    assert!(metrics.contains("weir_disk_fill{mountpath=\"/mp1\"} 1\n"), "{metrics}");
}
