//! Following an object that is on its way from its origin.

use std::rc::Rc;

use weir_store::{Flight, FlightError, Record, StoreError};
use weir_types::{RangeSpec, limits};

use super::origin;
use super::out::Outgoing;
use crate::cold;
use crate::disk::{RingDisk, RingFile};
use crate::fail::Failure;
use crate::place::Place;
use crate::shard::Shard;

/// What each reader of a flight is sent first: all of them have their first bytes before any has many.
const FIRST_BYTES: usize = 16 << 10;

/// Follows the growing work file. The last piece waits until the object is whole, checked and committed: a client never
/// gets all of an object that turned out wrong. A flight that cannot go on here is continued from the origin.
pub(super) async fn body(
    shard: &Rc<Shard>,
    out: &mut Outgoing<'_>,
    place: &Place,
    flight: &Flight<RingFile>,
    record: &Record,
) -> Result<(), Failure> {
    let disk = place.volume().disk();
    loop {
        let done = step(out, disk, flight, record.size).await;
        match done {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(Failure::Store(StoreError::Flight(
                FlightError::NoSpace | FlightError::Abandoned | FlightError::Store(_),
            ))) => {
                return rest_from_origin(shard, out, place, record).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Sends what is left of an object of which a part was sent, past this node's disks: of the same version or not at all.
async fn rest_from_origin(
    shard: &Shard,
    out: &mut Outgoing<'_>,
    place: &Place,
    record: &Record,
) -> Result<(), Failure> {
    if out.sent == record.size {
        return Ok(());
    }
    let etag = record.remote.as_ref().and_then(|r| r.etag.clone());
    let changed = || weir_origin::OriginError::Changed {
        place: format!("{}/{}", place.bucket, place.name),
        expected: etag.clone().unwrap_or_default(),
    };
    if out.sent > 0 && etag.is_none() {
        return Err(changed().into());
    }
    let rest = RangeSpec::From(out.sent, None);
    let stream = cold::read_origin(shard, place, Some(rest), etag.clone()).await?;
    if stream.facts.size != record.size || stream.range.start != out.sent {
        return Err(changed().into());
    }
    origin::body(out, stream.chunks).await
}

/// Sends what can be sent now; whether that was the end.
async fn step(
    out: &mut Outgoing<'_>,
    disk: &RingDisk,
    flight: &Flight<RingFile>,
    size: u64,
) -> Result<bool, Failure> {
    let progress = flight.wait(out.sent).await?;
    let most = if out.sent == 0 { FIRST_BYTES } else { limits::IO_BUFFER_BYTES };
    let end = progress.written.min(out.sent + most as u64).min(size);
    if end == size && !progress.finished {
        flight.finished().await?;
    }
    if end == out.sent {
        return Ok(end == size);
    }
    let buf = flight.read(disk, out.sent, (end - out.sent) as usize).await?;
    let len = buf.len();
    out.send(buf, 0..len).await?;
    Ok(out.sent == size)
}
