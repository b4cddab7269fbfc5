//! What the three servers share: the job, the end of a request, the head of an answer, and which file comes next.

use std::cell::Cell;
use std::fs::File;
use std::net::SocketAddr;

/// A server's job.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) files: Vec<File>,
    pub(crate) size: usize,
    pub(crate) listen: SocketAddr,
    pub(crate) cpu: usize,
}

/// Room for a request; a longer one ends its connection.
pub(crate) const REQUEST_BYTES: usize = 4096;
/// Room for a head before a chunk that is aligned for direct I/O.
pub(crate) const ALIGN: usize = 4096;

/// The head of every answer: all bodies are of one size.
pub(crate) fn head(size: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes()
}

/// Whether a request without a body is complete. The loader sends one at a time.
pub(crate) fn is_whole(request: &[u8]) -> bool {
    request.ends_with(b"\r\n\r\n")
}

/// The chunks of a file: offset and length.
pub(crate) fn chunks(size: usize) -> impl Iterator<Item = (u64, usize)> {
    (0..size).step_by(super::CHUNK).map(move |offset| (offset as u64, super::CHUNK.min(size - offset)))
}

/// Picks files in an order that no read-ahead could guess.
#[derive(Debug)]
pub(crate) struct Picker {
    state: Cell<u64>,
    count: u64,
}

impl Picker {
    pub(crate) fn new(count: usize) -> Self {
        Self { state: Cell::new(1), count: count as u64 }
    }

    /// The index of the next file.
    pub(crate) fn next(&self) -> usize {
        // Knuth's multiplier; the upper bits are the good ones.
        let state =
            self.state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.state.set(state);
        ((state >> 33) % self.count) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_the_file() {
        let all = |size| chunks(size).collect::<Vec<_>>();
        assert_eq!(all(4096), [(0, 4096)]);
        assert_eq!(
            all(super::super::CHUNK + 4096),
            [(0, super::super::CHUNK), (super::super::CHUNK as u64, 4096)]
        );
        assert_eq!(all(1 << 20).len(), 4);
    }

    #[test]
    fn every_file_is_picked() {
        let picker = Picker::new(10);
        let mut seen = [0; 10];
        (0..1000).for_each(|_| seen[picker.next()] += 1);
        assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
    }

    #[test]
    fn requests_end_with_an_empty_line() {
        assert!(is_whole(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!is_whole(b"GET / HTTP/1.1\r\nHost: a\r\n"));
        assert!(head(7).ends_with(b"Content-Length: 7\r\n\r\n"));
    }
}
