//! Every interleaving of the sleeping flag with what it guards.
//! Run: `RUSTFLAGS='--cfg loom' cargo test -p weir-ring --release --test loom_mailbox`
#![cfg(loom)]

use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use weir_ring::sleeping::Sleeping;

/// The eventfd: a count that a sleeper waits for.
#[derive(Default)]
struct Bell {
    rung: Mutex<u64>,
    changed: Condvar,
}

impl Bell {
    fn ring(&self) {
        *self.rung.lock().unwrap() += 1;
        self.changed.notify_one();
    }

    /// Sleeps until it has rung. A bell that never rings is a deadlock, which loom reports.
    fn wait(&self) {
        let mut rung = self.rung.lock().unwrap();
        while *rung == 0 {
            rung = self.changed.wait(rung).unwrap();
        }
        *rung = 0;
    }
}

/// What both protocols, the real one and the broken one, offer.
trait Flag: Send + Sync + 'static {
    fn new() -> Self;
    fn prepare(&self);
    fn wake(&self);
    fn must_ring(&self) -> bool;
}

impl Flag for Sleeping {
    fn new() -> Self {
        Sleeping::default()
    }
    fn prepare(&self) {
        Sleeping::prepare(self);
    }
    fn wake(&self) {
        Sleeping::wake(self);
    }
    fn must_ring(&self) -> bool {
        Sleeping::must_ring(self)
    }
}

/// The same without its fences.
struct Unfenced(AtomicBool);

impl Flag for Unfenced {
    fn new() -> Self {
        Unfenced(AtomicBool::new(false))
    }
    fn prepare(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    fn wake(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
    fn must_ring(&self) -> bool {
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// `senders` threads send one message each. The queue is a counter, its weakest form: an increment that releases and a look that acquires,
/// as in a lock-free queue. The owner must take all of them, sleeping whenever it finds none.
/// `preemptions` bounds how often a thread may be interrupted where it need not be; `None` tries everything.
fn check<F: Flag>(senders: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let shared = Arc::new((F::new(), AtomicUsize::new(0), Bell::default()));
        let threads: Vec<_> = (0..senders)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    let (flag, queue, bell) = &*shared;
                    queue.fetch_add(1, Ordering::Release);
                    if flag.must_ring() {
                        bell.ring();
                    }
                })
            })
            .collect();
        let (flag, queue, bell) = &*shared;
        let mut taken = 0;
        while taken < senders {
            let there = queue.load(Ordering::Acquire);
            if there > taken {
                taken = there;
                continue;
            }
            flag.prepare();
            if queue.load(Ordering::Acquire) == taken {
                bell.wait();
            }
            flag.wake();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn no_message_is_slept_through() {
    check::<Sleeping>(1, None);
    check::<Sleeping>(2, Some(3));
}

#[test]
#[should_panic]
fn the_model_notices_missing_fences() {
    check::<Unfenced>(1, None);
}
