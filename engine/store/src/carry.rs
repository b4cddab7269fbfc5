//! Bytes on their way from one mountpath to another.

use crate::sidecar::Sidecar;
use crate::writer::Body;
use crate::{Chunks, Disk, Durability, Expected, Object, Prepared, StoreError, Volume, WriteOptions};

impl<D: Disk> Volume<D> {
    /// An object of another mountpath in a work file of this one, for [`Change::Adopt`](crate::Change::Adopt): every block
    /// is checked on the way, so a damaged object gives an error. Its parts' sizes come along.
    pub async fn carry(&self, object: &Object<D>) -> Result<Prepared<D::File>, StoreError> {
        let parts = object.parts().await?;
        let options = WriteOptions {
            size_hint: Some(object.size()),
            durability: Durability::Durable,
            ..WriteOptions::default()
        };
        let mut writer = self.writer(&options).await?;
        for chunk in object.chunks(object.all()) {
            let piece = object.read(chunk).await?;
            writer.write(piece.buf).await.1?;
        }
        let expected = Expected { size: Some(object.size()), checksums: Vec::new() };
        let mut prepared = writer.finish_parts(&expected, parts).await?;
        prepared.checksums = object.record().checksums.clone();
        Ok(prepared)
    }

    /// What was prepared on another mountpath, prepared on this one.
    pub async fn take_over(&self, prepared: Prepared<D::File>) -> Result<Prepared<D::File>, StoreError> {
        match &prepared.body {
            // It was never on a disk.
            Body::Memory(_) => Ok(prepared),
            Body::File(_) => self.copy_of(&self.disk, &prepared).await,
        }
    }

    /// The same as what was prepared on another mountpath, on this one: read back piece by piece through `disk`, and compared
    /// by checksum with what was written there.
    pub async fn copy_of(
        &self,
        disk: &D,
        prepared: &Prepared<D::File>,
    ) -> Result<Prepared<D::File>, StoreError> {
        let file = match &prepared.body {
            Body::Memory(content) => return Ok(prepared.in_memory(content.clone())),
            Body::File(work) => work.file().clone(),
        };
        let (block_bytes, size) = (prepared.block_bytes, prepared.size);
        let options = WriteOptions {
            size_hint: Some(size),
            durability: prepared.durability,
            ..WriteOptions::default()
        };
        let parts = parts_of(disk, prepared).await?;
        let mut writer = self.writer(&options).await?;
        let all = weir_types::ByteRange { start: 0, len: size };
        for chunk in Chunks::new(size, block_bytes, all) {
            let buf = crate::object::read_full(disk, &file, chunk.offset, chunk.len).await?;
            writer.write(buf).await.1?;
        }
        let expected = Expected { size: Some(size), checksums: Vec::new() };
        let mut taken = writer.finish_parts(&expected, parts).await?;
        // What was written there was checked against what the client said: this must be the same bytes.
        if taken.crc32c != prepared.crc32c {
            return Err(StoreError::Abandoned("a work file that changed while it was carried over"));
        }
        taken.checksums = prepared.checksums.clone();
        taken.multipart_etag = prepared.multipart_etag.clone();
        Ok(taken)
    }
}

async fn parts_of<D: Disk>(disk: &D, prepared: &Prepared<D::File>) -> Result<Vec<u64>, StoreError> {
    match &prepared.beside {
        Some(beside) if prepared.parts_beside => {
            let (file, path) = (beside.file().clone(), beside.path().clone());
            Sidecar::of_file(disk, file, path).await?.parts(disk).await
        }
        _ => {
            let runs = prepared.part_runs.iter();
            Ok(runs.flat_map(|(count, bytes)| std::iter::repeat_n(*bytes, *count as usize)).collect())
        }
    }
}
