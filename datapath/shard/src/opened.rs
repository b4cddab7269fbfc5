//! Objects that a shard keeps open: the record with the file or, of small objects in demand, with the bytes.
//!
//! Which of them are still the object of their name is told by the generation table of the mountpath: what was read
//! there before the open must be there still. An object is kept from its second read on, so that one pass over a large
//! set of objects drives none out. This file refuses to know how bytes are sent.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use weir_http::FieldLines;
use weir_store::{Object, Slot, StoreError};
use weir_types::limits;

use crate::clock::{Clock, Costs, Seen};
use crate::disk::RingDisk;
use crate::place::Place;
use crate::shard::Shard;

/// What an entry in memory is counted as, besides its bytes.
const ENTRY_BYTES: usize = 1024;
/// Entries that one sweep looks at: all of them are looked at within a second.
const SWEEP_ENTRIES: usize = limits::OPEN_OBJECTS_MAX / 32;

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
    /// Where its generation is: the number of its disk and the slot there.
    slot: (usize, Slot),
    generation: Option<u64>,
    /// Every block was checked while it was in the page cache, where it may still be.
    pub(crate) checked: Cell<bool>,
    lines: [OnceCell<FieldLines>; 2],
}

impl Opened {
    fn new(place: &Place, generation: Option<u64>, object: Object<RingDisk>) -> Self {
        Self {
            object,
            key: (place.digest(), place.bid()),
            slot: (place.disk(), place.slot()),
            generation,
            checked: Cell::new(false),
            lines: Default::default(),
        }
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
    let volume = place.volume(shard);
    let generation = volume.mountpath().generation(place.slot());
    let object = volume.open_as(&place.bucket, &place.name, weir_store::Access::Direct).await?;
    #[cfg(debug_assertions)]
    let generation =
        crate::planted::late_generation(generation, || volume.mountpath().generation(place.slot()));
    let opened = Rc::new(Opened::new(place, generation, object));
    let again = shard.opened.borrow_mut().seen.again(place.digest());
    // What is in memory because its file is not made yet is kept as it is: it counts with the bytes of others.
    if again {
        keep(shard, opened.clone());
    }
    Ok((opened, again))
}

/// The object as it is kept, if it is still that of its name.
pub(crate) fn find(shard: &Shard, place: &Place) -> Option<Rc<Opened>> {
    let generation = place.volume(shard).mountpath().generation(place.slot())?;
    let mut cache = shard.opened.borrow_mut();
    let kept = cache.find(place, generation);
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
        let (disk, slot) = opened.slot;
        let now = shard.volumes.get(disk).and_then(|volume| volume.mountpath().generation(slot));
        // While a change is under way nobody knows; the next sweep does.
        now.is_some() && now != opened.generation
    });
    if cache.kept.costs() != kept {
        cache.report(shard);
    }
}

/// Keeps the bytes of an open object, all of which were read and checked, instead of its file.
pub(crate) fn keep_content(
    shard: &Shard,
    place: &Place,
    opened: &Opened,
    content: Arc<[u8]>,
) -> Option<Rc<Opened>> {
    let object = opened.object.in_memory(content)?;
    let kept = Rc::new(Opened::new(place, opened.generation, object));
    keep(shard, kept.clone());
    Some(kept)
}

/// What a shard keeps open: files and bytes are bounded.
pub(crate) struct OpenCache {
    kept: Clock<Rc<Opened>>,
    seen: Seen,
}

impl OpenCache {
    /// Keeps at most so many files open, and so many bytes in memory.
    pub(crate) fn new(files_max: usize, bytes_max: usize) -> Self {
        Self { kept: Clock::new([files_max, bytes_max]), seen: Seen::new(limits::SEEN_OBJECTS) }
    }

    fn find(&mut self, place: &Place, generation: u64) -> Option<Rc<Opened>> {
        let opened = self.kept.find(place.digest())?;
        if !opened.is_of(place) {
            return None;
        }
        if opened.generation != Some(generation) {
            self.kept.remove(place.digest());
            return None;
        }
        Some(opened.clone())
    }

    fn report(&self, shard: &Shard) {
        let [files, bytes] = self.kept.costs();
        shard.metrics.open_objects.store(files as u64, Relaxed);
        shard.metrics.hot_bytes.store(bytes as u64, Relaxed);
    }
}

/// Keeps what was opened while no change was under way.
fn keep(shard: &Shard, opened: Rc<Opened>) {
    if opened.generation.is_some() {
        let mut cache = shard.opened.borrow_mut();
        cache.kept.keep(opened.key.0, opened.costs(), opened);
        cache.report(shard);
    }
}
