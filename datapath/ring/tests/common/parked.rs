//! The check that every cancelled operation goes through.

use std::os::fd::AsRawFd;
use std::path::PathBuf;

use weir_ring::{Buf, Fd, Handle, Operation};

use super::{BUFFER_BYTES, BUFFERS, until};

/// What a descriptor number stands for: the kernel's own name of the open file, unique for sockets and pipes.
pub fn identity(number: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{number}")).ok()
}

/// When the future is dropped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drop {
    /// Before its entry is submitted.
    Early,
    /// When the kernel has it and waits; only for operations that wait for what the test withholds.
    Waiting,
}

/// Starts an operation on `fds` (all clones of which it gets) and perhaps a buffer holding `fill`; drops it; checks that nothing is let
/// go of; calls `meanwhile`; lets the completion land and checks that everything is let go of. Gives the buffer's bytes back.
pub async fn check<O>(
    handle: &Handle,
    when: Drop,
    fds: Vec<Fd>,
    fill: Option<&[u8]>,
    start: impl FnOnce(&[Fd], Option<Buf>) -> Operation<O>,
    meanwhile: impl FnOnce(),
) -> Vec<u8> {
    assert_eq!((handle.stats().operations, handle.buffers().free()), (0, BUFFERS), "a clean start");
    let mut address = None;
    let buf = fill.map(|bytes| {
        let mut buf = handle.buffers().try_take().unwrap();
        buf.set_len(buf.capacity());
        buf.fill(0);
        buf[..bytes.len()].copy_from_slice(bytes);
        address = Some(buf.as_ptr());
        buf
    });
    let numbers: Vec<_> = fds.iter().map(|fd| (fd.as_raw_fd(), identity(fd.as_raw_fd()).unwrap())).collect();
    let operation = start(&fds, buf);
    if when == Drop::Waiting {
        handle.yield_now().await;
        handle.yield_now().await;
    }
    drop(fds);
    drop(operation);
    assert_eq!(handle.stats().parked, 1, "the operation is parked");

    // Buffer: nobody gets it. The others are taken and marked, so that a stray write of the kernel would show.
    let mut others: Vec<Buf> = std::iter::from_fn(|| handle.buffers().try_take()).collect();
    assert_eq!(
        others.len(),
        BUFFERS - usize::from(address.is_some()),
        "the operation's buffer was given back too early"
    );
    for other in &mut others {
        other.set_len(BUFFER_BYTES);
        other.fill(0xA5);
        assert_ne!(Some(other.as_ptr()), address, "the operation's buffer was reissued");
    }
    // Descriptors: the numbers stand for the same files, and new files get others.
    let new: Vec<_> = (0..4).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    for (number, before) in &numbers {
        assert_eq!(identity(*number).as_ref(), Some(before), "descriptor {number} was closed too early");
        assert!(new.iter().all(|file| file.as_raw_fd() != *number), "descriptor {number} was reused");
    }
    meanwhile();
    until(handle, || handle.stats().parked == 0).await;

    assert!(
        others.iter().all(|other| other.iter().all(|b| *b == 0xA5)),
        "the kernel wrote to a buffer of somebody else"
    );
    for (number, before) in &numbers {
        assert_ne!(identity(*number).as_ref(), Some(before), "descriptor {number} was never closed");
    }
    let mut bytes = Vec::new();
    if let Some(address) = address {
        let mut back = handle.buffers().try_take().expect("the buffer came back with the completion");
        assert_eq!(back.as_ptr(), address);
        back.set_len(BUFFER_BYTES);
        bytes = back.to_vec();
    }
    drop(others);
    assert_eq!((handle.stats().operations, handle.buffers().free()), (0, BUFFERS), "everything is let go of");
    bytes
}
