//! From a system call's answer to a result.

use std::cell::Cell;
use std::io;

thread_local! {
    static LAST: Cell<&'static str> = const { Cell::new(NO_CALL) };
}

/// What [`take_last`] says where no call on a file was made.
pub(crate) const NO_CALL: &str = "no system call on a file";

/// Remembers a call on a file that this thread is about to make: it may sleep on a disk.
pub(super) fn note(call: &'static str) {
    LAST.set(call);
}

/// The last such call since this was asked.
pub(crate) fn take_last() -> &'static str {
    LAST.replace(NO_CALL)
}

/// Calls until it is not interrupted. `call` answers as libc does: negative, with errno set, on failure.
pub(super) fn retry<N: Into<i64> + Copy>(mut call: impl FnMut() -> N) -> io::Result<i64> {
    loop {
        let answer = call().into();
        if answer >= 0 {
            return Ok(answer);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The same for calls that answer with a count.
pub(super) fn retry_count(call: impl FnMut() -> i64) -> io::Result<usize> {
    retry(call).map(|count| count as usize)
}

/// An offset or length as the kernel takes it: signed.
pub(super) fn signed(bytes: u64) -> io::Result<i64> {
    i64::try_from(bytes).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))
}
