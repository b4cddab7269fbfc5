//! What must hold when all is well again: every acknowledged object is there, none that was removed is, and listings say so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use weir_faultdisk::rng::Rng;

use crate::asking::{Outcome, Way, ask};
use crate::cluster::{BUCKETS, WAIT};
use crate::error::ChaosError;
use crate::findings::Finding;
use crate::http::Client;
use crate::scene::Scene;
use crate::unique::{Key, Ledger, look, object};

/// Threads that read.
const READERS: usize = 4;
/// Between two tries of what cannot be had yet.
const AGAIN: Duration = Duration::from_millis(50);
/// Names on a page of a listing.
const PAGE: usize = 500;

/// Reads everything that is known, lists, and removes what need not stay for the rounds to come.
pub fn all(scene: &Scene<'_>, ledger: &mut Ledger) -> Result<(), ChaosError> {
    each(scene, &ledger.there.clone().into_iter().collect::<Vec<_>>(), |client, way, (key, number)| {
        look(scene, client, way, key, *number)
    })?;
    each(scene, &ledger.gone.iter().cloned().collect::<Vec<_>>(), |client, way, key| {
        let status = status(scene, client, way, "GET", key)?;
        if status == 200 {
            scene.findings.note(Finding::Back, || format!("{key:?} by {way:?}"));
        }
        Some(())
    })?;
    let perhaps: Vec<(Key, u64)> = std::mem::take(&mut ledger.perhaps).into_iter().collect();
    each(scene, &perhaps, |client, way, (key, number)| match status(scene, client, way, "GET", key)? {
        200 => look(scene, client, way, key, *number),
        _ => Some(()),
    })?;
    ledger.late.extend(perhaps.iter().map(|(key, _)| key.clone()));
    for bucket in 0..BUCKETS.len() {
        let through = (scene.seed as usize + bucket) % scene.cluster.members().len();
        listed(scene, scene.cluster.members()[through], bucket, ledger)?;
    }
    let surplus = ledger.surplus();
    each(scene, &surplus, |client, way, key| status(scene, client, way, "DELETE", key).map(drop))?;
    // Those of unknown outcome as well, so that few stay.
    each(scene, &perhaps, |client, way, (key, _)| status(scene, client, way, "DELETE", key).map(drop))?;
    ledger.there.retain(|key, _| surplus.binary_search(key).is_err());
    ledger.gone = surplus.into_iter().collect();
    Ok(())
}

/// Removes the contended names of a round.
pub fn remove(scene: &Scene<'_>, keys: &[Key]) -> Result<(), ChaosError> {
    each(scene, keys, |client, way, key| status(scene, client, way, "DELETE", key).map(drop))
}

/// The status of an answer: any that is not the server's failing.
fn status(scene: &Scene<'_>, client: &mut Client, way: Way, method: &str, key: &Key) -> Option<u16> {
    match ask(scene.cluster, client, way, method, object(key), b"") {
        Outcome::Answer(answer) if !answer.is_stale() => Some(answer.status),
        _ => None,
    }
}

/// Does something with each, by several threads and through all members, again until it is known what came of it.
fn each<T: Sync>(
    scene: &Scene<'_>,
    all: &[T],
    look: impl Fn(&mut Client, Way, &T) -> Option<()> + Sync,
) -> Result<(), ChaosError> {
    let next = AtomicUsize::new(0);
    let members = scene.cluster.members();
    let failed = std::thread::scope(|scope| {
        let reader = |number: usize| {
            let (next, members, look) = (&next, &members, &look);
            scope.spawn(move || {
                let mut client = scene.client();
                let mut dice = Rng::new(scene.seed ^ (number as u64 + 201) << 32);
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let begun = Instant::now();
                    while look(&mut client, Way::by(dice.bits() >> 8, members), one).is_none() {
                        if begun.elapsed() > WAIT {
                            return true;
                        }
                        std::thread::sleep(AGAIN);
                    }
                }
                false
            })
        };
        let readers: Vec<_> = (0..READERS).map(reader).collect();
        readers.into_iter().map(|reader| reader.join().unwrap_or(true)).filter(|failed| *failed).count()
    });
    match failed {
        0 => Ok(()),
        _ => {
            Err(ChaosError::InVain { what: "every object can be asked for".into(), seconds: WAIT.as_secs() })
        }
    }
}

/// Lists a bucket through a node and compares.
fn listed(scene: &Scene<'_>, through: usize, bucket: usize, ledger: &Ledger) -> Result<(), ChaosError> {
    let names = list(scene, through, bucket)?;
    let note = |what: String| {
        scene.findings.note(Finding::Listing, || format!("{} through n{through}: {what}", BUCKETS[bucket]));
    };
    if !names.is_sorted() {
        note("not in order".into());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    names.iter().for_each(|name| *counts.entry(name).or_default() += 1);
    for name in ledger.there.keys().filter(|(of, _)| *of == bucket).map(|(_, name)| name) {
        match counts.remove(name.as_str()) {
            Some(1) => {}
            Some(times) => note(format!("{name} {times} times")),
            None => note(format!("{name} is missing")),
        }
    }
    for name in counts.into_keys() {
        let key = (bucket, name.to_owned());
        if name.starts_with('u') && !ledger.late.contains(&key) {
            note(format!("{name} is listed and not there"));
        }
    }
    Ok(())
}

/// All names of a bucket as S3 lists them.
fn list(scene: &Scene<'_>, through: usize, bucket: usize) -> Result<Vec<String>, ChaosError> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().map(|name| name.replace('/', "%2F")).unwrap_or_default();
        let target = format!("/s3/{}?list-type=2&max-keys={PAGE}&start-after={after}", BUCKETS[bucket]);
        let page = crate::cluster::until("a listing is answered", || {
            scene.cluster.ask(through, "GET", &target, b"").filter(|page| page.status == 200)
        })?;
        let text = page.text();
        let before = names.len();
        names.extend(text.split("<Key>").skip(1).filter_map(|t| t.split("</Key>").next()).map(str::to_owned));
        if !text.contains("<IsTruncated>true") || names.len() == before {
            return Ok(names);
        }
    }
}
