//! A process's file, in memory: what was not synced is kept or lost together when the process dies.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::StorageBackend;

/// The file. It outlives the processes that open it one after the other.
#[derive(Clone, Default, Debug)]
pub(super) struct Disk(Arc<Inner>);

#[derive(Default, Debug)]
struct Inner {
    bytes: Mutex<Bytes>,
    /// Counts the lives of the process: an earlier one writes no more.
    life: AtomicU64,
}

#[derive(Default, Debug)]
struct Bytes {
    now: Vec<u8>,
    /// How to come back to what was synced last, newest change at the end.
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    Bytes(usize, Vec<u8>),
    /// The length was this, with these bytes behind what it became.
    Length(usize, Vec<u8>),
}

/// The file as one life of the process has it open.
#[derive(Debug)]
pub(super) struct Open {
    disk: Disk,
    life: u64,
}

impl Disk {
    /// For a new life of the process.
    pub(super) fn open(&self) -> Open {
        Open { disk: self.clone(), life: self.0.life.load(Ordering::Relaxed) }
    }

    /// The process died; with the power, if `power`: then what was not synced is lost.
    pub(super) fn died(&self, power: bool) {
        self.0.life.fetch_add(1, Ordering::Relaxed);
        let bytes = &mut *self.0.bytes.lock();
        let undo = std::mem::take(&mut bytes.undo);
        for change in undo.into_iter().rev().filter(|_| power) {
            match change {
                Undo::Bytes(at, old) => bytes.now[at..at + old.len()].copy_from_slice(&old),
                Undo::Length(length, rest) => {
                    bytes.now.truncate(length - rest.len());
                    bytes.now.extend(rest);
                    bytes.now.resize(length, 0);
                }
            }
        }
    }
}

impl Open {
    fn alive(&self) -> io::Result<()> {
        let alive = self.disk.0.life.load(Ordering::Relaxed) == self.life;
        alive.then_some(()).ok_or_else(|| io::Error::other("the process is dead"))
    }
}

impl StorageBackend for Open {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.bytes.lock().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.alive()?;
        let at = usize::try_from(offset).unwrap();
        let bytes = self.disk.0.bytes.lock();
        let found = bytes.now.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.alive()?;
        let bytes = &mut *self.disk.0.bytes.lock();
        let (was, len) = (bytes.now.len(), usize::try_from(len).unwrap());
        let rest = bytes.now.get(len..).unwrap_or_default().to_vec();
        bytes.undo.push(Undo::Length(was, rest));
        bytes.now.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive()?;
        self.disk.0.bytes.lock().undo.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.alive()?;
        let bytes = &mut *self.disk.0.bytes.lock();
        let at = usize::try_from(offset).unwrap();
        let place = bytes.now.get_mut(at..at + data.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.undo.push(Undo::Bytes(at, place.to_vec()));
        place.copy_from_slice(data);
        Ok(())
    }
}
