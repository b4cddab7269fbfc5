//! Clients that work on the same few names at once, through HTTP.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::{Held, Operation, What};
use crate::http::{Client, Running, bytes};

/// Clients at a time; each has a connection, and the connections are spread over the shards.
pub(crate) const CLIENTS: usize = 8;
/// Pairs of names of a round.
const PAIRS: usize = 4;
/// Body sizes: kept in memory, sent from the page cache, read from the disk.
const SIZES: [usize; 6] = [24, 24, 4096, 20_000, 70_000, 200_000];
/// Buckets, one after the other for the pairs.
pub(crate) const BUCKETS: [&str; 2] = ["durable", "relaxed"];

const JSON: &str = "Content-Type: application/json\r\n";

/// Values that no other write has.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Lets every client do so many operations on names of this round; the history of each pair.
pub(crate) fn round(node: &Running, round: u64, operations: u64) -> Vec<Vec<Operation>> {
    let begin = Instant::now();
    let mut all: Vec<Vec<Operation>> = vec![Vec::new(); PAIRS];
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS as u64)
            .map(|client| scope.spawn(move || one_client(node, round, client, operations, begin)))
            .collect();
        for client in clients {
            for (pair, operation) in client.join().expect("a client that ran") {
                all[pair].push(operation);
            }
        }
    });
    all
}

fn one_client(
    node: &Running,
    round: u64,
    client: u64,
    operations: u64,
    begin: Instant,
) -> Vec<(usize, Operation)> {
    let mut dice = Dice(bytes(round * 1000 + client, 8).iter().fold(1, |n, b| n << 8 | u64::from(*b)));
    let mut connection = node.client();
    let now = || u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
    (0..operations)
        .map(|_| {
            let (pair, name) = (dice.roll(PAIRS), dice.roll(2));
            let names = ["a", "b"].map(|side| format!("r{round}-p{pair}{side}"));
            let mut asking = Asking { client: &mut connection, bucket: BUCKETS[pair % BUCKETS.len()], names };
            let begun = now();
            let what = asking.one(name, &mut dice);
            (pair, Operation { begun, ended: now(), what })
        })
        .collect()
}

/// One operation on the names of a pair.
struct Asking<'c> {
    client: &'c mut Client,
    bucket: &'static str,
    names: [String; 2],
}

impl Asking<'_> {
    fn one(&mut self, name: usize, dice: &mut Dice) -> What {
        let target = format!("/v1/objects/{}/{}?provider=ais", self.bucket, self.names[name]);
        match dice.roll(20) {
            0..10 => What::Read { name, got: self.read("GET", &target) },
            10 | 11 => What::Read { name, got: self.read("HEAD", &target) },
            12..16 => {
                let value = NEXT.fetch_add(1, Ordering::Relaxed);
                let content = value.to_le_bytes().repeat(SIZES[dice.roll(SIZES.len())] / 8);
                let custom = format!("Ais-Custom-Md: v={value}\r\n");
                assert_eq!(self.client.ask(&format!("PUT {target}"), &custom, &content), 200);
                What::Put { name, value, version: self.number("ais-version") }
            }
            16 => {
                let note = NEXT.fetch_add(1, Ordering::Relaxed);
                let message = format!(r#"{{"action":"","value":{{"n":"{note}"}}}}"#);
                What::Patch { name, note, found: self.found("PATCH", &target, JSON, &message) }
            }
            17 => What::Remove { name, found: self.found("DELETE", &target, "", "") },
            18 => {
                What::Remove { name, found: self.found("DELETE", &target, "X-Weir-Planted: evict\r\n", "") }
            }
            _ => {
                let message = format!(r#"{{"action":"rename-obj","name":"{}"}}"#, self.names[1 - name]);
                What::Rename { name, found: self.found("POST", &target, JSON, &message) }
            }
        }
    }

    fn read(&mut self, method: &str, target: &str) -> Option<Held> {
        match self.client.ask(&format!("{method} {target}"), "", b"") {
            404 => return None,
            status => assert_eq!(status, 200, "{method} {target}"),
        }
        let custom = |key: &str| {
            let all = self.client.fields("ais-custom-md");
            all.iter().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse().ok())
        };
        let (value, note): (u64, u64) =
            (custom("v").expect("every object has a value"), custom("n").unwrap_or(0));
        if method == "GET" {
            assert!(!self.client.body.is_empty(), "not linearizable: an object without bytes");
            for piece in self.client.body.chunks(8) {
                assert_eq!(
                    piece,
                    value.to_le_bytes(),
                    "not linearizable: bytes of another write than the record's"
                );
            }
        }
        Some(Held { value, note, version: self.number("ais-version") })
    }

    fn number(&self, field: &str) -> u64 {
        self.client.field(field).and_then(|v| v.parse().ok()).unwrap_or_else(|| panic!("no {field}"))
    }

    /// A change: whether there was something to change.
    fn found(&mut self, method: &str, target: &str, fields: &str, message: &str) -> bool {
        match self.client.ask(&format!("{method} {target}"), fields, message.as_bytes()) {
            200 => true,
            404 => false,
            // AIS's status where the object of an action is not there.
            400 if String::from_utf8_lossy(&self.client.body).contains("does not exist") => false,
            status => panic!("{method} {target}: {status} {}", String::from_utf8_lossy(&self.client.body)),
        }
    }
}

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }
}
