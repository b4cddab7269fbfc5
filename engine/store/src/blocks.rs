//! Block checksums: crc32c of each block of an object, the block's size a function of the object's size alone.

use crc_fast::CrcAlgorithm::Crc32Iscsi;
use weir_types::limits::CHECKSUM_BLOCK_BYTES_MAX;

/// Smallest block in bytes: what direct I/O aligns to.
pub(crate) const BLOCK_BYTES_MIN: u32 = 4096;
/// Blocks that an object below `BLOCKS_AIMED * CHECKSUM_BLOCK_BYTES_MAX` has at most: keeps its record small.
const BLOCKS_AIMED: u64 = 8;

/// crc32c of `bytes`.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    // The algorithm is 32 bits wide; the crate returns u64 for all of them.
    crc_fast::checksum(Crc32Iscsi, bytes) as u32
}

/// The polynomial of crc32c without its highest term. A polynomial over GF(2) is written here as the checksum is: the
/// highest bit is the coefficient of 1, the lowest that of x^31.
const POLYNOMIAL: u32 = 0x82F6_3B78;
/// The polynomial 1.
const ONE: u32 = 1 << 31;

/// `x^(8 * 2^k)` for each `k`, modulo the polynomial: what a power of two of bytes shifts a checksum by. Longer runs than
/// 2^63 bytes there are none.
const SHIFTS: [u32; 64] = {
    let mut shifts = [0; 64];
    // x^8.
    let mut shift = ONE >> 8;
    let mut k = 0;
    while k < shifts.len() {
        shifts[k] = shift;
        shift = times(shift, shift);
        k += 1;
    }
    shifts
};

/// The product of two polynomials modulo that of crc32c.
const fn times(a: u32, mut b: u32) -> u32 {
    let mut product = 0;
    let mut term = ONE;
    while term != 0 {
        if a & term != 0 {
            product ^= b;
        }
        // Times x.
        b = if b & 1 == 0 { b >> 1 } else { (b >> 1) ^ POLYNOMIAL };
        term >>= 1;
    }
    product
}

/// crc32c of two runs of bytes from that of each: the first one's, shifted by the length of the second, plus that.
///
/// One multiplication for each bit set in the length, and blocks are powers of two. The checksum library squares matrices
/// instead, which costs more than the checksum of the block itself.
pub(crate) fn combine(first: u32, second: u32, second_bytes: u64) -> u32 {
    let bits = (0..u64::BITS).zip(SHIFTS).filter(|(bit, _)| second_bytes >> bit & 1 == 1);
    bits.fold(first, |shifted, (_, shift)| times(shifted, shift)) ^ second
}

/// Size of a checksum block for an object of `size` bytes: a power of two from 4 KiB to 256 KiB.
pub(crate) fn block_bytes(size: u64) -> u32 {
    let mut bytes = BLOCK_BYTES_MIN;
    while bytes < CHECKSUM_BLOCK_BYTES_MAX && u64::from(bytes) * BLOCKS_AIMED < size {
        bytes *= 2;
    }
    bytes
}

/// Number of blocks of an object.
pub(crate) fn block_count(size: u64, block_bytes: u32) -> u64 {
    size.div_ceil(u64::from(block_bytes.max(1)))
}

/// Checksums of an object's blocks, taken as its bytes pass. The size need not be known: when an object outgrows its
/// block size, pairs of checksums are combined into those of blocks twice as large.
pub(crate) struct Summer {
    block_bytes: u32,
    done: Vec<u32>,
    open: crc_fast::Digest,
    open_bytes: u32,
    size: u64,
}

/// What a [`Summer`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sums {
    pub(crate) size: u64,
    pub(crate) block_bytes: u32,
    pub(crate) sums: Vec<u32>,
}

impl Summer {
    pub(crate) fn new(size_hint: u64) -> Self {
        Self {
            block_bytes: block_bytes(size_hint),
            done: Vec::new(),
            open: crc_fast::Digest::new(Crc32Iscsi),
            open_bytes: 0,
            size: 0,
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            self.coarsen();
            let room = (self.block_bytes - self.open_bytes) as usize;
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.open.update(now);
            self.open_bytes += now.len() as u32;
            self.size += now.len() as u64;
            if self.open_bytes == self.block_bytes {
                self.close();
            }
            bytes = rest;
        }
    }

    fn close(&mut self) {
        let open = std::mem::replace(&mut self.open, crc_fast::Digest::new(Crc32Iscsi));
        self.done.push(open.finalize() as u32);
        self.open_bytes = 0;
    }

    /// Doubles the block once the object outgrows it: there are BLOCKS_AIMED full blocks then, or more after a small hint.
    fn coarsen(&mut self) {
        let full = self.open_bytes == 0 && self.size >= u64::from(self.block_bytes) * BLOCKS_AIMED;
        if full && self.block_bytes < CHECKSUM_BLOCK_BYTES_MAX {
            self.done = regroup(&self.done, self.size, self.block_bytes, self.block_bytes * 2);
            self.block_bytes *= 2;
        }
    }

    pub(crate) fn finish(mut self) -> Sums {
        let (size, open_bytes) = (self.size, self.open_bytes);
        if open_bytes > 0 {
            self.done.push(self.open.finalize() as u32);
        }
        let want = block_bytes(size);
        // A hint may have been too small or too large. Too large cannot be undone here: the block stays as it is.
        let sums = if want > self.block_bytes {
            regroup(&self.done, size, self.block_bytes, want)
        } else {
            self.done
        };
        Sums { size, block_bytes: self.block_bytes.max(want), sums }
    }
}

/// Checksums of blocks of `to` bytes from those of `from` bytes (`to` a multiple of `from`) of an object of `size` bytes.
pub(crate) fn regroup(sums: &[u32], size: u64, from: u32, to: u32) -> Vec<u32> {
    let per = (to / from).max(1) as usize;
    let mut at = 0u64;
    sums.chunks(per)
        .map(|group| {
            group.iter().fold(0u32, |whole, sum| {
                let bytes = u64::from(from).min(size.saturating_sub(at));
                let first = at.is_multiple_of(u64::from(to));
                at += u64::from(from);
                if first { *sum } else { combine(whole, *sum, bytes) }
            })
        })
        .collect()
}

impl Sums {
    /// crc32c of the whole.
    pub(crate) fn whole(&self) -> u32 {
        let mut at = 0u64;
        self.sums.iter().fold(0, |whole, sum| {
            let bytes = u64::from(self.block_bytes).min(self.size - at);
            let combined = if at == 0 { *sum } else { combine(whole, *sum, bytes) };
            at += bytes;
            combined
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_size_follows_object_size() {
        let check = |size, want| assert_eq!(block_bytes(size), want, "{size}");
        check(0, 4096);
        check(32 << 10, 4096);
        check((32 << 10) + 1, 8192);
        check(1 << 20, 128 << 10);
        check(2 << 20, 256 << 10);
        check(5 << 40, 256 << 10);
    }

    #[test]
    fn checksums_of_two_runs_make_that_of_both() {
        let data: Vec<u8> = (0..300_001u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for size in [0usize, 1, 3, 4096, 65_537, 300_001] {
            for cut in [0, 1, 2, size / 3, size / 2, size.saturating_sub(1), size] {
                let whole = &data[..size];
                let (first, second) = whole.split_at(cut.min(size));
                let combined = combine(crc32c(first), crc32c(second), second.len() as u64);
                assert_eq!(combined, crc32c(whole), "{size} {cut}");
            }
        }
        // Lengths that no test holds in memory: by the library's own way.
        for bytes in [1 << 30, (1 << 40) + 12_345, u64::MAX >> 1] {
            let expected = crc_fast::checksum_combine(Crc32Iscsi, 0x1234_5678, 0x9ABC_DEF0, bytes) as u32;
            assert_eq!(combine(0x1234_5678, 0x9ABC_DEF0, bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn streaming_equals_blockwise_for_any_hint_and_cut() {
        let data: Vec<u8> = (0..5_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for size in [
            0usize, 1, 4095, 4096, 4097, 32768, 32769, 65536, 65537, 262_144, 1_000_001, 2_097_152, 4_999_999,
        ] {
            let object = &data[..size];
            for hint in [0, size as u64, 1] {
                for cut in [1000usize, 4096, 65_536, 262_144] {
                    let mut s = Summer::new(hint);
                    object.chunks(cut).for_each(|c| s.update(c));
                    let sums = s.finish();
                    assert_eq!(sums.block_bytes, block_bytes(size as u64), "{size} {hint} {cut}");
                    let want: Vec<u32> = object.chunks(sums.block_bytes as usize).map(crc32c).collect();
                    assert_eq!(sums.sums, want, "{size} {hint} {cut}");
                    assert_eq!(sums.whole(), crc32c(object), "{size} {hint} {cut}");
                }
            }
        }
    }
}
