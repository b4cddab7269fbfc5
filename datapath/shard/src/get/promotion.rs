//! Whether it pays to bring what is read again into the page cache. Pure.
//!
//! It costs as much as two or three reads past the page cache, so it pays where an object is found there several times before
//! it has to go, or never has to. In a set that does not fit, it is found less than once; then only some are brought in, and stay
//! the longer: whoever is in demand among them shows it.

use std::cell::Cell;

/// Objects brought in before it is judged what they were good for, at least.
const ROUND: u32 = 64;
/// Times that an object brought in must be found there on average.
const FINDS_MIN: u32 = 4;
/// One in so many is brought in while it does not pay.
const PROBE: u32 = 64;

/// What a shard knows of it.
#[derive(Debug)]
pub(crate) struct Promotion {
    room: u64,
    pays: Cell<bool>,
    /// Since the last judgement: objects and bytes brought in, those among them that had been there before, and finds.
    brought: Cell<u32>,
    bytes: Cell<u64>,
    returned: Cell<bool>,
    found: Cell<u32>,
    passed: Cell<u32>,
}

impl Promotion {
    /// Until shown otherwise it pays. More than `room` bytes do not fit, whatever else is seen.
    pub(crate) fn new(room: u64) -> Self {
        Self {
            room,
            pays: Cell::new(true),
            brought: Cell::new(0),
            bytes: Cell::new(0),
            returned: Cell::new(false),
            found: Cell::new(0),
            passed: Cell::new(0),
        }
    }

    /// Notes that an object was found in the page cache.
    pub(crate) fn found(&self) {
        self.found.set(self.found.get().saturating_add(1));
    }

    /// Whether an object of so many bytes that is not there and is read again is to be brought in; if so, it counts as brought. One
    /// that was `evicted` had been there: not everything fits.
    pub(crate) fn admits(&self, bytes: u64, evicted: bool) -> bool {
        self.passed.set(self.passed.get().wrapping_add(1));
        if !self.pays.get() && !self.passed.get().is_multiple_of(PROBE) {
            return false;
        }
        self.brought.set(self.brought.get().saturating_add(1));
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        self.returned.set(self.returned.get() || evicted);
        let too_much = self.returned.get() || self.bytes.get() > self.room;
        if self.brought.get() >= ROUND && too_much {
            self.pays.set(self.found.get() >= self.brought.get().saturating_mul(FINDS_MIN));
            self.brought.set(0);
            self.bytes.set(0);
            self.returned.set(false);
            self.found.set(0);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use super::*;

    /// Reads of `names` names, each as likely as another, through a cache of `room` objects that drops the oldest and, with
    /// `remembers`, knows what it dropped: the share of reads that found their object there, and of those that brought one in, over
    /// the second half.
    fn shares(names: u64, room: usize, reads: u32, remembers: bool) -> (f64, f64) {
        let (promotion, mut cache) = (Promotion::new(room as u64), VecDeque::new());
        let mut dropped = HashSet::new();
        let (mut state, mut found, mut brought) = (1u64, 0, 0);
        for read in 0..reads {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let name = (state >> 33) % names;
            let counts = u32::from(read >= reads / 2);
            if cache.contains(&name) {
                promotion.found();
                found += counts;
            } else if promotion.admits(1, remembers && dropped.contains(&name)) {
                if cache.len() == room {
                    dropped.extend(cache.pop_front());
                }
                cache.push_back(name);
                brought += counts;
            }
        }
        let half = f64::from(reads / 2);
        (f64::from(found) / half, f64::from(brought) / half)
    }

    #[test]
    fn what_fits_comes_in_at_once() {
        for names in [50, 500, 5000] {
            let (found, brought) = shares(names, 6000, 60_000, true);
            assert!(found > 0.95 && brought < 0.05, "{names}: {found} {brought}");
        }
    }

    #[test]
    fn a_set_that_does_not_fit_is_mostly_left_outside() {
        for (names, room) in [(1000, 50), (20_000, 1000), (1_000_000, 1000)] {
            for remembers in [true, false] {
                let (found, brought) = shares(names, room, 200_000, remembers);
                assert!(brought < 0.025, "{names}, {remembers}: {found} {brought}");
            }
        }
    }
}
