//! How files are opened, and name operations reach their directory: beneath the mountpath, by the role of the thread.

use std::ffi::CString;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_ring::{Fd, OpenHow, sys};
use weir_store::{DiskError, DiskErrorKind, DiskPath};
use weir_types::limits;

use super::calls::{at, c_path};
use super::file::OpenFile;
use super::{FILE_MODE, RingDisk, Role};

impl RingDisk {
    /// Opens; gives whether the kernel may have had to ask the disk for it.
    pub(super) async fn open_fd(&self, path: &DiskPath, flags: i32) -> io::Result<(Fd, bool)> {
        let how = OpenHow {
            mode: if flags & libc::O_CREAT != 0 { FILE_MODE } else { 0 },
            ..OpenHow::beneath(flags)
        };
        match self.0.role {
            Role::Committer => return Ok((self.open_in_parent(path, how)?, true)),
            Role::Background => return Ok((sys::openat2(&self.0.root, &c_path(path)?, how)?, true)),
            Role::Shard { .. } => {}
        }
        let name = c_path(path)?;
        if flags & libc::O_CREAT == 0 {
            match sys::openat2(&self.0.root, &name, how.cached()) {
                // Not in the caches, or a kernel that does not know the question.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINVAL)) => {}
                known => return Ok((known?, false)),
            }
        }
        Ok((self.call(|ring| ring.open(&self.0.root, name, how)).await?, true))
    }

    /// Opens by the last component in the parent directory.
    fn open_in_parent(&self, path: &DiskPath, how: OpenHow) -> io::Result<Fd> {
        let Some(parent) = path.parent() else { return sys::openat2(&self.0.root, c".", how) };
        let name = CString::new(path.file_name())?;
        self.in_dir(&parent, |dir| sys::openat2(dir, &name, how))
    }

    /// Runs an operation in a directory that may be open from earlier. One that was removed by somebody else says that
    /// nothing is there: then it is opened anew, as the path leads now.
    pub(super) fn in_dir<T>(
        &self,
        path: &DiskPath,
        mut run: impl FnMut(&Fd) -> io::Result<T>,
    ) -> io::Result<T> {
        let kept = self.0.dirs.borrow().get(path).cloned();
        if let Some(dir) = kept {
            match run(&dir) {
                Err(e) if e.raw_os_error() == Some(libc::ENOENT) && sys::fstat(&dir)?.links == 0 => {}
                done => return done,
            }
            self.forget_dir(path);
        }
        let dir = self.open_dir(path)?;
        let done = run(&dir);
        if self.0.role == Role::Committer && !path.is_root() {
            let mut dirs = self.0.dirs.borrow_mut();
            if dirs.len() >= limits::OPEN_DIRS_MAX {
                dirs.clear();
            }
            dirs.insert(path.clone(), dir);
        }
        done
    }

    pub(super) fn forget_dir(&self, path: &DiskPath) {
        self.0.dirs.borrow_mut().remove(path);
    }

    /// Opens past the page cache where wished and possible.
    pub(super) async fn open_as(&self, path: &DiskPath, flags: i32, direct: bool) -> io::Result<OpenFile> {
        let file = |(fd, cold), direct| OpenFile {
            fd,
            aligned: direct,
            direct: AtomicBool::new(direct),
            cold,
            stat: None,
            path: path.clone(),
        };
        let mut flags = flags;
        if direct && !self.0.buffered_only.load(Ordering::Relaxed) {
            match self.open_fd(path, flags | libc::O_DIRECT).await {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                    if !self.0.buffered_only.swap(true, Ordering::Relaxed) {
                        tracing::warn!(
                            "the file system refuses O_DIRECT: its files are used through the page cache"
                        );
                    }
                    // The refused call may have made the file all the same; it would not, had there been one.
                    flags &= !libc::O_EXCL;
                }
                other => return Ok(file(other?, true)),
            }
        }
        Ok(file(self.open_fd(path, flags).await?, false))
    }

    /// Runs a name operation on the open parent directory and the last component.
    pub(super) fn in_parent<T>(
        &self,
        operation: &'static str,
        path: &DiskPath,
        run: impl Fn(&Fd, &CString) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        let refused = || DiskError::at(operation, path, DiskErrorKind::Refused);
        let parent = path.parent().ok_or_else(refused)?;
        let name = CString::new(path.file_name()).map_err(|_| refused())?;
        self.in_dir(&parent, |dir| run(dir, &name)).map_err(|e| at(operation, path, &e))
    }

    pub(super) fn open_dir(&self, path: &DiskPath) -> io::Result<Fd> {
        if path.is_root() {
            return Ok(self.0.root.clone());
        }
        sys::openat2(&self.0.root, &c_path(path)?, OpenHow::beneath(libc::O_RDONLY | libc::O_DIRECTORY))
    }
}
