//! The aws-chunked decoder: incremental over slices, no copy of the data, every part bounded.
//!
//! ```text
//! chunk   = hex-size [";chunk-signature=" hex] CRLF data CRLF
//! last    = "0" [";chunk-signature=" hex] CRLF *(trailer) CRLF
//! trailer = name ":" value [CR] LF        the last may be x-amz-trailer-signature
//! ```

use std::ops::Range;

use weir_types::limits::{CHUNK_LINE_BYTES_MAX, TRAILER_BYTES_MAX};

use crate::body::Framing;
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{Expected, FlexibleKind};

/// Checks the chain of signatures of a signed body; the credential lives elsewhere.
pub trait ChunkVerifier {
    /// The next bytes of the running chunk.
    fn data(&mut self, bytes: &[u8]);
    /// The running chunk (of all data since the last call, none for the last one) ends: `signature` is what it carried.
    fn chunk(&mut self, signature: &str) -> Result<()>;
    /// The trailer ends: `canonical` is `name:value\n` of each line, `signature` what it carried.
    fn trailer(&mut self, canonical: &[u8], signature: &str) -> Result<()>;
}

/// For bodies that are not signed, and for servers without credentials.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unverified;

impl ChunkVerifier for Unverified {
    fn data(&mut self, _: &[u8]) {}
    fn chunk(&mut self, _: &str) -> Result<()> {
        Ok(())
    }
    fn trailer(&mut self, _: &[u8], _: &str) -> Result<()> {
        Ok(())
    }
}

/// Trailers of a body: names in lower case, values trimmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trailers(Vec<(String, String)>);

impl Trailers {
    /// Trailers of given names and values.
    pub fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(n, v)| (n.to_ascii_lowercase(), (*v).to_owned())).collect())
    }

    /// Every trailer as (name, value).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a trailer by its name in lower case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The checksum that was announced for the trailer.
    pub fn checksum(&self, kind: FlexibleKind) -> Result<Expected> {
        match self.value(kind.header()) {
            Some(value) => Ok(Expected { kind, wire: value.to_owned() }),
            None => Err(S3Error::new(
                S3Code::MalformedTrailerError,
                format!("expected the trailer {}", kind.header()),
            )),
        }
    }
}

/// What one step of the decoder did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that are done with, the data among them. Begin the next step after them.
    pub used: usize,
    /// Where in the input the object's bytes of this step are; may be empty.
    pub data: Range<usize>,
}

/// Decoder of one body. Feed it what arrives until [`ChunkedBody::done`]; then take the trailers.
#[derive(Debug)]
pub struct ChunkedBody {
    state: State,
    /// The control line being gathered across inputs.
    line: Vec<u8>,
    /// Signature of the running chunk.
    signature: String,
    /// Decoded bytes still to come.
    left: u64,
    signed: bool,
    /// Whether trailers may follow.
    trailer: bool,
    trailers: Trailers,
    trailer_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    /// Bytes of the running chunk still to come.
    Data(u64),
    DataEnd,
    Trailer,
    Done,
}

const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";

fn malformed(what: &'static str) -> S3Error {
    S3Error::new(S3Code::InvalidRequest, format!("the aws-chunked body is malformed: {what}"))
}

impl ChunkedBody {
    /// A decoder for a body of this framing; `None` if it is plain.
    pub fn new(framing: Framing) -> Option<Self> {
        let Framing::AwsChunked { decoded, signed, trailer } = framing else { return None };
        Some(Self {
            state: State::Size,
            line: Vec::new(),
            signature: String::new(),
            left: decoded,
            signed,
            trailer,
            trailers: Trailers::default(),
            trailer_bytes: 0,
        })
    }

    /// Whether the body is complete. Bytes after it are not part of it: the caller refuses them.
    pub fn done(&self) -> bool {
        self.state == State::Done
    }

    /// Consumes control bytes up to and including the next run of data, or to the end of the input.
    pub fn step<V: ChunkVerifier + ?Sized>(&mut self, input: &[u8], verifier: &mut V) -> Result<Step> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            let rest = input.get(at..).unwrap_or_default();
            if let State::Data(left) = self.state {
                let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let data = rest.get(..n).unwrap_or_default();
                verifier.data(data);
                self.left -= n as u64;
                self.state = if n as u64 == left { State::DataEnd } else { State::Data(left - n as u64) };
                return Ok(Step { used: at + n, data: at..at + n });
            }
            let (used, whole) = self.gather(rest)?;
            at += used;
            if whole {
                let line = std::mem::take(&mut self.line);
                self.control(&line, verifier)?;
                // Keep the allocation for the next line.
                self.line = line;
                self.line.clear();
            }
        }
        Ok(Step { used: at, data: at..at })
    }

    /// The trailers of a complete body, `IncompleteBody` of one that ended early.
    pub fn finish(self) -> Result<Trailers> {
        if self.done() { Ok(self.trailers) } else { Err(S3Code::IncompleteBody.into()) }
    }

    /// Adds to the control line up to its LF; tells how much was taken and whether the line is whole.
    fn gather(&mut self, rest: &[u8]) -> Result<(usize, bool)> {
        let lf = rest.iter().position(|b| *b == b'\n');
        let taken = lf.map_or(rest.len(), |i| i + 1);
        let line_max = match self.state {
            State::DataEnd => 2,
            State::Trailer => TRAILER_BYTES_MAX.saturating_sub(self.trailer_bytes),
            _ => CHUNK_LINE_BYTES_MAX,
        };
        if self.line.len() + taken > line_max {
            return Err(malformed("a control line is too long"));
        }
        self.line.extend_from_slice(rest.get(..taken).unwrap_or_default());
        Ok((taken, lf.is_some()))
    }

    fn control<V: ChunkVerifier + ?Sized>(&mut self, line: &[u8], verifier: &mut V) -> Result<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let stripped = line.strip_suffix(b"\r");
        match self.state {
            State::Size => {
                self.begin(stripped.ok_or_else(|| malformed("a size line ends without CRLF"))?, verifier)
            }
            State::DataEnd => match stripped {
                Some([]) => {
                    self.end_chunk(verifier)?;
                    self.state = State::Size;
                    Ok(())
                }
                _ => Err(malformed("a chunk does not end with CRLF")),
            },
            State::Trailer => self.trailer_line(stripped.unwrap_or(line), verifier),
            // Neither reads lines.
            State::Data(_) | State::Done => Ok(()),
        }
    }

    fn begin<V: ChunkVerifier + ?Sized>(&mut self, line: &[u8], verifier: &mut V) -> Result<()> {
        let line = std::str::from_utf8(line).map_err(|_| malformed("a size line is not text"))?;
        let (size, extension) = line.split_once(';').unwrap_or((line, ""));
        let digits = (1..=16).contains(&size.len()) && size.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(size, 16).ok().filter(|_| digits);
        let size = size.ok_or_else(|| malformed("a chunk's size is not a number in hex"))?;
        self.signature.clear();
        match extension.strip_prefix("chunk-signature=") {
            Some(signature) => self.signature.push_str(signature),
            None if self.signed => return Err(malformed("a chunk has no signature")),
            None => {}
        }
        if size > self.left {
            return Err(S3Error::new(
                S3Code::InvalidRequest,
                "more bytes arrived than x-amz-decoded-content-length",
            ));
        }
        if size > 0 {
            self.state = State::Data(size);
            return Ok(());
        }
        if self.left > 0 {
            return Err(S3Code::IncompleteBody.into());
        }
        self.end_chunk(verifier)?;
        self.state = State::Trailer;
        Ok(())
    }

    fn end_chunk<V: ChunkVerifier + ?Sized>(&mut self, verifier: &mut V) -> Result<()> {
        if self.signed { verifier.chunk(&self.signature) } else { Ok(()) }
    }

    fn trailer_line<V: ChunkVerifier + ?Sized>(&mut self, line: &[u8], verifier: &mut V) -> Result<()> {
        self.trailer_bytes += line.len() + 2;
        let bad = || S3Error::from(S3Code::MalformedTrailerError);
        if line.is_empty() {
            return self.end_trailer(verifier);
        }
        if !self.trailer
            || self.trailer_bytes >= TRAILER_BYTES_MAX
            || self.trailers.value(TRAILER_SIGNATURE).is_some()
        {
            return Err(bad());
        }
        let text = std::str::from_utf8(line).map_err(|_| bad())?;
        let (name, value) = text.split_once(':').ok_or_else(bad)?;
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || self.trailers.value(&name).is_some() {
            return Err(bad());
        }
        self.trailers.0.push((name, value.trim().to_owned()));
        Ok(())
    }

    fn end_trailer<V: ChunkVerifier + ?Sized>(&mut self, verifier: &mut V) -> Result<()> {
        let signature = self.trailers.value(TRAILER_SIGNATURE).map(str::to_owned);
        self.trailers.0.retain(|(name, _)| name != TRAILER_SIGNATURE);
        if self.signed && self.trailer {
            let signature = signature
                .ok_or_else(|| S3Error::new(S3Code::MalformedTrailerError, "the trailer has no signature"))?;
            let canonical: String = self.trailers.0.iter().map(|(n, v)| format!("{n}:{v}\n")).collect();
            verifier.trailer(canonical.as_bytes(), &signature)?;
        }
        self.state = State::Done;
        Ok(())
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
