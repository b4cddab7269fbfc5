//! A request's body, whatever carries it: counted bytes, HTTP chunks, and S3's own chunks inside either.
//!
//! Counted bytes are received straight into the caller's buffer; chunked ones pass through the connection's inbox
//! and are copied once.

use weir_http::{ChunkDecoder, Framing, HttpError};
use weir_ring::Buf;
use weir_s3::S3Error;
use weir_s3::chunked::{ChunkVerifier, ChunkedBody, Trailers};

use crate::conn::{Conn, ConnError, full};
use crate::pace::Pace;

/// What a body that is decoded is received in at a time.
const INBOX_BYTES: usize = 64 << 10;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The connection ended or stalled: there is nobody to answer.
    #[error(transparent)]
    Conn(#[from] ConnError),
    /// The framing is wrong: answer and close.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// S3's own framing or a chunk signature is wrong.
    #[error(transparent)]
    S3(#[from] S3Error),
}

enum Transport {
    Counted { left: u64 },
    Chunked { decoder: Box<ChunkDecoder>, done: bool },
}

struct Aws {
    decoder: ChunkedBody,
    verifier: Box<dyn ChunkVerifier>,
}

/// A body being read.
pub(crate) struct Body {
    transport: Transport,
    aws: Option<Aws>,
    announced: Option<u64>,
    unasked: bool,
    got: u64,
    pace: Pace,
}

impl Body {
    /// A body framed as its head says.
    pub(crate) fn new(framing: Framing, expects_continue: bool) -> Self {
        let (transport, announced) = match framing {
            Framing::None => (Transport::Counted { left: 0 }, Some(0)),
            Framing::Length(n) => (Transport::Counted { left: n }, Some(n)),
            Framing::Chunked => (Transport::Chunked { decoder: Box::default(), done: false }, None),
        };
        Self { transport, aws: None, announced, unasked: expects_continue, got: 0, pace: Pace::new() }
    }

    /// Unwraps S3's chunks inside, `announced` payload bytes of them.
    pub(crate) fn unwrap_aws(
        &mut self,
        decoder: ChunkedBody,
        verifier: Box<dyn ChunkVerifier>,
        announced: Option<u64>,
    ) {
        self.aws = Some(Aws { decoder, verifier });
        self.announced = announced;
    }

    /// Payload bytes, where the client announced them.
    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Payload bytes read so far.
    pub(crate) fn received(&self) -> u64 {
        self.got
    }

    /// Trailers of S3's chunks; an error when those chunks ended early.
    pub(crate) fn aws_trailers(&mut self) -> Result<Trailers, S3Error> {
        self.aws.take().map_or(Ok(Trailers::default()), |aws| aws.decoder.finish())
    }

    /// Whether the transport's last byte was read, so that another request may follow on the connection.
    pub(crate) fn at_end(&self) -> bool {
        match &self.transport {
            Transport::Counted { left } => *left == 0,
            Transport::Chunked { done, .. } => *done,
        }
    }

    /// Whether the client still waits to be told to send: it then may send its next request instead.
    pub(crate) fn is_unasked(&self) -> bool {
        self.unasked && !self.at_end()
    }

    /// Receives payload into `buf[at..]` until it is full or the body ends; gives the new fill.
    pub(crate) async fn fill(
        &mut self,
        conn: &mut Conn,
        mut buf: Buf,
        mut at: usize,
    ) -> Result<(Buf, usize), BodyError> {
        if std::mem::take(&mut self.unasked) && !self.at_end() && conn.pending().is_empty() {
            conn.send_bytes(weir_http::CONTINUE).await?;
        }
        while at < buf.len() && !self.payload_ended() {
            let (before, asked) = (at, conn.handle.now());
            match &mut self.transport {
                Transport::Counted { left } if self.aws.is_none() && conn.pending().is_empty() => {
                    let want = room(*left, buf.len() - at);
                    let n;
                    (n, buf) = conn.recv(buf, at, want, self.pace.within()).await?;
                    self.pace.received(n, conn.handle.now() - asked);
                    *left -= n as u64;
                    at += n;
                }
                _ => {
                    let out = buf.get_mut(at..).unwrap_or_default();
                    match self.decode(conn, out)? {
                        Decoded::Bytes(n) => at += n,
                        Decoded::NeedsMore => {
                            let n = conn.more(self.pace.within(), INBOX_BYTES).await?;
                            self.pace.received(n, conn.handle.now() - asked);
                        }
                    }
                }
            }
            self.got += (at - before) as u64;
        }
        Ok((buf, at))
    }

    fn payload_ended(&self) -> bool {
        // The transport may have a last chunk or trailing bytes after S3's last one: they are read too.
        self.at_end()
    }

    /// Decodes what is pending into `out`.
    fn decode(&mut self, conn: &mut Conn, out: &mut [u8]) -> Result<Decoded, BodyError> {
        let pending = conn.pending();
        let (framing, data, ended) = match &mut self.transport {
            Transport::Counted { left } => {
                (0, pending.get(..room(*left, pending.len())).unwrap_or_default(), false)
            }
            Transport::Chunked { decoder, .. } => {
                let step = decoder.decode(pending)?;
                (step.framing, step.data, step.end)
            }
        };
        let offered = data.get(..out.len().min(data.len())).unwrap_or_default();
        let (used, written) = match &mut self.aws {
            None => {
                copy(out, offered);
                (offered.len(), offered.len())
            }
            Some(aws) => {
                if aws.decoder.done() && !offered.is_empty() {
                    return Err(S3Error::from(weir_s3::S3Code::IncompleteBody).into());
                }
                let step = aws.decoder.step(offered, aws.verifier.as_mut())?;
                let payload = offered.get(step.data).unwrap_or_default();
                copy(out, payload);
                (step.used, payload.len())
            }
        };
        match &mut self.transport {
            Transport::Counted { left } => *left -= used as u64,
            Transport::Chunked { decoder, done } => {
                decoder.took(used);
                *done = ended;
            }
        }
        conn.consume(framing + used);
        if framing + used == 0 && !ended { Ok(Decoded::NeedsMore) } else { Ok(Decoded::Bytes(written)) }
    }

    /// The whole payload; `None` if there is more than `max` bytes of it.
    pub(crate) async fn read_all(
        &mut self,
        conn: &mut Conn,
        max: usize,
    ) -> Result<Option<Vec<u8>>, BodyError> {
        if self.announced.is_some_and(|n| n > max as u64) {
            return Ok(None);
        }
        let mut all = Vec::new();
        while !self.at_end() {
            let want = self.announced.map_or(8 << 10, |n| (n as usize).saturating_sub(all.len()));
            let buf = full(conn.handle.buffers().heap(want.clamp(1 << 10, 64 << 10)));
            let (buf, n) = self.fill(conn, buf, 0).await?;
            all.extend_from_slice(buf.get(..n).unwrap_or_default());
            if all.len() > max {
                return Ok(None);
            }
        }
        Ok(Some(all))
    }

    /// Reads what is left of a body that nobody wants, if it is no more than `max` bytes.
    pub(crate) async fn discard(&mut self, conn: &mut Conn, max: u64) -> Result<bool, BodyError> {
        self.aws = None;
        let limit = self.got + max;
        while !self.at_end() {
            if self.got >= limit || self.is_unasked() {
                return Ok(false);
            }
            let buf = full(conn.handle.buffers().heap(64 << 10));
            self.fill(conn, buf, 0).await?;
        }
        Ok(true)
    }
}

enum Decoded {
    Bytes(usize),
    NeedsMore,
}

fn room(left: u64, len: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(len)
}

fn copy(to: &mut [u8], from: &[u8]) {
    if let Some(to) = to.get_mut(..from.len()) {
        to.copy_from_slice(from);
    }
}
