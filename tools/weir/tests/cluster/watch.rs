//! Who leads, looked at from outside.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::nodes::{self, Cluster};

/// Status, head and body of one request without fields of its own; `None` if nobody answers.
pub(crate) fn ask(port: u16, line: &str, body: &str) -> Option<(u16, String, String)> {
    let answer = nodes::ask(port, line, &[], body.as_bytes())?;
    let text = answer.text();
    Some((answer.status, answer.head, text))
}

/// The leader's place among the nodes, and its ID.
pub(crate) fn leader(cluster: &Cluster) -> (usize, String) {
    let map = cluster.agreed(None);
    let id = map["proxy_si"]["daemon_id"].as_str().unwrap().to_owned();
    let port = map["proxy_si"]["public_net"]["daemon_port"].as_str().unwrap().to_owned();
    (cluster.nodes.iter().position(|n| n.port.to_string() == port).unwrap(), id)
}

/// How many say that they lead.
pub(crate) fn leaders(cluster: &Cluster) -> usize {
    cluster.nodes.iter().take(cluster.gateways).filter(|n| leads(n.port)).count()
}

/// Whether the node says that it leads.
pub(crate) fn leads(port: u16) -> bool {
    ask(port, "GET /v1/health?apr=true", "").is_some_and(|(status, ..)| status == 200)
}

/// Connections that the kernel has taken for a listener which has not.
pub(crate) fn waiting_at(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!(":{port:04X}");
    // Columns: number, local address, remote address, state, queues; an established one without a file has inode 0.
    let waits = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns.len() > 9 && columns[1].ends_with(&local) && columns[3] == "01" && columns[9] == "0"
    };
    table.lines().filter(waits).count()
}

/// Asks all gateways all the time who leads. Two lead at once if one says so, then another, then the first again.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Watch {
    pub(crate) fn begin(cluster: &Cluster) -> Self {
        let ports: Vec<u16> = cluster.nodes.iter().take(cluster.gateways).map(|n| n.port).collect();
        let over = Arc::new(AtomicBool::new(false));
        let seen = over.clone();
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !seen.load(Ordering::Relaxed) {
                for first in ports.iter().filter(|port| leads(**port)) {
                    looks += 1;
                    for other in ports.iter().filter(|other| *other != first && leads(**other)) {
                        assert!(!leads(*first), "{first} and {other} lead at once");
                    }
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            looks
        });
        Self { over, thread: Some(thread) }
    }

    /// How many times a leader was seen.
    pub(crate) fn end(mut self) -> u64 {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[expect(clippy::print_stdout, reason = "how long it took is told, not asserted")]
pub(crate) fn tell(what: &str, since: Instant) {
    println!("{what}: {:?}", since.elapsed());
}
