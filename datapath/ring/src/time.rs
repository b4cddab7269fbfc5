//! Waiting for a moment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::core::Core;

/// The future of [`Handle::sleep`](crate::Handle::sleep). Dropping it takes its timer out.
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    core: Rc<Core>,
    deadline: Instant,
    timer: Option<usize>,
}

impl Sleep {
    pub(crate) fn new(core: Rc<Core>, deadline: Instant) -> Sleep {
        Sleep { core, deadline, timer: None }
    }

    /// When it ends.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    fn stop(&mut self) {
        if let Some(timer) = self.timer.take() {
            let waker = self.core.timers.borrow_mut().remove(timer);
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.core.now() >= self.deadline {
            self.stop();
            return Poll::Ready(());
        }
        let core = self.core.clone();
        let mut timers = core.timers.borrow_mut();
        match self.timer {
            Some(timer) => timers.set_waker(timer, cx.waker()),
            None => self.timer = Some(timers.insert(self.deadline, cx.waker())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).finish()
    }
}
