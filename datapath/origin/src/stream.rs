use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::{Stream, StreamExt};
use weir_types::ByteRange;

use crate::{OriginError, OriginObject};

/// An object's bytes on their way: the head has come, the body follows.
#[derive(Debug)]
pub struct OriginStream {
    /// What the origin says of the object.
    pub facts: OriginObject,
    /// The bytes that `chunks` will carry, of the object's `facts.size`: all of them unless a range was asked.
    pub range: ByteRange,
    /// The bytes, in order.
    pub chunks: Chunks,
}

/// The body: chunks of 1 to `ORIGIN_CHUNK_BYTES_MAX` bytes, at most `chunks_max` of them buffered.
/// It ends with `None` after exactly `range.len` bytes, or with one error. What came before an error is right as far as
/// it goes, except before [`OriginError::Checksum`]; the last chunk is handed over only when the checksum agrees. Dropping it ends the origin's stream.
#[derive(Debug)]
pub struct Chunks {
    pub(crate) receiver: mpsc::Receiver<Result<Bytes, OriginError>>,
    pub(crate) left: u64,
    /// Its end tells the origin's side at once that nobody reads, also while it waits for bytes.
    #[expect(dead_code, reason = "held for its drop")]
    pub(crate) alive: oneshot::Sender<()>,
}

impl Chunks {
    /// The next chunk; `Ok(None)` when all have come.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, OriginError> {
        self.next().await.transpose()
    }

    /// Bytes that have not come yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Stream for Chunks {
    type Item = Result<Bytes, OriginError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = match self.receiver.poll_next_unpin(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(item) => item,
        };
        match item {
            Some(Ok(chunk)) => {
                self.left -= chunk.len() as u64;
                Poll::Ready(Some(Ok(chunk)))
            }
            Some(Err(error)) => {
                self.left = 0;
                Poll::Ready(Some(Err(error)))
            }
            // The sending side goes away before the last byte only when the threads are stopped.
            None if self.left > 0 => {
                self.left = 0;
                Poll::Ready(Some(Err(OriginError::Stopped)))
            }
            None => Poll::Ready(None),
        }
    }
}
