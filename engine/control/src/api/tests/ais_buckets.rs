use std::sync::atomic::Ordering;

use super::memory::{ais, aws};
use super::{Node, action, sdk_reads};

fn create(node: &Node, name: &str) {
    node.ok(&format!("POST /v1/buckets/{name}?provider=ais"), &action("create-bck", "null"));
}

fn list(node: &Node, query: &str) -> Vec<String> {
    let buckets = node.json(&format!("GET /v1/buckets{query}"), &action("list", "null"));
    let name = |b: &serde_json::Value| {
        format!("{}://{}", b["provider"].as_str().unwrap(), b["name"].as_str().unwrap())
    };
    buckets.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn life_of_a_bucket() {
    let node = Node::start();
    assert_eq!(node.get("GET /v1/buckets?provider=ais", &action("list", "null")), (200, "[]".into()));
    create(&node, "b1");
    let (status, text) = node.get("POST /v1/buckets/b1?provider=ais", &action("create-bck", "null"));
    assert_eq!(status, 409);
    assert!(text.contains("ErrBucketAlreadyExists"), "{text}");
    assert_eq!(sdk_reads(&text), Some(("ais".into(), "b1".into(), false)));
    assert_eq!(list(&node, "?provider=ais"), ["ais://b1"]);

    let head = node.ask("HEAD /v1/buckets/b1?provider=ais", "");
    let props: serde_json::Value = serde_json::from_str(head.header("Ais-Bucket-Props").unwrap()).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(
        (props["provider"].as_str(), props["access"].as_str()),
        (Some("ais"), Some("18446744073709551615"))
    );

    node.memory.put(&ais("b1"), "o", 1);
    node.ok("DELETE /v1/buckets/b1?provider=ais", &action("destroy-bck", "null"));
    assert!(node.memory.names(&ais("b1")).is_empty());
    assert!(node.handle.view().bmd.get(&ais("b1")).is_none());
}

#[test]
fn missing_buckets_read_as_the_sdk_expects() {
    let node = Node::start();
    let listing = action("list", "{}");
    let destroy = action("destroy-bck", "null");
    let evict = action("evict-remote-bck", "null");
    for (request, body, bucket, tcode) in [
        ("GET /v1/buckets/none?provider=ais", listing.as_str(), ("ais", "none"), "ErrBckNotFound"),
        ("GET /v1/buckets/none?provider=aws", &listing, ("s3", "none"), "ErrRemoteBckNotFound"),
        ("DELETE /v1/buckets/none?provider=ais", &destroy, ("ais", "none"), "ErrBckNotFound"),
        ("DELETE /v1/buckets/none?provider=aws", &evict, ("s3", "none"), "ErrRemoteBckNotFound"),
        (
            "PATCH /v1/buckets/none?provider=ais",
            &action("set-bprops", "{}"),
            ("ais", "none"),
            "ErrBckNotFound",
        ),
        (
            "GET /v1/buckets/none?provider=ais",
            &action("summary-bck", "{}"),
            ("ais", "none"),
            "ErrBckNotFound",
        ),
    ] {
        let (status, text) = node.get(request, body);
        assert_eq!(status, 404, "{request}: {text}");
        assert_eq!(sdk_reads(&text), Some((bucket.0.into(), bucket.1.into(), false)), "{text}");
        assert!(text.contains(tcode), "{text}");
    }
    let head = node.ask("HEAD /v1/buckets/none?provider=ais", "");
    let error: serde_json::Value = serde_json::from_str(head.header("Hdr-Error").unwrap()).unwrap();
    assert_eq!((head.status, error["tcode"].as_str()), (404, Some("ErrBckNotFound")));
    assert!(head.body.is_empty());
}

#[test]
fn what_is_refused_and_how() {
    let node = Node::start();
    create(&node, "b1");
    for (request, body, status) in [
        ("POST /v1/buckets/v1?provider=ais", action("create-bck", "null"), 400),
        ("POST /v1/buckets/x?provider=aws", action("create-bck", "null"), 501),
        ("POST /v1/buckets/x?provider=gcp", action("create-bck", "null"), 501),
        ("POST /v1/buckets/none?provider=ais&bck_to=ais%2F%40%23%2Fb2%2F", action("move-bck", "null"), 404),
        ("POST /v1/buckets/b1?provider=ais", action("make-n-copies", "9"), 400),
        ("POST /v1/buckets/none?provider=ais", action("make-n-copies", "2"), 404),
        ("POST /v1/buckets/b1?provider=ais", action("nonsense", "null"), 400),
        ("DELETE /v1/buckets/b1?provider=ais", action("evict-remote-bck", "null"), 400),
        ("DELETE /v1/buckets/b1?provider=ais", action("delete-listrange", r#"{"objnames":[1]}"#), 400),
        (
            "DELETE /v1/buckets/b1?provider=ais",
            action("delete-listrange", r#"{"template":"{0..99999999}"}"#),
            400,
        ),
        ("DELETE /v1/buckets/b1?provider=ais", action("evict-listrange", r#"{"objnames":["a"]}"#), 400),
        ("DELETE /v1/buckets/b2?provider=ais", action("delete-listrange", r#"{"objnames":["a"]}"#), 404),
        (
            "PATCH /v1/buckets/b1?provider=ais",
            action("set-bprops", r#"{"mirror":{"enabled":true,"copies":9}}"#),
            400,
        ),
        ("PATCH /v1/buckets/b1?provider=ais", action("set-bprops", r#"{"checksum":{"type":"x"}}"#), 400),
        ("PATCH /v1/buckets/b1?provider=ais", "{".into(), 400),
    ] {
        let (got, text) = node.get(request, &body);
        assert_eq!(got, status, "{request} {body}: {text}");
    }
    assert_eq!(list(&node, "?provider=ais"), ["ais://b1"]);
}

#[test]
fn properties() {
    let node = Node::start();
    create(&node, "b1");
    let props = |node: &Node| -> serde_json::Value {
        let head = node.ask("HEAD /v1/buckets/b1?provider=ais", "");
        serde_json::from_str(head.header("Ais-Bucket-Props").unwrap()).unwrap()
    };
    let set = action(
        "set-bprops",
        r#"{"versioning":{"enabled":false},"checksum":{"type":"md5"},"durability":"relaxed"}"#,
    );
    node.ok("PATCH /v1/buckets/b1?provider=ais", &set);
    let after = props(&node);
    assert_eq!(after["checksum"]["type"], "md5");
    assert_eq!(
        (after["versioning"]["enabled"].as_bool(), after["durability"].as_str()),
        (Some(false), Some("relaxed"))
    );
    let node = node.restarted();
    assert_eq!(props(&node), after);
    node.ok("PATCH /v1/buckets/b1?provider=ais", &action("reset-bprops", "null"));
    assert_eq!(props(&node)["checksum"]["type"], "xxhash2");
    // What is kept and has no effect is not switched on; sending back all that is shown still works.
    for name in ["ec", "rate_limit\":{\"backend", "rate_limit\":{\"frontend"] {
        let ends = if name.contains('{') { "}}}" } else { "}}" };
        let on = action("set-bprops", &format!("{{\"{name}\":{{\"enabled\":true{ends}"));
        let (status, text) = node.get("PATCH /v1/buckets/b1?provider=ais", &on);
        assert!(status == 501 && text.contains("enable"), "{name}: {status} {text}");
    }
    let shown = props(&node);
    let all = shown.as_object().unwrap().iter().filter(|(name, _)| {
        !matches!(name.as_str(), "provider" | "Renamed" | "bid" | "created" | "backend_bck")
    });
    let all: serde_json::Map<_, _> = all.map(|(name, value)| (name.clone(), value.clone())).collect();
    node.ok(
        "PATCH /v1/buckets/b1?provider=ais",
        &action("set-bprops", &serde_json::Value::Object(all).to_string()),
    );
    assert_eq!(props(&node), shown);
    assert_eq!(props(&node)["bid"], after["bid"]);
}

#[test]
fn remote_buckets_are_taken_in_when_asked_for() {
    let node = Node::start();
    let remote = aws("data");
    node.memory.at_origin(&remote, &["a"]);
    let known = |node: &Node| node.handle.view().bmd.get(&remote).is_some();
    assert_eq!(list(&node, "?provider=ais"), Vec::<String>::new());
    assert_eq!(list(&node, "?provider=aws"), ["aws://data"]);
    assert_eq!(list(&node, "?provider="), ["aws://data"]);
    assert_eq!(list(&node, "?provider=aws&presence=2"), Vec::<String>::new());
    assert_eq!(list(&node, "?provider=aws&presence=5"), ["aws://data"]);
    assert_eq!(node.ask("HEAD /v1/buckets/data?provider=aws&presence=2", "").status, 404);
    assert_eq!(node.ask("HEAD /v1/buckets/data?provider=aws&dont_add_remote_bck_md=true", "").status, 200);
    assert!(!known(&node));
    assert_eq!(node.ask("HEAD /v1/buckets/data?provider=aws", "").status, 200);
    assert!(known(&node));
    assert_eq!(list(&node, "?provider=aws&presence=5"), Vec::<String>::new());
    assert_eq!(list(&node, "?provider=aws&presence=2"), ["aws://data"]);

    node.memory.put(&remote, "a", 10);
    let keep = "DELETE /v1/buckets/data?provider=aws&keep_bck_md=True";
    node.ok(keep, &action("evict-remote-bck", "null"));
    assert!(known(&node) && node.memory.names(&remote).is_empty());
    assert_eq!(node.get("DELETE /v1/buckets/data?provider=aws", &action("destroy-bck", "null")).0, 501);
    node.ok("DELETE /v1/buckets/data?provider=aws", &action("evict-remote-bck", "null"));
    assert!(!known(&node));

    node.memory.origin_down.store(true, Ordering::Relaxed);
    assert_eq!(node.ask("HEAD /v1/buckets/data?provider=aws", "").status, 502);
    assert_eq!(list(&node, "?provider="), Vec::<String>::new());
    node.ok("POST /v1/buckets/data?provider=aws&dont_head_remote_bck=true", &action("create-bck", "null"));
    assert!(known(&node));
}

/// Polls until the job is done, as clients do.
fn finished(ask: impl Fn() -> crate::ControlResponse) -> crate::ControlResponse {
    loop {
        let answer = ask();
        if answer.status != 202 {
            return answer;
        }
        std::thread::yield_now();
    }
}

#[test]
fn summaries() {
    let node = Node::start();
    create(&node, "b1");
    for (name, size) in [("a/1", 2), ("a/2", 4), ("b", 9)] {
        node.memory.put(&ais("b1"), name, size);
    }
    let begun =
        node.ask("GET /v1/buckets/b1?provider=ais", &action("summary-bck", r#"{"uuid":"","prefix":"a/"}"#));
    assert_eq!(begun.status, 202);
    let id = String::from_utf8(begun.body.to_vec()).unwrap();
    let poll = action("summary-bck", &format!(r#"{{"uuid":"{id}","prefix":"a/"}}"#));
    let done = finished(|| node.ask("GET /v1/buckets/b1?provider=ais", &poll));
    let summary: serde_json::Value = serde_json::from_slice(&done.body).unwrap();
    assert_eq!(done.status, 200);
    assert_eq!(summary[0]["ObjCount"]["obj_count_present"], "2");
    assert_eq!(
        summary[0]["ObjSize"],
        serde_json::json!({"obj_min_size": 2, "obj_avg_size": 3, "obj_max_size": 4})
    );
    assert_eq!(summary[0]["TotalSize"]["size_all_present_objs"], "6");
    assert_eq!(summary[0]["TotalSize"]["total_disks_size"], "2000");

    let remote = aws("data");
    node.memory.at_origin(&remote, &["x", "y", "z"]);
    node.memory.put(&remote, "x", 10);
    let begun = node.ask("HEAD /v1/buckets/data?provider=aws&presence=0&bsumm_remote=True", "");
    let id = begun.header("Ais-Xaction-Id").unwrap().to_owned();
    assert!(begun.status == 202 && begun.header("Ais-Bucket-Props").is_some());
    let poll = format!("HEAD /v1/buckets/data?provider=aws&presence=0&bsumm_remote=True&uuid={id}");
    let done = finished(|| node.ask(&poll, ""));
    let summary: serde_json::Value = serde_json::from_str(done.header("Ais-Bucket-Summ").unwrap()).unwrap();
    assert_eq!((done.status, done.header("Ais-Xaction-Id")), (200, Some(id.as_str())));
    assert_eq!(summary["ObjCount"], serde_json::json!({"obj_count_present": "1", "obj_count_remote": "2"}));
    let unknown = action("summary-bck", r#"{"uuid":"kN3lq0Yx9"}"#);
    assert_eq!(node.get("GET /v1/buckets/b1?provider=ais", &unknown).0, 404);
}
