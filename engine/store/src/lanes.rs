//! MD5 of what several writers of one thread take in: those that hash in the same turn do it together, each stream in a lane of vector
//! registers (`weir_types::md5`). They wait a few turns for one another, not longer.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::rc::Rc;
use std::task::Poll;

use weir_types::md5::{LANES, LANES_MIN, Md5, update_together};

use crate::Buffer;

/// Fewer bytes are hashed at once: a turn costs more than they do.
pub(crate) const BYTES_MIN: usize = 16 << 10;
/// Turns that streams wait for others, while most of the thread's writers have nothing to hash yet.
const TURNS_MAX: u32 = 4;
/// Of each stream in one pass, so that a pass of all lanes stays well below a millisecond.
const PASS_BYTES: usize = 64 << 10;

thread_local! {
    /// Streams of this thread's writers, first come first. A thread is a shard: there are no other writers to hash with.
    static WAITING: RefCell<VecDeque<Rc<dyn Stream>>> = const { RefCell::new(VecDeque::new()) };
    /// Writers of this thread that hash.
    static MEMBERS: Cell<usize> = const { Cell::new(0) };
}

/// A writer that will hash; others wait for it for a moment.
pub(crate) struct Member(PhantomData<Rc<()>>);

impl Member {
    pub(crate) fn new() -> Self {
        MEMBERS.set(MEMBERS.get() + 1);
        Self(PhantomData)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        MEMBERS.set(MEMBERS.get() - 1);
    }
}

/// Bytes that are being hashed, whatever buffer holds them.
trait Stream {
    /// Its running digest, and the bytes of the next pass.
    fn next(&self) -> (RefMut<'_, Md5>, &[u8]);
    /// `bytes` were taken; whether those were all.
    fn taken(&self, bytes: usize) -> bool;
}

struct Job<B> {
    md5: RefCell<Md5>,
    buf: B,
    at: Cell<usize>,
}

impl<B: Buffer> Stream for Job<B> {
    fn next(&self) -> (RefMut<'_, Md5>, &[u8]) {
        let left = &self.buf[self.at.get()..];
        (self.md5.borrow_mut(), &left[..left.len().min(PASS_BYTES)])
    }

    fn taken(&self, bytes: usize) -> bool {
        self.at.set(self.at.get() + bytes);
        self.at.get() == self.buf.len()
    }
}

/// Takes the buffer's content into `md5` and gives the buffer back. Dropped before its end it leaves `md5` at the beginning of an
/// empty stream: the caller abandons what it hashed.
pub(crate) async fn update<B: Buffer>(md5: &mut Md5, buf: B) -> B {
    if MEMBERS.get() < LANES_MIN {
        md5.update(&buf);
        return buf;
    }
    let mut job = Rc::new(Job { md5: RefCell::new(std::mem::take(md5)), buf, at: Cell::new(0) });
    WAITING.with_borrow_mut(|waiting| waiting.push_back(job.clone()));
    let mut waited = 0;
    loop {
        // Others of this turn join.
        turn().await;
        if is_first(&job) {
            if waited < TURNS_MAX && most_are_away() {
                waited += 1;
                continue;
            }
            pass();
        }
        // Nobody else has it once all of it is taken.
        match Rc::try_unwrap(job) {
            Ok(done) => {
                *md5 = done.md5.into_inner();
                return done.buf;
            }
            Err(shared) => job = shared,
        }
    }
}

/// Whether it waits longest, and so works for all. Those that were given up are forgotten here.
fn is_first<B: Buffer>(job: &Rc<Job<B>>) -> bool {
    WAITING.with_borrow_mut(|waiting| {
        while waiting.front().is_some_and(|first| Rc::strong_count(first) == 1) {
            waiting.pop_front();
        }
        waiting.front().is_some_and(|first| std::ptr::addr_eq(Rc::as_ptr(first), Rc::as_ptr(job)))
    })
}

/// Whether more than half of those that would fill the lanes have nothing to hash yet.
fn most_are_away() -> bool {
    WAITING.with_borrow(|waiting| 2 * waiting.len() < MEMBERS.get().min(LANES))
}

/// A piece of each of the first streams.
fn pass() {
    WAITING.with_borrow_mut(|waiting| {
        let count = waiting.len().min(LANES);
        let mut work: Vec<_> = waiting.iter().take(count).map(|stream| stream.next()).collect();
        let mut pieces: Vec<_> = work.iter_mut().map(|(md5, bytes)| (&mut **md5, *bytes)).collect();
        update_together(&mut pieces);
        let taken: Vec<usize> = work.into_iter().map(|(_, bytes)| bytes.len()).collect();
        let mut taken = taken.into_iter();
        waiting.retain(|stream| taken.next().is_none_or(|bytes| !stream.taken(bytes)));
    });
}

/// The thread's other tasks have their turn.
async fn turn() {
    let mut had = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut had, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use weir_types::ChecksumKind;

    use super::*;

    fn content(stream: usize) -> Vec<u8> {
        (0..200_000 + stream * 10_009).map(|at| (at * 7 + stream) as u8).collect()
    }

    fn digest(bytes: &[u8]) -> Vec<u8> {
        weir_types::checksum::of(ChecksumKind::Md5, bytes).value
    }

    #[test]
    fn streams_that_hash_together_come_out_as_alone() {
        let members: Vec<Member> = (0..40).map(|_| Member::new()).collect();
        let mut hashed: Vec<Md5> = vec![Md5::default(); 40];
        let mut cx = Context::from_waker(Waker::noop());
        let mut all: Vec<_> =
            hashed.iter_mut().enumerate().map(|(n, md5)| Box::pin(update(md5, content(n)))).collect();
        // One in the middle is given up, and the first, while it works for all.
        for given_up in [20, 0] {
            all.iter_mut().for_each(|one| assert!(one.as_mut().poll(&mut cx).is_pending()));
            drop(all.remove(given_up));
        }
        while !all.is_empty() {
            all.retain_mut(|one| one.as_mut().poll(&mut cx).is_pending());
        }
        drop(all);
        drop(members);
        assert_eq!(MEMBERS.get(), 0);
        for (n, md5) in hashed.into_iter().enumerate().filter(|(n, _)| ![0, 20].contains(n)) {
            assert_eq!(md5.finish().to_vec(), digest(&content(n)), "{n}");
        }
        assert!(WAITING.with_borrow(VecDeque::is_empty));
    }

    #[test]
    fn pieces_of_one_stream_follow_one_another() {
        let bytes = content(9);
        let _members: Vec<Member> = (0..LANES_MIN).map(|_| Member::new()).collect();
        let mut md5 = Md5::default();
        let mut cx = Context::from_waker(Waker::noop());
        for piece in bytes.chunks(100_000) {
            let mut one = pin!(update(&mut md5, piece.to_vec()));
            while one.as_mut().poll(&mut cx).is_pending() {}
        }
        assert_eq!(md5.finish().to_vec(), digest(&bytes));
    }
}
