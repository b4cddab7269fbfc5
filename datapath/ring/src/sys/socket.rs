//! Making sockets and setting what a server sets on them.

use std::io::{self, IoSlice};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, Backlog, MsgFlags, Shutdown, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind,
    getpeername, getsockname, recv, sendmsg, setsockopt, socket, sockopt,
};

use super::call::retry;
use crate::Fd;

/// A listening TCP socket. SO_REUSEPORT lets several share the address: the kernel spreads connections over them.
pub fn listen(address: SocketAddr, backlog: u32) -> io::Result<Fd> {
    let listener = tcp_socket(address.is_ipv6())?;
    setsockopt(&listener, sockopt::ReuseAddr, &true)?;
    setsockopt(&listener, sockopt::ReusePort, &true)?;
    bind(listener.as_raw_fd(), &SockaddrStorage::from(address))?;
    let backlog = Backlog::new(i32::try_from(backlog).unwrap_or(i32::MAX)).unwrap_or(Backlog::MAXCONN);
    nix::sys::socket::listen(&listener, backlog)?;
    Ok(listener)
}

/// A TCP socket: non-blocking, close-on-exec.
pub fn tcp_socket(v6: bool) -> io::Result<Fd> {
    let family = if v6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(family, SockType::Stream, flags, None)?.into())
}

/// The address a socket is bound to.
pub fn local_address(socket: &impl AsFd) -> io::Result<SocketAddr> {
    let address: SockaddrStorage = getsockname(socket.as_fd().as_raw_fd())?;
    from_storage(&address)
}

/// The address of a socket's peer.
pub fn peer_address(socket: &impl AsFd) -> io::Result<SocketAddr> {
    let address: SockaddrStorage = getpeername(socket.as_fd().as_raw_fd())?;
    from_storage(&address)
}

/// An address as the kernel wrote it.
pub(crate) fn socket_address(
    address: &libc::sockaddr_storage,
    length: libc::socklen_t,
) -> io::Result<SocketAddr> {
    let pointer = std::ptr::from_ref(address).cast();
    // SAFETY: the pointer is to a whole sockaddr_storage, longer than any length the kernel gives for a TCP peer.
    let storage = unsafe { SockaddrStorage::from_raw(pointer, Some(length)) };
    from_storage(&storage.ok_or(io::ErrorKind::InvalidData)?)
}

fn from_storage(address: &SockaddrStorage) -> io::Result<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Ok(SocketAddrV4::from(*v4).into());
    }
    match address.as_sockaddr_in6() {
        Some(v6) => Ok(SocketAddrV6::from(*v6).into()),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "an address that is neither IPv4 nor IPv6")),
    }
}

/// Sends small segments at once (TCP_NODELAY), or gathers them.
pub fn nodelay(socket: &impl AsFd, on: bool) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::TcpNoDelay, &on)?)
}

/// Bounds what the kernel buffers for sending; it takes twice the number, for its own bookkeeping.
pub fn send_buffer_bytes(socket: &impl AsFd, bytes: usize) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::SndBuf, &bytes)?)
}

/// Gives up a connection whose peer acknowledges nothing for this long (TCP_USER_TIMEOUT).
pub fn user_timeout(socket: &impl AsFd, after: Duration) -> io::Result<()> {
    let milliseconds = u32::try_from(after.as_millis()).unwrap_or(u32::MAX);
    Ok(setsockopt(socket, sockopt::TcpUserTimeout, &milliseconds)?)
}

/// Sends the pieces one after the other, as much as the socket takes at once; WouldBlock when that is nothing. `more`: bytes
/// follow at once, so a last segment that is not full may wait for them.
pub fn send_now(socket: &impl AsFd, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    let mut flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    flags.set(MsgFlags::from_bits_retain(libc::MSG_MORE), more);
    loop {
        match sendmsg::<()>(socket.as_fd().as_raw_fd(), pieces, &[], flags, None) {
            Err(nix::errno::Errno::EINTR) => {}
            sent => return Ok(sent?),
        }
    }
}

/// Whether a connection is open and nothing waits to be read, not even its end.
pub fn is_quiet(socket: &impl AsFd) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    recv(socket.as_fd().as_raw_fd(), &mut [0], flags) == Err(nix::errno::Errno::EAGAIN)
}

/// Sets how many bytes must have come before the socket counts as readable (SO_RCVLOWAT). The end of the stream and errors
/// count always, and so does a full receive window.
pub fn receive_low_water(socket: RawFd, bytes: usize) -> io::Result<()> {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let (value, length) = (std::ptr::from_ref(&bytes).cast(), size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the call reads an int of that length; a descriptor that is no socket is refused by it.
    retry(|| unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value, length) })
        .map(drop)
}

/// Makes closing the socket reset the connection, so that its peer cannot take a cut-off body for a whole one.
pub fn set_linger_reset(socket: &impl AsFd) -> io::Result<()> {
    Ok(setsockopt(socket, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?)
}

/// Ends one or both directions of a connection, at once.
pub fn shutdown(socket: &impl AsFd, how: std::net::Shutdown) -> io::Result<()> {
    let how = match how {
        std::net::Shutdown::Read => Shutdown::Read,
        std::net::Shutdown::Write => Shutdown::Write,
        std::net::Shutdown::Both => Shutdown::Both,
    };
    Ok(nix::sys::socket::shutdown(socket.as_fd().as_raw_fd(), how)?)
}

/// A pipe: what is written to the second end is read from the first.
pub fn pipe() -> io::Result<(Fd, Fd)> {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((reader.into(), writer.into()))
}
