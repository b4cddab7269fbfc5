//! Waiting for a moment, and no longer than until one.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::{Elapsed, Handle};

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

/// How many times a [`Watch`] looks up within the shortest of its bounds.
const LOOKS: u32 = 4;

/// Bounds the waiting of many operations in a row, as those of one connection. Where [`Handle::timeout`](crate::Handle::timeout)
/// sets a timer for each, this one keeps a timer that rings a few times within a bound and is left standing in between:
/// an operation that ends in time costs none.
pub struct Watch {
    core: Rc<Core>,
    timer: Cell<Option<Sleep>>,
}

impl Watch {
    /// A watch whose timer is not set yet.
    pub fn new(handle: &Handle) -> Watch {
        Watch { core: handle.core().clone(), timer: Cell::default() }
    }

    /// Runs `future` for at most `within`, counted from this turn's clock; after that it is dropped, which parks its
    /// operations.
    pub async fn run<F: Future>(&self, within: Duration, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        let mut deadline = None;
        poll_fn(move |cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending => {
                let now = self.core.now();
                let deadline = *deadline.get_or_insert_with(|| now + within);
                self.look(cx, now, deadline, within)
            }
        })
        .await
    }

    /// Ready when the deadline has passed. Until then the timer stands somewhere before it.
    fn look<T>(
        &self,
        cx: &mut Context<'_>,
        now: Instant,
        deadline: Instant,
        within: Duration,
    ) -> Poll<Result<T, Elapsed>> {
        if now >= deadline {
            return Poll::Ready(Err(Elapsed));
        }
        let stands = self.timer.take().filter(|t| t.deadline() > now && t.deadline() <= deadline);
        let mut timer =
            stands.unwrap_or_else(|| Sleep::new(self.core.clone(), deadline.min(now + within / LOOKS)));
        if Pin::new(&mut timer).poll(cx).is_ready() {
            // A bound shorter than the clock's grain.
            cx.waker().wake_by_ref();
        }
        self.timer.set(Some(timer));
        Poll::Pending
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
