//! What the suites share: reactors on 1 and on 4 threads, small sizes, connected sockets, files.

#![allow(dead_code, unreachable_pub)]

pub mod parked;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use weir_ring::{Fd, Handle, Reactor, ReactorConfig, sys};

/// Buffers of a test's pool.
pub const BUFFERS: usize = 8;
/// Bytes of one.
pub const BUFFER_BYTES: usize = 64 << 10;

/// A reactor small enough for four of them beside everything else.
pub fn config() -> ReactorConfig {
    ReactorConfig {
        entries: 64,
        disk_entries: 32,
        spin: Duration::from_micros(5),
        buffers: BUFFERS,
        buffer_bytes: BUFFER_BYTES,
        tasks_max: 64,
        cpu: None,
    }
}

/// Numbers of reactors to run with: 1 and 4, or what WEIR_TEST_SHARDS says.
pub fn shard_counts() -> Vec<usize> {
    match std::env::var("WEIR_TEST_SHARDS") {
        Ok(shards) => vec![shards.parse().expect("WEIR_TEST_SHARDS is a number")],
        Err(_) => vec![1, 4],
    }
}

/// Runs `test` on every reactor of 1 and of 4 threads, and checks that no completion went astray.
pub fn everywhere(test: impl AsyncFn(Handle) + Sync) {
    everywhere_with(&config(), test);
}

pub fn everywhere_with(config: &ReactorConfig, test: impl AsyncFn(Handle) + Sync) {
    for shards in shard_counts() {
        std::thread::scope(|scope| {
            for shard in 0..shards {
                let (test, config) = (&test, config.clone());
                let body = move || {
                    let reactor = Reactor::new(&config).expect("io_uring");
                    let handle = reactor.handle();
                    reactor.block_on(test(handle.clone()));
                    assert_eq!(handle.stats().strays, 0);
                };
                std::thread::Builder::new()
                    .name(format!("shard {shard} of {shards}"))
                    .spawn_scoped(scope, body)
                    .unwrap();
            }
        });
    }
}

/// Two ends of a loopback connection; the first non-blocking for a reactor, the second plain.
pub fn connection() -> (Fd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    (OwnedFd::from(accepted).into(), plain)
}

pub fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A directory of its own and the descriptor of it.
pub fn directory() -> (tempfile::TempDir, Fd) {
    let directory = tempfile::tempdir().unwrap();
    let fd = sys::open_dir(directory.path()).unwrap();
    (directory, fd)
}

/// `len` bytes that differ by position and seed.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|i| (i as u8).wrapping_mul(31).wrapping_add((i >> 8) as u8).wrapping_add(seed)).collect()
}

/// Gives the reactor turns until `done`.
pub async fn until(handle: &Handle, done: impl Fn() -> bool) {
    while !done() {
        handle.yield_now().await;
    }
}
