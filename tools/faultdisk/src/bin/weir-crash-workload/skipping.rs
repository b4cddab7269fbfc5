//! A disk that leaves out one kind of step: the planted mistakes.

use std::cell::Cell;
use std::rc::Rc;
use weir_shard::{RingDisk, RingFile};
use weir_store::{Access, DirEntry, Disk, DiskError, DiskPath, FileStat, Space};

/// What is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Skip {
    /// Nothing: the store as it is.
    Nothing,
    /// Syncs of directories.
    DirSync,
    /// Syncs of files.
    FileSync,
}

/// [`RingDisk`] without one kind of step.
#[derive(Clone)]
pub(crate) struct Skipping {
    pub(crate) disk: RingDisk,
    pub(crate) skip: Skip,
    /// False while the mountpath is made: a mountpath without an identity would show nothing else.
    pub(crate) active: Rc<Cell<bool>>,
}

impl Skipping {
    fn leaves_out(&self, step: Skip) -> bool {
        self.skip == step && self.active.get()
    }
}

impl Disk for Skipping {
    type File = RingFile;
    type Buf = <RingDisk as Disk>::Buf;

    async fn sync(&self, file: &RingFile) -> Result<(), DiskError> {
        if self.leaves_out(Skip::FileSync) { Ok(()) } else { self.disk.sync(file).await }
    }
    async fn sync_data(&self, file: &RingFile) -> Result<(), DiskError> {
        if self.leaves_out(Skip::FileSync) { Ok(()) } else { self.disk.sync_data(file).await }
    }
    async fn sync_all(&self) -> Result<(), DiskError> {
        if self.leaves_out(Skip::FileSync) { Ok(()) } else { self.disk.sync_all().await }
    }
    async fn sync_dir(&self, path: &DiskPath) -> Result<(), DiskError> {
        if self.leaves_out(Skip::DirSync) { Ok(()) } else { self.disk.sync_dir(path).await }
    }

    async fn buffer(&self, bytes: usize) -> Result<Self::Buf, DiskError> {
        self.disk.buffer(bytes).await
    }
    async fn open(&self, path: &DiskPath, access: Access) -> Result<RingFile, DiskError> {
        self.disk.open(path, access).await
    }
    async fn create(&self, path: &DiskPath, direct: bool) -> Result<RingFile, DiskError> {
        self.disk.create(path, direct).await
    }
    async fn reopen(&self, path: &DiskPath, direct: bool) -> Result<RingFile, DiskError> {
        self.disk.reopen(path, direct).await
    }
    async fn stat(&self, file: &RingFile) -> Result<FileStat, DiskError> {
        self.disk.stat(file).await
    }
    async fn read(
        &self,
        file: &RingFile,
        offset: u64,
        len: usize,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<usize, DiskError>) {
        self.disk.read(file, offset, len, buf).await
    }
    async fn write(
        &self,
        file: &RingFile,
        offset: u64,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<(), DiskError>) {
        self.disk.write(file, offset, buf).await
    }
    async fn write_through(
        &self,
        file: &RingFile,
        offset: u64,
        buf: Self::Buf,
    ) -> (Self::Buf, Result<(), DiskError>) {
        if self.leaves_out(Skip::FileSync) {
            return self.disk.write(file, offset, buf).await;
        }
        self.disk.write_through(file, offset, buf).await
    }
    async fn allocate(&self, file: &RingFile, bytes: u64) -> Result<(), DiskError> {
        self.disk.allocate(file, bytes).await
    }
    async fn truncate(&self, file: &RingFile, bytes: u64) -> Result<(), DiskError> {
        self.disk.truncate(file, bytes).await
    }
    async fn xattr_get(&self, file: &RingFile, name: &str) -> Result<Option<Vec<u8>>, DiskError> {
        self.disk.xattr_get(file, name).await
    }
    async fn xattr_set(&self, file: &RingFile, name: &str, value: &[u8]) -> Result<(), DiskError> {
        self.disk.xattr_set(file, name, value).await
    }
    async fn clone_range(
        &self,
        from: &RingFile,
        offset: u64,
        len: u64,
        to: &RingFile,
        at: u64,
    ) -> Result<bool, DiskError> {
        self.disk.clone_range(from, offset, len, to, at).await
    }
    async fn mkdir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.mkdir(path).await
    }
    async fn rename(&self, from: &DiskPath, to: &DiskPath) -> Result<(), DiskError> {
        self.disk.rename(from, to).await
    }
    async fn unlink(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.unlink(path).await
    }
    async fn rmdir(&self, path: &DiskPath) -> Result<(), DiskError> {
        self.disk.rmdir(path).await
    }
    async fn list_dir(&self, path: &DiskPath, each: &mut dyn FnMut(DirEntry)) -> Result<(), DiskError> {
        self.disk.list_dir(path, each).await
    }
    async fn space(&self) -> Result<Space, DiskError> {
        self.disk.space().await
    }
}
