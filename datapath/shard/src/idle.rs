//! Appends that nobody goes on with: open uploads that an append began, and that have not changed for long.

use weir_store::{StoreError, UploadInfo, Volume};
use weir_types::{Bucket, ObjectName};

use crate::disk::RingDisk;
use crate::reserved;

/// What was appended to an object and not flushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdleAppend {
    /// The object's name.
    pub name: ObjectName,
    /// ID of the upload.
    pub upload: String,
    /// Bytes of its parts.
    pub bytes: u64,
}

/// Of a bucket on one disk, the appends that have not changed since then. Uploads that clients began as such are none.
pub async fn idle_appends(
    volume: &Volume<RingDisk>,
    bucket: &Bucket,
    since_ns: u64,
) -> Result<Vec<IdleAppend>, StoreError> {
    let mut idle = Vec::new();
    for upload in volume.uploads(bucket).await? {
        if !appends(&upload) || upload.record.modified_ns >= since_ns {
            continue;
        }
        let parts = match volume.parts(bucket, &upload.name, &upload.id).await {
            // It was flushed while one looked.
            Err(StoreError::NoSuchUpload { .. }) => continue,
            parts => parts?,
        };
        if parts.iter().all(|part| part.record.modified_ns < since_ns) {
            let bytes = parts.iter().fold(0u64, |all, part| all.saturating_add(part.record.size));
            idle.push(IdleAppend { name: upload.name, upload: upload.id, bytes });
        }
    }
    Ok(idle)
}

fn appends(upload: &UploadInfo) -> bool {
    reserved::value(&upload.record.custom, reserved::APPEND).is_some()
}
