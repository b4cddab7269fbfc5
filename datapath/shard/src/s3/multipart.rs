//! Multipart uploads.

use weir_s3::attrs::checksum_headers;
use weir_s3::flexible::{ChecksumType, FlexibleKind, StoredChecksum, parts_to_text};
use weir_s3::op::{CompleteUpload, CreateUpload, UploadPart, UploadPartCopy};
use weir_s3::uploads::{ListParts, PartView};
use weir_s3::{multipart, render};
use weir_store::{
    Change, Etag, Expected, Outcome, PartChoice, PartInfo, Prepared, Record, StoreError, UploadInfo,
};
use weir_types::ChecksumKind;
use weir_types::limits::PART_CHECKSUMS_BYTES_MAX;

use super::S3;
use super::errors::Refusal;
use super::facts::{Facts, attrs_in, part_view, terms, upload_checksum};
use super::write::etag_kind;
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::Conn;
use crate::disk::RingFile;
use crate::fail::Failure;
use crate::place::Place;
use crate::serve::Handled;
use crate::uploads::Seams;
use crate::{Op, put, reserved, uploads};

const XML: &str = "application/xml";

impl S3<'_, '_> {
    pub(super) async fn create_upload(
        &self,
        conn: &mut Conn,
        place: &Place,
        op: CreateUpload,
    ) -> Result<Handled, Refusal> {
        put::admit(place, None)?;
        let checksum = match op.checksum {
            Some(kind) => Some((kind, ChecksumType::resolve(kind, op.checksum_type)?)),
            None => None,
        };
        let mut attrs = attrs_in(&op.attrs, None, None)?;
        if let Some((kind, form)) = checksum {
            let text = format!("{}:{}", kind.as_str(), form.as_str());
            attrs.custom.set(reserved::UPLOAD_CHECKSUM, text).map_err(StoreError::from)?;
        }
        let id = uploads::create(self.request.shard, place, attrs).await?;
        let body = render::initiate_multipart(place.bucket.name.as_str(), place.name.as_str(), &id);
        let mut answer = Answer::new(200).body(XML, body);
        for (name, value) in multipart::upload_headers(checksum) {
            answer = answer.header(&name, value);
        }
        self.answer(conn, Op::Multipart, answer).await
    }

    pub(super) async fn upload_part(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        op: UploadPart,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        self.unwrap(body, &op.body)?;
        put::admit(place, op.body.length)?;
        let upload = self.upload(place, &op.upload_id).await?;
        let plan = match upload_checksum(&upload.record) {
            Some((kind, _)) => op.body.wanting(kind)?,
            None => op.body,
        };
        let kinds = part_kinds(place, plan.kinds());
        let writer = put::receive(shard, conn, body, place, place.durability(), &kinds).await?;
        let trailers = body.aws_trailers()?;
        let prepared = writer.finish(&Expected { size: plan.length, checksums: Vec::new() }).await?;
        let checksum = plan.verify(prepared.size, &prepared.checksums, &trailers)?;
        let part = self.keep_part(place, op.upload_id, op.part, prepared).await?;
        let mut answer = Answer::new(200).header("etag", render::quoted(&part.record.etag_text()));
        for (name, value) in checksum_headers(checksum.as_slice(), None) {
            // A part's checksum has no type of its own.
            if name != "x-amz-checksum-type" {
                answer = answer.header(&name, value);
            }
        }
        self.answer(conn, Op::Multipart, answer).await
    }

    pub(super) async fn upload_part_copy(
        &self,
        conn: &mut Conn,
        place: &Place,
        op: UploadPartCopy,
    ) -> Result<Handled, Refusal> {
        put::admit(place, None)?;
        let upload = self.upload(place, &op.upload_id).await?;
        let (_, source) = self.source(&op.source, op.range).await?;
        let facts = Facts::of(source.record());
        op.source_conditions.check_source(&facts.etag, facts.mtime_ns)?;
        let range = multipart::resolve_copy_range(op.range, source.size())?;
        put::admit(place, Some(range.len))?;
        let asked = upload_checksum(&upload.record);
        let kinds = part_kinds(place, asked.map(|(kind, _)| kind.kind()));
        let prepared = source.copy_in(range, place, &kinds).await?;
        let part = self.keep_part(place, op.upload_id, op.part, prepared).await?;
        let view = part_view(&part, asked.map(|(kind, _)| kind));
        let checksum = view.checksum.filter(|_| asked.is_some());
        let body = render::copy_part_result(&view.etag, view.mtime_ns, checksum.as_ref());
        self.answer(conn, Op::Multipart, Answer::new(200).body(XML, body)).await
    }

    async fn keep_part(
        &self,
        place: &Place,
        upload: String,
        number: u32,
        prepared: Prepared<RingFile>,
    ) -> Result<PartInfo, Refusal> {
        let change = Change::PutPart {
            bucket: place.bucket.clone(),
            name: place.name.clone(),
            upload,
            number,
            etag: prepared.md5_etag(),
            prepared,
        };
        match place.change(self.request.shard, change).await.map_err(Failure::from)? {
            Outcome::Part(part) => Ok(part),
            _ => Err(StoreError::Abandoned("the committer answered something else than a part").into()),
        }
    }

    pub(super) async fn complete_upload(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        op: CompleteUpload,
    ) -> Result<Handled, Refusal> {
        let document = self.document(conn, body, &op.body).await?;
        let named = weir_s3::documents::parse_complete(&document)?;
        let upload = match self.upload(place, &op.upload_id).await {
            Ok(upload) => upload,
            // The answer of the first try may have been lost: the same completion again has succeeded.
            Err(refusal) => match self.completed_before(place, &op.upload_id).await {
                Some(record) => return self.answer_completed(conn, place, &record).await,
                None => return Err(refusal),
            },
        };
        let asked = upload_checksum(&upload.record);
        let stored = self.part_views(place, &op.upload_id, asked.map(|(kind, _)| kind)).await?;
        let parts = multipart::check_parts(&named, &stored)?;
        let size: u64 = parts.iter().map(|p| p.size).sum();
        let checksum = asked.and_then(|(kind, form)| multipart::checksum(kind, form, &parts));
        op.check(size, checksum.as_ref())?;
        let tags = parts.iter().map(|p| p.etag.as_str());
        let etag = etag_kind(place).map(|_| Etag::Text(multipart::etag(tags)));
        let choice =
            parts.iter().map(|p| PartChoice { number: p.number, etag: Some(p.etag.clone()) }).collect();
        let prepared =
            uploads::assemble(self.request.shard, place, &op.upload_id, choice, Seams::Kept).await?;
        let mut attrs =
            uploads::completed_attrs(&upload.record, checksum.as_ref().map(StoredChecksum::to_text), etag)?;
        let of_parts =
            checksum.and_then(|sum| parts_to_text(sum.kind, parts.iter().map(|p| p.checksum.as_ref())));
        if let Some(text) = of_parts.filter(|text| text.len() <= PART_CHECKSUMS_BYTES_MAX) {
            // They are a courtesy: where tags leave no room for them, the object goes without.
            let _ = attrs.custom.set(reserved::PART_CHECKSUMS, text);
        }
        let terms = terms(&op.conditions);
        let committed =
            put::commit(self.request.shard, place, prepared, attrs, terms, Some(op.upload_id)).await?;
        self.answer_completed(conn, place, &committed.record).await
    }

    async fn answer_completed(
        &self,
        conn: &mut Conn,
        place: &Place,
        record: &Record,
    ) -> Result<Handled, Refusal> {
        let facts = Facts::of(record);
        let (bucket, key) = (place.bucket.name.as_str(), place.name.as_str());
        let host = self.request.head.host().unwrap_or_default();
        let location = format!("http://{host}{}", self.request.head.path);
        let body = render::complete_multipart(&location, bucket, key, &facts.etag, facts.checksums.first());
        self.answer(conn, Op::Multipart, Answer::new(200).body(XML, body)).await
    }

    async fn completed_before(&self, place: &Place, id: &str) -> Option<Record> {
        let record = crate::get::head(self.request.shard, place).await.ok()?;
        (record.upload.as_deref() == Some(id)).then(|| (*record).clone())
    }

    pub(super) async fn abort_upload(
        &self,
        conn: &mut Conn,
        place: &Place,
        id: String,
    ) -> Result<Handled, Refusal> {
        uploads::abort(self.request.shard, place, id).await?;
        self.answer(conn, Op::Multipart, Answer::new(204)).await
    }

    pub(super) async fn list_parts(
        &self,
        conn: &mut Conn,
        place: &Place,
        op: &ListParts,
    ) -> Result<Handled, Refusal> {
        let upload = self.upload(place, &op.upload_id).await?;
        let asked = upload_checksum(&upload.record);
        let mut parts = self.part_views(place, &op.upload_id, asked.map(|(kind, _)| kind)).await?;
        if asked.is_none() {
            parts.iter_mut().for_each(|part| part.checksum = None);
        }
        let owner = super::config(self.request).owner;
        let body = op.render(place.bucket.name.as_str(), place.name.as_str(), &parts, asked, &owner);
        self.answer(conn, Op::Multipart, Answer::new(200).body(XML, body)).await
    }

    async fn upload(&self, place: &Place, id: &str) -> Result<UploadInfo, Refusal> {
        Ok(uploads::info(self.request.shard, place, id).await?)
    }

    async fn part_views(
        &self,
        place: &Place,
        id: &str,
        kind: Option<FlexibleKind>,
    ) -> Result<Vec<PartView>, Refusal> {
        let parts = uploads::parts(self.request.shard, place, id).await?;
        Ok(parts.iter().map(|part| part_view(part, kind)).collect())
    }
}

/// What is computed over a part: its ETag's MD5 and what was asked for; the object's own kind comes with its completion.
fn part_kinds(place: &Place, more: impl IntoIterator<Item = ChecksumKind>) -> Vec<ChecksumKind> {
    let mut kinds: Vec<ChecksumKind> = etag_kind(place).into_iter().collect();
    for kind in more {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds
}
