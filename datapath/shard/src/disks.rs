//! Which disks a node has, and which of them a name belongs to: one published set for all its threads.
//!
//! The set changes at one moment for everybody. A name belongs to one disk of it, the only one that takes changes of the
//! name. Until a set is settled (the resilver is done) a name may still be on another disk, at most in the same version:
//! whoever changes it moves it first ([`crate::shifts`]), whoever reads it and does not find it asks the other disks.
//! A disk that is out of service stays in the set as one that may hold a name, until the operator gives it up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, Guard};
use weir_cluster::hrw;
use weir_store::Mountpath;

use crate::committer::CommitPort;
use crate::disk::RingFile;

/// One attachment of a mountpath, unlike any other of this process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DiskId(u64);

impl DiskId {
    /// A new one.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// One mountpath as the threads of a node share it.
#[derive(Clone)]
pub struct Disk {
    /// Which attachment of it.
    pub id: DiskId,
    /// Its directory.
    pub path: Arc<PathBuf>,
    /// Placement digest of its path.
    pub digest: u64,
    /// The store's shared state.
    pub mountpath: Arc<Mountpath<RingFile>>,
    /// Whether its file system refuses O_DIRECT.
    pub buffered_only: Arc<AtomicBool>,
    /// The way to its committer.
    pub commits: CommitPort,
    /// What it is for.
    pub duty: Duty,
}

/// What a disk in service is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Duty {
    /// Names belong to it.
    Serving,
    /// No name belongs to it any more: what it holds is moved away.
    Leaving,
    /// No name belongs to it yet: it was out of service, and what others have of its names by now is removed from it.
    Returning,
}

impl Disk {
    fn serves(&self) -> bool {
        self.duty == Duty::Serving
    }
}

/// A disk that is out of service, and may hold names that no other disk has.
#[derive(Clone, Debug)]
pub struct Away {
    /// Its directory.
    pub path: Arc<PathBuf>,
    /// Placement digest of its path.
    pub digest: u64,
    /// Why it is out.
    pub why: String,
    /// It went while names were being moved: any name may be on it.
    pub any: bool,
}

/// The disks of a node at one time.
#[derive(Clone, Default)]
pub struct DiskSet {
    /// Grows with every change.
    pub version: u64,
    /// Those in service.
    pub disks: Vec<Disk>,
    /// Those out of service.
    pub away: Vec<Away>,
    /// Whether every name is on the disk that it belongs to.
    pub settled: bool,
    /// The disks of the next set that names will belong to, once what is under way is done.
    next: Option<Vec<(u64, DiskId)>>,
}

impl DiskSet {
    /// A set in force.
    pub fn new(version: u64, disks: Vec<Disk>, away: Vec<Away>, settled: bool) -> Self {
        Self { version, disks, away, settled, next: None }
    }

    /// The disk that a name belongs to, by its number; none when there is no disk.
    pub fn placed(&self, object: u64) -> Option<usize> {
        let here = self.disks.iter().enumerate().filter(|(_, disk)| disk.serves());
        hrw::pick(here.map(|(at, disk)| (disk.digest, at)), object)
    }

    /// The disk out of service that may hold a name which is on none in service.
    pub fn away_of(&self, object: u64) -> Option<&Away> {
        if self.away.is_empty() {
            return None;
        }
        let here = self.disks.iter().filter(|disk| disk.serves()).map(|disk| (disk.digest, None));
        let away = self.away.iter().map(|away| (away.digest, Some(away)));
        hrw::pick(here.chain(away), object).flatten().or_else(|| self.away.iter().find(|away| away.any))
    }

    /// Numbers of the disks that may hold a name that belongs to disk `at`, besides that one.
    pub fn others(&self, at: usize) -> impl Iterator<Item = usize> + use<> {
        let count = if self.settled { 0 } else { self.disks.len() };
        (0..count).filter(move |other| *other != at)
    }

    /// Whether changes of a name wait for the next set, in which it belongs to another disk.
    pub fn is_about_to_move(&self, object: u64) -> bool {
        let Some(next) = &self.next else { return false };
        let now = self.placed(object).and_then(|at| self.disks.get(at)).map(|disk| disk.id);
        hrw::pick(next.iter().copied(), object) != now
    }

    /// Numbers of all disks that may hold a name: those that it belongs to first, in the order of its copies.
    pub(crate) fn ranked(&self, object: u64) -> Vec<usize> {
        let here = self.disks.iter().enumerate().filter(|(_, disk)| disk.serves());
        let mut all = hrw::pick_many(here.map(|(at, disk)| (disk.digest, at)), object, usize::MAX);
        all.extend(self.disks.iter().enumerate().filter(|(_, disk)| !disk.serves()).map(|(at, _)| at));
        all
    }

    /// How many disks names belong to.
    pub(crate) fn serving(&self) -> usize {
        self.disks.iter().filter(|disk| disk.serves()).count()
    }

    /// Whether changes of a name with so many copies wait for the next set, in which they belong to other disks.
    pub(crate) fn are_about_to_move(&self, object: u64, copies: usize) -> bool {
        let Some(next) = &self.next else { return false };
        let now = self.disks.iter().filter(|disk| disk.serves()).map(|disk| (disk.digest, disk.id));
        hrw::pick_many(now, object, copies) != hrw::pick_many(next.iter().copied(), object, copies)
    }

    /// The disk out of service that may hold one of so many copies of a name.
    pub(crate) fn away_of_copies(&self, object: u64, copies: usize) -> Option<&Away> {
        if self.away.is_empty() {
            return None;
        }
        let here = self.disks.iter().filter(|disk| disk.serves()).map(|disk| (disk.digest, None));
        let away = self.away.iter().map(|away| (away.digest, Some(away)));
        let holders = hrw::pick_many(here.chain(away), object, copies);
        holders.into_iter().flatten().next().or_else(|| self.away.iter().find(|away| away.any))
    }

    /// Whether a disk of this set takes changes of a name.
    pub(crate) fn takes(&self, disk: DiskId, object: u64) -> bool {
        let placed = self.placed(object).and_then(|at| self.disks.get(at));
        placed.is_some_and(|placed| placed.id == disk) && !self.is_about_to_move(object)
    }

    /// The same set on its way to `next`: names that will belong elsewhere take no changes.
    pub fn closing(&self, next: &Self) -> Self {
        let to = next.disks.iter().filter(|disk| disk.serves()).map(|disk| (disk.digest, disk.id));
        Self { next: Some(to.collect()), version: self.version + 1, ..self.clone() }
    }

    /// Whether a disk is in service.
    pub fn has(&self, disk: DiskId) -> bool {
        self.disks.iter().any(|known| known.id == disk)
    }

    /// A disk by its directory.
    pub fn find(&self, path: &std::path::Path) -> Option<&Disk> {
        self.disks.iter().find(|disk| **disk.path == *path)
    }
}

/// Where the set is published. Clones share it.
#[derive(Clone, Default)]
pub struct Disks(Arc<ArcSwap<DiskSet>>);

impl Disks {
    /// The set of now, for a short look.
    pub fn load(&self) -> Guard<Arc<DiskSet>> {
        self.0.load()
    }

    /// The set of now, to keep.
    pub fn now(&self) -> Arc<DiskSet> {
        self.0.load_full()
    }

    /// Publishes a set. Only the owner of the node's disks does.
    pub fn publish(&self, set: DiskSet) {
        self.0.store(Arc::new(set));
    }
}
