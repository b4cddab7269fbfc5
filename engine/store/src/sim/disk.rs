use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::{FileOp, Inode, ROOT, State};
use super::{Crash, Random, Yield};
use crate::{Access, DirEntry, Disk, DiskError, DiskErrorKind, DiskPath, EntryKind, FileStat, Space};

type Done<T> = Result<T, DiskError>;

/// A disk in memory with a volatile cache. Clones are the same disk; it may be shared between threads.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    /// Bytes of a buffer before its length is set show what was not written.
    poison: u8,
}

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk without bounds that can share extents.
    pub fn new() -> Self {
        Self { state: Arc::new(Mutex::new(State::new())), poison: 0xa5 }
    }

    /// Bounds the bytes of all files.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Whether [`Disk::clone_range`] works.
    pub fn set_shares(&self, shares: bool) {
        self.state.lock().shares = shares;
    }

    /// The disk as the next life finds it.
    pub fn crash(&self, crash: Crash, seed: u64) -> Self {
        let state = self.state.lock().crash(crash, &mut Random::new(seed));
        Self { state: Arc::new(Mutex::new(state)), poison: self.poison }
    }

    /// An unsynced file's writes will never reach the disk, though the cache shows them: what a failed sync leaves.
    pub fn lose_unsynced(&self, file: u64) {
        if let Some(Inode::File { pending, landed, .. }) = self.state.lock().inodes.get_mut(&file) {
            *landed += pending.len() as u64;
            pending.clear();
        }
    }

    /// All files by path, with their bytes.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut out = BTreeMap::new();
        self.each_file(|path, bytes| {
            out.insert(path, bytes.to_vec());
        });
        out
    }

    /// The paths of all files.
    pub fn paths(&self) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        self.each_file(|path, _| {
            out.insert(path);
        });
        out
    }

    fn each_file(&self, mut each: impl FnMut(String, &[u8])) {
        let state = self.state.lock();
        let mut open = vec![(String::new(), ROOT)];
        while let Some((path, number)) = open.pop() {
            match state.inodes.get(&number) {
                Some(Inode::Dir { cached, .. }) => {
                    for (name, child) in cached {
                        let name = String::from_utf8_lossy(name);
                        let below =
                            if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                        open.push((below, *child));
                    }
                }
                Some(Inode::File { cached, .. }) => each(path, &cached.data),
                None => {}
            }
        }
    }

    /// Flips one bit of a file, on the disk, in the cache and on the way between them.
    pub fn flip_bit(&self, path: &DiskPath, byte: usize) -> bool {
        let mut state = self.state.lock();
        let Ok(number) = state.find("flip", path) else { return false };
        let Some(Inode::File { cached, durable, pending, .. }) = state.inodes.get_mut(&number) else {
            return false;
        };
        for content in [cached, durable] {
            if let Some(b) = content.data.get_mut(byte) {
                *b ^= 1;
            }
        }
        for op in pending {
            if let FileOp::Write(offset, bytes) = op
                && let Some(b) = byte.checked_sub(*offset as usize).and_then(|at| bytes.get_mut(at))
            {
                *b ^= 1;
            }
        }
        true
    }

    fn with_file<T>(&self, operation: &'static str, file: u64, f: impl FnOnce(&mut Inode) -> T) -> Done<T> {
        let mut state = self.state.lock();
        let inode = state.inodes.get_mut(&file);
        inode.map(f).ok_or_else(|| DiskError::of_file(operation, DiskErrorKind::Io))
    }

    /// Changes a file in the cache.
    fn change(&self, operation: &'static str, file: u64, op: FileOp) -> Done<()> {
        {
            let state = self.state.lock();
            let end = match &op {
                FileOp::Write(offset, bytes) => offset + bytes.len() as u64,
                FileOp::Truncate(size) => *size,
                FileOp::Xattr(..) => 0,
            };
            state.check_room(operation, file, end)?;
        }
        self.with_file(operation, file, |inode| {
            if let Inode::File { cached, pending, .. } = inode {
                cached.apply(&op);
                pending.push(op);
            }
        })
    }
}

impl State {
    fn check_room(&self, operation: &'static str, file: u64, end: u64) -> Done<()> {
        if self.capacity == u64::MAX {
            return Ok(());
        }
        let used: u64 = self.inodes.iter().map(|(n, i)| if *n == file { 0 } else { bytes_of(i) }).sum();
        let own = self.inodes.get(&file).map_or(0, bytes_of).max(end);
        if used + own > self.capacity {
            return Err(DiskError::of_file(operation, DiskErrorKind::NoSpace));
        }
        Ok(())
    }

    fn find(&self, operation: &'static str, path: &DiskPath) -> Done<u64> {
        let mut at = ROOT;
        for component in path.components() {
            let entries = self.entries(operation, path, at)?;
            at = *entries
                .get(component)
                .ok_or_else(|| DiskError::at(operation, path, DiskErrorKind::NotFound))?;
        }
        Ok(at)
    }

    fn entries(&self, operation: &'static str, path: &DiskPath, dir: u64) -> Done<&BTreeMap<Vec<u8>, u64>> {
        match self.inodes.get(&dir) {
            Some(Inode::Dir { cached, .. }) => Ok(cached),
            _ => Err(DiskError::at(operation, path, DiskErrorKind::NotDirectory)),
        }
    }

    /// The directory of a path (which must be one) and what the path names there.
    fn place(&self, operation: &'static str, path: &DiskPath) -> Done<(u64, Vec<u8>, Option<u64>)> {
        let refused = || DiskError::at(operation, path, DiskErrorKind::Refused);
        let dir = self.find(operation, &path.parent().ok_or_else(refused)?)?;
        let name = path.file_name().to_vec();
        let child = self.entries(operation, path, dir)?.get(&name).copied();
        Ok((dir, name, child))
    }

    fn set_entry(&mut self, dir: u64, name: Vec<u8>, child: Option<u64>) {
        if let Some(Inode::Dir { cached, pending, .. }) = self.inodes.get_mut(&dir) {
            match child {
                Some(child) => cached.insert(name.clone(), child),
                None => cached.remove(&name),
            };
            pending.push((name, child));
        }
    }

    fn is_dir(&self, number: u64) -> bool {
        matches!(self.inodes.get(&number), Some(Inode::Dir { .. }))
    }

    fn make(&mut self, operation: &'static str, path: &DiskPath, inode: Inode) -> Done<u64> {
        let (dir, name, child) = self.place(operation, path)?;
        if child.is_some() {
            return Err(DiskError::at(operation, path, DiskErrorKind::AlreadyExists));
        }
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, inode);
        self.set_entry(dir, name, Some(number));
        Ok(number)
    }
}

fn bytes_of(inode: &Inode) -> u64 {
    match inode {
        Inode::File { cached, .. } => cached.data.len() as u64,
        Inode::Dir { .. } => 0,
    }
}

impl Disk for SimDisk {
    /// The inode's number.
    type File = u64;
    type Buf = Vec<u8>;

    async fn buffer(&self, bytes: usize) -> Done<Vec<u8>> {
        let mut buf = vec![self.poison; bytes];
        buf.clear();
        Ok(buf)
    }

    async fn open(&self, path: &DiskPath, _: Access) -> Done<u64> {
        Yield::default().await;
        let state = self.state.lock();
        let number = state.find("open", path)?;
        if state.is_dir(number) {
            return Err(DiskError::at("open", path, DiskErrorKind::IsDirectory));
        }
        Ok(number)
    }

    async fn create(&self, path: &DiskPath, _: bool) -> Done<u64> {
        Yield::default().await;
        self.state.lock().make("create", path, Inode::file())
    }

    async fn reopen(&self, path: &DiskPath, _: bool) -> Done<u64> {
        self.open(path, Access::Buffered).await
    }

    async fn stat(&self, file: &u64) -> Done<FileStat> {
        Yield::default().await;
        self.with_file("stat", *file, |inode| FileStat {
            size: bytes_of(inode),
            mtime_ns: 0,
            regular: matches!(inode, Inode::File { .. }),
        })
    }

    async fn read(&self, file: &u64, offset: u64, len: usize, mut buf: Vec<u8>) -> (Vec<u8>, Done<usize>) {
        Yield::default().await;
        let got = self.with_file("read", *file, |inode| {
            let Inode::File { cached, .. } = inode else { return 0 };
            let start = (offset as usize).min(cached.data.len());
            let end = (start + len).min(cached.data.len());
            buf.clear();
            buf.extend_from_slice(&cached.data[start..end]);
            end - start
        });
        (buf, got)
    }

    async fn write(&self, file: &u64, offset: u64, buf: Vec<u8>) -> (Vec<u8>, Done<()>) {
        Yield::default().await;
        let done = self.change("write", *file, FileOp::Write(offset, buf.clone()));
        (buf, done)
    }

    async fn write_through(&self, file: &u64, offset: u64, buf: Vec<u8>) -> (Vec<u8>, Done<()>) {
        Yield::default().await;
        let op = FileOp::Write(offset, buf.clone());
        let done = self
            .change("write_through", *file, op)
            .and_then(|()| self.with_file("write_through", *file, Inode::land_last));
        (buf, done)
    }

    async fn allocate(&self, file: &u64, bytes: u64) -> Done<()> {
        Yield::default().await;
        // As fallocate does without FALLOC_FL_KEEP_SIZE: the size grows, so that a store that forgets to trim is seen.
        let size = self.with_file("allocate", *file, |inode| bytes_of(inode))?;
        self.change("allocate", *file, FileOp::Truncate(size.max(bytes)))
    }

    async fn truncate(&self, file: &u64, bytes: u64) -> Done<()> {
        Yield::default().await;
        self.change("truncate", *file, FileOp::Truncate(bytes))
    }

    async fn sync(&self, file: &u64) -> Done<()> {
        Yield::default().await;
        self.with_file("sync", *file, |inode| inode.land(u64::MAX))
    }

    async fn sync_data(&self, file: &u64) -> Done<()> {
        Yield::default().await;
        self.with_file("sync_data", *file, |inode| inode.land(u64::MAX))
    }

    async fn sync_all(&self) -> Done<()> {
        // What is done while it runs is not covered.
        let marks: Vec<(u64, u64)> =
            self.state.lock().inodes.iter().map(|(number, inode)| (*number, inode.mark())).collect();
        Yield::default().await;
        let mut state = self.state.lock();
        for (number, mark) in marks {
            if let Some(inode) = state.inodes.get_mut(&number) {
                inode.land(mark);
            }
        }
        Ok(())
    }

    async fn xattr_get(&self, file: &u64, name: &str) -> Done<Option<Vec<u8>>> {
        Yield::default().await;
        self.with_file("xattr_get", *file, |inode| match inode {
            Inode::File { cached, .. } => cached.xattrs.get(name).cloned(),
            Inode::Dir { .. } => None,
        })
    }

    async fn xattr_set(&self, file: &u64, name: &str, value: &[u8]) -> Done<()> {
        Yield::default().await;
        self.change("xattr_set", *file, FileOp::Xattr(name.to_owned(), value.to_vec()))
    }

    async fn clone_range(&self, from: &u64, offset: u64, len: u64, to: &u64, at: u64) -> Done<bool> {
        Yield::default().await;
        if !self.state.lock().shares {
            return Ok(false);
        }
        let bytes = self.with_file("clone_range", *from, |inode| match inode {
            Inode::File { cached, .. } => {
                let size = cached.data.len();
                let start = (offset as usize).min(size);
                cached.data[start..(start + len as usize).min(size)].to_vec()
            }
            Inode::Dir { .. } => Vec::new(),
        })?;
        // The kernel refuses what does not lie on the grid of the file system.
        let aligned = offset.is_multiple_of(4096) && at.is_multiple_of(4096) && bytes.len() as u64 == len;
        if !aligned {
            return Err(DiskError::of_file("clone_range", DiskErrorKind::Refused));
        }
        self.change("clone_range", *to, FileOp::Write(at, bytes))?;
        Ok(true)
    }

    async fn mkdir(&self, path: &DiskPath) -> Done<()> {
        Yield::default().await;
        self.state.lock().make("mkdir", path, Inode::dir()).map(|_| ())
    }

    async fn rename(&self, from: &DiskPath, to: &DiskPath) -> Done<()> {
        Yield::default().await;
        let mut state = self.state.lock();
        let (from_dir, from_name, child) = state.place("rename", from)?;
        let child = child.ok_or_else(|| DiskError::at("rename", from, DiskErrorKind::NotFound))?;
        let (to_dir, to_name, old) = state.place("rename", to)?;
        let kind = match old {
            Some(old) if state.is_dir(old) && !state.is_dir(child) => Some(DiskErrorKind::IsDirectory),
            Some(_) if state.is_dir(child) => Some(DiskErrorKind::AlreadyExists),
            _ => None,
        };
        if let Some(kind) = kind {
            return Err(DiskError::at("rename", to, kind));
        }
        state.set_entry(to_dir, to_name, Some(child));
        state.set_entry(from_dir, from_name, None);
        Ok(())
    }

    async fn unlink(&self, path: &DiskPath) -> Done<()> {
        Yield::default().await;
        let mut state = self.state.lock();
        let (dir, name, child) = state.place("unlink", path)?;
        let kind = match child {
            None => DiskErrorKind::NotFound,
            Some(child) if state.is_dir(child) => DiskErrorKind::IsDirectory,
            Some(_) => {
                state.set_entry(dir, name, None);
                return Ok(());
            }
        };
        Err(DiskError::at("unlink", path, kind))
    }

    async fn rmdir(&self, path: &DiskPath) -> Done<()> {
        Yield::default().await;
        let mut state = self.state.lock();
        let (dir, name, child) = state.place("rmdir", path)?;
        let child = child.ok_or_else(|| DiskError::at("rmdir", path, DiskErrorKind::NotFound))?;
        if !state.entries("rmdir", path, child)?.is_empty() {
            return Err(DiskError::at("rmdir", path, DiskErrorKind::NotEmpty));
        }
        state.set_entry(dir, name, None);
        Ok(())
    }

    async fn sync_dir(&self, path: &DiskPath) -> Done<()> {
        Yield::default().await;
        let mut state = self.state.lock();
        let number = state.find("sync_dir", path)?;
        state.entries("sync_dir", path, number)?;
        if let Some(inode) = state.inodes.get_mut(&number) {
            inode.land(u64::MAX);
        }
        Ok(())
    }

    async fn list_dir(&self, path: &DiskPath, each: &mut dyn FnMut(DirEntry)) -> Done<()> {
        Yield::default().await;
        let entries: Vec<DirEntry> = {
            let state = self.state.lock();
            let number = state.find("list_dir", path)?;
            let entries = state.entries("list_dir", path, number)?.iter();
            let kind = |n: &u64| if state.is_dir(*n) { EntryKind::Dir } else { EntryKind::File };
            entries.map(|(name, n)| DirEntry { name: name.clone(), kind: kind(n) }).collect()
        };
        entries.into_iter().for_each(each);
        Ok(())
    }

    async fn space(&self) -> Done<Space> {
        let state = self.state.lock();
        let used: u64 = state.inodes.values().map(bytes_of).sum();
        Ok(Space { used, free: state.capacity.saturating_sub(used) })
    }
}
