//! One io_uring: how it is set up, filled, entered and emptied. It knows entries and completions, not what they are for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, squeue};

use crate::RingError;

/// How much of what makes a ring cheap this kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingMode {
    /// SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL (Linux 6.1): completions are worked off when the reactor asks.
    Deferred,
    /// COOP_TASKRUN, SUBMIT_ALL (Linux 5.19): completions are worked off at the next system call.
    Cooperative,
    /// No flags: completions interrupt the thread.
    Plain,
}

/// What a completion said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

pub(crate) struct Ring {
    io: IoUring,
    /// Entries that found the submission queue full after an enter; first in, first out. Bounded by the operations.
    backlog: VecDeque<squeue::Entry>,
    /// Entries whose last completion has not come.
    in_flight: usize,
    pub(crate) mode: RingMode,
    /// Whether this ring has the pool's buffers registered.
    pub(crate) fixed: bool,
    pub(crate) submitted: u64,
    pub(crate) completed: u64,
    pub(crate) enters: u64,
    pub(crate) overflows: u64,
}

impl Ring {
    /// Sets a ring up with the best mode this kernel takes. Must be called by the thread that will use it.
    pub(crate) fn new(entries: u32) -> Result<Ring, RingError> {
        let (io, mode) = build(entries)?;
        let params = io.params();
        if !params.is_feature_nodrop() {
            return Err(RingError::TooOld { lacks: "IORING_FEAT_NODROP" });
        }
        if !params.is_feature_ext_arg() {
            return Err(RingError::TooOld { lacks: "IORING_FEAT_EXT_ARG" });
        }
        if !params.is_feature_submit_stable() {
            return Err(RingError::TooOld { lacks: "IORING_FEAT_SUBMIT_STABLE" });
        }
        Ok(Ring {
            io,
            backlog: VecDeque::new(),
            in_flight: 0,
            mode,
            fixed: false,
            submitted: 0,
            completed: 0,
            enters: 0,
            overflows: 0,
        })
    }

    /// Registers buffers by their table. They must stay mapped until this ring is closed.
    pub(crate) fn register_buffers(&mut self, table: &[libc::iovec]) -> io::Result<()> {
        // SAFETY: the table's ranges are the pool's, which the reactor keeps mapped for as long as its rings are open.
        unsafe { self.io.submitter().register_buffers(table) }?;
        self.fixed = true;
        Ok(())
    }

    /// Shares the buffers that `other` has registered (Linux 6.12): no page is pinned or counted a second time.
    pub(crate) fn share_buffers(&mut self, other: &Ring) -> io::Result<()> {
        self.io.submitter().register_buffers_clone(other.io.as_raw_fd())?;
        self.fixed = true;
        Ok(())
    }

    /// Makes completions signal `eventfd` while signals are switched on; they start switched off.
    pub(crate) fn register_bell(&mut self, eventfd: i32) -> io::Result<()> {
        self.io.submitter().register_eventfd(eventfd)?;
        self.set_signals(false);
        Ok(())
    }

    /// Sets how many threads the kernel may have for calls of this thread's rings that wait for a disk.
    pub(crate) fn limit_workers(&self, threads: u32) -> io::Result<()> {
        // The second are for what may wait without an end: as they are.
        self.io.submitter().register_iowq_max_workers(&mut [threads, 0])
    }

    /// Switches the eventfd's signals on or off.
    pub(crate) fn set_signals(&mut self, on: bool) {
        let completion = self.io.completion();
        if on { completion.enable_eventfd() } else { completion.disable_eventfd() }
    }

    /// Queues an entry; the next `flush` submits it.
    ///
    /// # Safety
    /// Whatever the entry points to stays valid, and is not touched against what the operation does to it, until its last
    /// completion was taken by `reap`.
    pub(crate) unsafe fn push(&mut self, entry: squeue::Entry) {
        self.in_flight += 1;
        self.submitted += 1;
        if self.backlog.is_empty() {
            // SAFETY: the caller's promise is the one asked for here.
            if unsafe { self.io.submission().push(&entry) }.is_ok() {
                return;
            }
            self.enter();
        }
        self.backlog.push_back(entry);
        self.refill();
    }

    /// Moves entries from the backlog to the submission queue.
    fn refill(&mut self) {
        let mut queue = self.io.submission();
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the entry came through `push`, whose caller promised that what it points to stays valid.
            if unsafe { queue.push(entry) }.is_err() {
                return;
            }
            self.backlog.pop_front();
        }
    }

    /// Submits what is queued and lets the kernel work off what it deferred. No system call if there is neither.
    pub(crate) fn flush(&mut self) {
        loop {
            if !self.backlog.is_empty() {
                self.refill();
            }
            if !self.must_enter() {
                return;
            }
            if !self.enter() || self.backlog.is_empty() {
                return;
            }
        }
    }

    /// Whether entries wait for the next enter.
    pub(crate) fn unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.io.submission().is_empty()
    }

    /// Whether more entries wait than one enter takes.
    pub(crate) fn backlogged(&self) -> bool {
        !self.backlog.is_empty()
    }

    fn must_enter(&mut self) -> bool {
        let queue = self.io.submission();
        !queue.is_empty() || queue.taskrun() || queue.cq_overflow()
    }

    /// One enter without waiting. False: the kernel took nothing for now; the next turn tries again.
    fn enter(&mut self) -> bool {
        self.enters += 1;
        match self.io.submit() {
            Ok(_) => true,
            Err(error) => transient("io_uring_enter", &error),
        }
    }

    /// Sleeps in the kernel until something completes here or `timeout` passes; submits what is queued on the way.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        self.refill();
        self.enters += 1;
        let time = Timespec::new().sec(timeout.as_secs()).nsec(timeout.subsec_nanos());
        let arguments = SubmitArgs::new().timespec(&time);
        if let Err(error) = self.io.submitter().submit_with_args(1, &arguments) {
            transient("io_uring_enter", &error);
        }
    }

    /// Whether `reap` would find something, or the kernel asks to be entered. No system call.
    pub(crate) fn has_events(&mut self) -> bool {
        if self.in_flight == 0 {
            return false;
        }
        if !self.io.completion().is_empty() {
            return true;
        }
        let queue = self.io.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Moves all completions to `events`. An overflow is caught up with: the kernel kept what did not fit.
    pub(crate) fn reap(&mut self, events: &mut Vec<Event>) {
        loop {
            let before = events.len();
            events.extend(self.io.completion().map(|e| Event {
                user_data: e.user_data(),
                result: e.result(),
                flags: e.flags(),
            }));
            let taken = &events[before..];
            self.completed += taken.len() as u64;
            let last = taken.iter().filter(|e| !cqueue::more(e.flags)).count();
            assert!(last <= self.in_flight, "{last} completions of {} entries in flight", self.in_flight);
            self.in_flight -= last;
            if !self.io.submission().cq_overflow() {
                return;
            }
            self.overflows += 1;
            if !self.enter() {
                return;
            }
        }
    }

    /// Entries whose last completion has not come.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

/// Errors of an enter that say "later". Any other is a bug of this crate or a closed ring, and no operation could go on.
fn transient(call: &str, error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(libc::EINTR | libc::EBUSY | libc::EAGAIN | libc::ETIME) => false,
        _ => panic!("{call}: {error}"),
    }
}

/// Tries the modes from the best down. Only EINVAL, an unknown flag, leads to the next.
fn build(entries: u32) -> Result<(IoUring, RingMode), RingError> {
    let mut refused = io::Error::from_raw_os_error(libc::EINVAL);
    for mode in [RingMode::Deferred, RingMode::Cooperative, RingMode::Plain] {
        let mut builder = IoUring::builder();
        builder.setup_clamp().setup_cqsize(entries.next_power_of_two().saturating_mul(4)).dontfork();
        match mode {
            RingMode::Deferred => {
                builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_submit_all()
            }
            RingMode::Cooperative => builder.setup_coop_taskrun().setup_taskrun_flag().setup_submit_all(),
            RingMode::Plain => &mut builder,
        };
        match builder.build(entries) {
            Ok(io) => return Ok((io, mode)),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => refused = error,
            Err(error) => return Err(RingError::from_setup("io_uring_setup", error)),
        }
    }
    Err(RingError::from_setup("io_uring_setup", refused))
}

#[cfg(test)]
mod tests {
    use io_uring::opcode;

    use super::*;

    /// Submits `nops` on a ring of 2 entries (8 completions) without reaping, then expects every completion.
    fn check(nops: u64) {
        let mut ring = Ring::new(2).unwrap();
        for i in 0..nops {
            // SAFETY: a NOP points to nothing.
            unsafe { ring.push(opcode::Nop::new().build().user_data(i)) };
        }
        let mut events = Vec::new();
        while ring.in_flight() > 0 {
            ring.flush();
            ring.reap(&mut events);
        }
        let mut seen: Vec<u64> = events.iter().map(|e| e.user_data).collect();
        seen.sort();
        assert_eq!(seen, (0..nops).collect::<Vec<_>>());
        assert_eq!((ring.submitted, ring.completed), (nops, nops));
        assert_eq!(ring.overflows > 0, nops > 64, "{nops} completions, {} overflows", ring.overflows);
    }

    #[test]
    fn an_overflowing_completion_queue_loses_nothing() {
        for nops in [0, 1, 2, 3, 8, 100, 1000] {
            check(nops);
        }
    }
}
