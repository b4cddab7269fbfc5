//! A thread's share of one disk for large transfers: what is in flight has a bound in bytes, so that a small read finds
//! a short queue in the device and a slow disk holds few buffers. Small transfers pass at once.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Transfers up to this size are not rationed, in bytes.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// The ration of one disk, for one thread.
pub(crate) struct Ration {
    budget: usize,
    in_flight: Cell<usize>,
    /// First come, first served. Bounded by the thread's tasks.
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
}

struct Waiter {
    bytes: usize,
    state: Cell<State>,
    waker: RefCell<Option<Waker>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Granted,
    GaveUp,
}

/// The right to have `bytes` in flight, until it is dropped.
pub(crate) struct Pass {
    ration: Rc<Ration>,
    bytes: usize,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.ration.release(self.bytes);
    }
}

impl Ration {
    /// At most `budget` bytes in flight; one transfer that is larger alone passes alone.
    pub(crate) fn new(budget: usize) -> Rc<Self> {
        Rc::new(Self { budget, in_flight: Cell::new(0), waiting: RefCell::default() })
    }

    /// Waits for the right to transfer `bytes`; none is needed for few.
    pub(crate) async fn pass(self: &Rc<Self>, bytes: usize) -> Option<Pass> {
        if bytes <= SMALL_BYTES_MAX { None } else { Some(self.take(bytes).await) }
    }

    /// Waits for the right to have so much in flight.
    pub(crate) async fn take(self: &Rc<Self>, bytes: usize) -> Pass {
        if self.waiting.borrow().is_empty() && self.fits(bytes) {
            self.in_flight.set(self.in_flight.get() + bytes);
        } else {
            let waiter =
                Rc::new(Waiter { bytes, state: Cell::new(State::Waiting), waker: RefCell::default() });
            self.waiting.borrow_mut().push_back(waiter.clone());
            Wait { ration: self, waiter }.await;
        }
        Pass { ration: self.clone(), bytes }
    }

    fn fits(&self, bytes: usize) -> bool {
        let in_flight = self.in_flight.get();
        in_flight == 0 || in_flight + bytes <= self.budget
    }

    fn release(&self, bytes: usize) {
        self.in_flight.set(self.in_flight.get() - bytes);
        self.grant();
    }

    fn grant(&self) {
        loop {
            let next = match self.waiting.borrow().front() {
                Some(w) if w.state.get() == State::GaveUp || self.fits(w.bytes) => w.clone(),
                _ => return,
            };
            self.waiting.borrow_mut().pop_front();
            if next.state.get() == State::Waiting {
                self.in_flight.set(self.in_flight.get() + next.bytes);
                next.state.set(State::Granted);
                if let Some(waker) = next.waker.take() {
                    waker.wake();
                }
            }
        }
    }
}

struct Wait<'r> {
    ration: &'r Rc<Ration>,
    waiter: Rc<Waiter>,
}

impl Future for Wait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let waiter = &self.waiter;
        if waiter.state.get() == State::Granted {
            // The grant is the caller's from here on.
            waiter.state.set(State::GaveUp);
            return Poll::Ready(());
        }
        waiter.waker.replace(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        match self.waiter.state.replace(State::GaveUp) {
            State::Granted => self.ration.release(self.waiter.bytes),
            State::Waiting => self.ration.grant(),
            State::GaveUp => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const KIB: usize = 1 << 10;

    #[test]
    fn large_transfers_wait_for_room_in_order_and_small_ones_never() {
        let ration = Ration::new(512 * KIB);
        let now = |bytes| ration.pass(bytes).now_or_never();
        let first = now(256 * KIB).unwrap();
        let second = now(256 * KIB).unwrap();
        assert!(now(64 * KIB).is_some_and(|pass| pass.is_none()), "small");
        let mut third = Box::pin(ration.pass(256 * KIB));
        let mut fourth = Box::pin(ration.pass(65 * KIB));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(fourth.as_mut().now_or_never().is_none());
        drop(first);
        assert!(fourth.as_mut().now_or_never().is_none(), "overtook");
        let third = third.now_or_never().unwrap();
        assert!(fourth.as_mut().now_or_never().is_none());
        drop((second, third));
        drop(fourth.now_or_never().unwrap());
        assert_eq!(ration.in_flight.get(), 0);
    }

    #[test]
    fn who_gives_up_holds_nothing() {
        let ration = Ration::new(256 * KIB);
        let first = ration.pass(256 * KIB).now_or_never().unwrap();
        let mut granted = Box::pin(ration.pass(256 * KIB));
        let mut waiting = Box::pin(ration.pass(256 * KIB));
        let mut last = Box::pin(ration.pass(256 * KIB));
        for wait in [&mut granted, &mut waiting, &mut last] {
            assert!(wait.as_mut().now_or_never().is_none());
        }
        drop(first);
        drop(waiting);
        drop(granted);
        drop(last.now_or_never().unwrap());
        assert_eq!((ration.in_flight.get(), ration.waiting.borrow().len()), (0, 0));
    }

    #[test]
    fn what_is_larger_than_the_budget_passes_alone() {
        let ration = Ration::new(256 * KIB);
        let large = ration.pass(1024 * KIB).now_or_never().unwrap();
        assert!(ration.pass(65 * KIB).now_or_never().is_none());
        drop(large);
        assert!(ration.pass(65 * KIB).now_or_never().is_some());
    }
}
