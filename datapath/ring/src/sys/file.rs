//! Calls on an open file.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::call::{note, retry, retry_count, signed};
use super::names::FileKind;

/// What the file system knows of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Bytes.
    pub size: u64,
    /// Bytes that it occupies on the disk.
    pub allocated: u64,
    /// Last change of its content, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Last read of its content as the file system notes it, nanoseconds since 1970.
    pub atime_ns: i64,
    /// Last change of its inode, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// Inode number.
    pub inode: u64,
    /// Names it has; 0 once it is unlinked.
    pub links: u64,
    /// Device it lies on, as st_dev.
    pub device: u64,
    /// What it is.
    pub kind: FileKind,
}

impl Stat {
    pub(crate) fn from_statx(s: &libc::statx) -> Stat {
        Stat {
            size: s.stx_size,
            allocated: s.stx_blocks * 512,
            mtime_ns: nanoseconds(s.stx_mtime.tv_sec, i64::from(s.stx_mtime.tv_nsec)),
            atime_ns: nanoseconds(s.stx_atime.tv_sec, i64::from(s.stx_atime.tv_nsec)),
            ctime_ns: nanoseconds(s.stx_ctime.tv_sec, i64::from(s.stx_ctime.tv_nsec)),
            inode: s.stx_ino,
            links: u64::from(s.stx_nlink),
            device: libc::makedev(s.stx_dev_major, s.stx_dev_minor),
            kind: FileKind::from_mode(u32::from(s.stx_mode)),
        }
    }
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// A statx buffer for the kernel to fill.
pub(crate) fn empty_statx() -> libc::statx {
    // SAFETY: statx is plain integers, for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}

/// Size, times, kind and identity of an open file.
pub fn fstat(file: &impl AsFd) -> io::Result<Stat> {
    note("fstat");
    let s = nix::sys::stat::fstat(file)?;
    Ok(Stat {
        size: s.st_size as u64,
        allocated: s.st_blocks as u64 * 512,
        mtime_ns: nanoseconds(s.st_mtime, s.st_mtime_nsec),
        atime_ns: nanoseconds(s.st_atime, s.st_atime_nsec),
        ctime_ns: nanoseconds(s.st_ctime, s.st_ctime_nsec),
        inode: s.st_ino,
        links: s.st_nlink,
        device: s.st_dev,
        kind: FileKind::from_mode(s.st_mode),
    })
}

/// Cuts or extends (with a hole) a file.
pub fn ftruncate(file: &impl AsFd, bytes: u64) -> io::Result<()> {
    note("ftruncate");
    Ok(nix::unistd::ftruncate(file, signed(bytes)?)?)
}

/// Reserves room for `bytes` at `offset` and extends the file.
pub fn fallocate(file: &impl AsFd, offset: u64, bytes: u64) -> io::Result<()> {
    note("fallocate");
    let flags = nix::fcntl::FallocateFlags::empty();
    Ok(nix::fcntl::fallocate(file, flags, signed(offset)?, signed(bytes)?)?)
}

/// Makes data, size and extended attributes durable.
pub fn fdatasync(file: &impl AsFd) -> io::Result<()> {
    note("fdatasync");
    Ok(nix::unistd::fdatasync(file)?)
}

/// Makes a file, or the entries of a directory, durable.
pub fn fsync(file: &impl AsFd) -> io::Result<()> {
    note("fsync");
    Ok(nix::unistd::fsync(file)?)
}

/// Makes the whole file system of `file` durable.
pub fn syncfs(file: &impl AsFd) -> io::Result<()> {
    note("syncfs");
    Ok(nix::unistd::syncfs(file)?)
}

/// Reads at `offset`; 0 is the end of the file.
pub fn pread(file: &impl AsFd, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    note("pread");
    Ok(nix::sys::uio::pread(file, bytes, signed(offset)?)?)
}

/// Writes at `offset`; fewer bytes may be written than given.
pub fn pwrite(file: &impl AsFd, bytes: &[u8], offset: u64) -> io::Result<usize> {
    note("pwrite");
    Ok(nix::sys::uio::pwrite(file, bytes, signed(offset)?)?)
}

/// Writes at `offset` and makes what was written durable, as fdatasync would, with the fewest commands the device needs.
pub fn pwrite_durable(file: &impl AsFd, bytes: &[u8], offset: u64) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let (fd, offset) = (file.as_fd().as_raw_fd(), signed(offset)?);
    // SAFETY: the call reads one iovec and the bytes it names, which live across the call; it writes nothing to them.
    retry_count(|| unsafe { libc::pwritev2(fd, &raw const part, 1, offset, libc::RWF_DSYNC) as i64 })
}

/// Makes `len` bytes of `to` at `to_offset` share the extents of `from` at `offset`; 0 means up to the end. Offsets, and the length
/// unless it ends the file, are multiples of the file system's block. EOPNOTSUPP, EXDEV, EINVAL: copy instead.
pub fn clone_range(
    from: &impl AsFd,
    offset: u64,
    len: u64,
    to: &impl AsFd,
    to_offset: u64,
) -> io::Result<()> {
    note("clone_range");
    let range = libc::file_clone_range {
        src_fd: i64::from(from.as_fd().as_raw_fd()),
        src_offset: offset,
        src_length: len,
        dest_offset: to_offset,
    };
    // SAFETY: FICLONERANGE reads a file_clone_range from its argument, which lives across the call.
    retry(|| unsafe { libc::ioctl(to.as_fd().as_raw_fd(), libc::FICLONERANGE, &raw const range) }).map(drop)
}

/// Copies up to `len` bytes within the kernel, sharing extents where it can; 0 is the end of `from`.
pub fn copy_file_range(
    from: &impl AsFd,
    offset: u64,
    to: &impl AsFd,
    to_offset: u64,
    len: usize,
) -> io::Result<usize> {
    note("copy_file_range");
    let (mut offset, mut to_offset) = (signed(offset)?, signed(to_offset)?);
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: both offsets are locals that the call reads and advances; an interrupted call has advanced neither.
    retry_count(|| unsafe { libc::copy_file_range(from, &mut offset, to, &mut to_offset, len, 0) as i64 })
}

/// Moves up to `len` bytes of a file to a socket; WouldBlock when the socket is non-blocking and full, 0 at the end of the file.
pub fn sendfile(socket: &impl AsFd, file: &impl AsFd, offset: u64, len: usize) -> io::Result<usize> {
    note("sendfile");
    let mut offset = signed(offset)?;
    let (socket, file) = (socket.as_fd().as_raw_fd(), file.as_fd().as_raw_fd());
    // SAFETY: the offset is a local that the call reads and advances.
    retry_count(|| unsafe { libc::sendfile(socket, file, &mut offset, len) as i64 })
}

/// Room of a file system, in bytes and inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that an unprivileged process may still use.
    pub free: u64,
    /// Bytes of one block.
    pub block: u32,
    /// Inodes left; 0 where the file system does not count them.
    pub inodes_free: u64,
    /// Magic number of the file system's type (statfs(2)).
    pub magic: i64,
}

/// Room of the file system that `file` lies on.
pub fn statfs(file: &impl AsFd) -> io::Result<Space> {
    note("statfs");
    let s = nix::sys::statfs::fstatfs(file)?;
    let block = s.block_size() as u64;
    Ok(Space {
        used: s.blocks().saturating_sub(s.blocks_free()).saturating_mul(block),
        free: s.blocks_available().saturating_mul(block),
        block: block as u32,
        inodes_free: s.files_free(),
        magic: s.filesystem_type().0,
    })
}

/// Takes an exclusive lock that lives as long as the open file. False: another process has it.
pub fn flock_exclusive(file: &impl AsFd) -> io::Result<bool> {
    note("flock_exclusive");
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: flock takes two integers and touches no memory.
    match retry(|| unsafe { libc::flock(fd, libc::LOCK_EX | libc::LOCK_NB) }) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Pages of a range of a file, by what the page cache has of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PageCache {
    /// Present.
    pub cached: u64,
    /// Present and not yet on the disk.
    pub dirty: u64,
    /// Being written.
    pub writeback: u64,
    /// Once present, since evicted.
    pub evicted: u64,
    /// Evicted so recently that reading them back counts as thrashing.
    pub recently_evicted: u64,
}

/// The kernel's range argument.
#[repr(C)]
struct CachestatRange {
    offset: u64,
    len: u64,
}

/// Asks what the page cache has of a range (`len` 0: to the end). Linux 6.5; ENOSYS before, which callers take as "unknown".
pub fn cachestat(file: &impl AsFd, offset: u64, len: u64) -> io::Result<PageCache> {
    note("cachestat");
    /// Number of cachestat(2), the same on every architecture.
    const CACHESTAT: libc::c_long = 451;
    let range = CachestatRange { offset, len };
    let mut answer = PageCache::default();
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call reads one range and writes one answer, locals laid out as the kernel has them.
    retry(|| unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut answer, 0u32) })?;
    Ok(answer)
}

/// Asks the kernel to drop clean cached pages of a range (`len` 0: to the end).
pub fn fadvise_dont_need(file: &impl AsFd, offset: u64, len: u64) -> io::Result<()> {
    note("fadvise_dont_need");
    let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
    Ok(nix::fcntl::posix_fadvise(file, signed(offset)?, signed(len)?, advice)?)
}

/// Opens or closes the way past the page cache for later reads and writes through this descriptor (O_DIRECT).
pub fn set_direct_io(file: &impl AsFd, direct: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    note("set_direct_io");
    let mut flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_DIRECT, direct);
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Whether the file is open with O_DIRECT.
pub fn uses_direct_io(file: &impl AsFd) -> io::Result<bool> {
    note("uses_direct_io");
    let flags = nix::fcntl::fcntl(file, nix::fcntl::FcntlArg::F_GETFL)?;
    Ok(flags & libc::O_DIRECT != 0)
}
