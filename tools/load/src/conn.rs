//! One connection: the ring says when the socket is ready, and plain calls that never wait move the bytes, so that the kernel
//! can throw away what nobody looks at (`MSG_TRUNC`) and no buffer ever belongs to an operation under way.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use weir_http::ChunkDecoder;
use weir_ring::sys::receive_low_water;
use weir_types::limits::{HEAD_BYTES_MAX, LOAD_CHUNK_BYTES};

use crate::answer::{self, Answer, Body};
use crate::content::{Content, ContentKey};
use crate::error::{Failure, FailureKind};

/// Bytes that are thrown away by one call.
const DISCARD_BYTES: usize = 4 << 20;
/// Bytes that must have come before a thread is woken for them, at most: fewer wake-ups, on both sides.
const LOW_WATER_MAX: usize = 512 << 10;
/// A request older than this is woken by any byte: its answer may be shorter than expected.
const PATIENCE: Duration = Duration::from_millis(20);
/// Turns in a second in which a connection with a limit takes its bytes.
const PACE_TURNS: u64 = 100;
/// Bytes read with a head, so that a small body comes along.
const READ_BYTES: usize = 16 << 10;

/// Buffers that the connections of a thread share: no call that uses them waits.
pub(crate) struct Scratch {
    /// Only its length counts: the kernel writes nothing to it, so its pages never exist.
    nowhere: Vec<u8>,
    data: Vec<u8>,
}

impl Scratch {
    pub(crate) fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { nowhere: vec![0; DISCARD_BYTES], data: vec![0; LOAD_CHUNK_BYTES] }))
    }
}

/// The time limit of one connection's request: somebody else looks at it, and ends the socket when it has passed.
#[derive(Default)]
pub(crate) struct Watch {
    begun: Cell<Option<Instant>>,
    deadline: Cell<Option<Instant>>,
    /// The socket that is waited for, and its low-water mark.
    socket: RefCell<Option<(i32, LowWater)>>,
    expired: Cell<bool>,
    /// Bytes of bodies that came and were not counted yet.
    arrived: Cell<u64>,
}

/// Bytes that must have come before a socket counts as readable, as the kernel has it.
type LowWater = Rc<Cell<usize>>;

impl Watch {
    pub(crate) fn begin(&self, begun: Instant, deadline: Instant) {
        self.begun.set(Some(begun));
        self.deadline.set(Some(deadline));
        self.expired.set(false);
    }

    pub(crate) fn end(&self) {
        self.begun.set(None);
        self.deadline.set(None);
    }

    /// Bytes of bodies that came since this was last asked.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.take()
    }

    /// Lets any byte wake a request that takes long, and ends the socket of one that takes too long: whoever waits for it is told.
    pub(crate) fn look(&self, now: Instant) {
        let socket = self.socket.borrow();
        if self.begun.get().is_some_and(|begun| now >= begun + PATIENCE)
            && let Some((socket, low_water)) = &*socket
        {
            set_low_water(*socket, low_water, 1);
        }
        if self.deadline.get().is_some_and(|deadline| now >= deadline) {
            self.deadline.set(None);
            self.expired.set(true);
            if let Some((socket, _)) = &*socket {
                // A socket that is no more is one that nobody waits for.
                let _ = shutdown(*socket, Shutdown::Both);
            }
        }
    }
}

fn set_low_water(socket: i32, now: &LowWater, bytes: usize) {
    let bytes = bytes.clamp(1, LOW_WATER_MAX);
    // A mark that cannot be set stays what it was: any byte wakes, or the next look does.
    if now.get() != bytes && receive_low_water(socket, bytes).is_ok() {
        now.set(bytes);
    }
}

/// What becomes of a body.
pub(crate) enum Sink<'s> {
    /// Nobody looks at it.
    Nowhere,
    /// It must be the content of that object from that offset on.
    Check(&'s Content, ContentKey, u64),
    /// Its front is kept, up to a bound.
    Front(&'s mut Vec<u8>, usize),
}

impl Sink<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Check(content, key, offset) => {
                if let Some(wrong) = content.check(*key, *offset, bytes) {
                    let (at, expected, got) = (wrong.offset, wrong.expected, wrong.got);
                    let message = format!("at byte {at}: expected {expected:#04x}, got {got:#04x}");
                    return Err(FailureKind::Content.with(message));
                }
                *offset += bytes.len() as u64;
                Ok(())
            }
            Self::Front(kept, max) => {
                let room = max.saturating_sub(kept.len()).min(bytes.len());
                kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
                Ok(())
            }
        }
    }
}

/// A connection to one server.
pub(crate) struct Conn {
    stream: TcpStream,
    watch: Rc<Watch>,
    scratch: Rc<RefCell<Scratch>>,
    low_water: LowWater,
    /// Read and not yet used: `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Answers that came over it.
    pub(crate) answers: u64,
    /// Bytes of a body with a length that it takes in a second at most.
    pub(crate) stream_rate: Option<u64>,
}

impl Conn {
    pub(crate) async fn open(
        address: SocketAddr,
        time: Duration,
        watch: &Rc<Watch>,
        scratch: &Rc<RefCell<Scratch>>,
    ) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| FailureKind::Connect.with(format!("connecting to {address}: {error}"));
        let stream = monoio::time::timeout(time, TcpStream::connect_addr(address)).await;
        let stream = stream.map_err(|_| failed(io::ErrorKind::TimedOut.into()))?.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            stream,
            watch: watch.clone(),
            scratch: scratch.clone(),
            low_water: Rc::new(Cell::new(1)),
            buffer: vec![0; READ_BYTES],
            start: 0,
            end: 0,
            answers: 0,
            stream_rate: None,
        })
    }

    /// Says that this connection is the one that the watch may end, and that its next answer has so many bytes at least,
    /// unless it is a failure.
    pub(crate) fn watched(&self, expected: u64) {
        let socket = self.stream.as_raw_fd();
        self.watch.socket.replace(Some((socket, self.low_water.clone())));
        self.await_bytes(expected);
    }

    fn await_bytes(&self, bytes: u64) {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        set_low_water(self.stream.as_raw_fd(), &self.low_water, bytes);
    }

    /// Sends all of `bytes`.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match send(self.stream.as_raw_fd(), rest, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(sent) => rest = rest.get(sent..).unwrap_or_default(),
                Err(Errno::EAGAIN) => {
                    self.stream.writable(false).await.map_err(|e| self.broken("sending", &e))?
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.broken("sending", &error.into())),
            }
        }
        Ok(())
    }

    /// Sends `head` and the whole content of an object of `size` bytes, made in `chunk` as it goes.
    pub(crate) async fn send_object(
        &mut self,
        head: &[u8],
        content: &Content,
        key: ContentKey,
        size: u64,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        chunk.clear();
        chunk.extend_from_slice(head);
        let mut sent = 0;
        loop {
            let begun = chunk.len();
            let more = (size - sent).min((LOAD_CHUNK_BYTES.saturating_sub(begun)) as u64);
            chunk.resize(begun + more as usize, 0);
            content.fill(key, sent, chunk.get_mut(begun..).unwrap_or_default());
            self.send(chunk).await?;
            sent += more;
            if sent == size {
                return Ok(());
            }
            chunk.clear();
        }
    }

    /// The head of the next answer. What it says of a body must be read before the next request.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            // Parsed only once something came: the first turn begins with nothing.
            let parsed = if unread.is_empty() { Ok(None) } else { answer::read(unread) };
            if let Some(answer) = parsed.map_err(|message| FailureKind::Protocol.with(message))? {
                self.start += answer.head_bytes;
                self.answers += 1;
                return Ok(answer);
            }
            if !unread.is_empty() {
                self.await_bytes(1);
            }
            if self.read_more().await? == 0 {
                return Err(self.ended("before the head of an answer"));
            }
        }
    }

    /// Whether something of an answer came within `time`.
    pub(crate) async fn answers_within(&mut self, time: Duration) -> bool {
        monoio::time::timeout(time, self.stream.readable(false)).await.is_ok()
    }

    /// Reads a body to its end; its length.
    pub(crate) async fn body(&mut self, body: Body, mut sink: Sink<'_>) -> Result<u64, Failure> {
        if body == Body::Chunked || body == Body::UntilClose {
            self.await_bytes(1);
        }
        match body {
            Body::Length(length) => self.counted(length, &mut sink).await,
            Body::Chunked => self.chunked(&mut sink).await,
            Body::UntilClose => {
                let mut all = 0;
                loop {
                    all += self.take_buffered(u64::MAX, &mut sink)?;
                    if self.read_more().await? == 0 {
                        return Ok(all);
                    }
                }
            }
        }
    }

    async fn counted(&mut self, length: u64, sink: &mut Sink<'_>) -> Result<u64, Failure> {
        let begun = Instant::now();
        let mut left = length - self.take_buffered(length, sink)?;
        while left > 0 {
            if let Some(rate) = self.stream_rate {
                let due = begun + Duration::from_secs_f64((length - left) as f64 / rate as f64);
                monoio::time::sleep(due.saturating_duration_since(Instant::now())).await;
            }
            let turn = self.stream_rate.map_or(left, |rate| left.min((rate / PACE_TURNS).max(1)));
            // What woke the thread for the head may have been the whole body.
            match self.take_from_kernel(turn, sink)? {
                Some(0) => {
                    return Err(self.ended(&format!("{left} bytes before the end of a body of {length}")));
                }
                Some(taken) => left -= taken.min(left),
                None => {}
            }
            if left > 0 {
                self.await_bytes(left);
                self.readable().await?;
            }
        }
        Ok(length)
    }

    /// Takes up to `left` bytes of a body that wait in the kernel; `None` if there were none after all.
    fn take_from_kernel(&mut self, left: u64, sink: &mut Sink<'_>) -> Result<Option<u64>, Failure> {
        let mut scratch = self.scratch.borrow_mut();
        let discard = matches!(sink, Sink::Nowhere);
        let (buffer, flags) = if discard {
            (&mut scratch.nowhere, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC)
        } else {
            (&mut scratch.data, MsgFlags::MSG_DONTWAIT)
        };
        let len = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = buffer.get_mut(..len).unwrap_or_default();
        let got = match recv(self.stream.as_raw_fd(), room, flags) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(error) => return Err(self.broken("receiving", &error.into())),
        };
        if !discard {
            sink.take(room.get(..got).unwrap_or_default())?;
        }
        self.watch.arrived.update(|all| all + got as u64);
        Ok(Some(got as u64))
    }

    async fn chunked(&mut self, sink: &mut Sink<'_>) -> Result<u64, Failure> {
        let mut decoder = ChunkDecoder::default();
        let mut all = 0;
        loop {
            let unread = self.buffer.get(self.start..self.end).unwrap_or_default();
            let step = decoder
                .decode(unread)
                .map_err(|error| FailureKind::Protocol.with(format!("a chunked body: {error}")))?;
            let (framing, data, end) = (step.framing, step.data.len(), step.end);
            sink.take(step.data)?;
            decoder.took(data);
            self.start += framing + data;
            all += data as u64;
            self.watch.arrived.update(|all| all + data as u64);
            if end {
                return Ok(all);
            }
            if framing + data == 0 && self.read_more().await? == 0 {
                return Err(self.ended("within a chunked body"));
            }
        }
    }

    /// Hands up to `max` bytes that were read already to the sink.
    fn take_buffered(&mut self, max: u64, sink: &mut Sink<'_>) -> Result<u64, Failure> {
        let len = (self.end - self.start).min(usize::try_from(max).unwrap_or(usize::MAX));
        sink.take(self.buffer.get(self.start..self.start + len).unwrap_or_default())?;
        self.start += len;
        self.watch.arrived.update(|all| all + len as u64);
        Ok(len as u64)
    }

    /// Reads what is there behind what was read before; 0 at the end of the stream.
    async fn read_more(&mut self) -> Result<usize, Failure> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                // A head longer than the buffer; the reader of heads refuses one that is longer than this.
                self.buffer.resize(HEAD_BYTES_MAX.max(self.end), 0);
            }
        }
        loop {
            self.readable().await?;
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match recv(self.stream.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
                Ok(got) => {
                    self.end += got;
                    return Ok(got);
                }
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(error) => return Err(self.broken("receiving", &error.into())),
            }
        }
    }

    async fn readable(&self) -> Result<(), Failure> {
        self.stream.readable(false).await.map_err(|e| self.broken("receiving", &e))
    }

    fn broken(&self, doing: &str, error: &io::Error) -> Failure {
        match self.watch.expired.get() {
            true => FailureKind::Timeout.with(format!("{doing}: no end within the time for a request")),
            false => FailureKind::Broken.with(format!("{doing}: {error}")),
        }
    }

    fn ended(&self, place: &str) -> Failure {
        match self.watch.expired.get() {
            true => {
                FailureKind::Timeout.with(format!("no end within the time for a request; it stood {place}"))
            }
            false => FailureKind::Broken.with(format!("the server closed the connection {place}")),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        let mut watched = self.watch.socket.borrow_mut();
        if watched.as_ref().is_some_and(|(socket, _)| *socket == self.stream.as_raw_fd()) {
            *watched = None;
        }
    }
}
