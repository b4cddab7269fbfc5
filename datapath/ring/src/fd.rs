//! A shared descriptor.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

/// A descriptor that closes when its last clone goes. Every operation in flight holds a clone, so its number cannot be given
/// to another file before the kernel has completed the operation.
#[derive(Debug, Clone)]
pub struct Fd(Arc<OwnedFd>);

impl Fd {
    /// The descriptor alone, if this is the last clone and no operation holds another.
    pub fn into_owned(self) -> Result<OwnedFd, Fd> {
        Arc::try_unwrap(self.0).map_err(Fd)
    }

    /// Whether both are clones of one descriptor.
    pub fn same(&self, other: &Fd) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Self {
        Fd(Arc::new(fd))
    }
}

impl From<std::fs::File> for Fd {
    fn from(file: std::fs::File) -> Self {
        OwnedFd::from(file).into()
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
