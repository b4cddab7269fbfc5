//! Moving bytes from a file to a socket without user memory: inline sendfile, and splice through the ring.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};

use crate::core::SOCKETS;
use crate::op::{Completion, Held, Operation};
use crate::socket::ENDLESS;
use crate::{Fd, Handle, sys};

impl Handle {
    /// Sends up to `len` bytes of `file` from `offset` on to a non-blocking socket. The transfer itself is a plain system call on
    /// this thread; only a full socket is waited for, by poll. Gives what one call moved; 0 is the end of the file.
    ///
    /// It never waits for the peer on this thread, but would for the disk: ask [`sys::cachestat`] first.
    pub async fn sendfile(&self, socket: &Fd, file: &Fd, offset: u64, len: usize) -> io::Result<usize> {
        loop {
            match sys::sendfile(socket, file, offset, len) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.poll_writable(socket).await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// Moves up to `len` bytes between two descriptors, one of them a pipe. An offset is for the one that is a file; `None` for a
    /// pipe or socket. A kernel worker does it, so it may wait.
    pub fn splice(
        &self,
        from: &Fd,
        from_offset: Option<u64>,
        to: &Fd,
        to_offset: Option<u64>,
        len: usize,
    ) -> Operation<io::Result<usize>> {
        let held = Held { fds: [Some(from.clone()), Some(to.clone())], ..Held::default() };
        let offset =
            |offset: Option<u64>| offset.map_or(-1, |offset| i64::try_from(offset).unwrap_or(i64::MAX));
        let entry = opcode::Splice::new(
            types::Fd(from.as_raw_fd()),
            offset(from_offset),
            types::Fd(to.as_raw_fd()),
            offset(to_offset),
            u32::try_from(len).unwrap_or(u32::MAX),
        )
        .build();
        self.core.start(SOCKETS, ENDLESS, held, |_| entry, |completion: Completion| completion.count())
    }
}
