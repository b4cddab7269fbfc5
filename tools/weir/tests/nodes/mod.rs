//! Real processes of one cluster on loopback, and requests to them byte for byte.

#![allow(dead_code, reason = "each test uses what it needs")]

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

pub(crate) const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// What is not there after this never will be.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Ports that nobody has at the moment, one after the other, outside the range that clients are given theirs from.
pub(crate) fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 15_000 + (std::process::id() % 90) as u16 * 100;
    loop {
        let first = base + NEXT.fetch_add(count, Ordering::Relaxed);
        if (first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return first;
        }
    }
}

/// Looks until there is something to see.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What came back, as far as it came.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Of all that a connection gave until it ended; `None` if that holds no head.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut bytes = bytes;
        loop {
            let at = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
            let head = String::from_utf8_lossy(bytes.get(..at)?).into_owned();
            let body = bytes.get(at + 4..)?;
            let status = head.get(9..12)?.parse().ok()?;
            if status != 100 {
                return Some(Self { status, head, body: body.to_vec() });
            }
            bytes = body;
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Whether all came that was announced.
    pub(crate) fn is_whole(&self) -> bool {
        self.field("content-length").and_then(|n| n.parse().ok()) == Some(self.body.len())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A request's head: `line` is method and target, each of `fields` a whole line.
pub(crate) fn head(line: &str, fields: &[&str]) -> String {
    let mut head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    fields.iter().for_each(|field| head.extend([field, "\r\n"]));
    head + "\r\n"
}

pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(WAIT_MAX))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection of its own; `None` if nobody answers.
pub(crate) fn ask(port: u16, line: &str, fields: &[&str], body: &[u8]) -> Option<Answer> {
    let length = format!("Content-Length: {}", body.len());
    let mut stream = connect(port).ok()?;
    stream.write_all(head(line, &[fields, &[&length]].concat()).as_bytes()).ok()?;
    // Who refuses before the end of the body may have answered already.
    let _ = stream.write_all(body);
    let mut bytes = Vec::new();
    // A connection that breaks gives what came before.
    let _ = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

/// One node of a cluster.
pub(crate) struct Node {
    dir: PathBuf,
    arguments: Vec<String>,
    pub(crate) port: u16,
    pub(crate) child: Option<Child>,
}

impl Node {
    /// With a directory and a mountpath of its own under `dir`; its ports are the public one and those for peers: control, data.
    pub(crate) fn new(
        dir: &Path,
        name: &str,
        role: &str,
        ports: [u16; 3],
        seeds: &[u16],
        secret: &Path,
    ) -> Self {
        let dir = dir.join(name);
        fs::create_dir_all(dir.join("node")).unwrap();
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut arguments: Vec<String> = vec!["--role".into(), role.into()];
        for (flag, port) in ["--listen", "--intra-control", "--intra-data"].into_iter().zip(ports) {
            arguments.extend([flag.to_owned(), at(port)]);
        }
        seeds.iter().for_each(|seed| arguments.extend(["--seed".to_owned(), at(*seed)]));
        arguments.extend(["--join-secret".into(), secret.display().to_string()]);
        if role == "target" {
            let mountpath = dir.join("mp1");
            fs::create_dir_all(&mountpath).unwrap();
            arguments.extend(["--mountpath".into(), mountpath.display().to_string()]);
        }
        Self { dir, arguments, port: ports[0], child: None }
    }

    /// Has it ask for a token, by a key that all nodes know.
    fn guard(&mut self) {
        let config = self.dir.join("weir.toml");
        fs::write(&config, "[auth]\ntokens = true\n").unwrap();
        self.arguments.extend(["--config".into(), config.display().to_string()]);
        let mut key = fs::File::options();
        let key = key.create_new(true).write(true).mode(0o600).open(self.dir.join("node/token.key"));
        key.unwrap().write_all(b"the key of tokens, known to every node").unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(WEIR);
        command.args(["serve", "--no-pin", "--shards", "1", "--log", "error", "--dir"]);
        command.arg(self.dir.join("node")).args(&self.arguments).stdin(Stdio::null());
        command
    }

    /// One more mountpath, from the next start on.
    pub(crate) fn also(&mut self, name: &str) {
        let mountpath = self.dir.join(name);
        fs::create_dir_all(&mountpath).unwrap();
        self.arguments.extend(["--mountpath".into(), mountpath.display().to_string()]);
    }

    /// Files of that directory may become objects, from the next start on.
    pub(crate) fn promotes(&mut self, dir: &Path) {
        self.arguments.extend(["--promote-dir".into(), dir.display().to_string()]);
    }

    pub(crate) fn start(&mut self) {
        self.child = Some(self.command().spawn().unwrap());
    }

    /// What it says when it is started and ends by itself.
    pub(crate) fn refusal(&mut self) -> String {
        let output = self.command().stderr(Stdio::piped()).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal: by `STOP` it stands still, and by `CONT` goes on; for itself no time has passed.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
        if name == "STOP" {
            // One thread takes the signal and stops the others; until it runs, they go on.
            until("it stands still", || threads_states(&id).iter().all(|s| *s == 'T').then_some(()));
        }
    }

    /// Bytes of what is on its way into objects.
    pub(crate) fn under_way(&self) -> u64 {
        let entries = fs::read_dir(self.dir.join("mp1/%wk")).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum()
    }
}

/// Of all threads of a process, the states that proc(5) names.
fn threads_states(id: &str) -> Vec<char> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // Behind the name, which may hold anything, in parentheses.
    stats.filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next()).collect()
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Gateways, then targets.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    pub(crate) gateways: usize,
    /// The credential of its operator, as a line of a head; none where everybody is let in.
    pub(crate) bearer: Option<String>,
}

impl Cluster {
    /// With targets of one mountpath.
    pub(crate) fn start(dir: &Path, gateways: usize, targets: usize, guarded: bool) -> Self {
        Self::start_with(dir, gateways, targets, guarded, &[])
    }

    /// With targets that have these mountpaths, too.
    pub(crate) fn start_with(
        dir: &Path,
        gateways: usize,
        targets: usize,
        guarded: bool,
        mountpaths: &[&str],
    ) -> Self {
        let all = (gateways + targets) as u16;
        let first = free_ports(3 * all);
        let secret = dir.join("secret");
        fs::write(&secret, "the secret of this cluster\n").unwrap();
        let seeds: Vec<u16> = (0..gateways as u16).map(|i| first + all + i).collect();
        let nodes = (0..all).map(|i| {
            let role = if usize::from(i) < gateways { "gateway" } else { "target" };
            let ports = [first + i, first + all + i, first + 2 * all + i];
            Node::new(dir, &format!("n{i}"), role, ports, &seeds, &secret)
        });
        let mut cluster = Self { nodes: nodes.collect(), gateways, bearer: None };
        for target in cluster.nodes.iter_mut().skip(gateways) {
            mountpaths.iter().for_each(|mountpath| target.also(mountpath));
        }
        if guarded {
            cluster.nodes.iter_mut().for_each(Node::guard);
            let key = cluster.nodes[0].dir.join("node/token.key");
            let token = Command::new(WEIR).args(["token", "--key-file"]).arg(key).output().unwrap();
            assert!(token.status.success(), "{token:?}");
            let token = String::from_utf8(token.stdout).unwrap();
            cluster.bearer = Some(format!("Authorization: Bearer {}", token.trim()));
        }
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.agreed(None);
        cluster
    }

    /// A request to a node with the operator's credential.
    pub(crate) fn ask(&self, node: usize, line: &str, fields: &[&str], body: &[u8]) -> Option<Answer> {
        let bearer: Vec<&str> = self.bearer.as_deref().into_iter().collect();
        ask(self.nodes[node].port, line, &[fields, &bearer].concat(), body)
    }

    /// The same of a node that is there.
    pub(crate) fn of(&self, node: usize, line: &str, fields: &[&str], body: &[u8]) -> Answer {
        self.ask(node, line, fields, body).unwrap_or_else(|| panic!("no answer of n{node} to {line}"))
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|i| self.nodes[*i].child.is_some())
    }

    /// Waits until all that run are ready and have one map with everybody on it, all targets there, all gateways voting (of an
    /// even number all but one), and a leader that is not `not`; that map.
    pub(crate) fn agreed(&self, not: Option<&str>) -> Value {
        until("one map everywhere", || {
            let mut maps = Vec::new();
            let voters = format!("weir_raft_voters {}", (self.gateways - 1) | 1);
            for node in self.running() {
                let figures = self.ask(node, "GET /metrics", &[], b"").filter(Answer::is_whole)?;
                if node < self.gateways && !figures.text().lines().any(|line| line == voters) {
                    return None;
                }
                let ready = self.ask(node, "GET /v1/health?prr=true", &[], b"")?;
                let map = self.ask(node, "GET /v1/daemon?what=smap", &[], b"").filter(Answer::is_whole)?;
                if (ready.status, map.status) != (200, 200) {
                    return None;
                }
                maps.push(serde_json::from_slice::<Value>(&map.body).unwrap());
            }
            let first = maps.first()?.clone();
            let count = |name: &str| first[name].as_object().unwrap().len();
            let here = |name: &str| {
                first[name].as_object().unwrap().values().all(|n| n["flags"].as_u64().unwrap_or(0) == 0)
            };
            let whole = (count("pmap"), count("tmap")) == (self.gateways, self.nodes.len() - self.gateways);
            let led = not != first["proxy_si"]["daemon_id"].as_str();
            (whole && led && here("tmap") && maps.iter().all(|m| *m == first)).then_some(first)
        })
    }

    /// Makes a bucket through a node, tried again while it answers 503; then everybody that runs has it.
    pub(crate) fn create(&self, through: usize, bucket: &str) {
        let line = format!("POST /v1/buckets/{bucket}?provider=ais");
        until("a bucket is made", || {
            let answer = self.ask(through, &line, &[], br#"{"action":"create-bck"}"#)?;
            assert!([200, 409, 503].contains(&answer.status), "{answer:?}");
            (answer.status != 503).then_some(())
        });
        for node in self.running() {
            let has = self.of(node, &format!("HEAD /v1/buckets/{bucket}?provider=ais"), &[], b"");
            assert_eq!(has.status, 200, "{bucket} at n{node}");
        }
    }

    /// The node that owns a name, by where the first gateway sends clients.
    pub(crate) fn owner(&self, bucket: &str, name: &str) -> usize {
        let line = format!("GET /v1/objects/{bucket}/{name}?provider=ais");
        let answer = self.of(0, &line, &[], b"");
        let to = answer.field("location").unwrap_or_else(|| panic!("no redirect: {answer:?}"));
        let owns = |node: &Node| to.starts_with(&format!("http://127.0.0.1:{}/", node.port));
        self.nodes.iter().position(owns).unwrap_or_else(|| panic!("{to} is no node"))
    }

    /// A name that a node owns, and a target that does not own it.
    pub(crate) fn name_of(&self, bucket: &str, owner: usize) -> String {
        (0..).map(|i| format!("o{i}")).find(|name| self.owner(bucket, name) == owner).unwrap()
    }
}

/// Bytes that differ from place to place.
pub(crate) fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// A body in S3's unsigned chunks of at most `piece` bytes, with a trailer; and the fields that go with it.
pub(crate) fn aws_chunked(body: &[u8], piece: usize, crc32: u32) -> (Vec<u8>, Vec<String>) {
    let mut out = Vec::new();
    for chunk in body.chunks(piece) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nx-amz-checksum-crc32:");
    out.extend_from_slice(base64(&crc32.to_be_bytes()).as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    let fields = vec![
        "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER".to_owned(),
        "x-amz-trailer: x-amz-checksum-crc32".to_owned(),
        "Content-Encoding: aws-chunked".to_owned(),
        format!("x-amz-decoded-content-length: {}", body.len()),
    ];
    (out, fields)
}

/// CRC-32 as zip has it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, bytes) as u32
}

/// As the trailers of S3 have it.
pub(crate) fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
