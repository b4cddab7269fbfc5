//! Load whose every answer is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::SIZES;
use super::node::object;
use super::nodes::{ask, content, until};

/// Clients that each change names of their own and know what is to be seen.
pub(crate) struct Load {
    end: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    clients: Vec<JoinHandle<BTreeMap<String, Vec<u8>>>>,
}

impl Load {
    pub(crate) fn start(port: u16, clients: u64) -> Self {
        let (end, done, refused): (Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let client = |n: u64| {
            let (end, done, refused) = (end.clone(), done.clone(), refused.clone());
            std::thread::spawn(move || run(port, n, &end, &done, &refused))
        };
        let clients = (0..clients).map(client).collect();
        Self { end, done, refused, clients }
    }

    /// Waits for so many operations more.
    pub(crate) fn more(&self, operations: u64) {
        let from = self.done.load(Ordering::Relaxed);
        until("the load goes on", || {
            let dead = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!dead, "a client found something wrong");
            (self.done.load(Ordering::Relaxed) >= from + operations).then_some(())
        });
    }

    /// Ends it: what is to be there, and how often the node refused.
    pub(crate) fn stop(self) -> (BTreeMap<String, Vec<u8>>, u64) {
        self.end.store(true, Ordering::Relaxed);
        let all = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        (all, self.refused.load(Ordering::Relaxed))
    }
}

fn run(
    port: u16,
    client: u64,
    end: &AtomicBool,
    done: &AtomicU64,
    refused: &AtomicU64,
) -> BTreeMap<String, Vec<u8>> {
    let mut there = BTreeMap::new();
    let mut random = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    // Again while the node refuses or is not there; what came of a try that had no answer, the next one settles.
    let again = |line: &str, body: &[u8]| loop {
        match ask(port, line, &[], body) {
            Some(answer) if answer.is_whole() && answer.status != 503 => return answer,
            _ => {
                refused.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    };
    for round in 0u64.. {
        if end.load(Ordering::Relaxed) {
            break;
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let name = format!("c{client}/n{}", random % 40);
        match random >> 32 & 7 {
            0 => {
                let answer = again(&object("DELETE", &name), b"");
                assert!([200, 404].contains(&answer.status), "{name}: {answer:?}");
                there.remove(&name);
            }
            1..4 => {
                let body = content(random ^ round, SIZES[1 + (random >> 40) as usize % 4]);
                let answer = again(&object("PUT", &name), &body);
                assert_eq!(answer.status, 200, "{name}: {answer:?}");
                there.insert(name, body);
            }
            _ => {
                let answer = again(&object("GET", &name), b"");
                match there.get(&name) {
                    Some(body) => assert!(
                        answer.status == 200 && answer.body == *body,
                        "{name}: {} with {} bytes, not the {} that were acknowledged",
                        answer.status,
                        answer.body.len(),
                        body.len()
                    ),
                    None => assert_eq!(answer.status, 404, "{name} was removed, or never was"),
                }
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    there
}
