//! Deterministic simulation of the agreement: the real code of `members` and `raft`, openraft and redb included, as several
//! processes in one thread.
//!
//! One seed decides everything: how long messages take and which are lost, who is cut off, who stands still, who dies with or
//! without the power, which task goes first. Nothing else does: the same seed gives the same trace. What a process asks of
//! others, of its file and of the clock comes here by `runtime`, `peers` and `raft::db`; sockets, proofs and the removal of
//! data are not simulated.
//!
//! | file | its part |
//! |---|---|
//! | `world` | time, tasks, chance |
//! | `openraft` | the same as openraft wants it |
//! | `net` | messages |
//! | `disk` | a process's file |
//! | `cluster` | processes, and what becomes of them |
//! | `stories` | orders of events that are given |
//! | `checks` | what must hold after every step |
//! | `tests` | seeds, planted bugs, the same seed twice |

mod checks;
mod cluster;
mod disk;
mod net;
mod openraft;
mod stories;
mod tests;
mod world;

use std::cell::Cell;

use crate::runtime::Bug;

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a mistake in everything that runs on this thread.
fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether the mistake is planted.
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

use checks::Wrong;
pub(crate) use net::exchange;
pub(crate) use openraft::Runtime;
pub(crate) use world::{World, within};
