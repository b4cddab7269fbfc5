//! A request that another node is to answer: passed on to it as it was let in here, its body behind it, and the answer back.
//!
//! ```text
//! client -> here: gate, router, bucket, owner -> [head + what this node vouches for] -> owner: the same handlers
//!                 body, S3's chunks checked   -> [body]                              -> ...
//! client <- here: head and body as they come  <- [answer]                            <- owner
//! ```
//!
//! One buffer is under way in each direction: who takes slowly slows who sends. What the owner has not answered is 503,
//! what breaks within its answer ends the client's connection: never other bytes, and never 404 for a node that is away.

mod body;
mod fetch;
mod head;
mod held;
mod link;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, select};
use weir_auth::{Grant, Passed};
use weir_http::{BodyLength, HttpError, Method, Reply};
use weir_types::limits;

use crate::Op;
use crate::answer::{add_field, start_head};
use crate::body::Body;
use crate::committer::now_ns;
use crate::conn::{Conn, full};
use crate::fail::Failure;
use crate::moves::{self, HELD_HEADER, MAP_HEADER};
use crate::place::{Place, There};
use crate::serve::{Handled, Request};
use crate::shard::Shard;
use body::Outcome;
use head::{Carried, To};
use link::Link;

pub(crate) use fetch::{Fetched, RECORD_HEADER, have_copied, record_text};
pub(crate) use held::{PARTS_HEADER, Taking, UploadPiece};
pub(crate) use link::{LinkError, Links};

/// Bodies up to this size follow their head at once; longer ones wait until the owner asks for them.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;
/// How often a node that lets others wait is looked for on the map.
const LOOK: Duration = Duration::from_millis(250);
/// How long an answer is waited for that a peer may have sent before it ended the connection.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What of a request goes on.
pub(crate) struct Relay<'r, 'h> {
    pub(crate) request: &'r Request<'h>,
    pub(crate) grant: &'r Grant,
    pub(crate) there: &'r There,
    /// What it counts as.
    pub(crate) op: Op,
    /// The bucket that the host names, for a virtual-hosted request.
    pub(crate) host_bucket: Option<&'r str>,
    /// The other node does not own the name: it may hold the object still. That it does not is [`Failure::NotHeld`].
    pub(crate) held: bool,
}

/// A client's read of an object that is not at its owner, this target, yet.
pub(crate) struct Held<'r, 'h> {
    pub(crate) request: &'r Request<'h>,
    pub(crate) grant: &'r Grant,
    pub(crate) op: Op,
    pub(crate) host_bucket: Option<&'r str>,
}

/// Where the object of a read was looked for.
pub(crate) enum Around {
    /// Whoever holds it answered.
    Answered(Handled),
    /// It was here, while another target may have it removed as the owner that it was in between: gone does not say that there
    /// is none.
    Here,
    /// Nobody else has it.
    Nowhere,
}

impl Held<'_, '_> {
    /// Has it answered by whoever holds the object. That somebody who may hold it cannot be asked is an error.
    pub(crate) async fn read(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
    ) -> Result<Around, Failure> {
        // Boxed: few requests come here, and each connection would hold its state.
        Box::pin(self.ask_around(conn, body, place)).await
    }

    async fn ask_around(&self, conn: &mut Conn, body: &mut Body, place: &Place) -> Result<Around, Failure> {
        let Self { request, grant, op, host_bucket } = *self;
        for _ in 0..moves::LOOKS {
            let holders = place.holders();
            #[cfg(debug_assertions)]
            let holders = if crate::planted::keeps_misses() { Vec::new() } else { holders };
            if holders.is_empty() {
                return Ok(Around::Nowhere);
            }
            if moves::commit_here(request.shard, place).await?.is_some() {
                return Ok(Around::Here);
            }
            let mut unknown = None;
            for there in &holders {
                let relay = Relay { request, grant, there, op, host_bucket, held: true };
                match relay.serve(conn, body, Payload::Nothing).await {
                    Ok(handled) => return Ok(Around::Answered(handled)),
                    Err(Failure::NotHeld) => {}
                    Err(error @ Failure::Peer { .. }) => unknown = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if let Some(error) = unknown {
                #[cfg(debug_assertions)]
                if crate::planted::away_is_empty() {
                    continue;
                }
                return Err(error);
            }
        }
        Ok(Around::Nowhere)
    }
}

/// The body of a request that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    /// None that the operation has a use for.
    Nothing,
    /// As it was framed.
    Plain,
    /// Out of S3's chunks, which are taken off here.
    AwsChunked,
}

impl Relay<'_, '_> {
    /// Has the request answered there.
    pub(crate) async fn serve(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        payload: Payload,
    ) -> Result<Handled, Failure> {
        let shard = self.request.shard;
        let _turn = shard.links.turn(&self.there.owner)?;
        let to = address(self.there).map_err(|e| self.failed(e))?;
        let carried = carried(body, payload);
        let waits = match carried {
            Carried::Nothing => false,
            Carried::Bytes(n) => n > AT_ONCE_BYTES_MAX,
            Carried::Chunks | Carried::AwsChunks => true,
        };
        let head = self.head(to, carried, waits).map_err(|e| self.failed(e.into()))?;
        let first = (waits || carried == Carried::Nothing).then(answer_within);
        let again = is_read(self.request.head.method);
        let asked = shard.links.ask(&shard.handle, to, &head, first, again);
        let asked = while_here(shard, self.there, asked).await;
        let (mut link, reply) = asked.map_err(|e| self.failed(e))?;
        let (reply, sent) = match reply {
            Some(reply) if reply.status != 100 => (reply, carried == Carried::Nothing),
            asked => {
                asked.iter().for_each(|interim| link.conn.consume(interim.bytes()));
                let (reply, sent) = match body::send(conn, body, &mut link, carried).await? {
                    Outcome::Sent => (while_here(shard, self.there, link.reply(answer_within())).await, true),
                    Outcome::Refused => (link.reply(LAST_WORDS).await, false),
                };
                (reply.map_err(|e| self.failed(e))?, sent)
            }
        };
        if self.held && reply.status == 404 {
            return Err(Failure::NotHeld);
        }
        self.answer(conn, link, &reply, sent).await
    }

    fn head(&self, to: SocketAddr, carried: Carried, waits: bool) -> Result<Vec<u8>, HttpError> {
        let (request, head) = (self.request, &self.request.head);
        let path = match self.host_bucket {
            Some(bucket) => head::path_style(bucket, head.path),
            None => head.path.to_owned(),
        };
        let mark = if head.query.is_empty() { "" } else { "?" };
        let target = format!("{path}{mark}{}", head.query);
        let passed = Passed {
            to: self.there.owner.as_str(),
            method: head.method.as_str(),
            target: &target,
            index: self.there.view.index,
            at_ms: now_ns() / 1_000_000,
        };
        let vouched = request.shard.shared.vouching.as_ref().map(|v| v.fields(self.grant, &passed));
        let mut vouched = vouched.ok_or(HttpError::Reply("this node has no join secret"))?.to_vec();
        if self.held {
            vouched.push((HELD_HEADER, moves::READ.to_owned()));
            vouched.push((MAP_HEADER, self.there.view.smap.version.to_string()));
        }
        let mut out = Vec::with_capacity(2048);
        let host = to.to_string();
        head::write(
            &mut out,
            head,
            &To { host: &host, path: &path, query: head.query },
            carried,
            waits,
            &vouched,
        )?;
        Ok(out)
    }

    /// Sends an answer on, whose head is pending on its connection. A peer to which the body was not `sent` whole would
    /// take what comes next on the connection for the rest of it.
    async fn answer(
        &self,
        conn: &Conn,
        mut link: Link,
        reply: &Reply,
        sent: bool,
    ) -> Result<Handled, Failure> {
        let shard = self.request.shard;
        let Some(bytes) = reply.body_bytes(self.request.head.method) else {
            return Err(self.failed(HttpError::Reply("expected the length of its body").into()));
        };
        let mut head = Vec::with_capacity(1024);
        self.write_head(&mut head, &link, reply);
        link.conn.consume(reply.bytes());
        let handled = |broken| Handled { op: self.op, status: reply.status, broken };
        let at_hand = link.conn.pending().len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        conn.send_two(&head, link.conn.pending().get(..at_hand).unwrap_or_default()).await?;
        link.conn.consume(at_hand);
        if let Err(error) = pass(conn, &mut link, bytes - at_hand as u64).await {
            tracing::warn!(request = self.request.id_text(), "body cut short: {}", self.failed(error));
            return Ok(handled(true));
        }
        shard.metrics.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        if reply.keep_alive && sent {
            shard.links.keep(link, shard.handle.now());
        }
        Ok(handled(false))
    }

    fn write_head(&self, out: &mut Vec<u8>, link: &Link, reply: &Reply) {
        let mut head = start_head(out, reply.status, &self.request.shard.date());
        for (name, value) in link.fields(reply) {
            let own = ["connection", "content-length", "date"];
            if !own.iter().any(|own| own.eq_ignore_ascii_case(name)) {
                add_field(&mut head, name, value);
            }
        }
        let length = match reply.status {
            100..200 | 204 | 304 => BodyLength::Absent,
            _ => BodyLength::Length(reply.length.unwrap_or(0)),
        };
        head.finish(length, self.request.keep);
    }

    fn failed(&self, error: LinkError) -> Failure {
        failed(self.there, error)
    }
}

/// Waits for a peer's answer for as long as it is heard of. Nothing of the client's may be received meanwhile: what is given up
/// may have taken bytes.
async fn while_here<T>(
    shard: &Shard,
    there: &There,
    answer: impl Future<Output = Result<T, LinkError>>,
) -> Result<T, LinkError> {
    let gone = async {
        let is_here = || {
            let view = shard.shared.view.load();
            view.smap.targets.get(&there.owner).is_some_and(|node| node.is_here())
        };
        while is_here() {
            shard.handle.sleep(LOOK).await;
        }
    };
    match select(pin!(answer), pin!(gone)).await {
        Either::Left((answered, _)) => answered,
        Either::Right(_) => Err(LinkError::Away("it is not heard of any more".into())),
    }
}

/// Where a node takes what is passed on to it.
fn address(there: &There) -> Result<SocketAddr, LinkError> {
    let away = |why: &str| LinkError::Away(why.into());
    let node = there.node().filter(|n| n.is_here()).ok_or_else(|| away("it has not been heard of"))?;
    let net = &node.intra_data;
    let ip: IpAddr = net.host.parse().map_err(|_| away("its data endpoint is not an address"))?;
    Ok(SocketAddr::new(ip, net.port))
}

fn failed(there: &There, error: LinkError) -> Failure {
    Failure::Peer { node: format!("t[{}]", there.owner), error }
}

/// Sends `left` bytes on as they come.
async fn pass(conn: &Conn, link: &mut Link, mut left: u64) -> Result<(), LinkError> {
    if left == 0 {
        return Ok(());
    }
    let within = Duration::from_secs(limits::STALL_SECONDS_MAX);
    let bytes = limits::RELAY_BUFFER_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX));
    let mut buf = full(conn.handle.buffers().heap(bytes));
    while left > 0 {
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n;
        (n, buf) = link.conn.recv(buf, 0, want, within).await?;
        buf = conn.send(buf, 0..n).await?;
        left -= n as u64;
    }
    Ok(())
}

fn carried(body: &Body, payload: Payload) -> Carried {
    match (payload, body.announced()) {
        (Payload::Nothing, _) => Carried::Nothing,
        (Payload::Plain, Some(n)) => Carried::Bytes(n),
        (Payload::Plain, None) => Carried::Chunks,
        (Payload::AwsChunked, _) => Carried::AwsChunks,
    }
}

fn answer_within() -> Duration {
    Duration::from_secs(limits::PEER_ANSWER_SECONDS_MAX)
}

/// Whether a request changes nothing, so that it may be asked twice. A removal may not: carried out again it would take
/// away what was written between the two, and call absent what the first one removed.
fn is_read(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_alone_are_asked_twice() {
        assert!([Method::Get, Method::Head].into_iter().all(is_read));
        assert!(![Method::Delete, Method::Put, Method::Post, Method::Patch].into_iter().any(is_read));
    }
}
