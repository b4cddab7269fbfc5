use std::ops::{Deref, DerefMut};

use crate::{DiskError, DiskPath};

/// An owned I/O buffer: lent to an operation and given back by it. `len` bytes are its content.
pub trait Buffer: Deref<Target = [u8]> + DerefMut + 'static {
    /// Bytes it can hold.
    fn capacity(&self) -> usize;
    /// Sets the content's length, at most `capacity`; bytes that come into view are some earlier content or zeros.
    fn set_len(&mut self, len: usize);
}

impl Buffer for Vec<u8> {
    fn capacity(&self) -> usize {
        Vec::capacity(self)
    }
    fn set_len(&mut self, len: usize) {
        self.resize(len, 0);
    }
}

/// How a file is opened for reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Through the page cache.
    Buffered,
    /// Past the page cache where the file system can; a wish, not a demand.
    Direct,
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileStat {
    /// Size in bytes.
    pub size: u64,
    /// Last change of the content, nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Whether it is a regular file.
    pub regular: bool,
}

/// The kind of a directory's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// Anything else: never made by this store, never followed.
    Other,
}

/// One entry of a directory, without `.` and `..`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DirEntry {
    /// Its name, raw.
    pub name: Vec<u8>,
    /// What it names.
    pub kind: EntryKind,
}

/// Room of the file system that holds the mountpath, as df(1) counts it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    /// Bytes in use.
    pub used: u64,
    /// Bytes that an unprivileged writer may still take.
    pub free: u64,
}

impl Space {
    /// Bytes that are used or may be. Less than the file system's size where part of that is kept for root, or is another's by
    /// a limit that the file system does not know.
    pub fn total(&self) -> u64 {
        self.used.saturating_add(self.free)
    }
}

/// The few operations the store needs of a disk. Paths are beneath the mountpath, symbolic links are never followed.
///
/// A value belongs to one thread (its futures need not be `Send`); `File` may travel, so that the thread that wrote a
/// file and the committer that names it can differ. Buffers are owned by the operation while it runs and come back
/// with its result. Dropping a future leaves the operation's effect open: it may happen later or never.
///
/// Durability: nothing is durable before [`Disk::sync`] (content, size and extended attributes of one file),
/// [`Disk::sync_dir`] (the entries of one directory) or [`Disk::sync_all`] has returned `Ok`. After an error of any
/// of them nothing is known.
pub trait Disk: Clone + 'static {
    /// An open file; clones are the same open file.
    type File: Clone + Send + Sync + 'static;
    /// A buffer of this disk.
    type Buf: Buffer;

    /// An empty buffer (`len` 0) of at least `bytes`; may wait until one comes back.
    async fn buffer(&self, bytes: usize) -> Result<Self::Buf, DiskError>;

    /// Opens an existing file for reading (and reading attributes; the committer also sets attributes on it).
    /// Absent: `NotFound`; a directory: `IsDirectory`; a component above that is no directory: `NotDirectory`.
    async fn open(&self, path: &DiskPath, access: Access) -> Result<Self::File, DiskError>;
    /// Creates a file for reading and writing; `AlreadyExists` if the name is taken. `direct` is a wish:
    /// an unaligned tail is the disk's business.
    async fn create(&self, path: &DiskPath, direct: bool) -> Result<Self::File, DiskError>;
    /// Opens an existing file for reading and writing; absent: `NotFound`. `direct` as in [`Disk::create`].
    async fn reopen(&self, path: &DiskPath, direct: bool) -> Result<Self::File, DiskError>;
    /// Size, time and kind.
    async fn stat(&self, file: &Self::File) -> Result<FileStat, DiskError>;
    /// Reads up to `len` bytes from `offset` to the start of `buf` (capacity ≥ `len`) and sets its length to the count.
    /// Fewer only at the end of the file or when the disk cut the read short; 0 only at the end.
    async fn read(
        &self,
        file: &Self::File,
        offset: u64,
        len: usize,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<usize, DiskError>);
    /// [`Disk::buffer`] and [`Disk::read`] in one. A disk that rations large reads takes the buffer only when the read's
    /// turn has come, so that those who wait hold none.
    async fn read_new(
        &self,
        file: &Self::File,
        offset: u64,
        len: usize,
    ) -> Result<(Self::Buf, Result<usize, DiskError>), DiskError> {
        let buf = self.buffer(len).await?;
        Ok(self.read(file, offset, len, buf).await)
    }
    /// Writes all of `buf[..len]` at `offset`. On a file created `direct` the store's own writes begin on multiples of
    /// 4 KiB; those of [`crate::Writer::write`] begin where its caller's pieces end.
    async fn write(
        &self,
        file: &Self::File,
        offset: u64,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<(), DiskError>);
    /// [`write`](Self::write) within the file's size and [`sync_data`](Self::sync_data) of these bytes alone, in one:
    /// what was written before may be lost though this is not.
    async fn write_through(
        &self,
        file: &Self::File,
        offset: u64,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<(), DiskError>);
    /// Reserves room for a file of `bytes`; may do nothing. It may change the size: the store truncates.
    async fn allocate(&self, file: &Self::File, bytes: u64) -> Result<(), DiskError>;
    /// Sets the size.
    async fn truncate(&self, file: &Self::File, bytes: u64) -> Result<(), DiskError>;
    /// Makes content, size and attributes durable. On Linux this is `fsync`: ext4's `fdatasync` may leave a changed
    /// attribute out when the size did not change with it.
    async fn sync(&self, file: &Self::File) -> Result<(), DiskError>;
    /// Makes content durable that was written within the file's size: nothing else. On Linux `fdatasync`.
    async fn sync_data(&self, file: &Self::File) -> Result<(), DiskError>;
    /// Makes durable everything on the file system that was done before the call, names and files. It may take long;
    /// other operations go on meanwhile.
    async fn sync_all(&self) -> Result<(), DiskError>;
    /// An extended attribute; `None` if the file has none of that name.
    async fn xattr_get(&self, file: &Self::File, name: &str) -> Result<Option<Vec<u8>>, DiskError>;
    /// Sets an extended attribute: afterwards the old or the new value is there, never a mixture.
    async fn xattr_set(&self, file: &Self::File, name: &str, value: &[u8]) -> Result<(), DiskError>;
    /// Shares extents: `len` bytes of `from` at `offset` become `to`'s at `at`. `false`: not supported here, copy instead.
    async fn clone_range(
        &self,
        from: &Self::File,
        offset: u64,
        len: u64,
        to: &Self::File,
        at: u64,
    ) -> Result<bool, DiskError>;

    /// Makes one directory; `AlreadyExists` if the name is taken by anything.
    async fn mkdir(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Renames in one step. A file replaces a file; `IsDirectory` if `to` is a directory and `from` a file.
    /// A directory is renamed to a free name only.
    async fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError>;
    /// Removes a file; `IsDirectory` if it is one.
    async fn unlink(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Removes an empty directory; `NotEmpty` otherwise.
    async fn rmdir(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Makes a directory's entries durable. A rename between two directories is durable after both (or, on a
    /// journalling file system, either).
    async fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError>;
    /// Calls `each` for every entry, in any order, without holding them all. Entries changed meanwhile may or may not come.
    async fn list_dir(&self, path: &DiskPath, each: &mut dyn FnMut(DirEntry)) -> Result<(), DiskError>;
    /// Capacity now.
    async fn space(&self) -> Result<Space, DiskError>;
}
