//! Calls on names in directories.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::dir::{Dir, OwningIter, Type};

use super::call::{note, retry};
use crate::{Fd, OpenHow};

/// What a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device, socket or pipe.
    Other,
}

impl FileKind {
    /// From st_mode.
    pub(crate) fn from_mode(mode: u32) -> FileKind {
        match mode & libc::S_IFMT {
            libc::S_IFREG => FileKind::File,
            libc::S_IFDIR => FileKind::Directory,
            libc::S_IFLNK => FileKind::Symlink,
            _ => FileKind::Other,
        }
    }
}

/// One name of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirItem {
    /// The name's bytes, without `/` or NUL.
    pub name: Vec<u8>,
    /// What it leads to.
    pub kind: FileKind,
}

/// Opens `path` under `dir` by openat2(2).
pub fn openat2(dir: &impl AsFd, path: &CStr, how: OpenHow) -> io::Result<Fd> {
    note("openat2");
    // SAFETY: open_how is plain integers, for which all zeroes is a value; it cannot be built otherwise.
    let mut kernel: libc::open_how = unsafe { std::mem::zeroed() };
    kernel.flags = (how.flags | libc::O_CLOEXEC) as u64;
    kernel.mode = u64::from(how.mode);
    kernel.resolve = how.resolve;
    let (dir, size) = (dir.as_fd().as_raw_fd(), size_of::<libc::open_how>());
    // SAFETY: path is a C string and `kernel` an open_how of the size given; both live across the call.
    let fd =
        retry(|| unsafe { libc::syscall(libc::SYS_openat2, dir, path.as_ptr(), &raw const kernel, size) })?;
    // SAFETY: the call just made this descriptor and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }.into())
}

/// Opens a directory by its path in the process's file system: where a mountpath begins.
pub fn open_dir(path: &std::path::Path) -> io::Result<Fd> {
    note("open_dir");
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, nix::sys::stat::Mode::empty())?.into())
}

/// Renames within or between directories; `flags` as renameat2(2), 0 replaces a file.
pub fn renameat2(
    from_dir: &impl AsFd,
    from: &CStr,
    to_dir: &impl AsFd,
    to: &CStr,
    flags: u32,
) -> io::Result<()> {
    note("renameat2");
    let (source, target) = (from_dir.as_fd().as_raw_fd(), to_dir.as_fd().as_raw_fd());
    // SAFETY: both names are C strings that live across the call.
    retry(|| unsafe { libc::renameat2(source, from.as_ptr(), target, to.as_ptr(), flags) }).map(drop)
}

/// Gives a file opened with O_TMPFILE its first name; fails where the name exists.
pub fn linkat_tmpfile(file: &impl AsFd, dir: &impl AsFd, name: &CStr) -> io::Result<()> {
    note("linkat_tmpfile");
    let path = std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))?;
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_FOLLOW;
    Ok(nix::unistd::linkat(nix::fcntl::AT_FDCWD, path.as_c_str(), dir, name, flags)?)
}

/// Removes a file.
pub fn unlinkat(dir: &impl AsFd, name: &CStr) -> io::Result<()> {
    note("unlinkat");
    Ok(nix::unistd::unlinkat(dir, name, nix::unistd::UnlinkatFlags::NoRemoveDir)?)
}

/// Removes an empty directory.
pub fn rmdirat(dir: &impl AsFd, name: &CStr) -> io::Result<()> {
    note("rmdirat");
    Ok(nix::unistd::unlinkat(dir, name, nix::unistd::UnlinkatFlags::RemoveDir)?)
}

/// Makes a directory.
pub fn mkdirat(dir: &impl AsFd, name: &CStr, mode: u32) -> io::Result<()> {
    note("mkdirat");
    Ok(nix::sys::stat::mkdirat(dir, name, nix::sys::stat::Mode::from_bits_truncate(mode))?)
}

/// The names of a directory but `.` and `..`, in the file system's order; the kernel is asked for some at a time. The
/// position of `dir` itself does not move. After an error the rest is not known.
pub fn read_dir<D: AsFd>(dir: &D) -> io::Result<ReadDir<'_, D>> {
    note("read_dir");
    use nix::fcntl::OFlag;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = nix::fcntl::openat(dir, c".", flags, nix::sys::stat::Mode::empty())?;
    Ok(ReadDir { dir, names: Dir::from_fd(own)?.into_iter() })
}

/// The names of [`read_dir`].
#[derive(Debug)]
pub struct ReadDir<'d, D> {
    dir: &'d D,
    names: OwningIter,
}

impl<D: AsFd> Iterator for ReadDir<'_, D> {
    type Item = io::Result<DirItem>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.names.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error.into())),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => FileKind::File,
                Some(Type::Directory) => FileKind::Directory,
                Some(Type::Symlink) => FileKind::Symlink,
                Some(_) => FileKind::Other,
                None => match unknown_kind(self.dir, name) {
                    Ok(kind) => kind,
                    // Removed between the two calls.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Some(Err(error)),
                },
            };
            return Some(Ok(DirItem { name: name.to_bytes().to_vec(), kind }));
        }
    }
}

/// For file systems whose directories do not say what a name leads to.
fn unknown_kind(dir: &impl AsFd, name: &CStr) -> io::Result<FileKind> {
    let stat = nix::sys::stat::fstatat(dir, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)?;
    Ok(FileKind::from_mode(stat.st_mode))
}
