//! The file beside a large object: block checksums and part sizes that its record has no room for.
//!
//! Pages of 4 KiB, each closed by the crc32c of its number and content, so that one page can be read and checked alone:
//! a head (magic, counts), then the block checksums, then the part sizes.

use std::sync::Arc;

use parking_lot::Mutex;
use weir_types::limits::PARTS_MAX;

use crate::blocks::crc32c;
use crate::{Access, Buffer, Disk, DiskPath, RecordError, StoreError, object};

const PAGE_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"WEIRCK01";
const SUMS_PER_PAGE: u64 = (PAGE_BYTES as u64 - 4) / 4;
const PARTS_PER_PAGE: u64 = (PAGE_BYTES as u64 - 4) / 8;
/// Pages written by one operation.
const PAGES_PER_WRITE: usize = 16;

/// An open one.
pub(crate) struct Sidecar<F> {
    file: F,
    path: DiskPath,
    blocks: u64,
    parts: u32,
    /// The page of sums read last: a sequential reader needs one page for 256 MiB of object.
    page: Mutex<Option<(u64, Arc<[u8]>)>>,
}

fn seal(number: u64, mut page: Vec<u8>) -> Vec<u8> {
    page.resize(PAGE_BYTES - 4, 0);
    let sum = page_sum(number, &page);
    page.extend_from_slice(&sum.to_le_bytes());
    page
}

fn page_sum(number: u64, content: &[u8]) -> u32 {
    let head = crc32c(&number.to_le_bytes());
    crate::blocks::combine(head, crc32c(content), content.len() as u64)
}

/// Writes sums and parts to an empty file.
pub(crate) async fn write<D: Disk>(
    disk: &D,
    file: &D::File,
    sums: &[u32],
    parts: &[u64],
) -> Result<(), StoreError> {
    let mut head = MAGIC.to_vec();
    head.extend_from_slice(&(sums.len() as u64).to_le_bytes());
    head.extend_from_slice(&(parts.len() as u32).to_le_bytes());
    let sum_pages =
        sums.chunks(SUMS_PER_PAGE as usize).map(|p| p.iter().flat_map(|s| s.to_le_bytes()).collect());
    let part_pages =
        parts.chunks(PARTS_PER_PAGE as usize).map(|p| p.iter().flat_map(|s| s.to_le_bytes()).collect());
    let mut pages = std::iter::once(head).chain(sum_pages).chain(part_pages).enumerate();
    let mut offset = 0u64;
    loop {
        let run: Vec<u8> =
            pages.by_ref().take(PAGES_PER_WRITE).flat_map(|(n, page)| seal(n as u64, page)).collect();
        if run.is_empty() {
            return Ok(());
        }
        let mut buf = disk.buffer(run.len()).await?;
        buf.set_len(run.len());
        buf.copy_from_slice(&run);
        let (_, written) = disk.write(file, offset, buf).await;
        written?;
        offset += run.len() as u64;
    }
}

impl<F: Clone + Send + Sync + 'static> Sidecar<F> {
    pub(crate) async fn open<D: Disk<File = F>>(disk: &D, path: DiskPath) -> Result<Self, StoreError> {
        let file = disk.open(&path, Access::Buffered).await?;
        Self::of_file(disk, file, path).await
    }

    /// The same of a file that is open already.
    pub(crate) async fn of_file<D: Disk<File = F>>(
        disk: &D,
        file: F,
        path: DiskPath,
    ) -> Result<Self, StoreError> {
        let mut this = Self { file, path, blocks: 0, parts: 0, page: Mutex::new(None) };
        let head = this.read_page(disk, 0).await?;
        let malformed = || this.error("head of the file beside the object");
        let counts = head.strip_prefix(MAGIC).ok_or_else(malformed)?;
        let (blocks, rest) = counts.split_first_chunk::<8>().ok_or_else(malformed)?;
        let parts = rest.first_chunk::<4>().ok_or_else(malformed)?;
        let (blocks, parts) = (u64::from_le_bytes(*blocks), u32::from_le_bytes(*parts));
        if parts > PARTS_MAX {
            return Err(malformed());
        }
        (this.blocks, this.parts) = (blocks, parts);
        Ok(this)
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Checksums of blocks `first..first + count`.
    pub(crate) async fn sums<D: Disk<File = F>>(
        &self,
        disk: &D,
        first: u64,
        count: u64,
    ) -> Result<Vec<u32>, StoreError> {
        if first.checked_add(count).is_none_or(|end| end > self.blocks) {
            return Err(self.error("block count"));
        }
        let mut out = Vec::new();
        let mut at = first;
        while at < first + count {
            let (page, within) = (1 + at / SUMS_PER_PAGE, at % SUMS_PER_PAGE);
            let here = (SUMS_PER_PAGE - within).min(first + count - at);
            let bytes = self.cached_page(disk, page).await?;
            let (sums, _) = bytes.as_chunks::<4>();
            let sums = sums.iter().skip(within as usize).take(here as usize);
            out.extend(sums.map(|s| u32::from_le_bytes(*s)));
            at += here;
        }
        Ok(out)
    }

    /// Part sizes.
    pub(crate) async fn parts<D: Disk<File = F>>(&self, disk: &D) -> Result<Vec<u64>, StoreError> {
        let first = 1 + self.blocks.div_ceil(SUMS_PER_PAGE);
        let mut out = Vec::new();
        for page in 0..u64::from(self.parts).div_ceil(PARTS_PER_PAGE) {
            let bytes = self.read_page(disk, first + page).await?;
            let (sizes, _) = bytes.as_chunks::<8>();
            let left = self.parts as usize - out.len();
            out.extend(
                sizes.iter().take((PARTS_PER_PAGE as usize).min(left)).map(|s| u64::from_le_bytes(*s)),
            );
        }
        Ok(out)
    }

    async fn cached_page<D: Disk<File = F>>(&self, disk: &D, number: u64) -> Result<Arc<[u8]>, StoreError> {
        if let Some((_, page)) = self.page.lock().as_ref().filter(|(n, _)| *n == number) {
            return Ok(page.clone());
        }
        let page: Arc<[u8]> = self.read_page(disk, number).await?.into();
        *self.page.lock() = Some((number, page.clone()));
        Ok(page)
    }

    async fn read_page<D: Disk<File = F>>(&self, disk: &D, number: u64) -> Result<Vec<u8>, StoreError> {
        let offset = number.checked_mul(PAGE_BYTES as u64).ok_or_else(|| self.error("page number"))?;
        let bytes = object::read_full(disk, &self.file, offset, PAGE_BYTES).await?;
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| self.error("page"))?;
        if bytes.len() != PAGE_BYTES || page_sum(number, content) != u32::from_le_bytes(*sum) {
            return Err(self.error("page of the file beside the object"));
        }
        Ok(content.to_vec())
    }

    fn error(&self, field: &'static str) -> StoreError {
        StoreError::Record { path: self.path.to_string(), error: RecordError::Malformed { field } }
    }
}
