//! What other threads may touch of a reactor: its queue of woken tasks, its sleeping flag and its bell.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use nix::sys::eventfd::{EfdFlags, EventFd};
use weir_types::limits::TURN_POLLS_MAX;

use crate::sleeping::Sleeping;
use crate::task::TaskRef;

/// The part of a reactor that is shared between threads.
#[derive(Debug)]
pub(crate) struct Doorbell {
    bell: OwnedFd,
    sleeping: Sleeping,
    woken: ArrayQueue<Arc<TaskRef>>,
    closed: AtomicBool,
    rings: AtomicU64,
}

impl Doorbell {
    /// A bell for a reactor of `tasks_max` tasks. The queue has room for every task once and for every one that can end
    /// between two looks at it, so it is never full.
    pub(crate) fn new(tasks_max: usize) -> io::Result<Doorbell> {
        // A blocking eventfd: io_uring answers EAGAIN for a non-blocking one instead of waiting.
        let bell = EventFd::from_value_and_flags(0, EfdFlags::EFD_CLOEXEC)?;
        Ok(Doorbell {
            bell: bell.into(),
            sleeping: Sleeping::default(),
            woken: ArrayQueue::new(tasks_max + 2 * TURN_POLLS_MAX),
            closed: AtomicBool::new(false),
            rings: AtomicU64::new(0),
        })
    }

    /// The eventfd that the socket ring reads and disk rings signal.
    pub(crate) fn fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }

    /// Queues a task of another thread's reactor and wakes that reactor if it sleeps.
    pub(crate) fn send(&self, task: Arc<TaskRef>) {
        let mut task = task;
        while !self.closed.load(Ordering::Acquire) {
            match self.woken.push(task) {
                Ok(()) => {
                    if self.sleeping.must_ring() {
                        self.ring();
                    }
                    return;
                }
                // Not reached while the sizing above holds; waiting keeps a wake-up from being lost if it ever does not.
                Err(back) => {
                    task = back;
                    self.ring();
                    std::thread::yield_now();
                }
            }
        }
    }

    /// Next task that another thread woke.
    pub(crate) fn next(&self) -> Option<Arc<TaskRef>> {
        self.woken.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.woken.is_empty()
    }

    pub(crate) fn sleeping(&self) -> &Sleeping {
        &self.sleeping
    }

    /// No reactor listens any more; what is queued is dropped.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        while self.woken.pop().is_some() {}
    }

    /// How often the bell was rung.
    pub(crate) fn rings(&self) -> u64 {
        self.rings.load(Ordering::Relaxed)
    }

    fn ring(&self) {
        self.rings.fetch_add(1, Ordering::Relaxed);
        // The write fails only when the counter is about to overflow, and then the bell rings already.
        let _ = nix::unistd::write(&self.bell, &1u64.to_ne_bytes());
    }
}
