//! A whole node in this process, and a client that says exactly what a test wants said.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use weir_node::{Node, NodeConfig, NodeError};

/// What has not come by then never will.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running node; stops when dropped.
pub(crate) struct Running {
    node: Option<Node>,
    pub(crate) addr: SocketAddr,
}

/// Status and body.
pub(crate) type Answer = (u16, String);

/// Starts a node in `dir` over `mountpaths` (directories in it).
pub(crate) fn start(
    dir: &Path,
    mountpaths: &[&str],
    change: impl FnOnce(&mut NodeConfig),
) -> Result<Running, NodeError> {
    let addr = free_address();
    let mut config = NodeConfig {
        dir: dir.join("node"),
        listen: addr,
        mountpaths: mountpaths.iter().map(|m| dir.join(m)).collect(),
        shards: 2,
        pin: false,
        spin_us: 0,
        buffers: 32,
        ..NodeConfig::default()
    };
    change(&mut config);
    Ok(Running { node: Some(Node::start(config)?), addr })
}

/// An address outside the range that clients are given theirs from: nobody takes it before the node does.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + (std::process::id() % 500) as u16 * 16;
    loop {
        let addr = SocketAddr::from(([127, 0, 0, 1], first + NEXT.fetch_add(1, Ordering::Relaxed)));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

impl Running {
    /// Stops it as a signal would.
    pub(crate) fn stop(mut self) {
        self.halt();
    }

    fn halt(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop(Duration::from_secs(5));
        }
    }

    /// Asks; `line` is method and target.
    pub(crate) fn ask(&self, line: &str, body: &[u8]) -> Answer {
        ask(self.addr, "localhost", line, body)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.halt();
    }
}

/// One request on a connection of its own.
pub(crate) fn ask(addr: SocketAddr, host: &str, line: &str, body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    let head = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    (head[9..12].parse().unwrap(), body.to_owned())
}
