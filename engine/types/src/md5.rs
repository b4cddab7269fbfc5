//! MD5 (RFC 1321) of several streams at once, each in a lane of vector registers: S3 clients expect it as the ETag. One stream is a chain
//! of dependent steps that leaves most of a core idle, whoever implements it; sixteen beside one another take 2.5 times as long as one.

use std::array::from_fn;
use std::num::Wrapping;
use std::ops::{Add, BitAnd, BitOr, BitXor, Not};

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, u32x16};

const BLOCK: usize = 64;
/// Streams that are hashed side by side at most.
pub const LANES: usize = 16;
/// Fewer than this are faster one after the other.
pub const LANES_MIN: usize = 3;

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
/// The integer part of 2^32 |sin(i + 1)|.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
];

/// One running MD5.
#[derive(Clone, Debug)]
pub struct Md5 {
    state: [u32; 4],
    bytes: u64,
    /// What does not fill a block yet: `bytes % 64` bytes.
    tail: [u8; BLOCK],
}

impl Default for Md5 {
    fn default() -> Self {
        Self { state: START, bytes: 0, tail: [0; BLOCK] }
    }
}

impl Md5 {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let bytes = self.fill_tail(bytes);
        let (blocks, rest) = bytes.as_chunks();
        one(&mut self.state, blocks);
        self.keep(rest);
        self.bytes += bytes.len() as u64;
    }

    /// The digest of all bytes taken.
    pub fn finish(mut self) -> [u8; 16] {
        let bits = self.bytes.wrapping_mul(8);
        let held = (self.bytes % BLOCK as u64) as usize;
        let mut padding = [0; 2 * BLOCK];
        padding[0] = 0x80;
        let zeros = (2 * BLOCK - 9 - held) % BLOCK;
        padding[1 + zeros..9 + zeros].copy_from_slice(&bits.to_le_bytes());
        self.update(&padding[..9 + zeros]);
        let mut digest = [0; 16];
        for (out, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *out = word.to_le_bytes();
        }
        digest
    }

    /// Completes a begun block; gives the bytes that are left.
    fn fill_tail<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let held = (self.bytes % BLOCK as u64) as usize;
        if held == 0 {
            return bytes;
        }
        let (first, rest) = bytes.split_at(bytes.len().min(BLOCK - held));
        self.tail[held..held + first.len()].copy_from_slice(first);
        self.bytes += first.len() as u64;
        if held + first.len() == BLOCK {
            one(&mut self.state, &[self.tail]);
        }
        rest
    }

    fn keep(&mut self, rest: &[u8]) {
        self.tail[..rest.len()].copy_from_slice(rest);
    }
}

/// The same as [`Md5::update`] of each stream with its bytes, in less time.
pub fn update_together<'b>(streams: &mut [(&mut Md5, &'b [u8])]) {
    let mut open: Vec<(usize, &'b [[u8; BLOCK]])> = Vec::with_capacity(streams.len());
    for (index, (stream, bytes)) in streams.iter_mut().enumerate() {
        let left = stream.fill_tail(bytes);
        let (blocks, rest) = left.as_chunks();
        stream.keep(rest);
        stream.bytes += left.len() as u64;
        if !blocks.is_empty() {
            open.push((index, blocks));
        }
    }
    let level = Level::new();
    while open.len() >= LANES_MIN {
        // The longest together: of their common length nothing is computed for nobody.
        open.sort_unstable_by_key(|(_, blocks)| std::cmp::Reverse(blocks.len()));
        let count = open.len().min(LANES);
        let common = open[count - 1].1.len();
        // Lanes without a stream repeat the first one's.
        let lane = |lane: usize| if lane < count { open[lane] } else { open[0] };
        let states: [[u32; 4]; LANES] = from_fn(|l| streams[lane(l).0].0.state);
        let blocks: [&[[u8; BLOCK]]; LANES] = from_fn(|l| &lane(l).1[..common]);
        let states = dispatch!(level, simd => lanes(simd, states, blocks));
        for ((index, blocks), state) in open.iter_mut().zip(states).take(count) {
            streams[*index].0.state = state;
            *blocks = &blocks[common..];
        }
        open.retain(|(_, blocks)| !blocks.is_empty());
    }
    for (index, blocks) in open {
        one(&mut streams[index].0.state, blocks);
    }
}

/// A 32-bit word, of one stream or of all lanes.
trait Word:
    Copy
    + Add<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + Not<Output = Self>
{
    fn plus(self, number: u32) -> Self;
    fn rotated(self, by: u32) -> Self;
}

impl Word for Wrapping<u32> {
    #[inline(always)]
    fn plus(self, number: u32) -> Self {
        self + Self(number)
    }
    #[inline(always)]
    fn rotated(self, by: u32) -> Self {
        Self(self.0.rotate_left(by))
    }
}

impl<S: Simd> Word for u32x16<S> {
    #[inline(always)]
    fn plus(self, number: u32) -> Self {
        self + number
    }
    #[inline(always)]
    fn rotated(self, by: u32) -> Self {
        (self << by) | (self >> (32 - by))
    }
}

/// The state after one more block.
#[inline(always)]
fn block<W: Word>(state: [W; 4], m: &[W; 16]) -> [W; 4] {
    let now = round(
        state,
        m,
        0,
        #[inline(always)]
        |i| i,
        [7, 12, 17, 22],
        #[inline(always)]
        |x, y, z| z ^ (x & (y ^ z)),
    );
    let now = round(
        now,
        m,
        16,
        #[inline(always)]
        |i| 5 * i + 1,
        [5, 9, 14, 20],
        #[inline(always)]
        |x, y, z| y ^ (z & (x ^ y)),
    );
    let now = round(
        now,
        m,
        32,
        #[inline(always)]
        |i| 3 * i + 5,
        [4, 11, 16, 23],
        #[inline(always)]
        |x, y, z| x ^ y ^ z,
    );
    let now = round(
        now,
        m,
        48,
        #[inline(always)]
        |i| 7 * i,
        [6, 10, 15, 21],
        #[inline(always)]
        |x, y, z| y ^ (x | !z),
    );
    [state[0] + now[0], state[1] + now[1], state[2] + now[2], state[3] + now[3]]
}

/// Sixteen of a block's 64 steps.
#[inline(always)]
fn round<W: Word>(
    [mut a, mut b, mut c, mut d]: [W; 4],
    m: &[W; 16],
    first: usize,
    order: impl Fn(usize) -> usize,
    turns: [u32; 4],
    f: impl Fn(W, W, W) -> W,
) -> [W; 4] {
    for i in (0..16).step_by(4) {
        let add = |n: usize| m[order(i + n) % 16].plus(SINES[first + i + n]);
        a = (a + add(0) + f(b, c, d)).rotated(turns[0]) + b;
        d = (d + add(1) + f(a, b, c)).rotated(turns[1]) + a;
        c = (c + add(2) + f(d, a, b)).rotated(turns[2]) + d;
        b = (b + add(3) + f(c, d, a)).rotated(turns[3]) + c;
    }
    [a, b, c, d]
}

/// Blocks of one stream.
fn one(state: &mut [u32; 4], blocks: &[[u8; BLOCK]]) {
    let mut now = state.map(Wrapping);
    for words in blocks.iter().map(|block| block.as_chunks().0) {
        now = block(now, &from_fn(|word| Wrapping(u32::from_le_bytes(words[word]))));
    }
    *state = now.map(|word| word.0);
}

/// As many blocks of each lane: as many as the first has.
#[inline(always)]
fn lanes<S: Simd>(simd: S, states: [[u32; 4]; LANES], blocks: [&[[u8; BLOCK]]; LANES]) -> [[u32; 4]; LANES] {
    simd.vectorize(
        #[inline(always)]
        || {
            let mut now = across(simd, &states);
            let mut words = [[0; 16]; LANES];
            for at in 0..blocks[0].len() {
                for (words, blocks) in words.iter_mut().zip(blocks) {
                    for (word, bytes) in words.iter_mut().zip(blocks[at].as_chunks().0) {
                        *word = u32::from_le_bytes(*bytes);
                    }
                }
                now = block(now, &across(simd, &words));
            }
            let words: [[u32; LANES]; 4] = now.map(Into::into);
            let mut states = [[0; 4]; LANES];
            for (lane, state) in states.iter_mut().enumerate() {
                for (word, lanes) in state.iter_mut().zip(&words) {
                    *word = lanes[lane];
                }
            }
            states
        },
    )
}

/// One vector for each word, with that of each lane.
#[inline(always)]
fn across<S: Simd, const N: usize>(simd: S, words: &[[u32; N]; LANES]) -> [u32x16<S>; N] {
    let mut vectors = [u32x16::splat(simd, 0); N];
    for (word, vector) in vectors.iter_mut().enumerate() {
        let mut row = [0; LANES];
        for (to, lane) in row.iter_mut().zip(words) {
            *to = lane[word];
        }
        *vector = u32x16::from_slice(simd, &row);
    }
    vectors
}

#[cfg(test)]
mod tests {
    use ::md5::Digest as _;

    use super::*;

    fn content(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|at| (at * 13 + bytes) as u8).collect()
    }

    fn expected(bytes: &[u8]) -> [u8; 16] {
        ::md5::Md5::digest(bytes).into()
    }

    #[test]
    fn lengths_around_the_padding() {
        for bytes in (0..200).chain([1000, 4096]) {
            for pieces in [1, 37, 64, 5000] {
                let content = content(bytes);
                let mut md5 = Md5::default();
                content.chunks(pieces).for_each(|piece| md5.update(piece));
                assert_eq!(md5.finish(), expected(&content), "{bytes} in pieces of {pieces}");
            }
        }
    }

    #[test]
    fn streams_together_are_streams_alone() {
        for count in [0, 1, 2, 3, 5, 16, 17, 40] {
            let contents: Vec<Vec<u8>> = (0..count).map(|n| content(n * 331 % 7000 + n)).collect();
            let mut streams = vec![Md5::default(); count];
            for third in 0..3 {
                let piece = |all: &[u8]| {
                    all.len() / 3 * third..if third == 2 { all.len() } else { all.len() / 3 * (third + 1) }
                };
                let mut work: Vec<_> =
                    streams.iter_mut().zip(&contents).map(|(md5, all)| (md5, &all[piece(all)])).collect();
                update_together(&mut work);
            }
            for (md5, all) in streams.into_iter().zip(&contents) {
                assert_eq!(md5.finish(), expected(all), "{} bytes, {count} streams", all.len());
            }
        }
    }
}
