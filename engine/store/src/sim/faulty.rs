use std::sync::Arc;

use parking_lot::Mutex;

use super::SimDisk;
use crate::{Access, DirEntry, Disk, DiskError, DiskErrorKind, DiskPath, FileStat, Space};

type Done<T> = Result<T, DiskError>;

/// What happens at the chosen call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The process dies: this call and all later ones fail. `applied`: the call's effect happened before.
    Die {
        /// Whether it did.
        applied: bool,
    },
    /// An I/O error; a sync that fails so loses what it should have written, for good.
    Io {
        /// Whether the effect happened nevertheless.
        applied: bool,
    },
    /// No room.
    NoSpace,
    /// A read gives half of its bytes; a write writes half of them and then finds no room. Other calls go well.
    Short,
}

/// A simulated disk that fails once, at the n-th call.
#[derive(Clone)]
pub struct Faulty {
    inner: SimDisk,
    plan: Arc<Mutex<Plan>>,
}

struct Plan {
    calls: u64,
    at: u64,
    fault: Fault,
    dead: bool,
    fired: Option<&'static str>,
}

enum Verdict {
    Go,
    Fail { kind: DiskErrorKind, applied: bool },
    Short,
}

impl Faulty {
    /// Fails at call `at`, the first being 1; never if it is 0.
    pub fn new(inner: SimDisk, at: u64, fault: Fault) -> Self {
        let plan = Plan { calls: 0, at, fault, dead: false, fired: None };
        Self { inner, plan: Arc::new(Mutex::new(plan)) }
    }

    /// The disk beneath.
    pub fn inner(&self) -> &SimDisk {
        &self.inner
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.plan.lock().calls
    }

    /// The operation that failed, if the fault has happened.
    pub fn fired(&self) -> Option<&'static str> {
        self.plan.lock().fired
    }

    /// Whether the process has died.
    pub fn is_dead(&self) -> bool {
        self.plan.lock().dead
    }

    fn verdict(&self, operation: &'static str) -> Verdict {
        let mut plan = self.plan.lock();
        if plan.dead {
            return Verdict::Fail { kind: DiskErrorKind::Io, applied: false };
        }
        plan.calls += 1;
        if plan.calls != plan.at {
            return Verdict::Go;
        }
        plan.fired = Some(operation);
        match plan.fault {
            Fault::Die { applied } => {
                plan.dead = true;
                Verdict::Fail { kind: DiskErrorKind::Io, applied }
            }
            Fault::Io { applied } => Verdict::Fail { kind: DiskErrorKind::Io, applied },
            Fault::NoSpace => Verdict::Fail { kind: DiskErrorKind::NoSpace, applied: false },
            Fault::Short => Verdict::Short,
        }
    }

    async fn sync_as(&self, operation: &'static str, file: u64) -> Done<()> {
        match self.verdict(operation) {
            Verdict::Go | Verdict::Short => self.inner.sync(&file).await,
            Verdict::Fail { kind, applied } => {
                if applied {
                    let _ = self.inner.sync(&file).await;
                } else if !self.is_dead() {
                    self.inner.lose_unsynced(file);
                }
                Err(DiskError::of_file(operation, kind))
            }
        }
    }

    async fn run<T>(&self, operation: &'static str, call: impl Future<Output = Done<T>>) -> Done<T> {
        match self.verdict(operation) {
            Verdict::Go | Verdict::Short => call.await,
            Verdict::Fail { kind, applied } => {
                if applied {
                    let _ = call.await;
                }
                Err(DiskError::of_file(operation, kind))
            }
        }
    }
}

impl Disk for Faulty {
    type File = u64;
    type Buf = Vec<u8>;

    async fn buffer(&self, bytes: usize) -> Done<Vec<u8>> {
        self.inner.buffer(bytes).await
    }
    async fn open(&self, path: &DiskPath, access: Access) -> Done<u64> {
        self.run("open", self.inner.open(path, access)).await
    }
    async fn create(&self, path: &DiskPath, direct: bool) -> Done<u64> {
        self.run("create", self.inner.create(path, direct)).await
    }
    async fn reopen(&self, path: &DiskPath, direct: bool) -> Done<u64> {
        self.run("reopen", self.inner.reopen(path, direct)).await
    }
    async fn stat(&self, file: &u64) -> Done<FileStat> {
        self.run("stat", self.inner.stat(file)).await
    }
    async fn read(&self, file: &u64, offset: u64, len: usize, buf: Vec<u8>) -> (Vec<u8>, Done<usize>) {
        match self.verdict("read") {
            Verdict::Go => self.inner.read(file, offset, len, buf).await,
            Verdict::Short => self.inner.read(file, offset, len.div_ceil(2), buf).await,
            Verdict::Fail { kind, .. } => (buf, Err(DiskError::of_file("read", kind))),
        }
    }
    async fn write(&self, file: &u64, offset: u64, buf: Vec<u8>) -> (Vec<u8>, Done<()>) {
        let half = match self.verdict("write") {
            Verdict::Go => return self.inner.write(file, offset, buf).await,
            Verdict::Short => Some(DiskErrorKind::NoSpace),
            Verdict::Fail { kind, applied: true } => Some(kind),
            Verdict::Fail { kind, applied: false } => return (buf, Err(DiskError::of_file("write", kind))),
        };
        let part = buf.get(..buf.len() / 2).unwrap_or_default().to_vec();
        let _ = self.inner.write(file, offset, part).await;
        (buf, half.map_or(Ok(()), |kind| Err(DiskError::of_file("write", kind))))
    }
    async fn write_through(&self, file: &u64, offset: u64, buf: Vec<u8>) -> (Vec<u8>, Done<()>) {
        let half = match self.verdict("write_through") {
            Verdict::Go => return self.inner.write_through(file, offset, buf).await,
            Verdict::Short => DiskErrorKind::NoSpace,
            Verdict::Fail { kind, applied: true } => {
                let (buf, _) = self.inner.write_through(file, offset, buf).await;
                return (buf, Err(DiskError::of_file("write_through", kind)));
            }
            Verdict::Fail { kind, applied: false } => kind,
        };
        let part = buf.get(..buf.len() / 2).unwrap_or_default().to_vec();
        let _ = self.inner.write(file, offset, part).await;
        (buf, Err(DiskError::of_file("write_through", half)))
    }
    async fn allocate(&self, file: &u64, bytes: u64) -> Done<()> {
        self.run("allocate", self.inner.allocate(file, bytes)).await
    }
    async fn truncate(&self, file: &u64, bytes: u64) -> Done<()> {
        self.run("truncate", self.inner.truncate(file, bytes)).await
    }
    async fn sync(&self, file: &u64) -> Done<()> {
        self.sync_as("sync", *file).await
    }
    async fn sync_data(&self, file: &u64) -> Done<()> {
        self.sync_as("sync_data", *file).await
    }
    async fn sync_all(&self) -> Done<()> {
        self.run("sync_all", self.inner.sync_all()).await
    }
    async fn xattr_get(&self, file: &u64, name: &str) -> Done<Option<Vec<u8>>> {
        self.run("xattr_get", self.inner.xattr_get(file, name)).await
    }
    async fn xattr_set(&self, file: &u64, name: &str, value: &[u8]) -> Done<()> {
        self.run("xattr_set", self.inner.xattr_set(file, name, value)).await
    }
    async fn clone_range(&self, from: &u64, offset: u64, len: u64, to: &u64, at: u64) -> Done<bool> {
        self.run("clone_range", self.inner.clone_range(from, offset, len, to, at)).await
    }
    async fn mkdir(&self, path: &DiskPath) -> Done<()> {
        self.run("mkdir", self.inner.mkdir(path)).await
    }
    async fn rename(&self, from: &DiskPath, to: &DiskPath) -> Done<()> {
        self.run("rename", self.inner.rename(from, to)).await
    }
    async fn unlink(&self, path: &DiskPath) -> Done<()> {
        self.run("unlink", self.inner.unlink(path)).await
    }
    async fn rmdir(&self, path: &DiskPath) -> Done<()> {
        self.run("rmdir", self.inner.rmdir(path)).await
    }
    async fn sync_dir(&self, path: &DiskPath) -> Done<()> {
        self.run("sync_dir", self.inner.sync_dir(path)).await
    }
    async fn list_dir(&self, path: &DiskPath, each: &mut dyn FnMut(DirEntry)) -> Done<()> {
        self.run("list_dir", self.inner.list_dir(path, each)).await
    }
    async fn space(&self) -> Done<Space> {
        self.run("space", self.inner.space()).await
    }
}
