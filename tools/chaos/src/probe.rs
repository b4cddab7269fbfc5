//! For how long an object could not be read that no lost node has: readers that never stop, through gateways that are not lost.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::asking::{Way, redirected};
use crate::cluster::{BUCKETS, GATEWAYS};
use crate::http::Client;
use crate::scene::Scene;
use crate::unique::{Key, look};

/// Objects of each target that are read.
const OF_EACH: usize = 2;
/// Between two reads.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a reader waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Objects by their owners, and what became of reading them.
#[derive(Debug, Default)]
pub struct Probe {
    by_owner: BTreeMap<usize, Vec<(Key, u64)>>,
    longest: Mutex<Duration>,
}

impl Probe {
    /// Chooses some of what is there.
    pub fn choose(scene: &Scene<'_>, there: &BTreeMap<Key, u64>) -> Self {
        let mut by_owner: BTreeMap<usize, Vec<(Key, u64)>> = BTreeMap::new();
        for (key, number) in there {
            let target = format!("/v1/objects/{}/{}?provider=ais", BUCKETS[key.0], key.1);
            let sent = scene.cluster.ask_any("GET", &target, b"");
            let owner = sent.as_ref().and_then(redirected).and_then(|(to, _)| scene.cluster.at(to));
            if let Some(owner) = owner
                && by_owner.get(&owner).is_none_or(|own| own.len() < OF_EACH)
            {
                by_owner.entry(owner).or_default().push((key.clone(), *number));
            }
            if by_owner.values().map(Vec::len).sum::<usize>() == OF_EACH * scene.cluster.targets().len() {
                break;
            }
        }
        Self { by_owner, longest: Mutex::default() }
    }

    /// Reads until the round is over.
    pub fn read(&self, scene: &Scene<'_>) {
        let mut client = Client::new(PATIENCE, scene.cluster.bearer());
        // Since when reads of an owner's object fail through a gateway.
        let mut failing: BTreeMap<(usize, usize, usize), u64> = BTreeMap::new();
        for turn in 0usize.. {
            if scene.is_over() {
                break;
            }
            for (owner, objects) in &self.by_owner {
                let gateway = turn % GATEWAYS;
                let is_lost = || {
                    let lost = scene.lost.lock();
                    lost.contains(owner) || lost.contains(&gateway)
                };
                let at = turn / GATEWAYS % objects.len();
                let (key, number) = &objects[at];
                let read = (gateway, *owner, at);
                let begun = scene.now();
                let good = !is_lost() && self.one(scene, &mut client, gateway, key, *number);
                // Lost meanwhile: nobody counted on it.
                if is_lost() {
                    failing.remove(&read);
                } else if good {
                    if let Some(since) = failing.remove(&read) {
                        self.note(scene.now() - since);
                    }
                } else {
                    failing.entry(read).or_insert(begun);
                }
            }
            std::thread::sleep(PAUSE);
        }
        failing.into_values().for_each(|since| self.note(scene.now() - since));
    }

    /// Whether an object is read; what is wrong with it is noted.
    fn one(&self, scene: &Scene<'_>, client: &mut Client, gateway: usize, key: &Key, number: u64) -> bool {
        // A target that is asked by S3 is as good as one that a gateway sends to: both ways end there.
        let way = Way::Ais(gateway);
        look(scene, client, way, key, number).is_some()
    }

    fn note(&self, ns: u64) {
        let mut longest = self.longest.lock();
        *longest = longest.max(Duration::from_nanos(ns));
    }

    /// The longest time for which a read failed, so far.
    pub fn longest(&self) -> Duration {
        *self.longest.lock()
    }
}
