//! Writing an object: a body into a work file, then one change for the committer.

use futures_util::future::join;
use weir_store::{
    Attrs, Buffer as _, Change, Committed, Disk as _, Durability, Expected, Outcome, Prepared, Put,
    StoreError, Terms, WriteOptions, Writer,
};
use weir_types::{ChecksumKind, limits};

use crate::body::Body;
use crate::conn::Conn;
use crate::disk::{RingBuf, RingDisk, RingFile};
use crate::fail::Failure;
use crate::get;
use crate::place::Place;
use crate::shard::Shard;

/// Refuses what cannot end well before a byte of the body is read.
pub(crate) fn admit(place: &Place, announced: Option<u64>) -> Result<(), Failure> {
    if place.bucket.provider.is_remote() {
        return Err(Failure::Unsupported("writing to a remote bucket is not supported yet"));
    }
    let mountpath = place.volume().mountpath();
    if let Some(why) = mountpath.poisoned() {
        return Err(StoreError::Poisoned(why.to_owned()).into());
    }
    let no_space = |operation| {
        let disk = weir_store::DiskError::of_file(operation, weir_store::DiskErrorKind::NoSpace);
        Err(StoreError::NoSpace(disk).into())
    };
    if place.is_out_of_space() {
        return no_space("write above space.out_of_space");
    }
    if announced.unwrap_or(0) > mountpath.space().free {
        return no_space("allocate");
    }
    Ok(())
}

/// The checksums a PUT computes: the bucket's first, then what else is asked for, each once.
pub(crate) fn kinds(place: &Place, more: impl IntoIterator<Item = ChecksumKind>) -> Vec<ChecksumKind> {
    let mut kinds = vec![place.info().props.checksum_kind()];
    for kind in more {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}

/// How the bytes of an object are written whose size may be known.
pub(crate) fn options(
    size_hint: Option<u64>,
    durability: Durability,
    kinds: &[ChecksumKind],
) -> WriteOptions<'_> {
    WriteOptions { size_hint, durability, cached: false, small_in_memory: true, kinds }
}

/// Receives a body into a work file: while one buffer is written the next is filled.
pub(crate) async fn receive(
    shard: &Shard,
    conn: &mut Conn,
    body: &mut Body,
    place: &Place,
    durability: Durability,
    kinds: &[ChecksumKind],
) -> Result<Writer<RingDisk>, Failure> {
    let volume = place.volume();
    let mut writer = volume.writer(&options(body.announced(), durability, kinds)).await?;
    let want =
        body.announced().map_or(limits::IO_BUFFER_BYTES, |n| (n as usize).clamp(1, limits::IO_BUFFER_BYTES));
    let mut filled = fill(conn, body, volume.disk(), want).await?;
    while !filled.is_empty() {
        if body.at_end() {
            writer.write(filled).await.1?;
            break;
        }
        // The written buffer goes back to the pool at once: nobody waits for a buffer while holding one.
        let write = async { writer.write(filled).await.1 };
        let (written, next) = join(write, fill(conn, body, volume.disk(), limits::IO_BUFFER_BYTES)).await;
        written?;
        filled = next?;
    }
    shard.metrics.bytes_in.fetch_add(body.received(), std::sync::atomic::Ordering::Relaxed);
    Ok(writer)
}

async fn fill(conn: &mut Conn, body: &mut Body, disk: &RingDisk, bytes: usize) -> Result<RingBuf, Failure> {
    let mut buf = disk.buffer(bytes).await.map_err(StoreError::from)?;
    buf.set_len(bytes.min(buf.capacity()));
    let (mut buf, n) = body.fill(conn, buf.0, 0).await?;
    buf.set_len(n);
    Ok(RingBuf(buf))
}

/// Names what was written.
pub(crate) async fn commit(
    shard: &Shard,
    place: &Place,
    prepared: Prepared<RingFile>,
    attrs: Attrs,
    terms: Terms,
    upload: Option<String>,
) -> Result<Committed, Failure> {
    let put = Put {
        bucket: place.bucket.clone(),
        name: place.name.clone(),
        prepared,
        terms,
        attrs,
        flight: None,
        upload,
    };
    match place.change(shard, Change::Put(Box::new(put))).await? {
        Outcome::Committed(committed) => Ok(committed),
        _ => Err(StoreError::Abandoned("the committer answered something else than a commit").into()),
    }
}

/// Copies `range` of an object into a work file of another place.
pub(crate) async fn copy_in(
    source: &get::Whole<'_>,
    range: weir_types::ByteRange,
    to: &Place,
    kinds: &[ChecksumKind],
) -> Result<Prepared<RingFile>, Failure> {
    let volume = to.volume();
    let mut writer = volume.writer(&options(Some(range.len), to.durability(), kinds)).await?;
    let disk = volume.disk().clone();
    // Pieces of a range need not be aligned; writes must be, so they pass through whole buffers.
    let mut full = Some(disk.heap(limits::IO_BUFFER_BYTES));
    source
        .read(range, async |piece, bytes| {
            let mut bytes = piece.get(bytes).unwrap_or_default();
            while !bytes.is_empty() {
                let Some(mut buf) = full.take() else { break };
                let at = buf.len();
                let n = bytes.len().min(limits::IO_BUFFER_BYTES - at);
                buf.set_len(at + n);
                buf[at..].copy_from_slice(&bytes[..n]);
                bytes = &bytes[n..];
                if buf.len() == limits::IO_BUFFER_BYTES {
                    let (back, written) = writer.write(buf).await;
                    written?;
                    buf = back;
                    buf.set_len(0);
                }
                full = Some(buf);
            }
            Ok(())
        })
        .await?;
    if let Some(rest) = full.filter(|b| !b.is_empty()) {
        writer.write(rest).await.1?;
    }
    Ok(writer.finish(&Expected { size: Some(range.len), checksums: Vec::new() }).await?)
}
