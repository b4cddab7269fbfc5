//! The watch over a reactor that must never sleep on a disk: it tells of every step that took too long.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::sys;

/// One step of a reactor's turn that took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// How long it took.
    pub took: Duration,
    /// Whether it was the poll of a task; else it was the submission of what tasks had queued.
    pub poll: bool,
    /// The last system call on a file that the step made.
    pub call: &'static str,
    /// Whether this thread went to sleep on its own since it last parked. If not, it computed or its CPU was taken away.
    pub slept: bool,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = if self.poll { "poll" } else { "submission" };
        let how = if self.slept { "slept" } else { "ran or was preempted" };
        write!(f, "a {step} took {:.1} ms and {how}: {}", self.took.as_secs_f64() * 1e3, self.call)
    }
}

type Tell = Rc<dyn Fn(Stall)>;

/// Who is told, and from which duration on.
#[derive(Default)]
pub(crate) struct StallWatch {
    limit: Cell<Option<Duration>>,
    tell: RefCell<Option<Tell>>,
    sleeps: Cell<u64>,
}

impl StallWatch {
    pub(crate) fn set(&self, limit: Duration, tell: Tell) {
        self.limit.set(Some(limit));
        self.sleeps.set(sys::voluntary_switches());
        drop(self.tell.replace(Some(tell)));
    }

    /// The reactor parked, which is a sleep that counts for nothing.
    pub(crate) fn parked(&self) {
        if self.limit.get().is_some() {
            self.sleeps.set(sys::voluntary_switches());
        }
    }

    /// A step that began at `since` is over; gives the time of its end, where anybody wants it.
    pub(crate) fn step(&self, since: Instant, poll: bool) -> Instant {
        let Some(limit) = self.limit.get() else { return since };
        let now = Instant::now();
        let (took, call) = (now - since, sys::take_last());
        if took > limit {
            let sleeps = sys::voluntary_switches();
            let slept = sleeps > self.sleeps.replace(sleeps);
            let tell = self.tell.borrow().clone();
            if let Some(tell) = tell {
                tell(Stall { took, poll, call, slept });
            }
        }
        now
    }

    pub(crate) fn end(&self) {
        self.limit.set(None);
        drop(self.tell.take());
    }
}
