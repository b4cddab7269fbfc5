//! A bounded set of things found by a digest. A hand goes round and drops what was not asked for since its last turn.
//! What comes for the second time is told from what comes for the first. Pure.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What keeping a thing takes: each is bounded by itself.
pub(crate) type Costs = [usize; 2];

/// The set.
pub(crate) struct Clock<T> {
    index: HashMap<u64, usize, BuildHasherDefault<AsIs>>,
    places: Vec<Option<Kept<T>>>,
    free: Vec<usize>,
    hand: usize,
    swept: usize,
    costs: Costs,
    max: Costs,
}

struct Kept<T> {
    digest: u64,
    costs: Costs,
    used: bool,
    thing: T,
}

impl<T> Clock<T> {
    /// An empty set that never takes more than `max`.
    pub(crate) fn new(max: Costs) -> Self {
        Self {
            index: HashMap::default(),
            places: Vec::new(),
            free: Vec::new(),
            hand: 0,
            swept: 0,
            costs: [0; 2],
            max,
        }
    }

    /// What all that is kept takes.
    pub(crate) fn costs(&self) -> Costs {
        self.costs
    }

    /// The thing of a digest, which thereby counts as asked for.
    pub(crate) fn find(&mut self, digest: u64) -> Option<&T> {
        let at = *self.index.get(&digest)?;
        let kept = self.places.get_mut(at)?.as_mut()?;
        kept.used = true;
        Some(&kept.thing)
    }

    /// Keeps a thing in the place of the one of its digest; not one that takes more than may be taken in all.
    pub(crate) fn keep(&mut self, digest: u64, costs: Costs, thing: T) {
        self.remove(digest);
        if self.max.iter().zip(costs).any(|(max, cost)| cost > *max) {
            return;
        }
        while (0..2).any(|i| self.costs[i] + costs[i] > self.max[i]) {
            self.turn();
        }
        (0..2).for_each(|i| self.costs[i] += costs[i]);
        let at = self.free.pop().unwrap_or(self.places.len());
        self.index.insert(digest, at);
        let kept = Some(Kept { digest, costs, used: false, thing });
        match self.places.get_mut(at) {
            Some(place) => *place = kept,
            None => self.places.push(kept),
        }
    }

    /// Drops the thing of a digest.
    pub(crate) fn remove(&mut self, digest: u64) {
        if let Some(at) = self.index.remove(&digest)
            && let Some(kept) = self.places.get_mut(at).and_then(Option::take)
        {
            (0..2).for_each(|i| self.costs[i] -= kept.costs[i]);
            self.free.push(at);
        }
    }

    /// Looks at the next `count` places and drops what is `stale`: asked often enough, it comes by all of them.
    pub(crate) fn sweep(&mut self, count: usize, stale: impl Fn(&T) -> bool) {
        for _ in 0..count.min(self.places.len()) {
            self.swept = if self.swept + 1 < self.places.len() { self.swept + 1 } else { 0 };
            if let Some(Some(kept)) = self.places.get(self.swept)
                && stale(&kept.thing)
            {
                let digest = kept.digest;
                self.remove(digest);
            }
        }
    }

    /// One step of the hand. There is something to drop: a bound would be exceeded, and no single thing does that.
    fn turn(&mut self) {
        assert!(!self.index.is_empty(), "a bound exceeded by nothing");
        self.hand = if self.hand + 1 < self.places.len() { self.hand + 1 } else { 0 };
        if let Some(Some(kept)) = self.places.get_mut(self.hand)
            && !std::mem::take(&mut kept.used)
        {
            let digest = kept.digest;
            self.remove(digest);
        }
    }
}

/// Digests that came lately, each in the place that its low bits give.
pub(crate) struct Seen(Box<[u64]>);

impl Seen {
    /// Remembers `count` digests at most.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![0; count].into_boxed_slice())
    }

    /// Notes a digest; whether it is remembered to have come before.
    pub(crate) fn again(&mut self, digest: u64) -> bool {
        let at = digest as usize % self.0.len().max(1);
        self.0.get_mut(at).is_some_and(|last| std::mem::replace(last, digest) == digest)
    }
}

/// Digests are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays() {
        let mut clock = Clock::new([4, 100]);
        for n in 0..4u64 {
            clock.keep(n, [1, 10], n);
        }
        assert_eq!(clock.costs(), [4, 40]);
        assert_eq!((clock.find(1).copied(), clock.find(3).copied()), (Some(1), Some(3)));
        clock.keep(10, [1, 10], 10);
        clock.keep(11, [1, 10], 11);
        let kept: Vec<u64> = [0, 1, 2, 3, 10, 11].into_iter().filter(|n| clock.find(*n).is_some()).collect();
        assert_eq!(kept, [1, 3, 10, 11]);
        assert_eq!(clock.costs(), [4, 40]);
    }

    #[test]
    fn each_bound_holds() {
        let mut clock = Clock::new([100, 100]);
        for n in 0..1000u64 {
            clock.keep(n, [(n % 3) as usize, (n % 40) as usize], ());
            let [a, b] = clock.costs();
            assert!(a <= 100 && b <= 100, "{a} {b}");
        }
        clock.keep(1, [101, 0], ());
        assert!(
            clock.find(1).is_none(),
            "what is too large for all of it is not kept, and drops nothing else"
        );
        assert!(clock.costs()[1] > 50);
        for n in 0..1000 {
            clock.remove(n);
        }
        assert_eq!(clock.costs(), [0, 0]);
    }

    #[test]
    fn a_sweep_comes_by_everything() {
        let mut clock = Clock::new([10, 100]);
        (0..10u64).for_each(|n| clock.keep(n, [1, 10], n));
        for _ in 0..4 {
            clock.sweep(3, |n| n % 2 == 0);
        }
        assert_eq!(clock.costs(), [5, 50]);
        assert!((0..10).all(|n| clock.find(n).is_some() == (n % 2 == 1)));
        clock.sweep(1000, |_| true);
        assert_eq!(clock.costs(), [0, 0]);
        clock.sweep(1000, |_| true);
    }

    #[test]
    fn a_thing_replaces_the_one_of_its_digest() {
        let mut clock = Clock::new([1, 10]);
        clock.keep(7, [1, 0], "file");
        clock.keep(7, [0, 10], "bytes");
        assert_eq!((clock.find(7).copied(), clock.costs()), (Some("bytes"), [0, 10]));
    }

    #[test]
    fn the_second_time_is_told_from_the_first() {
        let mut seen = Seen::new(4);
        assert!(!seen.again(5) && seen.again(5) && seen.again(5));
        assert!(!seen.again(9), "in the place of 5");
        assert!(!seen.again(5));
    }
}
