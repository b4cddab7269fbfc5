//! One thread of the loader: a runtime of its own, its share of the connections, and its own books.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use monoio::time::{TimeDriver, sleep, timeout};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use weir_types::limits::LOAD_DRAIN_SECONDS_MAX;

use crate::content::Content;
use crate::cpu;
use crate::error::{Failure, FailureKind};
use crate::names::Picker;
use crate::pacer::Pacer;
use crate::plan::{Mode, Plan};
use crate::record::{Direction, Failures, Record};
use crate::schedule::Schedule;
use crate::slot::{Operation, Shared, Slot, Watch};

/// How often a thread looks at its clock: for the end, for requests that take too long, for the second's books.
const TURN: Duration = Duration::from_millis(20);
/// How long a connection waits after it could not be made.
const CONNECT_PAUSE: Duration = Duration::from_millis(20);

/// What all threads of a run share.
pub(crate) struct Common {
    /// Set by whoever wants the run to end.
    stop: Arc<AtomicBool>,
    /// Operations begun, where their number ends the run.
    begun: AtomicU64,
    /// Place in a sequential order.
    place: AtomicU64,
}

impl Common {
    pub(crate) fn new(stop: &Arc<AtomicBool>) -> Arc<Self> {
        Arc::new(Self { stop: stop.clone(), begun: AtomicU64::new(0), place: AtomicU64::new(0) })
    }
}

/// What a thread begins with.
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) plan: Arc<Plan>,
    pub(crate) content: Arc<Content>,
    pub(crate) common: Arc<Common>,
    pub(crate) begin: Instant,
    pub(crate) seconds: SyncSender<Second>,
}

/// The books of one second, or of what came since the last one that was sent.
pub(crate) struct Second {
    pub(crate) number: u64,
    pub(crate) record: Record,
}

/// What a thread ends with.
pub(crate) struct Outcome {
    /// Requests of the measurement.
    pub(crate) record: Record,
    /// Failures before and after it.
    pub(crate) outside: Failures,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    /// When the measurement ended.
    pub(crate) end: Instant,
    /// Requests without an answer at the end of the wait for them.
    pub(crate) unfinished: u64,
    /// Requests of an open loop that were left out, and that waited at the end.
    pub(crate) behind: (u64, u64),
}

/// The state of a thread.
struct Books {
    plan: Arc<Plan>,
    common: Arc<Common>,
    /// The measurement.
    from: Instant,
    until: Cell<Instant>,
    second: RefCell<Record>,
    total: RefCell<Record>,
    outside: RefCell<Failures>,
    in_flight: Cell<u64>,
}

impl Worker {
    /// Runs to the end of the plan, or until it is stopped.
    pub(crate) fn run(self) -> Result<Outcome, String> {
        pin(&self.plan.cpus, self.index)?;
        // Without these flags (Linux 6.1) every arrival interrupts this thread's CPU, at the cost of the server that sent it.
        let mut quiet = monoio_uring::IoUring::builder();
        quiet.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
        let mut runtime = runtime(quiet)
            .or_else(|_| runtime(monoio_uring::IoUring::builder()))
            .map_err(|e| format!("expected an io_uring of the kernel, got: {e}"))?;
        runtime.block_on(self.serve())
    }

    async fn serve(self) -> Result<Outcome, String> {
        let from = self.begin + self.plan.warmup;
        let books = Rc::new(Books {
            plan: self.plan.clone(),
            common: self.common.clone(),
            from,
            until: Cell::new(from + self.plan.duration),
            second: RefCell::new(Record::new()),
            total: RefCell::new(Record::new()),
            outside: RefCell::default(),
            in_flight: Cell::new(0),
        });
        let threads = self.plan.threads;
        let pacer =
            self.plan.rate.map(|rate| Pacer::new(self.begin, Schedule::new(rate, self.index, threads)));
        if let Some(pacer) = pacer.clone() {
            pacer.finish(books.until.get());
            let books = books.clone();
            monoio::spawn(async move {
                if let Err(error) = pacer.run().await {
                    let failure = FailureKind::Broken.with(format!("the loader's timer: {error}"));
                    books.outside.borrow_mut().count(failure);
                    pacer.finish(books.from);
                }
            });
        }
        let shared = Shared::new(self.plan.clone(), self.content.clone());
        let mut watches = Vec::new();
        let mut connections = Vec::new();
        for number in (self.index..self.plan.connections).step_by(threads) {
            let slot = Slot::new(&shared);
            watches.push(slot.watch.clone());
            let picker = Picker::new(self.plan.names, self.plan.order, self.plan.seed, number as u64);
            let connection = Connection { books: books.clone(), pacer: pacer.clone(), slot, picker };
            connections.push(monoio::spawn(connection.run(self.begin)));
        }
        let (books, seconds) = (&books, &self.seconds);
        let mut clock = Clock { books, seconds, watches: &watches, cpu: None, used: None, number: 0 };
        for connection in &mut connections {
            while !connection.is_finished() && clock.waits() {
                drop(timeout(TURN, &mut *connection).await);
                clock.turn(pacer.as_deref());
            }
        }
        let (cpu, wall) = clock.close();
        if let Some(pacer) = &pacer {
            pacer.finish(self.begin);
        }
        Ok(Outcome {
            record: books.total.replace(Record::new()),
            outside: books.outside.take(),
            cpu,
            wall,
            end: books.until.get(),
            unfinished: books.in_flight.get(),
            behind: pacer.map_or((0, 0), |pacer| pacer.behind(books.until.get())),
        })
    }
}

fn runtime(
    ring: monoio_uring::Builder,
) -> std::io::Result<monoio::Runtime<TimeDriver<monoio::IoUringDriver>>> {
    monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().uring_builder(ring).enable_timer().build()
}

fn pin(cpus: &[usize], thread: usize) -> Result<(), String> {
    let Some(cpu) = cpus.get(thread % cpus.len().max(1)) else { return Ok(()) };
    let mut set = CpuSet::new();
    let pinned = set.set(*cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    pinned.map_err(|e| format!("--cpu {cpu}: {e}"))
}

/// What a thread does beside its connections.
struct Clock<'b> {
    books: &'b Rc<Books>,
    seconds: &'b SyncSender<Second>,
    /// Those of its connections.
    watches: &'b [Rc<Watch>],
    /// CPU time of this thread when the measurement began, and when that was seen.
    cpu: Option<(Duration, Instant)>,
    /// What it used, once the measurement is over.
    used: Option<(Duration, Duration)>,
    /// Seconds sent.
    number: u64,
}

impl Clock<'_> {
    /// Whether requests under way are still worth waiting for.
    fn waits(&self) -> bool {
        Instant::now() < self.books.until.get() + Duration::from_secs(LOAD_DRAIN_SECONDS_MAX)
    }

    fn turn(&mut self, pacer: Option<&Pacer>) {
        let now = Instant::now();
        if self.books.common.stop.load(Ordering::Relaxed) && now < self.books.until.get() {
            self.books.until.set(now);
            pacer.inspect(|pacer| pacer.finish(now));
        }
        self.watches.iter().for_each(|watch| watch.look(now));
        self.count_arrived(now);
        if now >= self.books.from && self.cpu.is_none() {
            self.cpu = Some((cpu::of_this_thread(), now));
        }
        if now >= self.books.until.get() {
            self.stop_counting(now);
        } else if now >= self.books.from + Duration::from_secs(self.number + 1) {
            self.send();
        }
    }

    /// Enters what came since the last turn, which the measurement may have begun or ended within.
    fn count_arrived(&self, now: Instant) {
        let arrived: u64 = self.watches.iter().map(|watch| watch.arrived()).sum();
        if now >= self.books.from && self.used.is_none() {
            self.books.second.borrow_mut().arrived += arrived;
        }
    }

    fn stop_counting(&mut self, now: Instant) {
        let (cpu, begun) = self.cpu.unwrap_or((Duration::ZERO, now));
        self.used.get_or_insert_with(|| (cpu::of_this_thread().saturating_sub(cpu), now - begun));
    }

    /// Moves the second's books to the total, and sends them off; where there is no room, they go with the next.
    fn send(&mut self) {
        self.number += 1;
        let mut second = self.books.second.borrow_mut();
        let copy = Second { number: self.number, record: second.clone() };
        if self.seconds.try_send(copy).is_ok() {
            self.books.total.borrow_mut().add(&second);
            second.reset();
        }
    }

    /// The end: what the thread used, and over which time.
    fn close(mut self) -> (Duration, Duration) {
        let now = Instant::now();
        if now < self.books.until.get() {
            self.books.until.set(now);
        }
        self.count_arrived(now);
        self.stop_counting(now);
        self.send();
        self.books.total.borrow_mut().add(&self.books.second.replace(Record::new()));
        self.used.unwrap_or_default()
    }
}

/// One connection's loop.
struct Connection {
    books: Rc<Books>,
    pacer: Option<Rc<Pacer>>,
    slot: Slot,
    picker: Picker,
}

impl Connection {
    async fn run(mut self, begin: Instant) {
        sleep(begin.saturating_duration_since(Instant::now())).await;
        while let Some((due, begun)) = self.next().await {
            let operation = self.operation();
            self.books.in_flight.update(|n| n + 1);
            self.slot.watch.begin(begun, begun + self.books.plan.timeout);
            let outcome = self.slot.run(operation).await;
            self.slot.watch.end();
            self.books.in_flight.update(|n| n - 1);
            let unconnected = matches!(&outcome, Err(failure) if failure.kind == FailureKind::Connect);
            self.books.count(operation, due, begun, outcome);
            if unconnected {
                sleep(CONNECT_PAUSE).await;
            }
        }
    }

    /// When the next request was due, if its time does not depend on answers, and when it begins; `None` at the end.
    async fn next(&mut self) -> Option<(Option<Instant>, Instant)> {
        let books = &self.books;
        let due = match &self.pacer {
            Some(pacer) => Some(pacer.due().await?),
            None => None,
        };
        let begun = Instant::now();
        if due.unwrap_or(begun) >= books.until.get() {
            return None;
        }
        if let Some(operations) = books.plan.operations.filter(|_| begun >= books.from)
            && books.common.begun.fetch_add(1, Ordering::Relaxed) >= operations
        {
            return None;
        }
        Some((due, begun))
    }

    fn operation(&mut self) -> Operation {
        let plan = &self.books.plan;
        let number = self.picker.next(&self.books.common.place);
        match plan.mode {
            Mode::Get => Operation::Get(number),
            Mode::Put => Operation::Put(number),
            Mode::Mixed(writes) if self.picker.chance(writes) => Operation::Put(number),
            Mode::Mixed(_) => Operation::Get(number),
            Mode::List => Operation::List(number),
            Mode::Range(length) => {
                let size = plan.sizes.as_ref().map_or(0, |sizes| sizes.of(number, plan.seed));
                let length = length.min(size);
                Operation::Range(number, length, self.picker.below(size - length + 1))
            }
        }
    }
}

impl Books {
    /// Enters what came of a request, if it belongs to the measurement: in an open loop one that was due within it, else one
    /// that was answered within it.
    fn count(
        &self,
        operation: Operation,
        due: Option<Instant>,
        begun: Instant,
        outcome: Result<u64, Failure>,
    ) {
        let done = Instant::now();
        // With a number of operations, those begun in the measurement are the measurement.
        let moment = if self.plan.operations.is_some() { begun } else { due.unwrap_or(done) };
        let within = self.from <= moment && moment < self.until.get();
        let mut second = self.second.borrow_mut();
        let direction = match operation {
            Operation::Put(_) => Direction::Write,
            Operation::Get(_) | Operation::Range(..) | Operation::List(_) => Direction::Read,
        };
        match outcome {
            Ok(bytes) if within => {
                let latency = (done - due.unwrap_or(begun)).as_nanos() as u64;
                let late = due.map(|due| begun.saturating_duration_since(due).as_nanos() as u64);
                second.success(direction, latency, late, bytes);
            }
            Ok(_) => {}
            Err(failure) if within => second.failures.count(failure),
            Err(failure) => self.outside.borrow_mut().count(failure),
        }
    }
}
