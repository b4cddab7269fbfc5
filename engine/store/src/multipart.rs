use weir_types::checksum::Hasher;
use weir_types::limits::{IO_BUFFER_BYTES, PARTS_MAX};
use weir_types::{Bucket, ChecksumKind, ObjectName};

use crate::blocks::{Sums, block_bytes, regroup};
use crate::layout::{BucketDirs, UPLOAD_FILE};
use crate::recover::dirs_in;
use crate::volume::Look;
use crate::work::WorkFile;
use crate::writer::Body;
use crate::{
    Access, Blocks, Disk, DiskErrorKind, DiskPath, Durability, EntryKind, Etag, Expected, Object, Prepared,
    Record, StoreError, Volume, WriteOptions,
};

/// Clones start and end on this grid, but for the last.
const CLONE_GRID: u64 = 4096;

/// A part as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartInfo {
    /// 1 to 10,000.
    pub number: u32,
    /// Size, checksums, ETag, time.
    pub record: Record,
}

/// An upload in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UploadInfo {
    /// Its ID.
    pub id: String,
    /// Name of the object to be.
    pub name: ObjectName,
    /// Metadata of the object to be; `created_ns` is the upload's beginning.
    pub record: Record,
}

/// A part that a completion names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartChoice {
    /// Its number.
    pub number: u32,
    /// The ETag it must have, without quotes.
    pub etag: Option<String>,
}

/// File of a part in its upload's directory.
pub(crate) fn part_file(number: u32) -> String {
    format!("{number:05}")
}

impl<D: Disk> Volume<D> {
    /// One upload: `NoSuchUpload` if it is not there or is another name's.
    pub async fn upload(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
    ) -> Result<UploadInfo, StoreError> {
        let absent = || StoreError::NoSuchUpload { id: id.to_owned() };
        // An ID is what we made: anything else is nobody's upload, and never a path.
        if crate::CommitId::parse(id.as_bytes()).is_none() {
            return Err(absent());
        }
        let dir = BucketDirs::of(bucket)?.uploads.join(id)?;
        self.upload_in(&dir, id).await?.filter(|upload| upload.name == *name).ok_or_else(absent)
    }

    /// The upload with an ID, whatever its name.
    pub(crate) async fn upload_of_any(
        &self,
        bucket: &Bucket,
        id: &str,
    ) -> Result<Option<UploadInfo>, StoreError> {
        self.upload_in(&BucketDirs::of(bucket)?.uploads.join(id)?, id).await
    }

    async fn upload_in(&self, dir: &DiskPath, id: &str) -> Result<Option<UploadInfo>, StoreError> {
        let path = dir.join(UPLOAD_FILE)?;
        let Look::Here(located) = self.locate_at(path.clone(), Access::Buffered).await? else {
            return Ok(None);
        };
        let error = |error| StoreError::Record { path: path.to_string(), error };
        let Some(record) = located.record.transpose().map_err(error)? else { return Ok(None) };
        Ok(record.name.clone().map(|name| UploadInfo { id: id.to_owned(), name, record }))
    }

    /// All uploads of a bucket on this mountpath, by name, then ID.
    pub async fn uploads(&self, bucket: &Bucket) -> Result<Vec<UploadInfo>, StoreError> {
        let dirs = BucketDirs::of(bucket)?;
        let mut out = Vec::new();
        for id in dirs_in(&self.disk, &dirs.uploads).await? {
            let Ok(id) = String::from_utf8(id) else { continue };
            out.extend(self.upload_in(&dirs.uploads.join(&id)?, &id).await?);
        }
        out.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        Ok(out)
    }

    /// The parts of an upload, by number.
    pub async fn parts(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
    ) -> Result<Vec<PartInfo>, StoreError> {
        self.upload(bucket, name, id).await?;
        let dir = BucketDirs::of(bucket)?.uploads.join(id)?;
        let mut numbers = Vec::new();
        let listed = self
            .disk
            .list_dir(&dir, &mut |entry| {
                let text = std::str::from_utf8(&entry.name).ok().filter(|t| t.len() == 5);
                let number = text.and_then(|t| t.parse::<u32>().ok());
                numbers.extend(number.filter(|_| entry.kind == EntryKind::File));
            })
            .await;
        match listed {
            Err(e) if e.kind != DiskErrorKind::NotFound => return Err(e.into()),
            _ => numbers.sort_unstable(),
        }
        let mut out = Vec::new();
        for number in numbers {
            if let Some(part) = self.part(&dir, name, number).await? {
                out.push(PartInfo { number, record: Record::clone(part.record()) });
            }
        }
        Ok(out)
    }

    /// One part of an upload, if it is there.
    pub async fn part_object(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
        number: u32,
    ) -> Result<Option<Object<D>>, StoreError> {
        self.upload(bucket, name, id).await?;
        self.part(&BucketDirs::of(bucket)?.uploads.join(id)?, name, number).await
    }

    async fn part(
        &self,
        dir: &DiskPath,
        name: &ObjectName,
        number: u32,
    ) -> Result<Option<Object<D>>, StoreError> {
        match self.locate_at(dir.join(part_file(number))?, Access::Buffered).await? {
            Look::Here(located) => self.object_of(dir, name, *located).await,
            Look::Absent | Look::Blocked => Ok(None),
        }
    }

    /// Makes one file of the chosen parts, in the order given: shared extents where the file system can, a copy
    /// elsewhere. Commit it by a `Put` with `upload` set. Where nothing is copied the only checksum is crc32c; after a
    /// copy those of `options.kinds`. Part sizes are kept, and an ETag is made if every part has an MD5 one.
    pub async fn assemble(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
        choice: &[PartChoice],
        options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        let parts = self.chosen(bucket, name, id, choice).await?;
        let sizes = parts.iter().map(Object::size).collect();
        let etag = multipart_etag(&parts);
        let mut prepared = self.join(&parts, sizes, options).await?;
        prepared.multipart_etag = etag;
        Ok(prepared)
    }

    /// The same for an object that is not to show what it was made of; there may be no part at all.
    pub async fn assemble_seamless(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
        choice: &[PartChoice],
        options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        let parts = self.chosen(bucket, name, id, choice).await?;
        self.join(&parts, Vec::new(), options).await
    }

    async fn chosen(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        id: &str,
        choice: &[PartChoice],
    ) -> Result<Vec<Object<D>>, StoreError> {
        self.upload(bucket, name, id).await?;
        if choice.len() > PARTS_MAX as usize {
            return Err(StoreError::TooMany { what: "parts", max: PARTS_MAX as usize });
        }
        let dir = BucketDirs::of(bucket)?.uploads.join(id)?;
        let mut parts = Vec::with_capacity(choice.len());
        for wanted in choice {
            let part = self.part(&dir, name, wanted.number).await?;
            parts.push(check_choice(id, wanted, part)?);
        }
        Ok(parts)
    }

    /// A second file with an object's bytes, for a copy or a new name on the same mountpath; checksums as for
    /// [`assemble`](Self::assemble), the part sizes as they were.
    pub async fn duplicate(
        &self,
        object: &Object<D>,
        options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        let sizes = object.parts().await?;
        let mut prepared = self.join(std::slice::from_ref(object), sizes, options).await?;
        let wanted: Vec<ChecksumKind> =
            options.kinds.iter().copied().filter(|kind| *kind != ChecksumKind::None).collect();
        let known: Option<Vec<_>> =
            wanted.iter().map(|kind| object.record().checksum_of(*kind).cloned()).collect();
        // Shared extents hold the same bytes: the checksums that were asked for may be known already.
        if let Some(known) = known {
            prepared.checksums = known;
        }
        Ok(prepared)
    }

    async fn join(
        &self,
        sources: &[Object<D>],
        parts: Vec<u64>,
        options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        match self.join_by_sharing(sources, &parts, options.durability).await? {
            Some(prepared) => Ok(prepared),
            None => self.join_by_copying(sources, parts, options).await,
        }
    }

    /// `None` if the sizes do not fit the block grid, or the file system cannot share.
    async fn join_by_sharing(
        &self,
        sources: &[Object<D>],
        parts: &[u64],
        durability: Durability,
    ) -> Result<Option<Prepared<D::File>>, StoreError> {
        self.mountpath.refuse_poisoned()?;
        let Some(sums) = joined_sums(sources).await? else { return Ok(None) };
        let work = WorkFile::take(&self.disk, &self.mountpath, false).await.map_err(StoreError::from);
        let work = self.mountpath.written(work)?;
        let mut at = 0;
        for source in sources.iter().filter(|s| s.size() > 0) {
            let Some(file) = source.file() else { return Ok(None) };
            let shared = self.disk.clone_range(file, 0, source.size(), work.file(), at).await;
            if !self.mountpath.written(shared.map_err(StoreError::from))? {
                return Ok(None);
            }
            at += source.size();
        }
        let crc =
            weir_types::Checksum { kind: ChecksumKind::Crc32c, value: sums.whole().to_be_bytes().to_vec() };
        let prepared = Prepared::new(
            &self.disk,
            &self.mountpath,
            Body::File(work),
            sums,
            vec![crc],
            parts.to_vec(),
            durability,
        )
        .await?;
        Ok(Some(prepared))
    }

    async fn join_by_copying(
        &self,
        sources: &[Object<D>],
        parts: Vec<u64>,
        options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        let size = sources.iter().fold(0u64, |all, s| all.saturating_add(s.size()));
        let options = WriteOptions { size_hint: Some(size), small_in_memory: false, ..*options };
        let mut writer = self.writer(&options).await?;
        let mut out = self.disk.buffer(IO_BUFFER_BYTES).await?;
        for source in sources {
            for chunk in source.chunks(source.all()) {
                let piece = source.read(chunk).await?;
                // Writes stay on the buffer's grid, whatever the sizes of the parts are.
                let mut rest = piece.bytes();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(rest.len().min(IO_BUFFER_BYTES - out.len()));
                    append(&mut out, now);
                    rest = later;
                    if out.len() == IO_BUFFER_BYTES {
                        out = flush(&mut writer, out).await?;
                    }
                }
            }
        }
        flush(&mut writer, out).await?;
        writer.finish_parts(&Expected { size: Some(size), checksums: Vec::new() }, parts).await
    }
}

fn append(buf: &mut impl crate::Buffer, bytes: &[u8]) {
    let from = buf.len();
    buf.set_len(from + bytes.len());
    if let Some(to) = buf.get_mut(from..) {
        to.copy_from_slice(bytes);
    }
}

async fn flush<D: Disk>(writer: &mut crate::Writer<D>, buf: D::Buf) -> Result<D::Buf, StoreError> {
    use crate::Buffer as _;
    let (mut buf, written) = writer.write(buf).await;
    written?;
    buf.set_len(0);
    Ok(buf)
}

fn check_choice<D: Disk>(
    id: &str,
    wanted: &PartChoice,
    part: Option<Object<D>>,
) -> Result<Object<D>, StoreError> {
    let refuse = |got: String| StoreError::Part {
        id: id.to_owned(),
        number: wanted.number,
        expected: wanted.etag.clone().unwrap_or("any".into()),
        got,
    };
    let part = part.ok_or_else(|| refuse("(absent)".into()))?;
    let got = part.record().etag_text();
    match &wanted.etag {
        Some(etag) if *etag != got => Err(refuse(got)),
        _ => Ok(part),
    }
}

/// MD5 of the parts' MD5s, as S3 makes it; `None` if a part has no MD5.
fn multipart_etag<D: Disk>(parts: &[Object<D>]) -> Option<Etag> {
    let mut hasher = Hasher::new(ChecksumKind::Md5);
    for part in parts {
        let Some(Etag::Md5(md5)) = &part.record().etag else { return None };
        hasher.update(md5);
    }
    let md5 = hasher.finish().value.as_slice().try_into().ok()?;
    Some(Etag::Multipart(md5, u32::try_from(parts.len()).ok()?))
}

/// Block checksums of the sources one after another, from their own; `None` if a source but the last does not end on
/// the grid of blocks.
async fn joined_sums<D: Disk>(sources: &[Object<D>]) -> Result<Option<Sums>, StoreError> {
    let size = sources.iter().fold(0u64, |all, s| all.saturating_add(s.size()));
    let largest = sources.iter().map(|s| s.record().blocks.block_bytes()).max().unwrap_or(0);
    let block = block_bytes(size).max(largest);
    let Some((_, all_but_last)) = sources.split_last() else { return Ok(None) };
    let grid = u64::from(block).max(CLONE_GRID);
    if !all_but_last.iter().all(|s| s.size().is_multiple_of(grid)) {
        return Ok(None);
    }
    let mut sums = Vec::new();
    for source in sources {
        let own: &Blocks = &source.record().blocks;
        sums.extend(regroup(&source.sums().await?, source.size(), own.block_bytes(), block));
    }
    Ok(Some(Sums { size, block_bytes: block, sums }))
}
