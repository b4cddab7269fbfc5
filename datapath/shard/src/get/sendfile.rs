//! What is in the page cache and was checked there: from the page cache to the socket within the kernel.

use weir_types::ByteRange;

use super::out::Outgoing;
use crate::conn::{BULK_BYTES_MIN, Conn, ConnError};
use crate::disk::{Residency, RingFile};
use crate::fail::Failure;
use crate::opened::Opened;

/// Sent in one turn. A client on another core takes bytes while they are sent, so the socket's buffer alone bounds nothing: without
/// this one answer of 16 MiB goes out in one call, and all others wait for it.
const TURN_BYTES_MAX: u64 = 1 << 20;

/// Sends a range of an object; gives what is left when the page cache turns out to have it no more.
pub(super) async fn send(
    out: &mut Outgoing<'_>,
    opened: &Opened,
    range: ByteRange,
) -> Result<Option<ByteRange>, Failure> {
    let Some(file) = opened.object.file() else { return Ok(Some(range)) };
    out.head_alone().await?;
    let mut rest = range;
    let done = body(out.conn, opened, file, &mut rest).await;
    out.sent += range.len - rest.len;
    done?;
    Ok((rest.len > 0).then_some(rest))
}

/// Sends what is left of a body; stops where the page cache does not have it, and lets no later request rely on it.
pub(super) async fn body(
    conn: &Conn,
    opened: &Opened,
    file: &RingFile,
    rest: &mut ByteRange,
) -> Result<(), Failure> {
    while rest.len > 0 {
        if rest.len > BULK_BYTES_MIN as u64 {
            conn.handle.bulk_turn().await;
        }
        let turn = rest.len.min(TURN_BYTES_MAX);
        // Asked each time, since time passes while the client takes the bytes.
        if file.residency_of_all(rest.start, turn) != Residency::Whole {
            opened.checked.set(false);
            return Ok(());
        }
        file.set_direct(false).map_err(weir_store::StoreError::from)?;
        match conn.send_file(file.fd(), rest.start, turn)? {
            Some(0) => return Err(ConnError::Closed.into()),
            Some(sent) => {
                *rest = ByteRange { start: rest.start + sent as u64, len: rest.len - sent as u64 };
            }
            None => conn.writable().await?,
        }
    }
    Ok(())
}
