//! The part of a target that may hold an object of another one: it says so, gives it, and removes it.

use std::rc::Rc;

use weir_ais::AisOp;
use weir_http::{BodyLength, Method};
use weir_store::{Change, CommitId, Record, StoreError};
use weir_types::Access;

use super::{CHECK, UPLOAD_HEADER};
use crate::Op;
use crate::answer::{Answer, add_field, start_head};
use crate::conn::{Conn, ConnError};
use crate::fail::Failure;
use crate::get;
use crate::place::Place;
use crate::promote::{self, FILE_HEADER};
use crate::relay::{PARTS_HEADER, RECORD_HEADER, record_text};
use crate::serve::{Handled, Request};
use crate::shard::Shard;

/// Answers an owner.
pub(crate) async fn serve(request: &Request<'_>, conn: &Conn, held: &str) -> Result<Handled, ConnError> {
    let status = match held_object(request, conn, held).await {
        Ok(Done::Sent(handled)) => return Ok(handled),
        Ok(Done::Is(status)) => status,
        Err(Failure::Conn(error)) => return Err(error),
        Err(failure) if failure.is_not_found() && !request.asker_is_behind() => 404,
        Err(failure) => {
            tracing::debug!("an owner asks in vain for {}: {failure}", request.head.path);
            503
        }
    };
    request.answer(conn, Op::Control, Answer::new(status)).await
}

enum Done {
    Sent(Handled),
    Is(u16),
}

async fn held_object(request: &Request<'_>, conn: &Conn, held: &str) -> Result<Done, Failure> {
    let (shard, head) = (request.shard, &request.head);
    let Ok(grant) = request.admit() else { return Ok(Done::Is(403)) };
    request.caught_up().await?;
    let Ok(AisOp::Object { bucket, object, .. }) = weir_ais::route(head.method, head.path, head.query) else {
        return Ok(Done::Is(400));
    };
    let Ok(permit) = grant.require(Access::ALL, &bucket) else { return Ok(Done::Is(403)) };
    let place = shard.place_under(shard.view(), &bucket, &object, permit)?;
    if heeds_maps() && place.is_own() {
        // The asker knows an earlier map.
        return Err(Failure::Behind);
    }
    if let Some(file) = head.header(FILE_HEADER) {
        return promote::serve(request, conn, &place, file).await.map(Done::Sent);
    }
    // What was begun here while the name was this target's is done first; what comes later is refused.
    place.settle(shard).await?;
    if let Some(id) = head.header(UPLOAD_HEADER) {
        return super::uploads::serve(request, conn, &place, id).await.map(Done::Sent);
    }
    if held == CHECK {
        let damage = shard.shared.walker.damage(&place.bucket, &place.name).await?;
        return Ok(Done::Is(if damage.is_some() { 410 } else { 200 }));
    }
    match (head.method, CommitId::parse(held.as_bytes())) {
        (Method::Get, None) => give(request, conn, &place).await.map(Done::Sent),
        (Method::Head, None) => {
            let record = get::head(shard, &place).await?;
            let answer = Answer::new(200).header(RECORD_HEADER, record_text(&record));
            Ok(Done::Sent(request.answer(conn, Op::Control, answer).await?))
        }
        (Method::Delete, Some(commit)) => {
            release(shard, &place, commit, version_of(request)).await.map(Done::Is)
        }
        _ => Ok(Done::Is(400)),
    }
}

/// Sends the head of an answer that carries a record and is followed by as many bytes as that says.
pub(crate) async fn send_head_of(
    request: &Request<'_>,
    conn: &Conn,
    record: &Record,
) -> Result<(), ConnError> {
    let mut out = Vec::with_capacity(1024);
    let mut head = start_head(&mut out, 200, &request.shard.date());
    add_field(&mut head, RECORD_HEADER, record_text(record));
    head.finish(BodyLength::Length(record.size), request.keep);
    conn.send_bytes(&out).await
}

/// Sends the object: its record in the head, then the sizes of its parts, then its bytes.
async fn give(request: &Request<'_>, conn: &Conn, place: &Place) -> Result<Handled, Failure> {
    let shard = request.shard;
    let readable = get::open(shard, place, None).await?;
    let Some(opened) = readable.opened() else { return Err(Failure::NotHeld) };
    let (record, all) = (readable.record.clone(), opened.object.all());
    let sizes = opened.object.parts().await?;
    let mut out = Vec::with_capacity(1024 + size_of::<u64>() * sizes.len());
    let mut head = start_head(&mut out, 200, &shard.date());
    add_field(&mut head, RECORD_HEADER, record_text(&record));
    add_field(&mut head, PARTS_HEADER, sizes.len());
    head.finish(BodyLength::Length(record.size + (size_of::<u64>() * sizes.len()) as u64), request.keep);
    sizes.iter().for_each(|size| out.extend_from_slice(&size.to_le_bytes()));
    let handled = |broken| Handled { op: Op::Control, status: 200, broken };
    match get::send(shard, conn, place, readable, all, out).await {
        Ok(()) => Ok(handled(false)),
        Err(failed) if failed.head_left => Ok(handled(true)),
        Err(failed) => Err(failed.error),
    }
}

/// Whether it matters by which map somebody asks.
fn heeds_maps() -> bool {
    #[cfg(debug_assertions)]
    let heeds = !crate::planted::takes_stale_maps();
    #[cfg(not(debug_assertions))]
    let heeds = true;
    heeds
}

/// By which version of the map the asker is the owner.
pub(super) fn version_of(request: &Request<'_>) -> u64 {
    if heeds_maps() { request.asker_map().unwrap_or(0) } else { u64::MAX }
}

/// Removes what its owner has.
async fn release(
    shard: &Rc<Shard>,
    place: &Place,
    commit: CommitId,
    map_version: u64,
) -> Result<u16, Failure> {
    let (bucket, name) = (place.bucket.clone(), place.name.clone());
    let change = Change::Release { bucket, name, commit, map_version };
    match place.change(shard, change).await.map_err(Failure::from) {
        Ok(_) => Ok(200),
        // Another commit than the owner has: it was not this that it took.
        Err(Failure::Store(StoreError::Precondition { .. })) => Ok(409),
        Err(failure) => Err(failure),
    }
}
