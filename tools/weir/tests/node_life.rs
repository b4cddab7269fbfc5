//! `weir serve` as a process: where connections go, what a panic costs, and how it ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// What is not there after this never will be.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// A running node; killed when dropped.
struct Node {
    child: Child,
    port: u16,
    /// What it says on standard error; shown when a test fails.
    said: PathBuf,
}

impl Node {
    fn start(dir: &Path, shards: usize) -> Self {
        let port = free_port();
        let mut command = Command::new(WEIR);
        command
            .args(["serve", "--log", "error", "--shards", &shards.to_string()])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .arg("--dir")
            .arg(dir.join("node"))
            .arg("--mountpath")
            .arg(dir.join("mp1"))
            .env("WEIR_PLANTED", "panic");
        Self::run(command, port, dir)
    }

    fn run(mut command: Command, port: u16, dir: &Path) -> Self {
        let said = dir.join("said");
        // In a file: the panics that are asked for look like failures.
        let stderr = File::create(&said).unwrap();
        let child = command.stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
        let node = Self { child, port, said };
        until("the node is ready", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok_and(|s| Client::of(s).health())
        });
        node
    }

    fn client(&self) -> Client {
        Client::of(TcpStream::connect(("127.0.0.1", self.port)).unwrap())
    }

    fn terminate(&self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        until("it ends", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }
}

impl Drop for Node {
    #[expect(clippy::print_stdout, reason = "what a node said is shown with the test that fails")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(&self.said).unwrap_or_default());
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port outside the range that clients are given theirs from: nobody takes it before the node does.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 500) as u16 * 16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT_MAX, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One keep-alive connection.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// One answer: status, head, body.
    fn answer(&mut self) -> Option<(u16, String, Vec<u8>)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).ok()? == 0 {
                return None;
            }
        }
        let lower = head.to_ascii_lowercase();
        let length = lower.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.0.read_exact(&mut body).ok()?;
        Some((head.get(9..12)?.parse().ok()?, head, body))
    }

    fn ask(&mut self, line: &str, more: &str, body: &[u8]) -> Option<(u16, String, Vec<u8>)> {
        let head =
            format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{more}\r\n", body.len());
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).ok()?;
        self.answer()
    }

    fn status(&mut self, line: &str, body: &[u8]) -> Option<u16> {
        self.ask(line, "", body).map(|answer| answer.0)
    }

    fn health(&mut self) -> bool {
        self.status("GET /v1/health?prr=true", b"") == Some(200)
    }

    /// A counter of every shard.
    fn metric(&mut self, name: &str) -> Vec<u64> {
        let (_, _, body) = self.ask("GET /metrics", "", b"").unwrap();
        let text = String::from_utf8(body).unwrap();
        let lines = text.lines().filter(|l| l.starts_with(&format!("{name}{{")));
        lines.map(|l| l.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
    }
}

#[test]
fn connections_go_to_the_shard_with_the_fewest() {
    for shards in [1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path(), shards);
        let mut asking = node.client();
        for total in [2, 9, 40, 101] {
            let others: Vec<_> = (1..total).map(|_| node.client()).collect();
            let mut counts = Vec::new();
            until("every connection is counted", || {
                counts = asking.metric("weir_connections");
                counts.iter().sum::<u64>() == total
            });
            let spread = counts.iter().max().unwrap() - counts.iter().min().unwrap();
            assert!(counts.len() == shards && spread <= 1, "{total} connections: {counts:?}");
            drop(others);
            until("they are gone", || asking.metric("weir_connections").iter().sum::<u64>() == 1);
        }
    }
}

#[cfg(debug_assertions)]
#[test]
fn a_panic_costs_its_own_connection() {
    for shards in [1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::start(dir.path(), shards);
        let mut others: Vec<_> = (0..8).map(|_| node.client()).collect();
        assert_eq!(others[0].status("PUT /kept", b""), Some(200));
        for (n, other) in others.iter_mut().enumerate() {
            other.send(
                format!("PUT /kept/{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhal")
                    .as_bytes(),
            );
        }
        for panics in 1..=3 {
            let mut victim = node.client();
            assert!(victim.ask("GET /kept/0", "x-weir-planted: panic\r\n", b"").is_none(), "it was answered");
            assert!(node.client().health(), "not accepting");
            let count = || node.client().metric("weir_panics_total").iter().sum::<u64>();
            until("the panic is counted", || count() == panics);
        }
        for (n, other) in others.iter_mut().enumerate() {
            other.send(b"ves");
            assert_eq!(other.answer().map(|a| a.0), Some(200), "an upload beside the panics");
            assert_eq!(other.ask(&format!("GET /kept/{n}"), "", b"").unwrap().2, b"halves");
        }
        // The dead connections are given back to the balance.
        let mut asking = others.pop().unwrap();
        drop(others);
        until("all are counted out", || asking.metric("weir_connections").iter().sum::<u64>() == 1);
    }
}

#[test]
fn sigterm_answers_what_is_under_way() {
    for shards in [1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::start(dir.path(), shards);
        let mut idle = node.client();
        assert_eq!(idle.status("PUT /drained", b""), Some(200));
        let large = vec![7; 20 << 20];
        assert_eq!(idle.status("PUT /drained/large", &large), Some(200));
        let mut puts: Vec<_> = (0..8).map(|_| node.client()).collect();
        for (n, put) in puts.iter_mut().enumerate() {
            put.send(
                format!("PUT /drained/{n} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhal")
                    .as_bytes(),
            );
        }
        // Nobody takes these bytes yet, so the answer is under way for as long as we like.
        let mut get = node.client();
        get.send(b"GET /drained/large HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(!get.0.fill_buf().unwrap().is_empty());
        until("all are accepted", || idle.metric("weir_connections").iter().sum::<u64>() == 10);
        node.terminate();
        until("new connections are refused", || TcpStream::connect(("127.0.0.1", node.port)).is_err());
        for put in &mut puts {
            put.send(b"ves");
            assert_eq!(put.answer().map(|a| a.0), Some(200), "an upload under way is answered");
        }
        let (_, _, body) = get.answer().expect("a download under way is finished");
        assert!(body == large, "{} bytes of a download", body.len());
        assert!(node.ended().success());
        let again = Node::start(dir.path(), shards);
        assert_eq!(again.client().ask("GET /drained/3", "", b"").unwrap().2, b"halves");
    }
}

#[test]
fn a_drain_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("weir.toml");
    let port = free_port();
    let text = format!(
        "dir = {0:?}\nmountpaths = [{1:?}]\nlisten = \"127.0.0.1:{port}\"\ndrain_seconds = 1\nshards = 1\n",
        dir.path().join("node"),
        dir.path().join("mp1"),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(WEIR);
    command.args(["serve", "--log", "error", "--config"]).arg(&config);
    let mut node = Node::run(command, port, dir.path());
    assert_eq!(node.client().status("PUT /stuck", b""), Some(200));
    let mut stuck = node.client();
    stuck.send(b"PUT /stuck/o HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nhal");
    until("the upload is under way", || node.client().metric("weir_connections")[0] >= 1);
    node.terminate();
    assert!(node.ended().success());
    assert!(stuck.answer().is_none());
}
