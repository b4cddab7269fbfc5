//! The file set that the three servers read.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::error::{PerfError, Result};
use crate::rig::stop;

/// Writes `count` files of `bytes` each, durably; their pages leave the cache with the first O_DIRECT read.
pub(crate) fn make(dir: &Path, bytes: u64, count: u64) -> Result<()> {
    std::fs::create_dir_all(dir).map_err(PerfError::io(dir.display().to_string()))?;
    let content: Vec<u8> = (0..bytes).map(|i| ((i * 31) >> 3) as u8).collect();
    for index in 0..count {
        stop::check()?;
        let path = dir.join(format!("{index:06}"));
        std::fs::write(&path, &content).map_err(PerfError::io(path.display().to_string()))?;
    }
    let dir = File::open(dir).map_err(PerfError::io("file set"))?;
    nix::unistd::syncfs(&dir).map_err(|e| PerfError::io("syncfs")(e.into()))
}

/// The files' paths, in order.
pub(crate) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).map_err(PerfError::io(dir.display().to_string()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    if paths.is_empty() {
        return Err(PerfError::Refused(format!("no files in {}", dir.display())));
    }
    Ok(paths)
}

/// All of them opened for direct reading, each checked to be of `bytes`.
pub(crate) fn open(dir: &Path, bytes: u64) -> Result<Vec<File>> {
    let open = |path: &PathBuf| {
        let mut options = File::options();
        let file = options.read(true).custom_flags(OFlag::O_DIRECT.bits()).open(path);
        let file = file.map_err(PerfError::io(path.display().to_string()))?;
        match file.metadata() {
            Ok(meta) if meta.len() == bytes => Ok(file),
            _ => Err(PerfError::Refused(format!("{} is not of {bytes} bytes", path.display()))),
        }
    };
    list(dir)?.iter().map(open).collect()
}
