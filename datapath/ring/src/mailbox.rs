//! A bounded queue into one task from any thread: lock-free, and no system call unless the receiver's reactor sleeps.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crossbeam::queue::ArrayQueue;
use futures_util::task::AtomicWaker;

use crate::SendError;

/// Makes a mailbox for at most `capacity` (at least one) messages.
pub fn mailbox<T: Send>(capacity: usize) -> (Sender<T>, Mailbox<T>) {
    assert!(capacity > 0, "a mailbox without room");
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity),
        receiver: AtomicWaker::new(),
        senders: AtomicUsize::new(1),
        closed: AtomicBool::new(false),
    });
    (Sender(shared.clone()), Mailbox(shared))
}

struct Shared<T> {
    queue: ArrayQueue<T>,
    receiver: AtomicWaker,
    senders: AtomicUsize,
    closed: AtomicBool,
}

/// The sending end; clone it for every sender.
pub struct Sender<T>(Arc<Shared<T>>);

/// The receiving end. Its futures may be awaited on any executor.
pub struct Mailbox<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts a message in and wakes the receiver; never waits. A full mailbox gives the message back.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        if self.0.closed.load(Ordering::Acquire) {
            return Err(SendError::Closed(message));
        }
        self.0.queue.push(message).map_err(SendError::Full)?;
        self.0.receiver.wake();
        Ok(())
    }

    /// Messages waiting now.
    pub fn len(&self) -> usize {
        self.0.queue.len()
    }

    /// Whether none waits now.
    pub fn is_empty(&self) -> bool {
        self.0.queue.is_empty()
    }

    /// Whether the receiver is gone.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.fetch_add(1, Ordering::Relaxed);
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.0.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.receiver.wake();
        }
    }
}

impl<T> Mailbox<T> {
    /// The next message; `None` when every sender is gone and the mailbox is empty. Dropping the future loses nothing.
    pub fn recv(&mut self) -> impl Future<Output = Option<T>> + '_ {
        poll_fn(|cx| self.poll_recv(cx))
    }

    /// The next message if there is one.
    pub fn try_recv(&mut self) -> Option<T> {
        self.0.queue.pop()
    }

    /// Waits for a message, then moves up to `max` of those that wait into `batch`. Zero: every sender is gone.
    pub async fn recv_batch(&mut self, batch: &mut Vec<T>, max: usize) -> usize {
        let Some(first) = self.recv().await else { return 0 };
        batch.push(first);
        let mut taken = 1;
        while taken < max
            && let Some(next) = self.try_recv()
        {
            batch.push(next);
            taken += 1;
        }
        taken
    }

    /// One step of [`Mailbox::recv`], for hand-written futures.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let Some(message) = self.0.queue.pop() {
            return Poll::Ready(Some(message));
        }
        self.0.receiver.register(cx.waker());
        // Senders are counted before the last look at the queue: one that sent and went in between is not missed.
        let senders = self.0.senders.load(Ordering::Acquire);
        match self.0.queue.pop() {
            Some(message) => Poll::Ready(Some(message)),
            None if senders == 0 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        // What a sender puts in after this stays until the last sender goes; messages own what they hold.
        while self.0.queue.pop().is_some() {}
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("waiting", &self.len()).finish()
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").field("waiting", &self.0.queue.len()).finish()
    }
}
