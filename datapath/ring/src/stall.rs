//! The watch over a reactor that must never sleep on a disk: it tells of every step that took too long.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::sys::{self, Sleeps};

/// One step of a reactor's turn that took longer than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// How long it took.
    pub took: Duration,
    /// Whether it was the poll of a task; else it was the submission of what tasks had queued.
    pub poll: bool,
    /// The last system call on a file that the step made.
    pub call: &'static str,
    /// What this thread did since it last parked.
    pub how: How,
}

/// How a step took long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It computed, or its CPU was taken away.
    Ran,
    /// It went to sleep on its own.
    Slept,
    /// It slept at least once until a page of the program's memory was read from a disk: the host is short of memory.
    Paged,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = if self.poll { "poll" } else { "submission" };
        let how = match self.how {
            How::Ran => "ran or was preempted",
            How::Slept => "slept",
            How::Paged => "had pages of the program read in",
        };
        write!(f, "a {step} took {:.1} ms and {how}: {}", self.took.as_secs_f64() * 1e3, self.call)
    }
}

type Tell = Rc<dyn Fn(Stall)>;

/// Who is told, and from which duration on.
#[derive(Default)]
pub(crate) struct StallWatch {
    limit: Cell<Option<Duration>>,
    tell: RefCell<Option<Tell>>,
    sleeps: Cell<Sleeps>,
}

impl StallWatch {
    pub(crate) fn set(&self, limit: Duration, tell: Tell) {
        self.limit.set(Some(limit));
        self.sleeps.set(sys::sleeps());
        drop(self.tell.replace(Some(tell)));
    }

    /// The reactor parked, which is a sleep that counts for nothing.
    pub(crate) fn parked(&self) {
        if self.limit.get().is_some() {
            self.sleeps.set(sys::sleeps());
        }
    }

    /// A step that began at `since` is over; gives the time of its end, where anybody wants it.
    pub(crate) fn step(&self, since: Instant, poll: bool) -> Instant {
        let Some(limit) = self.limit.get() else { return since };
        let now = Instant::now();
        let (took, call) = (now - since, sys::take_last());
        if took > limit {
            let now = sys::sleeps();
            let before = self.sleeps.replace(now);
            let how = match () {
                () if now.for_pages > before.for_pages => How::Paged,
                () if now.all > before.all => How::Slept,
                () => How::Ran,
            };
            let tell = self.tell.borrow().clone();
            if let Some(tell) = tell {
                tell(Stall { took, poll, call, how });
            }
        }
        now
    }

    pub(crate) fn end(&self) {
        self.limit.set(None);
        drop(self.tell.take());
    }
}
