//! Sockets over loopback, with the other end a plain blocking socket or another task.
#![cfg(not(loom))]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use common::{BUFFER_BYTES, connection, everywhere, loopback, pattern, until};
use weir_ring::{Buf, Fd, Handle, ZeroCopy, sys};

/// A buffer holding `bytes`.
async fn filled(handle: &Handle, bytes: &[u8]) -> Buf {
    let mut buf = handle.buffers().take().await;
    buf.set_len(bytes.len());
    buf.copy_from_slice(bytes);
    buf
}

/// Receives until the end of the stream.
async fn drain(handle: &Handle, socket: &Fd) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buf = handle.buffers().take().await;
    loop {
        let (count, back) = handle.recv(socket, buf, 0, BUFFER_BYTES).await;
        buf = back;
        match count.unwrap() {
            0 => return all,
            count => {
                assert_eq!(buf.len(), count);
                all.extend_from_slice(&buf);
            }
        }
    }
}

#[test]
fn a_connection_is_accepted_and_echoed() {
    everywhere(async |handle| {
        let listener = handle.listen(loopback(), 16).unwrap();
        let address = sys::local_address(&listener).unwrap();
        let mut clients = Vec::new();
        for i in 0..20u8 {
            let client = handle.connect(address).await.unwrap();
            let (server, peer) = handle.accept(&listener).await.unwrap();
            assert_eq!(peer, sys::local_address(&client).unwrap());
            assert_eq!(sys::peer_address(&client).unwrap(), address);
            sys::nodelay(&server, true).unwrap();
            let buf = filled(&handle, &pattern(1000, i)).await;
            assert_eq!(handle.send(&client, buf, 0..1000).await.0.unwrap(), 1000);
            let buf = handle.buffers().take().await;
            let (count, buf) = handle.recv(&server, buf, 24, 2000).await;
            assert_eq!((count.unwrap(), buf.len()), (1000, 1024));
            assert_eq!(buf[24..], pattern(1000, i));
            clients.push((client, server));
        }
        for (client, server) in clients {
            handle.shutdown(&client, Shutdown::Write).await.unwrap();
            assert_eq!(drain(&handle, &server).await, b"");
        }
    });
}

#[test]
fn every_shard_listens_on_the_same_address() {
    everywhere(async |handle| {
        let first = handle.listen(loopback(), 16).unwrap();
        let address = sys::local_address(&first).unwrap();
        let second = handle.listen(address, 16).unwrap();
        let client = handle.connect(address).await.unwrap();
        let (one, two) = (handle.accept(&first), handle.accept(&second));
        let winner = futures_util::future::select(one, two).await;
        let (socket, peer) = match winner {
            futures_util::future::Either::Left((accepted, _))
            | futures_util::future::Either::Right((accepted, _)) => accepted.unwrap(),
        };
        assert_eq!(peer, sys::local_address(&client).unwrap());
        drop(socket);
    });
}

#[test]
fn errors_of_sockets_come_back_with_the_buffer() {
    everywhere(async |handle| {
        let dead = {
            let listener = handle.listen(loopback(), 1).unwrap();
            sys::local_address(&listener).unwrap()
        };
        let refused = handle.connect(dead).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        let socket = sys::tcp_socket(false).unwrap();
        let mut buf = handle.buffers().take().await;
        buf.set_len(10);
        let (count, buf) = handle.recv(&socket, buf, 5, 10).await;
        assert_eq!(count.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
        assert_eq!(buf.len(), 10);
        let (count, buf) = handle.send(&socket, buf, 0..10).await;
        assert_eq!(count.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
        drop(buf);
        assert_eq!(handle.buffers().free(), common::BUFFERS);
    });
}

/// Sends 32 times a buffer with `send`, the peer reading in a thread; expects every byte.
fn check_send(send: impl AsyncFn(&Handle, &Fd, Buf, usize) -> Buf + Sync) {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        sys::send_buffer_bytes(&socket, 8 << 10).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).unwrap();
            all
        });
        let mut expected = Vec::new();
        for i in 0..32 {
            let bytes = pattern(BUFFER_BYTES, i);
            expected.extend_from_slice(&bytes[100..]);
            let buf = filled(&handle, &bytes).await;
            let buf = send(&handle, &socket, buf, 100).await;
            assert_eq!(buf[..], bytes);
        }
        drop(socket);
        assert!(reader.join().unwrap() == expected);
    });
}

#[test]
fn send_all_sends_all() {
    check_send(async |handle, socket, buf, from| {
        let len = buf.len();
        let (sent, buf) = handle.send_all(socket, buf, from..len).await;
        assert_eq!(sent.unwrap(), len - from);
        buf
    });
}

#[test]
fn short_sends_are_continued_by_the_caller() {
    check_send(async |handle, socket, mut buf, mut from| {
        while from < buf.len() {
            let len = buf.len();
            let (sent, back) = handle.send_more(socket, buf, from..len).await;
            from += sent.unwrap();
            buf = back;
        }
        buf
    });
}

#[test]
fn zero_copy_sends_give_the_buffer_back_when_the_kernel_is_done() {
    check_send(async |handle, socket, mut buf, mut from| {
        while from < buf.len() {
            let len = buf.len();
            let (sent, back) = handle.send_zc(socket, buf, from..len).await;
            from += sent.unwrap().sent;
            buf = back;
        }
        buf
    });
}

#[test]
fn zero_copy_sends_from_the_heap() {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        let mut buf = handle.buffers().heap(10);
        buf.set_len(10);
        buf.copy_from_slice(b"zero copie");
        let (sent, _) = handle.send_zc(&socket, buf, 0..10).await;
        let mut got = [0; 10];
        plain.read_exact(&mut got).unwrap();
        // Loopback has no card that could gather the bytes: the kernel copies them, and says so.
        assert_eq!((sent.unwrap(), &got), (ZeroCopy { sent: 10, copied: true }, b"zero copie"));
    });
}

#[test]
fn a_file_is_sent_from_the_page_cache() {
    everywhere(async |handle| {
        let (directory, _) = common::directory();
        let path = directory.path().join("file");
        let bytes = pattern(1 << 20, 3);
        std::fs::write(&path, &bytes).unwrap();
        let file = Fd::from(std::fs::File::open(&path).unwrap());
        let (socket, mut plain) = connection();
        sys::send_buffer_bytes(&socket, 16 << 10).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).unwrap();
            all
        });
        let mut offset = 100;
        loop {
            match handle.sendfile(&socket, &file, offset as u64, 300_000).await.unwrap() {
                0 => break,
                sent => offset += sent,
            }
        }
        assert_eq!(offset, bytes.len());
        drop(socket);
        assert!(reader.join().unwrap() == bytes[100..]);
    });
}

#[test]
fn a_file_is_spliced_through_a_pipe() {
    everywhere(async |handle| {
        let (directory, _) = common::directory();
        let path = directory.path().join("file");
        let bytes = pattern(200_000, 4);
        std::fs::write(&path, &bytes).unwrap();
        let file = Fd::from(std::fs::File::open(&path).unwrap());
        let (socket, mut plain) = connection();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).unwrap();
            all
        });
        let (from_pipe, to_pipe) = sys::pipe().unwrap();
        let mut offset = 0;
        loop {
            let mut left = handle.splice(&file, Some(offset), &to_pipe, None, 65_536).await.unwrap();
            if left == 0 {
                break;
            }
            offset += left as u64;
            while left > 0 {
                left -= handle.splice(&from_pipe, None, &socket, None, left).await.unwrap();
            }
        }
        drop(socket);
        assert!(reader.join().unwrap() == bytes);
    });
}

#[test]
fn polls_end_when_there_is_something() {
    everywhere(async |handle| {
        let (socket, mut plain) = connection();
        handle.poll_writable(&socket).await.unwrap();
        let reading = handle.poll_readable(&socket);
        handle.yield_now().await;
        plain.write_all(b"x").unwrap();
        reading.await.unwrap();
        let (count, _) = handle.recv(&socket, handle.buffers().take().await, 0, 10).await;
        assert_eq!(count.unwrap(), 1);
    });
}

#[test]
fn many_connections_at_once_on_a_small_ring() {
    everywhere(async |handle| {
        // 50 tasks and 64 ring entries over 8 buffers: the line of the pool and the backlog of the ring are both used.
        let done = Rc::new(std::cell::Cell::new(0));
        let mut peers: Vec<TcpStream> = Vec::new();
        for i in 0..50u8 {
            let (socket, plain) = connection();
            peers.push(plain);
            let (handle, done) = (handle.clone(), done.clone());
            let task = async move {
                for round in 0..10 {
                    let buf = filled(&handle, &pattern(3000, i + round)).await;
                    let (sent, buf) = handle.send_all(&socket, buf, 0..3000).await;
                    drop(buf);
                    assert_eq!(sent.unwrap(), 3000);
                    handle.yield_now().await;
                }
                done.set(done.get() + 1);
            };
            Handle::current().spawn(task).unwrap();
        }
        until(&handle, || done.get() == 50).await;
        for (i, mut plain) in peers.into_iter().enumerate() {
            for round in 0..10 {
                let mut got = vec![0; 3000];
                plain.read_exact(&mut got).unwrap();
                assert!(got == pattern(3000, i as u8 + round));
            }
        }
        assert_eq!(handle.stats().task_panics, 0);
        assert_eq!(handle.buffers().free(), common::BUFFERS);
    });
}
