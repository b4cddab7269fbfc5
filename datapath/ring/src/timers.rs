//! Deadlines in a binary heap that knows where each entry stands, so that one can be taken out: most never fire.

use std::task::Waker;
use std::time::Instant;

use slab::Slab;

/// Position of a timer that has fired and waits for its owner to notice.
const FIRED: usize = usize::MAX;

/// All timers of one reactor. Bounded by the futures that hold them.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    slots: Slab<Timer>,
    heap: Vec<Entry>,
}

#[derive(Debug)]
struct Timer {
    waker: Waker,
    position: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    deadline: Instant,
    slot: usize,
}

impl Timers {
    /// Adds a timer. The slot stays the caller's until `remove`.
    pub(crate) fn insert(&mut self, deadline: Instant, waker: &Waker) -> usize {
        let position = self.heap.len();
        let slot = self.slots.insert(Timer { waker: waker.clone(), position });
        self.heap.push(Entry { deadline, slot });
        self.rise(position);
        slot
    }

    /// Changes who is woken.
    pub(crate) fn set_waker(&mut self, slot: usize, waker: &Waker) {
        self.slots[slot].waker.clone_from(waker);
    }

    /// Ends a timer, fired or not. The waker comes back so that it is dropped outside any borrow.
    pub(crate) fn remove(&mut self, slot: usize) -> Waker {
        let timer = self.slots.remove(slot);
        if timer.position != FIRED {
            self.take(timer.position);
        }
        timer.waker
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.first().map(|entry| entry.deadline)
    }

    /// Fires the earliest timer if its deadline is not after `now`.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Waker> {
        let first = *self.heap.first()?;
        if first.deadline > now {
            return None;
        }
        self.take(0);
        let timer = &mut self.slots[first.slot];
        timer.position = FIRED;
        Some(timer.waker.clone())
    }

    /// Timers that have not fired.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    fn take(&mut self, position: usize) {
        self.heap.swap_remove(position);
        if position < self.heap.len() {
            self.settle(position);
            let risen = self.rise(position);
            self.sink(risen);
        }
    }

    /// Writes an entry's position into its slot.
    fn settle(&mut self, position: usize) {
        let slot = self.heap[position].slot;
        self.slots[slot].position = position;
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.settle(a);
        self.settle(b);
    }

    fn rise(&mut self, mut position: usize) -> usize {
        while position > 0 {
            let parent = (position - 1) / 2;
            if self.heap[parent].deadline <= self.heap[position].deadline {
                break;
            }
            self.swap(parent, position);
            position = parent;
        }
        position
    }

    fn sink(&mut self, mut position: usize) {
        loop {
            let left = 2 * position + 1;
            if left >= self.heap.len() {
                return;
            }
            let right = left + 1;
            let smaller = match self.heap.get(right) {
                Some(entry) if entry.deadline < self.heap[left].deadline => right,
                _ => left,
            };
            if self.heap[position].deadline <= self.heap[smaller].deadline {
                return;
            }
            self.swap(position, smaller);
            position = smaller;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::task::noop_waker;

    use super::*;

    /// Inserts 500 deadlines in a scrambled order, takes out every `remove`-th and expects the rest to fire sorted.
    fn check(remove: usize) {
        let start = Instant::now();
        let waker = noop_waker();
        let mut timers = Timers::default();
        let mut left = Vec::new();
        let mut slots = Vec::new();
        for i in 0..500u64 {
            let at = start + Duration::from_millis((i * 7919) % 1009);
            slots.push((timers.insert(at, &waker), at));
        }
        for (i, (slot, at)) in slots.into_iter().enumerate() {
            if i % remove == 0 {
                timers.remove(slot);
            } else {
                left.push(at);
            }
        }
        left.sort();
        assert_eq!(timers.len(), left.len());
        for at in left {
            assert_eq!(timers.next(), Some(at));
            assert!(timers.fire(at - Duration::from_nanos(1)).is_none());
            assert!(timers.fire(at).is_some());
        }
        assert_eq!((timers.next(), timers.len()), (None, 0));
    }

    #[test]
    fn timers_fire_in_order_whatever_was_taken_out() {
        for remove in [1, 2, 3, 7, 499, 1000] {
            check(remove);
        }
    }

    #[test]
    fn a_fired_timer_keeps_its_slot_until_removed() {
        let now = Instant::now();
        let mut timers = Timers::default();
        let first = timers.insert(now, &noop_waker());
        assert!(timers.fire(now).is_some());
        let second = timers.insert(now, &noop_waker());
        assert_ne!(first, second);
        timers.remove(first);
        timers.remove(second);
        assert_eq!(timers.len(), 0);
    }
}
