//! Safe wrappers of system calls that are cheaper, or only exist, outside of a ring. All of them run on the calling thread.

mod call;
mod file;
mod names;
mod process;
mod socket;
mod xattr;

pub use file::{
    PageCache, Space, Stat, cachestat, clone_range, copy_file_range, fadvise_dont_need, fallocate, fdatasync,
    flock_exclusive, fstat, fsync, ftruncate, pread, pwrite, pwrite_durable, sendfile, set_direct_io, statfs,
    syncfs, uses_direct_io,
};
pub use names::{
    DirItem, FileKind, ReadDir, linkat_tmpfile, mkdirat, open_dir, openat2, read_dir, renameat2, rmdirat,
    unlinkat,
};
pub use process::{Limits, boot_id, cpus_allowed, pin_to_cpu, raise_limits};
pub use socket::{
    is_quiet, listen, local_address, nodelay, peer_address, pipe, receive_low_water, send_buffer_bytes,
    send_now, set_linger_reset, shutdown, tcp_socket, user_timeout,
};
pub use xattr::{fgetxattr, fremovexattr, fsetxattr};

pub(crate) use call::take_last;
pub(crate) use file::empty_statx;
pub(crate) use process::{Sleeps, sleeps};
pub(crate) use socket::socket_address;
