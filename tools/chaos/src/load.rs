//! Clients that all work on the same few names, through all nodes, and write down what they were told.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use weir_faultdisk::rng::Rng;

use crate::asking::{Object, Outcome, Way, ask};
use crate::cluster::{BUCKETS, GATEWAYS};
use crate::content::{body, checksum, identify};
use crate::findings::Finding;
use crate::http::{Answer, Client};
use crate::register::{Record, Told};
use crate::scene::Scene;
use crate::unique::Key;

/// How long a client rests that got no answer.
const REST: Duration = Duration::from_millis(20);

/// The names of a round, and what their checksums say.
pub struct Names {
    names: Vec<String>,
    /// Writes by the checksum of their content: HEAD shows no bytes.
    checksums: Mutex<HashMap<String, u64>>,
}

/// What one client wrote down, by name.
pub type Records = Vec<(usize, Record)>;

impl Names {
    /// So many, of a round.
    pub fn new(round: u64, count: usize) -> Self {
        Self { names: (0..count).map(|i| format!("r{round}-{i}")).collect(), checksums: Mutex::default() }
    }

    /// Each name with its place.
    pub fn all(&self) -> impl Iterator<Item = (usize, &str)> {
        self.names.iter().map(String::as_str).enumerate()
    }

    /// As a key.
    pub fn key(&self, at: usize) -> Key {
        (at % BUCKETS.len(), self.names[at].clone())
    }

    /// As an object: names take turns in the buckets.
    pub fn object(&self, at: usize) -> Object<'_> {
        Object { bucket: at % BUCKETS.len(), name: &self.names[at] }
    }
}

/// Works until the round is over.
pub fn work(scene: &Scene<'_>, names: &Names, number: usize) -> Records {
    let mut client = Register {
        scene,
        names,
        client: scene.client(),
        dice: Rng::new(scene.seed ^ (number as u64 + 1) << 32),
        number,
    };
    let mut records = Vec::new();
    while !scene.is_over() {
        let at = client.dice.below(names.names.len() as u64) as usize;
        let begun = scene.now();
        let (through, told) = client.one(at);
        let ended = scene.now();
        let known = match told {
            None | Some(Told::Put { sure: false, .. } | Told::Remove { sure: false }) => false,
            Some(_) => true,
        };
        records.extend(told.map(|told| (at, Record { begun, ended, client: number, through, told })));
        if known {
            scene.done.fetch_add(1, Ordering::Relaxed);
        } else {
            scene.failed.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(REST);
        }
    }
    records
}

struct Register<'s> {
    scene: &'s Scene<'s>,
    names: &'s Names,
    client: Client,
    dice: Rng,
    number: usize,
}

impl Register<'_> {
    /// One operation: which node was asked, and what it said; `None` if nothing is known of a read, or nothing happened.
    fn one(&mut self, at: usize) -> (usize, Option<Told>) {
        let roll = self.dice.below(20);
        let way = match roll {
            // S3's answer to HEAD has no checksum of all objects.
            8..11 => Way::Ais(self.dice.below(GATEWAYS as u64) as usize),
            _ => Way::by(self.dice.bits() >> 8, &self.scene.cluster.members()),
        };
        let told = match roll {
            0..8 => self.get(way, at),
            8..11 => self.head(way, at),
            11..17 => self.put(way, at),
            _ => self.delete(way, at),
        };
        (way.through(), told)
    }

    fn ask(&mut self, way: Way, method: &str, at: usize, body: &[u8]) -> Outcome {
        ask(self.scene.cluster, &mut self.client, way, method, self.names.object(at), body)
    }

    fn get(&mut self, way: Way, at: usize) -> Option<Told> {
        let name = self.names.object(at).name;
        let (answer, whole) = match self.ask(way, "GET", at, b"") {
            Outcome::Answer(answer) => (answer, true),
            Outcome::Cut(answer) => (answer, false),
            Outcome::Not(_) | Outcome::Unknown(_) => return None,
        };
        match (answer.status, identify(self.scene.content, name, &answer.body, whole)) {
            (200, Ok(got)) if whole => Some(Told::Read { got, stale: answer.is_stale() }),
            (200, Ok(_)) => None,
            (200, Err(wrong)) => {
                self.note(Finding::Wrong, way, "GET", at, &wrong);
                None
            }
            _ => self.absent(way, "GET", at, &answer),
        }
    }

    fn head(&mut self, way: Way, at: usize) -> Option<Told> {
        let Outcome::Answer(answer) = self.ask(way, "HEAD", at, b"") else { return None };
        if answer.status != 200 {
            return self.absent(way, "HEAD", at, &answer);
        }
        let sum = answer.field("ais-checksum-value").unwrap_or_default();
        let got = self.names.checksums.lock().get(sum).copied();
        if got.is_none() {
            self.note(Finding::Wrong, way, "HEAD", at, &format!("a checksum that no write has: {sum}"));
        }
        got.map(|number| Told::Read { got: Some(number), stale: answer.is_stale() })
    }

    fn put(&mut self, way: Way, at: usize) -> Option<Told> {
        let number = self.scene.next();
        let body = body(self.scene.content, self.names.object(at).name, number);
        self.names.checksums.lock().insert(checksum(&body), number);
        let sure = match self.ask(way, "PUT", at, &body) {
            Outcome::Not(_) => return None,
            Outcome::Unknown(_) | Outcome::Cut(_) => false,
            Outcome::Answer(answer) if answer.status == 200 => true,
            Outcome::Answer(answer) => {
                self.odd(way, "PUT", at, &answer);
                false
            }
        };
        Some(Told::Put { number, sure })
    }

    fn delete(&mut self, way: Way, at: usize) -> Option<Told> {
        match self.ask(way, "DELETE", at, b"") {
            Outcome::Not(_) => None,
            Outcome::Unknown(_) | Outcome::Cut(_) => Some(Told::Remove { sure: false }),
            Outcome::Answer(answer) if [200, 204].contains(&answer.status) => {
                Some(Told::Remove { sure: true })
            }
            Outcome::Answer(answer) => {
                // What found nothing to remove has read that there is nothing.
                self.absent(way, "DELETE", at, &answer).or(Some(Told::Remove { sure: false }))
            }
        }
    }

    /// An answer that says that there is nothing; any other one is odd.
    fn absent(&self, way: Way, method: &str, at: usize, answer: &Answer) -> Option<Told> {
        if answer.status == 404 {
            return Some(Told::Read { got: None, stale: answer.is_stale() });
        }
        self.odd(way, method, at, answer);
        None
    }

    fn odd(&self, way: Way, method: &str, at: usize, answer: &Answer) {
        self.note(Finding::Odd, way, method, at, &format!("{} {}", answer.status, answer.text()));
    }

    fn note(&self, finding: Finding, way: Way, method: &str, at: usize, what: &str) {
        let object = self.names.object(at);
        let ms = self.scene.now() / 1_000_000;
        self.scene.findings.note(finding, || {
            format!("at {ms} ms client {} {method} {object:?} by {way:?}: {what}", self.number)
        });
    }
}
