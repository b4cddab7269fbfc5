//! Reading an object: from a local disk, along with a flight, or straight from its origin.

mod choose;
mod flight;
mod memory;
mod origin;
mod out;
mod promotion;
mod reading;
mod sendfile;
mod whole;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_origin::{Chunks, OriginStream};
use weir_store::{Flight, FlightError, FlightHead, Record, StoreError};
use weir_types::{ByteRange, RangeError, RangeSpec};

use crate::cold;
use crate::conn::Conn;
use crate::disk::{Residency, RingFile};
use crate::fail::Failure;
use crate::opened::{self, Opened};
use crate::place::Place;
use crate::shard::Shard;
use choose::{Facts, Strategy, Transport, choose};
use out::Outgoing;
pub(crate) use promotion::Promotion;
pub(crate) use whole::{Whole, open_whole};

/// An object that can be sent.
pub(crate) struct Readable {
    /// Its metadata; of an object that is not here yet, what its origin said.
    pub(crate) record: Arc<Record>,
    source: Source,
}

enum Source {
    Local {
        opened: Rc<Opened>,
        /// It was read before, as far as is remembered.
        again: bool,
    },
    Flight(Arc<Flight<RingFile>>),
    /// The origin's bytes, and which of the object they are.
    Origin(Chunks, ByteRange),
}

impl Readable {
    /// The object, if it is kept here, whole.
    pub(crate) fn opened(&self) -> Option<&Rc<Opened>> {
        match &self.source {
            Source::Local { opened, .. } => Some(opened),
            _ => None,
        }
    }

    /// Whether the object is kept here, whole.
    pub(crate) fn is_local(&self) -> bool {
        self.opened().is_some()
    }
}

/// Opens an object for reading. One that is cold is brought in if all of it is wanted (nobody reads the origin twice
/// for that), or read there if only a range of it is.
pub(crate) async fn open(
    shard: &Rc<Shard>,
    place: &Place,
    range: Option<RangeSpec>,
) -> Result<Readable, Failure> {
    let absent = match opened::open(shard, place).await {
        Ok(opened) => return local(shard, place, opened).await,
        Err(error) if error.is_not_found() && cold::may_fetch(shard, place) => error,
        Err(error) => return Err(error.into()),
    };
    if let Some(range) = range {
        let stream = cold::read_origin(shard, place, Some(range), None).await?;
        return Ok(from_origin(place, stream));
    }
    match cold::join_or_lead(shard, place).await? {
        cold::Joined::Present => {
            match opened::open(shard, place).await {
                Ok(opened) => local(shard, place, opened).await,
                // Evicted again between the two: the client's retry starts afresh.
                Err(error) if error.is_not_found() => Err(absent.into()),
                Err(error) => Err(error.into()),
            }
        }
        cold::Joined::Flight(flight) => match flight.head().await {
            Ok(head) => Ok(in_flight(place, flight, &head)),
            // No room to keep it, or the leader died: read it past the disk.
            Err(FlightError::NoSpace | FlightError::Abandoned | FlightError::Store(_)) => {
                let stream = cold::read_origin(shard, place, None, None).await?;
                Ok(from_origin(place, stream))
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// The metadata of an object that is here.
pub(crate) async fn head(shard: &Shard, place: &Place) -> Result<Arc<Record>, StoreError> {
    Ok(opened::open(shard, place).await?.0.object.record().clone())
}

/// What is here; a small object that is read again is brought into memory first.
async fn local(
    shard: &Shard,
    place: &Place,
    (opened, again): (Rc<Opened>, bool),
) -> Result<Readable, Failure> {
    let opened = match again && memory::is_for_memory(&opened) {
        true => match memory::bring(shard, place, opened.clone()).await {
            Err(Failure::Store(error)) if opened.object.record().copies > 1 => {
                let other = Box::pin(opened::another(shard, place, &opened)).await;
                other.ok_or(Failure::Store(error))?
            }
            brought => brought?,
        },
        false => opened,
    };
    let record = opened.object.record().clone();
    Ok(Readable { record, source: Source::Local { opened, again } })
}

fn in_flight(place: &Place, flight: Arc<Flight<RingFile>>, head: &FlightHead) -> Readable {
    Readable { record: Arc::new(cold::record_of(place, head)), source: Source::Flight(flight) }
}

fn from_origin(place: &Place, stream: OriginStream) -> Readable {
    let head = cold::head_of(place, &stream.facts);
    Readable {
        record: Arc::new(cold::record_of(place, &head)),
        source: Source::Origin(stream.chunks, stream.range),
    }
}

/// Sends a head and then `range` of the object. An error before the head left is for the caller to answer; one after it
/// ends the connection, so that the client sees that the body is not whole.
pub(crate) async fn send(
    shard: &Rc<Shard>,
    conn: &Conn,
    place: &Place,
    readable: Readable,
    range: ByteRange,
    head: Vec<u8>,
) -> Result<(), SendFailure> {
    let mut out = Outgoing::new(conn, head);
    let done = match readable.source {
        Source::Local { opened, again } => match body(shard, &mut out, &opened, again, range).await {
            Err(Failure::Store(error)) if opened.object.record().copies > 1 => {
                Box::pin(rest_of_copy(shard, &mut out, place, &opened, range, error)).await
            }
            done => done,
        },
        Source::Flight(flight) => flight::body(shard, &mut out, place, &flight, &readable.record).await,
        Source::Origin(chunks, given) if given == range => origin::body(&mut out, chunks).await,
        // The origin's copy changed in size between two answers.
        Source::Origin(_, given) => Err(RangeError::Unsatisfiable { size: given.start + given.len }.into()),
    };
    let done = match done {
        Ok(()) => out.flush().await,
        Err(error) => Err(error),
    };
    shard.metrics.bytes_out.fetch_add(out.sent, Ordering::Relaxed);
    done.map_err(|error| SendFailure { error, head_left: out.head_left() })
}

/// Sends what is left of a range from another copy of the object: what was sent of the first one was as it was written.
async fn rest_of_copy(
    shard: &Shard,
    out: &mut Outgoing<'_>,
    place: &Place,
    bad: &Opened,
    range: ByteRange,
    error: StoreError,
) -> Result<(), Failure> {
    tracing::warn!(bucket = %place.bucket, name = %place.name, "a copy cannot be read: {error}");
    let Some(other) = opened::another(shard, place, bad).await else { return Err(error.into()) };
    let rest = ByteRange { start: range.start + out.sent, len: range.len - out.sent };
    body(shard, out, &other, false, rest).await
}

/// Why a body was not sent whole.
pub(crate) struct SendFailure {
    pub(crate) error: Failure,
    /// Whether the client has seen the head: then only the end of the connection can tell it.
    pub(crate) head_left: bool,
}

/// Sends a range of what is here, by the way that suits it; by another from where the first one could not go on.
async fn body(
    shard: &Shard,
    out: &mut Outgoing<'_>,
    opened: &Opened,
    again: bool,
    range: ByteRange,
) -> Result<(), Failure> {
    let mut rest = range;
    while rest.len > 0 {
        match choose(facts(shard, opened, again, rest)) {
            Strategy::Memory => {
                let content = opened.object.content().map(AsRef::as_ref).unwrap_or_default();
                return memory::send(out, content, rest).await;
            }
            Strategy::Cached => return reading::cached(out, opened, rest).await,
            Strategy::Direct => return reading::direct(out, opened, rest).await,
            Strategy::ZeroCopy => return reading::zero_copy(shard, out, opened, rest).await,
            Strategy::Sendfile => match sendfile::send(out, opened, rest).await? {
                Some(left) => rest = left,
                None => return Ok(()),
            },
        }
    }
    Ok(())
}

fn facts(shard: &Shard, opened: &Opened, again: bool, range: ByteRange) -> Facts {
    let in_memory = opened.object.content().is_some();
    let residency = match opened.object.file() {
        Some(file) => file.residency(range.start, range.len),
        None => Residency::Part,
    };
    if residency == Residency::Whole {
        shard.promotion.found();
    }
    let evicted = residency == Residency::Evicted;
    let candidate = again && !in_memory && residency != Residency::Whole;
    Facts {
        bytes: range.len,
        in_memory,
        residency,
        checked: opened.checked.get(),
        promote: candidate && shard.promotion.admits(range.len, evicted),
        transport: Transport { sendfile: true, zero_copy: shard.zero_copy.get() },
    }
}

/// The file of an object that may go out by sendfile as a whole; whether the page cache has it is asked when it goes.
pub(crate) fn sendable_file(opened: &Opened) -> Option<&RingFile> {
    let ready = opened.checked.get() && opened.object.size() >= choose::SENDFILE_BYTES_MIN;
    opened.object.file().filter(|_| ready)
}

/// Sends the whole body of such an object, its head having left.
pub(crate) async fn send_file(
    shard: &Shard,
    conn: &Conn,
    opened: &Opened,
    file: &RingFile,
) -> Result<(), Failure> {
    let mut rest = opened.object.all();
    sendfile::body(conn, opened, file, &mut rest).await?;
    if rest.len == 0 {
        shard.promotion.found();
    } else {
        // Rare, and it reads: its state is not for every connection to hold.
        let mut out = Outgoing::headless(conn);
        Box::pin(body(shard, &mut out, opened, true, rest)).await?;
    }
    Ok(())
}
