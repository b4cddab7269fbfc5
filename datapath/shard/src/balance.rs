//! Which shard a new connection goes to: the one with the fewest.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections of every shard of a node.
#[derive(Debug)]
pub struct Loads(Vec<AtomicUsize>);

impl Loads {
    /// All at zero.
    pub fn new(shards: usize) -> Self {
        Self((0..shards).map(|_| AtomicUsize::new(0)).collect())
    }

    /// Counts a connection to the least loaded shard and names it; `None` when every shard is at `max`.
    /// Two threads that choose at once cannot both see the same count: the loser looks again, so that
    /// counts of connections that only arrive differ by at most one.
    pub fn assign(&self, max: usize) -> Option<usize> {
        loop {
            let (shard, load) = self
                .0
                .iter()
                .enumerate()
                .map(|(i, n)| (i, n.load(Ordering::Relaxed)))
                .min_by_key(|&(_, n)| n)?;
            if load >= max {
                return None;
            }
            let n = self.0.get(shard)?;
            if n.compare_exchange(load, load + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return Some(shard);
            }
        }
    }

    /// Gives back a connection of `shard`.
    pub fn release(&self, shard: usize) {
        if let Some(n) = self.0.get(shard) {
            let before = n.fetch_sub(1, Ordering::Relaxed);
            assert!(before > 0, "a connection of shard {shard} released twice");
        }
    }

    /// Connections of each shard now.
    pub fn counts(&self) -> Vec<usize> {
        self.0.iter().map(|n| n.load(Ordering::Relaxed)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_differ_by_at_most_one() {
        let loads = Loads::new(4);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| (0..1001).for_each(|_| assert!(loads.assign(10_000).is_some())));
            }
        });
        let counts = loads.counts();
        assert_eq!(counts.iter().sum::<usize>(), 4004);
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }

    #[test]
    fn full_shards_refuse() {
        let loads = Loads::new(2);
        assert_eq!((loads.assign(1), loads.assign(1), loads.assign(1)), (Some(0), Some(1), None));
        loads.release(1);
        assert_eq!(loads.assign(1), Some(1));
    }
}
