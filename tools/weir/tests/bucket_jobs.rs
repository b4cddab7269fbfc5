//! Buckets that are copied and renamed over several targets, with their processes killed meanwhile.

mod nodes;

use std::process::Command;

use nodes::{Answer, Cluster, content, until};
use serde_json::{Value, json};

const OBJECTS: usize = 60;

fn post(cluster: &Cluster, from: &str, to: &str, verb: &str, value: &Value) -> Answer {
    let line = format!("POST /v1/buckets/{from}?provider=ais&bck_to=ais%2F%40%23%2F{to}%2F");
    cluster.of(0, &line, &[], json!({"action": verb, "value": value}).to_string().as_bytes())
}

/// Waits for a job; its status in the end, asked of any node that answers.
fn ended(cluster: &Cluster, through: usize, id: &str) -> Value {
    let body = json!({"ID": id}).to_string();
    until("the job ends", || {
        let answer = cluster.ask(through, "GET /v1/cluster?what=status", &[], body.as_bytes())?;
        let status: Value = serde_json::from_slice(&answer.body).ok()?;
        (status["end_time"].as_u64()? != 0).then_some(status)
    })
}

/// Objects and bytes of a job over all targets.
fn totals(cluster: &Cluster, id: &str) -> (u64, u64) {
    let body = json!({"ID": id}).to_string();
    let answer = cluster.of(0, "GET /v1/cluster?what=qryxstats", &[], body.as_bytes());
    let snaps: Value = serde_json::from_slice(&answer.body).unwrap();
    let of = |field: &str| -> u64 {
        let all = snaps.as_object().unwrap().values().flat_map(|snaps| snaps.as_array().unwrap());
        all.map(|snap| snap["stats"][field].as_str().unwrap().parse::<u64>().unwrap()).sum()
    };
    (of("loc-objs"), of("loc-bytes"))
}

fn body(i: usize) -> Vec<u8> {
    // Small ones, and some larger than a buffer.
    content(i as u64, if i % 20 == 7 { 700_000 + i } else { 100 + i })
}

fn fill(cluster: &Cluster, bucket: &str) -> u64 {
    let put = |i: usize| {
        let fields = ["x-amz-meta-k: v", "Content-Type: text/x"];
        let put = cluster.of(i % 3, &format!("PUT /s3/{bucket}/d/{i}"), &fields, &body(i));
        assert_eq!(put.status, 200, "{put:?}");
        body(i).len() as u64
    };
    (0..OBJECTS).map(put).sum()
}

fn check(cluster: &Cluster, bucket: &str, prefix: &str) {
    for i in 0..OBJECTS {
        let got = cluster.of(i % 3, &format!("GET /s3/{bucket}/{prefix}d/{i}"), &[], b"");
        assert!(got.status == 200 && got.body == body(i), "{i}: {}", got.head);
        assert_eq!((got.field("x-amz-meta-k"), got.field("content-type")), (Some("v"), Some("text/x")));
    }
}

#[test]
fn a_bucket_is_copied_over_targets_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "src");
    let bytes = fill(&cluster, "src");
    let id = post(&cluster, "src", "dst", "copy-bck", &json!({"prepend": "new/"})).text();
    let status = ended(&cluster, 0, &id);
    assert_eq!((&status["err"], &status["kind"]), (&json!(""), &json!("copy-bck")), "{status}");
    assert_eq!(totals(&cluster, &id), (OBJECTS as u64, bytes));
    check(&cluster, "dst", "new/");
    // What is there with the same content stays as it is. What has other content does not.
    let changed = cluster.of(0, "PUT /s3/dst/new/d/3", &[], b"other");
    assert_eq!(changed.status, 200, "{changed:?}");
    let id = post(&cluster, "src", "dst", "copy-bck", &json!({"prepend": "new/"})).text();
    assert_eq!(ended(&cluster, 0, &id)["err"], "");
    assert_eq!(totals(&cluster, &id), (OBJECTS as u64, bytes));
    check(&cluster, "dst", "new/");
    let (_, list, _) = weir(&cluster, &["ls", "ais://dst", "--props", "name,version", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    for entry in list.as_array().unwrap() {
        let times_written = if entry["name"] == "new/d/3" { "3" } else { "1" };
        assert_eq!(entry["version"], times_written, "{entry}");
    }
}

/// A client command; its exit status and standard output, and standard error in words of a failure.
fn weir(cluster: &Cluster, args: &[&str]) -> (i32, String, String) {
    let url = format!("http://127.0.0.1:{}", cluster.nodes[0].port);
    let output =
        Command::new(env!("CARGO_BIN_EXE_weir")).args(args).env("WEIR_ENDPOINT", url).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn jobs_are_shown_and_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "src");
    fill(&cluster, "src");
    let id = post(&cluster, "src", "dst", "copy-bck", &Value::Null).text();
    let (status, out, error) = weir(&cluster, &["wait", &id]);
    assert_eq!(status, 0, "{error}");
    assert!(
        out.starts_with(&format!("copy-bck {id}: {OBJECTS} objects")) && out.ends_with(": done\n"),
        "{out}"
    );
    let (_, out, _) = weir(&cluster, &["show", "job", &id]);
    assert!(out.contains("ais://src -> ais://dst") && out.matches("done").count() == 2, "{out}");
    let (_, out, _) = weir(&cluster, &["show", "job", "copy-bucket", "--all", "--json"]);
    let jobs: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&jobs[0]["id"], &jobs[0]["objects"]), (&json!(id), &json!(OBJECTS)));
    assert!(weir(&cluster, &["show", "job"]).1.contains("no job runs"));
    let (status, _, error) = weir(&cluster, &["show", "job", "nothing"]);
    assert!(status == 1 && error.contains("not found"), "{error}");
    assert_eq!(weir(&cluster, &["wait", "nothing"]).0, 1);
    // One that cannot end while a target is away.
    cluster.nodes[2].kill();
    let id = post(&cluster, "src", "never", "move-bck", &Value::Null).text();
    let (_, out, _) = weir(&cluster, &["wait", &id, "--timeout", "0"]);
    assert_eq!(out, "");
    let (status, _, error) = weir(&cluster, &["wait", &id, "--timeout", "0"]);
    assert!(status == 1 && error.contains("it goes on"), "{error}");
    let stop = json!({"action": "stop", "value": {"ID": id, "Kind": ""}}).to_string();
    assert_eq!(cluster.of(0, "PUT /v1/cluster", &[], stop.as_bytes()).status, 200);
    cluster.nodes[2].start();
    let (status, _, error) = weir(&cluster, &["wait", &id]);
    assert!(status == 1 && error.contains("user abort"), "{error}");
    assert!(weir(&cluster, &["show", "job", "--all"]).1.contains("aborted"));
}

#[test]
fn a_rename_goes_on_when_a_target_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "old");
    fill(&cluster, "old");
    // One target is away when it begins: its part, and copies that belong to it, wait for it.
    cluster.nodes[2].kill();
    let begun = post(&cluster, "old", "new", "move-bck", &Value::Null);
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = begun.text();
    until("a write is refused", || {
        let put = cluster.ask(0, "PUT /s3/old/late", &[], b"x")?;
        (put.status == 503).then_some(())
    });
    cluster.nodes[2].start();
    let status = ended(&cluster, 0, &id);
    assert_eq!((&status["err"], &status["aborted"]), (&json!(""), &json!(false)), "{status}");
    check(&cluster, "new", "");
    until("the old name is gone", || {
        (cluster.ask(0, "HEAD /v1/buckets/old?provider=ais", &[], b"")?.status == 404).then_some(())
    });
    until("the old name is free", || {
        let made = cluster.ask(0, "POST /v1/buckets/old?provider=ais", &[], br#"{"action":"create-bck"}"#)?;
        (made.status == 200).then_some(())
    });
    assert_eq!(cluster.of(1, "GET /s3/old/d/1", &[], b"").status, 404);
}
