//! Operations on sockets. Each starts when it is called and is submitted with this turn's batch.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;

use io_uring::{opcode, types};
use nix::sys::socket::{SockaddrLike, SockaddrStorage};

use crate::core::SOCKETS;
use crate::op::{Completion, Held, Kind, Memory, Operation};
use crate::{Buf, Fd, Handle, sys};

/// It may wait for a peer without end.
pub(crate) const ENDLESS: Kind = Kind { cancel: true, fd: false, worker: false };
const ENDLESS_FD: Kind = Kind { fd: true, ..ENDLESS };

/// IORING_SEND_ZC_REPORT_USAGE: the notification says whether bytes were copied all the same.
const REPORT_USAGE: u16 = 1 << 3;
/// IORING_NOTIF_USAGE_ZC_COPIED: they were.
const USAGE_COPIED: u32 = 1 << 31;

/// What a send without copying came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZeroCopy {
    /// Bytes that left; fewer than asked only when the connection failed on the way.
    pub sent: usize,
    /// Whether the kernel copied them after all (loopback, a card that cannot gather): then a plain send is cheaper.
    pub copied: bool,
}

/// A count of bytes, or what went wrong, and the buffer back.
pub(crate) fn count_and_buf(mut completion: Completion) -> (io::Result<usize>, Buf) {
    (completion.count(), completion.buf())
}

impl Handle {
    /// A listening socket with SO_REUSEPORT and SO_REUSEADDR: each shard opens its own on the same address.
    pub fn listen(&self, address: SocketAddr, backlog: u32) -> io::Result<Fd> {
        sys::listen(address, backlog)
    }

    /// Takes the next connection. The socket is non-blocking, close-on-exec and has TCP_NODELAY off still.
    pub fn accept(&self, listener: &Fd) -> Operation<io::Result<(Fd, SocketAddr)>> {
        let room = Box::new((empty_address(), size_of::<libc::sockaddr_storage>() as libc::socklen_t));
        let held =
            Held { fds: [Some(listener.clone()), None], memory: Memory::Accepted(room), ..Held::default() };
        let fd = types::Fd(listener.as_raw_fd());
        self.core.start(
            SOCKETS,
            ENDLESS_FD,
            held,
            |held| {
                let Memory::Accepted(room) = &mut held.memory else { unreachable!("made above") };
                let (address, length) = &mut **room;
                opcode::Accept::new(fd, std::ptr::from_mut(address).cast(), length)
                    .flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK)
                    .build()
            },
            |completion| {
                let socket = Fd::from(completion.descriptor()?);
                let Memory::Accepted(room) = &completion.held.memory else { unreachable!("made above") };
                Ok((socket, sys::socket_address(&room.0, room.1)?))
            },
        )
    }

    /// Connects a new TCP socket to `address`.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Fd> {
        let socket = sys::tcp_socket(address.is_ipv6())?;
        self.connect_socket(&socket, address).await?;
        Ok(socket)
    }

    /// Connects a socket that the caller has made.
    pub fn connect_socket(&self, socket: &Fd, address: SocketAddr) -> Operation<io::Result<()>> {
        let memory = Memory::Address(Box::new(SockaddrStorage::from(address)));
        let held = Held { fds: [Some(socket.clone()), None], memory, ..Held::default() };
        let fd = types::Fd(socket.as_raw_fd());
        self.core.start(
            SOCKETS,
            ENDLESS,
            held,
            |held| {
                let Memory::Address(address) = &held.memory else { unreachable!("made above") };
                opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build()
            },
            Completion::unit,
        )
    }

    /// Receives up to `len` bytes into `buf` from offset `at` on; 0 is the end of the stream. The buffer's length becomes
    /// `at` plus what came; after an error it is what it was.
    ///
    /// # Panics
    /// If `at + len` is above the buffer's capacity.
    pub fn recv(&self, socket: &Fd, buf: Buf, at: usize, len: usize) -> Operation<(io::Result<usize>, Buf)> {
        let (pointer, len) = buf.target(at, len);
        let fd = types::Fd(socket.as_raw_fd());
        let held = Held { fds: [Some(socket.clone()), None], buf: Some(buf), memory: Memory::Offset(at) };
        self.core.start(
            SOCKETS,
            ENDLESS,
            held,
            |_| opcode::Recv::new(fd, pointer, len).build(),
            crate::disk::filled,
        )
    }

    /// Sends bytes `range` of `buf`; fewer may go out than asked.
    ///
    /// # Panics
    /// If the range is not within the buffer's length. So do the other forms.
    pub fn send(&self, socket: &Fd, buf: Buf, range: Range<usize>) -> Operation<(io::Result<usize>, Buf)> {
        self.send_with(socket, buf, range, 0)
    }

    /// As [`Handle::send`], telling the kernel that more follows at once (a head before a body): it may wait for that.
    pub fn send_more(
        &self,
        socket: &Fd,
        buf: Buf,
        range: Range<usize>,
    ) -> Operation<(io::Result<usize>, Buf)> {
        self.send_with(socket, buf, range, libc::MSG_MORE)
    }

    /// Sends all of `range`, in one operation as a rule: the kernel itself goes on after a short send. The count is the
    /// range's length unless the connection failed.
    pub async fn send_all(&self, socket: &Fd, buf: Buf, range: Range<usize>) -> (io::Result<usize>, Buf) {
        self.send_whole(socket, buf, range, 0).await
    }

    /// As [`Handle::send_all`], telling the kernel that more follows at once.
    pub async fn send_all_more(
        &self,
        socket: &Fd,
        buf: Buf,
        range: Range<usize>,
    ) -> (io::Result<usize>, Buf) {
        self.send_whole(socket, buf, range, libc::MSG_MORE).await
    }

    async fn send_whole(
        &self,
        socket: &Fd,
        mut buf: Buf,
        mut range: Range<usize>,
        flags: i32,
    ) -> (io::Result<usize>, Buf) {
        let whole = range.len();
        while !range.is_empty() {
            let (sent, back) = self.send_with(socket, buf, range.clone(), flags | libc::MSG_WAITALL).await;
            buf = back;
            match sent {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
                Ok(sent) => range.start += sent,
                Err(error) => return (Err(error), buf),
            }
        }
        (Ok(whole), buf)
    }

    fn send_with(
        &self,
        socket: &Fd,
        buf: Buf,
        range: Range<usize>,
        flags: i32,
    ) -> Operation<(io::Result<usize>, Buf)> {
        let (pointer, len) = buf.source(&range);
        let fd = types::Fd(socket.as_raw_fd());
        let held = Held { fds: [Some(socket.clone()), None], buf: Some(buf), ..Held::default() };
        self.core.start(
            SOCKETS,
            ENDLESS,
            held,
            |_| opcode::Send::new(fd, pointer, len).flags(flags | libc::MSG_NOSIGNAL).build(),
            count_and_buf,
        )
    }

    /// Sends without copying. Ready when the kernel has let go of the buffer, which for a real network card is when the peer
    /// has acknowledged it; start the next one meanwhile. Registered buffers are used as such. A peer that stops acknowledging keeps
    /// the buffer until the connection is given up, so bound that by [`sys::user_timeout`].
    pub fn send_zc(
        &self,
        socket: &Fd,
        buf: Buf,
        range: Range<usize>,
    ) -> Operation<(io::Result<ZeroCopy>, Buf)> {
        let (pointer, len) = buf.source(&range);
        let fd = types::Fd(socket.as_raw_fd());
        let registered =
            if self.core.pool.owns(&buf) && self.core.pool.registered() { buf.index() } else { None };
        let held = Held { fds: [Some(socket.clone()), None], buf: Some(buf), ..Held::default() };
        self.core.start(
            SOCKETS,
            ENDLESS,
            held,
            |_| {
                let entry =
                    opcode::SendZc::new(fd, pointer, len).flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
                entry.buf_index(registered).zc_flags(REPORT_USAGE).build()
            },
            |mut completion| {
                let copied = completion.notice as u32 & USAGE_COPIED != 0;
                (completion.count().map(|sent| ZeroCopy { sent, copied }), completion.buf())
            },
        )
    }

    /// Ends one or both directions of a connection.
    pub fn shutdown(&self, socket: &Fd, how: std::net::Shutdown) -> Operation<io::Result<()>> {
        let how = match how {
            std::net::Shutdown::Read => libc::SHUT_RD,
            std::net::Shutdown::Write => libc::SHUT_WR,
            std::net::Shutdown::Both => libc::SHUT_RDWR,
        };
        let fd = types::Fd(socket.as_raw_fd());
        let held = Held { fds: [Some(socket.clone()), None], ..Held::default() };
        let build = |_: &mut Held| opcode::Shutdown::new(fd, how).build();
        self.core.start(SOCKETS, Kind::default(), held, build, Completion::unit)
    }

    /// Waits until something can be read, the peer has closed, or the descriptor failed.
    pub fn poll_readable(&self, fd: &Fd) -> Operation<io::Result<()>> {
        self.poll(fd, libc::POLLIN)
    }

    /// Waits until something can be written or the descriptor failed.
    pub fn poll_writable(&self, fd: &Fd) -> Operation<io::Result<()>> {
        self.poll(fd, libc::POLLOUT)
    }

    fn poll(&self, fd: &Fd, events: i16) -> Operation<io::Result<()>> {
        let held = Held { fds: [Some(fd.clone()), None], ..Held::default() };
        let fd = types::Fd(fd.as_raw_fd());
        let build = |_: &mut Held| opcode::PollAdd::new(fd, events as u32).build();
        self.core.start(SOCKETS, ENDLESS, held, build, Completion::unit)
    }
}

/// Room for any address.
fn empty_address() -> libc::sockaddr_storage {
    // SAFETY: sockaddr_storage is plain integers and bytes, for which all zeroes is a value (family AF_UNSPEC).
    unsafe { std::mem::zeroed() }
}
