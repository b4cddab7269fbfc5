//! One client connection: bytes in, bytes out, and how long either may take.

use std::io;
use std::time::Duration;

use weir_ring::{Buf, Fd, Handle};
use weir_types::limits;

/// Sends of more bytes take turns with each other, so that small answers wait for one of them at most.
const BULK_BYTES_MIN: usize = 64 << 10;

/// What is received at a time of bytes that nobody wants.
const DISCARD_BYTES: usize = 64 << 10;

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
    inbox: Buf,
    start: usize,
    end: usize,
}

impl Conn {
    pub(crate) fn new(handle: Handle, sock: Fd) -> Self {
        let inbox = full(handle.buffers().heap(0));
        Self { handle, sock, inbox, start: 0, end: 0 }
    }

    /// What came and was not consumed.
    pub(crate) fn pending(&self) -> &[u8] {
        &self.inbox[self.start..self.end]
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
        if self.start == self.end && !self.inbox.is_empty() {
            self.inbox = full(self.handle.buffers().heap(0));
            (self.start, self.end) = (0, 0);
        }
    }

    /// Puts bytes back that were received with a head and follow it. Nothing is pending then.
    pub(crate) fn unread(&mut self, bytes: &[u8]) {
        assert_eq!(self.start, self.end, "bytes put back behind others");
        if bytes.is_empty() {
            return;
        }
        if self.inbox.len() < bytes.len() {
            self.inbox = full(self.handle.buffers().heap(bytes.len()));
        }
        self.inbox[..bytes.len()].copy_from_slice(bytes);
        (self.start, self.end) = (0, bytes.len());
    }

    /// Receives more into an inbox of at least `room` bytes; `Closed` at the end of the stream.
    pub(crate) async fn more(&mut self, within: Duration, room: usize) -> Result<usize, ConnError> {
        let pending = self.end - self.start;
        if self.inbox.len() < room.max(pending + 1) {
            let mut larger = full(self.handle.buffers().heap(room.max(pending + 1)));
            larger[..pending].copy_from_slice(&self.inbox[self.start..self.end]);
            self.inbox = larger;
            (self.start, self.end) = (0, pending);
        } else if self.end == self.inbox.len() {
            self.inbox.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, pending);
        }
        let inbox = std::mem::replace(&mut self.inbox, self.handle.buffers().heap(0));
        let (at, room) = (self.end, inbox.len() - self.end);
        let (n, inbox) = self.recv(inbox, at, room, within).await?;
        self.inbox = inbox;
        self.end += n;
        Ok(n)
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
        match self.handle.timeout(within, op).await {
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
            match self.handle.timeout(within, op).await {
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

    async fn send_copy(&self, bytes: &[u8], more: bool) -> Result<(), ConnError> {
        let mut buf = self.handle.buffers().heap(bytes.len());
        buf.set_len(bytes.len());
        buf.copy_from_slice(bytes);
        self.send_as(buf, 0..bytes.len(), more).await.map(drop)
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
