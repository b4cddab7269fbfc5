//! Objects that a shard keeps open: the record with the file or, of small objects in demand, with the bytes.
//!
//! Which of them are still the object of their name is told by the generation table of the mountpath: what was read
//! there before the open must be there still. Of a copy the first disk of its name tells as well: a change may be answered when
//! that alone has it. An object is kept from its second read on, so that one pass over a large set of objects drives none
//! out. This file refuses to know how bytes are sent.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use weir_http::FieldLines;
use weir_store::{Object, Slot, StoreError, Volume};
use weir_types::limits;

use crate::clock::{Clock, Costs, Seen};
use crate::disk::RingDisk;
use crate::disks::{DiskId, DiskSet};
use crate::place::Place;
use crate::shard::Shard;
use crate::shifts;

/// What an entry in memory is counted as, besides its bytes.
const ENTRY_BYTES: usize = 1024;
/// Entries that one sweep looks at: all of them are looked at within a second.
const SWEEP_ENTRIES: usize = limits::OPEN_OBJECTS_MAX / 8;

/// Whose words the fields of an answer are in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    Ais,
    S3,
}

/// An object as it was opened once.
pub(crate) struct Opened {
    pub(crate) object: Object<RingDisk>,
    /// Digest of its name and ID of its bucket.
    key: (u64, u64),
    /// Where its generation is, on its mountpath.
    slot: Slot,
    /// The disk that it is on.
    disk: DiskId,
    generation: Option<u64>,
    /// Of a copy that is not on the first disk of its name: that disk, and its generation of the name while this copy counted.
    first: Option<(DiskId, Option<u64>)>,
    /// Every block was checked while it was in the page cache, where it may still be.
    pub(crate) checked: Cell<bool>,
    lines: [OnceCell<FieldLines>; 2],
}

impl Opened {
    fn new(place: &Place, disk: DiskId, generation: Option<u64>, object: Object<RingDisk>) -> Self {
        Self {
            object,
            key: (place.digest(), place.bid()),
            slot: place.slot(),
            disk,
            generation,
            first: None,
            checked: Cell::new(false),
            lines: Default::default(),
        }
    }

    /// Whether its disk still has it under its name; none while a change is under way.
    fn is_current(&self) -> Option<bool> {
        self.object.mountpath().generation(self.slot).map(|now| self.generation == Some(now))
    }

    /// Whether, while it is current, it is what counts of its name; none while a change is under way. Of one of several copies
    /// the first disk decides, and another one may be the first by now.
    fn counts_at(&self, place: &Place) -> Option<bool> {
        let Some((disk, generation)) = self.first else {
            return Some(self.object.record().copies < 2 || self.disk == place.disk().id);
        };
        Some(disk == place.disk().id && Some(place.volume().mountpath().generation(self.slot)?) == generation)
    }

    /// The first disk of its name and the generation there that a copy of the same commit goes by.
    fn first(&self) -> (DiskId, Option<u64>) {
        self.first.unwrap_or((self.disk, self.generation))
    }

    /// The fields that every whole answer of a dialect has for it, written once.
    pub(crate) fn lines(&self, dialect: Dialect, write: impl FnOnce() -> FieldLines) -> &FieldLines {
        self.lines[dialect as usize].get_or_init(write)
    }

    /// The same, if they were written.
    pub(crate) fn lines_written(&self, dialect: Dialect) -> Option<&FieldLines> {
        self.lines[dialect as usize].get()
    }

    fn is_of(&self, place: &Place) -> bool {
        self.key == (place.digest(), place.bid()) && *self.object.name() == place.name
    }

    /// Files and bytes that keeping it takes.
    fn costs(&self) -> Costs {
        match self.object.content() {
            Some(content) => [0, content.len() + ENTRY_BYTES],
            None => [1, 0],
        }
    }
}

/// Opens an object: as it is kept, or from its disk. Says whether it was read before, as far as is remembered.
pub(crate) async fn open(shard: &Shard, place: &Place) -> Result<(Rc<Opened>, bool), StoreError> {
    if let Some(kept) = find(shard, place) {
        return Ok((kept, true));
    }
    let opened = match open_at(place, place.disk().id, place.volume()).await {
        Ok(opened) if opened.object.record().copies > 1 => balanced(shard, place, Rc::new(opened)).await,
        Ok(opened) => Rc::new(opened),
        Err(error) if error.is_not_found() || place.copies() > 1 => {
            // Boxed: few requests come here, and each connection would hold its state.
            Box::pin(search(shard, place)).await?
        }
        Err(error) => return Err(error),
    };
    let again = shard.opened.borrow_mut().seen.again(place.digest());
    // What is in memory because its file is not made yet is kept as it is: it counts with the bytes of others.
    if again {
        keep(shard, opened.clone());
    }
    Ok((opened, again))
}

async fn open_at(place: &Place, disk: DiskId, volume: &Volume<RingDisk>) -> Result<Opened, StoreError> {
    let generation = volume.mountpath().generation(place.slot());
    let object = volume.open_as(&place.bucket, &place.name, weir_store::Access::Direct).await?;
    #[cfg(debug_assertions)]
    let generation =
        crate::planted::late_generation(generation, || volume.mountpath().generation(place.slot()));
    Ok(Opened::new(place, disk, generation, object))
}

/// Looks for what is not where its name belongs.
async fn search(shard: &Shard, place: &Place) -> Result<Rc<Opened>, StoreError> {
    let name = (&place.bucket, &place.name, place.digest());
    // What comes to the first disk after the look is not in what was found.
    let generation = place.volume().mountpath().generation(place.slot());
    let open = async |disk, volume: &Volume<RingDisk>| open_at(place, disk, volume).await;
    let moves = shard.shared.walker.moves();
    let mut found = shifts::look(&shard.volumes, moves, name, Some(place.set()), open).await?;
    let copies = usize::from(found.object.record().copies);
    if found.disk != place.disk().id && copies.max(place.copies()) > 1 {
        // Under another set another disk may have been the first.
        let same = shard.shared.disks.load().version == place.set().version;
        found.first = Some((place.disk().id, generation.filter(|_| same)));
        if copies > 1 {
            shard.shared.walker.mend(&place.bucket, &place.name);
        }
    }
    Ok(Rc::new(found))
}

/// One of the copies of an object that was opened where its name belongs, each in its turn. What is not of the same commit is
/// none, and is seen to. Such a copy is as good as the first as long as neither of the two disks has another.
async fn balanced(shard: &Shard, place: &Place, first: Rc<Opened>) -> Rc<Opened> {
    let copies = usize::from(first.object.record().copies);
    let turn = shard.opened.borrow_mut().next_turn() % copies;
    if turn == 0 || first.object.content().is_some() {
        return first;
    }
    let ranked = place.set().ranked(place.digest());
    let Some(at) = ranked.get(turn).copied() else { return first };
    match Box::pin(copy_at(shard, place, at, &first)).await {
        Some(copy) => copy,
        // It may be on its way.
        None if place.info().props.copies_after().is_some() => first,
        None => {
            shard.shared.walker.mend(&place.bucket, &place.name);
            first
        }
    }
}

/// The same object on another disk. It goes by what the first disk was when `like` was opened: its commit was compared with
/// nothing later.
async fn copy_at(shard: &Shard, place: &Place, at: usize, like: &Opened) -> Option<Rc<Opened>> {
    let disk = place.set().disks.get(at)?.id;
    let copy = open_at(place, disk, &shard.volumes.at(place.set(), at)?).await.ok()?;
    let is_same = copy.object.record().commit == like.object.record().commit;
    is_same.then(|| Rc::new(Opened { first: Some(like.first()), ..copy }))
}

/// Another copy of an object of which one cannot be read as it was written; that one is seen to.
pub(crate) async fn another(shard: &Shard, place: &Place, bad: &Opened) -> Option<Rc<Opened>> {
    if bad.object.record().copies < 2 {
        return None;
    }
    shard.shared.walker.mend(&place.bucket, &place.name);
    for at in place.set().ranked(place.digest()) {
        if place.set().disks.get(at).is_some_and(|disk| disk.id != bad.disk)
            && let Some(copy) = copy_at(shard, place, at, bad).await
        {
            return Some(copy);
        }
    }
    None
}

/// The object as it is kept, if it is still that of its name.
pub(crate) fn find(shard: &Shard, place: &Place) -> Option<Rc<Opened>> {
    let mut cache = shard.opened.borrow_mut();
    let kept = cache.find(place)?;
    if kept.is_none() {
        cache.report(shard);
    }
    kept
}

/// Closes some of what is no longer the object of its name: until then the disk has no room for its successor's successor.
pub(crate) fn sweep(shard: &Shard) {
    let mut cache = shard.opened.borrow_mut();
    let kept = cache.kept.costs();
    cache.kept.sweep(SWEEP_ENTRIES, |opened| {
        // While a change is under way nobody knows; the next sweep does.
        opened.is_current() == Some(false)
    });
    if cache.kept.costs() != kept {
        cache.report(shard);
    }
}

/// Closes what is on disks that have left the set.
pub(crate) fn close_others(shard: &Shard, set: &DiskSet) {
    let mut cache = shard.opened.borrow_mut();
    cache.kept.sweep(usize::MAX, |opened| !set.has(opened.disk));
    cache.report(shard);
}

/// Keeps the bytes of an open object, all of which were read and checked, instead of its file.
pub(crate) fn keep_content(
    shard: &Shard,
    place: &Place,
    opened: &Opened,
    content: Arc<[u8]>,
) -> Option<Rc<Opened>> {
    let object = opened.object.in_memory(content)?;
    let kept = Opened::new(place, opened.disk, opened.generation, object);
    let kept = Rc::new(Opened { first: opened.first, ..kept });
    keep(shard, kept.clone());
    Some(kept)
}

/// What a shard keeps open: files and bytes are bounded.
pub(crate) struct OpenCache {
    kept: Clock<Rc<Opened>>,
    seen: Seen,
    /// Objects with copies that were opened.
    turns: usize,
}

impl OpenCache {
    /// Keeps at most so many files open, and so many bytes in memory.
    pub(crate) fn new(files_max: usize, bytes_max: usize) -> Self {
        Self { kept: Clock::new([files_max, bytes_max]), seen: Seen::new(limits::SEEN_OBJECTS), turns: 0 }
    }

    fn next_turn(&mut self) -> usize {
        self.turns = self.turns.wrapping_add(1);
        self.turns
    }

    /// `None` while a change is under way; `Some(None)`: it is not kept.
    fn find(&mut self, place: &Place) -> Option<Option<Rc<Opened>>> {
        let Some(opened) = self.kept.find(place.digest()) else { return Some(None) };
        if !opened.is_of(place) {
            return Some(None);
        }
        let is_here = opened.disk == place.disk().id || place.set().has(opened.disk);
        if !(opened.is_current()? && opened.counts_at(place)? && is_here) {
            self.kept.remove(place.digest());
            return Some(None);
        }
        Some(Some(opened.clone()))
    }

    fn report(&self, shard: &Shard) {
        let [files, bytes] = self.kept.costs();
        shard.metrics.open_objects.store(files as u64, Relaxed);
        shard.metrics.hot_bytes.store(bytes as u64, Relaxed);
    }
}

/// Keeps what was opened while no change was under way, on a disk that is still in service.
fn keep(shard: &Shard, opened: Rc<Opened>) {
    let is_settled = opened.generation.is_some() && opened.first().1.is_some();
    if is_settled && shard.shared.disks.load().has(opened.disk) {
        let mut cache = shard.opened.borrow_mut();
        cache.kept.keep(opened.key.0, opened.costs(), opened);
        cache.report(shard);
    }
}
