use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use weir_types::limits::IO_BUFFER_BYTES;
use weir_types::{ByteRange, ObjectName};

use crate::blocks::{block_count, crc32c};
use crate::sidecar::Sidecar;
use crate::{Blocks, Buffer, Disk, DiskError, DiskErrorKind, Mountpath, Record, StoreError};

/// An open object: its record and its bytes, as they were at the open, whatever is committed since.
pub struct Object<D: Disk> {
    pub(crate) disk: D,
    pub(crate) mountpath: Arc<Mountpath<D::File>>,
    pub(crate) name: ObjectName,
    pub(crate) record: Arc<Record>,
    pub(crate) source: Source<D::File>,
    pub(crate) beside: Option<Sidecar<D::File>>,
}

/// Where an object's bytes are.
pub(crate) enum Source<F> {
    File(F),
    Memory(Arc<[u8]>),
}

/// A read of whole checksum blocks, and which of its bytes were asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// First byte of the read; a multiple of the block size.
    pub offset: u64,
    /// Bytes of the read: whole blocks, or up to the object's end; at most [`IO_BUFFER_BYTES`].
    pub len: usize,
    /// First wanted byte within the read.
    pub from: usize,
    /// One past the last wanted byte within the read.
    pub to: usize,
}

/// Bytes of an object that fit their checksums.
pub struct Piece<B> {
    /// The whole chunk.
    pub buf: B,
    /// First wanted byte in `buf`.
    pub from: usize,
    /// One past the last wanted byte in `buf`.
    pub to: usize,
}

impl<B: Buffer> Piece<B> {
    /// The wanted bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buf.get(self.from..self.to).unwrap_or_default()
    }
}

/// The reads that give a byte range, in order.
#[derive(Clone, Debug)]
pub struct Chunks {
    block: u64,
    size: u64,
    at: u64,
    end: u64,
}

impl Chunks {
    /// The reads for `range` of an object of `size` bytes in blocks of `block_bytes`.
    pub fn new(size: u64, block_bytes: u32, range: ByteRange) -> Self {
        let end = range.start.saturating_add(range.len).min(size);
        Self { block: u64::from(block_bytes.max(1)), size, at: range.start, end }
    }
}

impl Iterator for Chunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        if self.at >= self.end {
            return None;
        }
        let offset = self.at - self.at % self.block;
        // Whole blocks that cover the wanted bytes, as many as one buffer holds (at least one: blocks are no larger).
        let wanted_end = self.end.div_ceil(self.block).saturating_mul(self.block);
        let stop = wanted_end.min(offset + (IO_BUFFER_BYTES as u64).max(self.block)).min(self.size);
        let (from, to) = (self.at - offset, self.end.min(stop) - offset);
        self.at = stop;
        Some(Chunk { offset, len: (stop - offset) as usize, from: from as usize, to: to as usize })
    }
}

impl<D: Disk> Object<D> {
    /// Its metadata.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The mountpath that it is on.
    pub fn mountpath(&self) -> &Arc<Mountpath<D::File>> {
        &self.mountpath
    }

    /// Its name.
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// Its open file, for strategies that do not pass the bytes through memory (sendfile); what goes out that way is
    /// not checked here: see [`verify`](Self::verify). `None` while it is not filed.
    pub fn file(&self) -> Option<&D::File> {
        match &self.source {
            Source::File(file) => Some(file),
            Source::Memory(_) => None,
        }
    }

    /// Its bytes, while they are in memory: not filed yet, or [kept](Self::in_memory) there. They fit their checksums.
    pub fn content(&self) -> Option<&Arc<[u8]>> {
        match &self.source {
            Source::File(_) => None,
            Source::Memory(content) => Some(content),
        }
    }

    /// The same object with its bytes in memory and its file closed. `None` if they are not as many as it has, or if
    /// more of it lies beside.
    pub fn in_memory(&self, content: Arc<[u8]>) -> Option<Self> {
        let whole = content.len() as u64 == self.record.size && !self.record.parts_beside;
        whole.then(|| Self {
            disk: self.disk.clone(),
            mountpath: self.mountpath.clone(),
            name: self.name.clone(),
            record: self.record.clone(),
            source: Source::Memory(content),
            beside: None,
        })
    }

    /// The reads that give `range`, on the grid of checksum blocks.
    pub fn chunks(&self, range: ByteRange) -> Chunks {
        Chunks::new(self.record.size, self.record.blocks.block_bytes(), range)
    }

    /// All of it.
    pub fn all(&self) -> ByteRange {
        ByteRange { start: 0, len: self.record.size }
    }

    /// Reads a chunk and checks every block of it; a block that does not fit gives an error and no bytes.
    pub async fn read(&self, chunk: Chunk) -> Result<Piece<D::Buf>, StoreError> {
        self.mountpath.refuse_closed()?;
        let buf = match &self.source {
            Source::File(file) => self.read_file(file, chunk).await?,
            Source::Memory(content) => {
                let start = usize::try_from(chunk.offset).unwrap_or(usize::MAX);
                let bytes = content.get(start..).and_then(|b| b.get(..chunk.len)).unwrap_or_default();
                let mut buf = self.disk.buffer(chunk.len).await?;
                buf.set_len(bytes.len());
                buf.copy_from_slice(bytes);
                buf
            }
        };
        if buf.len() != chunk.len {
            let got = chunk.offset + buf.len() as u64;
            return Err(StoreError::Truncated { name: self.name.clone(), expected: self.record.size, got });
        }
        self.check(chunk, &buf).await?;
        Ok(Piece { buf, from: chunk.from, to: chunk.to })
    }

    async fn read_file(&self, file: &D::File, chunk: Chunk) -> Result<D::Buf, StoreError> {
        read_full(&self.disk, file, chunk.offset, chunk.len).await.map_err(|error| {
            self.mountpath.read_errors.fetch_add(1, Ordering::Relaxed);
            error.into()
        })
    }

    /// Reads and checks the whole object.
    pub async fn verify(&self) -> Result<(), StoreError> {
        for chunk in self.chunks(self.all()) {
            self.read(chunk).await?;
        }
        Ok(())
    }

    /// Sizes of the multipart parts it was made of; empty if it was not.
    pub async fn parts(&self) -> Result<Vec<u64>, StoreError> {
        match &self.beside {
            Some(beside) if self.record.parts_beside => beside.parts(&self.disk).await,
            _ => {
                let runs = self.record.part_runs.iter();
                Ok(runs.flat_map(|(count, bytes)| std::iter::repeat_n(*bytes, *count as usize)).collect())
            }
        }
    }

    /// All block checksums.
    pub(crate) async fn sums(&self) -> Result<Vec<u32>, StoreError> {
        let count = block_count(self.record.size, self.record.blocks.block_bytes());
        self.sums_of(0, count).await
    }

    async fn sums_of(&self, first: u64, count: u64) -> Result<Vec<u32>, StoreError> {
        match (&self.record.blocks, &self.beside) {
            (Blocks::Beside { .. }, Some(beside)) => beside.sums(&self.disk, first, count).await,
            (Blocks::Inline { sums, .. }, _) => {
                Ok(sums.iter().skip(first as usize).take(count as usize).copied().collect())
            }
            (Blocks::Beside { .. }, None) => Ok(Vec::new()),
        }
    }

    async fn check(&self, chunk: Chunk, bytes: &[u8]) -> Result<(), StoreError> {
        let block_bytes = self.record.blocks.block_bytes();
        let first = chunk.offset / u64::from(block_bytes);
        let count = block_count(chunk.len as u64, block_bytes);
        let sums = match &self.record.blocks {
            Blocks::Inline { sums, .. } => Cow::Borrowed(sums.get(first as usize..).unwrap_or_default()),
            Blocks::Beside { .. } => Cow::Owned(self.sums_of(first, count).await?),
        };
        for (i, block) in bytes.chunks(block_bytes as usize).enumerate() {
            let got = crc32c(block);
            // A record without a checksum for a block is as wrong as a wrong one.
            let expected = sums.get(i).copied().unwrap_or(!got);
            if expected != got {
                self.mountpath.corrupt_blocks.fetch_add(1, Ordering::Relaxed);
                let block = first + i as u64;
                let offset = block * u64::from(block_bytes);
                return Err(StoreError::Corrupt { name: self.name.clone(), block, offset, expected, got });
            }
        }
        Ok(())
    }
}

/// Reads `len` bytes, or up to the end of the file, through reads that may come short.
pub(crate) async fn read_full<D: Disk>(
    disk: &D,
    file: &D::File,
    offset: u64,
    len: usize,
) -> Result<D::Buf, DiskError> {
    let (mut buf, got) = disk.read_new(file, offset, len).await?;
    let mut have = got?;
    if have > len || buf.len() != have {
        return Err(DiskError::of_file("read", DiskErrorKind::Io));
    }
    while have < len {
        let rest = disk.buffer(len - have).await?;
        let (rest, got) = disk.read(file, offset + have as u64, len - have, rest).await;
        let got = got?.min(rest.len());
        if got == 0 {
            break;
        }
        buf.set_len(have + got);
        if let (Some(to), Some(from)) = (buf.get_mut(have..), rest.get(..got)) {
            to.copy_from_slice(from);
        }
        have += got;
    }
    Ok(buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lie_on_the_grid_and_cover_the_range() {
        let sizes = [0u64, 1, 4096, 4097, 10_000, 300_000, 1_000_000];
        for size in sizes {
            for block in [4096u32, 16_384, 262_144] {
                for (start, len) in
                    [(0, size), (0, 1), (1, 5000), (4095, 2), (size / 2, size), (size.saturating_sub(1), 1)]
                {
                    let mut want = start;
                    let end = (start + len).min(size);
                    for c in Chunks::new(size, block, ByteRange { start, len }) {
                        assert!(c.offset.is_multiple_of(block.into()) && c.len <= IO_BUFFER_BYTES);
                        assert!(
                            (c.len as u64).is_multiple_of(block.into()) || c.offset + c.len as u64 == size
                        );
                        assert_eq!(c.offset + c.from as u64, want);
                        assert!(c.from < c.to && c.to <= c.len);
                        want = c.offset + c.to as u64;
                    }
                    assert_eq!(want, end.max(start), "{size} {block} {start} {len}");
                }
            }
        }
    }
}
