//! One round: clients work, something happens, all is mended, and what they were told is judged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use weir_faultdisk::rng::Rng;

use crate::checks;
use crate::cluster::{BUCKETS, Cluster, GATEWAYS};
use crate::error::ChaosError;
use crate::events::{Event, Kind, prepare};
use crate::findings::Finding;
use crate::load::{Names, Records, work};
use crate::probe::Probe;
use crate::register::{Judged, Record, Told, judge};
use crate::scene::Scene;
use crate::unique::{Key, Ledger, write};
use crate::watch::Watch;

/// Objects that are there before the first round: reads of them are never to fail for long.
const FIRST: usize = 60;

/// How rounds are done.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Clients of the contended names.
    pub clients: usize,
    /// Clients that write objects of their own.
    pub writers: usize,
    /// Contended names.
    pub names: usize,
    /// Operations on them before, while something is broken, and after it, at least.
    pub phase: u64,
    /// Operations on them in the whole round, at least.
    pub operations: u64,
    /// Whether targets and mountpaths change beside whatever else happens.
    pub overlap: bool,
}

/// What a round came to.
#[derive(Debug)]
pub struct Outcome {
    /// What happened.
    pub kind: Kind,
    /// What decided it.
    pub seed: u64,
    /// Operations on contended names whose outcome is known.
    pub operations: u64,
    /// Those whose outcome is not, or that did not happen.
    pub failed: u64,
    /// Objects that were written once and acknowledged.
    pub acknowledged: u64,
    /// Findings by kind, in the order of [`Finding::ALL`].
    pub findings: [u64; Finding::ALL.len()],
    /// The first of them in words.
    pub told: Vec<String>,
    /// For how long reads of an object failed that was on no lost node.
    pub unread: Duration,
    /// How long it took until another gateway led, where that was looked at.
    pub led_after: Option<Duration>,
    /// How long it took.
    pub took: Duration,
    /// Why it did not come to its end.
    pub error: Option<ChaosError>,
}

impl Outcome {
    /// Whether everything was as it must be.
    pub fn is_good(&self) -> bool {
        self.error.is_none() && self.is_clean()
    }

    /// Whether nothing was found, as far as it came.
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|count| *count == 0)
    }
}

/// A cluster with what is known of its objects.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// Its objects.
    pub ledger: Ledger,
    /// What decides their bytes.
    pub content: u64,
    /// Rounds that it has seen.
    pub rounds: u64,
}

impl World {
    /// Does one round; `number` counts the writes of the run.
    pub fn round(&mut self, manner: &Manner, number: &AtomicU64, kind: Kind, seed: u64) -> Outcome {
        let begun = Instant::now();
        let Self { cluster, ledger, content, rounds } = self;
        *rounds += 1;
        let scene = Scene::new(cluster, number, *content, seed, *rounds);
        let round = Round {
            scene: &scene,
            manner,
            kind,
            watch: Watch::default(),
            led_after: Mutex::default(),
            unread: Mutex::default(),
            acknowledged: AtomicU64::new(0),
        };
        let error = round.run(ledger).err();
        Outcome {
            kind,
            seed,
            operations: scene.done.load(Ordering::Relaxed),
            failed: scene.failed.load(Ordering::Relaxed),
            acknowledged: round.acknowledged.load(Ordering::Relaxed),
            findings: scene.findings.counts(),
            told: scene.findings.told(),
            unread: *round.unread.lock(),
            led_after: *round.led_after.lock(),
            took: begun.elapsed(),
            error,
        }
    }
}

/// Has clients end when it goes, however that comes about.
struct Ending<'s, 'c>(&'s Scene<'c>);

impl Drop for Ending<'_, '_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

struct Round<'s, 'c> {
    scene: &'s Scene<'c>,
    manner: &'s Manner,
    kind: Kind,
    watch: Watch,
    led_after: Mutex<Option<Duration>>,
    unread: Mutex<Duration>,
    acknowledged: AtomicU64,
}

impl Round<'_, '_> {
    fn run(&self, ledger: &mut Ledger) -> Result<(), ChaosError> {
        let scene = self.scene;
        prepare(scene.cluster, self.kind)?;
        scene.cluster.whole()?;
        scene.cluster.at_rest()?;
        if ledger.there.is_empty() {
            self.fill(ledger)?;
        }
        let names = Names::new(scene.round, self.manner.names);
        let (happened, records) = self.clients(&names, ledger);
        self.watch.judge(scene);
        let settled = self.judge(&names, records);
        // What was found counts, whether the rest comes to its end or not.
        happened?;
        scene.cluster.whole()?;
        scene.cluster.at_rest()?;
        checks::all(scene, ledger)?;
        let keys: Vec<Key> = (0..self.manner.names).map(|at| names.key(at)).collect();
        checks::remove(scene, &keys)?;
        ledger.gone.extend(settled);
        Ok(())
    }

    /// Writes the first objects.
    fn fill(&self, ledger: &mut Ledger) -> Result<(), ChaosError> {
        let scene = self.scene;
        let mut client = scene.client();
        for i in 0..FIRST {
            let key = (i % BUCKETS.len(), format!("u0/{i}"));
            let write = scene.next();
            let body = crate::content::body(scene.content, &key.1, write);
            let target = format!("/s3/{}/{}", BUCKETS[key.0], key.1);
            let request = crate::http::Request { method: "PUT", target: &target, body: &body };
            crate::cluster::until("the first objects are written", || {
                let answer = client.ask(scene.cluster.public(i % GATEWAYS), &request).ok()?;
                (answer.status == 200).then_some(())
            })?;
            ledger.there.insert(key, write);
        }
        Ok(())
    }

    /// Has clients work while it happens; what came of it, and what those of the contended names wrote down.
    fn clients(&self, names: &Names, ledger: &mut Ledger) -> (Result<(), ChaosError>, Vec<Records>) {
        let scene = self.scene;
        let probe = Probe::choose(scene, &ledger.there);
        std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.manner.clients).map(|i| scope.spawn(move || work(scene, names, i))).collect();
            let writers: Vec<_> =
                (0..self.manner.writers).map(|i| scope.spawn(move || write(scene, i))).collect();
            (0..GATEWAYS).for_each(|i| drop(scope.spawn(move || self.watch.look(scene, i))));
            let reader = scope.spawn(|| probe.read(scene));
            let happened = self.happen();
            let mut panicked = reader.join().is_err();
            for writer in writers {
                match writer.join() {
                    Ok(own) => {
                        self.acknowledged.fetch_add(own.there.len() as u64, Ordering::Relaxed);
                        ledger.extend(own);
                    }
                    Err(_) => panicked = true,
                }
            }
            let joined: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
            panicked |= joined.iter().any(Result::is_err);
            *self.unread.lock() = probe.longest();
            let happened = match (happened, panicked) {
                (Ok(()), true) => Err(ChaosError::Usage("a client panicked".into())),
                (happened, _) => happened,
            };
            (happened, joined.into_iter().flatten().collect())
        })
    }

    /// Work, the event, and work again.
    fn happen(&self) -> Result<(), ChaosError> {
        let (scene, manner) = (self.scene, self.manner);
        let _end = Ending(scene);
        let taken = Mutex::default();
        let event = Event {
            scene,
            watch: &self.watch,
            operations: manner.phase,
            taken: &taken,
            led_after: &self.led_after,
        };
        scene.more(manner.phase)?;
        self.events(&event)?;
        scene.more(manner.phase)?;
        let done = scene.done.load(Ordering::Relaxed);
        let left = manner.operations.saturating_sub(done);
        // One step at a time: the time for each is bounded.
        for _ in 0..left.div_ceil(manner.phase.max(1)) {
            scene.more(manner.phase.min(left))?;
        }
        let died = scene.cluster.died();
        if died.is_empty() {
            Ok(())
        } else {
            Err(ChaosError::Program { command: "weir serve".into(), got: died.join("; ") })
        }
    }

    /// What happens, and what happens beside it.
    fn events(&self, event: &Event<'_, '_>) -> Result<(), ChaosError> {
        let mut dice = Rng::new(self.scene.seed);
        let beside = match self.kind {
            _ if !self.manner.overlap => None,
            Kind::Mountpath | Kind::Moves => None,
            Kind::Join | Kind::Leave | Kind::Maintenance | Kind::All => Some(Kind::Mountpath),
            _ => Some(Kind::Moves),
        };
        let Some(beside) = beside else { return event.run(self.kind, &mut dice) };
        let mut other = Rng::new(dice.bits());
        std::thread::scope(|scope| {
            let moved = scope.spawn(|| event.run(beside, &mut other));
            let happened = event.run(self.kind, &mut dice);
            let panicked = |_| Err(ChaosError::Usage("the thread of an event panicked".into()));
            happened.and(moved.join().unwrap_or_else(panicked))
        })
    }

    /// Looks whether what clients were told could be. The names of which every write was acknowledged: once removed, they stay so.
    fn judge(&self, names: &Names, all: Vec<Records>) -> Vec<Key> {
        let mut by_name: Vec<Vec<Record>> = vec![Vec::new(); self.manner.names];
        all.into_iter().flatten().for_each(|(at, record)| by_name[at].push(record));
        for (at, name) in names.all() {
            match judge(name, &by_name[at]) {
                Judged::Right => {}
                Judged::Violation(story) => self.scene.findings.note(Finding::Violation, || story),
                Judged::Unknown(story) => self.scene.findings.note(Finding::Unknown, || story),
            }
        }
        let is_settled =
            |at: usize| !by_name[at].iter().any(|r| matches!(r.told, Told::Put { sure: false, .. }));
        (0..by_name.len()).filter(|at| is_settled(*at)).map(|at| names.key(at)).collect()
    }
}
