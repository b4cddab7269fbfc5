//! The binary as a stranger uses it: a playground, and every client command against it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A running playground; killed when dropped.
struct Playground {
    child: Child,
    url: String,
    /// What it said until it was ready and had shown everything.
    banner: String,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn command(dir: &Path, port: u16) -> Command {
    let mut command = Command::new(WEIR);
    command.args(["playground", "--dir"]).arg(dir).args(["--port", &port.to_string(), "--shards", "1"]);
    command.stdin(Stdio::null());
    command
}

impl Playground {
    fn start(dir: &Path) -> Self {
        let port = free_port();
        let mut child = command(dir, port).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        while !banner.contains("Ctrl-C") {
            assert_ne!(out.read_line(&mut banner).unwrap(), 0, "it ended after:\n{banner}");
        }
        Self { child, url: format!("http://127.0.0.1:{port}"), banner }
    }

    fn weir(&self, args: &[&str]) -> Output {
        Command::new(WEIR).args(args).env("WEIR_ENDPOINT", &self.url).stdin(Stdio::null()).output().unwrap()
    }

    /// A command that succeeds; its standard output.
    fn ok(&self, args: &[&str]) -> String {
        let output = self.weir(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "weir {args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("weir {args:?}: {e}: {text}"))
    }

    /// A command that fails and says so with these words.
    fn fails(&self, args: &[&str], words: &str) {
        let output = self.weir(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(words), "weir {args:?}: {error}");
    }

    fn names(&self, uri: &str, more: &[&str]) -> Vec<String> {
        let list = self.json(&[&["ls", uri], more].concat());
        list.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Ctrl-C, and the exit it leads to.
    fn stop(mut self) {
        let sent =
            Command::new("sh").args(["-c", &format!("kill -INT {}", self.child.id())]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Playground {
    fn drop(&mut self) {
        // Nothing is left to kill after a stop.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_strangers_first_hour() {
    let dir = tempfile::tempdir().unwrap();
    let (home, work) = (dir.path().join("home"), dir.path().join("work"));
    fs::create_dir(&work).unwrap();
    let weir = Playground::start(&home);
    for words in ["cold, from the origin", "warm, from this node", "just now", &weir.url] {
        assert!(weir.banner.contains(words), "{words}: {}", weir.banner);
    }
    the_sample(&weir, &home, &work);
    buckets_and_objects(&weir, &work);
    directories_and_templates(&weir, &work);
    names_and_pipes(&weir);
    let second = command(&home, free_port()).output().unwrap();
    let error = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && error.contains("in use"), "{error}");
    weir.stop();

    let weir = Playground::start(&home);
    assert!(weir.banner.contains("when it was first read here"), "{}", weir.banner);
    assert_eq!(weir.ok(&["get", "ais://kept/o", "-"]), "kept");
    weir.stop();
}

fn the_sample(weir: &Playground, home: &Path, work: &Path) {
    assert_eq!(weir.names("s3://sample", &[]).len(), 32);
    assert_eq!(weir.names("s3://sample/shard-00", &[]).len(), 10);
    assert_eq!(
        weir.names("s3://sample", &["--limit", "3"]),
        ["shard-000.bin", "shard-001.bin", "shard-002.bin"]
    );
    let origin = fs::read(home.join("origin/sample/shard-003.bin")).unwrap();
    let copy = work.join("copy");
    weir.ok(&["get", "s3://sample/shard-003.bin", text(&copy)]);
    assert!(fs::read(&copy).unwrap() == origin);
    weir.ok(&["get", "s3://sample/shard-003.bin", text(&copy), "--range", "1000-1999"]);
    assert!(fs::read(&copy).unwrap() == origin[1000..2000]);

    assert_eq!(weir.json(&["evict", "s3://sample/shard-003.bin"])["evicted"], 1);
    let cached = weir.names("s3://sample", &["--cached"]);
    assert_eq!((cached.len(), cached.contains(&"shard-003.bin".to_owned())), (31, false));
    let facts = weir.json(&["head", "s3://sample/shard-003.bin"]);
    assert_eq!((&facts["size"], &facts["present"]), (&Value::from(2 << 20), &Value::from(false)));
    weir.ok(&["get", "s3://sample/shard-003.bin", text(&copy)]);
    assert!(fs::read(&copy).unwrap() == origin);
    assert_eq!(weir.names("s3://sample", &["--cached"]).len(), 32);
    weir.fails(&["get", "s3://sample/none", text(&copy)], "does not exist");
    // By prefix and as a whole: what is not here is not spoken of.
    assert_eq!(weir.json(&["evict", "-r", "s3://sample/shard-00"])["evicted"], 10);
    assert_eq!(weir.names("s3://sample", &["--cached"]).len(), 22);
    assert_eq!(weir.json(&["evict", "-r", "s3://sample"])["evicted"], 22);
    assert_eq!(weir.json(&["evict", "-r", "s3://sample"])["evicted"], 0);
    assert_eq!(weir.names("s3://sample", &["--cached"]).len(), 0);
    weir.fails(&["evict", "s3://sample"], "-r");
    assert_eq!(weir.names("s3://sample", &[]).len(), 32);
}

fn buckets_and_objects(weir: &Playground, work: &Path) {
    weir.ok(&["create", "ais://mine", "ais://kept", "--prop", "checksum.type=crc32c"]);
    weir.fails(&["create", "ais://mine"], "already exists");
    weir.ok(&["create", "ais://mine", "--exists-ok"]);
    assert!(weir.ok(&["ls"]).contains("ais://mine\n"));
    assert_eq!(weir.json(&["show", "bucket", "ais://mine", "checksum.type"])["checksum.type"], "crc32c");
    assert!(!weir.ok(&["show", "bucket", "ais://mine"]).contains("Renamed"));
    let map = weir.json(&["show", "cluster"]);
    assert!(map["proxy_si"]["daemon_id"].is_string(), "{map}");
    assert!(weir.ok(&["show", "cluster"]).contains("primary"));

    let file = work.join("kept.txt");
    fs::write(&file, "kept").unwrap();
    weir.ok(&["put", text(&file), "ais://kept/o"]);
    weir.ok(&["put", text(&file), "ais://mine/dir/"]);
    let facts = weir.json(&["head", "ais://mine/dir/kept.txt"]);
    assert_eq!((&facts["size"], &facts["checksum_type"]), (&Value::from(4), &Value::from("crc32c")));
    weir.ok(&["rm", "ais://mine/dir/kept.txt"]);
    weir.fails(&["rm", "ais://mine/dir/kept.txt"], "exist");
    weir.ok(&["rm", "-f", "ais://mine/dir/kept.txt"]);
    weir.fails(&["put", text(&file), "ais://nobody/o"], "does not exist");
    weir.fails(&["get", "ais://mine", text(work)], "-r");
    weir.fails(&["evict", "ais://mine/o"], "weir rm");
}

fn directories_and_templates(weir: &Playground, work: &Path) {
    let (from, to): (PathBuf, PathBuf) = (work.join("from"), work.join("to"));
    for (n, name) in ["a/1", "a/2", "b/c/3", "4"].iter().enumerate() {
        let path = from.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![n as u8; n * 300_000]).unwrap();
    }
    assert_eq!(weir.json(&["put", "-r", text(&from), "ais://mine/p/"])["objects"], 4);
    assert_eq!(weir.names("ais://mine/p/", &[]), ["p/4", "p/a/1", "p/a/2", "p/b/c/3"]);
    assert_eq!(weir.json(&["get", "-r", "ais://mine/p/", text(&to)])["bytes"], 1_800_000);
    for name in ["a/1", "a/2", "b/c/3", "4"] {
        assert!(fs::read(from.join(name)).unwrap() == fs::read(to.join("p").join(name)).unwrap(), "{name}");
    }
    let some = work.join("some");
    weir.ok(&["get", "ais://mine/p/a/{1..2}", text(&some)]);
    assert!(some.join("p/a/2").is_file());
    assert_eq!(weir.json(&["rm", "ais://mine/p/a/{1..2}"])["deleted"], 2);
    assert_eq!(weir.json(&["rm", "-r", "ais://mine/p/"])["deleted"], 2);
    assert!(weir.names("ais://mine", &[]).is_empty());
}

fn names_and_pipes(weir: &Playground) {
    for name in ["a b+c%2F&d=é", "~x?y#z"] {
        let uri = format!("ais://mine/{name}");
        let mut put = Command::new(WEIR);
        put.args(["put", "-", &uri])
            .env("WEIR_ENDPOINT", &weir.url)
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = put.spawn().unwrap();
        child.stdin.take().unwrap().write_all(name.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{name}");
        assert_eq!(weir.ok(&["get", &uri, "-"]), name);
        assert!(weir.names("ais://mine", &[]).contains(&name.to_owned()), "{name}");
    }
    weir.ok(&["rmb", "ais://mine"]);
    weir.fails(&["ls", "ais://mine"], "does not exist");
    weir.ok(&["rmb", "-f", "ais://mine"]);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let weir = Playground::start(dir.path());
    let mut ls = Command::new(WEIR);
    ls.args(["ls", "s3://sample"])
        .env("WEIR_ENDPOINT", &weir.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = ls.spawn().unwrap();
    drop(child.stdout.take());
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    assert!(child.wait().unwrap().success() && error.is_empty(), "{error}");
    weir.stop();
}
