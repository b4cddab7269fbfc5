//! What objects contain: for a seed and a name always the same bytes, made at the speed of a copy and checked as fast.
//!
//! A pool of random words, small enough to stay in a core's cache, is the raw material. Each block of [`BLOCK_BYTES`] takes
//! words from a place of the pool that its key says and combines them with the key; the key depends on seed, name and the
//! block's number. So no two blocks are alike, nothing repeats that a compressor could find, and every word of a misplaced
//! block is wrong.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes made from one key.
pub const BLOCK_BYTES: usize = 4096;
const BLOCK_WORDS: usize = BLOCK_BYTES / 8;
/// Words of the pool: 256 KiB.
const POOL_WORDS: usize = 32 << 10;
/// The highest compressibility that is offered.
pub const COMPRESSIBLE_MAX: f64 = 1.6;

/// The content of a set of objects.
pub struct Content {
    pool: Vec<u64>,
    seed: u64,
    /// Words of each block that are not zero.
    random_words: usize,
}

/// Identity of one object's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentKey(u64);

impl Content {
    /// `compressible` is the ratio that a good compressor reaches: 1.0 to [`COMPRESSIBLE_MAX`].
    pub fn new(seed: u64, compressible: f64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let pool = (0..POOL_WORDS).map(|_| rng.next_u64()).collect();
        let ratio = compressible.clamp(1.0, COMPRESSIBLE_MAX);
        // Rounded up: compressible to at most the ratio.
        let random_words = ((BLOCK_WORDS as f64 / ratio).ceil() as usize).min(BLOCK_WORDS);
        Self { pool, seed, random_words }
    }

    /// The content of the object of that name.
    pub fn key(&self, name: &[u8]) -> ContentKey {
        ContentKey(xxh3_64_with_seed(name, self.seed))
    }

    /// Writes what stands at `offset` of an object into all of `out`.
    pub fn fill(&self, key: ContentKey, offset: u64, out: &mut [u8]) {
        let mut block = offset / BLOCK_BYTES as u64;
        let mut skip = (offset % BLOCK_BYTES as u64) as usize;
        let mut rest = out;
        while !rest.is_empty() {
            let len = (BLOCK_BYTES - skip).min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            match <&mut [u8; BLOCK_BYTES]>::try_from(&mut *now) {
                Ok(whole) => self.fill_block(key, block, whole),
                Err(_) => {
                    let mut whole = [0; BLOCK_BYTES];
                    self.fill_block(key, block, &mut whole);
                    now.copy_from_slice(&whole[skip..skip + len]);
                }
            }
            (rest, skip, block) = (later, 0, block + 1);
        }
    }

    fn fill_block(&self, key: ContentKey, block: u64, out: &mut [u8; BLOCK_BYTES]) {
        let word = mix(key.0.wrapping_add(block.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let at = word as usize % (POOL_WORDS - BLOCK_WORDS);
        let (random, zero) = out.split_at_mut(self.random_words * 8);
        for (out, raw) in random.chunks_exact_mut(8).zip(&self.pool[at..]) {
            out.copy_from_slice(&(raw ^ word).to_le_bytes());
        }
        zero.fill(0);
    }

    /// Where `bytes`, which came from `offset` of an object, first differ from its content: the place in the object, the
    /// byte expected there and the byte that came.
    pub fn check(&self, key: ContentKey, offset: u64, bytes: &[u8]) -> Option<Wrong> {
        let mut at = offset;
        let mut rest = bytes;
        let mut expected = [0; BLOCK_BYTES];
        while !rest.is_empty() {
            let len = (BLOCK_BYTES - (at % BLOCK_BYTES as u64) as usize).min(rest.len());
            let (now, later) = rest.split_at(len);
            let expected = &mut expected[..len];
            self.fill(key, at, expected);
            if now != &*expected {
                let first = now.iter().zip(&*expected).position(|(a, b)| a != b).unwrap_or(0);
                return Some(Wrong { offset: at + first as u64, expected: expected[first], got: now[first] });
            }
            (rest, at) = (later, at + len as u64);
        }
        None
    }
}

/// The first wrong byte of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong {
    /// Its place in the object.
    pub offset: u64,
    /// What should stand there.
    pub expected: u8,
    /// What came.
    pub got: u8,
}

/// Finalizer of splitmix64: every bit of the input moves half of the output's.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(content: &Content, name: &str, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        content.fill(content.key(name.as_bytes()), 0, &mut out);
        out
    }

    #[test]
    fn any_part_is_the_same_as_in_the_whole() {
        let content = Content::new(1, 1.0);
        let all = whole(&content, "a", 20_000);
        let key = content.key(b"a");
        for (offset, len) in [(0, 1), (1, 4095), (4095, 2), (4096, 4096), (5000, 10_000), (19_999, 1)] {
            let mut part = vec![0; len];
            content.fill(key, offset as u64, &mut part);
            assert_eq!(part, all[offset..offset + len], "{offset} {len}");
            assert_eq!(content.check(key, offset as u64, &part), None);
        }
        assert_eq!(whole(&Content::new(1, 1.0), "a", 20_000), all);
        assert_ne!(whole(&Content::new(2, 1.0), "a", 20_000), all);
        assert_ne!(whole(&content, "b", 20_000), all);
    }

    #[test]
    fn a_wrong_byte_and_a_misplaced_block_are_found() {
        let content = Content::new(3, 1.6);
        let key = content.key(b"n");
        let good = whole(&content, "n", 9000);
        for at in [0, 1, 4095, 4096, 7000, 8999] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let wrong = content.check(key, 0, &bad).unwrap();
            assert_eq!((wrong.offset, wrong.expected, wrong.got), (at as u64, good[at], bad[at]));
        }
        assert_eq!(content.check(key, 4096, &good[..4096]).map(|w| w.offset), Some(4096));
        assert!(content.check(content.key(b"m"), 0, &good[..8]).is_some());
    }

    #[test]
    fn compressible_means_zeros_and_no_more_than_asked() {
        let zeros = |ratio: f64| {
            whole(&Content::new(1, ratio), "z", 1 << 20).iter().filter(|b| **b == 0).count() as f64
        };
        let all = f64::from(1 << 20);
        assert!(zeros(1.0) < all * 0.005);
        let share = zeros(1.6) / all;
        assert!((0.37..=0.38).contains(&share), "{share}");
        assert_eq!(zeros(9.0), zeros(1.6));
    }
}
