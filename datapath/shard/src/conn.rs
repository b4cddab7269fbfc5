//! One client connection: bytes in, bytes out, and how long either may take.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::time::Duration;

use weir_ring::{Buf, Fd, Handle, Watch, sys};
use weir_types::limits;

/// Sends of more bytes take turns with each other, so that small answers wait for one of them at most.
pub(crate) const BULK_BYTES_MIN: usize = 64 << 10;

/// What is received at a time of bytes that nobody wants.
const DISCARD_BYTES: usize = 64 << 10;

/// The socket's send buffer once files go out by sendfile: what is queued beyond falls out of the processor's caches.
const SENDFILE_BUFFER_BYTES: usize = 256 << 10;

/// Why a connection ends without another answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnError {
    /// The client closed, between requests or within one.
    #[error("closed by the client")]
    Closed,
    /// The client did not send or take bytes in time.
    #[error("no byte moved for {0:?}")]
    Stalled(Duration),
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] io::Error),
}

/// A connection with what it has received and not yet consumed.
pub(crate) struct Conn {
    pub(crate) handle: Handle,
    pub(crate) sock: Fd,
    watch: Watch,
    /// Whether the socket's send buffer was made small enough for sendfile.
    bounded: Cell<bool>,
    /// Absent until something is received into it.
    inbox: Option<Buf>,
    start: usize,
    end: usize,
}

impl Conn {
    pub(crate) fn new(handle: Handle, sock: Fd) -> Self {
        let watch = Watch::new(&handle);
        Self { handle, sock, watch, bounded: Cell::new(false), inbox: None, start: 0, end: 0 }
    }

    /// What came and was not consumed.
    pub(crate) fn pending(&self) -> &[u8] {
        self.inbox.as_deref().and_then(|inbox| inbox.get(self.start..self.end)).unwrap_or_default()
    }

    /// Marks `n` pending bytes as used.
    pub(crate) fn consume(&mut self, n: usize) {
        assert!(n <= self.end - self.start, "consumed more than came");
        self.start += n;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Gives the inbox back between requests, when it is empty: a connection that idles holds none.
    pub(crate) fn rest(&mut self) {
        if self.start == self.end && self.inbox.take().is_some() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts bytes back that were received with a head and follow it. Nothing is pending then.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        assert_eq!(self.start, self.end, "bytes put back behind others");
        if bytes.is_empty() {
            return;
        }
        let mut inbox = self.inbox_of(bytes.len(), 0);
        inbox[..bytes.len()].copy_from_slice(bytes);
        self.inbox = Some(inbox);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Receives more into an inbox of at least `room` bytes; `Closed` at the end of the stream.
    pub(crate) async fn more(&mut self, within: Duration, room: usize) -> Result<usize, ConnError> {
        let pending = self.end - self.start;
        let inbox = self.inbox_of(room.max(pending + 1), pending);
        let (at, room) = (self.end, inbox.len() - self.end);
        let (n, inbox) = self.recv(inbox, at, room, within).await?;
        self.inbox = Some(inbox);
        self.end += n;
        Ok(n)
    }

    /// Takes the inbox out, with room for at least `bytes` and for one more than the `pending` ones, which it holds.
    fn inbox_of(&mut self, bytes: usize, pending: usize) -> Buf {
        match self.inbox.take() {
            Some(inbox) if inbox.len() >= bytes && self.end < inbox.len() => inbox,
            Some(mut inbox) if inbox.len() >= bytes => {
                inbox.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, pending);
                inbox
            }
            smaller => {
                let mut larger = full(self.handle.buffers().heap(bytes));
                if let Some(held) = smaller.as_deref().and_then(|inbox| inbox.get(self.start..self.end)) {
                    larger[..held.len()].copy_from_slice(held);
                }
                (self.start, self.end) = (0, pending);
                larger
            }
        }
    }

    /// Receives straight into `buf[at..at + len]`, past the inbox, which must be empty.
    pub(crate) async fn recv(
        &self,
        buf: Buf,
        at: usize,
        len: usize,
        within: Duration,
    ) -> Result<(usize, Buf), ConnError> {
        let whole = buf.len();
        let op = self.handle.recv(&self.sock, buf, at, len);
        match self.watch.run(within, op).await {
            Err(_) => Err(ConnError::Stalled(within)),
            Ok((Err(e), _)) => Err(e.into()),
            Ok((Ok(0), _)) => Err(ConnError::Closed),
            Ok((Ok(n), mut buf)) => {
                // The reactor ends the content at what came; the caller goes on filling the same buffer.
                buf.set_len(whole);
                Ok((n, buf))
            }
        }
    }

    /// Sends all of `buf[range]`; every piece must leave within the stall limit.
    pub(crate) async fn send(&self, buf: Buf, range: std::ops::Range<usize>) -> Result<Buf, ConnError> {
        self.send_as(buf, range, false).await
    }

    /// The same; `more` tells the kernel that bytes follow at once, so that they share a segment.
    async fn send_as(
        &self,
        mut buf: Buf,
        range: std::ops::Range<usize>,
        more: bool,
    ) -> Result<Buf, ConnError> {
        let within = Duration::from_secs(limits::STALL_SECONDS_MAX);
        let mut at = range.start;
        while at < range.end {
            let piece = at..range.end;
            if piece.len() > BULK_BYTES_MIN {
                self.handle.bulk_turn().await;
            }
            let op = if more {
                self.handle.send_more(&self.sock, buf, piece)
            } else {
                self.handle.send(&self.sock, buf, piece)
            };
            match self.watch.run(within, op).await {
                Err(_) => return Err(ConnError::Stalled(within)),
                Ok((Err(e), _)) => return Err(e.into()),
                Ok((Ok(0), _)) => return Err(ConnError::Closed),
                Ok((Ok(n), back)) => {
                    at += n;
                    buf = back;
                }
            }
        }
        Ok(buf)
    }

    /// Sends bytes that are not in a buffer of the pool.
    pub(crate) async fn send_bytes(&self, bytes: &[u8]) -> Result<(), ConnError> {
        self.send_copy(bytes, false).await
    }

    /// Sends a head whose body follows at once.
    pub(crate) async fn send_head(&self, head: &[u8]) -> Result<(), ConnError> {
        self.send_copy(head, true).await
    }

    /// Sends as much of a head and the begin of its body as the socket takes at once; `more` bytes may follow at once.
    pub(crate) fn send_now(&self, head: &[u8], body: &[u8], more: bool) -> Result<usize, ConnError> {
        match sys::send_now(&self.sock, &[IoSlice::new(head), IoSlice::new(body)], more) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            sent => Ok(sent?),
        }
    }

    /// Sends all of a head and its body from where they are; what the socket does not take at once is copied.
    pub(crate) async fn send_two(&self, head: &[u8], body: &[u8]) -> Result<(), ConnError> {
        let sent = self.send_now(head, body, false)?;
        if sent < head.len() + body.len() {
            let left = self.left(head, body, sent);
            let len = left.len();
            self.send(left, 0..len).await?;
        }
        Ok(())
    }

    /// A copy of what is left of a head and its body when `sent` bytes of them have left.
    pub(crate) fn left(&self, head: &[u8], body: &[u8], sent: usize) -> Buf {
        let head_left = head.get(sent..).unwrap_or_default();
        let body_left = body.get(sent.saturating_sub(head.len())..).unwrap_or_default();
        let mut buf = self.handle.buffers().heap(head_left.len() + body_left.len());
        buf.set_len(head_left.len() + body_left.len());
        let (first, second) = buf.split_at_mut(head_left.len());
        first.copy_from_slice(head_left);
        second.copy_from_slice(body_left);
        buf
    }

    /// Sends all of `buf[range]` without copying; whether the kernel copied all the same.
    pub(crate) async fn send_zero_copy(
        &self,
        mut buf: Buf,
        mut range: std::ops::Range<usize>,
    ) -> Result<bool, ConnError> {
        let within = Duration::from_secs(limits::STALL_SECONDS_MAX);
        let mut copied = false;
        while !range.is_empty() {
            let op = self.handle.send_zc(&self.sock, buf, range.clone());
            match self.watch.run(within, op).await {
                Err(_) => return Err(ConnError::Stalled(within)),
                Ok((Err(e), _)) => return Err(e.into()),
                Ok((Ok(done), _)) if done.sent == 0 => return Err(ConnError::Closed),
                Ok((Ok(done), back)) => {
                    range.start += done.sent;
                    copied |= done.copied;
                    buf = back;
                }
            }
        }
        Ok(copied)
    }

    /// Moves bytes of a file into the socket within the kernel, as many as it takes at once; `None` when that is none.
    /// It would wait for the disk: only for what is in the page cache.
    pub(crate) fn send_file(&self, file: &Fd, offset: u64, len: u64) -> Result<Option<usize>, ConnError> {
        if !self.bounded.replace(true) {
            // Refused, it is only slower.
            let _ = sys::send_buffer_bytes(&self.sock, SENDFILE_BUFFER_BYTES);
        }
        match sys::sendfile(&self.sock, file, offset, usize::try_from(len).unwrap_or(usize::MAX)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            sent => Ok(Some(sent?)),
        }
    }

    /// Waits until the socket takes bytes.
    pub(crate) async fn writable(&self) -> Result<(), ConnError> {
        let within = Duration::from_secs(limits::STALL_SECONDS_MAX);
        match self.watch.run(within, self.handle.poll_writable(&self.sock)).await {
            Err(_) => Err(ConnError::Stalled(within)),
            Ok(done) => Ok(done?),
        }
    }

    async fn send_copy(&self, bytes: &[u8], more: bool) -> Result<(), ConnError> {
        let mut buf = self.handle.buffers().heap(bytes.len());
        buf.set_len(bytes.len());
        buf.copy_from_slice(bytes);
        self.send_as(buf, 0..bytes.len(), more).await.map(drop)
    }

    /// Ends a connection after its last answer; whether another request may follow, which is never.
    pub(crate) async fn end(&mut self) -> bool {
        if !self.pending().is_empty() {
            self.close_after_answer().await;
        }
        false
    }

    /// Ends a connection whose client may still be sending: no more from us, then what still comes is thrown away
    /// for a bounded time. A reset in the middle of an upload would make some clients send a shorter one.
    pub(crate) async fn close_after_answer(&mut self) {
        let _ = self.handle.shutdown(&self.sock, std::net::Shutdown::Write).await;
        let give_up = self.handle.now() + Duration::from_secs(limits::STALL_SECONDS_MAX);
        while self.handle.now() < give_up {
            let (start, end) = (self.start, self.end);
            self.consume(end - start);
            if self.more(Duration::from_secs(2), DISCARD_BYTES).await.is_err() {
                break;
            }
        }
    }
}

/// A buffer with its whole capacity readable.
pub(crate) fn full(mut buf: Buf) -> Buf {
    let capacity = buf.capacity();
    buf.set_len(capacity);
    buf
}
