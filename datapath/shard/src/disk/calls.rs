//! What the operations of a disk share around their system calls.

use std::ffi::CString;
use std::io;

use weir_ring::{Fd, sys};
use weir_store::{DiskError, DiskErrorKind, DiskPath, FileStat};

pub(super) fn file_stat(s: &sys::Stat) -> FileStat {
    let regular = s.kind == sys::FileKind::File;
    FileStat { size: s.size, mtime_ns: u64::try_from(s.mtime_ns).unwrap_or(0), regular }
}

/// Writes all of `bytes` by plain calls.
pub(super) fn write_now(
    write: impl Fn(&Fd, &[u8], u64) -> io::Result<usize>,
    fd: &Fd,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|r| !r.is_empty()) {
        match write(fd, rest, offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => written += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

pub(super) fn c_path(path: &DiskPath) -> io::Result<CString> {
    let bytes = if path.is_root() { b".".as_slice() } else { path.as_bytes() };
    Ok(CString::new(bytes)?)
}

pub(super) fn c_name(name: &str, path: &DiskPath) -> Result<CString, DiskError> {
    CString::new(name).map_err(|_| DiskError::at("xattr", path, DiskErrorKind::Refused))
}

pub(super) fn at(operation: &'static str, path: &DiskPath, e: &io::Error) -> DiskError {
    match e.raw_os_error() {
        Some(errno) => DiskError::from_errno(operation, path.to_string(), errno),
        None => DiskError::at(operation, path, DiskErrorKind::Io),
    }
}
