//! One connection that asks without ever waiting: while an answer is awaited the server is stepped by the same thread.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::error::{PerfError, Result};
use crate::rig::stop;

/// An unstepped server answers long before.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// A connection with what has come of an answer.
#[derive(Debug)]
pub(crate) struct Client {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Result<Self> {
        let socket = TcpStream::connect(address).map_err(PerfError::io(address))?;
        socket.set_nonblocking(true).map_err(PerfError::io(address))?;
        socket.set_nodelay(true).map_err(PerfError::io(address))?;
        Ok(Self { socket, answer: Vec::new() })
    }

    /// Sends a request, which is small enough for the socket's buffer.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        self.answer.clear();
        self.socket.write_all(request).map_err(PerfError::io("request"))
    }

    /// Whether the whole answer has come; an error when it is not a good one.
    pub(crate) fn has_answer(&mut self) -> Result<bool> {
        let mut piece = [0; 8192];
        match self.socket.read(&mut piece) {
            Ok(0) => {
                return Err(PerfError::Server { name: "weir".into(), got: "closed the connection".into() });
            }
            Ok(count) => self.answer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(PerfError::io("answer")(error)),
        }
        is_whole(&self.answer)
    }

    /// Waits for the answer of a server that runs by itself.
    pub(crate) fn receive_all(&mut self) -> Result<()> {
        let begin = Instant::now();
        while !self.has_answer()? {
            stop::check()?;
            if begin.elapsed() > ANSWER_LIMIT {
                return Err(PerfError::Server { name: "weir".into(), got: "no answer".into() });
            }
            std::thread::yield_now();
        }
        Ok(())
    }
}

/// Whether an answer has its head and as much body as the head says.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(end) = answer.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(false) };
    let head = String::from_utf8_lossy(&answer[..end]);
    if !head.starts_with("HTTP/1.1 200") {
        return Err(PerfError::parse("answer", "HTTP/1.1 200", &head));
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(answer.len() >= end + 4 + length.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_with_their_body() {
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-le").unwrap());
        assert!(!is_whole(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab").unwrap());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc").unwrap());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").unwrap());
        assert!(is_whole(b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
    }
}
