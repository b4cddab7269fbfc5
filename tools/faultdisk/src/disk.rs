//! What stands behind the served file: a recorded image while a workload runs, a rebuilt one while it is checked.

use crate::RigError;
use crate::ctl::{Access, Faults};
use crate::log::Writer;
use nix::errno::Errno;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A disk as the server sees it. Offsets and lengths are bytes within [`Backing::size`].
pub trait Backing: Send {
    /// Size of the disk in bytes.
    fn size(&self) -> u64;
    /// How long to wait before an operation; asked before the disk is taken.
    fn delay(&self, access: Access) -> Duration;
    /// The `len` bytes at `offset`; fewer at the disk's end.
    fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, Errno>;
    /// Writes all of `data` at `offset`.
    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno>;
    /// Makes everything before it durable.
    fn flush(&mut self) -> Result<(), Errno>;
    /// Records received so far.
    fn seq(&self) -> u64;
}

fn errno(e: &std::io::Error) -> Errno {
    e.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

fn read_at(file: &File, size: u64, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
    let len = (len as u64).min(size.saturating_sub(offset)) as usize;
    let mut data = vec![0; len];
    file.read_exact_at(&mut data, offset).map_err(|e| errno(&e))?;
    Ok(data)
}

fn sparse(path: &Path, size: u64) -> Result<File, RigError> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(RigError::io("open", path))?;
    file.set_len(size).map_err(RigError::io("resize", path))?;
    Ok(file)
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
        let image = sparse(path, size)?;
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
}

impl Backing for Recorded {
    fn size(&self) -> u64 {
        self.size
    }

    fn delay(&self, access: Access) -> Duration {
        self.faults.delay(access)
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        self.faults.verdict(Access::Read, offset, len as u64, self.log.seq())?;
        read_at(&self.image, self.size, offset, len)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        self.faults.verdict(Access::Write, offset, data.len() as u64, self.log.seq())?;
        if offset + data.len() as u64 > self.size {
            return Err(Errno::ENOSPC);
        }
        // Logged first: what a reader of the disk can have seen is in the log.
        self.log.write(offset, data).map_err(|_| Errno::EIO)?;
        self.image.write_all_at(data, offset).map_err(|e| errno(&e))
    }

    fn flush(&mut self) -> Result<(), Errno> {
        self.faults.verdict(Access::Flush, 0, 0, self.log.seq())?;
        self.log.flush().map_err(|_| Errno::EIO)
    }

    fn seq(&self) -> u64 {
        self.log.seq()
    }
}

const BLOCK_BYTES: u64 = 4096;
/// Most memory that one rebuilt disk may take for what was written on it, in blocks: 1 GiB.
const BLOCKS_MAX: usize = (1 << 30) / BLOCK_BYTES as usize;

/// A rebuilt disk: a base that only grows with the crash point, and over it, in memory, what one crash left and what
/// the file system's recovery and the checker write. Dropping the upper layer costs nothing, so an image is not copied.
#[derive(Debug)]
pub struct Rebuilt {
    base: File,
    path: PathBuf,
    size: u64,
    over: HashMap<u64, Box<[u8]>>,
}

impl Rebuilt {
    /// An empty base of `size` bytes at `path`.
    pub fn create(path: &Path, size: u64) -> Result<Self, RigError> {
        Ok(Self { base: sparse(path, size)?, path: path.to_owned(), size, over: HashMap::new() })
    }

    /// Writes to the base, below what one crash left.
    pub fn put_base(&mut self, offset: u64, data: &[u8]) -> Result<(), RigError> {
        self.base.write_all_at(data, offset).map_err(RigError::io("write", &self.path))
    }

    /// Forgets all that is not in the base.
    pub fn reset(&mut self) {
        self.over.clear();
    }

    fn block(&mut self, number: u64) -> Result<&mut Box<[u8]>, Errno> {
        if !self.over.contains_key(&number) {
            if self.over.len() >= BLOCKS_MAX {
                return Err(Errno::ENOSPC);
            }
            let mut block = read_at(&self.base, self.size, number * BLOCK_BYTES, BLOCK_BYTES as usize)?;
            block.resize(BLOCK_BYTES as usize, 0);
            self.over.insert(number, block.into_boxed_slice());
        }
        self.over.get_mut(&number).ok_or(Errno::EIO)
    }
}

/// The pieces of `offset..offset + len` on the block grid: block number, first byte in the block, length.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    let mut at = offset;
    std::iter::from_fn(move || {
        let within = at % BLOCK_BYTES;
        let take = (BLOCK_BYTES - within).min(end.saturating_sub(at));
        let piece = (at / BLOCK_BYTES, within as usize, take as usize);
        at += take;
        (take > 0).then_some(piece)
    })
}

impl Backing for Rebuilt {
    fn size(&self) -> u64 {
        self.size
    }

    fn delay(&self, _: Access) -> Duration {
        Duration::ZERO
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<Vec<u8>, Errno> {
        let mut data = read_at(&self.base, self.size, offset, len)?;
        let mut at = 0;
        for (number, within, take) in pieces(offset, data.len()) {
            if let Some(block) = self.over.get(&number) {
                data[at..at + take].copy_from_slice(&block[within..within + take]);
            }
            at += take;
        }
        Ok(data)
    }

    fn write(&mut self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        if offset + data.len() as u64 > self.size {
            return Err(Errno::ENOSPC);
        }
        let mut at = 0;
        for (number, within, take) in pieces(offset, data.len()) {
            self.block(number)?[within..within + take].copy_from_slice(&data[at..at + take]);
            at += take;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn seq(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rebuilt_disk_forgets_its_upper_layer() {
        let dir = tempfile::tempdir().unwrap();
        let mut disk = Rebuilt::create(&dir.path().join("base"), 3 * 4096).unwrap();
        disk.put_base(0, &[1; 8192]).unwrap();
        disk.write(4090, &[2; 12]).unwrap();
        let mut expected = vec![1; 8192];
        expected[4090..4102].fill(2);
        expected.extend([0; 4096]);
        assert_eq!(disk.read(0, 1 << 20).unwrap(), expected);
        assert_eq!(disk.read(4096, 8).unwrap(), [2, 2, 2, 2, 2, 2, 1, 1]);
        disk.reset();
        assert_eq!(disk.read(4090, 12).unwrap(), [1; 12]);
        assert_eq!(disk.write(3 * 4096 - 1, &[0; 2]), Err(Errno::ENOSPC));
    }

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
