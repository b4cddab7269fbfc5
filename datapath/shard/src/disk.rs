//! The `Disk` of production: a mountpath through io_uring.
//!
//! Data moves through the thread's ring for this disk. Name operations are plain system calls on a parent directory
//! opened beneath the mountpath: io_uring would hand them to kernel workers anyway, and only committer and walker
//! threads make them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_channel::oneshot;
use weir_ring::{Buf, DiskRing, Fd, Handle, sys};
use weir_store::{Access, DirEntry, Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, FileStat, Space};
use weir_types::limits;

use crate::ration::Ration;
use crate::volumes::SpareRings;

mod calls;
mod file;
mod open;

use calls::{at, c_name, file_stat, write_now};
pub use file::RingFile;
pub(crate) use file::{Residency, RingBuf};

/// Alignment of O_DIRECT transfers, in bytes: the largest logical block in use.
const ALIGN: usize = 4096;
/// Room for a record that is read through the ring; a longer one is asked for again.
const ATTRIBUTE_BYTES: usize = 1024;
/// The kernel's bound on one attribute (XATTR_SIZE_MAX), in bytes.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;
/// Entries of a directory that are read before the thread's other tasks have a turn.
const LIST_STEP: usize = 1024;
/// Durable writes of up to this many bytes are plain calls of the committer: it has nothing better to do than to wait.
const WAITED_FOR_BYTES_MAX: usize = 1 << 20;
/// Where directories go that are removed.
const WORK_DIR: &[u8] = b"%wk";
const FILE_MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// Who works on the disk: how opens reach the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// One of the node's `of` shards: must not block, opens through the ring.
    Shard {
        /// Shards of the node, which share the disk's ration of large transfers.
        of: usize,
    },
    /// A walker: may block, opens by a system call.
    Background,
    /// The committer, of which a mountpath has one: the same, and as nobody else renames or removes directories, it
    /// keeps those open that it works in.
    Committer,
}

/// A mountpath as one thread reaches it.
#[derive(Clone)]
pub struct RingDisk(Rc<Inner>);

struct Inner {
    handle: Handle,
    ring: DiskRing,
    root: Fd,
    role: Role,
    ration: Rc<Ration>,
    /// What waits in the kernel's threads, which all disks of a shard share.
    calls: Rc<Ration>,
    /// Directories that the committer keeps open, by path: most name operations are in few of them.
    dirs: RefCell<HashMap<DiskPath, Fd>>,
    // Shared by the threads of a mountpath: said once, then every file is opened buffered.
    buffered_only: Arc<AtomicBool>,
    /// Where the ring goes when nothing of the disk is in use any more.
    spare: Option<Rc<SpareRings>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            spare.give_back(self.ring.clone());
        }
    }
}

impl RingDisk {
    /// Opens the mountpath's directory for this thread. `buffered_only` is shared by all threads of the mountpath.
    pub fn open_root(
        handle: Handle,
        directory: &Path,
        role: Role,
        buffered_only: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let ring = handle.disk_ring().map_err(io::Error::other)?;
        Self::open_on(handle, (ring, None), directory, role, buffered_only)
    }

    /// The same over a ring that is there; it is given back in the end.
    pub(crate) fn open_on(
        handle: Handle,
        (ring, spare): (DiskRing, Option<Rc<SpareRings>>),
        directory: &Path,
        role: Role,
        buffered_only: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let root = sys::open_dir(directory)?;
        let budget = match role {
            Role::Shard { of } => (limits::DISK_BULK_BYTES / of.max(1)).max(limits::IO_BUFFER_BYTES),
            Role::Background | Role::Committer => limits::DISK_BACKGROUND_BYTES,
        };
        let (ration, calls) = (Ration::new(budget), Ration::new(limits::DISK_CALLS_MAX as usize));
        let dirs = RefCell::default();
        Ok(Self(Rc::new(Inner { handle, ring, root, role, ration, calls, dirs, buffered_only, spare })))
    }

    /// Begins a call that may wait for the disk when it is its turn.
    async fn call<F: Future>(&self, begin: impl FnOnce(&DiskRing) -> F) -> F::Output {
        let _turn = match self.0.role {
            Role::Shard { .. } => Some(self.0.calls.take(1).await),
            Role::Background | Role::Committer => None,
        };
        begin(&self.0.ring).await
    }

    /// A buffer outside the pool, for work that must not wait for one while it holds another.
    pub fn heap(&self, bytes: usize) -> RingBuf {
        let mut buf = self.0.handle.buffers().heap(bytes);
        buf.set_len(0);
        RingBuf(buf)
    }

    /// Writes `buf[range]`; `offset` is where `buf[0]` would go.
    async fn write_all(
        &self,
        fd: &Fd,
        offset: u64,
        mut buf: Buf,
        range: std::ops::Range<usize>,
    ) -> (Buf, io::Result<()>) {
        let mut at = range.start;
        while at < range.end {
            let (done, back) = self.0.ring.write(fd, buf, at..range.end, offset + at as u64).await;
            buf = back;
            match done {
                Ok(0) => return (buf, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => at += n,
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                Err(e) => return (buf, Err(e)),
            }
        }
        (buf, Ok(()))
    }
}

impl Disk for RingDisk {
    type File = RingFile;
    type Buf = RingBuf;

    async fn buffer(&self, bytes: usize) -> Result<RingBuf, DiskError> {
        let pool = self.0.handle.buffers();
        let mut buf = if bytes <= pool.buffer_bytes() { pool.take().await } else { pool.heap(bytes) };
        buf.set_len(0);
        Ok(RingBuf(buf))
    }

    async fn open(&self, path: &DiskPath, access: Access) -> Result<RingFile, DiskError> {
        let flags = libc::O_RDONLY;
        let direct = access == Access::Direct;
        let mut file = self.open_as(path, flags, direct).await.map_err(|e| at("open", path, &e))?;
        // An open file's inode is in memory: this never waits for the disk.
        let stat = sys::fstat(&file.fd).map_err(|e| at("open", path, &e))?;
        if stat.kind == sys::FileKind::Directory {
            return Err(DiskError::at("open", path, DiskErrorKind::IsDirectory));
        }
        file.stat = Some(file_stat(&stat));
        Ok(RingFile(Arc::new(file)))
    }

    async fn create(&self, path: &DiskPath, direct: bool) -> Result<RingFile, DiskError> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
        let file = self.open_as(path, flags, direct).await.map_err(|e| at("create", path, &e))?;
        Ok(RingFile(Arc::new(file)))
    }

    async fn reopen(&self, path: &DiskPath, direct: bool) -> Result<RingFile, DiskError> {
        let file = self.open_as(path, libc::O_RDWR, direct).await.map_err(|e| at("reopen", path, &e))?;
        Ok(RingFile(Arc::new(file)))
    }

    async fn stat(&self, file: &RingFile) -> Result<FileStat, DiskError> {
        match file.0.stat {
            Some(stat) => Ok(stat),
            None => sys::fstat(file.fd()).map(|s| file_stat(&s)).map_err(|e| at("stat", file.path(), &e)),
        }
    }

    async fn read(
        &self,
        file: &RingFile,
        offset: u64,
        len: usize,
        buf: RingBuf,
    ) -> (RingBuf, Result<usize, DiskError>) {
        let mut buf = buf.0;
        // Also while it passes through the page cache: that may change before the kernel begins.
        let ask = if file.0.aligned { len.next_multiple_of(ALIGN).min(buf.capacity()) } else { len };
        buf.set_len(ask);
        let mut got = 0;
        // A direct read may stop early only at the end of the file or on a boundary; go on from there.
        let result = loop {
            let (done, back) = self.0.ring.read(file.fd(), buf, got, ask - got, offset + got as u64).await;
            buf = back;
            match done {
                Ok(0) => break Ok(got),
                Ok(n) => {
                    got += n;
                    if got >= len || (file.0.aligned && got % ALIGN != 0) {
                        break Ok(got);
                    }
                }
                Err(e) if e.raw_os_error() == Some(libc::EINTR) => {}
                Err(e) => break Err(at("read", file.path(), &e)),
            }
        };
        let result = result.map(|n| n.min(len));
        buf.set_len(*result.as_ref().unwrap_or(&0));
        (RingBuf(buf), result)
    }

    async fn read_new(
        &self,
        file: &RingFile,
        offset: u64,
        len: usize,
    ) -> Result<(RingBuf, Result<usize, DiskError>), DiskError> {
        let _pass = self.0.ration.pass(len).await;
        let buf = self.buffer(len).await?;
        Ok(self.read(file, offset, len, buf).await)
    }

    async fn write(&self, file: &RingFile, offset: u64, buf: RingBuf) -> (RingBuf, Result<(), DiskError>) {
        let len = buf.len();
        if self.0.role == Role::Committer && !file.0.aligned {
            // Into the page cache: no disk is waited for, and a turn of the ring costs more than the copy.
            let done =
                write_now(sys::pwrite, file.fd(), &buf, offset).map_err(|e| at("write", file.path(), &e));
            return (buf, done);
        }
        let _pass = self.0.ration.pass(len).await;
        let body = if file.0.aligned { len - len % ALIGN } else { len };
        let (mut buf, mut done) = self.write_all(file.fd(), offset, buf.0, 0..body).await;
        if done.is_ok() && body < len {
            // The unaligned tail goes through the page cache by a descriptor of its own; the sync covers both.
            done = match self.open_fd(file.path(), libc::O_WRONLY).await {
                Err(e) => Err(e),
                Ok((tail, _)) => {
                    let (back, wrote) = self.write_all(&tail, offset, buf, body..len).await;
                    buf = back;
                    wrote
                }
            };
        }
        (RingBuf(buf), done.map_err(|e| at("write", file.path(), &e)))
    }

    async fn write_through(
        &self,
        file: &RingFile,
        offset: u64,
        buf: RingBuf,
    ) -> (RingBuf, Result<(), DiskError>) {
        if self.0.role == Role::Committer && buf.len() <= WAITED_FOR_BYTES_MAX {
            let done = write_now(sys::pwrite_durable, file.fd(), &buf, offset);
            return (buf, done.map_err(|e| at("write_through", file.path(), &e)));
        }
        let (buf, written) = self.write(file, offset, buf).await;
        match written {
            Ok(()) => (buf, self.sync_data(file).await),
            Err(e) => (buf, Err(e)),
        }
    }

    async fn allocate(&self, file: &RingFile, bytes: u64) -> Result<(), DiskError> {
        match self.call(|ring| ring.fallocate(file.fd(), 0, 0, bytes)).await {
            // Not every file system can; the writes will then find out.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            other => other.map_err(|e| at("allocate", file.path(), &e)),
        }
    }

    async fn truncate(&self, file: &RingFile, bytes: u64) -> Result<(), DiskError> {
        let done = match self.0.role {
            Role::Shard { .. } => match self.call(|ring| ring.ftruncate(file.fd(), bytes)).await {
                // A kernel whose rings cannot: rather wait than not do it.
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => sys::ftruncate(file.fd(), bytes),
                done => done,
            },
            Role::Background | Role::Committer => sys::ftruncate(file.fd(), bytes),
        };
        done.map_err(|e| at("truncate", file.path(), &e))
    }

    async fn sync(&self, file: &RingFile) -> Result<(), DiskError> {
        self.call(|ring| ring.fsync(file.fd(), false)).await.map_err(|e| at("sync", file.path(), &e))
    }

    async fn sync_data(&self, file: &RingFile) -> Result<(), DiskError> {
        self.call(|ring| ring.fsync(file.fd(), true)).await.map_err(|e| at("sync_data", file.path(), &e))
    }

    async fn sync_all(&self) -> Result<(), DiskError> {
        // The ring has no such operation, and it may take long: a thread of its own waits for it.
        let failed = |e: &io::Error| at("sync_all", &DiskPath::root(), e);
        let root = self.0.root.clone();
        let (tell, done) = oneshot::channel();
        let spawned = std::thread::Builder::new()
            .name("syncfs".into())
            .spawn(move || drop(tell.send(sys::syncfs(&root))));
        spawned.map_err(|e| failed(&e))?;
        match done.await {
            Ok(done) => done.map_err(|e| failed(&e)),
            Err(_) => Err(DiskError::at("sync_all", &DiskPath::root(), DiskErrorKind::Io)),
        }
    }

    async fn xattr_get(&self, file: &RingFile, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        let (fd, name) = (file.fd(), c_name(name, file.path())?);
        let failed = |e| at("xattr_get", file.path(), &e);
        if !matches!(self.0.role, Role::Shard { .. }) || !file.0.cold {
            return sys::fgetxattr(fd, &name).map_err(failed);
        }
        match self.0.ring.fgetxattr(fd, name.clone(), ATTRIBUTE_BYTES).await {
            Err(e) if e.raw_os_error() == Some(libc::ERANGE) => {
                self.0.ring.fgetxattr(fd, name, ATTRIBUTE_BYTES_MAX).await.map_err(failed)
            }
            read => read.map_err(failed),
        }
    }

    async fn xattr_set(&self, file: &RingFile, name: &str, value: &[u8]) -> Result<(), DiskError> {
        sys::fsetxattr(file.fd(), &c_name(name, file.path())?, value)
            .map_err(|e| at("xattr_set", file.path(), &e))
    }

    async fn clone_range(
        &self,
        from: &RingFile,
        offset: u64,
        len: u64,
        to: &RingFile,
        to_at: u64,
    ) -> Result<bool, DiskError> {
        match sys::clone_range(from.fd(), offset, len, to.fd(), to_at) {
            Ok(()) => Ok(true),
            Err(e)
                if matches!(
                    e.raw_os_error(),
                    Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOTTY | libc::EXDEV)
                ) =>
            {
                Ok(false)
            }
            Err(e) => Err(at("clone_range", to.path(), &e)),
        }
    }

    async fn mkdir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.in_parent("mkdir", path, |dir, name| sys::mkdirat(dir, name, DIR_MODE))
    }

    async fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        let parent = to.parent().ok_or_else(|| DiskError::at("rename", to, DiskErrorKind::Refused))?;
        let done = self.in_parent("rename", from, |from_dir, from_name| {
            let to_name = CString::new(to.file_name())?;
            self.in_dir(&parent, |to_dir| sys::renameat2(from_dir, from_name, to_dir, &to_name, 0))
        });
        // Only directories are renamed into the work directory: those below it are elsewhere now.
        if to.components().next() == Some(WORK_DIR) {
            self.0.dirs.borrow_mut().clear();
        }
        done
    }

    async fn unlink(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.in_parent("unlink", path, |dir, name| sys::unlinkat(dir, name))
    }

    async fn rmdir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.forget_dir(path);
        self.in_parent("rmdir", path, |dir, name| sys::rmdirat(dir, name))
    }

    async fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        let dir = self.in_dir(path, |dir| Ok(dir.clone())).map_err(|e| at("sync_dir", path, &e))?;
        self.call(|ring| ring.fsync(&dir, false)).await.map_err(|e| at("sync_dir", path, &e))
    }

    async fn list_dir(&self, path: &DiskPath, each: &mut dyn FnMut(DirEntry)) -> Result<(), DiskError> {
        let dir = self.open_dir(path).map_err(|e| at("list_dir", path, &e))?;
        let names = sys::read_dir(&dir).map_err(|e| at("list_dir", path, &e))?;
        for (read, item) in (1..).zip(names) {
            let item = item.map_err(|e| at("list_dir", path, &e))?;
            let kind = match item.kind {
                sys::FileKind::File => EntryKind::File,
                sys::FileKind::Directory => EntryKind::Dir,
                sys::FileKind::Symlink | sys::FileKind::Other => EntryKind::Other,
            };
            each(DirEntry { name: item.name, kind });
            if read % LIST_STEP == 0 {
                self.0.handle.yield_now().await;
            }
        }
        Ok(())
    }

    async fn space(&self) -> Result<Space, DiskError> {
        let s = sys::statfs(&self.0.root).map_err(|e| at("space", &DiskPath::root(), &e))?;
        Ok(Space { used: s.used, free: s.free })
    }
}
