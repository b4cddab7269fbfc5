//! What all threads of a round share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::cluster::{Cluster, until};
use crate::error::ChaosError;
use crate::findings::Findings;
use crate::http::Client;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// A round while it lasts.
pub struct Scene<'a> {
    /// What is under chaos.
    pub cluster: &'a Cluster,
    /// What decides all that is chosen.
    pub seed: u64,
    /// What decides the bytes of every write: the same for all rounds of a run, since objects stay.
    pub content: u64,
    /// Its number among the rounds of this cluster: names of a round are its own.
    pub round: u64,
    /// When it began.
    pub begin: Instant,
    /// The number of the last write of this run.
    pub number: &'a AtomicU64,
    /// What was found.
    pub findings: Findings,
    /// Operations on contended names whose outcome is known.
    pub done: AtomicU64,
    /// The same whose outcome is not, or that did not happen.
    pub failed: AtomicU64,
    /// Nodes that are lost on purpose at the moment: nobody counts on them.
    pub lost: Mutex<BTreeSet<usize>>,
    over: AtomicBool,
}

impl<'a> Scene<'a> {
    /// A round that begins now.
    pub fn new(cluster: &'a Cluster, number: &'a AtomicU64, content: u64, seed: u64, round: u64) -> Self {
        Self {
            cluster,
            seed,
            content,
            round,
            begin: Instant::now(),
            number,
            findings: Findings::default(),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            lost: Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Nanoseconds since its begin.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A number that no other write of this run has.
    pub fn next(&self) -> u64 {
        self.number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A client like all others.
    pub fn client(&self) -> Client {
        Client::new(PATIENCE, self.cluster.bearer())
    }

    /// Whether clients are to end.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Has them end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Waits until clients have learnt the outcome of so many more operations.
    pub fn more(&self, operations: u64) -> Result<(), ChaosError> {
        let from = self.done.load(Ordering::Relaxed);
        until("clients go on", || (self.done.load(Ordering::Relaxed) >= from + operations).then_some(()))
    }

    /// Nobody counts on a node any more, or again.
    pub fn lose(&self, node: usize, lost: bool) {
        let mut all = self.lost.lock();
        if lost {
            all.insert(node);
        } else {
            all.remove(&node);
        }
    }
}
