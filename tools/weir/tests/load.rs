//! `weir load` against a real node: what it counts, what its report looks like, and that verifying finds a wrong byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// What is not there after this never will be.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A running node with the bucket `b`; killed when dropped.
struct Node {
    child: Child,
    port: u16,
}

impl Node {
    fn start(dir: &Path) -> Self {
        let port = free_port();
        let child = Command::new(WEIR)
            .args(["serve", "--log", "error", "--shards", "1", "--listen", &format!("127.0.0.1:{port}")])
            .arg("--dir")
            .arg(dir.join("node"))
            .arg("--mountpath")
            .arg(dir.join("mp1"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let node = Self { child, port };
        let begun = Instant::now();
        while !node.weir(&["create", "ais://b"]).status.success() {
            assert!(begun.elapsed() < WAIT_MAX, "the node takes a bucket");
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn weir(&self, args: &[&str]) -> Output {
        Command::new(WEIR).args(args).env("WEIR_ENDPOINT", self.url()).stdin(Stdio::null()).output().unwrap()
    }

    /// `weir load` with a JSON report: exit status and report.
    fn load(&self, line: &str) -> (i32, Value) {
        load(&self.url(), line)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn load(url: &str, line: &str) -> (i32, Value) {
    let args = line.split(' ').filter(|a| !a.is_empty());
    let out = Command::new(WEIR)
        .arg("load")
        .args(args)
        .args(["--endpoint", url, "--json", "-"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{line}: {e}: {text}{}", String::from_utf8_lossy(&out.stderr)));
    (out.status.code().unwrap(), report)
}

/// A port outside the range that clients are given theirs from: nobody takes it before the node does.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 28_000 + (std::process::id() % 250) as u16 * 16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_report_has_the_shape_that_its_readers_know() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let pid = node.child.id().to_string();
    let line = format!(
        "put --bucket b --size 4KiB --names 50 --operations 50 --order sequential --server-pid {pid}"
    );
    let (status, report) = node.load(&line);
    assert_eq!(status, 0, "{report}");
    for field in ["seconds", "requests_per_second", "gib_per_second", "softirq_seconds"] {
        assert!(report[field].is_f64(), "{field}: {report}");
    }
    for field in ["p50", "p90", "p99", "p999", "max", "mean"] {
        assert!(report["latency_us"][field].as_f64().unwrap() > 0.0, "{field}: {report}");
    }
    let expected = serde_json::json!({ "mode": "put", "api": "ais", "size": "4KiB", "connections": 16, "threads": 1,
        "requests": 50, "errors": 0, "bytes": 50 * 4096 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(report[field], *value, "{field}: {report}");
    }
    let loader = &report["loader"];
    assert!(loader["cpu_seconds"].is_f64() && loader["busiest_thread"].is_f64(), "{loader}");
    assert!(loader["loader_bound"].is_boolean(), "{loader}");
    let server = &report["server"][0];
    assert_eq!(server["pid"].to_string(), pid);
    for field in ["cpu_seconds", "cpu_us_per_request", "cpu_seconds_per_gib"] {
        assert!(server[field].is_f64(), "{field}: {server}");
    }
    let rows = report["per_second"].as_array().unwrap();
    assert_eq!(rows.iter().map(|r| r["requests"].as_u64().unwrap()).sum::<u64>(), 50, "{report}");
}

#[test]
fn a_stream_takes_no_more_than_its_rate() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let line = "get --bucket b --size 1MiB --names 1 --prefill --operations 2 --connections 1 --verify --stream-rate 4MiB";
    let (status, report) = node.load(line);
    assert_eq!((status, &report["requests"]), (0, &2.into()), "{report}");
    // The first turn's bytes are free: of the rest each takes its time.
    assert!(report["latency_us"]["p50"].as_f64().unwrap() > 200_000.0, "{report}");
    assert_eq!(report["arrived_bytes"], 2 << 20, "{report}");
}

#[test]
fn what_came_of_an_answer_that_does_not_end_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let sizes = "--bucket b --size 8MiB --names 1 --connections 1";
    let (status, report) = node.load(&format!("put {sizes} --operations 1"));
    assert_eq!(
        (status, &report["requests"], &report["arrived_bytes"]),
        (0, &1.into(), &0.into()),
        "{report}"
    );
    let (_, report) = node.load(&format!("get {sizes} --duration 1s --stream-rate 1MiB"));
    let arrived = |row: &Value| row["arrived_bytes"].as_u64().unwrap();
    assert_eq!(report["bytes"], 0, "{report}");
    assert!((1..8 << 20).contains(&arrived(&report)), "{report}");
    let rows = report["per_second"].as_array().unwrap();
    assert_eq!(rows.iter().map(arrived).sum::<u64>(), arrived(&report), "{report}");
}

#[test]
fn every_mode_and_api_reads_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let check = |line: &str| {
        let (status, report) = node.load(line);
        assert_eq!((status, &report["errors"]), (0, &0.into()), "{line}: {report}");
        assert!(report["requests"].as_u64().unwrap() > 0, "{line}: {report}");
    };
    let set = "--bucket b --size 1KiB-300KiB --names 40 --operations 80 --connections 6 --threads 2 --seed 5";
    check(&format!("put {set} --order sequential"));
    for api in ["ais", "s3"] {
        check(&format!("get {set} --verify --api {api}"));
        check(&format!("range {set} --verify --api {api} --range-size 10000"));
        check(&format!("mixed {set} --verify --api {api} --write-share 50%"));
        check(&format!("list {set} --api {api} --page 10"));
    }
    check(
        "get --bucket b --size 4KiB:1,8KiB:1 --names 30 --prefill --order zipf --rate 2000 --duration 300ms --verify",
    );
    let (status, report) = node.load("get --bucket b --names 5 --seed 77 --operations 10");
    assert_eq!((status, &report["requests"], &report["errors"]), (1, &0.into(), &10.into()), "{report}");
    let kind = &report["errors_by_kind"][0];
    assert_eq!((&kind["kind"], &kind["count"]), (&"status 404".into(), &10.into()), "{report}");
    assert!(kind["first"].as_str().unwrap().contains("load-77/0000000"), "{report}");
}

#[test]
fn a_planted_wrong_byte_is_found_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let set = "--bucket b --size 64KiB --names 8 --order sequential --operations 8 --connections 2";
    assert_eq!(node.load(&format!("put {set}")).0, 0);
    assert_eq!(node.load(&format!("get {set} --verify")).0, 0);
    // The node's own copy goes through its checksums, so the byte is changed by a client that writes it as content.
    let object = "ais://b/load-1/00000003";
    let file = dir.path().join("object");
    assert!(node.weir(&["get", object, file.to_str().unwrap()]).status.success());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[50_000] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();
    assert!(node.weir(&["put", file.to_str().unwrap(), object]).status.success());
    // Who does not look sees nothing.
    assert_eq!(node.load(&format!("get {set}")).0, 0);
    let (status, report) = node.load(&format!("get {set} --verify"));
    assert_eq!((status, &report["requests"], &report["errors"]), (1, &7.into(), &1.into()), "{report}");
    let error = &report["errors_by_kind"][0];
    assert_eq!(error["kind"], "content", "{report}");
    let first = error["first"].as_str().unwrap();
    assert!(first.contains("load-1/00000003") && first.contains("at byte 50000"), "{first}");
}

#[test]
fn a_gateway_redirects_and_every_request_asks_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let gateway = format!("http://{}", listener.local_addr().unwrap());
    let target = node.url();
    let (sender, seen) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sender, target) = (sender.clone(), target.clone());
            std::thread::spawn(move || redirect_all(stream, &target, &sender));
        }
    });
    let set = "--bucket b --size 20000 --names 12 --order sequential --operations 12 --connections 2";
    for line in [format!("put {set}"), format!("get {set} --verify")] {
        let (status, report) = load(&gateway, &line);
        assert_eq!((status, &report["requests"]), (0, &12.into()), "{line}: {report}");
    }
    let lines: Vec<String> = seen.try_iter().collect();
    let asked = |method: &str| lines.iter().filter(|l| l.starts_with(method)).count();
    assert_eq!((asked("PUT "), asked("GET ")), (12, 12), "{lines:?}");
    // None of the bodies went to the gateway.
    assert!(!lines.iter().any(|l| l.contains("body")), "{lines:?}");
}

/// A gateway for one connection: every request goes to the target, and its line to the sender.
fn redirect_all(mut stream: TcpStream, target: &str, seen: &std::sync::mpsc::Sender<String>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut line, mut expects, mut length) = (String::new(), false, 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut field = String::new();
        while reader.read_line(&mut field).unwrap_or(0) > 2 {
            expects |= field.contains("100-continue");
            length = field.strip_prefix("Content-Length: ").map_or(length, |n| n.trim().parse().unwrap());
            field.clear();
        }
        if length > 0 && !expects {
            let mut body = vec![0; length];
            line = format!("{} with a body: {}", line.trim(), reader.read_exact(&mut body).is_ok());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let code = if line.starts_with("GET") { 301 } else { 307 };
        seen.send(line).unwrap();
        let answer = format!(
            "HTTP/1.1 {code} Moved\r\nLocation: {target}{path}&pid=gw&utm=1\r\nContent-Length: 0\r\n\r\n"
        );
        if stream.write_all(answer.as_bytes()).is_err() || expects {
            return;
        }
    }
}

#[test]
fn ctrl_c_ends_with_the_report_of_what_ran() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let path = dir.path().join("report.json");
    let mut child = Command::new(WEIR)
        .args(["load", "put", "--bucket", "b", "--size", "4KiB", "--names", "10", "--duration", "1h"])
        .args(["--endpoint", &node.url(), "--json", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Once an object is there, requests run.
    let begun = Instant::now();
    while !node.weir(&["head", "ais://b/load-1/00000000"]).status.success() {
        assert!(begun.elapsed() < WAIT_MAX, "an object is written");
    }
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(report["interrupted"], true, "{report}");
    assert!(
        report["requests"].as_u64().unwrap() > 0 && report["seconds"].as_f64().unwrap() < 3600.0,
        "{report}"
    );
}

#[test]
fn nobody_there_is_said_before_anything_runs() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let out = Command::new(WEIR).args(["load", "get", "--bucket", "b", "--endpoint", &url]).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(!out.status.success() && error.contains(&url), "{error}");
}

#[test]
fn the_litmus_profile_compares_two_clusters_in_one_report() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, second) = (Node::start(one.path()), Node::start(two.path()));
    let page = one.path().join("report.html");
    let out = Command::new(WEIR)
        .args(["load", "litmus", "--bucket", "b", "--group", &first.url()])
        .args(["--group", &format!("{},{}", first.url(), second.url())])
        .args(["--ram", "1M", "--capacity", "10M", "--scale", "0.1", "--verify", "--connections", "8"])
        .args(["--duration", "300ms", "--warmup", "100ms", "--json", "-", "--html", page.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).unwrap();
    let clusters = report["clusters"].as_array().unwrap();
    assert_eq!(clusters.len(), 2);
    for (cluster, nodes) in clusters.iter().zip([1_u64, 2]) {
        assert_eq!(cluster["nodes"], nodes, "{report}");
        // The greater of 60 % of 10 MiB and 5 times 1 MiB, for each node.
        assert_eq!(cluster["required_bytes"], nodes * 6 * (1 << 20), "{report}");
        let names = cluster["names"].as_u64().unwrap();
        assert!((95 * nodes..=110 * nodes).contains(&names), "{report}");
        let phases = cluster["phases"].as_array().unwrap();
        let mixes: Vec<_> = phases.iter().map(|p| p["mix"].as_str().unwrap()).collect();
        assert_eq!(mixes, ["100/0", "80/20", "50/50"]);
        assert_eq!(phases[0]["report"]["requests"], names, "{report}");
        assert!(phases.iter().all(|p| p["report"]["errors"] == 0), "{report}");
    }
    assert_eq!(report["scaling"].as_array().unwrap().len(), 3, "{report}");
    assert!(report["notes"][0].as_str().unwrap().contains("10 %"), "{report}");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("2 nodes, 50/50 write/read") && page.matches("<svg").count() >= 7, "{page}");
    assert!(!page.contains("http-equiv") && !page.contains("<script") && !page.contains("src="), "{page}");
}

#[test]
fn plain_http_reads_what_a_prefix_of_the_path_leads_to() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path());
    let set = "--size 10000 --names 10 --operations 20 --order sequential";
    assert_eq!(node.load(&format!("put --bucket b {set}")).0, 0);
    let (status, report) =
        load(&format!("{}/v1/objects/b", node.url()), &format!("get --api http {set} --verify"));
    assert_eq!((status, &report["requests"]), (0, &20.into()), "{report}");
}
