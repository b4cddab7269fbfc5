//! Native multipart uploads.

use weir_ais::PartRef;
use weir_store::{Attrs, Change, Expected, PartChoice, Terms};

use super::Ais;
use super::errors::{Refusal, about};
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::Conn;
use crate::place::Place;
use crate::serve::Handled;
use crate::uploads::Seams;
use crate::{Op, put, uploads};

impl Ais<'_, '_> {
    pub(super) async fn create_upload(&self, conn: &mut Conn, place: &Place) -> Result<Handled, Refusal> {
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        put::admit(place, None).map_err(named)?;
        let id = uploads::create(self.request.shard, place, Attrs::default()).await.map_err(named)?;
        self.answer(conn, Op::Multipart, Answer::new(200).body("text/plain", id)).await
    }

    pub(super) async fn put_part(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        upload: String,
        number: u32,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        put::admit(place, body.announced()).map_err(named)?;
        uploads::info(shard, place, &upload).await.map_err(named)?;
        let size = body.announced();
        let checksums: Vec<_> = self.signed_hash().into_iter().collect();
        let kinds: Vec<_> = checksums.iter().map(|c| c.kind).collect();
        let writer =
            put::receive(shard, conn, body, place, place.durability(), &kinds).await.map_err(named)?;
        let expected = Expected { size, checksums };
        let prepared = writer.finish(&expected).await.map_err(|e| named(e.into()))?;
        let (bucket, name) = (place.bucket.clone(), place.name.clone());
        let change = Change::PutPart { bucket, name, upload, number, prepared, etag: None };
        place.change(shard, change).await.map_err(|e| named(e.into()))?;
        self.answer(conn, Op::Multipart, Answer::new(200)).await
    }

    pub(super) async fn complete_upload(
        &self,
        conn: &mut Conn,
        place: &Place,
        id: String,
        parts: Vec<PartRef>,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let upload = uploads::info(shard, place, &id).await.map_err(named)?;
        let choice = parts.into_iter().map(|part| PartChoice {
            number: part.number,
            etag: Some(part.etag).filter(|etag| !etag.is_empty()),
        });
        let prepared =
            uploads::assemble(shard, place, &id, choice.collect(), Seams::Kept).await.map_err(named)?;
        let attrs = uploads::completed_attrs(&upload.record, None, None).map_err(named)?;
        put::commit(shard, place, prepared, attrs, Terms::default(), Some(id)).await.map_err(named)?;
        self.answer(conn, Op::Multipart, Answer::new(200)).await
    }
}
