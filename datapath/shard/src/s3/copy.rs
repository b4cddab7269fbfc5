//! CopyObject, and what it shares with UploadPartCopy.

use weir_s3::flexible::StoredChecksum;
use weir_s3::op::{CopyObject, CopySource};
use weir_s3::{S3Code, S3Error, render};
use weir_types::{Access, Bucket};

use super::S3;
use super::errors::Refusal;
use super::facts::{Facts, attrs_in, terms};
use super::write::etag_kind;
use crate::answer::Answer;
use crate::conn::Conn;
use crate::place::{Located, Place};
use crate::serve::Handled;
use crate::source::Source;
use crate::{Op, get, put};

impl S3<'_, '_> {
    pub(super) async fn copy(
        &self,
        conn: &mut Conn,
        place: &Place,
        op: CopyObject,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        put::admit(place, None)?;
        let (from, source) = self.source(&op.source, None).await?;
        let facts = Facts::of(source.record());
        op.source_conditions.check_source(&facts.etag, facts.mtime_ns)?;
        let onto_itself = from == place.bucket && op.source.key == place.name;
        if onto_itself && op.replace.is_none() && op.replace_tags.is_none() {
            let text = "a copy onto itself must change its metadata";
            return Err(S3Error::new(S3Code::InvalidRequest, text).into());
        }
        put::admit(place, Some(source.size()))?;
        let all = source.all();
        let kept = facts.checksums.first().map(|sum| sum.kind).or(op.checksum);
        let flexible = op.checksum.or(kept).map(|kind| kind.kind());
        let kinds = put::kinds(place, etag_kind(place).into_iter().chain(flexible));
        let prepared = source.copy_in(all, place, &kinds).await?;
        let checksum =
            flexible.and_then(|kind| prepared.checksum(kind)).as_ref().and_then(StoredChecksum::full);
        let mut attrs = facts.attrs();
        if let Some(replace) = op.replace {
            attrs = weir_s3::attrs::ObjectAttrs { tags: attrs.tags, ..replace };
        }
        if let Some(tags) = op.replace_tags {
            attrs.tags = tags;
        }
        let attrs = attrs_in(&attrs, checksum.as_ref(), prepared.md5_etag())?;
        let committed = put::commit(shard, place, prepared, attrs, terms(&op.conditions), None).await?;
        let record = &committed.record;
        let body =
            render::copy_object_result(&record.etag_text(), record.last_modified_ns(), checksum.as_ref());
        self.answer(conn, Op::Copy, Answer::new(200).body("application/xml", body)).await
    }

    /// The object that a copy reads, wherever it is, if the caller may read it; and its bucket. Of another node's only the
    /// bytes from the first to the last of `range`, if it is given.
    pub(super) async fn source(
        &self,
        source: &CopySource,
        range: Option<(u64, u64)>,
    ) -> Result<(Bucket, Source<'_>), Refusal> {
        let shard = self.request.shard;
        match self.locate(&source.bucket, &source.key, Access::GET).await? {
            Located::Here(place) => {
                let object = get::open_whole(shard, &place).await?;
                Ok((place.bucket, Source::Here(Box::new(object))))
            }
            Located::There(there) => {
                let object = (&there.bucket, &source.key);
                let source = Source::elsewhere(shard, &self.grant, &there, object, range).await?;
                Ok((there.bucket.clone(), source))
            }
        }
    }
}
