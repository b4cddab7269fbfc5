//! The life of a connection: heads in, one request at a time, answers out in order.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_auth::{Arrival, Denied, Grant, INDEX_HEADER};
use weir_http::{Head, HeaderSlots, HttpError, Method, Parsed, parse};
use weir_ring::{Buf, Fd};
use weir_types::limits;

use crate::answer::Answer;
use crate::body::Body;
use crate::committer::now_ns;
use crate::conn::{Conn, ConnError, full};
use crate::fail::Failure;
use crate::moves::{self, HELD_HEADER, MAP_HEADER};
use crate::place::Place;
use crate::shard::{ControlCall, ControlOp, ControlReply, STALE_HEADER, Shard, Side};
use crate::{Op, ais, hot, s3};

/// Bytes of a connection's resting head buffer; it grows to a whole head when one is larger.
const HEAD_BYTES_REST: usize = 4 << 10;
/// What is read of a body that nobody wants before the connection is closed instead.
const DISCARD_BYTES_MAX: u64 = 1 << 20;

/// One request as its handler sees it.
pub(crate) struct Request<'r> {
    pub(crate) shard: &'r Rc<Shard>,
    pub(crate) head: Head<'r>,
    pub(crate) peer: SocketAddr,
    /// Which listener it came over.
    pub(crate) side: Side,
    pub(crate) id: u64,
    /// Whether the connection may go on after it.
    pub(crate) keep: bool,
}

/// How a request ended.
pub(crate) struct Handled {
    pub(crate) op: Op,
    pub(crate) status: u16,
    /// Whether the client can no longer tell where the next answer begins.
    pub(crate) broken: bool,
}

impl Request<'_> {
    /// The number as clients and logs see it.
    pub(crate) fn id_text(&self) -> String {
        self.id_display().to_string()
    }

    /// The same, to be written in place.
    pub(crate) fn id_display(&self) -> impl fmt::Display + use<> {
        let id = self.id;
        fmt::from_fn(move |f| write!(f, "{id:016X}"))
    }

    /// Whether the bucket is named by the host.
    pub(crate) fn is_virtual_hosted(&self) -> bool {
        let domain = &self.shard.shared.s3_domain;
        !domain.is_empty()
            && self.head.host().is_some_and(|host| {
                let host = host.rsplit_once(':').map_or(host, |(h, _)| h);
                host.len() > domain.len() && host.to_ascii_lowercase().ends_with(&format!(".{domain}"))
            })
    }

    /// Who asks; the gate's clock is the wall clock.
    pub(crate) fn admit(&self) -> Result<Grant, Denied> {
        match self.side {
            Side::Public => {
                let arrival = Arrival { peer: self.peer.ip(), now: now_ns() / 1_000_000_000 };
                self.shard.gate.admit(&self.head, &arrival)
            }
            Side::Peers => {
                let vouching = self.shard.shared.vouching.as_ref().ok_or(Denied::Peer)?;
                Ok(vouching.take(&self.head, now_ns() / 1_000_000)?.grant)
            }
        }
    }

    /// What a peer asks that owns a name whose object may be here.
    pub(crate) fn held(&self) -> Option<&str> {
        self.head.header(HELD_HEADER).filter(|_| self.side == Side::Peers)
    }

    /// Whether an owner asks that knows an earlier map than this node: the object may be at an owner it does not know of.
    pub(crate) fn asker_is_behind(&self) -> bool {
        let now = || self.shard.shared.view.load().smap.version;
        self.held().is_some() && self.asker_map().is_none_or(|version| version < now())
    }

    /// The version of the map that an owner knows that asks.
    pub(crate) fn asker_map(&self) -> Option<u64> {
        self.head.header(MAP_HEADER)?.parse().ok()
    }

    /// Whether what is not here may be elsewhere: it may have moved away since the place was made, or the asker asks the wrong
    /// one.
    pub(crate) fn may_be_elsewhere(&self, place: &Place) -> bool {
        place.is_outdated(self.shard) || self.asker_is_behind()
    }

    /// Waits until this node knows of the cluster what the peer knew that passed the request on.
    pub(crate) async fn caught_up(&self) -> Result<(), Failure> {
        let asked = match self.side {
            Side::Public => None,
            Side::Peers => self.head.header(INDEX_HEADER).and_then(|index| index.parse().ok()),
        };
        match asked {
            Some(index) if !self.shard.reach(index).await => Err(Failure::Behind),
            _ => Ok(()),
        }
    }

    /// Sends an answer that is at hand. What was not read of the body is read and dropped, or the connection ends.
    pub(crate) async fn answer(&self, conn: &Conn, op: Op, mut answer: Answer) -> Result<Handled, ConnError> {
        if let Some(millis) = self.shard.stale_millis() {
            answer.headers.push((STALE_HEADER.to_owned(), millis.to_string()));
        }
        let keep = self.keep && !answer.close;
        answer.send(conn, self.head.method, &self.shard.date(), keep).await?;
        Ok(Handled { op, status: answer.status, broken: answer.close })
    }

    /// Hands the request to the control core and gives its answer; `None` when its queue is full.
    pub(crate) async fn control(&self, op: ControlOp, grant: Grant, body: Vec<u8>) -> Option<Answer> {
        let call = ControlCall {
            op,
            head: self.head.to_owned(),
            body,
            grant,
            peer: self.peer,
            request_id: self.id_text(),
        };
        let ControlReply { status, headers, body } = self.shard.shared.control.submit(call)?.await?;
        Some(Answer { status, headers, body, length: None, close: false })
    }
}

/// Serves a connection until either side ends it.
pub(crate) async fn connection(shard: &Rc<Shard>, sock: Fd, peer: SocketAddr, side: Side) {
    let mut conn = Conn::new(shard.handle.clone(), sock);
    let mut head = HeadBuffer::new(&conn);
    let mut slots = HeaderSlots::default();
    loop {
        let parsed = match head.receive(&mut conn, &mut slots).await {
            Ok(parsed) => parsed,
            Err(HeadError::Conn(_)) => return,
            Err(HeadError::Http(error)) => {
                let mut out = Vec::new();
                error.answer(&mut out, &shard.date());
                if conn.send_bytes(&out).await.is_ok() {
                    conn.close_after_answer().await;
                }
                return;
            }
        };
        let bytes = head.filled();
        conn.unread(bytes.get(parsed.bytes()..).unwrap_or_default());
        let Some(parsed) = parsed.head(bytes, &slots) else { return };
        let keep = parsed.keep_alive() && !shard.is_draining();
        let request = Request { shard, head: parsed, peer, side, id: shard.next_request(), keep };
        let busy = shard.busy();
        let began = Instant::now();
        // The short way says nothing of staleness.
        let hot = match shard.shared.lease.holds(began) {
            true => hot::serve(&request, &conn).await,
            false => None,
        };
        let more = match hot {
            Some(handled) => settle(&request, began, &handled) && (request.keep || conn.end().await),
            // Boxed: ten thousand idle connections must not each hold the state of a request.
            None => Box::pin(one(&request, &mut conn, began)).await,
        };
        drop(busy);
        head.clear();
        conn.rest();
        if !more {
            return;
        }
    }
}

/// Serves one request; whether another may follow.
async fn one(request: &Request<'_>, conn: &mut Conn, began: Instant) -> bool {
    #[cfg(debug_assertions)]
    crate::planted::panic(&request.head);
    let mut body = Body::new(request.head.framing(), request.head.expects_continue());
    let handled = match is_ais(request) {
        true if request.held().is_some_and(|held| held != moves::READ) => {
            moves::serve(request, conn, request.held().unwrap_or_default()).await
        }
        true => ais::serve(request, conn, &mut body).await,
        false => s3::serve(request, conn, &mut body).await,
    };
    let whole = settle(request, began, &handled);
    let drained = whole && matches!(body.discard(conn, DISCARD_BYTES_MAX).await, Ok(true));
    if request.keep && drained {
        return true;
    }
    if whole && (!body.at_end() || !conn.pending().is_empty()) {
        conn.close_after_answer().await;
    }
    false
}

/// Counts a request that was answered; whether the client can tell where the next answer begins.
fn settle(request: &Request<'_>, began: Instant, handled: &Result<Handled, ConnError>) -> bool {
    let Ok(handled) = handled else { return false };
    request.shard.metrics.record(handled.op, handled.status, began.elapsed());
    tracing::debug!(
        request = request.id_text(),
        peer = %request.peer,
        status = handled.status,
        micros = began.elapsed().as_micros() as u64,
        "{} {}", request.head.method, request.head.path
    );
    !handled.broken
}

/// Whether the AIS API answers. A PUT of one of its first path elements alone would make a bucket of that name: S3 has
/// the words to refuse it.
fn is_ais(request: &Request<'_>) -> bool {
    let path = request.head.path;
    let makes_bucket = request.head.method == Method::Put && !path.trim_matches('/').contains('/');
    weir_ais::claims(path) && !makes_bucket && !request.is_virtual_hosted()
}

enum HeadError {
    Conn(#[allow(dead_code, reason = "shown by debuggers")] ConnError),
    Http(HttpError),
}

impl From<ConnError> for HeadError {
    fn from(error: ConnError) -> Self {
        Self::Conn(error)
    }
}

/// Where heads are received; the parsed head borrows it while the request is served.
struct HeadBuffer {
    buf: Option<Buf>,
    filled: usize,
}

impl HeadBuffer {
    fn new(conn: &Conn) -> Self {
        Self { buf: Some(full(conn.handle.buffers().heap(HEAD_BYTES_REST))), filled: 0 }
    }

    fn filled(&self) -> &[u8] {
        self.buf.as_deref().and_then(|b| b.get(..self.filled)).unwrap_or_default()
    }

    fn clear(&mut self) {
        self.filled = 0;
    }

    /// Receives until a whole head is there. Idle time and the time for a head once begun are bounded apart.
    async fn receive(&mut self, conn: &mut Conn, slots: &mut HeaderSlots) -> Result<Parsed, HeadError> {
        self.take_pending(conn);
        let mut give_up = None;
        loop {
            match parse(self.filled(), slots) {
                Err(error) => return Err(HeadError::Http(error)),
                Ok(Some(parsed)) => return Ok(parsed),
                Ok(None) => {}
            }
            let now = conn.handle.now();
            let within = if self.filled == 0 {
                Duration::from_secs(limits::IDLE_SECONDS_MAX)
            } else {
                let end = *give_up.get_or_insert(now + Duration::from_secs(limits::HEAD_SECONDS_MAX));
                end.saturating_duration_since(now)
            };
            self.more(conn, within).await?;
        }
    }

    fn take_pending(&mut self, conn: &mut Conn) {
        let n = conn.pending().len();
        if n == 0 {
            return;
        }
        let room = self.buf.as_ref().map_or(0, |b| b.len());
        if room < n {
            self.buf = Some(full(conn.handle.buffers().heap(n)));
        }
        if let Some(to) = self.buf.as_mut().and_then(|b| b.get_mut(..n)) {
            to.copy_from_slice(conn.pending());
            self.filled = n;
            conn.consume(n);
        }
    }

    async fn more(&mut self, conn: &Conn, within: Duration) -> Result<(), HeadError> {
        let Some(mut buf) = self.buf.take() else { return Err(ConnError::Closed.into()) };
        if self.filled == buf.len() {
            let mut larger = full(conn.handle.buffers().heap(limits::HEAD_BYTES_MAX + 1));
            if larger.len() <= buf.len() {
                return Err(HeadError::Http(HttpError::HeadTooLarge));
            }
            larger[..self.filled].copy_from_slice(&buf[..self.filled]);
            buf = larger;
        }
        let room = buf.len() - self.filled;
        let (n, buf) = conn.recv(buf, self.filled, room, within).await?;
        self.filled += n;
        self.buf = Some(buf);
        Ok(())
    }
}

/// Counts a refusal at a bound.
pub(crate) fn overloaded(shard: &Shard) {
    shard.metrics.overloaded.fetch_add(1, Ordering::Relaxed);
}
