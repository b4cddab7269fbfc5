//! The disk of past moments, in memory: the loop device stands on it, with no server between.
//!
//! What one crash left, and what the file system's recovery and the checker wrote on it, is undone by comparison with a
//! base that only grows with the crash point. So nobody has to tell which blocks were touched, and an image is not copied.

use crate::RigError;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek64};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What is compared and restored at a time.
const CHUNK_BYTES: u64 = 64 << 10;
static ZEROS: [u8; CHUNK_BYTES as usize] = [0; CHUNK_BYTES as usize];

/// A rebuilt disk. It takes memory for what is not zero, twice.
#[derive(Debug)]
pub struct Rebuilt {
    image: File,
    path: PathBuf,
    base: Vec<u8>,
    /// Chunks of the base that may hold something else than zeros.
    held: Vec<bool>,
}

impl Rebuilt {
    /// An empty disk of `size` bytes.
    pub fn new(size: u64) -> Result<Self, RigError> {
        let image = memfd_create("rebuilt", MFdFlags::MFD_CLOEXEC);
        let image = File::from(image.map_err(RigError::io("create", "a disk in memory"))?);
        image.set_len(size).map_err(RigError::io("resize", "a disk in memory"))?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd()).into();
        let held = vec![false; size.div_ceil(CHUNK_BYTES) as usize];
        Ok(Self { image, path, base: vec![0; size as usize], held })
    }

    /// The disk as a file, for as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes to the base and to the disk, which must hold what the base holds.
    pub fn put_base(&mut self, offset: u64, data: &[u8]) -> Result<(), RigError> {
        let full = || RigError::io("write beyond the end of", &self.path)(Errno::ENOSPC);
        let (mut at, mut rest) = (offset, data);
        while !rest.is_empty() {
            let chunk = (at / CHUNK_BYTES) as usize;
            let (piece, later) = rest.split_at(rest.len().min((CHUNK_BYTES - at % CHUNK_BYTES) as usize));
            let range = at as usize..at as usize + piece.len();
            let held = self.held.get_mut(chunk).ok_or_else(full)?;
            // The zeros of a new log or inode table would only be compared again and again.
            if *held || piece != &ZEROS[..piece.len()] {
                self.base.get_mut(range).ok_or_else(full)?.copy_from_slice(piece);
                *held = true;
                self.image.write_all_at(piece, at).map_err(RigError::io("write", &self.path))?;
            }
            at += piece.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// Writes to the disk alone.
    pub fn put(&self, offset: u64, data: &[u8]) -> Result<(), RigError> {
        if offset + data.len() as u64 > self.base.len() as u64 {
            return Err(RigError::io("write beyond the end of", &self.path)(Errno::ENOSPC));
        }
        self.image.write_all_at(data, offset).map_err(RigError::io("write", &self.path))
    }

    /// Makes the disk hold what the base holds.
    pub fn reset(&mut self) -> Result<(), RigError> {
        let touched = self.allocated()?;
        let mut found = vec![0; CHUNK_BYTES as usize];
        for (chunk, (held, touched)) in self.held.iter().zip(touched).enumerate() {
            let range = self.range(chunk);
            let at = range.start as u64;
            if !held && touched {
                let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(&self.image, flags, at as i64, range.len() as i64)
                    .map_err(RigError::io("restore", &self.path))?;
            } else if *held {
                let (found, base) = (&mut found[..range.len()], &self.base[range]);
                self.image.read_exact_at(found, at).map_err(RigError::io("read", &self.path))?;
                if found != base {
                    self.image.write_all_at(base, at).map_err(RigError::io("restore", &self.path))?;
                }
            }
        }
        Ok(())
    }

    fn range(&self, chunk: usize) -> Range<usize> {
        let start = chunk * CHUNK_BYTES as usize;
        start..self.base.len().min(start + CHUNK_BYTES as usize)
    }

    /// Which chunks of the disk are not all hole.
    fn allocated(&self) -> Result<Vec<bool>, RigError> {
        let mut allocated = vec![false; self.held.len()];
        let mut chunk = 0;
        while chunk < allocated.len() {
            match lseek64(&self.image, self.range(chunk).start as i64, Whence::SeekData) {
                Ok(at) => chunk = (at as u64 / CHUNK_BYTES) as usize,
                Err(Errno::ENXIO) => break,
                Err(e) => return Err(RigError::io("look for data in", &self.path)(e)),
            }
            allocated[chunk] = true;
            chunk += 1;
        }
        Ok(allocated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 5 * CHUNK_BYTES / 2;

    fn content(disk: &Rebuilt) -> Vec<u8> {
        std::fs::read(disk.path()).unwrap()
    }

    #[test]
    fn a_disk_forgets_what_is_not_in_its_base() {
        let mut disk = Rebuilt::new(SIZE).unwrap();
        disk.put_base(CHUNK_BYTES - 10, &[1; 20]).unwrap();
        let mut expected = vec![0; SIZE as usize];
        expected[CHUNK_BYTES as usize - 10..][..20].fill(1);
        assert_eq!(content(&disk), expected);

        // Over the base, in a chunk that the base does not hold, and, past this program, as a loop device does it.
        disk.put(CHUNK_BYTES - 5, &[2; 3]).unwrap();
        disk.put(SIZE - 1, &[2]).unwrap();
        let other = std::fs::OpenOptions::new().write(true).open(disk.path()).unwrap();
        other.write_all_at(&[3], 0).unwrap();
        assert_ne!(content(&disk), expected);
        disk.reset().unwrap();
        assert_eq!(content(&disk), expected);

        // What the base holds, gone from the disk.
        let punch = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(&other, punch, 0, SIZE as i64).unwrap();
        disk.reset().unwrap();
        assert_eq!(content(&disk), expected);
    }

    #[test]
    fn zeros_overwrite_what_is_there_and_take_nothing_elsewhere() {
        let mut disk = Rebuilt::new(SIZE).unwrap();
        disk.put_base(0, &vec![0; SIZE as usize]).unwrap();
        assert_eq!(disk.allocated().unwrap(), [false; 3]);
        disk.put_base(CHUNK_BYTES, &[1; 100]).unwrap();
        disk.put_base(CHUNK_BYTES, &[0; 99]).unwrap();
        disk.reset().unwrap();
        let ones: Vec<usize> =
            content(&disk).iter().enumerate().filter_map(|(i, b)| (*b == 1).then_some(i)).collect();
        assert_eq!(ones, [CHUNK_BYTES as usize + 99]);
        assert_eq!(disk.allocated().unwrap(), [false, true, false]);
    }

    #[test]
    fn a_disk_ends_where_it_ends() {
        let mut disk = Rebuilt::new(SIZE).unwrap();
        assert!(disk.put(SIZE - 1, &[1; 2]).is_err());
        assert!(disk.put_base(SIZE - 1, &[1; 2]).is_err());
        disk.put_base(SIZE - 1, &[1]).unwrap();
        assert_eq!(content(&disk).len() as u64, SIZE);
    }
}
