//! Uploads in progress follow their names to another owner, as objects do, under the IDs that they have.
//!
//! | step | the owner | dying here leaves |
//! |---|---|---|
//! | 1 | asks for the upload's metadata and the numbers of its parts | the upload where it was |
//! | 2 | begins it here under its ID, durable | the upload where it was, and some of it here |
//! | 3 | fetches every part that is not here, durable | the same |
//! | 4 | has it dropped there | the upload here |
//!
//! Every request about an upload comes after these steps, so **an upload changes only where no other target has it**: what is
//! here of it before step 4 is what is there.

use weir_http::Method;
use weir_store::{Change, Object, StoreError, UploadInfo};

use super::{own_grant, send_head_of};
use crate::answer::Answer;
use crate::committer::CommitError;
use crate::conn::Conn;
use crate::disk::RingDisk;
use crate::fail::Failure;
use crate::place::Place;
use crate::relay::{PARTS_HEADER, RECORD_HEADER, Taking, UploadPiece, record_text};
use crate::serve::{Handled, Request};
use crate::shard::Shard;
use crate::{Op, shifts, source, uploads};

/// The field with the ID of the upload that an owner asks for.
pub(crate) const UPLOAD_HEADER: &str = "weir-upload";
/// The field with the number of the part of it; without it the upload itself is meant.
pub(crate) const PART_HEADER: &str = "weir-part";

/// Whoever may hold the upload gives it up. Who asks at the same time waits.
pub(crate) async fn own(shard: &Shard, place: &Place, id: &str) -> Result<(), Failure> {
    let holders = place.holders();
    if holders.is_empty() {
        return Ok(());
    }
    let moves = shard.shared.walker.moves();
    let _turn = moves.turn_of_upload(id).await;
    let grant = own_grant(&place.bucket);
    for there in &holders {
        let from = Taking { shard, grant: &grant, there, name: &place.name };
        // Boxed: few requests come here, and each connection would hold its state.
        Box::pin(take(shard, place, &from, id)).await?;
    }
    Ok(())
}

async fn take(shard: &Shard, place: &Place, from: &Taking<'_>, id: &str) -> Result<(), Failure> {
    let Some((fetched, numbers)) = from.take_upload(UploadPiece { id, part: None }).await? else {
        return Ok(());
    };
    let record = fetched.record().clone();
    fetched.close();
    match uploads::here(shard, place, id).await {
        Ok(_) => {}
        Err(Failure::Store(StoreError::NoSuchUpload { .. })) => {
            let (bucket, name, upload) = (place.bucket.clone(), place.name.clone(), id.to_owned());
            let attrs = shifts::attrs_of(&UploadInfo { id: upload.clone(), name: name.clone(), record });
            place.take_in(shard, Change::AdoptUpload { bucket, name, upload, attrs }).await?;
        }
        Err(failure) => return Err(failure),
    }
    let have = uploads::parts(shard, place, id).await?;
    for number in numbers.into_iter().filter_map(|number| u32::try_from(number).ok()) {
        if have.iter().all(|part| part.number != number) {
            fetch_part(shard, place, from, id, number).await?;
        }
    }
    from.release_upload(id).await
}

async fn fetch_part(
    shard: &Shard,
    place: &Place,
    from: &Taking<'_>,
    id: &str,
    number: u32,
) -> Result<(), Failure> {
    let part = from.take_upload(UploadPiece { id, part: Some(number) }).await?;
    let (fetched, _) = part.ok_or(Failure::NotHeld)?;
    let etag = fetched.record().etag.clone();
    let prepared = source::receive_moved(fetched, place, Vec::new()).await?;
    let (bucket, name) = (place.bucket.clone(), place.name.clone());
    let change = Change::PutPart { bucket, name, upload: id.to_owned(), number, prepared, etag };
    place.take_in(shard, change).await?;
    Ok(())
}

/// Answers an owner that asks for an upload, or for a part of it.
pub(super) async fn serve(
    request: &Request<'_>,
    conn: &Conn,
    place: &Place,
    id: &str,
) -> Result<Handled, Failure> {
    let shard = request.shard;
    let part = match request.head.header(PART_HEADER).map(str::parse::<u32>) {
        None => None,
        Some(Ok(number)) => Some(number),
        Some(Err(_)) => return Ok(request.answer(conn, Op::Control, Answer::new(400)).await?),
    };
    match (request.head.method, part) {
        (Method::Get, None) => {
            let upload = match uploads::here(shard, place, id).await {
                Err(Failure::Store(StoreError::NoSuchUpload { .. })) if !request.asker_is_behind() => {
                    return Ok(request.answer(conn, Op::Control, Answer::new(404)).await?);
                }
                found => found?,
            };
            let parts = uploads::parts(shard, place, id).await?;
            let numbers: Vec<u8> = parts.iter().flat_map(|p| u64::from(p.number).to_le_bytes()).collect();
            let answer = Answer::new(200)
                .header(RECORD_HEADER, record_text(&upload.record))
                .header(PARTS_HEADER, parts.len().to_string())
                .body("application/octet-stream", numbers);
            Ok(request.answer(conn, Op::Control, answer).await?)
        }
        (Method::Get, Some(number)) => give_part(request, conn, place, id, number).await,
        (Method::Delete, None) => {
            let change = Change::DropUpload {
                bucket: place.bucket.clone(),
                name: place.name.clone(),
                upload: id.to_owned(),
                map_version: Some(super::serve::version_of(request)),
            };
            match place.change(shard, change).await {
                Ok(_) | Err(CommitError::Store(StoreError::NoSuchUpload { .. })) => {}
                Err(error) => return Err(error.into()),
            }
            Ok(request.answer(conn, Op::Control, Answer::new(200)).await?)
        }
        _ => Ok(request.answer(conn, Op::Control, Answer::new(400)).await?),
    }
}

/// Sends a part, every block checked: its record in the head, then its bytes.
async fn give_part(
    request: &Request<'_>,
    conn: &Conn,
    place: &Place,
    id: &str,
    number: u32,
) -> Result<Handled, Failure> {
    let shard = request.shard;
    let place = place.again(shard, Some(id)).await?;
    let part = place.volume().part_object(&place.bucket, &place.name, id, number).await?;
    let part = part.ok_or(Failure::NotHeld)?;
    send_head_of(request, conn, part.record()).await?;
    let sent = send(conn, &part).await;
    if let Err(failure) = &sent {
        tracing::debug!("part {number} of upload {id} is cut short: {failure}");
    }
    Ok(Handled { op: Op::Control, status: 200, broken: sent.is_err() })
}

async fn send(conn: &Conn, part: &Object<RingDisk>) -> Result<(), Failure> {
    for chunk in part.chunks(part.all()) {
        let piece = part.read(chunk).await?;
        conn.send_bytes(piece.bytes()).await?;
    }
    Ok(())
}
