use weir_types::{Bucket, ObjectName};

use crate::{Disk, Object, Prepared, Record, StoreError, Volume, WriteOptions};

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

impl<D: Disk> Volume<D> {
    /// One upload: `NoSuchUpload` if it is not there or is another name's.
    pub async fn upload(
        &self,
        _bucket: &Bucket,
        _name: &ObjectName,
        id: &str,
    ) -> Result<UploadInfo, StoreError> {
        Err(StoreError::NoSuchUpload { id: id.into() })
    }
    /// All uploads of a bucket on this mountpath, by name, then ID.
    pub async fn uploads(&self, _bucket: &Bucket) -> Result<Vec<UploadInfo>, StoreError> {
        Ok(Vec::new())
    }
    /// The parts of an upload, by number.
    pub async fn parts(
        &self,
        _bucket: &Bucket,
        _name: &ObjectName,
        id: &str,
    ) -> Result<Vec<PartInfo>, StoreError> {
        Err(StoreError::NoSuchUpload { id: id.into() })
    }
    /// Makes one file of the chosen parts: shared extents where the file system can, a copy elsewhere. Then commit it by a
    /// `Put` with `upload` set. Where nothing is copied the only checksum is crc32c. `size_hint` is not used.
    pub async fn assemble(
        &self,
        _bucket: &Bucket,
        _name: &ObjectName,
        id: &str,
        _choice: &[PartChoice],
        _options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        Err(StoreError::NoSuchUpload { id: id.into() })
    }
    /// A second file with an object's bytes, for a copy or a new name on the same mountpath; as [`assemble`](Self::assemble).
    pub async fn duplicate(
        &self,
        object: &Object<D>,
        _options: &WriteOptions<'_>,
    ) -> Result<Prepared<D::File>, StoreError> {
        Err(StoreError::NoSuchUpload { id: object.name().to_string() })
    }
}
