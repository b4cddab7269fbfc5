//! Multipart uploads as both dialects use them. What reads directories or assembles files runs on the walker.

use weir_store::{
    Attrs, Change, Etag, Outcome, PartChoice, PartInfo, Prepared, Record, StoreError, UploadInfo,
    VersionRule, WriteOptions,
};

use crate::disk::RingFile;
use crate::fail::Failure;
use crate::moves;
use crate::place::Place;
use crate::reserved;
use crate::shard::Shard;

/// Whether an object keeps the sizes of the parts it was made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seams {
    Kept,
    Forgotten,
}

/// Begins an upload: its ID.
pub(crate) async fn create(shard: &Shard, place: &Place, attrs: Attrs) -> Result<String, Failure> {
    let change = Change::CreateUpload {
        bucket: place.bucket.clone(),
        name: place.name.clone(),
        attrs,
        durability: place.durability(),
    };
    match place.change(shard, change).await? {
        Outcome::Upload(id) => Ok(id),
        _ => Err(StoreError::Abandoned("the committer answered something else than an upload").into()),
    }
}

/// Drops an upload, wherever it is.
pub(crate) async fn abort(shard: &Shard, place: &Place, upload: String) -> Result<(), Failure> {
    moves::own_upload(shard, place, &upload).await?;
    let change = Change::AbortUpload {
        bucket: place.bucket.clone(),
        name: place.name.clone(),
        upload,
        durability: place.durability(),
    };
    place.change(shard, change).await?;
    Ok(())
}

/// One upload of this name, which is here from now on: whatever is done with an upload begins with this.
pub(crate) async fn info(shard: &Shard, place: &Place, id: &str) -> Result<UploadInfo, Failure> {
    moves::own_upload(shard, place, id).await?;
    here(shard, place, id).await
}

/// One upload of this name that this target has.
pub(crate) async fn here(shard: &Shard, place: &Place, id: &str) -> Result<UploadInfo, Failure> {
    let place = place.again(shard, Some(id)).await?;
    Ok(place.volume().upload(&place.bucket, &place.name, id).await?)
}

/// The parts of an upload, by number.
pub(crate) async fn parts(shard: &Shard, place: &Place, id: &str) -> Result<Vec<PartInfo>, Failure> {
    let place = place.again(shard, Some(id)).await?;
    let (bucket, name, id) = (place.bucket.clone(), place.name.clone(), id.to_owned());
    let walker = &shard.shared.walker;
    let parts =
        walker.call(place.disk(), move |volume| async move { volume.parts(&bucket, &name, &id).await });
    Ok(parts.await??)
}

/// Makes one file of the chosen parts.
pub(crate) async fn assemble(
    shard: &Shard,
    place: &Place,
    id: &str,
    choice: Vec<PartChoice>,
    seams: Seams,
) -> Result<Prepared<RingFile>, Failure> {
    let place = place.again(shard, Some(id)).await?;
    let (bucket, name, id) = (place.bucket.clone(), place.name.clone(), id.to_owned());
    let (durability, kind) = (place.durability(), place.info().props.checksum_kind());
    let work = move |volume: weir_store::Volume<crate::RingDisk>| async move {
        let options = WriteOptions { durability, kinds: &[kind], ..WriteOptions::default() };
        match seams {
            Seams::Kept => volume.assemble(&bucket, &name, &id, &choice, &options).await,
            Seams::Forgotten => volume.assemble_seamless(&bucket, &name, &id, &choice, &options).await,
        }
    };
    Ok(shard.shared.walker.call(place.disk(), work).await??)
}

/// The completed object's metadata: what the upload's creation stated, and its checksum.
pub(crate) fn completed_attrs(
    upload: &Record,
    checksum: Option<String>,
    etag: Option<Etag>,
) -> Result<Attrs, Failure> {
    let mut custom = upload.custom.clone();
    custom.remove(reserved::UPLOAD_CHECKSUM);
    custom.remove(reserved::APPEND);
    if let Some(text) = checksum {
        custom.set(reserved::CHECKSUM, text).map_err(StoreError::from)?;
    }
    Ok(Attrs {
        custom,
        content: upload.content.clone(),
        etag,
        version: VersionRule::Next,
        ..Attrs::default()
    })
}
