//! A thread's own ways to the disks: opened when they are first needed, closed once their disk has left the set.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use weir_ring::{DiskRing, Handle};
use weir_store::Volume;

use crate::ShardError;
use crate::disk::{RingDisk, Role};
use crate::disks::{Disk, DiskId, DiskSet, Disks};

/// Rings of disks that were closed: a reactor keeps its rings, so that the next disk takes one of these.
#[derive(Default)]
pub(crate) struct SpareRings(RefCell<Vec<DiskRing>>);

impl SpareRings {
    fn take(&self, handle: &Handle) -> Result<DiskRing, ShardError> {
        match self.0.borrow_mut().pop() {
            Some(ring) => Ok(ring),
            None => Ok(handle.disk_ring()?),
        }
    }

    pub(crate) fn give_back(&self, ring: DiskRing) {
        self.0.borrow_mut().push(ring);
    }
}

/// What one thread has open.
pub(crate) struct Volumes {
    handle: Handle,
    role: Role,
    disks: Disks,
    open: RefCell<Vec<(DiskId, Volume<RingDisk>)>>,
    /// Version of the set that `open` was last compared with.
    seen: Cell<u64>,
    spare: Rc<SpareRings>,
}

impl Volumes {
    pub(crate) fn new(handle: Handle, role: Role, disks: Disks) -> Self {
        let (open, seen, spare) = Default::default();
        Self { handle, role, disks, open, seen, spare }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn disks(&self) -> &Disks {
        &self.disks
    }

    /// The way to a disk.
    pub(crate) fn of(&self, disk: &Disk) -> Result<Volume<RingDisk>, ShardError> {
        if let Some((_, volume)) = self.open.borrow().iter().find(|(id, _)| *id == disk.id) {
            return Ok(volume.clone());
        }
        let io = |error| ShardError::Io { what: format!("mountpath {}", disk.path.display()), error };
        let ring = self.spare.take(&self.handle)?;
        let own = RingDisk::open_on(
            self.handle.clone(),
            (ring, Some(self.spare.clone())),
            &disk.path,
            self.role,
            disk.buffered_only.clone(),
        );
        let volume = Volume::new(own.map_err(io)?, disk.mountpath.clone());
        // What has left the set by now is for who asked alone.
        if self.disks.load().has(disk.id) {
            self.open.borrow_mut().push((disk.id, volume.clone()));
        }
        Ok(volume)
    }

    /// The way to a disk of a set by its number.
    pub(crate) fn at(&self, set: &DiskSet, at: usize) -> Option<Volume<RingDisk>> {
        let disk = set.disks.get(at)?;
        let opened = self.of(disk);
        opened.inspect_err(|error| tracing::error!("{error}")).ok()
    }

    /// Closes what is not in the set of now; gives the set if it is another one than at the last call.
    pub(crate) fn follow(&self) -> Option<Arc<DiskSet>> {
        let set = self.disks.now();
        if self.seen.replace(set.version) == set.version {
            return None;
        }
        self.open.borrow_mut().retain(|(id, _)| set.has(*id));
        Some(set)
    }
}
