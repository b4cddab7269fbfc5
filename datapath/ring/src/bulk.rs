//! Turns of large transfers: one a turn of the reactor, so that a small request waits for one of them and not for all.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::core::Core;

/// Who waits for a turn, first in, first out. Bounded by the tasks: each waits for one at most.
#[derive(Default)]
pub(crate) struct Bulk {
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    /// Tickets are given in order and served in order; those of dropped futures are served like others.
    given: Cell<u64>,
    served: Cell<u64>,
    /// Whether this turn's one transfer is given away.
    taken: Cell<bool>,
}

impl Bulk {
    /// A turn of the reactor begins: the first that waits may go on.
    pub(crate) fn begin_turn(&self) {
        let first = self.waiting.borrow_mut().pop_front();
        self.taken.set(first.is_some());
        if let Some((ticket, waker)) = first {
            self.served.set(ticket);
            waker.wake();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    pub(crate) fn clear(&self) {
        let wakers = self.waiting.take();
        drop(wakers);
    }
}

/// The future of [`Handle::bulk_turn`](crate::Handle::bulk_turn).
#[must_use = "futures do nothing unless polled"]
pub struct BulkTurn {
    core: Rc<Core>,
    ticket: Option<u64>,
}

impl BulkTurn {
    pub(crate) fn new(core: Rc<Core>) -> BulkTurn {
        BulkTurn { core, ticket: None }
    }
}

impl Future for BulkTurn {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let ticket = self.ticket;
        let bulk = &self.core.bulk;
        match ticket {
            Some(ticket) if bulk.served.get() >= ticket => Poll::Ready(()),
            // Polled for another reason than its turn: only the waker may have changed.
            Some(ticket) => {
                if let Some(place) = bulk.waiting.borrow_mut().iter_mut().find(|(t, _)| *t == ticket) {
                    place.1.clone_from(cx.waker());
                }
                Poll::Pending
            }
            None if !bulk.taken.replace(true) => Poll::Ready(()),
            None => {
                let ticket = bulk.given.get() + 1;
                bulk.given.set(ticket);
                bulk.waiting.borrow_mut().push_back((ticket, cx.waker().clone()));
                self.ticket = Some(ticket);
                Poll::Pending
            }
        }
    }
}

impl std::fmt::Debug for BulkTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkTurn").field("ticket", &self.ticket).finish()
    }
}
