//! Disks for tests: one in memory with a volatile cache, and a wrapper that fails at a chosen call.
//!
//! The model is weaker than any journalling file system, so that what holds on it holds on those: until a file is synced,
//! its writes and attributes may be lost, torn at 512 bytes or kept out of order; until a directory is synced, each of
//! its names may be what it was at any time since the last sync, independently of other names and of the files.

mod disk;
mod faulty;
mod state;

pub use disk::SimDisk;
pub use faulty::{Fault, Faulty};
pub use state::Crash;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls without a wake before a future is taken to hang.
const IDLE_POLLS_MAX: u64 = 50_000_000;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs a future on this thread. Panics if nothing wakes it for very long.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut cx = Context::from_waker(&waker);
    let mut idle = 0;
    loop {
        if flag.0.swap(false, Ordering::AcqRel) {
            idle = 0;
            if let Poll::Ready(value) = future.as_mut().poll(&mut cx) {
                return value;
            }
        } else {
            idle += 1;
            assert!(idle < IDLE_POLLS_MAX, "future hangs: nothing wakes it");
            std::thread::yield_now();
        }
    }
}

/// Lets other futures of the task run once.
#[derive(Default)]
pub struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Small seeded random numbers (splitmix64), the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound.max(1)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.any() & 1 == 1
    }
}
