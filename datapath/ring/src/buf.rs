//! One owned buffer.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::rc::Rc;

use crate::memory::Block;
use crate::pool::Shared;

/// An owned buffer, 4096-aligned, from a pool (it goes back there when dropped) or from the heap.
///
/// It dereferences to its first `len` bytes. Memory is zero-filled when it is reserved, so every byte up to the capacity is
/// initialised at all times; a pool buffer keeps what its last user wrote. A new one has length 0.
pub struct Buf {
    start: NonNull<u8>,
    capacity: usize,
    len: usize,
    home: Home,
}

enum Home {
    Pool {
        pool: Rc<Shared>,
        index: u16,
    },
    /// Held for its drop alone.
    Heap {
        _block: Block,
    },
}

impl Buf {
    pub(crate) fn from_pool(pool: Rc<Shared>, index: u16) -> Buf {
        let (start, capacity) = pool.memory(index);
        Buf { start, capacity, len: 0, home: Home::Pool { pool, index } }
    }

    /// A buffer of the heap with room for at least `bytes`.
    pub fn heap(bytes: usize) -> Buf {
        let block = Block::new(bytes);
        Buf { start: block.start(), capacity: block.bytes(), len: 0, home: Home::Heap { _block: block } }
    }

    /// Bytes it can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Sets how many bytes it dereferences to.
    ///
    /// # Panics
    /// If `len` is above the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "length {len} of a buffer of {}", self.capacity);
        self.len = len;
    }

    /// Whether it came from a pool (and not from the heap).
    pub fn pooled(&self) -> bool {
        matches!(self.home, Home::Pool { .. })
    }

    /// The pool it came from.
    pub(crate) fn pool(&self) -> Option<&Rc<Shared>> {
        match &self.home {
            Home::Pool { pool, .. } => Some(pool),
            Home::Heap { .. } => None,
        }
    }

    /// Its index in the table of registered buffers.
    pub(crate) fn index(&self) -> Option<u16> {
        match &self.home {
            Home::Pool { index, .. } => Some(*index),
            Home::Heap { .. } => None,
        }
    }

    /// Address and length of a piece that the kernel may fill: within the capacity.
    pub(crate) fn target(&self, at: usize, len: usize) -> (*mut u8, u32) {
        assert!(
            at.checked_add(len).is_some_and(|end| end <= self.capacity),
            "{len} bytes at {at} of a buffer of {}",
            self.capacity
        );
        (self.start.as_ptr().wrapping_add(at), u32::try_from(len).unwrap_or(u32::MAX))
    }

    /// Address and length of a piece that the kernel may read: within the length.
    pub(crate) fn source(&self, range: &Range<usize>) -> (*const u8, u32) {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "bytes {}..{} of a buffer that holds {}",
            range.start,
            range.end,
            self.len
        );
        (self.start.as_ptr().wrapping_add(range.start), u32::try_from(range.len()).unwrap_or(u32::MAX))
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is valid for `capacity` >= `len` initialised bytes while `home` lives, and `self` owns them alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes the access exclusive, and no operation holds a buffer that a caller has.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf")
            .field("len", &self.len)
            .field("capacity", &self.capacity)
            .field("pooled", &self.pooled())
            .finish()
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Home::Pool { pool, index } = &self.home {
            pool.give_back(*index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_buffer_is_empty_zeroed_and_aligned() {
        let mut buf = Buf::heap(5000);
        assert_eq!((buf.len(), buf.capacity(), buf.pooled()), (0, 8192, false));
        buf.set_len(8192);
        assert!(buf.iter().all(|b| *b == 0));
        buf[8191] = 7;
        buf.set_len(0);
        buf.set_len(8192);
        assert_eq!(buf[8191], 7);
    }

    #[test]
    #[should_panic(expected = "length 4097")]
    fn a_length_above_the_capacity_is_refused() {
        Buf::heap(4096).set_len(4097);
    }

    #[test]
    #[should_panic(expected = "bytes 0..1 of a buffer that holds 0")]
    fn the_kernel_never_reads_past_the_length() {
        Buf::heap(4096).source(&(0..1));
    }

    #[test]
    #[should_panic(expected = "4096 bytes at 1")]
    fn the_kernel_never_writes_past_the_capacity() {
        Buf::heap(4096).target(1, 4096);
    }
}
