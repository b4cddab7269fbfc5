//! Tasks of a reactor and their wakers.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use slab::Slab;

use crate::current;
use crate::doorbell::Doorbell;

/// Slot of the future given to `block_on`.
pub(crate) const ROOT: usize = usize::MAX;

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// What a waker points to: any thread may hold one, long after its task has ended.
#[derive(Debug)]
pub(crate) struct TaskRef {
    reactor: Arc<Doorbell>,
    pub(crate) slot: usize,
    /// Set while the task stands in a queue, and for good once it has ended.
    queued: AtomicBool,
}

impl TaskRef {
    pub(crate) fn new(reactor: Arc<Doorbell>, slot: usize) -> Arc<TaskRef> {
        Arc::new(TaskRef { reactor, slot, queued: AtomicBool::new(false) })
    }

    /// Marks the task as standing in a queue. False: it already stood in one.
    pub(crate) fn enqueue(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// The task left its queue and is about to be polled; wakes from here on count anew.
    pub(crate) fn dequeue(&self) {
        // A swap, not a store: it must read what the last waker wrote to see what that waker did before.
        self.queued.swap(false, Ordering::AcqRel);
    }

    /// The task has ended: wakes do nothing from here on.
    pub(crate) fn retire(&self) {
        self.queued.store(true, Ordering::Release);
    }
}

impl Wake for TaskRef {
    fn wake(self: Arc<Self>) {
        if self.enqueue() {
            push(self);
        }
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.enqueue() {
            push(self.clone());
        }
    }
}

/// Puts a task into the ready queue if its reactor runs on this thread, else into that reactor's queue from outside.
fn push(task: Arc<TaskRef>) {
    let elsewhere = current::with(|core| match core {
        Some(core) if Arc::ptr_eq(&core.doorbell, &task.reactor) => {
            core.push_ready(task);
            None
        }
        _ => Some(task),
    });
    if let Some(task) = elsewhere {
        let reactor = task.reactor.clone();
        reactor.send(task);
    }
}

/// A task in its slot.
pub(crate) struct Task {
    /// Taken out while it is polled.
    pub(crate) future: Option<TaskFuture>,
    pub(crate) identity: Arc<TaskRef>,
    pub(crate) waker: Waker,
}

/// All tasks of a reactor but the root, and the queue of those to be polled.
pub(crate) struct Tasks {
    pub(crate) slots: Slab<Task>,
    pub(crate) max: usize,
}

impl Tasks {
    pub(crate) fn new(max: usize) -> Tasks {
        Tasks { slots: Slab::new(), max }
    }

    /// Adds a task; `None` when there are as many as may be.
    pub(crate) fn insert(&mut self, reactor: &Arc<Doorbell>, future: TaskFuture) -> Option<Arc<TaskRef>> {
        if self.slots.len() >= self.max {
            return None;
        }
        let entry = self.slots.vacant_entry();
        let identity = TaskRef::new(reactor.clone(), entry.key());
        entry.insert(Task {
            future: Some(future),
            waker: Waker::from(identity.clone()),
            identity: identity.clone(),
        });
        Some(identity)
    }

    /// Takes the future of a woken task out for a poll; `None` if that task has ended (its slot may have a new one).
    pub(crate) fn take(&mut self, woken: &Arc<TaskRef>) -> Option<(TaskFuture, Waker)> {
        let task = self.slots.get_mut(woken.slot)?;
        if !Arc::ptr_eq(&task.identity, woken) {
            return None;
        }
        Some((task.future.take()?, task.waker.clone()))
    }
}

/// Tasks to be polled, in the order they were woken. Bounded by the number of tasks: each stands in it once.
pub(crate) type Ready = VecDeque<Arc<TaskRef>>;
