//! The search: possibilities, and what becomes of them at each end of an operation.

use std::collections::HashMap;

use crate::{Model, Operation, Verdict};

/// Possibilities carried along, up to a kilobyte each; a history that needs more is not decided.
const POSSIBLE_MAX: usize = 1 << 20;

/// A state, and how far each operation under way has come in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Possible<S, G> {
    state: S,
    open: Vec<(usize, G)>,
}

type Of<M> = Possible<<M as Model>::State, <M as Model>::Stage>;

/// Possibilities with the fewest chances that each needs: one that needs fewer can do all that one can which needs more.
type All<M> = HashMap<Of<M>, usize>;

/// Judges a history that began with the default state. `chances` are the begins of operations that are all alike
/// ([`Model::chance`]) and may each happen once at any time after, or never.
pub fn check<M: Model>(history: &[Operation<M::What>], chances: &[u64]) -> Verdict {
    search::<M>(history, chances, POSSIBLE_MAX)
}

fn search<M: Model>(history: &[Operation<M::What>], chances: &[u64], possible_max: usize) -> Verdict {
    // Begins before ends of the same moment: that allows more orders, never fewer.
    let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(2 * history.len());
    for (i, operation) in history.iter().enumerate() {
        events.push((operation.begun, false, i));
        events.push((operation.ended, true, i));
    }
    events.sort_unstable();
    let mut chances = chances.to_vec();
    chances.sort_unstable();
    let mut possible: All<M> =
        HashMap::from([(Possible { state: M::State::default(), open: Vec::new() }, 0)]);
    for (at, end, i) in events {
        if !end {
            possible = possible
                .into_iter()
                .map(|(mut p, used)| {
                    p.open.push((i, M::BEGUN));
                    (looked::<M>(history, p), used)
                })
                .collect();
            continue;
        }
        let begun = chances.partition_point(|begun| *begun <= at);
        match ended::<M>(history, possible, i, begun, possible_max) {
            None => return Verdict::Unknown(i),
            Some(left) if left.is_empty() => return Verdict::Violation(i),
            Some(left) => possible = left,
        }
    }
    Verdict::Linearizable
}

/// A possibility in its canonical form, in which everything has happened that only looks and may: without this each of them
/// doubles their number.
fn looked<M: Model>(history: &[Operation<M::What>], mut possible: Of<M>) -> Of<M> {
    M::canonical(&mut possible.state, possible.open.iter_mut().map(|(_, stage)| stage));
    for (i, stage) in &mut possible.open {
        let what = &history[*i].what;
        if M::only_looks(what)
            && let Some((after, _)) = M::step(what, *stage, &possible.state)
        {
            *stage = after;
        }
    }
    possible
}

/// Notes a possibility unless it is known to be reached by as few chances; whether it is news.
fn note<M: Model>(all: &mut All<M>, possible: &Of<M>, used: usize) -> bool {
    match all.get_mut(possible) {
        Some(known) if *known <= used => false,
        Some(known) => {
            *known = used;
            true
        }
        None => {
            all.insert(possible.clone(), used);
            true
        }
    }
}

/// The possibilities in which operation `i` is over, and no more was done than that needed; none when they are too many.
fn ended<M: Model>(
    history: &[Operation<M::What>],
    possible: All<M>,
    i: usize,
    chances: usize,
    possible_max: usize,
) -> Option<All<M>> {
    let mut over: All<M> = HashMap::new();
    let mut left: Vec<(Of<M>, usize)> = possible.iter().map(|(p, used)| (p.clone(), *used)).collect();
    let mut seen = possible;
    while let Some((p, used)) = left.pop() {
        if p.open.contains(&(i, M::DONE)) {
            let open = p.open.into_iter().filter(|(other, _)| *other != i).collect();
            note::<M>(&mut over, &Possible { state: p.state, open }, used);
            continue;
        }
        for (at, (operation, stage)) in p.open.iter().enumerate() {
            let operation = &history[*operation];
            let Some((stage, state)) = M::step(&operation.what, *stage, &p.state) else { continue };
            let mut next = Possible { state, open: p.open.clone() };
            next.open[at].1 = stage;
            let next = looked::<M>(history, next);
            if note::<M>(&mut seen, &next, used) {
                left.push((next, used));
            }
        }
        if used < chances
            && let Some(state) = M::chance(&p.state)
        {
            let next = looked::<M>(history, Possible { state, open: p.open.clone() });
            if note::<M>(&mut seen, &next, used + 1) {
                left.push((next, used + 1));
            }
        }
        if seen.len() > possible_max {
            return None;
        }
    }
    Some(over)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that is added to, and read.
    struct Sum;

    enum What {
        Add(u32),
        Read(u32),
        /// Adds 1 twice, in two steps.
        Twice,
    }

    impl Model for Sum {
        type What = What;
        type State = u32;
        type Stage = u8;
        const BEGUN: u8 = 0;
        const DONE: u8 = 9;

        fn step(what: &What, stage: u8, state: &u32) -> Option<(u8, u32)> {
            match (what, stage) {
                (_, Self::DONE) => None,
                (What::Add(n), _) => Some((Self::DONE, state + n)),
                (What::Read(n), _) => (n == state).then_some((Self::DONE, *state)),
                (What::Twice, 0) => Some((1, state + 1)),
                (What::Twice, _) => Some((Self::DONE, state + 1)),
            }
        }

        fn only_looks(what: &What) -> bool {
            matches!(what, What::Read(_))
        }

        fn chance(state: &u32) -> Option<u32> {
            Some(state + 100)
        }
    }

    fn history(operations: Vec<(u64, u64, What)>) -> Vec<Operation<What>> {
        operations.into_iter().map(|(begun, ended, what)| Operation { begun, ended, what }).collect()
    }

    fn judge(operations: Vec<(u64, u64, What)>, chances: &[u64]) -> Verdict {
        check::<Sum>(&history(operations), chances)
    }

    #[test]
    fn orders() {
        use Verdict::{Linearizable, Violation};
        use What::{Add, Read, Twice};
        assert_eq!(judge(vec![], &[]), Linearizable);
        assert_eq!(judge(vec![(0, 9, Add(1)), (1, 2, Read(1)), (3, 4, Read(1))], &[]), Linearizable);
        assert_eq!(judge(vec![(0, 9, Add(1)), (1, 2, Read(1)), (3, 4, Read(0))], &[]), Violation(2));
        assert_eq!(judge(vec![(0, 1, Add(1)), (2, 3, Read(0))], &[]), Violation(1));
        assert_eq!(
            judge(vec![(0, 9, Twice), (1, 2, Read(0)), (3, 4, Read(1)), (5, 6, Read(2))], &[]),
            Linearizable
        );
        // At the same moment: either may be first.
        assert_eq!(judge(vec![(0, 5, Add(1)), (5, 6, Read(0))], &[]), Linearizable);
    }

    #[test]
    fn chances_happen_after_their_begin_and_once() {
        use Verdict::{Linearizable, Violation};
        use What::Read;
        assert_eq!(judge(vec![(0, 1, Read(0)), (2, 3, Read(100)), (4, 5, Read(100))], &[1]), Linearizable);
        assert_eq!(judge(vec![(0, 1, Read(100))], &[2]), Violation(0));
        assert_eq!(judge(vec![(2, 3, Read(100)), (4, 5, Read(200))], &[1]), Violation(1));
        assert_eq!(judge(vec![(2, 3, Read(100)), (4, 5, Read(200))], &[1, 4]), Linearizable);
        assert_eq!(judge(vec![(2, 3, Read(0)), (4, 5, Read(0))], &[1, 1, 1]), Linearizable);
    }

    #[test]
    fn what_only_looks_doubles_nothing() {
        let mut operations = vec![(0, 99, What::Add(1)), (0, 99, What::Add(1))];
        operations.extend((0..60).map(|i| (1, 90, What::Read(i % 3))));
        assert_eq!(judge(operations, &[]), Verdict::Linearizable);
        let wrong = vec![
            (0, 99, What::Add(1)),
            (1, 90, What::Read(0)),
            (1, 90, What::Read(1)),
            (1, 80, What::Read(2)),
        ];
        assert_eq!(judge(wrong, &[]), Verdict::Violation(3));
    }

    #[test]
    fn what_needs_too_many_possibilities_is_said_to_be_unknown() {
        let operations = (0..10).map(|i| (0, 90, What::Add(1 << i))).collect();
        let history = history(operations);
        assert_eq!(search::<Sum>(&history, &[], 1000), Verdict::Unknown(0));
        assert_eq!(search::<Sum>(&history, &[], 2000), Verdict::Linearizable);
    }
}
