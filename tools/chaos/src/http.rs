//! A client of HTTP that never asks twice: what became of a request is known, or it is known that it is not.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(2);
/// Fields of an answer.
const FIELDS_MAX: usize = 64;

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// As on the wire.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// The whole body.
    pub body: &'a [u8],
}

/// An answer whose head came whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, in order.
    pub fields: Vec<(String, String)>,
    /// What came of its body.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub whole: bool,
}

impl Answer {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether nobody stood behind the node that answered.
    pub fn is_stale(&self) -> bool {
        self.field("weir-stale").is_some()
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failed {
    /// Nothing was sent: it has not happened.
    NotSent(String),
    /// Something was sent: it may have happened, may still happen, or never.
    NoAnswer(String),
}

/// A client with a connection to each server that it has asked.
pub struct Client {
    within: Duration,
    /// The value of `Authorization`, where there is one.
    bearer: Option<String>,
    open: HashMap<SocketAddr, TcpStream>,
}

impl Client {
    /// A client that waits so long for an answer.
    pub fn new(within: Duration, bearer: Option<String>) -> Self {
        Self { within, bearer, open: HashMap::new() }
    }

    /// Asks once.
    pub fn ask(&mut self, to: SocketAddr, request: &Request<'_>) -> Result<Answer, Failed> {
        let mut stream = match self.open.remove(&to).filter(is_open) {
            Some(stream) => stream,
            None => connect(to).map_err(|e| Failed::NotSent(format!("{to}: {e}")))?,
        };
        let mut message = format!("{} {} HTTP/1.1\r\nHost: {to}\r\n", request.method, request.target);
        if let Some(bearer) = &self.bearer {
            message.push_str(&format!("Authorization: {bearer}\r\n"));
        }
        message.push_str(&format!("Content-Length: {}\r\n\r\n", request.body.len()));
        let until = Instant::now() + self.within;
        let no_answer = |e: std::io::Error| Failed::NoAnswer(format!("{to}: {e}"));
        stream.set_write_timeout(Some(self.within)).map_err(no_answer)?;
        let message = [message.as_bytes(), request.body].concat();
        // Who refuses before the end of the body may have answered already.
        let sent = stream.write_all(&message);
        let (answer, keep) = receive(&mut stream, request.method == "HEAD", until).map_err(no_answer)?;
        if keep && sent.is_ok() && answer.whole {
            self.open.insert(to, stream);
        }
        Ok(answer)
    }
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, CONNECT)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Whether a connection that was kept has neither ended nor said anything.
fn is_open(stream: &TcpStream) -> bool {
    let quiet = stream.set_nonblocking(true).is_ok()
        && matches!(stream.peek(&mut [0]), Err(e) if e.kind() == ErrorKind::WouldBlock);
    quiet && stream.set_nonblocking(false).is_ok()
}

/// The answer, and whether the connection takes another request.
fn receive(stream: &mut TcpStream, headless: bool, until: Instant) -> std::io::Result<(Answer, bool)> {
    let mut bytes = Vec::new();
    let (mut answer, used) = loop {
        if let Some(head) = head(&bytes)? {
            if head.0.status >= 200 {
                break head;
            }
            bytes.drain(..head.1);
            continue;
        }
        if more(stream, &mut bytes, until)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    };
    bytes.drain(..used);
    let length = match answer.status {
        _ if headless => Some(0),
        204 | 304 => Some(0),
        _ => answer.field("content-length").and_then(|n| n.parse::<usize>().ok()),
    };
    while length.is_none_or(|length| bytes.len() < length) {
        // What breaks within the body leaves an answer that is not whole.
        match more(stream, &mut bytes, until) {
            Ok(n) if n > 0 => {}
            Ok(_) | Err(_) => break,
        }
    }
    answer.whole = length.is_none_or(|length| bytes.len() == length);
    answer.body = bytes;
    let closes = answer.field("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
    Ok((answer, length.is_some() && !closes))
}

/// Reads once; how many bytes came.
fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>, until: Instant) -> std::io::Result<usize> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    stream.set_read_timeout(Some(left))?;
    let mut piece = [0; 16 << 10];
    let n = stream.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..n]);
    Ok(n)
}

/// A head, if all of it is there, and its length.
fn head(bytes: &[u8]) -> std::io::Result<Option<(Answer, usize)>> {
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut slots);
    let status = parsed.parse(bytes).map_err(|e| std::io::Error::new(ErrorKind::InvalidData, e))?;
    let httparse::Status::Complete(used) = status else { return Ok(None) };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let fields = parsed.headers.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
    let status = parsed.code.unwrap_or_default();
    Ok(Some((Answer { status, fields, body: Vec::new(), whole: false }, used)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client makes of these bytes, after which the connection ends.
    fn said(bytes: &'static [u8]) -> Result<Answer, Failed> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 1024];
            assert!(stream.read(&mut asked).unwrap() > 0);
            stream.write_all(bytes).unwrap();
        });
        let request = Request { method: "GET", target: "/", body: b"" };
        let answer = Client::new(Duration::from_secs(5), None).ask(to, &request);
        server.join().unwrap();
        answer
    }

    #[test]
    fn what_came_is_told_from_what_did_not() {
        let whole =
            said(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
        assert_eq!((whole.status, whole.whole, whole.body), (200, true, b"hi".to_vec()));
        let cut = said(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nWeir-Stale: 5\r\n\r\nhi").unwrap();
        assert_eq!((cut.whole, cut.is_stale(), cut.body), (false, true, b"hi".to_vec()));
        assert!(matches!(said(b"HTTP/1.1 200 OK\r\nConte"), Err(Failed::NoAnswer(_))));
        assert!(matches!(said(b""), Err(Failed::NoAnswer(_))));
    }

    #[test]
    fn nobody_there_is_nothing_sent() {
        let to = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let request = Request { method: "PUT", target: "/", body: b"x" };
        let failed = Client::new(Duration::from_secs(5), None).ask(to, &request);
        assert!(matches!(failed, Err(Failed::NotSent(_))));
    }
}
