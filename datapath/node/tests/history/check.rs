//! The search: operations take effect somewhere between begin and end. All states that fit what was answered so far are
//! carried along; where none is left, the history is not linearizable.

use std::collections::HashSet;

use super::{Operation, Stage, State, step};

/// Possibilities carried along; a history that needs more is not decided.
const POSSIBLE_MAX: usize = 1 << 18;

/// What is not right with a history.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    /// The operation that no order explains.
    Violation(usize),
    /// Too many possibilities at this operation.
    Unknown(usize),
}

/// A state, and how far each operation under way has come in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Possible {
    state: State,
    open: Vec<(usize, Stage)>,
}

/// Judges a history that began with both names absent.
pub(crate) fn check(history: &[Operation]) -> Verdict {
    // Begins before ends of the same moment: that allows more orders, never fewer.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * history.len());
    for (i, operation) in history.iter().enumerate() {
        events.push((operation.begun, false, i));
        events.push((operation.ended, true, i));
    }
    events.sort_unstable();
    let mut possible = HashSet::from([Possible { state: State::default(), open: Vec::new() }]);
    for (_, end, i) in events {
        if !end {
            possible = possible
                .into_iter()
                .map(|mut p| {
                    p.open.push((i, Stage::Begun));
                    p
                })
                .collect();
            continue;
        }
        match ended(history, possible, i) {
            None => return Verdict::Unknown(i),
            Some(left) if left.is_empty() => return Verdict::Violation(i),
            Some(left) => possible = left,
        }
    }
    Verdict::Linearizable
}

/// The possibilities in which operation `i` is over, and no more was done than that needed; none when they are too many.
fn ended(history: &[Operation], possible: HashSet<Possible>, i: usize) -> Option<HashSet<Possible>> {
    let mut over = HashSet::new();
    let mut seen = possible.clone();
    let mut todo: Vec<Possible> = possible.into_iter().collect();
    while let Some(p) = todo.pop() {
        if p.open.contains(&(i, Stage::Done)) {
            let open = p.open.into_iter().filter(|(other, _)| *other != i).collect();
            over.insert(Possible { state: p.state, open });
            continue;
        }
        for (at, (operation, stage)) in p.open.iter().enumerate() {
            let Some((stage, state)) = step(&history[*operation].what, *stage, &p.state) else { continue };
            let mut next = Possible { state, open: p.open.clone() };
            next.open[at].1 = stage;
            if seen.insert(next.clone()) {
                todo.push(next);
            }
        }
        if seen.len() > POSSIBLE_MAX {
            return None;
        }
    }
    Some(over)
}

#[cfg(test)]
mod tests {
    use super::super::{Held, What};
    use super::*;

    fn judge(operations: &[(u64, u64, What)]) -> Verdict {
        let history: Vec<_> = operations
            .iter()
            .map(|(begun, ended, what)| Operation { begun: *begun, ended: *ended, what: *what })
            .collect();
        check(&history)
    }

    fn put(value: u64, version: u64) -> What {
        What::Put { name: 0, value, version }
    }

    fn read(value: u64, version: u64) -> What {
        What::Read { name: 0, got: Some(Held { value, note: 0, version }) }
    }

    #[test]
    fn histories() {
        use Verdict::{Linearizable, Violation};
        let absent = |name| What::Read { name, got: None };
        let remove = |found| What::Remove { name: 0, found };
        assert_eq!(judge(&[]), Linearizable);
        assert_eq!(judge(&[(0, 1, absent(0)), (2, 5, put(7, 1)), (3, 4, read(7, 1))]), Linearizable);
        assert_eq!(judge(&[(2, 5, put(7, 1)), (3, 4, absent(0)), (4, 6, read(7, 1))]), Linearizable);
        // New, then old.
        assert_eq!(judge(&[(2, 9, put(7, 1)), (3, 4, read(7, 1)), (5, 6, absent(0))]), Violation(2));
        // A write that ended is seen.
        assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 3, put(8, 2)), (4, 5, read(7, 1))]), Violation(2));
        // Two writes, one version.
        assert_eq!(judge(&[(0, 9, put(7, 1)), (0, 9, put(8, 1))]), Violation(1));
        assert_eq!(judge(&[(0, 9, put(7, 2)), (0, 9, put(8, 1))]), Linearizable);
        assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 3, remove(true)), (4, 5, put(8, 1))]), Linearizable);
        assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 9, remove(true)), (2, 9, remove(true))]), Violation(2));
        assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 9, remove(true)), (2, 9, remove(false))]), Linearizable);
    }

    #[test]
    fn renames() {
        use Verdict::{Linearizable, Violation};
        let rename = |found| What::Rename { name: 0, found };
        let there = |version| What::Read { name: 1, got: Some(Held { value: 7, note: 0, version }) };
        let gone = What::Read { name: 0, got: None };
        assert_eq!(
            judge(&[(0, 1, put(7, 1)), (2, 3, rename(true)), (4, 5, there(1)), (4, 5, gone)]),
            Linearizable
        );
        // Both are there for a while.
        let both =
            [(0, 1, put(7, 1)), (2, 9, rename(true)), (3, 4, there(1)), (5, 6, read(7, 1)), (7, 8, gone)];
        assert_eq!(judge(&both), Linearizable);
        // Neither, never.
        let neither = [
            (0, 1, put(7, 1)),
            (2, 9, rename(true)),
            (3, 4, gone),
            (5, 6, What::Read { name: 1, got: None }),
        ];
        assert_eq!(judge(&neither), Violation(3));
        // What was written meanwhile goes with the source.
        assert_eq!(
            judge(&[(0, 1, put(7, 1)), (2, 9, rename(true)), (3, 4, put(8, 2)), (10, 11, gone)]),
            Linearizable
        );
        assert_eq!(judge(&[(0, 1, rename(false)), (2, 3, rename(true))]), Violation(1));
    }
}
