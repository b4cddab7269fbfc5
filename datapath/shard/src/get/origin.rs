//! Bytes straight from the origin.

use weir_origin::Chunks;

use super::out::Outgoing;
use crate::disk::RingBuf;
use crate::fail::Failure;

/// Sends what the origin sends.
pub(super) async fn body(out: &mut Outgoing<'_>, mut chunks: Chunks) -> Result<(), Failure> {
    while let Some(chunk) = chunks.next_chunk().await? {
        let mut buf = RingBuf(out.conn.handle.buffers().heap(chunk.len()));
        buf.0.set_len(chunk.len());
        buf.copy_from_slice(&chunk);
        let len = chunk.len();
        out.send(buf, 0..len).await?;
    }
    Ok(())
}
