//! Deterministic simulation of the agreement and of what follows from it: the real code of `members`, `raft`, `jobs` and
//! `removal`, openraft and redb included, as several processes in one thread, over a model of the datapath that keeps objects.
//!
//! One seed decides everything: how long messages take and which are lost, who is cut off, who stands still, who dies with or
//! without the power, which task goes first. Nothing else does: the same seed gives the same trace. What a process asks of
//! others, of its file and of the clock comes here by `runtime`, `peers`, `raft::db` and `Backend`; sockets and proofs
//! are not simulated.
//!
//! | file | its part |
//! |---|---|
//! | `world` | time, tasks, chance |
//! | `openraft` | the same as openraft wants it |
//! | `net` | messages |
//! | `disk` | a process's file |
//! | `shard` | what of a process serves objects: a model of the datapath |
//! | `store` | what a target keeps of objects |
//! | `backend` | the same, as jobs see it |
//! | `cluster` | processes, and what becomes of them |
//! | `clients` | what is asked of them |
//! | `history` | what happened to objects, and what clients were told |
//! | `stories` | orders of events that are given |
//! | `checks` | what must hold after every step |
//! | `tests` | seeds, planted bugs, the same seed twice |

mod backend;
mod checks;
mod clients;
mod cluster;
mod disk;
mod history;
mod net;
mod openraft;
mod shard;
mod store;
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
