use std::sync::Arc;

use weir_types::ChecksumKind;
use weir_types::checksum::{Checksum, Hasher};
use weir_types::limits::{CHECKSUM_BLOCKS_INLINE_MAX, IO_BUFFER_BYTES};

use crate::blocks::{Summer, Sums};
use crate::record::PART_RUNS_INLINE_MAX;
use crate::work::WorkFile;
use crate::{Disk, Etag, Mountpath, StoreError, lanes, record, sidecar};

/// Objects up to this size are written through the page cache: smaller ones are faster that way.
const BUFFERED_BYTES_MAX: u64 = 64 << 10;
/// The same for relaxed objects, whose bytes need not reach the disk.
const BUFFERED_RELAXED_BYTES_MAX: u64 = 1 << 20;

/// What an acknowledged change survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// Loss of power.
    #[default]
    Durable,
    /// The death of the process, not a loss of power.
    Relaxed,
}

/// How an object is to be written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions<'a> {
    /// Size in bytes, where the client stated it.
    pub size_hint: Option<u64>,
    /// What the object must survive.
    pub durability: Durability,
    /// Keep it in the page cache: it is written through it, since readers follow at once.
    pub cached: bool,
    /// Nobody needs its work file: where the mountpath has a journal and the size is known and small, there is none.
    pub small_in_memory: bool,
    /// Whole-object checksums to compute, the bucket's kind first; all go into the record. `None` is skipped.
    pub kinds: &'a [ChecksumKind],
}

/// What the client said its bytes are.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// Size in bytes.
    pub size: Option<u64>,
    /// Checksums; each must be of a kind that was computed.
    pub checksums: Vec<Checksum>,
}

/// An object being written to a work file, or gathered in memory. Dropping it abandons the file; the committer removes it.
pub struct Writer<D: Disk> {
    disk: D,
    mountpath: Arc<Mountpath<D::File>>,
    body: Gathering<D::File>,
    summer: Summer,
    hashers: Vec<(ChecksumKind, Hasher)>,
    /// It takes part in hashing in lanes.
    _member: Option<lanes::Member>,
    durability: Durability,
    allocated: u64,
    failed: Option<StoreError>,
}

/// Where a writer's bytes go.
enum Gathering<F> {
    File(WorkFile<F>),
    /// Up to `size` bytes; all of them came at once if `whole` has them.
    Memory {
        size: u64,
        pieces: Vec<u8>,
        whole: Option<Arc<[u8]>>,
    },
}

impl<D: Disk> Writer<D> {
    pub(crate) async fn begin(
        disk: D,
        mountpath: Arc<Mountpath<D::File>>,
        options: &WriteOptions<'_>,
    ) -> Result<Self, StoreError> {
        mountpath.refuse_poisoned()?;
        let hashed = options.kinds.iter().filter(|kind| **kind != ChecksumKind::None);
        let hashers = hashed.map(|kind| (*kind, Hasher::new(*kind))).collect();
        let in_lanes = options.kinds.contains(&ChecksumKind::Md5)
            && options.size_hint.is_none_or(|size| size >= lanes::BYTES_MIN as u64);
        let member = in_lanes.then(lanes::Member::new);
        let summer = Summer::new(options.size_hint.unwrap_or(0));
        let (durability, failed) = (options.durability, None);
        if let Some(size) = options.size_hint.filter(|s| options.small_in_memory && mountpath.is_small(*s)) {
            let body = Gathering::Memory { size, pieces: Vec::new(), whole: None };
            return Ok(Self {
                disk,
                mountpath,
                body,
                summer,
                hashers,
                _member: member,
                durability,
                allocated: 0,
                failed,
            });
        }
        let buffered_max = match options.durability {
            Durability::Durable => BUFFERED_BYTES_MAX,
            Durability::Relaxed => BUFFERED_RELAXED_BYTES_MAX,
        };
        let direct = !options.cached && options.size_hint.is_none_or(|size| size > buffered_max);
        let work =
            mountpath.written(WorkFile::take(&disk, &mountpath, direct).await.map_err(StoreError::from))?;
        // What waits in the page cache gets its room when it goes out, all at once.
        let at_once = direct || options.durability == Durability::Durable;
        let pieces = |size: &u64| at_once && *size > IO_BUFFER_BYTES as u64;
        let allocated = options.size_hint.filter(pieces).unwrap_or(0);
        if allocated > 0 {
            mountpath.written(disk.allocate(work.file(), allocated).await.map_err(StoreError::from))?;
        }
        let body = Gathering::File(work);
        Ok(Self { disk, mountpath, body, summer, hashers, _member: member, durability, allocated, failed })
    }

    /// Appends all of `buf` (its `len`, best [`IO_BUFFER_BYTES`] at a time) and gives the buffer back. Every piece but
    /// the last is a multiple of 4 KiB where the disk writes past the page cache.
    /// After an error every later call fails with it.
    pub async fn write(&mut self, buf: D::Buf) -> (D::Buf, Result<(), StoreError>) {
        if let Some(error) = &self.failed {
            return (buf, Err(error.clone()));
        }
        if buf.is_empty() {
            return (buf, Ok(()));
        }
        if let Err(error) = self.mountpath.refuse_closed() {
            return (buf, Err(error));
        }
        let offset = self.summer.size();
        self.summer.update(&buf);
        let mut md5 = None;
        for (kind, hasher) in &mut self.hashers {
            if *kind == ChecksumKind::Md5 && buf.len() >= lanes::BYTES_MIN {
                md5 = hasher.md5_mut();
            } else {
                hasher.update(&buf);
            }
        }
        let buf = match md5 {
            None => buf,
            Some(md5) => {
                // Should this be given up meanwhile, the digest is lost.
                self.failed = Some(StoreError::Abandoned("a write was given up"));
                let buf = lanes::update(md5, buf).await;
                self.failed = None;
                buf
            }
        };
        let (buf, written) = match &mut self.body {
            Gathering::File(work) => {
                let (buf, written) = self.disk.write(work.file(), offset, buf).await;
                (buf, self.mountpath.written(written.map_err(StoreError::from)))
            }
            Gathering::Memory { size, .. } if self.summer.size() > *size => {
                let got = self.summer.size();
                (buf, Err(StoreError::SizeMismatch { expected: *size, got }))
            }
            Gathering::Memory { size, whole, .. } if buf.len() as u64 == *size => {
                *whole = Some(Arc::from(&buf[..]));
                (buf, Ok(()))
            }
            Gathering::Memory { size, pieces, .. } => {
                pieces.reserve_exact((*size as usize).saturating_sub(pieces.len()));
                pieces.extend_from_slice(&buf);
                (buf, Ok(()))
            }
        };
        self.failed = written.clone().err();
        (buf, written)
    }

    /// Bytes written so far; all of them can be read from [`file`](Self::file).
    pub fn written(&self) -> u64 {
        self.summer.size()
    }

    /// The work file, where there is one: readers of a cold flight read it while it grows.
    pub fn file(&self) -> Option<&D::File> {
        match &self.body {
            Gathering::File(work) => Some(work.file()),
            Gathering::Memory { .. } => None,
        }
    }

    /// Ends the object: checks what the client stated, trims the file, and writes what goes beside it.
    pub async fn finish(self, expected: &Expected) -> Result<Prepared<D::File>, StoreError> {
        self.finish_parts(expected, Vec::new()).await
    }

    /// The same for an object of multipart parts of these sizes; none: it is not one.
    pub async fn finish_parts(
        mut self,
        expected: &Expected,
        parts: Vec<u64>,
    ) -> Result<Prepared<D::File>, StoreError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let checksums: Vec<Checksum> = self.hashers.drain(..).map(|(_, hasher)| hasher.finish()).collect();
        let sums = std::mem::replace(&mut self.summer, Summer::new(0)).finish();
        check_stated(expected, sums.size, &checksums)?;
        let body = match self.body {
            Gathering::Memory { whole: Some(whole), .. } => Body::Memory(whole),
            Gathering::Memory { pieces, .. } => Body::Memory(pieces.into()),
            Gathering::File(work) => {
                if self.allocated != 0 && self.allocated != sums.size {
                    let trimmed = self.disk.truncate(work.file(), sums.size).await;
                    self.mountpath.written(trimmed.map_err(StoreError::from))?;
                }
                if self.durability == Durability::Durable && sums.size > IO_BUFFER_BYTES as u64 {
                    // Bulk goes out here, beside other transfers; the committer's sync then finds only the metadata.
                    let synced = self.disk.sync(work.file()).await;
                    self.mountpath.written(synced.map_err(StoreError::from))?;
                }
                Body::File(work)
            }
        };
        Prepared::new(&self.disk, &self.mountpath, body, sums, checksums, parts, self.durability).await
    }
}

fn check_stated(expected: &Expected, size: u64, computed: &[Checksum]) -> Result<(), StoreError> {
    if let Some(stated) = expected.size.filter(|stated| *stated != size) {
        return Err(StoreError::SizeMismatch { expected: stated, got: size });
    }
    for stated in expected.checksums.iter().filter(|c| c.kind != ChecksumKind::None) {
        let got = computed.iter().find(|c| c.kind == stated.kind);
        if got != Some(stated) {
            let got = got.map_or_else(|| "(not computed)".to_owned(), Checksum::hex);
            return Err(StoreError::ChecksumMismatch { kind: stated.kind, expected: stated.hex(), got });
        }
    }
    Ok(())
}

/// Where a whole object's bytes are before it has a name.
pub(crate) enum Body<F> {
    File(WorkFile<F>),
    Memory(Arc<[u8]>),
}

/// A whole object in a work file or in memory, waiting for its name. It may travel to the committer; dropped, it is
/// removed.
pub struct Prepared<F> {
    pub(crate) body: Body<F>,
    pub(crate) beside: Option<WorkFile<F>>,
    pub(crate) block_bytes: u32,
    /// Empty when they are beside.
    pub(crate) sums: Vec<u32>,
    pub(crate) part_runs: Vec<(u32, u64)>,
    pub(crate) parts_beside: bool,
    /// Size in bytes.
    pub size: u64,
    /// The checksums that were computed, the bucket's kind first.
    pub checksums: Vec<Checksum>,
    /// crc32c of the content, always known.
    pub crc32c: u32,
    /// ETag of assembled parts that all had an MD5.
    pub multipart_etag: Option<Etag>,
    /// What it must survive.
    pub durability: Durability,
}

impl<F: Clone + Send + Sync + 'static> Prepared<F> {
    pub(crate) async fn new<D: Disk<File = F>>(
        disk: &D,
        mountpath: &Arc<Mountpath<F>>,
        body: Body<F>,
        sums: Sums,
        checksums: Vec<Checksum>,
        parts: Vec<u64>,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let crc32c = sums.whole();
        let runs = record::runs_of(&parts);
        let parts_beside = runs.len() > PART_RUNS_INLINE_MAX;
        let beside = if parts_beside || sums.sums.len() > CHECKSUM_BLOCKS_INLINE_MAX {
            let kept: &[u64] = if parts_beside { &parts } else { &[] };
            let written = async {
                let beside = WorkFile::take(disk, mountpath, false).await?;
                sidecar::write(disk, beside.file(), &sums.sums, kept).await?;
                Ok(beside)
            };
            Some(mountpath.written(written.await)?)
        } else {
            None
        };
        Ok(Self {
            body,
            block_bytes: sums.block_bytes,
            sums: if beside.is_some() { Vec::new() } else { sums.sums },
            beside,
            part_runs: if parts_beside { Vec::new() } else { runs },
            parts_beside,
            size: sums.size,
            checksums,
            crc32c,
            multipart_etag: None,
            durability,
        })
    }
}

impl<F> Prepared<F> {
    /// The checksum of `kind`, if it was computed; crc32c always is.
    pub fn checksum(&self, kind: ChecksumKind) -> Option<Checksum> {
        let found = self.checksums.iter().find(|c| c.kind == kind).cloned();
        found.or_else(|| {
            (kind == ChecksumKind::Crc32c)
                .then(|| Checksum { kind, value: self.crc32c.to_be_bytes().to_vec() })
        })
    }

    /// The same, of a content that is in memory.
    pub(crate) fn in_memory(&self, content: Arc<[u8]>) -> Self {
        Self {
            body: Body::Memory(content),
            beside: None,
            block_bytes: self.block_bytes,
            sums: self.sums.clone(),
            part_runs: self.part_runs.clone(),
            parts_beside: self.parts_beside,
            size: self.size,
            checksums: self.checksums.clone(),
            crc32c: self.crc32c,
            multipart_etag: self.multipart_etag.clone(),
            durability: self.durability,
        }
    }

    /// The MD5, if it was computed: the ETag of a plain S3 PUT.
    pub fn md5_etag(&self) -> Option<Etag> {
        let md5 = self.checksums.iter().find(|c| c.kind == ChecksumKind::Md5)?;
        md5.value.as_slice().try_into().ok().map(Etag::Md5)
    }
}
