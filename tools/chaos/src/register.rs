//! What clients saw of one name, and whether it could be: a name is a register that holds a write or nothing.
//!
//! Clients do not always learn what became of a change. A write that somebody read has happened by then. One that nobody
//! ever read may as well not have been: whatever order explains the rest explains it without. A removal of unknown outcome
//! may happen at any time after, once. Answers of a node that says that nobody stands behind it (`Weir-Stale`) may be old:
//! they must be of the name, and not of the future.

use std::collections::HashMap;
use std::fmt;

use weir_lincheck::{Model, Operation, Verdict, check};

/// Operations before the offending one that are shown with it.
const SHOWN_BEFORE: usize = 30;

/// What a client was told of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// A write with its number; not `sure`: its outcome is unknown.
    Put {
        /// Its number.
        number: u64,
        /// Whether it was acknowledged.
        sure: bool,
    },
    /// GET, HEAD, or a removal that found nothing: the write that was there, if any.
    Read {
        /// Its number.
        got: Option<u64>,
        /// Whether it may be old.
        stale: bool,
    },
    /// A removal; not `sure`: its outcome is unknown.
    Remove {
        /// Whether it was acknowledged.
        sure: bool,
    },
}

/// An operation on a name, in nanoseconds since the round's begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Before it was sent.
    pub begun: u64,
    /// After it was answered, or given up.
    pub ended: u64,
    /// By which client.
    pub client: usize,
    /// Which node was asked.
    pub through: usize,
    /// What it was told.
    pub told: Told,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { begun, ended, client, through, told } = self;
        let ms = |ns: &u64| *ns as f64 / 1e6;
        write!(f, "{:>10.3} .. {:>10.3} ms  client {client:>2} n{through}  ", ms(begun), ms(ended))?;
        match told {
            Told::Put { number, sure: true } => write!(f, "write {number}"),
            Told::Put { number, sure: false } => write!(f, "write {number}: outcome unknown"),
            Told::Read { got: Some(number), stale: false } => write!(f, "read {number}"),
            Told::Read { got: None, stale: false } => write!(f, "read nothing"),
            Told::Read { got, stale: true } => write!(f, "read {got:?}, may be old"),
            Told::Remove { sure: true } => write!(f, "removed"),
            Told::Remove { sure: false } => write!(f, "remove: outcome unknown"),
        }
    }
}

/// What becomes of a name.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// An order explains it.
    Right,
    /// None does: which operation shows it, and what came before.
    Violation(String),
    /// Too many possibilities to tell.
    Unknown(String),
}

/// A register.
#[derive(Debug)]
struct Register;

/// An operation on it.
#[derive(Debug)]
enum What {
    Put(u64),
    Read(Option<u64>),
    Remove,
}

impl Model for Register {
    type What = What;
    type State = Option<u64>;
    type Stage = bool;
    const BEGUN: bool = false;
    const DONE: bool = true;

    fn step(what: &What, done: bool, state: &Option<u64>) -> Option<(bool, Option<u64>)> {
        match what {
            _ if done => None,
            What::Put(number) => Some((true, Some(*number))),
            What::Read(got) => (got == state).then_some((true, *state)),
            What::Remove => Some((true, None)),
        }
    }

    fn only_looks(what: &What) -> bool {
        matches!(what, What::Read(_))
    }

    fn chance(state: &Option<u64>) -> Option<Option<u64>> {
        state.is_some().then_some(None)
    }
}

/// Judges what was seen of a name that did not exist in the beginning. The order of `records` does not matter.
pub fn judge(name: &str, records: &[Record]) -> Judged {
    let mut records = records.to_vec();
    records.sort_by_key(|r| (r.begun, r.ended));
    let seen = first_seen(&records);
    let mut history: Vec<Operation<What>> = Vec::new();
    let mut origins = Vec::new();
    let mut chances = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let Record { begun, ended, told, .. } = *record;
        let (ended, what) = match told {
            Told::Put { number, sure } => match seen.get(&number) {
                // It has happened when it is seen, and when it is acknowledged.
                Some(seen) if !sure => (*seen, What::Put(number)),
                _ if sure => (ended, What::Put(number)),
                _ => continue,
            },
            Told::Read { got, stale: true } if is_possible_of_old(&records, record, got) => continue,
            Told::Read { got, .. } => (ended, What::Read(got)),
            Told::Remove { sure: true } => (ended, What::Remove),
            Told::Remove { sure: false } => {
                chances.push(begun);
                continue;
            }
        };
        // Seen before it was begun: the search says so, and needs times in order for it.
        history.push(Operation { begun, ended: ended.max(begun), what });
        origins.push(i);
    }
    match check::<Register>(&history, &chances) {
        Verdict::Linearizable => Judged::Right,
        Verdict::Violation(at) => Judged::Violation(story(name, &records, origins[at])),
        Verdict::Unknown(at) => Judged::Unknown(story(name, &records, origins[at])),
    }
}

/// When each write was read first, at the latest.
fn first_seen(records: &[Record]) -> HashMap<u64, u64> {
    let mut seen = HashMap::new();
    for record in records {
        if let Told::Read { got: Some(number), .. } = record.told {
            let first = seen.entry(number).or_insert(record.ended);
            *first = record.ended.min(*first);
        }
    }
    seen
}

/// Whether an answer that may be old is one that was right once.
fn is_possible_of_old(records: &[Record], read: &Record, got: Option<u64>) -> bool {
    let Some(got) = got else { return true };
    let wrote =
        |r: &Record| matches!(r.told, Told::Put { number, .. } if number == got) && r.begun <= read.ended;
    records.iter().any(wrote)
}

/// The operation that cannot be explained, what came before it, and what was under way beside it.
fn story(name: &str, records: &[Record], at: usize) -> String {
    let bad = records[at];
    let before: Vec<&Record> = records.iter().filter(|r| r.begun <= bad.ended).collect();
    let from = before.len().saturating_sub(SHOWN_BEFORE);
    let mut out = format!("{name}: no order explains\n  {bad}\n  after\n");
    before[from..].iter().for_each(|record| out.push_str(&format!("  {record}\n")));
    out
}

#[cfg(test)]
mod tests;
