//! A body on its way from the origin to the channel. What is sent is right or nothing: a stream that breaks is taken up
//! where it broke, from the same version of the object or not at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_channel::{mpsc, oneshot};
use futures_util::SinkExt;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use weir_types::checksum::Hasher;
use weir_types::limits::{ORIGIN_CHUNK_BYTES_MAX, ORIGIN_RESUMES_MAX};
use weir_types::{ByteRange, ObjectName, RangeSpec};

use super::answer::About;
use super::client::{Client, chain};
use super::facts;
use super::get::Piece;
use crate::endpoint::Endpoint;
use crate::{OriginError, OriginObject, RemoteBucket};

/// One stream.
pub(super) struct Pump {
    pub(super) client: Arc<Client>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) bucket: RemoteBucket,
    pub(super) object: ObjectName,
    pub(super) facts: OriginObject,
    pub(super) range: ByteRange,
    /// Bytes of `range` that are in the channel.
    pub(super) sent: u64,
    pub(super) resumes: u32,
    /// Runs along when the origin gave a checksum of the whole object.
    pub(super) hasher: Option<Hasher>,
    pub(super) sender: mpsc::Sender<Piece>,
    /// One of the streams that may run at once.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Why a stream ends before its last byte.
enum End {
    /// Nobody reads any more.
    Unread,
    /// The reader is told.
    Error(OriginError),
}

impl Pump {
    /// Runs to the end, to an error, or until the reader has gone.
    pub(super) async fn run(mut self, body: Incoming, gone: oneshot::Receiver<()>) {
        let end = tokio::select! {
            end = self.deliver(body) => end,
            _ = gone => Err(End::Unread),
        };
        if let Err(End::Error(error)) = end {
            self.client.core.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%error, "origin stream");
            // A reader that has gone needs no error.
            drop(self.sender.send(Err(error)).await);
        }
        drop(self.permit);
    }

    async fn deliver(&mut self, mut body: Incoming) -> Result<(), End> {
        while self.sent < self.range.len {
            match self.piece(&mut body).await {
                Ok(bytes) => self.send(bytes).await?,
                Err(why) => body = self.resume(why).await.map_err(End::Error)?,
            }
        }
        self.verify().map_err(End::Error)
    }

    /// The next bytes of the body, or in words why there are none.
    async fn piece(&mut self, body: &mut Incoming) -> Result<Bytes, String> {
        let stall_max = self.client.core.config.stall_max;
        let frame = tokio::time::timeout(stall_max, body.frame());
        let frame = frame.await.map_err(|_| format!("no byte within {stall_max:?}"))?;
        let bytes = match frame {
            None => return Err("the body ended early".into()),
            Some(Err(error)) => return Err(chain(&error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let left = self.range.len - self.sent;
        if bytes.len() as u64 > left {
            return Err(format!("{} bytes where {left} were left", bytes.len()));
        }
        Ok(bytes)
    }

    /// Hands bytes over in pieces that fit a buffer, waiting for room.
    async fn send(&mut self, mut bytes: Bytes) -> Result<(), End> {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes);
        }
        self.client.core.counters.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(ORIGIN_CHUNK_BYTES_MAX));
            let len = piece.len() as u64;
            let last = self.sent + len == self.range.len;
            // The last piece waits for the checksum: whoever has all bytes has the right ones.
            if last {
                self.verify().map_err(End::Error)?;
            }
            self.sender.send(Ok(piece)).await.map_err(|_| End::Unread)?;
            self.sent += len;
        }
        Ok(())
    }

    /// Another body, of the same version, from the first byte that was not sent.
    async fn resume(&mut self, why: String) -> Result<Incoming, OriginError> {
        let etag = self.facts.etag.as_deref().filter(|e| facts::quoted_etag(e).is_some());
        let Some(etag) = etag.filter(|_| self.resumes < ORIGIN_RESUMES_MAX) else {
            return Err(self.broken(why));
        };
        self.resumes += 1;
        self.client.core.counters.resumes.fetch_add(1, Ordering::Relaxed);
        let first = self.range.start + self.sent;
        let last = self.range.start + self.range.len - 1;
        let range = Some(RangeSpec::From(first, Some(last)));
        tracing::debug!(bucket = %self.bucket.name, object = %self.object, first, why, "taking an origin stream up again");
        match self.client.open(&self.endpoint, &self.bucket, &self.object, range, Some(etag)).await {
            Ok((now, sent, response)) if now.size == self.facts.size && sent.start == first => {
                Ok(response.into_body())
            }
            // The same ETag over another size: whatever it is, it is not the same object.
            Ok(_) | Err(OriginError::NotFound { .. } | OriginError::Range { .. }) => Err(self.changed(etag)),
            Err(error @ OriginError::Changed { .. }) => Err(error),
            Err(error) => Err(self.broken(format!("{why}; then {error}"))),
        }
    }

    /// The running checksum against the origin's, once, when all bytes are through.
    fn verify(&mut self) -> Result<(), OriginError> {
        let (Some(hasher), Some(expected)) = (self.hasher.take(), &self.facts.checksum) else {
            return Ok(());
        };
        let got = hasher.finish();
        if got == *expected {
            return Ok(());
        }
        let (kind, place) = (expected.kind.as_str(), self.place());
        Err(OriginError::Checksum { place, kind, got: got.hex(), expected: expected.hex() })
    }

    fn place(&self) -> String {
        About::object(&self.bucket, self.object.as_str()).place()
    }

    fn changed(&self, etag: &str) -> OriginError {
        OriginError::Changed { place: self.place(), expected: etag.to_owned() }
    }

    fn broken(&self, got: String) -> OriginError {
        OriginError::Broken { place: self.place(), at: self.sent, expected: self.range.len, got }
    }
}
