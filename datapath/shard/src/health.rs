//! Whether a disk is well: looked at on demand (AIS: FSHC), by a little reading and writing past the page cache, where the file
//! system has a way past it. Plain calls, for a thread that may wait for ever: a disk that fails may keep them.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_store::{DiskError, DiskErrorKind};
use weir_types::limits::{HEALTH_FILE_BYTES_MAX, HEALTH_FILES_MAX};

/// Alignment of transfers past the page cache, in bytes.
const ALIGN: usize = 4096;
/// Directories that a walk to a file goes down.
const DEPTH_MAX: usize = 64;
/// Entries of a directory of which one is chosen.
const ENTRIES_MAX: usize = 100;
/// Before what failed is tried once more.
const PAUSE: Duration = Duration::from_secs(1);

/// How thoroughly a disk is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthBounds {
    /// Files that are read, and files that are written.
    pub files: usize,
    /// So many failures are too many.
    pub errors: usize,
}

/// What has failed, and the first of it.
#[derive(Default)]
struct Failed {
    count: usize,
    first: Option<String>,
}

impl Failed {
    fn note(&mut self, what: &str, path: &Path, error: &io::Error) {
        let is_disks = error.raw_os_error().is_none_or(|errno| {
            let read_only = errno == libc::EROFS;
            read_only || DiskError::from_errno("check", "", errno).kind == DiskErrorKind::Io
        });
        if is_disks && error.kind() != io::ErrorKind::NotFound {
            self.count += 1;
            self.first.get_or_insert_with(|| format!("{what} {}: {error}", path.display()));
        }
    }
}

/// Looks at the disk of a mountpath with this UUID: an error says why it has failed. What fails too often is tried once more.
pub fn check_disk(root: &Path, uuid: &str, bounds: HealthBounds) -> Result<(), String> {
    is_the_one(root, uuid)?;
    let (mut files, errors) = (bounds.files.clamp(1, HEALTH_FILES_MAX), bounds.errors.max(1));
    for last in [false, true] {
        let mut failed = Failed::default();
        read_some(root, files, &mut failed);
        write_some(root, files, &mut failed);
        let Failed { count, first: Some(first) } = failed else { return Ok(()) };
        if count < errors {
            tracing::warn!("{}: {count} reads or writes failed, too few to count: {first}", root.display());
            return Ok(());
        }
        if last {
            return Err(format!("{count} reads or writes failed: {first}"));
        }
        std::thread::sleep(PAUSE);
        files = (2 * files).min(HEALTH_FILES_MAX);
    }
    Ok(())
}

/// What is mounted there says who it is.
fn is_the_one(root: &Path, uuid: &str) -> Result<(), String> {
    let path = root.join(".weir/identity");
    match fs::read_to_string(&path) {
        Ok(text) if text.contains(uuid) => Ok(()),
        Ok(_) => Err(format!("{}: it is another mountpath", path.display())),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

/// Reads the beginnings of some objects.
fn read_some(root: &Path, files: usize, failed: &mut Failed) {
    let mut read = 0;
    // Twice as many ways lead to as many files: some end in an empty directory.
    for _ in 0..2 * files {
        if read == files {
            return;
        }
        let path = match some_file(root) {
            Ok(Some(path)) => path,
            Ok(None) => continue,
            Err((path, error)) => {
                failed.note("list", &path, &error);
                continue;
            }
        };
        match open(&path, OpenOptions::new().read(true)).and_then(|file| read_begin(file).map(drop)) {
            Ok(()) => read += 1,
            Err(error) => failed.note("read", &path, &error),
        }
    }
}

/// A file somewhere beneath a bucket's directory, if the way that chance took ends at one.
fn some_file(root: &Path) -> Result<Option<PathBuf>, (PathBuf, io::Error)> {
    let mut dir = root.to_owned();
    for depth in 0..DEPTH_MAX {
        let entries = fs::read_dir(&dir).map_err(|error| (dir.clone(), error))?;
        // Of the root only buckets: nothing else is an object's.
        let of_bucket =
            |entry: &fs::DirEntry| depth > 0 || entry.file_name().as_encoded_bytes().starts_with(b"@");
        let entries: Vec<_> = entries.flatten().filter(of_bucket).take(ENTRIES_MAX).collect();
        let at = RandomState::new().hash_one(depth) % (entries.len().max(1) as u64);
        let Some(entry) = entries.get(at as usize) else { return Ok(None) };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => dir = entry.path(),
            Ok(kind) if kind.is_file() => return Ok(Some(entry.path())),
            Ok(_) => return Ok(None),
            Err(error) => return Err((entry.path(), error)),
        }
    }
    Ok(None)
}

/// Writes some files, reads them again, and removes them. A full disk is no failed one.
fn write_some(root: &Path, files: usize, failed: &mut Failed) {
    for n in 0..files {
        // What a death leaves there goes at the next start.
        let path = root.join(format!("%wk/health-{n}"));
        let done = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => write_one(&path, n as u64),
        };
        let removed = match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        if let Err(error) = done.and(removed) {
            failed.note("write", &path, &error);
        }
    }
}

fn write_one(path: &Path, seed: u64) -> io::Result<()> {
    let mut block = aligned();
    let chance = RandomState::new();
    for (i, word) in block.bytes_mut().chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&chance.hash_one((seed, i)).to_le_bytes());
    }
    let mut file = open(path, OpenOptions::new().write(true).create_new(true))?;
    file.write_all(block.bytes_mut())?;
    file.sync_all()?;
    drop(file);
    let mut back = read_begin(open(path, OpenOptions::new().read(true))?)?;
    match back.bytes_mut() == block.bytes_mut() {
        true => Ok(()),
        false => Err(io::Error::other("other bytes came back than were written")),
    }
}

/// Reads at most one block.
fn read_begin(mut file: File) -> io::Result<Block> {
    let mut block = aligned();
    let mut at = 0;
    while at < HEALTH_FILE_BYTES_MAX {
        match file.read(&mut block.bytes_mut()[at..])? {
            0 => break,
            // A read past the page cache goes on at a multiple only.
            n if !n.is_multiple_of(ALIGN) => break,
            n => at += n,
        }
    }
    Ok(block)
}

/// Opens past the page cache, or through it where the file system has no other way.
fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let direct = options.custom_flags(libc::O_DIRECT | libc::O_NOFOLLOW).open(path);
    match direct {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            options.custom_flags(libc::O_NOFOLLOW).open(path).or_else(|again| {
                // The first try may have made it.
                let made = again.kind() == io::ErrorKind::AlreadyExists;
                if made { options.create_new(false).open(path) } else { Err(again) }
            })
        }
        opened => opened,
    }
}

/// Memory for one transfer, where the kernel takes it from.
struct Block {
    memory: Vec<u8>,
    at: usize,
}

fn aligned() -> Block {
    let memory = vec![0; HEALTH_FILE_BYTES_MAX + ALIGN];
    let at = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
    Block { memory, at }
}

impl Block {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.at..self.at + HEALTH_FILE_BYTES_MAX]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: HealthBounds = HealthBounds { files: 4, errors: 2 };

    fn mountpath() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for made in [".weir", "%wk", "@ais/b/%ob/d"] {
            fs::create_dir_all(dir.path().join(made)).unwrap();
        }
        fs::write(dir.path().join(".weir/identity"), "mountpath = \"m1\"\n").unwrap();
        fs::write(dir.path().join("@ais/b/%ob/d/o"), vec![7; 10_000]).unwrap();
        dir
    }

    #[test]
    fn a_disk_that_is_well_is_left_as_it_was() {
        let dir = mountpath();
        assert_eq!(check_disk(dir.path(), "m1", BOUNDS), Ok(()));
        assert_eq!(fs::read_dir(dir.path().join("%wk")).unwrap().count(), 0);
        // Left by a check that died.
        fs::write(dir.path().join("%wk/health-0"), "x").unwrap();
        assert_eq!(check_disk(dir.path(), "m1", BOUNDS), Ok(()));
        assert_eq!(fs::read_dir(dir.path().join("%wk")).unwrap().count(), 0);
        let mut some = 0;
        (0..20).for_each(|_| some += usize::from(some_file(dir.path()).unwrap().is_some()));
        assert_eq!(some, 20, "there is one way, and it ends at an object");
    }

    #[test]
    fn another_file_system_at_its_path_is_a_failed_disk() {
        let dir = mountpath();
        assert!(check_disk(dir.path(), "m2", BOUNDS).unwrap_err().contains("another mountpath"));
        fs::remove_dir_all(dir.path().join(".weir")).unwrap();
        assert!(check_disk(dir.path(), "m1", BOUNDS).unwrap_err().contains(".weir/identity"));
    }

    #[test]
    fn what_is_not_the_disks_fault_does_not_count() {
        let mut failed = Failed::default();
        for (errno, counts) in
            [(libc::EIO, 1), (libc::ENOENT, 1), (libc::ENOSPC, 1), (libc::EROFS, 2), (libc::EINTR, 3)]
        {
            failed.note("read", Path::new("/m/o"), &io::Error::from_raw_os_error(errno));
            assert_eq!(failed.count, counts, "{errno}");
        }
        failed.note("write", Path::new("/m/o"), &io::Error::other("other bytes"));
        assert_eq!(failed.count, 4);
        assert!(failed.first.unwrap().starts_with("read /m/o: "));
    }
}
