//! A node in this process, and a client that keeps its connection and allocates nothing once it is warm.
#![allow(dead_code, reason = "each test uses some of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use weir_node::{Node, NodeConfig};

/// What has not come by then never will.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A running node over one or more directories; stops when dropped.
pub(crate) struct Running {
    node: Option<Node>,
    pub(crate) addr: SocketAddr,
}

/// Starts a node in `dir`, its mountpaths beneath it.
pub(crate) fn start(dir: &Path, mountpaths: usize, shards: usize) -> Running {
    for _ in 0..20 {
        let addr = free_address();
        let config = NodeConfig {
            dir: dir.join("node"),
            listen: addr,
            mountpaths: (0..mountpaths).map(|m| dir.join(format!("mp{m}"))).collect(),
            shards,
            pin: false,
            spin_us: 0,
            buffers: 32,
            ..NodeConfig::default()
        };
        match Node::start(config) {
            Ok(node) => return Running { node: Some(node), addr },
            // Somebody took the address meanwhile.
            Err(error) if error.to_string().contains("in use") => {}
            Err(error) => panic!("the node does not start: {error}"),
        }
    }
    panic!("no free address");
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop(Duration::from_secs(5));
        }
    }
}

impl Running {
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr)
    }
}

/// One connection.
pub(crate) struct Client {
    addr: SocketAddr,
    stream: TcpStream,
    out: Vec<u8>,
    head: Vec<u8>,
    /// Body of the last answer.
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        Self { addr, stream: stream(addr), out: Vec::new(), head: Vec::new(), body: Vec::new() }
    }

    /// Sends a request (`line` is method and target, `fields` whole header lines) and reads the answer; its status.
    pub(crate) fn ask(&mut self, line: &str, fields: &str, body: &[u8]) -> u16 {
        self.out.clear();
        write!(self.out, "{line} HTTP/1.1\r\nHost: localhost\r\n{fields}").unwrap();
        if !body.is_empty() {
            write!(self.out, "Content-Length: {}\r\n", body.len()).unwrap();
        }
        self.out.extend_from_slice(b"\r\n");
        self.out.extend_from_slice(body);
        self.stream.write_all(&self.out).unwrap();
        self.answer(line.starts_with("HEAD"))
    }

    fn answer(&mut self, of_head: bool) -> u16 {
        self.head.clear();
        self.body.clear();
        let mut piece = [0u8; 16 << 10];
        let end = loop {
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the connection ended before the answer: {}", String::from_utf8_lossy(&self.head));
            self.head.extend_from_slice(&piece[..n]);
            if let Some(end) = self.head.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
        };
        self.body.extend_from_slice(&self.head[end..]);
        self.head.truncate(end);
        let length = self.field("content-length").map_or(0, |v| v.parse().unwrap());
        let length = if of_head { 0 } else { length };
        while self.body.len() < length {
            let n = self.stream.read(&mut piece).unwrap();
            assert!(n > 0, "the body ended early");
            self.body.extend_from_slice(&piece[..n]);
        }
        assert_eq!(self.body.len(), length, "more than the body");
        let closes = self.field("connection") == Some("close");
        let status = std::str::from_utf8(&self.head[9..12]).unwrap().parse().unwrap();
        if closes {
            self.stream = stream(self.addr);
        }
        status
    }

    /// All values of a field of the last answer.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let head = std::str::from_utf8(&self.head).unwrap();
        let lines = head.split("\r\n").filter_map(|l| l.split_once(": "));
        lines.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    /// A field of the last answer.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(&self.head).unwrap();
        head.split("\r\n")
            .filter_map(|l| l.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v)
    }

    /// Makes a bucket with properties.
    pub(crate) fn make_bucket(&mut self, name: &str, durability: &str) {
        let json = "Content-Type: application/json\r\n";
        let line = format!("POST /v1/buckets/{name}?provider=ais");
        assert_eq!(self.ask(&line, json, br#"{"action":"create-bck"}"#), 200);
        let props = format!(r#"{{"action":"set-bprops","value":{{"durability":"{durability}"}}}}"#);
        let line = format!("PATCH /v1/buckets/{name}?provider=ais");
        assert_eq!(self.ask(&line, json, props.as_bytes()), 200);
    }

    /// A figure of `/metrics`, all shards together.
    pub(crate) fn metric(&mut self, name: &str) -> f64 {
        assert_eq!(self.ask("GET /metrics", "", b""), 200);
        let text = String::from_utf8(std::mem::take(&mut self.body)).unwrap();
        let of = |line: &str| line.rsplit_once(' ').and_then(|(_, v)| v.parse::<f64>().ok());
        text.lines().filter(|l| l.starts_with(&format!("{name}{{"))).filter_map(of).sum()
    }
}

fn stream(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(WAIT_MAX)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Bytes that differ with their seed and place.
pub(crate) fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut out: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    out.truncate(size);
    out
}
