//! From bytes to the head of an answer, for what one node asks of another. Both ends are ours, so what our own writer
//! never makes (chunks, lengths in lists, versions before 1.1) is refused.

use std::mem::MaybeUninit;

use weir_types::limits::HEADERS_MAX;

use crate::head::{HeaderSlots, Span, slice};
use crate::parse::part;
use crate::{HttpError, Method, lines};

/// The head of an answer, apart from the bytes and slots it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Status, 100 to 999.
    pub status: u16,
    /// Bytes of the body, where the head says so. An answer to HEAD has that length and no body.
    pub length: Option<u64>,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    bytes: usize,
    fields: usize,
}

/// Reads the head of one answer from the front of `bytes`; `None` while it is not complete.
pub fn parse_reply(bytes: &[u8], slots: &mut HeaderSlots) -> Result<Option<Reply>, HttpError> {
    let Some(whole) = lines::scan(bytes)?.whole else { return Ok(None) };
    let head = bytes.get(..whole).unwrap_or_default();
    std::str::from_utf8(head).map_err(|_| HttpError::Header("expected UTF-8"))?;
    let mut table = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    match config.parse_response_with_uninit_headers(&mut answer, head, &mut table) {
        Ok(httparse::Status::Complete(end)) if end == whole => {}
        _ => return Err(HttpError::Reply("expected a status line and lines of the form name: value")),
    }
    let (Some(1), Some(status @ 100..=999)) = (answer.version, answer.code) else {
        return Err(HttpError::Reply("expected HTTP/1.1 and a status of three digits"));
    };
    let mut reply =
        Reply { status, length: None, keep_alive: true, bytes: whole, fields: answer.headers.len() };
    for (slot, header) in slots.spans.iter_mut().zip(answer.headers.iter()) {
        *slot = Span { name: part(head, header.name.as_bytes())?, value: part(head, header.value)? };
        reply.take(header.name, header.value)?;
    }
    Ok(Some(reply))
}

impl Reply {
    /// Bytes that the head takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of body that follow the head of an answer to `method`; `None`: no length is given where one is due.
    pub fn body_bytes(&self, method: Method) -> Option<u64> {
        match self.status {
            100..200 | 204 | 304 => Some(0),
            _ if method == Method::Head => Some(0),
            _ => self.length,
        }
    }

    /// Every field as (name, value), from the bytes and slots that the head was read from.
    pub fn fields<'b>(
        &self,
        bytes: &'b [u8],
        slots: &'b HeaderSlots,
    ) -> impl Iterator<Item = (&'b str, &'b str)> + use<'b> {
        let text =
            bytes.get(..self.bytes).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
        let spans = slots.spans.get(..self.fields).unwrap_or_default();
        spans.iter().map(move |s| (slice(text, s.name), slice(text, s.value)))
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), HttpError> {
        let text = || std::str::from_utf8(value).unwrap_or_default();
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(HttpError::Reply("expected a length, got a transfer coding"));
        }
        if name.eq_ignore_ascii_case("connection") {
            self.keep_alive &= !text().eq_ignore_ascii_case("close");
        }
        if name.eq_ignore_ascii_case("content-length") {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let length = text().parse().ok().filter(|_| digits && self.length.is_none());
            self.length = Some(length.ok_or(HttpError::ContentLength("expected once, in decimal digits"))?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BodyLength, ResponseHead};

    fn read(bytes: &[u8]) -> Result<Option<Reply>, HttpError> {
        parse_reply(bytes, &mut HeaderSlots::default())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        let mut head = ResponseHead::new(&mut out, 206);
        head.header("ETag", "\"x\"").unwrap();
        head.finish(BodyLength::Length(12), false);
        let mut slots = HeaderSlots::default();
        let reply = parse_reply(&out, &mut slots).unwrap().unwrap();
        assert_eq!((reply.status, reply.length, reply.keep_alive), (206, Some(12), false));
        assert_eq!((reply.bytes(), reply.body_bytes(Method::Get)), (out.len(), Some(12)));
        assert_eq!(reply.body_bytes(Method::Head), Some(0));
        assert_eq!(reply.fields(&out, &slots).next(), Some(("ETag", "\"x\"")));
        for cut in 0..out.len() {
            assert_eq!(read(&out[..cut]), Ok(None), "{cut}");
        }
    }

    #[test]
    fn bodies_end_where_they_end() {
        let table: [(&[u8], Option<u64>); 4] = [
            (b"HTTP/1.1 204 No Content\r\n\r\n", Some(0)),
            (b"HTTP/1.1 100 Continue\r\n\r\n", Some(0)),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Some(0)),
            (b"HTTP/1.1 200 OK\r\n\r\n", None),
        ];
        for (bytes, expected) in table {
            assert_eq!(read(bytes).unwrap().unwrap().body_bytes(Method::Get), expected);
        }
    }

    #[test]
    fn what_our_writer_never_makes_is_refused() {
        for bytes in [
            &b"HTTP/1.0 200 OK\r\n\r\n"[..],
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
            b"nonsense\r\n\r\n",
        ] {
            assert!(read(bytes).is_err(), "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
