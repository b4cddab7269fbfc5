//! A test per operation that drops its future while the kernel has it, or is about to get it, and lets the completion land after that.
//!
//! Between the drop and the completion the operation's buffer must be in nobody's hands and its descriptor numbers must stand for what
//! they stood for; after it, both must be free. These tests must fail when the crate is built with a planted bug (planted.sh).
#![cfg(not(loom))]

mod common;

use std::cell::Cell;
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use common::parked::{Drop, check, identity};
use common::{BUFFER_BYTES, BUFFERS, connection, directory, everywhere, loopback, pattern, until};
use nix::libc;
use weir_ring::{Buf, DiskRing, Fd, Handle, OpenHow, Operation, sys};

fn name(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A new file for reading and writing, holding `bytes`.
fn file(dir: &Fd, path: &str, bytes: &[u8]) -> Fd {
    let file = sys::openat2(dir, &name(path), OpenHow::beneath(libc::O_RDWR | libc::O_CREAT)).unwrap();
    assert_eq!(sys::pwrite(&file, bytes, 0).unwrap(), bytes.len());
    file
}

/// What the test's thread still has of a file that its operation had.
fn content(dir: &Fd, path: &str) -> Vec<u8> {
    let file = sys::openat2(dir, &name(path), OpenHow::beneath(libc::O_RDONLY)).unwrap();
    let mut bytes = vec![0; sys::fstat(&file).unwrap().size as usize];
    let count = sys::pread(&file, &mut bytes, 0).unwrap();
    assert_eq!(count, bytes.len());
    bytes
}

fn exists(dir: &Fd, path: &str) -> bool {
    sys::openat2(dir, &name(path), OpenHow::beneath(libc::O_PATH)).is_ok()
}

/// A socket whose send buffer is full, and its peer.
fn full_connection() -> (Fd, TcpStream) {
    let (socket, plain) = connection();
    let filler = vec![0u8; 1 << 16];
    let mut stream = TcpStream::from(std::os::fd::AsFd::as_fd(&socket).try_clone_to_owned().unwrap());
    // What the peer's side takes a moment later makes room again.
    let mut refused = 0;
    while refused < 3 {
        if stream.write(&filler).is_ok() {
            refused = 0;
        } else {
            refused += 1;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    (socket, plain)
}

#[test]
fn recv_of_what_came_already() {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        plain.write_all(&pattern(5000, 1)).unwrap();
        let start = |fds: &[Fd], buf: Option<Buf>| handle.recv(&fds[0], buf.unwrap(), 100, 6000);
        let bytes = check(&handle, Drop::Early, vec![socket], Some(b""), start, || {}).await;
        assert!(
            bytes[100..5100] == pattern(5000, 1),
            "the completion landed after the drop, in the operation's buffer"
        );
    });
}

#[test]
fn recv_that_waits() {
    everywhere(async |handle| {
        for data in [false, true] {
            let (socket, mut plain) = connection();
            let start = |fds: &[Fd], buf: Option<Buf>| handle.recv(&fds[0], buf.unwrap(), 0, 6000);
            let meanwhile = || {
                if data {
                    plain.write_all(&pattern(1000, 2)).unwrap();
                }
            };
            check(&handle, Drop::Waiting, vec![socket], Some(b""), start, meanwhile).await;
            // The connection went with the descriptor: its peer sees the end, or a reset if data was on its way.
            assert!(matches!(plain.read(&mut [0; 10]), Ok(0) | Err(_)));
        }
    });
}

/// A send of `bytes` from a parked operation reaches the peer whole.
async fn check_send<O>(handle: &Handle, start: impl FnOnce(&[Fd], Option<Buf>) -> Operation<O>) {
    let (socket, mut plain) = connection();
    let sent = pattern(20_000, 3);
    let bytes = check(handle, Drop::Early, vec![socket], Some(&sent), start, || {}).await;
    assert!(bytes[..20_000] == sent);
    let mut got = Vec::new();
    plain.read_to_end(&mut got).unwrap();
    assert!(got == sent, "the peer got what the buffer held when it was sent");
}

#[test]
fn send_with_room() {
    everywhere(async |handle| {
        check_send(&handle, |fds, buf| handle.send(&fds[0], buf.unwrap(), 0..20_000)).await;
        check_send(&handle, |fds, buf| handle.send_more(&fds[0], buf.unwrap(), 0..20_000)).await;
    });
}

#[test]
fn send_zc_with_room() {
    everywhere(async |handle| {
        check_send(&handle, |fds, buf| handle.send_zc(&fds[0], buf.unwrap(), 0..20_000)).await
    });
}

#[test]
fn sends_that_wait() {
    everywhere(async |handle| {
        let (socket, plain) = full_connection();
        let start = |fds: &[Fd], buf: Option<Buf>| handle.send(&fds[0], buf.unwrap(), 0..BUFFER_BYTES);
        check(&handle, Drop::Waiting, vec![socket], Some(b"x"), start, || {}).await;
        drop(plain);
        let (socket, plain) = full_connection();
        let start = |fds: &[Fd], buf: Option<Buf>| handle.send_zc(&fds[0], buf.unwrap(), 0..BUFFER_BYTES);
        check(&handle, Drop::Waiting, vec![socket], Some(b"x"), start, || {}).await;
        drop(plain);
    });
}

#[test]
fn send_zc_keeps_its_buffer_until_the_notification() {
    everywhere(async |handle| {
        // The result is in and the peer reads nothing: what is left of the operation is the kernel's hold on the buffer.
        let (socket, mut plain) = connection();
        let sent = pattern(30_000, 5);
        let keep = socket.clone();
        let start = |fds: &[Fd], buf: Option<Buf>| handle.send_zc(&fds[0], buf.unwrap(), 0..30_000);
        let buf = {
            let mut buf = handle.buffers().try_take().unwrap();
            buf.set_len(30_000);
            buf.copy_from_slice(&sent);
            buf
        };
        let operation = start(&[socket], Some(buf));
        handle.yield_now().await;
        drop(operation);
        let mut got = vec![0; 30_000];
        plain.read_exact(&mut got).unwrap();
        assert!(got == sent);
        until(&handle, || handle.stats().operations == 0).await;
        assert_eq!(handle.buffers().free(), BUFFERS);
        drop(keep);
    });
}

#[test]
fn accept() {
    everywhere(async |handle| {
        for when in [Drop::Early, Drop::Waiting] {
            let listener = handle.listen(loopback(), 8).unwrap();
            let address = sys::local_address(&listener).unwrap();
            let client = (when == Drop::Early).then(|| TcpStream::connect(address).unwrap());
            let start = |fds: &[Fd], _| handle.accept(&fds[0]);
            check(&handle, when, vec![listener], None, start, || {}).await;
            if let Some(mut client) = client {
                // The accepted socket was closed, since nobody fetched it: the client sees the end instead of waiting for ever.
                assert!(matches!(client.read(&mut [0; 10]), Ok(0) | Err(_)));
            }
        }
    });
}

#[test]
fn accept_that_finished_unfetched() {
    everywhere(async |handle| {
        let listener = handle.listen(loopback(), 8).unwrap();
        let mut client = TcpStream::connect(sys::local_address(&listener).unwrap()).unwrap();
        let accept = handle.accept(&listener);
        // Nothing else is in flight that could complete.
        until(&handle, || handle.stats().completed > 0).await;
        drop(accept);
        until(&handle, || handle.stats().operations == 0).await;
        assert!(matches!(client.read(&mut [0; 10]), Ok(0) | Err(_)));
    });
}

#[test]
fn connect() {
    everywhere(async |handle| {
        let listener = handle.listen(loopback(), 8).unwrap();
        let address = sys::local_address(&listener).unwrap();
        let socket = sys::tcp_socket(false).unwrap();
        let start = |fds: &[Fd], _| handle.connect_socket(&fds[0], address);
        check(&handle, Drop::Early, vec![socket], None, start, || {}).await;
        // The form that makes its own socket, dropped half-way.
        let mut connecting = Box::pin(handle.connect(address));
        assert!(futures_util::poll!(&mut connecting).is_pending());
        drop(connecting);
        until(&handle, || handle.stats().operations == 0).await;
    });
}

#[test]
fn polls() {
    everywhere(async |handle| {
        for when in [Drop::Early, Drop::Waiting] {
            let (socket, _plain) = connection();
            check(&handle, when, vec![socket], None, |fds, _| handle.poll_readable(&fds[0]), || {}).await;
            let (socket, _plain) = full_connection();
            check(&handle, when, vec![socket], None, |fds, _| handle.poll_writable(&fds[0]), || {}).await;
        }
    });
}

#[test]
fn shutdown() {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        let start = |fds: &[Fd], _| handle.shutdown(&fds[0], Shutdown::Write);
        check(&handle, Drop::Early, vec![socket], None, start, || {}).await;
        assert_eq!(plain.read(&mut [0; 10]).unwrap(), 0);
    });
}

#[test]
fn splice() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        for when in [Drop::Early, Drop::Waiting] {
            let (from_pipe, to_pipe) = sys::pipe().unwrap();
            // A file fills a pipe; an empty pipe makes the splice wait.
            let source =
                if when == Drop::Early { file(&dir, "file", &pattern(5000, 6)) } else { from_pipe.clone() };
            let target = if when == Drop::Early { to_pipe.clone() } else { connection().0 };
            let offset = (when == Drop::Early).then_some(0);
            let start = |fds: &[Fd], _| handle.splice(&fds[0], offset, &fds[1], None, 5000);
            let fds = vec![source, target];
            drop(from_pipe);
            check_open_end(&handle, when, fds, start, to_pipe).await;
        }
    });
}

/// As `check`, for a pipe whose writing end the test keeps or gives along.
async fn check_open_end<O>(
    handle: &Handle,
    when: Drop,
    fds: Vec<Fd>,
    start: impl FnOnce(&[Fd], Option<Buf>) -> Operation<O>,
    end: Fd,
) {
    let kept = (when == Drop::Waiting).then(|| end.clone());
    drop(end);
    check(handle, when, fds, None, start, || {}).await;
    drop(kept);
}

#[test]
fn sendfile_that_waits_for_room() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let file = file(&dir, "file", &pattern(5000, 7));
        let (socket, plain) = full_connection();
        let (number, before) = (socket.as_raw_fd(), identity(socket.as_raw_fd()));
        {
            let mut sending = Box::pin(handle.sendfile(&socket, &file, 0, 5000));
            assert!(futures_util::poll!(&mut sending).is_pending());
        }
        drop(socket);
        assert_eq!((handle.stats().parked, identity(number)), (1, before.clone()));
        until(&handle, || handle.stats().operations == 0).await;
        assert_ne!(identity(number), before);
        drop(plain);
    });
}

/// Runs `test` with a directory and a disk ring.
fn on_disk(test: impl AsyncFn(&Handle, &DiskRing, &Fd) + Sync) {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        test(&handle, &disk, &dir).await;
        assert_eq!(disk.in_flight(), 0);
    });
}

/// Another descriptor of the same directory, for an operation to have to itself.
fn own(dir: &Fd) -> Fd {
    sys::openat2(dir, c".", OpenHow::beneath(libc::O_DIRECTORY)).unwrap()
}

#[test]
fn read() {
    on_disk(async |handle, disk, dir| {
        for direct in [0, libc::O_DIRECT] {
            drop(file(dir, "file", &pattern(16384, 8)));
            let how = OpenHow::beneath(libc::O_RDONLY | direct);
            let Ok(file) = sys::openat2(dir, &name("file"), how) else { continue };
            let start = |fds: &[Fd], buf: Option<Buf>| disk.read(&fds[0], buf.unwrap(), 4096, 8192, 4096);
            let bytes = check(handle, Drop::Early, vec![file], Some(b""), start, || {}).await;
            assert!(
                bytes[4096..12288] == pattern(16384, 8)[4096..12288],
                "the completion landed after the drop"
            );
        }
    });
}

#[test]
#[cfg_attr(
    planted = "buffer_at_drop",
    ignore = "the kernel would write to freed memory and end the whole suite by a crash"
)]
fn read_into_the_heap() {
    // The memory must stay allocated until the completion; AddressSanitizer and the allocator's reuse would tell.
    on_disk(async |handle, disk, dir| {
        let file = file(dir, "file", &pattern(16384, 9));
        for _ in 0..50 {
            let buf = handle.buffers().heap(16384);
            let address = buf.as_ptr();
            let read = disk.read(&file, buf, 0, 16384, 0);
            drop(read);
            assert_eq!(handle.stats().parked, 1);
            let mut others: Vec<_> = (0..4).map(|_| handle.buffers().heap(16384)).collect();
            for other in &mut others {
                assert_ne!(other.as_ptr(), address, "the operation's memory was freed and allocated again");
                other.set_len(16384);
            }
            until(handle, || handle.stats().operations == 0).await;
            assert!(others.iter().all(|other| other.iter().all(|b| *b == 0)));
        }
    });
}

#[test]
fn write() {
    on_disk(async |handle, disk, dir| {
        for direct in [0, libc::O_DIRECT] {
            drop(file(dir, "file", b""));
            let Ok(file) = sys::openat2(dir, &name("file"), OpenHow::beneath(libc::O_WRONLY | direct)) else {
                continue;
            };
            let wrote = pattern(8192, 10);
            let start = |fds: &[Fd], buf: Option<Buf>| disk.write(&fds[0], buf.unwrap(), 0..8192, 0);
            check(handle, Drop::Early, vec![file], Some(&wrote), start, || {}).await;
            assert!(content(dir, "file") == wrote, "a parked write runs to its end, from its own buffer");
        }
    });
}

#[test]
fn syncs_and_room() {
    on_disk(async |handle, disk, dir| {
        for datasync in [false, true] {
            let file = file(dir, "file", &pattern(100_000, 11));
            check(handle, Drop::Early, vec![file], None, |fds, _| disk.fsync(&fds[0], datasync), || {}).await;
        }
        let file = file(dir, "other", b"");
        check(handle, Drop::Early, vec![file], None, |fds, _| disk.fallocate(&fds[0], 0, 0, 9000), || {})
            .await;
        assert_eq!(content(dir, "other").len(), 9000);
    });
}

#[test]
fn open() {
    on_disk(async |handle, disk, dir| {
        let how = OpenHow::beneath(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
        let start = |fds: &[Fd], _| disk.open(&fds[0], name("made"), how);
        check(handle, Drop::Early, vec![own(dir)], None, start, || {}).await;
        assert!(exists(dir, "made"));
        assert_eq!(open_descriptors_of(dir, "made"), 0, "the descriptor that nobody fetched was closed");
        // Finished, and only then dropped.
        let opened = disk.open(dir, name("made"), OpenHow::beneath(libc::O_RDWR));
        until(handle, || disk.in_flight() == 0).await;
        assert_eq!(open_descriptors_of(dir, "made"), 1);
        drop(opened);
        assert_eq!((open_descriptors_of(dir, "made"), handle.stats().operations), (0, 0));
    });
}

/// Descriptors of this process that stand for `path` in `dir`.
fn open_descriptors_of(dir: &Fd, path: &str) -> usize {
    let whole = identity(dir.as_raw_fd()).unwrap().join(path);
    let count = Cell::new(0);
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if std::fs::read_link(entry.path()).is_ok_and(|link| link == whole) {
            count.set(count.get() + 1);
        }
    }
    count.get()
}

#[test]
fn names() {
    on_disk(async |handle, disk, dir| {
        drop(file(dir, "a", b"a"));
        let rename = |fds: &[Fd], _: Option<Buf>| disk.rename(&fds[0], name("a"), &fds[1], name("b"), 0);
        check(handle, Drop::Early, vec![own(dir), own(dir)], None, rename, || {}).await;
        assert!(exists(dir, "b") && !exists(dir, "a"));
        let unlink = |fds: &[Fd], _: Option<Buf>| disk.unlink(&fds[0], name("b"));
        check(handle, Drop::Early, vec![own(dir)], None, unlink, || {}).await;
        assert!(!exists(dir, "b"));
        let mkdir = |fds: &[Fd], _: Option<Buf>| disk.mkdir(&fds[0], name("d"), 0o755);
        check(handle, Drop::Early, vec![own(dir)], None, mkdir, || {}).await;
        assert!(exists(dir, "d"));
        let rmdir = |fds: &[Fd], _: Option<Buf>| disk.rmdir(&fds[0], name("d"));
        check(handle, Drop::Early, vec![own(dir)], None, rmdir, || {}).await;
        assert!(!exists(dir, "d"));
    });
}

#[test]
fn statx() {
    on_disk(async |handle, disk, dir| {
        let file = file(dir, "file", b"123");
        check(handle, Drop::Early, vec![file], None, |fds, _| disk.statx(&fds[0]), || {}).await;
    });
}

#[test]
fn a_line_of_takers_gets_the_buffer_only_after_the_completion() {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        plain.write_all(&pattern(100, 12)).unwrap();
        let others: Vec<Buf> = (1..BUFFERS).map(|_| handle.buffers().try_take().unwrap()).collect();
        let recv = handle.recv(&socket, handle.buffers().try_take().unwrap(), 0, 100);
        let mut take = handle.buffers().take();
        assert!(futures_util::poll!(&mut take).is_pending());
        drop(recv);
        assert!(futures_util::poll!(&mut take).is_pending(), "the buffer is the kernel's still");
        let mut buf = take.await;
        assert_eq!(handle.stats().parked, 0);
        buf.set_len(100);
        assert!(*buf == pattern(100, 12));
        drop(others);
    });
}
