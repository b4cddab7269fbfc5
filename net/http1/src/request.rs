//! Request heads, for what one node asks of another. As with responses, no value can break out of its line.

use std::fmt;
use std::io::Write as _;

use crate::response::{field, reserved_field};
use crate::{Framing, HttpError, Method};

/// Writer of one request head into a buffer, behind what the buffer already holds. A head that is not
/// [finished](Self::finish) leaves nothing behind.
///
/// `Host`, `Expect`, `Content-Length`, `Transfer-Encoding`, `Connection` and `Date` are the builder's and are refused
/// as fields.
#[derive(Debug)]
pub struct RequestHead<'o> {
    out: &'o mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'o> RequestHead<'o> {
    /// Starts a head of HTTP/1.1. `path` and `query` are as on the wire; an empty query is left out.
    pub fn new(
        out: &'o mut Vec<u8>,
        method: Method,
        path: &str,
        query: &str,
        host: &str,
    ) -> Result<Self, HttpError> {
        let is_visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if !path.starts_with('/') || !is_visible(path) || !is_visible(query) {
            return Err(HttpError::Target("expected a path and a query of visible ASCII"));
        }
        let start = out.len();
        let mark = if query.is_empty() { "" } else { "?" };
        // Writing to memory does not fail.
        let _ = write!(out, "{method} {path}{mark}{query} HTTP/1.1\r\n");
        let head = Self { out, start, finished: false };
        field(head.out, "Host", host)?;
        Ok(head)
    }

    /// Adds a field. Fails on a name that is no token, a value with control bytes, and fields with a way of their own.
    pub fn header(&mut self, name: &str, value: impl fmt::Display) -> Result<&mut Self, HttpError> {
        if reserved_field(name) || is_of_requests(name) {
            return Err(HttpError::ResponseField("field is written by the builder"));
        }
        field(self.out, name, value)?;
        Ok(self)
    }

    /// Ends the head: body framing, what is expected before the body, empty line. The connection stays open.
    pub fn finish(mut self, body: Framing, expects_continue: bool) {
        // Writing to memory does not fail.
        let _ = match body {
            Framing::None => Ok(()),
            Framing::Length(n) => write!(self.out, "Content-Length: {n}\r\n"),
            Framing::Chunked => write!(self.out, "Transfer-Encoding: chunked\r\n"),
        };
        if expects_continue {
            self.out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        self.finished = true;
    }
}

impl Drop for RequestHead<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}

fn is_of_requests(name: &str) -> bool {
    ["host", "expect"].iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HeaderSlots, parse_head};

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = b"before".to_vec();
        let mut head = RequestHead::new(&mut out, Method::Put, "/b/%2f", "x=1&y", "h:1").unwrap();
        head.header("X-A", 7).unwrap();
        head.finish(Framing::Length(3), true);
        let mut slots = HeaderSlots::default();
        let (head, used) = parse_head(&out[6..], &mut slots).unwrap().unwrap();
        assert_eq!((head.method, head.path, head.query), (Method::Put, "/b/%2f", "x=1&y"));
        assert_eq!((head.host(), head.header("x-a")), (Some("h:1"), Some("7")));
        assert_eq!(
            (head.framing(), head.expects_continue(), used),
            (Framing::Length(3), true, out.len() - 6)
        );
    }

    #[test]
    fn nothing_breaks_out_and_nothing_is_left_behind() {
        let mut out = Vec::new();
        for (path, query, host) in
            [("b", "", "h"), ("/b c", "", "h"), ("/b", "a\r\nb", "h"), ("/b", "", "h\r\nx: y")]
        {
            assert!(
                RequestHead::new(&mut out, Method::Get, path, query, host).is_err(),
                "{path} {query} {host}"
            );
        }
        let mut head = RequestHead::new(&mut out, Method::Get, "/", "", "h").unwrap();
        for (name, value) in
            [("Host", "x"), ("expect", "x"), ("Content-Length", "1"), ("a b", "x"), ("A", "x\r\ny")]
        {
            assert!(head.header(name, value).is_err(), "{name}");
        }
        drop(head);
        assert!(out.is_empty());
    }
}
