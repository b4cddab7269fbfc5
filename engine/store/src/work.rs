//! Work files: where an object's bytes are until the committer names them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::{Disk, DiskError, DiskPath, Mountpath, layout};

/// A file in `%wk/`. Unless the committer takes it, dropping it leaves it to be removed.
pub(crate) struct WorkFile<F> {
    mountpath: Arc<Mountpath<F>>,
    path: DiskPath,
    file: F,
    taken: bool,
}

impl<F: Clone + Send + Sync + 'static> WorkFile<F> {
    /// A ready-made one if its kind fits, else a new one.
    pub(crate) async fn take<D: Disk<File = F>>(
        disk: &D,
        mountpath: &Arc<Mountpath<F>>,
        direct: bool,
    ) -> Result<Self, DiskError> {
        let ready = if direct { None } else { mountpath.ready.lock().pop_front() };
        let (path, file) = match ready {
            Some(ready) => ready,
            None => create(disk, mountpath, direct).await?,
        };
        mountpath.work_open.fetch_add(1, Ordering::Relaxed);
        Ok(Self { mountpath: mountpath.clone(), path, file, taken: false })
    }

    pub(crate) fn path(&self) -> &DiskPath {
        &self.path
    }

    pub(crate) fn file(&self) -> &F {
        &self.file
    }

    /// The file has its name now: it is no work file any more.
    pub(crate) fn named(mut self) {
        self.taken = true;
    }
}

impl<F> Drop for WorkFile<F> {
    fn drop(&mut self) {
        self.mountpath.work_open.fetch_sub(1, Ordering::Relaxed);
        if !self.taken {
            self.mountpath.abandoned.lock().push(std::mem::take(&mut self.path));
        }
    }
}

/// Makes a work file under a name never used before: epoch and counter.
pub(crate) async fn create<D: Disk>(
    disk: &D,
    mountpath: &Mountpath<D::File>,
    direct: bool,
) -> Result<(DiskPath, D::File), DiskError> {
    let path = name(mountpath);
    let file = disk.create(&path, direct).await?;
    Ok((path, file))
}

/// A fresh name in `%wk/`.
pub(crate) fn name<F>(mountpath: &Mountpath<F>) -> DiskPath {
    let n = mountpath.work_count.fetch_add(1, Ordering::Relaxed);
    let name = format!("{:x}-{n:x}", mountpath.identity().epoch);
    // Hex digits and a dash are always a component.
    layout::work_dir().join(name).unwrap_or_default()
}
