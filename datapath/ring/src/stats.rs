//! What a reactor has done, for metrics.

use std::cell::Cell;

use crate::RingMode;

/// Counters since the reactor was made, and gauges of this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReactorStats {
    /// How the rings were set up.
    pub mode: RingMode,
    /// Turns of the loop.
    pub turns: u64,
    /// Polls of tasks, the root included.
    pub polls: u64,
    /// Submissions to any ring, cancellations and the bell's reads included.
    pub submitted: u64,
    /// Completions of any ring.
    pub completed: u64,
    /// io_uring_enter calls.
    pub enters: u64,
    /// Times the reactor slept in the kernel.
    pub parks: u64,
    /// Times the spin before sleeping found work.
    pub spins_won: u64,
    /// Times a completion queue had overflowed and was caught up with.
    pub cq_overflows: u64,
    /// Tasks that panicked.
    pub task_panics: u64,
    /// Operations whose future was dropped before the kernel had completed them.
    pub parked_total: u64,
    /// Operations refused because the table was full or the reactor at its end.
    pub refused: u64,
    /// Completions that belonged to no operation: always 0, or the reactor has a bug.
    pub strays: u64,
    /// Times another thread rang this reactor's bell.
    pub bells: u64,
    /// Tasks alive, the root not counted.
    pub tasks: usize,
    /// Operations that the kernel has or whose result was not fetched.
    pub operations: usize,
    /// Operations that the kernel has and nobody waits for.
    pub parked: usize,
    /// Timers that have not fired.
    pub timers: usize,
    /// Pool buffers nobody has.
    pub buffers_free: usize,
    /// Pool buffers in all.
    pub buffers: usize,
    /// Disk rings.
    pub disk_rings: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) turns: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) parks: Cell<u64>,
    pub(crate) spins_won: Cell<u64>,
    pub(crate) task_panics: Cell<u64>,
    pub(crate) parked_total: Cell<u64>,
    pub(crate) refused: Cell<u64>,
    pub(crate) strays: Cell<u64>,
}

/// One more.
pub(crate) fn count(counter: &Cell<u64>) {
    counter.set(counter.get().wrapping_add(1));
}
