//! Writing: PUT, copy, rename, DELETE, evict, PATCH.

use weir_ais::{AisError, Cname, DeleteAction, PostAction, PutHeaders, custom_patch};
use weir_store::{Attrs, Change, CommitId, CustomChange, Expected, Record, StoreError, Terms};
use weir_types::{Access, Bucket, Checksum, ObjectName};

use super::Ais;
use super::errors::{Refusal, about};
use super::facts::{Facts, Fields};
use super::redirect::Asked;
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::Conn;
use crate::copies::{self, NEED_HEADER};
use crate::fail::Failure;
use crate::place::{Located, Place, PlaceError, There};
use crate::relay::{Payload, Relay, have_copied};
use crate::serve::Handled;
use crate::shard::Side;
use crate::source::Source;
use crate::{Op, custom, put, reserved};

impl Ais<'_, '_> {
    pub(super) async fn put(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        put::admit(place, body.announced()).map_err(named)?;
        let head = &self.request.head;
        let sent = PutHeaders::read(
            head.header("ais-checksum-type"),
            head.header("ais-checksum-value"),
            head.headers("ais-custom-md"),
        )?;
        reserved::refuse(&sent.custom).map_err(reserved_key)?;
        let stated: Vec<Checksum> = sent.checksum.into_iter().chain(self.signed_hash()).collect();
        let kinds = put::kinds(place, stated.iter().map(|c| c.kind));
        let size = body.announced();
        let writer =
            put::receive(shard, conn, body, place, place.durability(), &kinds).await.map_err(named)?;
        let expected = Expected { size, checksums: stated };
        let prepared = writer.finish(&expected).await.map_err(|e| named(e.into()))?;
        let attrs = Attrs { custom: sent.custom, etag: prepared.md5_etag(), ..Attrs::default() };
        let committed =
            put::commit(shard, place, prepared, attrs, Terms::default(), None).await.map_err(named)?;
        let facts = Facts::of(shard, place, &committed.record, true);
        let mut fields = Fields::default();
        facts.facts().written(&mut fields);
        let answer = Answer { status: 200, headers: fields.0, ..Answer::default() };
        self.answer(conn, Op::Put, answer).await
    }

    /// Copies an object of this node. Where the copy belongs to another one, that one makes it.
    pub(super) async fn copy(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        from: &Place,
        to: &Bucket,
        name: &ObjectName,
    ) -> Result<Handled, Refusal> {
        match self.locate(to, name, Access::PUT).await? {
            Located::Here(to) => {
                self.copy_to(from, &to).await?;
                self.answer(conn, Op::Copy, Answer::new(200)).await
            }
            Located::There(there) if self.request.side == Side::Public => {
                let (request, grant) = (self.request, &self.grant);
                let relay =
                    Relay { request, grant, there: &there, op: Op::Copy, host_bucket: None, held: false };
                Ok(relay.serve(conn, body, Payload::Nothing).await?)
            }
            Located::There(there) => Err(Failure::Place(PlaceError::Elsewhere(there)).into()),
        }
    }

    /// Makes a copy of an object of another node, which asks for it.
    pub(super) async fn copy_from(
        &self,
        conn: &mut Conn,
        asked: &Asked<'_>,
        there: &There,
        to: &Bucket,
        name: &ObjectName,
    ) -> Result<Handled, Refusal> {
        let to = self.place(to, name, Access::PUT).await?;
        let named = |failure| about(failure, &self.node(), asked.bucket, asked.name);
        let (shard, object) = (self.request.shard, (asked.bucket, asked.name));
        let need = self.request.head.header(NEED_HEADER).unwrap_or_default();
        if !copies::is_needless(shard, &to, need).await {
            let source = Source::elsewhere(shard, &self.grant, there, object, None).await.map_err(named)?;
            copies::keep(shard, source, &to, copies::is_if_absent(need)).await.map_err(named)?;
        }
        self.answer(conn, Op::Copy, Answer::new(200)).await
    }

    async fn copy_to(&self, from: &Place, to: &Place) -> Result<CommitId, Refusal> {
        let named = |failure| about(failure, &self.node(), &from.bucket, &from.name);
        let shard = self.request.shard;
        let source = crate::get::open_whole(shard, from).await.map_err(named)?;
        let commit = source.record().commit;
        copies::keep(shard, Source::Here(Box::new(source)), to, false).await.map_err(named)?;
        Ok(commit)
    }

    pub(super) async fn delete(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        upload: Option<String>,
    ) -> Result<Handled, Refusal> {
        let message = self.message(conn, body).await?;
        let (bucket, name) = (place.bucket.clone(), place.name.clone());
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let change = match DeleteAction::read(&message, upload)? {
            DeleteAction::AbortUpload(id) => {
                crate::uploads::abort(self.request.shard, place, id).await.map_err(named)?;
                return self.answer(conn, Op::Multipart, Answer::new(200)).await;
            }
            #[cfg(debug_assertions)]
            DeleteAction::Delete if crate::planted::evicts(&self.request.head) => {
                Change::Evict { bucket, name }
            }
            DeleteAction::Evict if !bucket.provider.is_remote() => {
                return Err(AisError::NotRemote { action: "evict", bucket }.into());
            }
            DeleteAction::Evict => Change::Evict { bucket, name },
            DeleteAction::Delete if bucket.provider.is_remote() => {
                let what = "deleting from a remote bucket is not supported yet";
                return Err(Failure::Unsupported(what).into());
            }
            DeleteAction::Delete => {
                Change::Delete { bucket, name, terms: Terms::default(), durability: place.durability() }
            }
        };
        match place.change(self.request.shard, change).await.map_err(Failure::from) {
            Ok(_) => self.answer(conn, Op::Delete, Answer::new(200)).await,
            Err(failure) if failure.is_not_found() => {
                let object = Cname::new(&place.bucket, &place.name);
                Err(AisError::DeleteNotFound { object }.into())
            }
            Err(failure) => Err(named(failure)),
        }
    }

    pub(super) async fn patch(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        replace: bool,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let custom = custom_patch(&self.message(conn, body).await?)?;
        reserved::refuse(&custom).map_err(reserved_key)?;
        if replace {
            let with_own = |record: &Record| {
                let mut custom = custom.clone();
                reserved::carry_over(&record.custom, &mut custom)?;
                Ok(custom)
            };
            custom::replace(shard, place, with_own).await.map_err(named)?;
        } else {
            let change = Change::SetCustom {
                bucket: place.bucket.clone(),
                name: place.name.clone(),
                change: CustomChange::Merge(custom),
                terms: Terms::default(),
                durability: place.durability(),
            };
            place.change(shard, change).await.map_err(|e| named(e.into()))?;
        }
        self.answer(conn, Op::Put, Answer::new(200)).await
    }

    pub(super) async fn post(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        upload: Option<String>,
    ) -> Result<Handled, Refusal> {
        let message = self.message(conn, body).await?;
        let action = PostAction::read(&message, upload, &place.bucket)?;
        let needed = match &action {
            PostAction::Rename(_) => Access::MOVE_OBJECT,
            PostAction::CheckLock | PostAction::Unsupported(_) => Access::HEAD_OBJECT,
            _ => Access::PUT,
        };
        let place = &self.place(&place.bucket, &place.name, needed).await?;
        match action {
            PostAction::Rename(name) => self.rename(conn, place, &name).await,
            PostAction::CheckLock => self.check_lock(conn, place).await,
            PostAction::CreateUpload => self.create_upload(conn, place).await,
            PostAction::CompleteUpload { upload, parts } => {
                self.complete_upload(conn, place, upload, parts).await
            }
            PostAction::AbortUpload(id) => {
                let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
                crate::uploads::abort(self.request.shard, place, id).await.map_err(named)?;
                self.answer(conn, Op::Multipart, Answer::new(200)).await
            }
            PostAction::Unsupported(what) => Err(AisError::from(what).into()),
        }
    }

    /// The new name first, then the old one goes: a crash between leaves both, never neither. What was written to the old name
    /// since it was copied stays there, as if it had come after the rename.
    async fn rename(&self, conn: &mut Conn, from: &Place, name: &ObjectName) -> Result<Handled, Refusal> {
        if from.name != *name {
            let shard = self.request.shard;
            let copied = match self.locate(&from.bucket, name, Access::PUT).await? {
                Located::Here(to) => self.copy_to(from, &to).await?,
                Located::There(there) => {
                    let named = |failure| about(failure, &self.node(), &from.bucket, &from.name);
                    let present = crate::get::head(shard, from).await.map_err(|e| named(e.into()))?;
                    let object = (&from.bucket, &from.name);
                    let to = (&from.bucket, name);
                    have_copied(shard, &self.grant, &there, object, to, None).await?;
                    present.commit
                }
            };
            let change = Change::Delete {
                bucket: from.bucket.clone(),
                name: from.name.clone(),
                terms: Terms { if_unchanged: Some(copied), ..Terms::default() },
                durability: from.durability(),
            };
            match from.change(shard, change).await.map_err(Failure::from) {
                Ok(_) | Err(Failure::Store(StoreError::Precondition { .. })) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        self.answer(conn, Op::Copy, Answer::new(200)).await
    }

    /// A name has one owner and readers keep what they opened, so nothing is ever locked; a cold object on its way is
    /// what a client would wait for.
    async fn check_lock(&self, conn: &mut Conn, place: &Place) -> Result<Handled, Refusal> {
        match crate::get::head(self.request.shard, place).await {
            Ok(_) => self.answer(conn, Op::Head, Answer::new(200)).await,
            Err(error) if error.is_not_found() && place.bucket.provider.is_remote() => {
                self.answer(conn, Op::Head, Answer::new(200)).await
            }
            Err(error) => Err(about(Failure::from(error), &self.node(), &place.bucket, &place.name)),
        }
    }
}

fn reserved_key(key: &str) -> AisError {
    AisError::Bad(format!("custom metadata key {key:?} is reserved for the server's own use"))
}
