//! Histories of operations on names, and whether they could have happened one after the other.
//!
//! A name is a register: an object with a value, a note (custom metadata set later) and a version, or none. Names come in
//! pairs, since a rename touches two. Every write has a value of its own, so that a read tells which write it saw.

#[cfg(test)]
mod tests;
pub(crate) mod workload;

use weir_lincheck::Model;

/// An operation on a pair, in nanoseconds since the history's begin.
pub(crate) type Operation = weir_lincheck::Operation<What>;

/// A pair of names, both absent in the beginning.
pub(crate) struct Pair;

impl Model for Pair {
    type What = What;
    type State = State;
    type Stage = Stage;
    const BEGUN: Stage = Stage::Begun;
    const DONE: Stage = Stage::Done;

    fn step(what: &What, stage: Stage, state: &State) -> Option<(Stage, State)> {
        step(what, stage, state)
    }

    fn canonical<'g>(state: &mut State, stages: impl Iterator<Item = &'g mut Stage>) {
        let now = |is: Which| {
            let at = state.iter().position(|made| made.is_some_and(|made| made.is == is));
            at.map_or(Which::Gone, Which::At)
        };
        for stage in stages {
            match stage {
                Stage::Read(made) => made.is = now(made.is),
                Stage::Written(read) => *read = now(*read),
                Stage::Begun | Stage::Done => {}
            }
        }
        for (name, made) in state.iter_mut().enumerate() {
            if let Some(made) = made {
                made.is = Which::At(name);
            }
        }
    }

    fn only_looks(what: &What) -> bool {
        matches!(
            what,
            What::Read { .. } | What::Patch { found: false, .. } | What::Remove { found: false, .. }
        )
    }
}

/// What a name holds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Held {
    pub(crate) value: u64,
    pub(crate) note: u64,
    pub(crate) version: u64,
}

/// What a name holds, and which object it is: of two that look alike one may have come by a rename.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Made {
    held: Held,
    is: Which,
}

/// Which object something is, as far as any step tells: an object that is gone never comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Which {
    /// That of this step.
    New,
    /// What this name has.
    At(usize),
    Gone,
}

/// Both names of a pair.
pub(crate) type State = [Option<Made>; 2];

/// An operation on a name of a pair (0 or 1), with what it answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    Put {
        name: usize,
        value: u64,
        version: u64,
    },
    /// GET or HEAD.
    Read {
        name: usize,
        got: Option<Held>,
    },
    /// Sets the note.
    Patch {
        name: usize,
        note: u64,
        found: bool,
    },
    /// DELETE or eviction.
    Remove {
        name: usize,
        found: bool,
    },
    /// Copies to the other name, and then removes this one if it is still what was copied; two changes, as documented.
    Rename {
        name: usize,
        found: bool,
    },
}

/// How far an operation has come: most have one step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Stage {
    Begun,
    /// A rename has read its source.
    Read(Made),
    /// And written its target.
    Written(Which),
    Done,
}

/// The next step of an operation from a state, if it could have happened there.
fn step(what: &What, stage: Stage, state: &State) -> Option<(Stage, State)> {
    let next_version = |old: Option<Made>| old.map_or(1, |made| made.held.version + 1);
    let mut after = *state;
    match (*what, stage) {
        (_, Stage::Done) => None,
        (What::Put { name, value, version }, _) => {
            after[name] = Some(Made { held: Held { value, note: 0, version }, is: Which::New });
            (version == next_version(state[name])).then_some((Stage::Done, after))
        }
        (What::Read { name, got }, _) => {
            (got == state[name].map(|made| made.held)).then_some((Stage::Done, after))
        }
        (What::Patch { name, note, found }, _) => {
            after[name] = state[name].map(|made| Made { held: Held { note, ..made.held }, is: Which::New });
            (found == state[name].is_some()).then_some((Stage::Done, after))
        }
        (What::Remove { name, found }, _) => {
            after[name] = None;
            (found == state[name].is_some()).then_some((Stage::Done, after))
        }
        (What::Rename { name, found, .. }, Stage::Begun) => match state[name] {
            Some(made) => Some((Stage::Read(made), after)),
            None => (!found).then_some((Stage::Done, after)),
        },
        (What::Rename { name, .. }, Stage::Read(made)) => {
            let held = Held { version: next_version(state[1 - name]), ..made.held };
            after[1 - name] = Some(Made { held, is: Which::New });
            Some((Stage::Written(made.is), after))
        }
        (What::Rename { name, found, .. }, Stage::Written(read)) => {
            after[name] = state[name].filter(|now| now.is != read);
            (found == state[name].is_some()).then_some((Stage::Done, after))
        }
    }
}
