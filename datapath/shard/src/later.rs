//! Copies that are made after the answer: objects whose first copy is durable wait here, in a bounded queue, for the walker. A
//! PUT takes its place in the queue before it is committed; where there is none, its copies are made before its answer. What
//! is not made, because the node stops or a disk fails, is left to a pass over all copies ([`crate::uneven`]).

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use weir_ring::{Mailbox, Sender, mailbox};
use weir_store::StoreError;
use weir_types::{Bucket, ObjectName, limits};

use crate::committer::CommitError;
use crate::mirror;
use crate::resilver::{AGAIN, TRIES};
use crate::shifts::Moves;
use crate::uneven::Changing;
use crate::volumes::Volumes;

/// The way into the queue. Clones share it.
#[derive(Clone)]
pub(crate) struct Later {
    queue: Sender<Waiting>,
    /// Places that are taken: of objects that wait or are being copied, and of PUTs that may come to that.
    taken: Arc<AtomicUsize>,
}

/// A place in the queue.
pub(crate) struct Room(Arc<AtomicUsize>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An object whose first copy is durable.
pub(crate) struct Waiting {
    bucket: Bucket,
    name: ObjectName,
    changing: Changing,
    _room: Room,
}

impl Later {
    /// A queue, and its end for the walker.
    pub(crate) fn new() -> (Self, Mailbox<Waiting>) {
        let (queue, waiting) = mailbox(limits::COPIES_AFTER_MAX);
        (Self { queue, taken: Arc::default() }, waiting)
    }

    /// A place, if fewer than `most` are taken.
    pub(crate) fn room(&self, most: usize) -> Option<Room> {
        let most = most.min(limits::COPIES_AFTER_MAX);
        let one_more = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more);
        taken.is_ok().then(|| Room(self.taken.clone()))
    }

    /// Whether no object waits or is being copied.
    pub(crate) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::Acquire) == 0
    }

    /// Has the other copies of an object made.
    pub(crate) fn follow(&self, (bucket, name): (Bucket, ObjectName), room: Room, changing: Changing) {
        let waiting = Waiting { bucket, name, changing, _room: room };
        if self.queue.send(waiting).is_err() {
            tracing::debug!("the node stops: copies are left to its next start");
        }
    }
}

/// Makes copies, some at a time, for as long as objects come.
pub(crate) async fn run(waiting: Mailbox<Waiting>, volumes: Rc<Volumes>, moves: Moves) {
    let objects =
        stream::unfold(waiting, |mut waiting| async move { Some((waiting.recv().await?, waiting)) });
    let copy = |object| copy(object, &volumes, &moves);
    objects.for_each_concurrent(limits::COPIES_AFTER_TOGETHER_MAX, copy).await;
}

async fn copy(object: Waiting, volumes: &Volumes, moves: &Moves) {
    let Waiting { bucket, name, changing, _room } = object;
    let mut tries = 0;
    loop {
        match mirror::mend(volumes, moves, (&bucket, &name), false).await {
            Err(CommitError::Overloaded | CommitError::Store(StoreError::NoLease)) if tries < TRIES => {
                tries += 1;
                volumes.handle().sleep(AGAIN).await;
            }
            Ok(_) | Err(CommitError::Store(StoreError::BucketClosed { removing: false, .. })) => {
                return changing.whole();
            }
            Err(error) => {
                return tracing::warn!(%bucket, %name, "its copies are not made yet: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_given_back() {
        let (later, _queue) = Later::new();
        let first = later.room(2).unwrap();
        let second = later.room(2).unwrap();
        assert!(later.room(2).is_none() && later.room(0).is_none() && !later.is_empty());
        drop(first);
        let third = later.room(2).unwrap();
        drop((second, third));
        assert!(later.is_empty());
        let all: Vec<Room> = std::iter::from_fn(|| later.room(usize::MAX)).collect();
        assert_eq!(all.len(), limits::COPIES_AFTER_MAX);
    }
}
