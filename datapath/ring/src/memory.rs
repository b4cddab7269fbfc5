//! The memory behind buffers: one mapping for a pool, aligned allocations for the rest. All of it starts zero-filled.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;

/// Alignment of every buffer: what O_DIRECT asks at most, and a page.
pub(crate) const ALIGN: usize = 4096;
/// A huge page of x86-64 and of aarch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;

/// An anonymous mapping, its start on a huge-page boundary. Unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Region {
    mapped: NonNull<u8>,
    mapped_bytes: usize,
    start: NonNull<u8>,
    bytes: usize,
}

impl Region {
    /// Maps `bytes` (more than none) of zeroes and asks for huge pages; where there are none, small ones serve.
    pub(crate) fn new(bytes: usize) -> io::Result<Region> {
        assert!(bytes > 0, "an empty region");
        let mapped_bytes = bytes + HUGE;
        // SAFETY: a new anonymous private mapping at an address of the kernel's choice touches no memory of this program.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapped = NonNull::new(address.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let skip = mapped.as_ptr().align_offset(HUGE);
        // SAFETY: `skip` < HUGE, and the mapping is HUGE longer than `bytes`: start and start + bytes lie within it.
        let start = unsafe { mapped.add(skip) };
        // SAFETY: the range lies in the mapping just made; the advice changes no content. Its failure only costs speed.
        unsafe { libc::madvise(start.as_ptr().cast(), bytes, libc::MADV_HUGEPAGE) };
        Ok(Region { mapped, mapped_bytes, start, bytes })
    }

    /// Makes every page present, as registering does: memory that is not there is missed now, not under load. Best effort.
    pub(crate) fn populate(&self) {
        // SAFETY: the range lies in the mapping of this region; populating changes no content.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, libc::MADV_POPULATE_WRITE) };
    }

    /// Start of the piece at `offset`, which must lie within the region with its `len` bytes.
    pub(crate) fn at(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.bytes), "a piece outside its region");
        // SAFETY: the assertion above keeps the result within the mapping.
        unsafe { self.start.add(offset) }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `mapped` and `mapped_bytes` are what mmap gave; pool buffers hold the region by Rc, so none is left.
        unsafe { libc::munmap(self.mapped.as_ptr().cast(), self.mapped_bytes) };
    }
}

/// An aligned, zero-filled allocation of the heap. Freed when dropped.
#[derive(Debug)]
pub(crate) struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// Allocates `bytes`, rounded up to the alignment and at least one unit of it. Aborts when there is no memory.
    pub(crate) fn new(bytes: usize) -> Block {
        let bytes = bytes.max(1).next_multiple_of(ALIGN);
        let layout =
            Layout::from_size_align(bytes, ALIGN).unwrap_or_else(|_| panic!("a buffer of {bytes} bytes"));
        // SAFETY: the layout's size is at least ALIGN, so not zero.
        let start = unsafe { alloc_zeroed(layout) };
        match NonNull::new(start) {
            Some(start) => Block { start, layout },
            None => handle_alloc_error(layout),
        }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, freed once, here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_start_on_huge_pages_and_blocks_on_pages() {
        let region = Region::new(3 * ALIGN).unwrap();
        assert_eq!(region.at(0, 3 * ALIGN).as_ptr().align_offset(HUGE), 0);
        assert_eq!(region.at(ALIGN, ALIGN).as_ptr() as usize - region.at(0, 1).as_ptr() as usize, ALIGN);
        for bytes in [0, 1, ALIGN, ALIGN + 1] {
            let block = Block::new(bytes);
            assert_eq!(block.start().as_ptr().align_offset(ALIGN), 0);
            assert!(block.bytes() >= bytes.max(1) && block.bytes().is_multiple_of(ALIGN));
        }
    }

    #[test]
    #[should_panic(expected = "outside its region")]
    fn a_piece_outside_is_refused() {
        Region::new(ALIGN).unwrap().at(ALIGN, 1);
    }
}
