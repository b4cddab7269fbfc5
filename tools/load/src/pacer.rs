//! Hands due requests to idle connections: a timer of the kernel wakes the thread, since the runtime's own has steps of a
//! millisecond.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use monoio::net::UnixStream;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::schedule::Schedule;

/// Longest sleep, so that the end of a run is seen.
const SLEEP_MAX: Duration = Duration::from_millis(50);
/// Shortest sleep, so that high rates do not make a timer of every request. The report's lateness shows what it costs.
const SLEEP_MIN: Duration = Duration::from_micros(20);

/// The open loop of one thread.
pub(crate) struct Pacer {
    begin: Instant,
    state: RefCell<State>,
}

struct State {
    schedule: Schedule,
    idle: VecDeque<Waker>,
    /// Requests due from here on are not handed out, in nanoseconds since the begin.
    end: u64,
}

impl Pacer {
    pub(crate) fn new(begin: Instant, schedule: Schedule) -> Rc<Self> {
        let state = State { schedule, idle: VecDeque::new(), end: u64::MAX };
        Rc::new(Self { begin, state: RefCell::new(state) })
    }

    /// Waits for a request to be due: when it was. `None` once all due before the end were handed out.
    pub(crate) async fn due(&self) -> Option<Instant> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            if state.is_over() {
                return Poll::Ready(None);
            }
            match state.schedule.take(self.now()) {
                Some(due) => Poll::Ready(Some(self.begin + Duration::from_nanos(due))),
                None => {
                    state.idle.push_back(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Wakes idle connections as requests come due, until the end.
    pub(crate) async fn run(&self) -> io::Result<()> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        // The runtime waits for descriptors only as the sockets they usually are; nothing is sent or received here.
        let ready = UnixStream::from_std(StdStream::from(timer.try_clone()?))?;
        loop {
            let sleep = {
                let mut state = self.state.borrow_mut();
                if state.is_over() {
                    state.idle.drain(..).for_each(Waker::wake);
                    return Ok(());
                }
                let now = self.now();
                let due = state.schedule.waiting(now).min(state.idle.len() as u64);
                let due = usize::try_from(due).unwrap_or(usize::MAX);
                state.idle.drain(..due).for_each(Waker::wake);
                // What waits beyond that is taken by connections as they are done.
                Duration::from_nanos(state.schedule.next_after(now).saturating_sub(now))
                    .clamp(SLEEP_MIN, SLEEP_MAX)
            };
            arm(&timer, sleep)?;
            ready.readable(false).await?;
        }
    }

    /// Sets the end: requests due later are not handed out.
    pub(crate) fn finish(&self, end: Instant) {
        let mut state = self.state.borrow_mut();
        state.end = nanoseconds(end.saturating_duration_since(self.begin));
        if state.is_over() {
            state.idle.drain(..).for_each(Waker::wake);
        }
    }

    /// Requests left out, and those due by `until` that still wait.
    pub(crate) fn behind(&self, until: Instant) -> (u64, u64) {
        let state = self.state.borrow();
        let until = nanoseconds(until.saturating_duration_since(self.begin));
        (state.schedule.left_out(), state.schedule.waiting(until.saturating_sub(1)))
    }

    fn now(&self) -> u64 {
        nanoseconds(self.begin.elapsed())
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.schedule.next_due() >= self.end
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets the timer fire once, after `sleep`; setting it forgets that it has fired before.
fn arm(timer: &OwnedFd, sleep: Duration) -> io::Result<()> {
    let value = Timespec { tv_sec: sleep.as_secs() as i64, tv_nsec: i64::from(sleep.subsec_nanos()) };
    let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
    timerfd_settime(timer, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}
