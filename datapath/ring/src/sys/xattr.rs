//! Extended attributes of open files.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use super::call::{note, retry, retry_count};

/// First guess at a value's size: a record is smaller in the common case.
const GUESS: usize = 1024;
/// The kernel's bound on one value (XATTR_SIZE_MAX).
const VALUE_MAX: usize = 64 << 10;

/// Value of an attribute; `None` when the file has none of that name.
pub fn fgetxattr(file: &impl AsFd, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    note("fgetxattr");
    let fd = file.as_fd().as_raw_fd();
    for size in [GUESS, VALUE_MAX] {
        let mut value = vec![0u8; size];
        let room = value.as_mut_ptr().cast();
        // SAFETY: the call writes at most `size` bytes to `value`, which has them, and reads a C string.
        match retry_count(|| unsafe { libc::fgetxattr(fd, name.as_ptr(), room, size) as i64 }) {
            Ok(count) => {
                value.truncate(count);
                return Ok(Some(value));
            }
            Err(error) if error.raw_os_error() == Some(libc::ENODATA) => return Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ERANGE) && size < VALUE_MAX => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from_raw_os_error(libc::ERANGE))
}

/// Sets an attribute, replacing what it was.
pub fn fsetxattr(file: &impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    note("fsetxattr");
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call reads a C string and `value.len()` bytes of `value`.
    retry(|| unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) }).map(drop)
}

/// Removes an attribute. False: the file had none of that name.
pub fn fremovexattr(file: &impl AsFd, name: &CStr) -> io::Result<bool> {
    note("fremovexattr");
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: the call reads a C string.
    match retry(|| unsafe { libc::fremovexattr(fd, name.as_ptr()) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(false),
        Err(error) => Err(error),
    }
}
