//! What stands behind the served file: an image whose writes and flushes are recorded.

use crate::RigError;
use crate::ctl::{Access, Faults};
use crate::log::Writer;
use nix::errno::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn errno(e: &std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

/// An image file whose writes and flushes go to a log, with faults.
#[derive(Debug)]
pub struct Recorded {
    image: File,
    path: PathBuf,
    size: u64,
    log: Writer,
    faults: Faults,
}

impl Recorded {
    /// The image at `path`, made sparse where it is shorter than `size`, recorded to a new log at `log`.
    pub fn open(path: &Path, size: u64, log: &Path) -> Result<Self, RigError> {
        let mut options = OpenOptions::new();
        let image = options.read(true).write(true).create(true).truncate(false).open(path);
        let image = image.map_err(RigError::io("open", path))?;
        image.set_len(size).map_err(RigError::io("resize", path))?;
        Ok(Self { image, path: path.to_owned(), size, log: Writer::create(log)?, faults: Faults::default() })
    }

    /// The faults in force.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Inverts one bit on the medium, past the log: rot, not a write.
    pub fn flip(&mut self, offset: u64, bit: u8) -> Result<(), RigError> {
        let mut byte = [0];
        self.image.read_exact_at(&mut byte, offset).map_err(RigError::io("read", &self.path))?;
        byte[0] ^= 1 << bit;
        self.image.write_all_at(&byte, offset).map_err(RigError::io("write", &self.path))
    }

    /// Size of the disk in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How long to wait before an operation; asked before the disk is taken.
    pub fn delay(&self, access: Access) -> Duration {
        self.faults.delay(access)
    }

    /// The `len` bytes at `offset`; fewer at the disk's end.
    pub fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        self.faults.verdict(Access::Read, offset, len as u64, self.log.seq())?;
        let len = (len as u64).min(self.size.saturating_sub(offset)) as usize;
        let mut data = vec![0; len];
        self.image.read_exact_at(&mut data, offset).map_err(|e| errno(&e))?;
        Ok(data)
    }

    /// Writes all of `data` at `offset`, which lies within the disk.
    pub fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.faults.verdict(Access::Write, offset, data.len() as u64, self.log.seq())?;
        if offset + data.len() as u64 > self.size {
            return Err(Errno::ENOSPC);
        }
        // Logged first: what a reader of the disk can have seen is in the log.
        self.log.write(offset, data).map_err(|_| Errno::EIO)?;
        self.image.write_all_at(data, offset).map_err(|e| errno(&e))
    }

    /// Makes everything before it durable.
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.faults.verdict(Access::Flush, 0, 0, self.log.seq())?;
        self.log.flush().map_err(|_| Errno::EIO)
    }

    /// Records received so far.
    pub fn seq(&self) -> u64 {
        self.log.seq()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorded_disk_keeps_its_word() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut disk = Recorded::open(&dir.path().join("image"), 8192, &log).unwrap();
        disk.write(100, b"abc").unwrap();
        disk.flush().unwrap();
        disk.flip(101, 0).unwrap();
        assert_eq!(disk.read(100, 3).unwrap(), b"acc");
        assert_eq!(disk.seq(), 2);
        assert_eq!(disk.write(8190, b"abc"), Err(Errno::ENOSPC));
        assert_eq!(disk.seq(), 2, "a refused write is not recorded");
    }
}
