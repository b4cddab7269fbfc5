//! Reads of whole objects that are open and at hand: answered from what is known already, without waiting for anything but
//! the client's socket and without allocating. Whatever is out of the ordinary goes the long way and is answered there.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_auth::{GRANT_HEADER, Grant, INDEX_HEADER, PEER_HEADER};
use weir_http::{BodyLength, Framing, Head, Method, ResponseHead};
use weir_types::Access;

use crate::conn::{Conn, ConnError};
use crate::disk::RingFile;
use crate::opened::{self, Dialect, Opened};
use crate::routes::{Route, unmarked};
use crate::serve::{Handled, Request};
use crate::shard::Side;
use crate::{Op, get};

/// Request fields that change nothing about the answer to a GET that the gate admits.
const PLAIN_FIELDS: [&str; 16] = [
    "host",
    "user-agent",
    "accept",
    "accept-encoding",
    "accept-language",
    "connection",
    "authorization",
    "content-length",
    "content-type",
    "cache-control",
    "origin",
    "x-amz-date",
    "x-amz-content-sha256",
    "x-amz-user-agent",
    "amz-sdk-invocation-id",
    "amz-sdk-request",
];

/// Those that a peer adds to what it passes on; the gate reads them.
const PEERS_FIELDS: [&str; 3] = [PEER_HEADER, GRANT_HEADER, INDEX_HEADER];

/// Serves a request if it is such a read; `None`: nothing was done.
pub(crate) async fn serve(request: &Request<'_>, conn: &Conn) -> Option<Result<Handled, ConnError>> {
    let hit = find(request)?;
    Some(send(request, conn, &hit).await)
}

/// Remembers where the target of a plain GET led.
pub(crate) fn note(request: &Request<'_>, dialect: Dialect, place: &crate::place::Place) {
    if is_plain(request)
        && let Some((target, _)) = unmarked(request.head.target)
        && Arc::ptr_eq(place.set(), &request.shard.shared.disks.load())
    {
        request.shard.routes.borrow_mut().note(target, dialect, place);
    }
}

struct Hit {
    dialect: Dialect,
    opened: Rc<Opened>,
    /// Its file, all of which was in the page cache; none: its bytes are in memory.
    file: Option<RingFile>,
}

fn find(request: &Request<'_>) -> Option<Hit> {
    if !is_plain(request) {
        return None;
    }
    let shard = request.shard;
    let route = {
        let view = shard.shared.view.load();
        let (target, index) = unmarked(request.head.target)?;
        // Who is behind whoever sent the request here goes the long way and catches up.
        let is_behind = index.max(peers_index(request)?) > view.index;
        (!is_behind).then(|| shard.routes.borrow().find(target, &view, &shard.shared.disks.load()))??
    };
    let opened = opened::find(shard, &route.place)?;
    opened.lines_written(route.dialect)?;
    let file = match opened.object.content() {
        Some(_) => None,
        None => Some(get::sendable_file(&opened)?.clone()),
    };
    let grant = request.admit().ok()?;
    is_permitted(&grant, &route).then_some(Hit { dialect: route.dialect, opened, file })
}

fn is_plain(request: &Request<'_>) -> bool {
    let head = &request.head;
    head.method == Method::Get
        && head.framing() == Framing::None
        && !request.is_virtual_hosted()
        && has_plain_fields(head, request.side)
}

fn has_plain_fields(head: &Head<'_>, side: Side) -> bool {
    let of_peers =
        |name: &str| side == Side::Peers && PEERS_FIELDS.iter().any(|f| f.eq_ignore_ascii_case(name));
    let is_plain = |name: &str| PLAIN_FIELDS.iter().any(|plain| plain.eq_ignore_ascii_case(name));
    head.iter().all(|(name, _)| is_plain(name) || of_peers(name))
}

/// The log index by which a peer passed the request on; 0 of what nobody passed on. None: it is malformed.
fn peers_index(request: &Request<'_>) -> Option<u64> {
    match request.side {
        Side::Public => Some(0),
        Side::Peers => request.head.header(INDEX_HEADER)?.parse().ok(),
    }
}

fn is_permitted(grant: &Grant, route: &Route) -> bool {
    let chunked = grant.body_rule().is_aws_chunked();
    !chunked && grant.require(Access::GET, &route.place.bucket).is_ok() && route.place.allows(Access::GET)
}

async fn send(request: &Request<'_>, conn: &Conn, hit: &Hit) -> Result<Handled, ConnError> {
    let (shard, object) = (request.shard, &hit.opened.object);
    let content = object.content().map(AsRef::as_ref).unwrap_or_default();
    let left = {
        let mut head = shard.scratch.borrow_mut();
        write_head(&mut head, request, hit);
        let sent = conn.send_now(&head, content, hit.file.is_some())?;
        // Where the client takes it slowly it is copied: the head's place is needed by others meanwhile.
        (sent < head.len() + content.len()).then(|| conn.left(&head, content, sent))
    };
    if let Some(left) = left {
        let len = left.len();
        conn.send(left, 0..len).await?;
    }
    let broken = match &hit.file {
        Some(file) => get::send_file(shard, conn, &hit.opened, file).await.is_err(),
        None => false,
    };
    shard.metrics.bytes_out.fetch_add(object.size(), Ordering::Relaxed);
    Ok(Handled { op: Op::Get, status: 200, broken })
}

fn write_head(out: &mut Vec<u8>, request: &Request<'_>, hit: &Hit) {
    out.clear();
    let mut head = ResponseHead::new(out, 200);
    // A date that is no field value would be left out; it is made here.
    let _ = request.shard.with_date(|date| head.date(date).map(drop));
    if let Some(lines) = hit.opened.lines_written(hit.dialect) {
        head.lines(lines);
    }
    if hit.dialect == Dialect::S3 {
        let _ = head.header_display("x-amz-request-id", request.id_display());
    }
    head.finish(BodyLength::Length(hit.opened.object.size()), request.keep);
}
