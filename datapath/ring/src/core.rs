//! The state of one reactor and the steps of its turn. One thread owns it; every borrow here ends before foreign code runs.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use io_uring::{opcode, squeue, types};
use weir_types::limits::{DISK_CALLS_MAX, DISK_RINGS_MAX, TURN_POLLS_MAX};

use crate::bulk::Bulk;
use crate::doorbell::Doorbell;
use crate::memory::Block;
use crate::op::{After, Completion, Held, Kind, Operation, Operations};
use crate::pool::BufPool;
use crate::ring::{Event, Ring};
use crate::stall::StallWatch;
use crate::stats::{Counters, count};
use crate::task::{ROOT, Ready, TaskFuture, TaskRef, Tasks};
use crate::timers::Timers;
use crate::{ReactorConfig, ReactorStats, RingError};

/// The ring for sockets and the bell.
pub(crate) const SOCKETS: usize = 0;
/// User data of the bell's read.
const BELL: u64 = u64::MAX;
/// User data of cancellations: their completions say nothing that the cancelled operation's does not.
const CANCEL: u64 = u64::MAX - 1;
/// Longest sleep in the kernel: a net under the bell, and a heartbeat for whoever watches the turns.
const PARK_MAX: Duration = Duration::from_secs(1);

type PanicHook = Rc<dyn Fn(&str)>;

pub(crate) struct Core {
    /// Socket ring first, then disk rings. Closed before the memory that follows goes.
    pub(crate) rings: RefCell<Vec<Ring>>,
    pub(crate) ops: RefCell<Operations>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) pool: BufPool,
    /// Where the kernel puts the bell's count.
    bell_word: Block,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) tasks: RefCell<Tasks>,
    ready: RefCell<Ready>,
    pub(crate) root: Arc<TaskRef>,
    root_ready: Cell<bool>,
    events: RefCell<Vec<Event>>,
    now: Cell<Instant>,
    /// When the last poll of this turn was over.
    stepped: Cell<Instant>,
    pub(crate) running: Cell<bool>,
    pub(crate) closed: Cell<bool>,
    pub(crate) panic_hook: RefCell<Option<PanicHook>>,
    pub(crate) counters: Counters,
    pub(crate) stalls: StallWatch,
    pub(crate) bulk: Bulk,
    spin: Duration,
    disk_entries: u32,
}

impl Core {
    pub(crate) fn new(config: &ReactorConfig) -> Result<Core, RingError> {
        config.check()?;
        let mut sockets = Ring::new(config.entries)?;
        let pool = BufPool::new(config.buffers, config.buffer_bytes)
            .map_err(|source| RingError::Memory { what: "the buffer pool", source })?;
        if config.buffers > 0 {
            pool.set_registered(sockets.register_buffers(&pool.table()).map_err(|error| {
                let bytes = config.buffers * config.buffer_bytes;
                format!("the kernel refused to register {bytes} bytes of buffers ({error}): raise the limit of locked memory (`ulimit -l`, LimitMEMLOCK) or grant CAP_IPC_LOCK; unregistered buffers are used, slower for disk I/O")
            }));
        }
        let doorbell = Doorbell::new(config.tasks_max)
            .map_err(|source| RingError::Descriptors { what: "the reactor's bell", source })?;
        let doorbell = Arc::new(doorbell);
        let core = Core {
            rings: RefCell::new(vec![sockets]),
            ops: RefCell::default(),
            timers: RefCell::default(),
            pool,
            bell_word: Block::new(size_of::<u64>()),
            root: TaskRef::new(doorbell.clone(), ROOT),
            doorbell,
            tasks: RefCell::new(Tasks::new(config.tasks_max)),
            ready: RefCell::default(),
            root_ready: Cell::new(false),
            events: RefCell::default(),
            now: Cell::new(Instant::now()),
            stepped: Cell::new(Instant::now()),
            running: Cell::new(false),
            closed: Cell::new(false),
            panic_hook: RefCell::new(None),
            counters: Counters::default(),
            stalls: StallWatch::default(),
            bulk: Bulk::default(),
            spin: config.spin,
            disk_entries: config.disk_entries,
        };
        core.arm_bell();
        Ok(core)
    }

    /// Adds a ring for one disk and gives its index.
    pub(crate) fn add_disk_ring(&self) -> Result<usize, RingError> {
        let mut rings = self.rings.borrow_mut();
        if rings.len() > DISK_RINGS_MAX {
            return Err(RingError::DiskRings { max: DISK_RINGS_MAX });
        }
        let mut ring = Ring::new(self.disk_entries)?;
        ring.register_bell(self.doorbell.fd())
            .map_err(|error| RingError::from_setup("IORING_REGISTER_EVENTFD", error))?;
        // Without the kernel's sharing (before 6.12) the pages are registered again, and if the limit of locked memory
        // forbids that, this ring uses the plain forms.
        if self.pool.registered() && ring.share_buffers(&rings[SOCKETS]).is_err() {
            let _ = ring.register_buffers(&self.pool.table());
        }
        rings.push(ring);
        let disks = rings.len() - 1;
        // All rings of a thread share the kernel's threads, by default four for each core: one slow disk would hold them all.
        rings[SOCKETS]
            .limit_workers(DISK_CALLS_MAX * u32::try_from(disks).unwrap_or(u32::MAX))
            .map_err(|error| RingError::from_setup("IORING_REGISTER_IOWQ_MAX_WORKERS", error))?;
        Ok(disks)
    }

    /// Hands an operation over. `build` makes its entry from what it holds, at the place where that will stay.
    pub(crate) fn start<O>(
        self: &Rc<Self>,
        ring: usize,
        kind: Kind,
        held: Held,
        build: impl FnOnce(&mut Held) -> squeue::Entry,
        finish: fn(Completion) -> O,
    ) -> Operation<O> {
        let mut ops = self.ops.borrow_mut();
        if self.closed.get() || ops.is_full() {
            count(&self.counters.refused);
            let errno = if self.closed.get() { libc::ECANCELED } else { libc::EAGAIN };
            return Operation::refused(errno, held, finish);
        }
        let (index, user_data) = ops.insert(ring, kind, held);
        let entry = build(ops.held(index)).user_data(user_data);
        // SAFETY: every pointer in the entry leads into what the table holds for this operation (buffers, boxes and C strings
        // on the heap), and the table lets go of it only when `complete` has seen the last completion.
        unsafe { self.rings.borrow_mut()[ring].push(entry) };
        Operation::started(self.clone(), index, finish)
    }

    /// Asks the kernel to end an operation early. The operation completes in either case.
    pub(crate) fn cancel(&self, ring: usize, target: u64) {
        if self.closed.get() {
            return;
        }
        let entry = opcode::AsyncCancel::new(target).build().user_data(CANCEL);
        // SAFETY: a cancellation points to nothing.
        unsafe { self.rings.borrow_mut()[ring].push(entry) };
    }

    /// Asks the kernel to end everything that may wait without end, the bell's read included.
    pub(crate) fn cancel_all(&self) {
        let mut rings = self.rings.borrow_mut();
        for (ring, target) in self.ops.borrow().endless().chain([(SOCKETS, BELL)]) {
            let entry = opcode::AsyncCancel::new(target).build().user_data(CANCEL);
            // SAFETY: a cancellation points to nothing.
            unsafe { rings[ring].push(entry) };
        }
    }

    pub(crate) fn note_parked(&self) {
        count(&self.counters.parked_total);
    }

    /// The moment at which this turn began; the real one while the reactor does not run.
    pub(crate) fn now(&self) -> Instant {
        if self.running.get() { self.now.get() } else { Instant::now() }
    }

    /// Adds a task and queues it for its first poll. The future comes back when there are too many.
    pub(crate) fn spawn(&self, future: TaskFuture) -> bool {
        if self.closed.get() {
            return false;
        }
        let Some(task) = self.tasks.borrow_mut().insert(&self.doorbell, future) else { return false };
        task.enqueue();
        self.push_ready(task);
        true
    }

    /// Queues a task that was woken on this thread.
    pub(crate) fn push_ready(&self, task: Arc<TaskRef>) {
        if task.slot == ROOT {
            self.root_ready.set(true);
        } else {
            self.ready.borrow_mut().push_back(task);
        }
    }

    /// Whether the root was woken; asking takes the mark away.
    pub(crate) fn take_root_ready(&self) -> bool {
        let ready = self.root_ready.replace(false);
        if ready {
            self.root.dequeue();
            count(&self.counters.polls);
        }
        ready
    }

    /// First step of a turn: the clock, what other threads woke, what time woke.
    pub(crate) fn begin_turn(&self) {
        count(&self.counters.turns);
        self.now.set(Instant::now());
        self.bulk.begin_turn();
        while let Some(task) = self.doorbell.next() {
            self.push_ready(task);
        }
        loop {
            let due = self.timers.borrow_mut().fire(self.now.get());
            match due {
                Some(waker) => waker.wake(),
                None => return,
            }
        }
    }

    /// Second step: polls the tasks that stand in the queue now, up to a bound.
    pub(crate) fn run_ready(&self) {
        let turn = self.ready.borrow().len().min(TURN_POLLS_MAX);
        let mut since = self.now.get();
        for _ in 0..turn {
            let next = self.ready.borrow_mut().pop_front();
            let Some(woken) = next else { break };
            self.run(&woken);
            since = self.stalls.step(since, true);
        }
        self.stepped.set(since);
    }

    fn run(&self, woken: &Arc<TaskRef>) {
        let taken = self.tasks.borrow_mut().take(woken);
        let Some((mut future, waker)) = taken else { return };
        woken.dequeue();
        count(&self.counters.polls);
        let polled =
            catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut Context::from_waker(&waker))));
        if let Ok(Poll::Pending) = polled {
            if let Some(task) = self.tasks.borrow_mut().slots.get_mut(woken.slot) {
                task.future = Some(future);
            }
            return;
        }
        woken.retire();
        let task = self.tasks.borrow_mut().slots.try_remove(woken.slot);
        let dropped = catch_unwind(AssertUnwindSafe(|| drop((future, task))));
        for panic in [polled.map(drop), dropped].into_iter().filter_map(Result::err) {
            self.report_panic(panic.as_ref());
        }
    }

    pub(crate) fn report_panic(&self, panic: &(dyn std::any::Any + Send)) {
        count(&self.counters.task_panics);
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without text");
        let hook = self.panic_hook.borrow().clone();
        if let Some(hook) = hook {
            hook(text);
        }
    }

    /// Third step: one enter for each ring that needs it, and all completions.
    pub(crate) fn exchange(&self) {
        let mut events = self.events.take();
        for ring in self.rings.borrow_mut().iter_mut() {
            if ring.in_flight() > 0 {
                ring.flush();
                ring.reap(&mut events);
            }
        }
        self.stalls.step(self.stepped.get(), false);
        for event in events.drain(..) {
            self.take_in(event);
        }
        self.events.replace(events);
    }

    fn take_in(&self, event: Event) {
        match event.user_data {
            CANCEL => {}
            BELL if event.result == -libc::ECANCELED || self.closed.get() => {}
            BELL => self.arm_bell(),
            _ => {
                let after = self.ops.borrow_mut().complete(event);
                match after {
                    After::Nothing => {}
                    After::Wake(waker) => waker.wake(),
                    After::Release(held, unwanted) => drop((held, unwanted)),
                    After::Stray => count(&self.counters.strays),
                }
            }
        }
    }

    fn arm_bell(&self) {
        let word = self.bell_word.start().as_ptr();
        let entry = opcode::Read::new(types::Fd(self.doorbell.fd()), word, size_of::<u64>() as u32)
            .build()
            .user_data(BELL);
        // SAFETY: the word and the eventfd live as long as the core, which closes its rings first; nobody reads the word.
        unsafe { self.rings.borrow_mut()[SOCKETS].push(entry) };
    }

    /// Whether nothing is left to do in this turn.
    pub(crate) fn is_idle(&self) -> bool {
        !self.root_ready.get()
            && self.ready.borrow().is_empty()
            && self.bulk.is_empty()
            && self.doorbell.is_empty()
    }

    /// Last step when idle: look for work for a while, then sleep in the kernel until there is some. Where a worker of the kernel
    /// may have an operation, looking for work would keep it from the core.
    pub(crate) fn wait(&self) {
        let started = Instant::now();
        let spin = if self.ops.borrow().with_workers > 0 { Duration::ZERO } else { self.spin };
        let mut rings = self.rings.borrow_mut();
        let deadline = self.timers.borrow().next();
        let mut now = started;
        loop {
            if deadline.is_some_and(|deadline| deadline <= now) {
                return;
            }
            if !self.doorbell.is_empty() || rings.iter_mut().any(Ring::has_events) {
                count(&self.counters.spins_won);
                return;
            }
            if now - started >= spin {
                break;
            }
            for _ in 0..16 {
                std::hint::spin_loop();
            }
            now = Instant::now();
        }
        let timeout = deadline.map_or(PARK_MAX, |deadline| (deadline - now).min(PARK_MAX));
        self.park(&mut rings, timeout);
    }

    /// Sleeps on the socket ring. Disk rings and other threads wake it through the bell, which rings only from here on; what
    /// came before that is looked for once more between raising the flags and sleeping.
    fn park(&self, rings: &mut [Ring], timeout: Duration) {
        count(&self.counters.parks);
        let (sockets, disks) = rings.split_at_mut(1);
        let busy = |ring: &&mut Ring| ring.in_flight() > 0;
        self.doorbell.sleeping().prepare();
        disks.iter_mut().filter(busy).for_each(|ring| ring.set_signals(true));
        fence(Ordering::SeqCst);
        let unsubmitted = disks.iter_mut().any(Ring::unsubmitted) || sockets.iter().any(Ring::backlogged);
        if !unsubmitted && self.doorbell.is_empty() && !disks.iter_mut().any(Ring::has_events) {
            sockets.iter_mut().for_each(|ring| ring.wait(timeout));
        }
        self.doorbell.sleeping().wake();
        disks.iter_mut().filter(busy).for_each(|ring| ring.set_signals(false));
        self.stalls.parked();
    }

    /// Drops every task. Their operations are parked by that.
    pub(crate) fn drop_tasks(&self) {
        loop {
            let tasks: Vec<_> = self.tasks.borrow_mut().slots.drain().collect();
            if tasks.is_empty() {
                break;
            }
            for task in tasks {
                task.identity.retire();
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
                    self.report_panic(panic.as_ref());
                }
            }
        }
        self.ready.borrow_mut().clear();
        self.bulk.clear();
    }

    /// Counters and gauges of now.
    pub(crate) fn stats(&self) -> ReactorStats {
        let rings = self.rings.borrow();
        let sum = |of: fn(&Ring) -> u64| rings.iter().map(of).sum();
        let ops = self.ops.borrow();
        let counters = &self.counters;
        ReactorStats {
            mode: rings[SOCKETS].mode,
            turns: counters.turns.get(),
            polls: counters.polls.get(),
            submitted: sum(|ring| ring.submitted),
            completed: sum(|ring| ring.completed),
            enters: sum(|ring| ring.enters),
            parks: counters.parks.get(),
            spins_won: counters.spins_won.get(),
            cq_overflows: sum(|ring| ring.overflows),
            task_panics: counters.task_panics.get(),
            parked_total: counters.parked_total.get(),
            refused: counters.refused.get(),
            strays: counters.strays.get(),
            bells: self.doorbell.rings(),
            tasks: self.tasks.borrow().slots.len(),
            operations: ops.len(),
            parked: ops.parked,
            timers: self.timers.borrow().len(),
            buffers_free: self.pool.free(),
            buffers: self.pool.count(),
            disk_rings: rings.len() - 1,
        }
    }

    /// A waker of the root.
    pub(crate) fn root_waker(&self) -> Waker {
        Waker::from(self.root.clone())
    }
}
