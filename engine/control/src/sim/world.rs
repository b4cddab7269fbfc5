//! The world of one simulation: one thread, its own time, tasks that take turns, and chance from one seed.
//!
//! A task belongs to a process, or to nobody (messages on their way). Time stands still while any task can go on; then it
//! jumps to the next timer, one at a time. Which of the tasks that can go on goes first is chance. A process can stand still,
//! and it can die: then its tasks are dropped where they are.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use parking_lot::Mutex;

use super::net::Net;
use crate::runtime::Late;

/// A process of the simulation; [`NOBODY`] for what belongs to none.
pub(super) type Place = usize;
/// Whose messages on their way are.
pub(super) const NOBODY: Place = usize::MAX;
/// Seconds since 1970 when every simulation begins.
const EPOCH_SECONDS: u64 = 1_700_000_000;

thread_local! {
    static HERE: RefCell<Option<Rc<World>>> = const { RefCell::new(None) };
}

/// The world. Everything in it happens on the thread that made it.
pub(crate) struct World {
    begin: Instant,
    now: Cell<Duration>,
    chance: Cell<u64>,
    trace: Cell<u64>,
    place: Cell<Place>,
    next: Cell<u64>,
    tasks: RefCell<BTreeMap<u64, Task>>,
    /// Those that can go on. In order of their numbers: in which order they were woken is not the seed's to say everywhere.
    ready: Arc<Mutex<BTreeSet<u64>>>,
    held: RefCell<BTreeMap<Place, Vec<u64>>>,
    standing: RefCell<BTreeSet<Place>>,
    /// Whom to wake, by time and then by who came first.
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    timers_set: Cell<u64>,
    /// What the first task that panicked said.
    panicked: RefCell<Option<String>>,
    pub(super) net: Net,
}

struct Task {
    place: Place,
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    waker: Waker,
}

struct Wakes {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.task);
    }
}

impl World {
    /// Makes this thread a world of its own, until [`World::end`].
    pub(super) fn begin(seed: u64) -> Rc<Self> {
        let world = Rc::new(Self {
            begin: Instant::now(),
            now: Cell::default(),
            chance: Cell::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d),
            trace: Cell::new(seed),
            place: Cell::new(NOBODY),
            next: Cell::default(),
            tasks: RefCell::default(),
            ready: Arc::default(),
            held: RefCell::default(),
            standing: RefCell::default(),
            timers: RefCell::default(),
            timers_set: Cell::default(),
            panicked: RefCell::default(),
            net: Net::default(),
        });
        HERE.set(Some(world.clone()));
        world
    }

    /// Ends it: tasks are dropped while it is still there.
    pub(super) fn end(&self) {
        self.net.clear();
        let tasks = self.tasks.take();
        drop(tasks);
        HERE.set(None);
    }

    /// The world of this thread, if it has one.
    pub(crate) fn here() -> Option<Rc<Self>> {
        HERE.with_borrow(Clone::clone)
    }

    pub(crate) fn now(&self) -> Instant {
        self.begin + self.now.get()
    }

    /// Time since the begin.
    pub(super) fn elapsed(&self) -> Duration {
        self.now.get()
    }

    pub(crate) fn now_ns(&self) -> u64 {
        EPOCH_SECONDS * 1_000_000_000 + u64::try_from(self.now.get().as_nanos()).unwrap_or(0)
    }

    /// 64 bits by chance (splitmix64).
    pub(super) fn draw(&self) -> u64 {
        let state = self.chance.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.chance.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(super) fn below(&self, end: u64) -> u64 {
        self.draw() % end
    }

    /// True `part` times of 1000.
    pub(super) fn chance(&self, part: u64) -> bool {
        self.below(1000) < part
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        std::array::from_fn(|_| self.draw().to_le_bytes()[3])
    }

    /// Notes that something happened, in the trace that two runs of one seed share.
    pub(super) fn note(&self, what: u64) {
        let mixed = (self.trace.get() ^ what).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        self.trace.set(mixed ^ u64::try_from(self.now.get().as_nanos()).unwrap_or(0));
    }

    /// Everything noted so far.
    pub(super) fn trace(&self) -> u64 {
        self.trace.get()
    }

    /// The process whose task runs.
    pub(super) fn place(&self) -> Place {
        self.place.get()
    }

    /// A task of the process that asks.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_at(self.place.get(), task);
    }

    pub(super) fn spawn_at(&self, place: Place, task: impl Future<Output = ()> + Send + 'static) {
        let number = self.number();
        let waker = Waker::from(Arc::new(Wakes { task: number, ready: self.ready.clone() }));
        let task = Task { place, future: Box::pin(task), waker };
        self.tasks.borrow_mut().insert(number, task);
        self.ready.lock().insert(number);
    }

    fn number(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        Sleep::until(self.now.get() + time)
    }

    pub(super) fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep::until(at.saturating_duration_since(self.begin))
    }

    /// Lets every task go on that can, then jumps to the next timer; `false` if nothing ever happens again.
    pub(super) fn step(&self) -> bool {
        self.settle();
        let Some(((at, _), waker)) = self.timers.borrow_mut().pop_first() else { return false };
        self.now.set(self.now.get().max(at));
        waker.wake();
        self.settle();
        true
    }

    fn settle(&self) {
        loop {
            let ready = self.ready.lock().len();
            if ready == 0 {
                return;
            }
            let number = {
                let at = usize::try_from(self.below(ready as u64)).unwrap_or(0);
                let mut ready = self.ready.lock();
                let Some(number) = ready.iter().nth(at).copied() else { return };
                ready.remove(&number);
                number
            };
            let task = self.tasks.borrow_mut().remove(&number);
            // Gone, or woken twice.
            let Some(mut task) = task else { continue };
            if self.standing.borrow().contains(&task.place) {
                self.held.borrow_mut().entry(task.place).or_default().push(number);
                self.tasks.borrow_mut().insert(number, task);
                continue;
            }
            self.note(number);
            self.place.set(task.place);
            let waker = task.waker.clone();
            let mut poll = || task.future.as_mut().poll(&mut Context::from_waker(&waker));
            match catch_unwind(AssertUnwindSafe(&mut poll)) {
                Ok(Poll::Pending) => drop(self.tasks.borrow_mut().insert(number, task)),
                Ok(Poll::Ready(())) => {}
                Err(said) => self.note_panic(said.as_ref()),
            }
            self.place.set(NOBODY);
        }
    }

    fn note_panic(&self, said: &(dyn Any + Send)) {
        let text = said.downcast_ref::<String>().cloned();
        let text = text.or_else(|| said.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        self.panicked.borrow_mut().get_or_insert(text.unwrap_or_default());
    }

    /// What the first task that panicked said, if one did: nothing here may.
    pub(super) fn panicked(&self) -> Option<String> {
        self.panicked.borrow().clone()
    }

    /// The process stands still, or goes on.
    pub(super) fn stand(&self, place: Place, still: bool) {
        if still {
            self.standing.borrow_mut().insert(place);
        } else if self.standing.borrow_mut().remove(&place) {
            let held = self.held.borrow_mut().remove(&place).unwrap_or_default();
            self.ready.lock().extend(held);
        }
    }

    pub(super) fn stands(&self, place: Place) -> bool {
        self.standing.borrow().contains(&place)
    }

    /// The process dies: its tasks are gone where they are.
    pub(super) fn kill(&self, place: Place) {
        self.stand(place, false);
        let (dead, alive): (Vec<_>, Vec<_>) =
            self.tasks.take().into_iter().partition(|(_, task)| task.place == place);
        *self.tasks.borrow_mut() = alive.into_iter().collect();
        // Dropped when nothing of this is borrowed: they may wake others.
        drop(dead);
    }
}

/// What `future` gives, if it does before `sleep` ends.
pub(crate) async fn within<F: Future>(sleep: Sleep, future: F) -> Result<F::Output, Late> {
    match select(pin!(future), sleep).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(_) => Err(Late),
    }
}

/// Until a time of the world. Its timer goes with it, so that who stopped waiting is not woken.
pub(crate) struct Sleep {
    until: Duration,
    /// The timer's number and whom it wakes, once it is set.
    set: Option<(u64, Waker)>,
}

impl Sleep {
    fn until(until: Duration) -> Self {
        Self { until, set: None }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Whoever waits for a world that has ended waits for ever.
        let Some(world) = World::here() else { return Poll::Pending };
        if world.now.get() >= self.until {
            return Poll::Ready(());
        }
        let number = match &self.set {
            Some((_, waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some((number, _)) => *number,
            None => {
                world.timers_set.set(world.timers_set.get() + 1);
                world.timers_set.get()
            }
        };
        world.timers.borrow_mut().insert((self.until, number), cx.waker().clone());
        self.set = Some((number, cx.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let (Some((number, _)), Some(world)) = (&self.set, World::here()) {
            world.timers.borrow_mut().remove(&(self.until, *number));
        }
    }
}
