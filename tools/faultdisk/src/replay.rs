//! The disk of a past moment, as a volatile write cache may have left it.
//!
//! Power fails when the disk has received `until` records. Everything up to the last flush among them is on the medium.
//! Of the writes after it each is, in an order of chance, kept whole (4 in 10), torn between two sectors (2 in 10), or
//! gone. One seed in four drops all of them: the state that a missing sync is found by soonest.

use crate::RigError;
use crate::log::{Kind, Log, Record};
use crate::rng::Rng;

const KEPT_PERCENT: u64 = 40;
const TORN_PERCENT: u64 = 20;

/// Where the disk may tear a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tears {
    /// Bytes of a sector, which is written whole or not at all.
    pub sector: u64,
    /// Bytes at the disk's beginning within which nothing is torn.
    pub head: u64,
}

impl Tears {
    /// Anywhere between two sectors of so many bytes.
    pub fn between(sector: u64) -> Self {
        Self { sector, head: 0 }
    }
}

/// A piece of a write that reached the medium although no flush made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survivor {
    /// The write.
    pub record: Record,
    /// Its first bytes that are on the medium.
    pub len: u32,
}

/// Index after the last record that a flush has made durable, of the first `until` records.
pub fn durable(log: &Log, until: u64) -> usize {
    let seen = &log.records()[..log.records().len().min(until as usize)];
    seen.iter().rposition(|r| r.kind == Kind::Flush).map_or(0, |i| i + 1)
}

/// What of the writes after the last flush survives, in the order in which to apply it.
pub fn survivors(log: &Log, until: u64, seed: u64, tears: Tears) -> Vec<Survivor> {
    let mut rng = Rng::new(seed ^ until.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let from = durable(log, until);
    let to = log.records().len().min(until as usize);
    if seed.is_multiple_of(4) {
        return Vec::new();
    }
    let mut later: Vec<Record> = log.records()[from..to].to_vec();
    rng.shuffle(&mut later);
    let mut kept = Vec::new();
    for record in later {
        let roll = rng.below(100);
        if roll < KEPT_PERCENT {
            kept.push(Survivor { record, len: record.len });
        } else if roll < KEPT_PERCENT + TORN_PERCENT {
            let first = record.offset / tears.sector;
            let sectors = (record.offset + u64::from(record.len)).div_ceil(tears.sector) - first;
            let end = (first + rng.below(sectors)) * tears.sector;
            let end = if end < tears.head { 0 } else { end };
            kept.push(Survivor { record, len: end.saturating_sub(record.offset) as u32 });
        }
    }
    kept
}

/// Hands the durable records from index `from` on to `put`; returns the index to go on from.
pub fn apply_durable(
    log: &Log,
    from: usize,
    until: u64,
    mut put: impl FnMut(u64, &[u8]) -> Result<(), RigError>,
) -> Result<usize, RigError> {
    let to = durable(log, until).max(from);
    for record in log.records()[from..to].iter().filter(|r| r.kind == Kind::Write) {
        put(record.offset, &log.data(record)?)?;
    }
    Ok(to)
}

/// Hands the surviving rest to `put`.
pub fn apply_survivors(
    log: &Log,
    until: u64,
    seed: u64,
    tears: Tears,
    mut put: impl FnMut(u64, &[u8]) -> Result<(), RigError>,
) -> Result<(), RigError> {
    for s in survivors(log, until, seed, tears) {
        let data = log.data(&s.record)?;
        put(s.record.offset, &data[..s.len as usize])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Writer;

    fn sample() -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(0, &[1; 4096]).unwrap();
        w.flush().unwrap();
        for i in 0..20u64 {
            w.write(i * 4096, &[2; 4096]).unwrap();
        }
        w.flush().unwrap();
        w.write(0, &[3; 4096]).unwrap();
        (dir, Log::open(&path).unwrap())
    }

    #[test]
    fn the_last_flush_divides() {
        let (_dir, log) = sample();
        for (until, expected) in [(0, 0), (1, 0), (2, 2), (3, 2), (22, 2), (23, 23), (24, 23), (99, 23)] {
            assert_eq!(durable(&log, until), expected, "until {until}");
        }
    }

    #[test]
    fn later_writes_are_kept_torn_and_dropped() {
        let (_dir, log) = sample();
        let check = |sector: u64, torn_expected: std::ops::Range<usize>| {
            let (mut kept, mut torn, mut dropped) = (0, 0, 0);
            for seed in 0..200 {
                let found = survivors(&log, 22, seed, Tears::between(sector));
                assert_eq!(found, survivors(&log, 22, seed, Tears::between(sector)), "the seed decides");
                assert!(found.iter().all(|s| (3..=22).contains(&s.record.seq)));
                assert!(found.iter().all(|s| u64::from(s.len) % sector == 0));
                assert!(seed % 4 != 0 || found.is_empty());
                kept += found.iter().filter(|s| s.len == 4096).count();
                torn += found.iter().filter(|s| (1..4096).contains(&s.len)).count();
                dropped += 20 - found.len();
            }
            assert!(
                kept > 1000 && dropped > 1500 && torn_expected.contains(&torn),
                "{kept} {torn} {dropped}"
            );
        };
        check(512, 400..1000);
        check(2048, 200..1000);
        // A write of one sector is whole or gone.
        check(4096, 0..1);
    }

    #[test]
    fn tears_are_between_sectors_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(1024, &[1; 8192]).unwrap();
        let log = Log::open(&path).unwrap();
        let lens: std::collections::BTreeSet<u32> =
            (0..400).flat_map(|seed| survivors(&log, 1, seed, Tears::between(4096))).map(|s| s.len).collect();
        assert_eq!(lens.into_iter().collect::<Vec<_>>(), [0, 3072, 7168, 8192]);
    }

    #[test]
    fn order_is_one_of_chance() {
        let (_dir, log) = sample();
        let seqs: Vec<u64> =
            survivors(&log, 22, 1, Tears::between(512)).iter().map(|s| s.record.seq).collect();
        assert!(!seqs.is_sorted(), "{seqs:?}");
    }

    #[test]
    fn a_torn_write_ends_at_a_boundary_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(3072, &[1; 10_240]).unwrap();
        w.write(512, &[1; 512]).unwrap();
        let log = Log::open(&path).unwrap();
        let mut ends = std::collections::BTreeSet::new();
        for seed in 0..400 {
            ends.extend(survivors(&log, 2, seed, Tears::between(4096)).iter().map(|s| (s.record.seq, s.len)));
        }
        let expected = [(1, 0), (1, 1024), (1, 5120), (1, 9216), (1, 10_240), (2, 0), (2, 512)];
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_head_is_whole_or_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut w = Writer::create(&path).unwrap();
        w.write(0, &[1; 8192]).unwrap();
        w.write(16384, &[1; 1024]).unwrap();
        let log = Log::open(&path).unwrap();
        let mut ends = std::collections::BTreeSet::new();
        for seed in 0..1000 {
            let found = survivors(&log, 2, seed, Tears { sector: 1024, head: 4096 });
            ends.extend(found.iter().map(|s| (s.record.seq, s.len)));
        }
        let expected = [(1, 0), (1, 4096), (1, 5120), (1, 6144), (1, 7168), (1, 8192), (2, 0), (2, 1024)];
        assert_eq!(ends.into_iter().collect::<Vec<_>>(), expected);
    }
}
