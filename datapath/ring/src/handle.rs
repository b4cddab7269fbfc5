//! What the code of a reactor's tasks starts everything from.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::bulk::BulkTurn;
use crate::core::Core;
use crate::disk::DiskRing;
use crate::pool::BufPool;
use crate::time::Sleep;
use crate::{Elapsed, ReactorStats, RingError, Stall, TasksFull, current};

/// A handle of one reactor, for its own thread. Cloning it is cheap. Socket operations are its methods, too.
#[derive(Clone)]
pub struct Handle {
    pub(crate) core: Rc<Core>,
}

impl Handle {
    pub(crate) fn new(core: Rc<Core>) -> Handle {
        Handle { core }
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The handle of the reactor that runs on this thread.
    ///
    /// # Panics
    /// Outside of [`Reactor::block_on`](crate::Reactor::block_on).
    pub fn current() -> Handle {
        Handle::try_current().unwrap_or_else(|| panic!("no reactor runs on this thread"))
    }

    /// The handle of the reactor that runs on this thread, if one does.
    pub fn try_current() -> Option<Handle> {
        current::get().map(Handle::new)
    }

    /// Starts a task. It is polled from the next turn on, and dropped with the reactor. If it panics, it alone ends; the
    /// panic is counted and reported to the hook.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) -> Result<(), TasksFull> {
        if self.core.spawn(Box::pin(future)) {
            Ok(())
        } else {
            Err(TasksFull { max: self.core.tasks.borrow().max })
        }
    }

    /// Sets what is called with the text of a task's panic, after the task is gone. One hook; the last one set counts.
    pub fn on_task_panic(&self, hook: impl Fn(&str) + 'static) {
        let previous = self.core.panic_hook.replace(Some(Rc::new(hook)));
        drop(previous);
    }

    /// Waits for `duration`, counted from this turn's clock.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let now = self.now();
        self.sleep_until(now.checked_add(duration).unwrap_or(now + Duration::from_secs(u64::from(u32::MAX))))
    }

    /// Waits until `deadline`.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep::new(self.core.clone(), deadline)
    }

    /// Runs `future` for at most `duration`; after that it is dropped, which parks its operations. A future that is ready at
    /// its first poll costs no timer.
    pub fn timeout<F: Future>(
        &self,
        duration: Duration,
        future: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<F> {
        let mut sleep = self.sleep(duration);
        async move {
            let mut future = pin!(future);
            poll_fn(move |cx| match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Ok(output)),
                Poll::Pending => Pin::new(&mut sleep).poll(cx).map(|()| Err(Elapsed)),
            })
            .await
        }
    }

    /// Lets every other task that is ready, and the rings, have a turn.
    pub fn yield_now(&self) -> Yield {
        Yield(false)
    }

    /// Waits for the right to move one large piece: in each turn of the reactor one who asks for it has it, in the order of
    /// asking, so that small requests wait for one large piece and not for all. Nobody waits where nobody else asks.
    pub fn bulk_turn(&self) -> BulkTurn {
        BulkTurn::new(self.core.clone())
    }

    /// Tells of every step of this reactor that takes longer than `limit`, on its own thread, right after the step.
    /// It costs one look at the clock for each poll.
    pub fn watch_stalls(&self, limit: Duration, tell: impl Fn(Stall) + 'static) {
        self.core.stalls.set(limit, Rc::new(tell));
    }

    /// When this turn began: a clock that costs nothing.
    pub fn now(&self) -> Instant {
        self.core.now()
    }

    /// The reactor's buffers.
    pub fn buffers(&self) -> &BufPool {
        &self.core.pool
    }

    /// Sets up one more ring, for one disk. It stays until the reactor ends, so take one per disk and clone it.
    pub fn disk_ring(&self) -> Result<DiskRing, RingError> {
        Ok(DiskRing::new(self.core.clone(), self.core.add_disk_ring()?))
    }

    /// What the reactor has done so far.
    pub fn stats(&self) -> ReactorStats {
        self.core.stats()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle")
    }
}

/// The future of [`Handle::yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
