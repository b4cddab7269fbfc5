//! Operations on one disk's ring. Each starts when it is called and is submitted with this turn's batch.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use io_uring::{opcode, squeue, types};

use crate::core::Core;
use crate::op::{Completion, Held, Kind, Memory, Operation};
use crate::socket::count_and_buf;
use crate::{Buf, Fd, sys};

/// The disk's own time ends it.
const FINITE: Kind = Kind { cancel: false, fd: false, worker: false };
const BY_WORKER: Kind = Kind { worker: true, ..FINITE };
const OPENING: Kind = Kind { fd: true, ..BY_WORKER };

/// How openat2(2) opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OpenHow {
    /// O_* flags; O_CLOEXEC is added.
    pub flags: i32,
    /// Mode of a file that is created, else 0.
    pub mode: u32,
    /// RESOLVE_* flags.
    pub resolve: u64,
}

impl OpenHow {
    /// `flags` beneath the directory, without symbolic or magic links: the only way object paths are opened.
    pub fn beneath(flags: i32) -> OpenHow {
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS;
        let mode = if flags & libc::O_CREAT != 0 { 0o644 } else { 0 };
        OpenHow { flags, mode, resolve }
    }

    /// The same, but only as far as the kernel's caches of names reach (EAGAIN beyond): it never waits for a disk.
    pub fn cached(self) -> OpenHow {
        OpenHow { resolve: self.resolve | libc::RESOLVE_CACHED, ..self }
    }
}

/// The ring of one disk. Cloning gives another handle of the same ring; it belongs to its reactor's thread.
#[derive(Clone)]
pub struct DiskRing {
    core: Rc<Core>,
    ring: usize,
}

/// Finishes an operation that filled a buffer: its length becomes the offset plus what came.
pub(crate) fn filled(mut completion: Completion) -> (io::Result<usize>, Buf) {
    let count = completion.count();
    let mut buf = completion.buf();
    if let (Ok(count), Memory::Offset(at)) = (&count, &completion.held.memory) {
        buf.set_len(at + count);
    }
    (count, buf)
}

impl DiskRing {
    pub(crate) fn new(core: Rc<Core>, ring: usize) -> DiskRing {
        DiskRing { core, ring }
    }

    /// Whether this ring uses the fixed forms for pool buffers.
    pub fn fixed(&self) -> bool {
        self.core.rings.borrow()[self.ring].fixed
    }

    /// Operations the kernel has of this ring.
    pub fn in_flight(&self) -> usize {
        self.core.rings.borrow()[self.ring].in_flight()
    }

    /// The index of a buffer that this ring has registered.
    fn registered(&self, buf: &Buf) -> Option<u16> {
        if self.core.pool.owns(buf) && self.fixed() { buf.index() } else { None }
    }

    /// Opens `path` under `dir` by openat2.
    pub fn open(&self, dir: &Fd, path: CString, how: OpenHow) -> Operation<io::Result<Fd>> {
        let kernel = types::OpenHow::new()
            .flags((how.flags | libc::O_CLOEXEC) as u64)
            .mode(u64::from(how.mode))
            .resolve(how.resolve);
        let memory = Memory::Open(Box::new((kernel, path)));
        let dirfd = types::Fd(dir.as_raw_fd());
        self.core.start(
            self.ring,
            OPENING,
            Held { fds: [Some(dir.clone()), None], memory, ..Held::default() },
            |held| {
                let Memory::Open(memory) = &held.memory else { unreachable!("made above") };
                opcode::OpenAt2::new(dirfd, memory.1.as_ptr(), &memory.0).build()
            },
            |completion| Ok(completion.descriptor()?.into()),
        )
    }

    /// Reads up to `len` bytes at `offset` of the file into `buf` from `at` on; 0 is the end of the file. The buffer's length
    /// becomes `at` plus what came. Offset, length and `at` of a file opened with O_DIRECT are multiples of its block.
    ///
    /// # Panics
    /// If `at + len` is above the buffer's capacity.
    pub fn read(
        &self,
        file: &Fd,
        buf: Buf,
        at: usize,
        len: usize,
        offset: u64,
    ) -> Operation<(io::Result<usize>, Buf)> {
        let (pointer, len) = buf.target(at, len);
        let fd = types::Fd(file.as_raw_fd());
        let entry = match self.registered(&buf) {
            Some(index) => opcode::ReadFixed::new(fd, pointer, len, index).offset(offset).build(),
            None => opcode::Read::new(fd, pointer, len).offset(offset).build(),
        };
        let held = Held { fds: [Some(file.clone()), None], buf: Some(buf), memory: Memory::Offset(at) };
        self.core.start(self.ring, FINITE, held, |_| entry, filled)
    }

    /// Writes bytes `range` of `buf` at `offset` of the file; fewer may be written than asked.
    ///
    /// # Panics
    /// If the range is not within the buffer's length.
    pub fn write(
        &self,
        file: &Fd,
        buf: Buf,
        range: Range<usize>,
        offset: u64,
    ) -> Operation<(io::Result<usize>, Buf)> {
        let (pointer, len) = buf.source(&range);
        let fd = types::Fd(file.as_raw_fd());
        let entry = match self.registered(&buf) {
            Some(index) => opcode::WriteFixed::new(fd, pointer, len, index).offset(offset).build(),
            None => opcode::Write::new(fd, pointer, len).offset(offset).build(),
        };
        let held = Held { fds: [Some(file.clone()), None], buf: Some(buf), ..Held::default() };
        self.core.start(self.ring, FINITE, held, |_| entry, count_and_buf)
    }

    /// Makes a file's data durable: all of its metadata too, or (`datasync`) only what reading it back needs.
    pub fn fsync(&self, file: &Fd, datasync: bool) -> Operation<io::Result<()>> {
        let flags = if datasync { types::FsyncFlags::DATASYNC } else { types::FsyncFlags::empty() };
        self.simple(file, opcode::Fsync::new(types::Fd(file.as_raw_fd())).flags(flags).build())
    }

    /// Reserves room for `len` bytes at `offset` (fallocate(2) with `mode`, 0 extends the file).
    pub fn fallocate(&self, file: &Fd, mode: i32, offset: u64, len: u64) -> Operation<io::Result<()>> {
        self.simple(
            file,
            opcode::Fallocate::new(types::Fd(file.as_raw_fd()), len).offset(offset).mode(mode).build(),
        )
    }

    /// Sets the file's size (Linux 6.9; EINVAL before).
    pub fn ftruncate(&self, file: &Fd, bytes: u64) -> Operation<io::Result<()>> {
        self.simple(file, opcode::Ftruncate::new(types::Fd(file.as_raw_fd()), bytes).build())
    }

    /// An operation on one descriptor, without memory.
    fn simple(&self, fd: &Fd, entry: squeue::Entry) -> Operation<io::Result<()>> {
        let held = Held { fds: [Some(fd.clone()), None], ..Held::default() };
        self.core.start(self.ring, BY_WORKER, held, |_| entry, Completion::unit)
    }

    /// Renames `from` in one directory to `to` in another (renameat2(2) with its `flags`, 0 replaces a file).
    pub fn rename(
        &self,
        from_dir: &Fd,
        from: CString,
        to_dir: &Fd,
        to: CString,
        flags: u32,
    ) -> Operation<io::Result<()>> {
        let (source, target) = (types::Fd(from_dir.as_raw_fd()), types::Fd(to_dir.as_raw_fd()));
        let held = Held {
            fds: [Some(from_dir.clone()), Some(to_dir.clone())],
            memory: Memory::Names(from, to),
            ..Held::default()
        };
        self.core.start(
            self.ring,
            BY_WORKER,
            held,
            |held| {
                let Memory::Names(from, to) = &held.memory else { unreachable!("made above") };
                opcode::RenameAt::new(source, from.as_ptr(), target, to.as_ptr()).flags(flags).build()
            },
            Completion::unit,
        )
    }

    /// Removes a file.
    pub fn unlink(&self, dir: &Fd, name: CString) -> Operation<io::Result<()>> {
        self.named(dir, name, |dir, name| opcode::UnlinkAt::new(dir, name).build())
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, dir: &Fd, name: CString) -> Operation<io::Result<()>> {
        self.named(dir, name, |dir, name| opcode::UnlinkAt::new(dir, name).flags(libc::AT_REMOVEDIR).build())
    }

    /// Makes a directory.
    pub fn mkdir(&self, dir: &Fd, name: CString, mode: u32) -> Operation<io::Result<()>> {
        self.named(dir, name, move |dir, name| opcode::MkDirAt::new(dir, name).mode(mode).build())
    }

    /// An operation on one name in a directory.
    fn named(
        &self,
        dir: &Fd,
        name: CString,
        build: impl FnOnce(types::Fd, *const libc::c_char) -> squeue::Entry,
    ) -> Operation<io::Result<()>> {
        let fd = types::Fd(dir.as_raw_fd());
        let held = Held { fds: [Some(dir.clone()), None], memory: Memory::Name(name), ..Held::default() };
        self.core.start(
            self.ring,
            BY_WORKER,
            held,
            |held| {
                let Memory::Name(name) = &held.memory else { unreachable!("made above") };
                build(fd, name.as_ptr())
            },
            Completion::unit,
        )
    }

    /// Value of an extended attribute of at most `room` bytes (ERANGE: it is longer); `None` when the file has none of that
    /// name. A kernel worker does it, so it may wait for the disk; [`sys::fgetxattr`] is cheaper where that is no matter.
    pub fn fgetxattr(&self, file: &Fd, name: CString, room: usize) -> Operation<io::Result<Option<Vec<u8>>>> {
        let fd = types::Fd(file.as_raw_fd());
        let memory = Memory::Attribute(name, vec![0; room].into_boxed_slice());
        let held = Held { fds: [Some(file.clone()), None], memory, ..Held::default() };
        self.core.start(
            self.ring,
            BY_WORKER,
            held,
            |held| {
                let Memory::Attribute(name, value) = &mut held.memory else { unreachable!("made above") };
                let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
                opcode::FGetXattr::new(fd, name.as_ptr(), value.as_mut_ptr().cast(), len).build()
            },
            |completion| match completion.count() {
                Ok(count) => {
                    let Memory::Attribute(_, value) = completion.held.memory else {
                        unreachable!("made above")
                    };
                    let mut value = Vec::from(value);
                    value.truncate(count);
                    Ok(Some(value))
                }
                Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(None),
                Err(error) => Err(error),
            },
        )
    }

    /// What the file system knows of an open file. A kernel worker does it; [`sys::fstat`] is cheaper where waiting is no matter.
    pub fn statx(&self, file: &Fd) -> Operation<io::Result<sys::Stat>> {
        let fd = types::Fd(file.as_raw_fd());
        let held = Held {
            fds: [Some(file.clone()), None],
            memory: Memory::Statx(Box::new(sys::empty_statx())),
            ..Held::default()
        };
        self.core.start(
            self.ring,
            BY_WORKER,
            held,
            |held| {
                let Memory::Statx(room) = &mut held.memory else { unreachable!("made above") };
                opcode::Statx::new(fd, c"".as_ptr(), std::ptr::from_mut(&mut **room).cast())
                    .flags(libc::AT_EMPTY_PATH)
                    .mask(libc::STATX_BASIC_STATS)
                    .build()
            },
            |completion| {
                completion.count()?;
                let Memory::Statx(room) = &completion.held.memory else { unreachable!("made above") };
                Ok(sys::Stat::from_statx(room))
            },
        )
    }
}

impl fmt::Debug for DiskRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskRing").field("ring", &self.ring).field("in_flight", &self.in_flight()).finish()
    }
}
