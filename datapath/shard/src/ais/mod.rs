//! The AIS API: admitted, routed, permitted, carried out, answered.

mod append;
mod errors;
mod facts;
mod multipart;
mod read;
mod redirect;
mod write;

use weir_ais::{AisError, AisOp, ObjectOp, Where};
use weir_auth::{BodyRule, Grant};
use weir_http::Method;
use weir_types::{Access, Bucket, Checksum, ChecksumKind, ObjectName, limits};

use crate::Op;
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::{Conn, ConnError};
use crate::fail::Failure;
use crate::moves;
use crate::place::{Located, Place, PlaceError};
use crate::relay::{Around, Held};
use crate::serve::{Handled, Request, overloaded};
use crate::shard::{ControlOp, Side};
use errors::Refusal;

/// What the handlers of this dialect share.
pub(crate) struct Ais<'r, 'h> {
    pub(crate) request: &'r Request<'h>,
    pub(crate) grant: Grant,
}

/// Serves one request of the AIS API. A process that is gateway and target at once serves what its target owns and never
/// redirects to itself.
pub(crate) async fn serve(
    request: &Request<'_>,
    conn: &mut Conn,
    body: &mut Body,
) -> Result<Handled, ConnError> {
    let grant = match redirect::vouched(request).unwrap_or_else(|| request.admit()) {
        Ok(grant) => grant,
        Err(denied) => return refuse(request, conn, Op::Control, errors::denied(&denied).into()).await,
    };
    let head = &request.head;
    let op = match weir_ais::route(head.method, head.path, head.query) {
        Ok(op) => op,
        Err(error) => return refuse(request, conn, Op::Control, error.into()).await,
    };
    if grant.body_rule().is_aws_chunked() {
        let error = AisError::Bad("aws-chunked bodies are for the S3 API".into());
        return refuse(request, conn, Op::Control, error.into()).await;
    }
    let ais = Ais { request, grant };
    let kind = kind(&op);
    let done = match op {
        AisOp::Object { bucket, object, op, marker } => {
            let asked = redirect::Asked { bucket: &bucket, name: &object, marker: marker.as_ref(), kind };
            ais.object(conn, body, &asked, op).await
        }
        AisOp::Unsupported(what) => Err(AisError::from(what).into()),
        other => ais.control(conn, body, other).await,
    };
    match done {
        Ok(handled) => Ok(handled),
        Err(refusal) => refuse(request, conn, kind, refusal).await,
    }
}

fn kind(op: &AisOp) -> Op {
    match op {
        AisOp::Object { op, .. } => match op {
            ObjectOp::Get(_) => Op::Get,
            ObjectOp::Head(_) => Op::Head,
            ObjectOp::Put { .. }
            | ObjectOp::Append { .. }
            | ObjectOp::Flush { .. }
            | ObjectOp::Patch { .. } => Op::Put,
            ObjectOp::Copy { .. } => Op::Copy,
            ObjectOp::Delete { .. } => Op::Delete,
            ObjectOp::PutPart { .. } | ObjectOp::Post { .. } => Op::Multipart,
        },
        _ => Op::Control,
    }
}

async fn refuse(request: &Request<'_>, conn: &Conn, op: Op, refusal: Refusal) -> Result<Handled, ConnError> {
    refusal.end(request, conn, op, |error| words(request, error)).await
}

/// An error as AIS answers it.
fn words(request: &Request<'_>, error: &AisError) -> Answer {
    if error.status() == 503 || error.status() == 429 {
        overloaded(request.shard);
    }
    let remote = request.peer.to_string();
    let node = format!("t[{}]", request.shard.shared.identity.target);
    let at =
        Where { method: request.head.method.as_str(), path: request.head.path, remote: &remote, node: &node };
    let mut answer = Answer::new(error.status()).header("X-Content-Type-Options", "nosniff");
    if request.head.method == Method::Head {
        answer = answer.header(weir_ais::headers::names::ERROR, error.hdr_error(&at));
    } else {
        let (kind, text) = error.body(&at);
        answer = answer.body(kind, text);
    }
    if let Some(seconds) = error.retry_after_s() {
        answer = answer.header("Retry-After", seconds.to_string());
    }
    if let Some(range) = error.content_range() {
        answer = answer.header("Content-Range", range);
    }
    if let Some(allow) = error.allow() {
        answer = answer.header("Allow", allow);
    }
    answer
}

impl Ais<'_, '_> {
    async fn object(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        asked: &redirect::Asked<'_>,
        op: ObjectOp,
    ) -> Result<Handled, Refusal> {
        self.admit_as_target(asked)?;
        self.caught_up(asked).await?;
        let place = match self.locate(asked.bucket, asked.name, access(&op)).await? {
            Located::Here(place) => place,
            Located::There(there) => {
                return match (op, self.request.side) {
                    // The source's owner has this one make the copy.
                    (ObjectOp::Copy { to, name, .. }, Side::Peers) => {
                        self.copy_from(conn, asked, &there, &to, &name).await
                    }
                    _ => self.elsewhere(conn, body, asked, &there).await,
                };
            }
        };
        let mut was_here = false;
        if self.request.held().is_none() {
            match op {
                ObjectOp::Get(_) | ObjectOp::Head(_) => {
                    let held =
                        Held { request: self.request, grant: &self.grant, op: asked.kind, host_bucket: None };
                    match held.read(conn, body, &place).await? {
                        Around::Answered(handled) => return Ok(handled),
                        around => was_here = matches!(around, Around::Here),
                    }
                }
                // What a DELETE is to do stands in its body.
                ObjectOp::Put { .. } => {
                    moves::own_for(self.request.shard, &place, moves::Fate::Replaced).await?;
                }
                _ => moves::own(self.request.shard, &place).await?,
            }
        }
        match self.here(conn, body, &place, op).await {
            Err(Refusal::Answer(error, _))
                if error.status() == 404 && (was_here || self.request.may_be_elsewhere(&place)) =>
            {
                Err(Failure::Behind.into())
            }
            done => done,
        }
    }

    /// What is asked of an object of this target.
    async fn here(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        op: ObjectOp,
    ) -> Result<Handled, Refusal> {
        match op {
            ObjectOp::Get(args) => self.get(conn, place, args).await,
            ObjectOp::Head(args) => self.head(conn, place, args).await,
            ObjectOp::Put { .. } => self.put(conn, body, place).await,
            ObjectOp::PutPart { upload, part } => self.put_part(conn, body, place, upload, part).await,
            // Boxed: few requests come here, and each connection would hold its state.
            ObjectOp::Append { handle } => Box::pin(self.append(conn, body, place, handle)).await,
            ObjectOp::Flush { handle } => Box::pin(self.flush(conn, body, place, handle)).await,
            ObjectOp::Copy { to, name, .. } => self.copy(conn, body, place, &to, &name).await,
            ObjectOp::Delete { upload } => self.delete(conn, body, place, upload).await,
            ObjectOp::Patch { replace } => self.patch(conn, body, place, replace).await,
            ObjectOp::Post { upload } => self.post(conn, body, place, upload).await,
        }
    }

    /// The place of an object that is here.
    pub(super) async fn place(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        needed: Access,
    ) -> Result<Place, Refusal> {
        match self.locate(bucket, name, needed).await? {
            Located::Here(place) => Ok(place),
            Located::There(there) => Err(Failure::Place(PlaceError::Elsewhere(there)).into()),
        }
    }

    /// Where an object is, if the caller may do `needed` in its bucket and the bucket's own mask allows it.
    async fn locate(&self, bucket: &Bucket, name: &ObjectName, needed: Access) -> Result<Located, Refusal> {
        let permit = self.grant.require(needed, bucket).map_err(|d| errors::denied(&d))?;
        let shard = self.request.shard;
        let placed = match self.request.held() {
            Some(_) => shard.place_under(shard.view(), bucket, name, permit),
            None => shard.place(bucket, name, permit).await,
        };
        match placed {
            Ok(place) => Ok(Located::Here(place)),
            Err(PlaceError::Elsewhere(there)) => Ok(Located::There(there)),
            Err(PlaceError::Masked) => {
                let action = self.request.head.method.as_str();
                Err(AisError::AccessDenied { bucket: bucket.clone(), action }.into())
            }
            Err(error) => Err(Failure::from(error).into()),
        }
    }

    /// The body of an action, bounded.
    pub(super) async fn message(&self, conn: &mut Conn, body: &mut Body) -> Result<Vec<u8>, Refusal> {
        let max = limits::CONTROL_BODY_BYTES_MAX;
        let bytes = body.read_all(conn, max).await.map_err(Failure::from)?;
        let Some(bytes) = bytes else {
            let got = body.announced().unwrap_or(body.received());
            return Err(Refusal::Answer(AisError::TooLarge { got, max: max as u64 }, true));
        };
        match self.signed_hash() {
            Some(signed) if weir_types::checksum::of(ChecksumKind::Sha256, &bytes) != signed => {
                Err(AisError::Bad("the body is not the one that was signed".into()).into())
            }
            _ => Ok(bytes),
        }
    }

    /// What a signed request promised of its body; nothing of another body may be kept.
    pub(super) fn signed_hash(&self) -> Option<Checksum> {
        match self.grant.body_rule() {
            BodyRule::Sha256(hash) => Some(Checksum { kind: ChecksumKind::Sha256, value: hash.to_vec() }),
            _ => None,
        }
    }

    async fn control(&self, conn: &mut Conn, body: &mut Body, op: AisOp) -> Result<Handled, Refusal> {
        let bytes = self.message(conn, body).await?;
        match self.request.control(ControlOp::Ais(Box::new(op)), self.grant.clone(), bytes).await {
            Some(answer) => Ok(self.request.answer(conn, Op::Control, answer).await?),
            None => {
                let what = "the control core's queue is full".into();
                Err(AisError::Unavailable { what, retry_s: 1 }.into())
            }
        }
    }

    async fn answer(&self, conn: &Conn, op: Op, answer: Answer) -> Result<Handled, Refusal> {
        Ok(self.request.answer(conn, op, answer).await?)
    }

    /// The target's name as AIS's texts have it.
    fn node(&self) -> String {
        format!("t[{}]", self.request.shard.shared.identity.target)
    }
}

fn access(op: &ObjectOp) -> Access {
    match op {
        ObjectOp::Get(_) | ObjectOp::Copy { .. } => Access::GET,
        ObjectOp::Head(_) => Access::HEAD_OBJECT,
        ObjectOp::Put { .. } | ObjectOp::PutPart { .. } => Access::PUT,
        ObjectOp::Append { .. } | ObjectOp::Flush { .. } => Access::APPEND,
        ObjectOp::Delete { .. } => Access::DELETE_OBJECT,
        ObjectOp::Patch { .. } => Access::UPDATE_OBJECT,
        // Settled by the body: each action asks for more where it needs more.
        ObjectOp::Post { .. } => Access::HEAD_OBJECT,
    }
}
