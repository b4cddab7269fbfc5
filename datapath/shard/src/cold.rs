//! Objects that are not here yet: one stream from the origin for everybody who asks at the same time.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use weir_cluster::Features;
use weir_origin::{OriginObject, OriginStream, RemoteBucket};
use weir_store::{
    Attrs, Buffer as _, Change, ContentHeaders, Durability, Etag, Expected, Flight, FlightError, FlightHead,
    Lead, Outcome, Put, Record, RemoteIdentity, Terms, VersionRule, WriteOptions, Writer,
};
use weir_types::{CustomMeta, RangeSpec, limits};

use crate::disk::{RingBuf, RingDisk, RingFile};
use crate::fail::Failure;
use crate::place::Place;
use crate::shard::Shard;

/// Unit of writes to a growing work file, so that they stay aligned: what is left over waits for more.
const ALIGN: usize = 4096;

/// How long bytes that came wait for more before they are written and shown to the followers.
const GATHER_MAX: Duration = Duration::from_millis(4);

/// Whether the object may be brought in from elsewhere.
pub(crate) fn may_fetch(shard: &Shard, place: &Place) -> bool {
    let disabled = place.info().props.features.has(Features::DISABLE_COLD_GET);
    place.bucket.provider.is_remote()
        && !disabled
        && shard.shared.origins.as_ref().is_some_and(|o| o.serves(place.bucket.provider))
}

/// How an origin knows the bucket.
pub(crate) fn remote_bucket(place: &Place) -> RemoteBucket {
    let origin = place.info().props.origin();
    let bucket = RemoteBucket::of(&place.bucket).at(origin.endpoint.unwrap_or_default());
    bucket.in_region(origin.region.unwrap_or_default())
}

/// The object's bytes from its origin, past this node's disks.
pub(crate) async fn read_origin(
    shard: &Shard,
    place: &Place,
    range: Option<RangeSpec>,
    if_match: Option<String>,
) -> Result<OriginStream, Failure> {
    let origins = shard.shared.origins.as_ref().ok_or(Failure::Unsupported("no origin is configured"))?;
    Ok(origins.get(&remote_bucket(place), &place.name, range, if_match).await?)
}

/// What the origin says of the object.
pub(crate) async fn head_origin(shard: &Shard, place: &Place) -> Result<Record, Failure> {
    let origins = shard.shared.origins.as_ref().ok_or(Failure::Unsupported("no origin is configured"))?;
    let facts = origins.head(&remote_bucket(place), &place.name).await?;
    Ok(record_of(place, &head_of(place, &facts)))
}

/// What asking for a cold object came to.
pub(crate) enum Joined {
    /// It has arrived meanwhile.
    Present,
    /// It is on its way.
    Flight(Arc<Flight<RingFile>>),
}

/// Joins the object's flight, or starts one.
pub(crate) async fn join_or_lead(shard: &Rc<Shard>, place: &Place) -> Result<Joined, Failure> {
    let begin = Change::ColdBegin { bucket: place.bucket.clone(), name: place.name.clone() };
    match place.change(shard, begin).await? {
        Outcome::Follow(flight) => Ok(Joined::Flight(flight)),
        Outcome::Lead(lead) => {
            let flight = lead.flight().clone();
            let (owner, place) = (shard.clone(), place.clone());
            // A task of its own: it goes on when the client that began it is gone. Refused, it drops the lead and all
            // who follow fall back on the origin.
            if shard.handle.spawn(async move { fill(&owner, &place, lead).await }).is_err() {
                tracing::warn!("no room for another task: a cold read is not kept");
            }
            Ok(Joined::Flight(flight))
        }
        _ => Ok(Joined::Present),
    }
}

/// Brings the object in.
async fn fill(shard: &Shard, place: &Place, lead: Lead<RingFile>) {
    let stream = match read_origin(shard, place, None, None).await {
        Ok(stream) => stream,
        Err(failure) => return lead.fail(flight_error(&failure)),
    };
    match keep(shard, place, &lead, stream).await {
        Err(failure) => {
            tracing::warn!(bucket = %place.bucket, name = %place.name, "cold read not kept: {failure}");
            lead.fail(flight_error(&failure));
        }
        Ok((writer, head, size)) => {
            let expected = Expected { size: Some(size), checksums: Vec::new() };
            let prepared = match writer.finish(&expected).await {
                Ok(prepared) => prepared,
                Err(error) => return lead.fail(FlightError::from(&error)),
            };
            let put = Put {
                bucket: place.bucket.clone(),
                name: place.name.clone(),
                prepared,
                terms: Terms::default(),
                attrs: head.attrs,
                flight: Some(lead),
                upload: None,
            };
            if let Err(error) = place.change(shard, Change::Put(Box::new(put))).await {
                tracing::warn!(bucket = %place.bucket, name = %place.name, "cold object not committed: {error}");
            }
        }
    }
}

/// Writes the origin's bytes to a work file as they arrive and tells the followers.
async fn keep(
    shard: &Shard,
    place: &Place,
    lead: &Lead<RingFile>,
    mut stream: OriginStream,
) -> Result<(Writer<RingDisk>, FlightHead, u64), Failure> {
    let head = head_of(place, &stream.facts);
    let size = stream.facts.size;
    let volume = place.volume();
    let kinds = [place.info().props.checksum_kind()];
    let options = WriteOptions {
        size_hint: Some(size),
        durability: Durability::Relaxed,
        cached: true,
        small_in_memory: false,
        kinds: &kinds,
    };
    if volume.mountpath().space().free < size || place.is_out_of_space() {
        return Err(FlightError::NoSpace.into());
    }
    let mut writer = volume.writer(&options).await?;
    lead.begin(head.clone(), &writer);
    let mut gathered = Gathered::new(volume.disk());
    let mut next = stream.chunks.next_chunk().await?;
    while let Some(chunk) = next {
        let mut chunk = &chunk[..];
        while !chunk.is_empty() {
            chunk = &chunk[gathered.take(chunk)..];
            if gathered.is_full() {
                gathered.flush(&mut writer, volume.disk(), false).await?;
                lead.advance(writer.written());
            }
        }
        // The first bytes go on at once, later ones wait a little for others: each step costs every follower one too.
        let patience = if writer.written() == 0 { Duration::ZERO } else { GATHER_MAX };
        next = match shard.handle.timeout(patience, stream.chunks.next_chunk()).await {
            Ok(came) => came?,
            Err(_) => {
                // Nothing more is at hand: let the followers have what came.
                gathered.flush(&mut writer, volume.disk(), false).await?;
                lead.advance(writer.written());
                stream.chunks.next_chunk().await?
            }
        };
    }
    gathered.flush(&mut writer, volume.disk(), true).await?;
    lead.advance(writer.written());
    Ok((writer, head, size))
}

/// Bytes between the origin's chunks and aligned writes.
struct Gathered {
    buf: Option<RingBuf>,
    /// The one that was written last: the two take turns.
    spare: Option<RingBuf>,
    len: usize,
}

impl Gathered {
    fn new(disk: &RingDisk) -> Self {
        Self { buf: Some(whole(disk.heap(limits::IO_BUFFER_BYTES))), spare: None, len: 0 }
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let Some(room) = self.buf.as_mut().and_then(|b| b.get_mut(self.len..)) else { return 0 };
        let n = room.len().min(bytes.len());
        room[..n].copy_from_slice(&bytes[..n]);
        self.len += n;
        n
    }

    fn is_full(&self) -> bool {
        self.buf.as_ref().is_none_or(|b| b.len() == self.len)
    }

    /// Writes the aligned part, or all of it at the end.
    async fn flush(
        &mut self,
        writer: &mut Writer<RingDisk>,
        disk: &RingDisk,
        all: bool,
    ) -> Result<(), Failure> {
        let write = if all { self.len } else { self.len - self.len % ALIGN };
        if write == 0 {
            return Ok(());
        }
        let Some(mut full) = self.buf.take() else { return Ok(()) };
        let mut next = self.spare.take().unwrap_or_else(|| whole(disk.heap(limits::IO_BUFFER_BYTES)));
        let rest = self.len - write;
        next[..rest].copy_from_slice(&full[write..self.len]);
        full.set_len(write);
        let (back, written) = writer.write(full).await;
        (self.buf, self.spare) = (Some(next), Some(whole(back)));
        self.len = rest;
        Ok(written?)
    }
}

/// A buffer that can be filled to its end.
fn whole(mut buf: RingBuf) -> RingBuf {
    buf.set_len(limits::IO_BUFFER_BYTES);
    buf
}

fn flight_error(failure: &Failure) -> FlightError {
    match failure {
        failure if failure.is_not_found() => FlightError::NotFound,
        Failure::Store(error) => FlightError::from(error),
        other => FlightError::Origin(other.to_string()),
    }
}

/// The object's metadata as it will be committed.
pub(crate) fn head_of(place: &Place, facts: &OriginObject) -> FlightHead {
    let mut custom = CustomMeta::default();
    for (key, value) in &facts.user {
        // What this node could not keep is left out; the origin still has it.
        if let Err(error) = custom.set(key.clone(), value.clone()) {
            tracing::debug!(name = %place.name, "origin's metadata left out: {error}");
        }
    }
    let remote = RemoteIdentity {
        provider: place.bucket.provider,
        etag: facts.etag.clone(),
        version: facts.version.clone(),
        modified_ns: facts.last_modified.and_then(since_1970),
    };
    let c = facts.content.clone();
    let content = ContentHeaders {
        content_type: c.content_type,
        encoding: c.encoding,
        disposition: c.disposition,
        language: c.language,
        cache_control: c.cache_control,
        expires: c.expires,
    };
    let attrs = Attrs {
        custom,
        content,
        etag: facts.etag.clone().map(Etag::Text),
        modified_ns: remote.modified_ns,
        remote: Some(remote),
        version: VersionRule::Next,
        moved: None,
    };
    FlightHead { size: Some(facts.size), attrs }
}

/// The record of an object that is not committed yet.
pub(crate) fn record_of(place: &Place, head: &FlightHead) -> Record {
    let attrs = head.attrs.clone();
    Record {
        size: head.size.unwrap_or(0),
        modified_ns: attrs.modified_ns.unwrap_or(0),
        custom: attrs.custom,
        content: attrs.content,
        etag: attrs.etag,
        remote: attrs.remote,
        copies: 0,
        name: Some(place.name.clone()),
        ..Record::default()
    }
}

/// Whether both are one version of the object.
pub(crate) fn is_same(here: &Record, there: &Record) -> bool {
    let identity = |r: &Record| r.remote.as_ref().map(|r| (r.etag.clone(), r.version.clone()));
    here.size == there.size && identity(here) == identity(there)
}

fn since_1970(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|d| d.as_nanos() as u64)
}
