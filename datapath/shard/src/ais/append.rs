//! Appending (AIS `ais/tgtobj.go`, `apndOI`). What is appended is an upload of the store: its first part is the object
//! as it is, if it has content, each append is the next one, and a flush completes it.
//!
//! What there is to know between two requests stands in the handle: how many parts were acknowledged, and a digest of
//! what is in them. So **a flush makes what its client was told is appended, or nothing**: an append that was sent
//! again takes the place of its first try, and what several clients did with one handle is refused. The object keeps what was
//! flushed, so that a flush which is sent again, its first answer lost, is told from one of another handle.

use weir_ais::headers::names::APPEND_HANDLE;
use weir_ais::{AisError, AppendHandle, PutHeaders};
use weir_store::{Attrs, Change, Expected, PartChoice, PartInfo, Prepared, StoreError, Terms, UploadInfo};
use weir_types::checksum::Hasher;
use weir_types::limits::PARTS_MAX;
use weir_types::{ByteRange, Checksum, ChecksumKind};

use super::Ais;
use super::errors::{Refusal, about};
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::Conn;
use crate::disk::RingFile;
use crate::fail::Failure;
use crate::place::Place;
use crate::serve::Handled;
use crate::uploads::Seams;
use crate::{Op, get, put, reserved, uploads};

/// The checksum of a part that goes into the digest: it goes with the part wherever that goes.
const DIGESTED: ChecksumKind = ChecksumKind::Crc32c;

impl Ais<'_, '_> {
    /// Takes the next part; without a handle the first, after the object as it is.
    pub(super) async fn append(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        handle: Option<AppendHandle>,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        put::admit(place, body.announced()).map_err(named)?;
        if let Some(handle) = &handle {
            self.appending(place, handle).await?;
            if handle.parts >= PARTS_MAX {
                let object = format!("{}/{}", place.bucket, place.name);
                let text = format!("append to {object}: expected a flush after at most {PARTS_MAX} appends");
                return Err(AisError::Bad(text).into());
            }
        }
        let size = body.announced();
        let checksums: Vec<_> = self.stated()?.into_iter().chain(self.signed_hash()).collect();
        let mut kinds = vec![DIGESTED];
        for sum in &checksums {
            if !kinds.contains(&sum.kind) {
                kinds.push(sum.kind);
            }
        }
        let writer =
            put::receive(shard, conn, body, place, place.durability(), &kinds).await.map_err(named)?;
        let appended = writer.finish(&Expected { size, checksums }).await.map_err(|e| named(e.into()))?;
        let begins = handle.is_none();
        let handle = match handle {
            Some(handle) => handle,
            None => self.begin(place).await.map_err(named)?,
        };
        let next = match appended.size {
            // It would be a part for nothing.
            0 => handle,
            _ => match add(self, place, &handle, appended).await {
                Err(failure) if begins => return Err(named(given_up(self, place, handle, failure).await)),
                added => added.map_err(named)?,
            },
        };
        self.answer(conn, Op::Put, Answer::new(200).header(APPEND_HANDLE, next.to_string())).await
    }

    /// Makes the object what was appended.
    pub(super) async fn flush(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        handle: AppendHandle,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let stated = self.stated()?;
        let bytes = self.message(conn, body).await?.len();
        if bytes > 0 {
            let text =
                format!("flush of an append came with {bytes} bytes: expected none, append them before");
            return Err(AisError::Bad(text).into());
        }
        put::admit(place, None).map_err(named)?;
        match self.appending(place, &handle).await {
            // The answer of the first try may have been lost.
            Err(refusal) if !self.is_flushed(place, &handle).await => return Err(refusal),
            Err(_) => return self.answer(conn, Op::Put, Answer::new(200)).await,
            Ok(_) => {}
        }
        let parts = self.acknowledged(place, &handle).await?;
        if let Some(stated) = stated {
            check_whole(self, place, &handle, &parts, &stated).await.map_err(named)?;
        }
        let choice = parts
            .iter()
            .map(|part| PartChoice { number: part.number, etag: Some(part.record.etag_text()) })
            .collect();
        let prepared =
            uploads::assemble(shard, place, &handle.upload, choice, Seams::Forgotten).await.map_err(named)?;
        let mut attrs = attrs_now(self, place).await.map_err(named)?;
        // Where a client's own metadata leaves no room, a second try is told that there is no such append.
        let _ = attrs.custom.set(reserved::APPENDED, handle.acknowledged());
        let id = handle.upload;
        put::commit(shard, place, prepared, attrs, Terms::default(), Some(id)).await.map_err(named)?;
        self.answer(conn, Op::Put, Answer::new(200)).await
    }

    /// The checksum that came with the request.
    fn stated(&self) -> Result<Option<Checksum>, AisError> {
        let head = &self.request.head;
        let (kind, value) = (head.header("ais-checksum-type"), head.header("ais-checksum-value"));
        Ok(PutHeaders::read(kind, value, std::iter::empty())?.checksum)
    }

    /// Looks that the handle is of an upload that appends, which is here from now on.
    async fn appending(&self, place: &Place, handle: &AppendHandle) -> Result<(), Refusal> {
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let upload = uploads::info(self.request.shard, place, &handle.upload).await.map_err(named)?;
        match parts_at_first(&upload) {
            Some(first) if handle.parts >= first => Ok(()),
            Some(first) => Err(AisError::Bad(format!(
                "invalid append handle \"{handle}\": expected one of {first} parts or more"
            ))
            .into()),
            None => Err(named(StoreError::NoSuchUpload { id: upload.id }.into())),
        }
    }

    /// Begins with the object as it is, if it has content.
    async fn begin(&self, place: &Place) -> Result<AppendHandle, Failure> {
        let shard = self.request.shard;
        let present = match get::open_whole(shard, place).await {
            Err(failure) if failure.is_not_found() => {
                not_moved(self, place)?;
                None
            }
            opened => Some(opened?).filter(|object| object.record().size > 0),
        };
        let present = match present {
            Some(object) => {
                let all = ByteRange { start: 0, len: object.record().size };
                put::admit(place, Some(all.len))?;
                Some(put::copy_in(&object, all, place, &[DIGESTED]).await?)
            }
            None => None,
        };
        let mut attrs = Attrs::default();
        let first = u32::from(present.is_some()).to_string();
        attrs.custom.set(reserved::APPEND, first).map_err(StoreError::from)?;
        let upload = uploads::create(shard, place, attrs).await?;
        let handle = AppendHandle::new(shard.shared.identity.target.clone(), upload);
        match present {
            None => Ok(handle),
            Some(copy) => match add(self, place, &handle, copy).await {
                Err(failure) => Err(given_up(self, place, handle, failure).await),
                added => added,
            },
        }
    }

    /// The parts that a handle stands for.
    async fn acknowledged(&self, place: &Place, handle: &AppendHandle) -> Result<Vec<PartInfo>, Refusal> {
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let mut parts = uploads::parts(self.request.shard, place, &handle.upload).await.map_err(named)?;
        // What came after it nobody has been told of, or nobody counts on.
        parts.retain(|part| part.number <= handle.parts);
        let begun = AppendHandle::new(handle.node.clone(), handle.upload.clone());
        let there = parts.iter().fold(begun, |seen, part| {
            seen.with_part(part.record.size, part.record.checksum_of(DIGESTED).unwrap_or(&Checksum::NONE))
        });
        if there != *handle {
            let text = format!(
                "what was appended is not what the handle is for: expected \"{handle}\", got \"{there}\""
            );
            return Err(AisError::Bad(text).into());
        }
        Ok(parts)
    }

    async fn is_flushed(&self, place: &Place, handle: &AppendHandle) -> bool {
        let record = get::head(self.request.shard, place).await;
        record.is_ok_and(|record| {
            let flushed = reserved::value(&record.custom, reserved::APPENDED);
            record.upload.as_ref() == Some(&handle.upload) && flushed == Some(&handle.acknowledged())
        })
    }
}

/// How many parts of an upload are the object as it was; `None` if it is not one that appends.
fn parts_at_first(upload: &UploadInfo) -> Option<u32> {
    reserved::value(&upload.record.custom, reserved::APPEND)?.parse().ok()
}

/// Expects that what is not here is nowhere.
fn not_moved(ais: &Ais<'_, '_>, place: &Place) -> Result<(), Failure> {
    if ais.request.may_be_elsewhere(place) {
        return Err(Failure::Behind);
    }
    Ok(())
}

/// Keeps one more part.
async fn add(
    ais: &Ais<'_, '_>,
    place: &Place,
    handle: &AppendHandle,
    prepared: Prepared<RingFile>,
) -> Result<AppendHandle, Failure> {
    let sum = prepared.checksum(DIGESTED).unwrap_or(Checksum::NONE);
    let mut next = handle.with_part(prepared.size, &sum);
    next.node = ais.request.shard.shared.identity.target.clone();
    let change = Change::PutPart {
        bucket: place.bucket.clone(),
        name: place.name.clone(),
        upload: handle.upload.clone(),
        number: next.parts,
        prepared,
        etag: None,
    };
    place.change(ais.request.shard, change).await?;
    Ok(next)
}

/// Drops an upload whose handle nobody will hear of.
async fn given_up(ais: &Ais<'_, '_>, place: &Place, handle: AppendHandle, why: Failure) -> Failure {
    if let Err(left) = uploads::abort(ais.request.shard, place, handle.upload).await {
        tracing::debug!(bucket = %place.bucket, name = %place.name, "an append that failed is left: {left}");
    }
    why
}

/// Reads the parts, since a checksum of any kind may have been stated.
async fn check_whole(
    ais: &Ais<'_, '_>,
    place: &Place,
    handle: &AppendHandle,
    parts: &[PartInfo],
    stated: &Checksum,
) -> Result<(), Failure> {
    let place = place.again(ais.request.shard, Some(&handle.upload)).await?;
    let mut hasher = Hasher::new(stated.kind);
    for part in parts {
        let (bucket, name) = (&place.bucket, &place.name);
        let part = place.volume().part_object(bucket, name, &handle.upload, part.number).await?;
        let part = part.ok_or_else(|| StoreError::NoSuchUpload { id: handle.upload.clone() })?;
        for chunk in part.chunks(part.all()) {
            hasher.update(part.read(chunk).await?.bytes());
        }
    }
    let got = hasher.finish();
    if got == *stated {
        return Ok(());
    }
    let (expected, got) = (stated.hex(), got.hex());
    Err(StoreError::ChecksumMismatch { kind: stated.kind, expected, got }.into())
}

/// The metadata that the object has by now, which an append leaves as it is.
async fn attrs_now(ais: &Ais<'_, '_>, place: &Place) -> Result<Attrs, Failure> {
    match get::head(ais.request.shard, place).await {
        Ok(record) => Ok(Attrs {
            custom: reserved::without_content(&record.custom),
            content: record.content.clone(),
            ..Attrs::default()
        }),
        Err(error) if error.is_not_found() => not_moved(ais, place).map(|()| Attrs::default()),
        Err(error) => Err(error.into()),
    }
}
