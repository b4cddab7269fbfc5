//! Writing: PutObject, DeleteObject, tags.

use weir_cluster::EtagKind;
use weir_s3::attrs::checksum_headers;
use weir_s3::body::BodyPlan;
use weir_s3::op::{DeleteObject, PutObject};
use weir_s3::tags::Tags;
use weir_store::{Change, Expected, Record};
use weir_types::ChecksumKind;

use super::S3;
use super::errors::Refusal;
use super::facts::{attrs_in, terms};
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::Conn;
use crate::fail::Failure;
use crate::place::Place;
use crate::serve::Handled;
use crate::{Op, custom, put, reserved};

/// Tags of one object.
const OBJECT_TAGS_MAX: usize = 10;

impl S3<'_, '_> {
    pub(super) async fn put(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        op: PutObject,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        self.unwrap(body, &op.body)?;
        put::admit(place, op.body.length)?;
        let kinds = put::kinds(place, op.body.kinds().into_iter().chain(etag_kind(place)));
        let writer = put::receive(shard, conn, body, place, place.durability(), &kinds).await?;
        let trailers = body.aws_trailers()?;
        let prepared = writer.finish(&Expected { size: op.body.length, checksums: Vec::new() }).await?;
        let checksum = op.body.verify(prepared.size, &prepared.checksums, &trailers)?;
        let etag = etag_kind(place).and_then(|_| prepared.md5_etag());
        let attrs = attrs_in(&op.attrs, checksum.as_ref(), etag)?;
        let committed = put::commit(shard, place, prepared, attrs, terms(&op.conditions), None).await?;
        let mut answer =
            Answer::new(200).header("etag", weir_s3::render::quoted(&committed.record.etag_text()));
        for (name, value) in checksum_headers(checksum.as_slice(), None) {
            answer = answer.header(&name, value);
        }
        self.answer(conn, Op::Put, answer).await
    }

    pub(super) async fn delete(
        &self,
        conn: &mut Conn,
        place: &Place,
        op: &DeleteObject,
    ) -> Result<Handled, Refusal> {
        if place.bucket.provider.is_remote() {
            return Err(Failure::Unsupported("deleting from a remote bucket is not supported yet").into());
        }
        let mut terms = terms(&op.conditions);
        // The one condition of S3 that names a second exactly.
        if let Some(second) = op.conditions.if_match_mtime {
            terms.if_unmodified_since_ns = Some(second * 1_000_000_000 + 999_999_999);
            terms.if_modified_since_ns = Some((second * 1_000_000_000).saturating_sub(1));
        }
        let change = Change::Delete {
            bucket: place.bucket.clone(),
            name: place.name.clone(),
            terms,
            durability: place.durability(),
        };
        match place.change(self.request.shard, change).await.map_err(Failure::from) {
            Ok(_) => {}
            // Removing what is not there has succeeded.
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure.into()),
        }
        self.answer(conn, Op::Delete, Answer::new(204)).await
    }

    pub(super) async fn put_tagging(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        plan: &BodyPlan,
    ) -> Result<Handled, Refusal> {
        let document = self.document(conn, body, plan).await?;
        let tags = weir_s3::documents::parse_tagging(&document, OBJECT_TAGS_MAX)?;
        self.set_tags(conn, place, Some(tags), 200).await
    }

    pub(super) async fn set_tags(
        &self,
        conn: &mut Conn,
        place: &Place,
        tags: Option<Tags>,
        status: u16,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let tags = tags.filter(|t| !t.is_empty()).map(|t| t.to_text());
        let with_tags = |record: &Record| {
            let mut custom = record.custom.clone();
            custom.remove(reserved::TAGS);
            if let Some(tags) = &tags
                && custom.set(reserved::TAGS, tags.clone()).is_err()
            {
                // Checksums of parts are a courtesy that gives way.
                custom.remove(reserved::PART_CHECKSUMS);
                custom.set(reserved::TAGS, tags.clone())?;
            }
            Ok(custom)
        };
        custom::replace(shard, place, with_tags).await?;
        self.answer(conn, Op::Head, Answer::new(status)).await
    }

    pub(super) async fn put_acl(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        plan: &BodyPlan,
    ) -> Result<Handled, Refusal> {
        let document = self.document(conn, body, plan).await?;
        weir_s3::documents::parse_acl(&document, &super::config(self.request).owner)?;
        self.record(place).await?;
        self.answer(conn, Op::Head, Answer::new(200)).await
    }
}

/// What the bucket's ETags need to be computed.
pub(super) fn etag_kind(place: &Place) -> Option<ChecksumKind> {
    (place.info().props.etag == EtagKind::Md5).then_some(ChecksumKind::Md5)
}
