//! The directories of this host whose files may become objects, and the calls on them: each goes through the directory that
//! the operator named, beneath it, without symbolic links. They may wait for a disk, so they run on the walker.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_cluster::{FileState, Promotable};
use weir_ring::sys::FileKind;
use weir_ring::{Fd, OpenHow, sys};

/// Entries of one directory that are taken at most.
const ENTRIES_MAX: usize = weir_types::limits::PROMOTE_ENTRIES_MAX;

/// What is in a directory: regular files and directories, by their names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PromotableDir {
    /// The files.
    pub files: Vec<String>,
    /// The directories.
    pub dirs: Vec<String>,
}

/// The setting `promote_dirs`. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PromoteDirs(Arc<[PathBuf]>);

/// Why nothing is made of a path.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The operator allows none of it.
    #[error("{path} is under no directory of this node's setting promote_dirs ({allowed})")]
    NotAllowed {
        /// The path.
        path: String,
        /// What is allowed.
        allowed: String,
    },
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// The path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// What would be removed is not what became an object.
    #[error("{path} has changed meanwhile")]
    Changed {
        /// The path.
        path: String,
    },
    /// More than is taken at once.
    #[error("{path} has more than {ENTRIES_MAX} entries")]
    TooMany {
        /// The directory.
        path: String,
    },
}

impl PromoteDirs {
    /// These directories, absolute.
    pub fn new(dirs: &[PathBuf]) -> Self {
        Self(dirs.into())
    }

    /// The allowed directory, open, and what of the path is beneath it.
    fn split(&self, path: &str) -> Result<(Fd, CString), PromoteError> {
        let inner =
            |dir: &'_ PathBuf| Some((dir.clone(), Path::new(path).strip_prefix(dir).ok()?.to_owned()));
        let Some((dir, inner)) = self.0.iter().find_map(inner) else {
            let allowed: Vec<String> = self.0.iter().map(|dir| dir.display().to_string()).collect();
            let allowed = if allowed.is_empty() { "it names none".into() } else { allowed.join(", ") };
            return Err(PromoteError::NotAllowed { path: path.to_owned(), allowed });
        };
        let root = sys::open_dir(&dir).map_err(|error| io_error(&dir.display().to_string(), error))?;
        let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { &inner };
        let inner = CString::new(inner.as_os_str().as_bytes());
        Ok((root, inner.map_err(|error| io_error(path, error.into()))?))
    }

    fn open_as(&self, path: &str, flags: i32) -> Result<Fd, PromoteError> {
        let (root, inner) = self.split(path)?;
        let how = OpenHow::beneath(flags | libc::O_NOFOLLOW);
        sys::openat2(&root, &inner, how).map_err(|error| io_error(path, error))
    }

    /// What a path leads to.
    pub fn look(&self, path: &str) -> Result<Promotable, PromoteError> {
        let file = match self.open_as(path, libc::O_PATH) {
            Err(PromoteError::Io { error, .. })
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(Promotable::Nothing);
            }
            opened => opened?,
        };
        Ok(match sys::fstat(&file).map_err(|error| io_error(path, error))?.kind {
            FileKind::File => Promotable::File,
            FileKind::Directory => Promotable::Directory,
            FileKind::Symlink | FileKind::Other => Promotable::Nothing,
        })
    }

    /// What is in a directory. Names that are no text, symbolic links and devices are left out.
    pub fn list(&self, path: &str) -> Result<PromotableDir, PromoteError> {
        let dir = self.open_as(path, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let failed = |error| io_error(path, error);
        let mut found = PromotableDir::default();
        for item in sys::read_dir(&dir).map_err(failed)? {
            let item = item.map_err(failed)?;
            let Ok(name) = String::from_utf8(item.name) else { continue };
            match item.kind {
                FileKind::File => found.files.push(name),
                FileKind::Directory => found.dirs.push(name),
                FileKind::Symlink | FileKind::Other => {}
            }
            if found.files.len() + found.dirs.len() > ENTRIES_MAX {
                return Err(PromoteError::TooMany { path: path.to_owned() });
            }
        }
        found.files.sort();
        found.dirs.sort();
        Ok(found)
    }

    /// Opens a regular file: the descriptor and its size.
    pub(super) fn open(&self, path: &str) -> Result<(Fd, u64), PromoteError> {
        // Without waiting for whoever writes to a pipe that has the name.
        let file = self.open_as(path, libc::O_RDONLY | libc::O_NONBLOCK)?;
        let stat = sys::fstat(&file).map_err(|error| io_error(path, error))?;
        match stat.kind {
            FileKind::File => Ok((file, stat.size)),
            _ => Err(io_error(path, io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Which file a path leads to, and what it is by now.
    pub fn state(&self, path: &str) -> Result<FileState, PromoteError> {
        let file = self.open_as(path, libc::O_PATH)?;
        let stat = sys::fstat(&file).map_err(|error| io_error(path, error))?;
        Ok(FileState {
            inode: stat.inode,
            size: stat.size,
            modified_ns: stat.mtime_ns,
            changed_ns: stat.ctime_ns,
        })
    }

    /// Removes a file that is what it was.
    pub fn remove(&self, path: &str, was: FileState) -> Result<(), PromoteError> {
        let failed = |error| io_error(path, error);
        if self.state(path)? != was {
            return Err(PromoteError::Changed { path: path.to_owned() });
        }
        let (parent, name) =
            path.rsplit_once('/').ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let dir = self.open_as(parent, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let name = CString::new(name).map_err(|error| failed(error.into()))?;
        sys::unlinkat(&dir, &name).map_err(failed)
    }
}

fn io_error(path: &str, error: io::Error) -> PromoteError {
    PromoteError::Io { path: path.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_of_what_is_allowed_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path).display().to_string();
        fs::create_dir_all(at("in/sub")).unwrap();
        fs::write(at("in/f"), b"four").unwrap();
        fs::write(at("secret"), b"secret").unwrap();
        symlink(at("secret"), at("in/link")).unwrap();
        symlink(dir.path(), at("in/up")).unwrap();
        let none = PromoteDirs::default().look(&at("in/f")).unwrap_err().to_string();
        assert!(none.contains("promote_dirs") && none.contains("names none"), "{none}");
        let dirs = PromoteDirs::new(&[at("in").into()]);
        assert_eq!(dirs.look(&at("in")).unwrap(), Promotable::Directory);
        assert_eq!(dirs.look(&at("in/f")).unwrap(), Promotable::File);
        assert_eq!(dirs.look(&at("in/absent")).unwrap(), Promotable::Nothing);
        assert_eq!(dirs.look(&at("in/f/x")).unwrap(), Promotable::Nothing);
        assert!(matches!(dirs.look(&at("secret")), Err(PromoteError::NotAllowed { .. })));
        assert!(matches!(dirs.look(&at("in2/f")), Err(PromoteError::NotAllowed { .. })));
        for bad in ["in/link", "in/up/secret", "in/../secret", "in/up", "in/sub"] {
            assert!(dirs.open(&at(bad)).is_err(), "{bad}");
        }
        let was = dirs.state(&at("in/f")).unwrap();
        assert!(dirs.remove(&at("in/up/secret"), was).is_err() && dirs.list(&at("in/up")).is_err());
        let listed = dirs.list(&at("in")).unwrap();
        assert_eq!((listed.files, listed.dirs), (vec!["f".to_owned()], vec!["sub".to_owned()]));
        assert_eq!(dirs.open(&at("in/f")).unwrap().1, 4);
        fs::write(at("in/new"), b"more").unwrap();
        fs::rename(at("in/new"), at("in/f")).unwrap();
        assert!(matches!(dirs.remove(&at("in/f"), was), Err(PromoteError::Changed { .. })));
        dirs.remove(&at("in/f"), dirs.state(&at("in/f")).unwrap()).unwrap();
        assert_eq!(dirs.look(&at("in/f")).unwrap(), Promotable::Nothing);
        assert!(fs::exists(at("secret")).unwrap());
    }
}
