//! The shard's buffers: reserved once, lent and given back, first come first served.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;
use weir_types::limits::BUFFER_WAITERS_MAX;

use crate::buf::Buf;
use crate::memory::Region;

/// A reactor's buffers. Cloning gives another handle of the same pool.
#[derive(Clone)]
pub struct BufPool(Rc<Shared>);

pub(crate) struct Shared {
    region: Option<Region>,
    count: usize,
    bytes: usize,
    state: RefCell<State>,
    registered: Cell<bool>,
    refused: RefCell<Option<String>>,
}

#[derive(Default)]
struct State {
    free: Vec<u16>,
    line: VecDeque<usize>,
    waiters: Slab<Waiter>,
}

enum Waiter {
    Waiting(Waker),
    /// A buffer came back and is kept for this one.
    Given(u16),
}

impl BufPool {
    /// Reserves `count` buffers of `bytes` each. Both were checked by the configuration.
    pub(crate) fn new(count: usize, bytes: usize) -> io::Result<BufPool> {
        let total = count.checked_mul(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        let region = if total == 0 { None } else { Some(Region::new(total)?) };
        // The last is lent first, so that a quiet shard keeps using the same few warm buffers.
        let free = (0..count).rev().map(|i| i as u16).collect();
        Ok(BufPool(Rc::new(Shared {
            region,
            count,
            bytes,
            state: RefCell::new(State { free, ..State::default() }),
            registered: Cell::new(false),
            refused: RefCell::new(None),
        })))
    }

    /// Takes a buffer, waiting in line when none is free. The length of the line is bounded by [`BUFFER_WAITERS_MAX`]; who
    /// finds it full asks again on every turn, unheard of since tasks are bounded below that.
    pub fn take(&self) -> Take {
        Take { pool: self.0.clone(), place: None }
    }

    /// Takes a buffer if one is free and nobody waits.
    pub fn try_take(&self) -> Option<Buf> {
        let index = self.0.state.borrow_mut().free.pop()?;
        Some(Buf::from_pool(self.0.clone(), index))
    }

    /// A buffer of the heap, for sizes the pool does not have; never registered.
    pub fn heap(&self, bytes: usize) -> Buf {
        Buf::heap(bytes)
    }

    /// Whether the kernel has the buffers registered, so that disk I/O uses the fixed forms.
    pub fn registered(&self) -> bool {
        self.0.registered.get()
    }

    /// Why the kernel refused to register them, with the remedy; `None` when it did not.
    pub fn registration_refused(&self) -> Option<String> {
        self.0.refused.borrow().clone()
    }

    /// Buffers in all.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// Bytes of one buffer.
    pub fn buffer_bytes(&self) -> usize {
        self.0.bytes
    }

    /// Buffers nobody has.
    pub fn free(&self) -> usize {
        self.0.state.borrow().free.len()
    }

    /// Futures standing in line.
    pub fn waiting(&self) -> usize {
        self.0.state.borrow().line.len()
    }

    /// Whether `buf` is one of this pool's (and not of another reactor's or the heap's).
    pub(crate) fn owns(&self, buf: &Buf) -> bool {
        buf.pool().is_some_and(|pool| Rc::ptr_eq(pool, &self.0))
    }

    /// Every buffer as the kernel's table wants them: entry i is buffer i.
    pub(crate) fn table(&self) -> Vec<libc::iovec> {
        (0..self.0.count)
            .map(|i| {
                let (start, bytes) = self.0.memory(i as u16);
                libc::iovec { iov_base: start.as_ptr().cast(), iov_len: bytes }
            })
            .collect()
    }

    /// Notes whether registration worked. Where it did not, the pages are made present here.
    pub(crate) fn set_registered(&self, outcome: Result<(), String>) {
        if let (Err(_), Some(region)) = (&outcome, &self.0.region) {
            region.populate();
        }
        self.0.registered.set(outcome.is_ok());
        *self.0.refused.borrow_mut() = outcome.err();
    }
}

impl Shared {
    /// Where buffer `index` lies and how long it is.
    pub(crate) fn memory(&self, index: u16) -> (NonNull<u8>, usize) {
        let region = self.region.as_ref().unwrap_or_else(|| panic!("buffer {index} of an empty pool"));
        (region.at(usize::from(index) * self.bytes, self.bytes), self.bytes)
    }

    /// Hands a buffer to the first in line, or puts it on the free list.
    pub(crate) fn give_back(&self, index: u16) {
        let wake = {
            let mut state = self.state.borrow_mut();
            match state.line.pop_front() {
                None => {
                    state.free.push(index);
                    assert!(state.free.len() <= self.count, "a buffer given back twice");
                    None
                }
                Some(place) => match std::mem::replace(&mut state.waiters[place], Waiter::Given(index)) {
                    Waiter::Waiting(waker) => Some(waker),
                    Waiter::Given(_) => unreachable!("a waiter in line has no buffer yet"),
                },
            }
        };
        if let Some(waker) = wake {
            waker.wake();
        }
    }
}

impl fmt::Debug for BufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufPool")
            .field("count", &self.count())
            .field("bytes", &self.buffer_bytes())
            .field("free", &self.free())
            .field("registered", &self.registered())
            .finish()
    }
}

/// The future of [`BufPool::take`]. Dropping it leaves the line.
#[must_use = "futures do nothing unless polled"]
pub struct Take {
    pool: Rc<Shared>,
    place: Option<usize>,
}

impl Future for Take {
    type Output = Buf;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Buf> {
        let pool = self.pool.clone();
        let mut state = pool.state.borrow_mut();
        assert!(state.free.is_empty() || state.line.is_empty(), "a free buffer beside a line");
        let Some(place) = self.place else {
            if let Some(index) = state.free.pop() {
                return Poll::Ready(Buf::from_pool(pool.clone(), index));
            }
            assert!(pool.count > 0, "waiting for a buffer of an empty pool");
            if state.waiters.len() >= BUFFER_WAITERS_MAX {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let place = state.waiters.insert(Waiter::Waiting(cx.waker().clone()));
            state.line.push_back(place);
            self.place = Some(place);
            return Poll::Pending;
        };
        match &mut state.waiters[place] {
            Waiter::Given(index) => {
                let index = *index;
                state.waiters.remove(place);
                self.place = None;
                Poll::Ready(Buf::from_pool(pool.clone(), index))
            }
            Waiter::Waiting(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for Take {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let waiter = {
            let mut state = self.pool.state.borrow_mut();
            state.line.retain(|p| *p != place);
            state.waiters.remove(place)
        };
        if let Waiter::Given(index) = waiter {
            self.pool.give_back(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::task::noop_waker;

    fn poll(take: &mut Take) -> Poll<Buf> {
        Pin::new(take).poll(&mut Context::from_waker(&noop_waker()))
    }

    fn ready(take: &mut Take) -> Buf {
        match poll(take) {
            Poll::Ready(buf) => buf,
            Poll::Pending => panic!("no buffer"),
        }
    }

    #[test]
    fn buffers_go_round_first_come_first_served() {
        let pool = BufPool::new(2, 4096).unwrap();
        let (a, b) = (pool.try_take().unwrap(), pool.try_take().unwrap());
        assert_ne!(a.as_ptr(), b.as_ptr());
        assert!(pool.try_take().is_none());
        let (mut first, mut second, mut third) = (pool.take(), pool.take(), pool.take());
        assert!(
            poll(&mut first).is_pending() && poll(&mut second).is_pending() && poll(&mut third).is_pending()
        );
        assert_eq!(pool.waiting(), 3);
        let address = a.as_ptr();
        drop(a);
        assert!(pool.try_take().is_none(), "nobody overtakes the line");
        assert!(poll(&mut second).is_pending());
        let got = ready(&mut first);
        assert_eq!(got.as_ptr(), address);
        drop(second);
        drop(b);
        drop(ready(&mut third));
        drop(got);
        assert_eq!((pool.free(), pool.waiting()), (2, 0));
    }

    #[test]
    fn a_dropped_waiter_passes_its_buffer_on() {
        let pool = BufPool::new(1, 4096).unwrap();
        let held = pool.try_take().unwrap();
        let (mut first, mut second) = (pool.take(), pool.take());
        assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
        drop(held);
        drop(first);
        drop(ready(&mut second));
        assert_eq!(pool.free(), 1);
    }

    #[test]
    fn buffers_outlive_the_pool_and_keep_their_bytes() {
        let pool = BufPool::new(1, 8192).unwrap();
        let mut buf = pool.try_take().unwrap();
        drop(pool);
        buf.set_len(8192);
        assert!(buf.iter().all(|b| *b == 0));
        buf.fill(9);
        assert_eq!(buf[8191], 9);
    }
}
