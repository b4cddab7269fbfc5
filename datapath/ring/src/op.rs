//! Operations in flight: what each holds, and the future that waits for it.

use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use io_uring::cqueue;
use slab::Slab;
use weir_types::limits::OPERATIONS_MAX;

use crate::buf::Buf;
use crate::core::Core;
use crate::fd::Fd;
use crate::ring::Event;

/// What the kernel may touch on behalf of one operation. It lives in the table from submission to the last completion.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub(crate) fds: [Option<Fd>; 2],
    pub(crate) buf: Option<Buf>,
    pub(crate) memory: Memory,
}

/// Heap memory other than a buffer. All of it keeps its address when the table grows.
#[derive(Default)]
pub(crate) enum Memory {
    #[default]
    None,
    /// No memory: where in the buffer the kernel began to fill it.
    Offset(usize),
    Open(Box<(io_uring::types::OpenHow, std::ffi::CString)>),
    Name(std::ffi::CString),
    Names(std::ffi::CString, std::ffi::CString),
    Statx(Box<libc::statx>),
    /// An attribute's name, and room for its value.
    Attribute(std::ffi::CString, Box<[u8]>),
    Address(Box<nix::sys::socket::SockaddrStorage>),
    Accepted(Box<(libc::sockaddr_storage, libc::socklen_t)>),
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

/// What the table must know of an operation besides what it holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// It may wait without end (for a peer): a dropped one is cancelled. Others end by themselves, on the disk's time.
    pub(crate) cancel: bool,
    /// Its result is a descriptor, to be closed if nobody fetches it.
    pub(crate) fd: bool,
    /// A worker thread of the kernel does it when it cannot be done at once. Workers run on the shard's own core.
    pub(crate) worker: bool,
}

/// How an operation ended.
#[derive(Debug)]
pub(crate) struct Completion {
    /// As the kernel said: a count or a negated errno.
    pub(crate) result: i32,
    /// What the notification of a SEND_ZC said.
    pub(crate) notice: i32,
    pub(crate) held: Held,
}

impl Completion {
    /// The result as a count.
    pub(crate) fn count(&self) -> io::Result<usize> {
        usize::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }

    /// The result of an operation that only succeeds or fails.
    pub(crate) fn unit(self) -> io::Result<()> {
        self.count().map(drop)
    }

    /// The result of an operation of kind `fd`. To be called once.
    pub(crate) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.count()?;
        // SAFETY: the kernel made this descriptor for this operation, and only the fetched completion of it comes here.
        Ok(unsafe { OwnedFd::from_raw_fd(self.result) })
    }

    /// The buffer.
    pub(crate) fn buf(&mut self) -> Buf {
        self.held
            .buf
            .take()
            .unwrap_or_else(|| unreachable!("an operation started with a buffer ends with it"))
    }
}

/// The table of operations.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    slots: Slab<Slot>,
    generation: u32,
    pub(crate) parked: usize,
    /// Operations in flight that a worker may have.
    pub(crate) with_workers: usize,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    ring: usize,
    kind: Kind,
    state: State,
    result: i32,
    notice: i32,
    held: Held,
}

#[derive(Debug)]
enum State {
    /// The kernel has it; the waker is who waits.
    Waiting(Option<Waker>),
    /// The kernel has it, and nobody waits.
    Parked,
    /// The kernel is done with it.
    Done,
}

/// What a completion leads to, to be carried out when the table is no longer borrowed.
pub(crate) enum After {
    Nothing,
    Wake(Waker),
    /// A parked operation ended: what it held goes now, and so does the descriptor it made.
    Release(Held, Option<OwnedFd>),
    Stray,
}

impl Operations {
    /// Whether one more would be above the bound.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= OPERATIONS_MAX
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Ring and user data of every operation that may wait without end.
    pub(crate) fn endless(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.slots
            .iter()
            .filter(|(_, slot)| slot.kind.cancel && !matches!(slot.state, State::Done))
            .map(|(index, slot)| (slot.ring, user_data(index, slot.generation)))
    }

    /// Puts an operation in. The answer is its index and the user data of its entry.
    pub(crate) fn insert(&mut self, ring: usize, kind: Kind, held: Held) -> (usize, u64) {
        self.generation = self.generation.wrapping_add(1);
        self.with_workers += usize::from(kind.worker);
        let generation = self.generation;
        let state = State::Waiting(None);
        let index = self.slots.insert(Slot { generation, ring, kind, state, result: 0, notice: 0, held });
        (index, user_data(index, generation))
    }

    /// What the operation holds, to build its entry from.
    pub(crate) fn held(&mut self, index: usize) -> &mut Held {
        &mut self.slots[index].held
    }

    /// Takes a completion in.
    pub(crate) fn complete(&mut self, event: Event) -> After {
        let (index, generation) = (event.user_data as u32 as usize, (event.user_data >> 32) as u32);
        let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.generation == generation) else {
            return After::Stray;
        };
        // SEND_ZC completes twice: first the result, then the notification that the kernel has let go of the buffer.
        match cqueue::notif(event.flags) {
            true => slot.notice = event.result,
            false => slot.result = event.result,
        }
        if cqueue::more(event.flags) {
            return After::Nothing;
        }
        let before = std::mem::replace(&mut slot.state, State::Done);
        if slot.kind.worker && !matches!(before, State::Done) {
            self.with_workers -= 1;
        }
        match before {
            State::Waiting(waker) => waker.map_or(After::Nothing, After::Wake),
            State::Parked => {
                let slot = self.slots.remove(index);
                self.parked -= 1;
                let unwanted = unfetched(&slot);
                After::Release(slot.held, unwanted)
            }
            State::Done => After::Stray,
        }
    }

    /// Fetches the result, or leaves the waker.
    fn poll(&mut self, index: usize, waker: &Waker) -> Poll<Completion> {
        let slot = &mut self.slots[index];
        match &mut slot.state {
            State::Done => {
                let slot = self.slots.remove(index);
                Poll::Ready(Completion { result: slot.result, notice: slot.notice, held: slot.held })
            }
            State::Waiting(Some(present)) => {
                present.clone_from(waker);
                Poll::Pending
            }
            State::Waiting(absent) => {
                *absent = Some(waker.clone());
                Poll::Pending
            }
            State::Parked => unreachable!("a parked operation has no future"),
        }
    }

    /// The future of an operation was dropped.
    fn abandon(&mut self, index: usize) -> Abandoned {
        let slot = &mut self.slots[index];
        match std::mem::replace(&mut slot.state, State::Parked) {
            State::Done => {
                let slot = self.slots.remove(index);
                let unwanted = unfetched(&slot);
                Abandoned { cancel: None, release: slot.held, unwanted, waker: None, parked: false }
            }
            State::Waiting(waker) => {
                self.parked += 1;
                let cancel = slot.kind.cancel.then(|| (slot.ring, user_data(index, slot.generation)));
                let release = planted_release(&mut slot.held);
                Abandoned { cancel, release, unwanted: None, waker, parked: true }
            }
            State::Parked => unreachable!("a future is dropped once"),
        }
    }
}

/// What goes at once when an operation is parked: nothing. The planted bugs let go too early, and the suite must notice.
fn planted_release(held: &mut Held) -> Held {
    let mut early = Held::default();
    if cfg!(planted = "buffer_at_drop") {
        early.buf = held.buf.take();
    }
    if cfg!(planted = "fd_at_drop") {
        early.fds = std::mem::take(&mut held.fds);
    }
    early
}

struct Abandoned {
    cancel: Option<(usize, u64)>,
    release: Held,
    unwanted: Option<OwnedFd>,
    waker: Option<Waker>,
    parked: bool,
}

/// The descriptor that a finished operation made and nobody fetched.
fn unfetched(slot: &Slot) -> Option<OwnedFd> {
    // SAFETY: the kernel made this descriptor for the operation, and its slot, just removed, was the only record of it.
    (slot.kind.fd && slot.result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(slot.result) })
}

fn user_data(index: usize, generation: u32) -> u64 {
    u64::from(generation) << 32 | index as u64
}

/// An operation that has been handed to the kernel: its entry goes out with the next batch whether or not this is polled.
///
/// Dropping it gives the result up, not the promise: buffer and descriptors stay in the table until the kernel is done,
/// and an operation that waits for a peer is cancelled. An operation on a disk runs to its end.
#[must_use = "an operation gives its buffer back when awaited"]
pub struct Operation<O> {
    state: Progress,
    finish: fn(Completion) -> O,
}

enum Progress {
    Started(Rc<Core>, usize),
    /// Never handed over: the table was full or the reactor at its end.
    Refused(Completion),
    Fetched,
}

impl<O> Operation<O> {
    pub(crate) fn started(core: Rc<Core>, index: usize, finish: fn(Completion) -> O) -> Self {
        Operation { state: Progress::Started(core, index), finish }
    }

    pub(crate) fn refused(errno: i32, held: Held, finish: fn(Completion) -> O) -> Self {
        Operation { state: Progress::Refused(Completion { result: -errno, notice: 0, held }), finish }
    }
}

impl<O> Future for Operation<O> {
    type Output = O;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<O> {
        let completion = match std::mem::replace(&mut self.state, Progress::Fetched) {
            Progress::Started(core, index) => {
                let polled = core.ops.borrow_mut().poll(index, cx.waker());
                match polled {
                    Poll::Ready(completion) => completion,
                    Poll::Pending => {
                        self.state = Progress::Started(core, index);
                        return Poll::Pending;
                    }
                }
            }
            Progress::Refused(completion) => completion,
            Progress::Fetched => panic!("an operation polled after its end"),
        };
        Poll::Ready((self.finish)(completion))
    }
}

impl<O> Drop for Operation<O> {
    fn drop(&mut self) {
        if let Progress::Started(core, index) = std::mem::replace(&mut self.state, Progress::Fetched) {
            let abandoned = core.ops.borrow_mut().abandon(index);
            if abandoned.parked {
                core.note_parked();
            }
            if let Some((ring, target)) = abandoned.cancel {
                core.cancel(ring, target);
            }
            // The rest goes here, the table no longer borrowed: a buffer may wake its next taker, a waker its task.
            drop((abandoned.release, abandoned.unwanted, abandoned.waker));
        }
    }
}

impl<O> fmt::Debug for Operation<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            Progress::Started(..) => "Operation::Started",
            Progress::Refused(_) => "Operation::Refused",
            Progress::Fetched => "Operation::Fetched",
        })
    }
}
