//! Files through disk rings, and that disk rings wake a reactor that sleeps on its sockets.
#![cfg(not(loom))]

mod common;

use std::ffi::CString;
use std::fs::OpenOptions;
use std::io;
use std::process::Command;
use std::time::Duration;

use common::{BUFFER_BYTES, config, directory, everywhere, everywhere_with, pattern};
use futures_util::future::join_all;
use nix::libc;
use weir_ring::{Buf, DiskRing, Fd, Handle, OpenHow, Reactor, ReactorConfig, sys};
use weir_types::limits::DISK_CALLS_MAX;

/// What has not happened after this will not.
const NEVER: Duration = Duration::from_secs(20);

fn name(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// Creates a file for reading and writing, with O_DIRECT where the file system has it.
async fn create(disk: &DiskRing, dir: &Fd, file: &str) -> Fd {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    match disk.open(dir, name(file), OpenHow::beneath(flags | libc::O_DIRECT)).await {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let _ = disk.unlink(dir, name(file)).await;
            disk.open(dir, name(file), OpenHow::beneath(flags)).await.unwrap()
        }
        opened => opened.unwrap(),
    }
}

fn fill(buf: &mut Buf, bytes: &[u8]) {
    buf.set_len(bytes.len());
    buf.copy_from_slice(bytes);
}

#[test]
fn what_was_written_is_read_back() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        assert_eq!(disk.fixed(), handle.buffers().registered());
        let file = create(&disk, &dir, "file").await;
        disk.fallocate(&file, 0, 0, 4 * BUFFER_BYTES as u64).await.unwrap();
        assert_eq!(sys::fstat(&file).unwrap().size, 4 * BUFFER_BYTES as u64);
        for (i, heap) in [false, true, false, true].into_iter().enumerate() {
            let mut buf =
                if heap { handle.buffers().heap(BUFFER_BYTES) } else { handle.buffers().take().await };
            fill(&mut buf, &pattern(BUFFER_BYTES, i as u8));
            let (count, buf) = disk.write(&file, buf, 0..BUFFER_BYTES, (i * BUFFER_BYTES) as u64).await;
            assert_eq!((count.unwrap(), buf.pooled()), (BUFFER_BYTES, !heap));
        }
        disk.fsync(&file, true).await.unwrap();
        disk.fsync(&file, false).await.unwrap();
        for (i, heap) in [true, true, false, false].into_iter().enumerate() {
            let mut buf =
                if heap { handle.buffers().heap(2 * BUFFER_BYTES) } else { handle.buffers().take().await };
            buf.set_len(3);
            let len = BUFFER_BYTES - 4096;
            let (count, buf) = disk.read(&file, buf, 4096, len, (i * BUFFER_BYTES) as u64).await;
            assert_eq!((count.unwrap(), buf.len()), (len, BUFFER_BYTES));
            assert!(buf[4096..] == pattern(BUFFER_BYTES, i as u8)[..len]);
        }
        let (end, buf) =
            disk.read(&file, handle.buffers().take().await, 0, 4096, 4 * BUFFER_BYTES as u64).await;
        assert_eq!((end.unwrap(), buf.len()), (0, 0));
    });
}

/// Opens of FIFOs wait for a writer in threads of the kernel, as those of a disk that does not answer would.
#[test]
fn calls_that_wait_for_one_disk_leave_threads_for_another() {
    everywhere(async |handle| {
        let (keep, dir) = directory();
        let (stuck, other) = (handle.disk_ring().unwrap(), handle.disk_ring().unwrap());
        let file = create(&other, &dir, "file").await;
        let fifos: Vec<_> = (0..DISK_CALLS_MAX).map(|i| keep.path().join(format!("fifo{i}"))).collect();
        assert!(Command::new("mkfifo").args(&fifos).status().unwrap().success());
        // With O_CREAT the kernel does not try it without a thread first.
        let how = OpenHow { mode: 0o600, ..OpenHow::beneath(libc::O_RDONLY | libc::O_CREAT) };
        let fifo = |i| name(&format!("fifo{i}"));
        let waiting: Vec<_> = (0..DISK_CALLS_MAX).map(|i| stuck.open(&dir, fifo(i), how)).collect();
        handle.sleep(Duration::from_millis(20)).await;
        let synced = handle.timeout(NEVER, other.fsync(&file, false)).await;
        // They all end when there is somebody who may write.
        let writers = fifos.iter().map(|path| OpenOptions::new().read(true).write(true).open(path).unwrap());
        let _writers: Vec<_> = writers.collect();
        join_all(waiting).await.into_iter().for_each(|opened| drop(opened.unwrap()));
        synced.expect("no thread was left").unwrap();
    });
}

#[test]
fn names_are_made_moved_and_removed() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        disk.mkdir(&dir, name("sub"), 0o755).await.unwrap();
        let sub = disk.open(&dir, name("sub"), OpenHow::beneath(libc::O_DIRECTORY)).await.unwrap();
        let file = create(&disk, &dir, "one").await;
        disk.fallocate(&file, 0, 0, 5000).await.unwrap();
        let stat = disk.statx(&file).await.unwrap();
        assert_eq!(stat, sys::fstat(&file).unwrap());
        assert_eq!((stat.size, stat.kind), (5000, sys::FileKind::File));
        disk.rename(&dir, name("one"), &sub, name("two"), 0).await.unwrap();
        let again = disk.rename(&dir, name("one"), &sub, name("two"), 0).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::NotFound);
        let reached = disk.open(&dir, name("sub/two"), OpenHow::beneath(libc::O_RDONLY)).await.unwrap();
        assert_eq!(disk.statx(&reached).await.unwrap().inode, stat.inode);
        assert_eq!(disk.rmdir(&dir, name("sub")).await.unwrap_err().kind(), io::ErrorKind::DirectoryNotEmpty);
        disk.unlink(&sub, name("two")).await.unwrap();
        disk.rmdir(&dir, name("sub")).await.unwrap();
        disk.fsync(&dir, false).await.unwrap();
        assert_eq!(sys::read_dir(&dir).unwrap().count(), 0);
    });
}

#[test]
fn opens_stay_beneath_their_directory() {
    everywhere(async |handle| {
        let (keep, dir) = directory();
        std::os::unix::fs::symlink("/etc/passwd", keep.path().join("link")).unwrap();
        std::fs::create_dir(keep.path().join("sub")).unwrap();
        let disk = handle.disk_ring().unwrap();
        for (path, errno) in [
            ("../x", libc::EXDEV),
            ("sub/../../x", libc::EXDEV),
            ("/etc/passwd", libc::EXDEV),
            ("link", libc::ELOOP),
            ("absent", libc::ENOENT),
            ("sub/absent/x", libc::ENOENT),
        ] {
            let how = OpenHow::beneath(libc::O_RDONLY);
            let ring = disk.open(&dir, name(path), how).await.unwrap_err();
            let call = sys::openat2(&dir, &name(path), how).unwrap_err();
            assert_eq!((ring.raw_os_error(), call.raw_os_error()), (Some(errno), Some(errno)), "{path}");
        }
    });
}

#[test]
fn errors_of_disks_come_back_with_the_buffer() {
    everywhere(async |handle| {
        let (keep, dir) = directory();
        std::fs::write(keep.path().join("file"), b"123").unwrap();
        let disk = handle.disk_ring().unwrap();
        let file = disk.open(&dir, name("file"), OpenHow::beneath(libc::O_RDONLY)).await.unwrap();
        let mut buf = handle.buffers().take().await;
        buf.set_len(2);
        let (count, buf) = disk.write(&file, buf, 0..2, 0).await;
        assert_eq!(count.unwrap_err().raw_os_error(), Some(libc::EBADF));
        let (count, buf) = disk.read(&dir, buf, 0, 100, 0).await;
        assert_eq!(count.unwrap_err().raw_os_error(), Some(libc::EISDIR));
        assert_eq!(buf.len(), 2);
        let (count, buf) = disk.read(&file, buf, 1, 100, 1).await;
        assert_eq!((count.unwrap(), &buf[1..]), (2, &b"23"[..]));
    });
}

#[test]
fn two_disks_wake_a_reactor_that_sleeps() {
    // No spin: every wait goes to the kernel, and only the bell of the disk rings can end it.
    let config = ReactorConfig { spin: std::time::Duration::ZERO, ..config() };
    everywhere_with(&config, async |handle| {
        let (_keep, dir) = directory();
        let disks = [handle.disk_ring().unwrap(), handle.disk_ring().unwrap()];
        let mut files = Vec::new();
        for (i, disk) in disks.iter().enumerate() {
            files.push(create(disk, &dir, &format!("file{i}")).await);
        }
        for round in 0..40u8 {
            let write = async |i: usize| {
                let mut buf = handle.buffers().take().await;
                fill(&mut buf, &pattern(4096, round + i as u8));
                disks[i % 2].write(&files[i % 2], buf, 0..4096, 4096 * (i as u64 / 2)).await.0.unwrap();
                disks[i % 2].fsync(&files[i % 2], true).await.unwrap();
            };
            join_all((0..4).map(write)).await;
            for i in 0..4 {
                let buf = handle.buffers().take().await;
                let (count, buf) =
                    disks[i % 2].read(&files[i % 2], buf, 0, 4096, 4096 * (i as u64 / 2)).await;
                assert_eq!(count.unwrap(), 4096);
                assert!(*buf == pattern(4096, round + i as u8));
            }
        }
        let stats = handle.stats();
        assert_eq!((stats.disk_rings, stats.operations), (2, 0));
        assert!(stats.parks > 0);
    });
}

#[test]
fn more_operations_than_the_ring_has_entries() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        let file = create(&disk, &dir, "file").await;
        sys::ftruncate(&file, 1 << 20).unwrap();
        let reads: Vec<_> = (0..500)
            .map(|i| disk.read(&file, handle.buffers().heap(4096), 0, 4096, i % 200 * 4096))
            .collect();
        let stats: Vec<_> = (0..500).map(|_| disk.statx(&file)).collect();
        for (count, buf) in join_all(reads).await {
            assert_eq!((count.unwrap(), buf.len()), (4096, 4096));
            assert!(buf.iter().all(|b| *b == 0));
        }
        for stat in join_all(stats).await {
            assert_eq!(stat.unwrap().size, 1 << 20);
        }
    });
}

#[test]
fn a_file_is_cut_and_grown_through_the_ring() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        let file = create(&disk, &dir, "file").await;
        for size in [10_000u64, 4096, 0, 1 << 20] {
            match disk.ftruncate(&file, size).await {
                // Before Linux 6.9.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return,
                done => done.unwrap(),
            }
            assert_eq!(sys::fstat(&file).unwrap().size, size);
        }
    });
}

#[test]
fn buffers_of_another_reactor_are_not_taken_for_registered() {
    let (_keep, dir) = directory();
    let other = Reactor::new(&config()).unwrap();
    let mut foreign = other.handle().buffers().try_take().unwrap();
    foreign.set_len(4096);
    foreign.fill(77);
    let reactor = Reactor::new(&config()).unwrap();
    let handle: Handle = reactor.handle();
    reactor.block_on(async {
        let disk = handle.disk_ring().unwrap();
        let file = create(&disk, &dir, "file").await;
        let (count, _) = disk.write(&file, foreign, 0..4096, 0).await;
        assert_eq!(count.unwrap(), 4096);
        let (_, buf) = disk.read(&file, handle.buffers().take().await, 0, 4096, 0).await;
        assert!(buf.len() == 4096 && buf.iter().all(|b| *b == 77));
    });
}

#[test]
fn attributes_are_read_through_the_ring() {
    everywhere(async |handle| {
        let (_keep, dir) = directory();
        let disk = handle.disk_ring().unwrap();
        let file = create(&disk, &dir, "file").await;
        if sys::fsetxattr(&file, c"user.test", b"value").is_err() {
            return;
        }
        let read = disk.fgetxattr(&file, name("user.test"), 100).await.unwrap();
        assert_eq!(read.as_deref(), Some(b"value".as_slice()));
        assert_eq!(disk.fgetxattr(&file, name("user.absent"), 100).await.unwrap(), None);
        let short = disk.fgetxattr(&file, name("user.test"), 3).await.unwrap_err();
        assert_eq!(short.raw_os_error(), Some(libc::ERANGE));
    });
}
