//! Whether a history of concurrent operations could have happened one after the other, each at some moment between its
//! begin and its end (linearizability).
//!
//! What the operations do to which state is a [`Model`]'s to say. The search goes through begins and ends in the order of
//! time and carries along every state that fits what was answered so far; where none is left, no order explains the
//! answers. Nothing is guessed: a history that needs too many states is [`Verdict::Unknown`], which is no success.
//!
//! An operation whose outcome its client never learnt has no end. Those that may still happen at any later time, and are all
//! alike, are given beside the history (`chances`); an operation that is known to have happened, because somebody saw what
//! it wrote, ends when it was seen first.

mod search;

use std::fmt::Debug;
use std::hash::Hash;

pub use search::check;

/// What operations do to a state.
pub trait Model {
    /// An operation with what it answered.
    type What;
    /// What the operations change.
    type State: Clone + Eq + Hash + Debug + Default;
    /// How far an operation has come: most have one step.
    type Stage: Copy + Eq + Hash + Debug;
    /// No step of it was done.
    const BEGUN: Self::Stage;
    /// All of it was done.
    const DONE: Self::Stage;

    /// The next step of an operation from a state, if it could have happened there with that answer.
    fn step(what: &Self::What, stage: Self::Stage, state: &Self::State)
    -> Option<(Self::Stage, Self::State)>;

    /// Whether no step of an operation changes a state: it happens as soon as its answer fits, since what is possible then is all
    /// that is possible if it happens later.
    fn only_looks(_: &Self::What) -> bool {
        false
    }

    /// Gives one form to all that no later step tells apart: the state, and how far the operations under way have come.
    fn canonical<'g>(_: &mut Self::State, _: impl Iterator<Item = &'g mut Self::Stage>)
    where
        Self::Stage: 'g,
    {
    }

    /// What one of the operations of unknown outcome makes of a state, if it changes anything.
    fn chance(_: &Self::State) -> Option<Self::State> {
        None
    }
}

/// An operation as its client saw it. Times are of one clock, in whatever unit.
#[derive(Clone, Copy, Debug)]
pub struct Operation<W> {
    /// Before it was asked for.
    pub begun: u64,
    /// After it was answered.
    pub ended: u64,
    /// What was asked, and answered.
    pub what: W,
}

/// What is right or wrong with a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An order explains it.
    Linearizable,
    /// The operation that no order explains, by its place in the history.
    Violation(usize),
    /// Too many possibilities at this operation.
    Unknown(usize),
}
