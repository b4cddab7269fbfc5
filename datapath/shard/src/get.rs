//! Reading an object: from a local disk, along with a flight, or straight from its origin.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join;
use weir_origin::{Chunks, OriginStream};
use weir_ring::sys;
use weir_store::{Access, Flight, FlightError, FlightHead, Object, Record, StoreError};
use weir_types::{ByteRange, RangeError, RangeSpec, limits};

use crate::cold;
use crate::conn::Conn;
use crate::disk::{RingBuf, RingDisk, RingFile};
use crate::fail::Failure;
use crate::place::Place;
use crate::shard::Shard;

/// A body up to this size is copied behind its head, so that both leave in one send.
const ONE_SEND_BYTES_MAX: usize = 16 << 10;
/// Objects from this size on are read past the page cache unless they are in it.
const DIRECT_BYTES_MIN: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// What each reader of a flight is sent first: all of them have their first bytes before any has many.
const FLIGHT_FIRST_BYTES: usize = 16 << 10;

/// An object that can be sent.
pub(crate) struct Readable {
    /// Its metadata; of an object that is not here yet, what its origin said.
    pub(crate) record: Arc<Record>,
    source: Source,
}

enum Source {
    Local(Box<Object<RingDisk>>),
    Flight(Arc<Flight<RingFile>>),
    /// The origin's bytes, and which of the object they are.
    Origin(Chunks, ByteRange),
}

impl Readable {
    /// Whether the object is kept here, whole.
    pub(crate) fn is_local(&self) -> bool {
        matches!(self.source, Source::Local(_))
    }
}

/// Opens an object for reading. One that is cold is brought in if all of it is wanted (nobody reads the origin twice
/// for that), or read there if only a range of it is.
pub(crate) async fn open(
    shard: &Rc<Shard>,
    place: &Place,
    range: Option<RangeSpec>,
) -> Result<Readable, Failure> {
    let absent = match open_local(shard, place).await {
        Ok(object) => return Ok(local(object)),
        Err(error) if error.is_not_found() && cold::may_fetch(shard, place) => error,
        Err(error) => return Err(error.into()),
    };
    if let Some(range) = range {
        let stream = cold::read_origin(shard, place, Some(range), None).await?;
        return Ok(from_origin(place, stream));
    }
    match cold::join_or_lead(shard, place).await? {
        cold::Joined::Present => {
            match open_local(shard, place).await {
                Ok(object) => Ok(local(object)),
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

/// Opens what is here. A large object that is not in the page cache is read past it: an epoch over a dataset larger
/// than memory must not wash the cache out.
async fn open_local(shard: &Shard, place: &Place) -> Result<Object<RingDisk>, StoreError> {
    let volume = place.volume(shard);
    let object = volume.open(&place.bucket, &place.name).await?;
    let resident = object.file().is_none_or(|file| is_resident(file, object.size()));
    if object.size() < DIRECT_BYTES_MIN || resident {
        return Ok(object);
    }
    volume.open_as(&place.bucket, &place.name, Access::Direct).await
}

/// Whether at least half of a file is in the page cache; where the kernel cannot tell, it counts as not.
fn is_resident(file: &RingFile, bytes: u64) -> bool {
    sys::cachestat(file.fd(), 0, bytes).is_ok_and(|cache| cache.cached * PAGE_BYTES * 2 >= bytes)
}

fn local(object: Object<RingDisk>) -> Readable {
    Readable { record: object.record().clone(), source: Source::Local(Box::new(object)) }
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

/// Sends the head that `write_head` makes and then `range` of the object. An error before the head left is for the
/// caller to answer; one after it ends the connection, so that the client sees that the body is not whole.
pub(crate) async fn send(
    shard: &Rc<Shard>,
    conn: &Conn,
    place: &Place,
    readable: Readable,
    range: ByteRange,
    head: Vec<u8>,
) -> Result<(), SendFailure> {
    let mut out = Outgoing { conn, head: Some(head), sent: 0 };
    let done = match readable.source {
        Source::Local(object) => local_body(&mut out, &object, range).await,
        Source::Flight(flight) => flight_body(shard, &mut out, place, &flight, &readable.record).await,
        Source::Origin(chunks, given) if given == range => origin_body(&mut out, chunks).await,
        // The origin's copy changed in size between two answers.
        Source::Origin(_, given) => Err(RangeError::Unsatisfiable { size: given.start + given.len }.into()),
    };
    let done = match done {
        Ok(()) => out.flush().await,
        Err(error) => Err(error),
    };
    shard.metrics.bytes_out.fetch_add(out.sent, Ordering::Relaxed);
    done.map_err(|error| SendFailure { error, head_left: out.head.is_none() })
}

/// Why a body was not sent whole.
pub(crate) struct SendFailure {
    pub(crate) error: Failure,
    /// Whether the client has seen the head: then only the end of the connection can tell it.
    pub(crate) head_left: bool,
}

/// A response on its way: the head waits for the first bytes of the body.
struct Outgoing<'c> {
    conn: &'c Conn,
    head: Option<Vec<u8>>,
    sent: u64,
}

impl Outgoing<'_> {
    async fn send(&mut self, buf: RingBuf, range: Range<usize>) -> Result<(), Failure> {
        let len = range.len() as u64;
        match self.head.take() {
            Some(mut head) if range.len() <= ONE_SEND_BYTES_MAX => {
                head.extend_from_slice(buf.get(range).unwrap_or_default());
                self.conn.send_bytes(&head).await?;
            }
            head => {
                if let Some(head) = head {
                    self.conn.send_head(&head).await?;
                }
                self.conn.send(buf.0, range).await?;
            }
        }
        self.sent += len;
        Ok(())
    }

    /// Sends a head that no body followed.
    async fn flush(&mut self) -> Result<(), Failure> {
        match self.head.take() {
            Some(head) => Ok(self.conn.send_bytes(&head).await?),
            None => Ok(()),
        }
    }
}

/// The next chunk is read while the last one goes out.
async fn local_body(
    out: &mut Outgoing<'_>,
    object: &Object<RingDisk>,
    range: ByteRange,
) -> Result<(), Failure> {
    let mut chunks = object.chunks(range);
    let Some(first) = chunks.next() else { return Ok(()) };
    let mut piece = object.read(first).await?;
    for chunk in chunks {
        let bytes = piece.from..piece.to;
        let (sent, next) = join(out.send(piece.buf, bytes), object.read(chunk)).await;
        sent?;
        piece = next?;
    }
    let bytes = piece.from..piece.to;
    out.send(piece.buf, bytes).await
}

/// Follows the growing work file. The last piece waits until the object is whole, checked and committed: a client never
/// gets all of an object that turned out wrong. A flight that cannot go on here is continued from the origin.
async fn flight_body(
    shard: &Rc<Shard>,
    out: &mut Outgoing<'_>,
    place: &Place,
    flight: &Flight<RingFile>,
    record: &Record,
) -> Result<(), Failure> {
    let disk = place.volume(shard).disk();
    loop {
        let step = flight_step(out, disk, flight, record.size).await;
        match step {
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
    origin_body(out, stream.chunks).await
}

/// Sends what can be sent now; whether that was the end.
async fn flight_step(
    out: &mut Outgoing<'_>,
    disk: &RingDisk,
    flight: &Flight<RingFile>,
    size: u64,
) -> Result<bool, Failure> {
    let progress = flight.wait(out.sent).await?;
    let most = if out.sent == 0 { FLIGHT_FIRST_BYTES } else { limits::IO_BUFFER_BYTES };
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

async fn origin_body(out: &mut Outgoing<'_>, mut chunks: Chunks) -> Result<(), Failure> {
    while let Some(chunk) = chunks.next_chunk().await? {
        let mut buf = RingBuf(out.conn.handle.buffers().heap(chunk.len()));
        buf.0.set_len(chunk.len());
        buf.copy_from_slice(&chunk);
        let len = chunk.len();
        out.send(buf, 0..len).await?;
    }
    Ok(())
}

/// Opens an object for a copy: here and whole, brought in first if it is cold.
pub(crate) async fn open_whole(shard: &Rc<Shard>, place: &Place) -> Result<Object<RingDisk>, Failure> {
    let volume = place.volume(shard);
    match volume.open(&place.bucket, &place.name).await {
        Err(error) if error.is_not_found() && cold::may_fetch(shard, place) => {
            if let cold::Joined::Flight(flight) = cold::join_or_lead(shard, place).await? {
                flight.finished().await?;
            }
            Ok(volume.open(&place.bucket, &place.name).await?)
        }
        opened => Ok(opened?),
    }
}

/// All of an object, read for a copy: calls `each` with every piece in order.
pub(crate) async fn read_all(
    object: &Object<RingDisk>,
    range: ByteRange,
    mut each: impl AsyncFnMut(RingBuf, Range<usize>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for chunk in object.chunks(range) {
        let piece = object.read(chunk).await?;
        each(piece.buf, piece.from..piece.to).await?;
    }
    Ok(())
}
