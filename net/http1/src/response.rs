//! Response heads. No value can break out of its line: what would is refused, and nothing of such a head remains.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use crate::target::is_token;
use crate::{HttpError, reason};

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What follows the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The last chunk and an empty trailer section.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Writes the size line of a chunk of `len` bytes. An empty chunk would end the body, so for it nothing is written.
pub fn write_chunk_head(out: &mut Vec<u8>, len: usize) {
    if len > 0 {
        // Writing to memory does not fail.
        let _ = write!(out, "{len:x}\r\n");
    }
}

/// How the body of a response is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyLength {
    /// By its status there is none, nor a length: 1xx, 204, 304.
    Absent,
    /// So many bytes; also what a HEAD would have got.
    Length(u64),
    /// In chunks. Never to a client that speaks HTTP/1.0.
    Chunked,
}

/// Writer of one response head into a buffer, behind what the buffer already holds. A head that is not
/// [finished](Self::finish) leaves nothing behind.
///
/// `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` have methods of their own and are refused as fields.
#[derive(Debug)]
pub struct ResponseHead<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'o> ResponseHead<'o> {
    /// Starts a head; the version is always HTTP/1.1 (RFC 9110, 6.2).
    pub fn new(out: &'o mut Vec<u8>, status: u16) -> Self {
        let start = out.len();
        // Writing to memory does not fail. Three digits, whatever comes.
        let status = if (100..1000).contains(&status) { status } else { 500 };
        let _ = write!(out, "HTTP/1.1 {status} {}\r\n", reason(status));
        Self { out, start, finished: false }
    }

    /// Adds a field. Fails on a name that is no token, a value with control bytes, and fields with a method of their own.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut Self, HttpError> {
        self.header_display(name, value)
    }

    /// Adds a field whose value is formatted in place.
    pub fn header_display(&mut self, name: &str, value: impl fmt::Display) -> Result<&mut Self, HttpError> {
        free_field(self.out, name, value)?;
        Ok(self)
    }

    /// Adds fields that were written before.
    pub fn lines(&mut self, lines: &FieldLines) -> &mut Self {
        self.out.extend_from_slice(&lines.0);
        self
    }

    /// Adds `Date`, as [`crate::DateText`] gives it.
    pub fn date(&mut self, text: &str) -> Result<&mut Self, HttpError> {
        field(self.out, "Date", text)?;
        Ok(self)
    }

    /// Ends the head: body framing, connection, empty line.
    pub fn finish(mut self, body: BodyLength, keep_alive: bool) {
        let framed = match body {
            BodyLength::Absent => Ok(()),
            BodyLength::Length(n) => write!(self.out, "Content-Length: {n}\r\n"),
            BodyLength::Chunked => write!(self.out, "Transfer-Encoding: chunked\r\n"),
        };
        // Writing to memory does not fail.
        let _ = framed;
        // Said both ways, since an HTTP/1.0 client that asked for it must be told.
        self.out.extend_from_slice(if keep_alive {
            b"Connection: keep-alive\r\n\r\n"
        } else {
            b"Connection: close\r\n\r\n"
        });
        self.finished = true;
    }
}

impl Drop for ResponseHead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

/// Field lines of a response, written once for many heads.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct FieldLines(Vec<u8>);

impl FieldLines {
    /// Adds a field, under the same rules as [`ResponseHead::header`].
    pub fn header(&mut self, name: &str, value: impl fmt::Display) -> Result<&mut Self, HttpError> {
        free_field(&mut self.0, name, value)?;
        Ok(self)
    }
}

impl fmt::Debug for FieldLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Writes a field that the builder has no method of its own for.
fn free_field(out: &mut Vec<u8>, name: &str, value: impl fmt::Display) -> Result<(), HttpError> {
    if reserved_field(name) {
        return Err(HttpError::ResponseField("field is written by the builder"));
    }
    field(out, name, value)
}

/// Whether the builders have a way of their own for a field.
pub(crate) fn reserved_field(name: &str) -> bool {
    let own = ["content-length", "transfer-encoding", "connection", "date"];
    own.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Writes a field, or nothing of it.
pub(crate) fn field(out: &mut Vec<u8>, name: &str, value: impl fmt::Display) -> Result<(), HttpError> {
    let line = out.len();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(HttpError::ResponseField("name is not a token"));
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    if write!(Checked(out), "{value}").is_err() {
        out.truncate(line);
        return Err(HttpError::ResponseField("value holds a control byte"));
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// A sink that takes only what may stand in a field value.
struct Checked<'o>(&'o mut Vec<u8>);

impl fmt::Write for Checked<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(fmt::Error);
        }
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl HttpError {
    /// Writes the whole answer to a request that cannot be served, after which the connection is closed.
    pub fn answer(&self, out: &mut Vec<u8>, date: &str) {
        let body = format!("{self}\n");
        let mut head = ResponseHead::new(out, self.status());
        // Texts of ours cannot be refused; a date that is would be left out.
        let _ = head.date(date).map(|_| ());
        let _ = head.header("Content-Type", "text/plain; charset=utf-8").map(|_| ());
        head.finish(BodyLength::Length(body.len() as u64), false);
        out.extend_from_slice(body.as_bytes());
    }
}
