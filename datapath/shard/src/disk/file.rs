//! Files and buffers of a ring disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_ring::{Buf, Fd, sys};
use weir_store::{Buffer, DiskError, DiskPath, FileStat};

use super::calls::at;

/// What the page cache counts in, in bytes.
const PAGE_BYTES: u64 = 4096;
/// Ranges from here on are asked about in two steps.
const LONG_BYTES_MIN: u64 = 128 << 10;

/// A file of a [`RingDisk`].
#[derive(Clone)]
pub struct RingFile(pub(super) Arc<OpenFile>);

pub(super) struct OpenFile {
    pub(super) fd: Fd,
    /// Transfers keep to [`ALIGN`]: it was opened with O_DIRECT.
    pub(super) aligned: bool,
    /// Whether transfers pass the page cache by now.
    pub(super) direct: AtomicBool,
    /// Its name was not in the kernel's caches, so neither may be what else it has on the disk.
    pub(super) cold: bool,
    /// Of a file opened for reading: it does not change, and need not be asked twice.
    pub(super) stat: Option<FileStat>,
    pub(super) path: DiskPath,
}

/// How much of a range of a file is in the page cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Residency {
    /// All of it.
    Whole,
    /// Not all of it, or the kernel cannot tell.
    Part,
    /// Not all of it, and some of what is missing was there before.
    Evicted,
}

impl RingFile {
    /// A file that is not of a mountpath, open for reading.
    pub(crate) fn of_others(fd: Fd) -> Self {
        let (direct, path) = (AtomicBool::new(false), DiskPath::root());
        Self(Arc::new(OpenFile { fd, aligned: false, direct, cold: true, stat: None, path }))
    }

    /// The descriptor, for strategies that hand it to the kernel.
    pub fn fd(&self) -> &Fd {
        &self.0.fd
    }

    /// Chooses the way of transfers from here on: past the page cache, which only a file opened so can, or through it.
    pub(crate) fn set_direct(&self, direct: bool) -> Result<(), DiskError> {
        let file = &self.0;
        if file.aligned && file.direct.load(Ordering::Relaxed) != direct {
            sys::set_direct_io(&file.fd, direct).map_err(|e| at("open", &file.path, &e))?;
            file.direct.store(direct, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &DiskPath {
        &self.0.path
    }

    /// Asks what the page cache has of a range that is not empty. Of a long one whose first page is missing, only of that page:
    /// for every page that was evicted the kernel looks up whether its control group has room for it.
    pub(crate) fn residency(&self, offset: u64, bytes: u64) -> Residency {
        if bytes < LONG_BYTES_MIN {
            return self.residency_of_all(offset, bytes);
        }
        match self.residency_of_all(offset, 1) {
            Residency::Whole => self.residency_of_all(offset, bytes),
            missing => missing,
        }
    }

    /// The same by one question, for a range that was there a moment ago.
    pub(crate) fn residency_of_all(&self, offset: u64, bytes: u64) -> Residency {
        let pages = (offset + bytes).div_ceil(PAGE_BYTES) - offset / PAGE_BYTES;
        match sys::cachestat(&self.0.fd, offset, bytes) {
            Ok(cache) if cache.cached >= pages => Residency::Whole,
            Ok(cache) if cache.evicted > 0 => Residency::Evicted,
            _ => Residency::Part,
        }
    }
}

/// A buffer of a [`RingDisk`]: the reactor's own.
pub struct RingBuf(pub Buf);

impl std::ops::Deref for RingBuf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
impl std::ops::DerefMut for RingBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}
impl Buffer for RingBuf {
    fn capacity(&self) -> usize {
        self.0.capacity()
    }
    fn set_len(&mut self, len: usize) {
        self.0.set_len(len);
    }
}
