//! The synchronous calls on real files.
#![cfg(not(loom))]

mod common;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use common::{connection, directory, pattern};
use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use weir_ring::{Fd, OpenHow, sys};

fn make(dir: &Fd, name: &str, bytes: &[u8]) -> Fd {
    let path = CString::new(name).unwrap();
    let how = OpenHow::beneath(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
    let file = sys::openat2(dir, &path, how).unwrap();
    assert_eq!(sys::pwrite(&file, bytes, 0).unwrap(), bytes.len());
    file
}

fn bytes(file: &Fd) -> Vec<u8> {
    let mut bytes = vec![0; sys::fstat(file).unwrap().size as usize];
    assert_eq!(sys::pread(file, &mut bytes, 0).unwrap(), bytes.len());
    bytes
}

#[test]
fn attributes_are_set_read_and_removed() {
    let (_keep, dir) = directory();
    let file = make(&dir, "file", b"");
    assert_eq!(sys::fgetxattr(&file, c"user.weir").unwrap(), None);
    for len in [0, 1, 200, 1024, 1025, 3000] {
        sys::fsetxattr(&file, c"user.weir", &pattern(len, 1)).unwrap();
        assert_eq!(sys::fgetxattr(&file, c"user.weir").unwrap(), Some(pattern(len, 1)), "{len} bytes");
    }
    assert!(sys::fremovexattr(&file, c"user.weir").unwrap());
    assert!(!sys::fremovexattr(&file, c"user.weir").unwrap());
    assert_eq!(sys::fgetxattr(&file, c"user.weir").unwrap(), None);
    assert!(sys::fsetxattr(&file, c"user.weir", &vec![0; 1 << 20]).is_err());
}

#[test]
fn directories_are_read_as_often_as_asked() {
    let (keep, dir) = directory();
    let mut expected = Vec::new();
    for i in 0..300 {
        make(&dir, &format!("f{i:03}"), b"");
        expected.push((format!("f{i:03}").into_bytes(), sys::FileKind::File));
    }
    sys::mkdirat(&dir, c"sub", 0o755).unwrap();
    std::os::unix::fs::symlink("f001", keep.path().join("to")).unwrap();
    let (reader, _writer) = sys::pipe().unwrap();
    assert_eq!(sys::fstat(&reader).unwrap().kind, sys::FileKind::Other);
    expected.push((b"sub".to_vec(), sys::FileKind::Directory));
    expected.push((b"to".to_vec(), sys::FileKind::Symlink));
    for _ in 0..2 {
        let mut found: Vec<_> =
            sys::read_dir(&dir).unwrap().map(|item| item.map(|i| (i.name, i.kind)).unwrap()).collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(found, expected);
    }
    assert!(sys::read_dir(&make(&dir, "file", b"")).is_err());
}

#[test]
fn names_are_renamed_linked_and_removed() {
    let (_keep, dir) = directory();
    make(&dir, "a", b"a");
    make(&dir, "b", b"b");
    let refused = sys::renameat2(&dir, c"a", &dir, c"b", libc::RENAME_NOREPLACE).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    sys::renameat2(&dir, c"a", &dir, c"b", 0).unwrap();
    let how = OpenHow::beneath(libc::O_RDONLY);
    assert_eq!(bytes(&sys::openat2(&dir, c"b", how).unwrap()), b"a");
    sys::unlinkat(&dir, c"b").unwrap();
    assert_eq!(sys::unlinkat(&dir, c"b").unwrap_err().kind(), io::ErrorKind::NotFound);
    sys::mkdirat(&dir, c"d", 0o755).unwrap();
    assert_eq!(sys::mkdirat(&dir, c"d", 0o755).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(sys::unlinkat(&dir, c"d").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    sys::rmdirat(&dir, c"d").unwrap();
    let unnamed = OpenHow { flags: libc::O_RDWR | libc::O_TMPFILE, mode: 0o644, resolve: 0 };
    match sys::openat2(&dir, c".", unnamed) {
        Ok(file) => {
            sys::pwrite(&file, b"named", 0).unwrap();
            sys::linkat_tmpfile(&file, &dir, c"named").unwrap();
            assert!(sys::linkat_tmpfile(&file, &dir, c"named").is_err());
            assert_eq!(bytes(&sys::openat2(&dir, c"named", how).unwrap()), b"named");
        }
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
    }
}

#[test]
fn files_grow_shrink_and_are_copied() {
    let (_keep, dir) = directory();
    let from = make(&dir, "from", &pattern(100_000, 2));
    let to = make(&dir, "to", b"");
    let mut copied = 0;
    while copied < 60_000 {
        let count =
            sys::copy_file_range(&from, 1000 + copied, &to, copied, 60_000 - copied as usize).unwrap();
        assert!(count > 0);
        copied += count as u64;
    }
    assert!(bytes(&to) == pattern(100_000, 2)[1000..61_000]);
    assert_eq!(sys::copy_file_range(&from, 100_000, &to, 0, 10).unwrap(), 0);
    sys::ftruncate(&to, 10).unwrap();
    sys::fallocate(&to, 0, 5000).unwrap();
    let stat = sys::fstat(&to).unwrap();
    assert_eq!((stat.size, stat.links, stat.kind), (5000, 1, sys::FileKind::File));
    assert!(stat.allocated >= 5000 && stat.mtime_ns > 0);
    assert_eq!(sys::ftruncate(&to, u64::MAX).unwrap_err().raw_os_error(), Some(libc::EOVERFLOW));
    sys::fdatasync(&to).unwrap();
    sys::fsync(&dir).unwrap();
    sys::syncfs(&dir).unwrap();
    let space = sys::statfs(&dir).unwrap();
    assert!(space.used > 0 && space.free > 0 && space.block >= 512 && space.magic != 0);
}

#[test]
fn extents_are_shared_or_refused_in_a_known_way() {
    let (_keep, dir) = directory();
    let from = make(&dir, "from", &pattern(65_536, 3));
    let to = make(&dir, "to", &pattern(4096, 4));
    match sys::clone_range(&from, 4096, 8192, &to, 4096) {
        Ok(()) => {
            assert!(bytes(&to)[4096..] == pattern(65_536, 3)[4096..12_288]);
        }
        Err(error) => assert!(
            matches!(
                error.raw_os_error(),
                Some(libc::EOPNOTSUPP | libc::EXDEV | libc::EINVAL | libc::ENOTTY)
            ),
            "{error}"
        ),
    }
}

#[test]
fn the_page_cache_is_asked() {
    let (_keep, dir) = directory();
    let file = make(&dir, "file", &pattern(40_960, 5));
    match sys::cachestat(&file, 0, 40_960) {
        Ok(cache) => {
            assert_eq!(cache.cached, 10);
            sys::fsync(&file).unwrap();
            assert_eq!(sys::cachestat(&file, 0, 0).unwrap().dirty, 0);
            assert_eq!(sys::cachestat(&file, 40_960, 4096).unwrap().cached, 0);
            sys::fadvise_dont_need(&file, 0, 0).unwrap();
        }
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS)),
    }
}

#[test]
fn a_lock_belongs_to_one_open_file() {
    let (keep, dir) = directory();
    let first = make(&dir, "lock", b"");
    let second = Fd::from(std::fs::File::open(keep.path().join("lock")).unwrap());
    assert!(sys::flock_exclusive(&first).unwrap());
    assert!(sys::flock_exclusive(&first).unwrap());
    assert!(!sys::flock_exclusive(&second).unwrap());
    drop(first);
    assert!(sys::flock_exclusive(&second).unwrap());
}

#[test]
fn sockets_take_their_settings() {
    let (socket, plain) = connection();
    sys::nodelay(&socket, true).unwrap();
    sys::send_buffer_bytes(&socket, 64 << 10).unwrap();
    sys::user_timeout(&socket, std::time::Duration::from_secs(30)).unwrap();
    assert_eq!(sys::peer_address(&socket).unwrap(), plain.local_addr().unwrap());
    assert_eq!(sys::local_address(&socket).unwrap(), plain.peer_addr().unwrap());
    sys::set_linger_reset(&socket).unwrap();
    sys::shutdown(&socket, std::net::Shutdown::Read).unwrap();
    drop(socket);
    let error = io::Read::read(&mut &plain, &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    let v6 = sys::listen("[::1]:0".parse().unwrap(), 4);
    if let Ok(v6) = v6 {
        assert!(sys::local_address(&v6).unwrap().is_ipv6());
    }
}

#[test]
fn a_socket_is_readable_once_enough_has_come() {
    let (socket, mut plain) = connection();
    let descriptor = socket.as_fd().as_raw_fd();
    sys::receive_low_water(descriptor, 3).unwrap();
    let readable = |wait: u16| {
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut polled, wait).unwrap() > 0
    };
    io::Write::write_all(&mut plain, b"ab").unwrap();
    assert!(!readable(50));
    sys::receive_low_water(descriptor, 1).unwrap();
    assert!(readable(0));
    sys::receive_low_water(descriptor, 3).unwrap();
    io::Write::write_all(&mut plain, b"c").unwrap();
    assert!(readable(10_000));
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(sys::receive_low_water(file.as_raw_fd(), 1).is_err());
}

#[test]
fn direct_io_is_known_from_the_descriptor() {
    let (_keep, dir) = directory();
    let file = make(&dir, "file", b"");
    assert!(!sys::uses_direct_io(&file).unwrap());
    if let Ok(direct) = sys::openat2(&dir, c"file", OpenHow::beneath(libc::O_RDONLY | libc::O_DIRECT)) {
        assert!(sys::uses_direct_io(&direct).unwrap());
        for on in [false, false, true, true] {
            sys::set_direct_io(&direct, on).unwrap();
            assert_eq!(sys::uses_direct_io(&direct).unwrap(), on);
        }
    }
}

#[test]
fn a_descriptor_is_owned_alone_again_when_its_clones_are_gone() {
    let (reader, _writer) = sys::pipe().unwrap();
    let clone = reader.clone();
    assert!(reader.same(&clone));
    let back = reader.into_owned().unwrap_err();
    drop(clone);
    assert!(back.into_owned().is_ok());
}

#[test]
fn pieces_are_sent_at_once_or_not_at_all() {
    use io::{IoSlice, Read};
    let (socket, mut plain) = connection();
    let pieces = [IoSlice::new(b"head"), IoSlice::new(b""), IoSlice::new(b"body")];
    assert_eq!(sys::send_now(&socket, &pieces, true).unwrap(), 8);
    assert_eq!(sys::send_now(&socket, &[IoSlice::new(b"!")], false).unwrap(), 1);
    let mut got = [0; 9];
    plain.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"headbody!");
    let filler = vec![0; 1 << 20];
    let full = loop {
        match sys::send_now(&socket, &[IoSlice::new(&filler)], false) {
            Ok(sent) => assert!(sent > 0),
            Err(error) => break error,
        }
    };
    assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    drop(plain);
    let gone = (0..100).find_map(|_| sys::send_now(&socket, &[IoSlice::new(b"x")], false).err());
    assert!(gone.is_some(), "an error, not a signal");
}

#[test]
fn an_open_by_cached_names_says_when_they_are_not() {
    let (_keep, dir) = directory();
    drop(make(&dir, "file", b"x"));
    let cached = OpenHow::beneath(libc::O_RDONLY).cached();
    // Its name was made just now. Where the kernel would have to ask the disk it says so instead.
    match sys::openat2(&dir, c"file", cached) {
        Ok(file) => assert_eq!(sys::fstat(&file).unwrap().size, 1),
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EAGAIN)),
    }
    let absent = sys::openat2(&dir, c"never-looked-up", cached).unwrap_err();
    assert!(matches!(absent.raw_os_error(), Some(libc::EAGAIN | libc::ENOENT)), "{absent}");
}
