//! Bytes that pass through our buffers and are checked: past the page cache or through it, the next piece while the last
//! one is sent.

use futures_util::future::join;
use weir_types::ByteRange;

use super::out::Outgoing;
use crate::disk::Residency;
use crate::fail::Failure;
use crate::opened::Opened;
use crate::shard::Shard;

/// Sends a range of an object through the page cache. Once all of an object went so, every block was checked there.
pub(super) async fn cached(out: &mut Outgoing<'_>, opened: &Opened, range: ByteRange) -> Result<(), Failure> {
    through_cache(opened, true)?;
    pieces(out, opened, range).await?;
    if range == opened.object.all() {
        opened.checked.set(true);
    }
    Ok(())
}

/// Sends a range of an object past the page cache.
pub(super) async fn direct(out: &mut Outgoing<'_>, opened: &Opened, range: ByteRange) -> Result<(), Failure> {
    through_cache(opened, false)?;
    pieces(out, opened, range).await
}

async fn pieces(out: &mut Outgoing<'_>, opened: &Opened, range: ByteRange) -> Result<(), Failure> {
    let object = &opened.object;
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

/// The same past the page cache and without copying. Where the kernel copies all the same, later reads of the shard do
/// not try.
pub(super) async fn zero_copy(
    shard: &Shard,
    out: &mut Outgoing<'_>,
    opened: &Opened,
    range: ByteRange,
) -> Result<(), Failure> {
    through_cache(opened, false)?;
    let object = &opened.object;
    let mut next = object.chunks(range);
    let Some(first) = next.next() else { return Ok(()) };
    let mut piece = Some(object.read(first).await?);
    while let Some(now) = piece.take() {
        let bytes = now.from..now.to;
        let reading = async {
            match next.next() {
                Some(chunk) => object.read(chunk).await.map(Some),
                None => Ok(None),
            }
        };
        let (copied, read) = join(out.send_zero_copy(now.buf, bytes), reading).await;
        if copied? && shard.zero_copy.replace(false) {
            tracing::info!(
                shard = shard.index,
                "the kernel copies what is sent without copying: plain sends from here on"
            );
        }
        piece = read?;
    }
    Ok(())
}

/// Sets the way of a read that is not for a client at once: through the page cache if the bytes are there.
pub(super) fn choose_way(opened: &Opened, range: ByteRange) -> Result<(), Failure> {
    let Some(file) = opened.object.file() else { return Ok(()) };
    let there = range.len > 0 && file.residency(range.start, range.len) == Residency::Whole;
    through_cache(opened, there)
}

fn through_cache(opened: &Opened, cached: bool) -> Result<(), Failure> {
    if let Some(file) = opened.object.file() {
        file.set_direct(!cached).map_err(weir_store::StoreError::from)?;
    }
    Ok(())
}
