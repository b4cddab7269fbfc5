//! Histories made by hand, good and bad.

use super::*;

/// Begin, end, and what was told.
type Line = (u64, u64, Told);

fn put(number: u64) -> Told {
    Told::Put { number, sure: true }
}

fn maybe(number: u64) -> Told {
    Told::Put { number, sure: false }
}

fn read(number: u64) -> Told {
    Told::Read { got: Some(number), stale: false }
}

fn old(got: Option<u64>) -> Told {
    Told::Read { got, stale: true }
}

const NOTHING: Told = Told::Read { got: None, stale: false };
const REMOVED: Told = Told::Remove { sure: true };
const PERHAPS: Told = Told::Remove { sure: false };

fn verdict(lines: &[Line]) -> Judged {
    let record = |(i, (begun, ended, told)): (usize, &Line)| Record {
        begun: *begun,
        ended: *ended,
        client: i,
        through: 0,
        told: *told,
    };
    judge("name", &lines.iter().enumerate().map(record).collect::<Vec<_>>())
}

#[track_caller]
fn right(lines: &[Line]) {
    assert_eq!(verdict(lines), Judged::Right);
}

#[track_caller]
fn wrong(lines: &[Line]) {
    assert!(matches!(verdict(lines), Judged::Violation(_)), "nothing is found in {lines:?}");
}

#[test]
fn what_was_acknowledged_is_read() {
    right(&[(0, 1, NOTHING), (2, 5, put(1)), (3, 4, NOTHING), (4, 6, read(1)), (7, 8, read(1))]);
    wrong(&[(0, 1, put(1)), (2, 3, NOTHING)]);
    wrong(&[(0, 1, put(1)), (2, 3, put(2)), (4, 5, read(1))]);
    // New, then old.
    wrong(&[(0, 9, put(1)), (1, 2, read(1)), (3, 4, NOTHING)]);
    // Never written; written later.
    wrong(&[(0, 1, read(7))]);
    wrong(&[(0, 1, read(1)), (2, 3, put(1))]);
}

#[test]
fn what_was_removed_stays_so() {
    right(&[(0, 1, put(1)), (2, 5, REMOVED), (3, 4, read(1)), (6, 7, NOTHING)]);
    wrong(&[(0, 1, put(1)), (2, 3, REMOVED), (4, 5, read(1))]);
    right(&[(0, 1, put(1)), (2, 3, REMOVED), (4, 5, put(2)), (6, 7, read(2))]);
    // It comes back after another write went over it.
    wrong(&[(0, 1, put(1)), (2, 3, put(2)), (4, 5, REMOVED), (6, 7, read(1))]);
}

#[test]
fn a_write_of_unknown_outcome_happened_once_or_never() {
    right(&[(0, 1, put(1)), (2, 3, maybe(2)), (4, 5, read(1)), (6, 7, read(2)), (8, 9, read(2))]);
    right(&[(0, 1, put(1)), (2, 3, maybe(2)), (4, 5, read(1)), (6, 7, put(3)), (8, 9, read(3))]);
    // Long after it was given up.
    right(&[(0, 1, maybe(1)), (2, 3, put(2)), (4, 5, read(2)), (6, 7, read(1))]);
    // Once it was seen it has happened.
    wrong(&[(0, 1, maybe(1)), (2, 3, read(1)), (4, 5, NOTHING)]);
    wrong(&[(0, 1, maybe(1)), (2, 3, read(1)), (4, 5, put(2)), (6, 7, read(1))]);
    // It does not excuse what was acknowledged.
    wrong(&[(0, 1, put(1)), (2, 3, maybe(2)), (4, 5, NOTHING)]);
}

#[test]
fn a_removal_of_unknown_outcome_happened_once_or_never() {
    right(&[(0, 1, put(1)), (2, 3, PERHAPS), (4, 5, read(1)), (6, 7, NOTHING)]);
    right(&[(0, 1, put(1)), (2, 3, PERHAPS), (4, 5, put(2)), (6, 7, NOTHING)]);
    wrong(&[(0, 1, put(1)), (2, 3, PERHAPS), (4, 5, NOTHING), (6, 7, put(2)), (8, 9, NOTHING)]);
    wrong(&[(0, 1, put(1)), (2, 3, NOTHING), (4, 5, PERHAPS)]);
    wrong(&[(0, 1, put(1)), (2, 3, PERHAPS), (4, 5, NOTHING), (6, 7, read(1))]);
    // Many of them cost nothing.
    let many = (0..500).map(|i| (2 + i, 3 + i, PERHAPS));
    let rounds = (0..100u64).flat_map(|i| {
        let at = 1000 + 10 * i;
        [(at, at + 1, put(2 + i)), (at + 2, at + 3, read(2 + i)), (at + 4, at + 5, NOTHING)]
    });
    right(&[(0, 1, put(1))].into_iter().chain(many).chain(rounds).collect::<Vec<_>>());
}

#[test]
fn what_may_be_old_was_right_once() {
    right(&[(0, 1, put(1)), (2, 3, put(2)), (4, 5, old(Some(1))), (6, 7, old(None)), (8, 9, read(2))]);
    wrong(&[(0, 1, put(1)), (2, 3, old(Some(9)))]);
    wrong(&[(0, 1, old(Some(1))), (2, 3, put(1))]);
    // It proves that a write of unknown outcome happened.
    wrong(&[(0, 1, maybe(1)), (2, 3, old(Some(1))), (4, 5, NOTHING)]);
}

#[test]
fn two_islands_are_found() {
    // Each of two owners takes writes, and reads its own.
    wrong(&[(0, 9, put(1)), (0, 9, put(2)), (10, 11, read(1)), (12, 13, read(2)), (14, 15, read(1))]);
    // A write that went to an owner of before, and is never read again, though it was acknowledged.
    wrong(&[(0, 1, put(1)), (2, 3, put(2)), (4, 5, read(1)), (6, 7, read(1))]);
}

#[test]
fn the_story_names_what_cannot_be() {
    let Judged::Violation(story) = verdict(&[(0, 1, put(1)), (2_000_000, 3_000_000, NOTHING)]) else {
        panic!("nothing is found")
    };
    assert!(story.contains("name: no order explains") && story.contains("write 1"), "{story}");
}
