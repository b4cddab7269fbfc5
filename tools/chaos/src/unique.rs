//! Objects that are written once: every one that was acknowledged must be there from then on, until it is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_faultdisk::rng::Rng;

use crate::asking::{Object, Outcome, Way, ask};
use crate::cluster::BUCKETS;
use crate::content::{body, identify};
use crate::findings::Finding;
use crate::scene::Scene;

/// Between two operations of a writer: what it writes is read again after every round.
const PAUSE: Duration = Duration::from_millis(4);
/// How long a writer rests that got no answer.
const REST: Duration = Duration::from_millis(20);
/// Objects that stay for the rounds to come; the others are removed, which is looked at, too.
const KEPT_MAX: usize = 150;

/// A name: bucket and object.
pub type Key = (usize, String);

/// What is known of the objects, with the number of the write of each.
#[derive(Debug, Default)]
pub struct Ledger {
    /// Acknowledged and not removed.
    pub there: BTreeMap<Key, u64>,
    /// Of unknown outcome: there with their own bytes, or not.
    pub perhaps: BTreeMap<Key, u64>,
    /// Removed in the last round, which was acknowledged, as their writes were.
    pub gone: BTreeSet<Key>,
    /// Of unknown outcome in an earlier round: such a write may still happen, whatever was done about its name since.
    pub late: BTreeSet<Key>,
}

impl Ledger {
    /// Adds what another one knows.
    pub fn extend(&mut self, other: Self) {
        self.there.extend(other.there);
        self.perhaps.extend(other.perhaps);
        self.gone.extend(other.gone);
    }

    /// What is to be removed so that not too many stay.
    pub fn surplus(&self) -> Vec<Key> {
        let keep = KEPT_MAX as f64 / self.there.len().max(1) as f64;
        // Evenly from all of them.
        let stays = |i: usize| ((i + 1) as f64 * keep) as usize > (i as f64 * keep) as usize;
        self.there.keys().enumerate().filter(|(i, _)| !stays(*i)).map(|(_, key)| key.clone()).collect()
    }
}

/// As a key is asked for.
pub fn object(key: &Key) -> Object<'_> {
    Object { bucket: key.0, name: &key.1 }
}

/// Writes, and reads what it wrote, until the round is over.
pub fn write(scene: &Scene<'_>, number: usize) -> Ledger {
    let mut client = scene.client();
    let mut dice = Rng::new(scene.seed ^ (number as u64 + 101) << 32);
    let mut ledger = Ledger::default();
    let mut own: Vec<Key> = Vec::new();
    for turn in 0u64.. {
        if scene.is_over() {
            break;
        }
        let way = Way::by(dice.bits() >> 8, &scene.cluster.members());
        let answered = if turn % 3 == 2 && !own.is_empty() {
            let key = &own[dice.below(own.len() as u64) as usize];
            look(scene, &mut client, way, key, ledger.there[key]).is_some()
        } else {
            let key = (turn as usize % BUCKETS.len(), format!("u{}/{number}-{turn}", scene.round));
            let write = scene.next();
            let body = body(scene.content, &key.1, write);
            match ask(scene.cluster, &mut client, way, "PUT", object(&key), &body) {
                Outcome::Not(_) => false,
                Outcome::Answer(answer) if answer.status == 200 => {
                    ledger.there.insert(key.clone(), write);
                    own.push(key);
                    true
                }
                Outcome::Answer(answer) => {
                    let what = || format!("PUT {key:?} by {way:?}: {} {}", answer.status, answer.text());
                    scene.findings.note(Finding::Odd, what);
                    ledger.perhaps.insert(key, write);
                    true
                }
                Outcome::Unknown(_) | Outcome::Cut(_) => {
                    ledger.perhaps.insert(key, write);
                    false
                }
            }
        };
        std::thread::sleep(if answered { PAUSE } else { REST });
    }
    ledger
}

/// Reads an object that is to be there, and notes what is wrong; `None` if it is not known.
pub fn look(
    scene: &Scene<'_>,
    client: &mut crate::http::Client,
    way: Way,
    key: &Key,
    number: u64,
) -> Option<()> {
    let asked = ask(scene.cluster, client, way, "GET", object(key), b"");
    let note = |finding, what: String| {
        let ms = scene.now() / 1_000_000;
        scene.findings.note(finding, || format!("at {ms} ms GET {key:?} by {way:?}: {what}"));
    };
    let (answer, whole) = match asked {
        Outcome::Answer(answer) => (answer, true),
        Outcome::Cut(answer) => (answer, false),
        Outcome::Not(_) | Outcome::Unknown(_) => return None,
    };
    match answer.status {
        200 => match identify(scene.content, &key.1, &answer.body, whole) {
            Ok(Some(got)) if got != number => {
                note(Finding::Wrong, format!("write {got}, {number} was acknowledged"));
            }
            Err(wrong) => note(Finding::Wrong, wrong),
            Ok(_) if !whole => return None,
            Ok(_) => {}
        },
        // Who says that nobody stands behind it may not know of the object.
        404 if answer.is_stale() => return None,
        404 => note(Finding::Lost, answer.text()),
        status => note(Finding::Odd, format!("{status} {}", answer.text())),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_is_bounded() {
        let mut ledger = Ledger::default();
        assert!(ledger.surplus().is_empty());
        for count in [10, KEPT_MAX, KEPT_MAX + 1, 10 * KEPT_MAX + 7] {
            ledger.there = (0..count).map(|i| ((i % 2, format!("o{i}")), 1)).collect();
            let stay = count - ledger.surplus().len();
            assert!(stay <= KEPT_MAX && stay + 1 >= count.min(KEPT_MAX), "{stay} of {count}");
        }
    }
}
