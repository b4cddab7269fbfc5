//! The S3 API: admitted, routed, permitted, carried out, answered.

mod copy;
mod errors;
mod facts;
mod multipart;
mod read;
mod write;

use weir_auth::{BodyRule, ChunkSigner, Grant, Permit};
use weir_s3::body::{BodyPlan, Framing};
use weir_s3::chunked::{ChunkVerifier, ChunkedBody, Unverified};
use weir_s3::conditions::WriteConditions;
use weir_s3::{ObjectOp, S3Code, S3Config, S3Error, S3Op};
use weir_types::{Access, Bucket, BucketName, ObjectName, Provider, limits};

use crate::Op;
use crate::answer::Answer;
use crate::body::Body;
use crate::conn::{Conn, ConnError};
use crate::fail::Failure;
use crate::moves::{self, Fate};
use crate::place::{Located, Place, PlaceError, There};
use crate::relay::{Around, Held, Payload, Relay};
use crate::serve::{Handled, Request, overloaded};
use crate::shard::{ControlOp, Side};
use errors::Refusal;

/// What the handlers of this dialect share.
pub(crate) struct S3<'r, 'h> {
    pub(crate) request: &'r Request<'h>,
    pub(crate) grant: Grant,
}

/// Serves one request of the S3 API.
pub(crate) async fn serve(
    request: &Request<'_>,
    conn: &mut Conn,
    body: &mut Body,
) -> Result<Handled, ConnError> {
    let grant = match request.admit() {
        Ok(grant) => grant,
        Err(denied) => return refuse(request, conn, Op::Control, errors::denied(&denied).into()).await,
    };
    let config = config(request);
    let op = match weir_s3::route(&request.head, &config) {
        Ok(op) => op,
        Err(error) => return refuse(request, conn, Op::Control, error.into()).await,
    };
    let s3 = S3 { request, grant };
    let kind = kind(&op);
    let done = match (request.caught_up().await, op) {
        (Err(behind), _) => Err(behind.into()),
        (Ok(()), S3Op::Object { bucket, key, op }) => match s3.locate(&bucket, &key, op.access()).await {
            Ok(Located::Here(place)) => s3.here(conn, body, &bucket, &place, op, kind).await,
            Ok(Located::There(there)) => s3.pass_on(conn, body, &bucket, &op, &there, kind).await,
            Err(refusal) => Err(refusal),
        },
        (Ok(()), other) => s3.control(conn, body, other).await,
    };
    match done {
        Ok(handled) => Ok(handled),
        Err(refusal) => refuse(request, conn, kind, refusal).await,
    }
}

/// The dialect's settings; the region is the one that clients use without being told.
pub(crate) fn config(request: &Request<'_>) -> S3Config {
    let domain = &request.shard.shared.s3_domain;
    S3Config { base_domain: (!domain.is_empty()).then(|| domain.clone()), ..S3Config::default() }
}

fn kind(op: &S3Op) -> Op {
    match op {
        S3Op::Object { op, .. } => match op {
            ObjectOp::Get(_) => Op::Get,
            ObjectOp::Put(_) => Op::Put,
            ObjectOp::Copy(_) => Op::Copy,
            ObjectOp::Delete(_) => Op::Delete,
            ObjectOp::CreateUpload(_)
            | ObjectOp::UploadPart(_)
            | ObjectOp::UploadPartCopy(_)
            | ObjectOp::CompleteUpload(_)
            | ObjectOp::AbortUpload { .. }
            | ObjectOp::ListParts(_) => Op::Multipart,
            _ => Op::Head,
        },
        _ => Op::Control,
    }
}

async fn refuse(request: &Request<'_>, conn: &Conn, op: Op, refusal: Refusal) -> Result<Handled, ConnError> {
    refusal.end(request, conn, op, |error| words(request, error)).await
}

/// An error as S3 answers it.
fn words(request: &Request<'_>, error: &S3Error) -> Answer {
    if error.code == S3Code::SlowDown {
        overloaded(request.shard);
    }
    let mut answer = Answer::new(error.status());
    for (name, value) in &error.headers {
        answer = answer.header(name, value.clone());
    }
    if error.status() == 503 {
        answer = answer.header("Retry-After", "1");
    }
    let id = request.id_text();
    answer = answer.header("x-amz-request-id", id.clone());
    if weir_s3::render::error_has_body(error, request.head.method.as_str()) {
        let node = request.shard.shared.identity.target.as_str();
        answer = answer.body("application/xml", weir_s3::render::error(error, request.head.path, &id, node));
    }
    answer
}

impl<'h> S3<'_, 'h> {
    /// Where an object is in a bucket that S3 names, if the caller may do `needed` there.
    async fn locate(
        &self,
        bucket: &BucketName,
        key: &ObjectName,
        needed: Access,
    ) -> Result<Located, Refusal> {
        let shard = self.request.shard;
        let known = match shard.bucket_by_name(bucket).map_err(|e| errors::cluster(&e))? {
            None => shard.find_bucket(bucket).await?,
            known => known,
        };
        let Some(found) = known else {
            // Who may not look does not learn whether the bucket is there.
            let unknown = Bucket::global(Provider::Ais, bucket.clone());
            let _may_look = self.permit(needed, &unknown)?;
            return Err(S3Error::no_such_bucket(bucket.as_str()).into());
        };
        let permit = self.permit(needed, &found)?;
        let placed = match self.request.held() {
            Some(_) => shard.place_under(shard.view(), &found, key, permit),
            None => shard.place(&found, key, permit).await,
        };
        match placed {
            Ok(place) => Ok(Located::Here(place)),
            Err(PlaceError::Elsewhere(there)) => Ok(Located::There(there)),
            Err(error) => Err(Failure::from(error).into()),
        }
    }

    /// Has another node answer what is asked of an object that belongs to it. What a peer has passed on is not passed on
    /// again: then one of the two does not know the map of now.
    async fn pass_on(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        bucket: &BucketName,
        op: &ObjectOp,
        there: &There,
        kind: Op,
    ) -> Result<Handled, Refusal> {
        if self.request.side == Side::Peers {
            return Err(Failure::Place(PlaceError::Elsewhere(Box::new(there.clone()))).into());
        }
        let payload = match op.body() {
            None => Payload::Nothing,
            Some(plan) => {
                self.unwrap(body, plan)?;
                match plan.framing {
                    Framing::Plain => Payload::Plain,
                    Framing::AwsChunked { .. } => Payload::AwsChunked,
                }
            }
        };
        let host_bucket = self.request.is_virtual_hosted().then_some(bucket.as_str());
        let (request, grant) = (self.request, &self.grant);
        let relay = Relay { request, grant, there, op: kind, host_bucket, held: false };
        Ok(relay.serve(conn, body, payload).await?)
    }

    /// What is asked of an object of this target, which may be elsewhere still.
    async fn here(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        bucket: &BucketName,
        place: &Place,
        op: ObjectOp,
        kind: Op,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let is_read = reads(&op);
        let mut was_here = false;
        if self.request.held().is_none() {
            let host_bucket = self.request.is_virtual_hosted().then_some(bucket.as_str());
            let held = Held { request: self.request, grant: &self.grant, op: kind, host_bucket };
            match is_read {
                true => match held.read(conn, body, place).await? {
                    Around::Answered(handled) => return Ok(handled),
                    around => was_here = matches!(around, Around::Here),
                },
                false => moves::own_for(shard, place, fate(&op)).await?,
            }
        }
        match self.object(conn, body, place, op).await {
            Err(Refusal::Answer(error, _))
                if error.status() == 404 && (was_here || self.request.may_be_elsewhere(place)) =>
            {
                Err(Failure::Behind.into())
            }
            done => done,
        }
    }

    fn permit(&self, needed: Access, bucket: &Bucket) -> Result<Permit, Refusal> {
        self.grant.require(needed, bucket).map_err(|d| errors::denied(&d).into())
    }

    async fn object(
        &self,
        conn: &mut Conn,
        body: &mut Body,
        place: &Place,
        op: ObjectOp,
    ) -> Result<Handled, Refusal> {
        match op {
            ObjectOp::Get(get) => self.get(conn, place, &get).await,
            ObjectOp::Head(get) => self.head(conn, place, &get).await,
            ObjectOp::Put(put) => self.put(conn, body, place, put).await,
            ObjectOp::Copy(copy) => self.copy(conn, place, copy).await,
            ObjectOp::Delete(delete) => self.delete(conn, place, &delete).await,
            ObjectOp::GetAttributes(wanted) => self.attributes(conn, place, &wanted).await,
            ObjectOp::GetTagging => self.tagging(conn, place).await,
            ObjectOp::PutTagging(plan) => self.put_tagging(conn, body, place, &plan).await,
            ObjectOp::DeleteTagging => self.set_tags(conn, place, None, 204).await,
            ObjectOp::GetAcl => self.acl(conn, place).await,
            ObjectOp::PutAcl(_, plan) => self.put_acl(conn, body, place, &plan).await,
            ObjectOp::CreateUpload(create) => self.create_upload(conn, place, create).await,
            ObjectOp::UploadPart(part) => self.upload_part(conn, body, place, part).await,
            ObjectOp::UploadPartCopy(part) => self.upload_part_copy(conn, place, part).await,
            ObjectOp::CompleteUpload(complete) => self.complete_upload(conn, body, place, complete).await,
            ObjectOp::AbortUpload { upload_id } => self.abort_upload(conn, place, upload_id).await,
            ObjectOp::ListParts(list) => self.list_parts(conn, place, &list).await,
            ObjectOp::Absent(absent) => self.absent(conn, place, absent).await,
        }
    }

    /// Everything that is not about one object: its body is read and checked here, the rest is the control core's.
    async fn control(&self, conn: &mut Conn, body: &mut Body, op: S3Op) -> Result<Handled, Refusal> {
        let bytes = match op.body() {
            Some(plan) => self.document(conn, body, plan).await?,
            None => Vec::new(),
        };
        match self.request.control(ControlOp::S3(Box::new(op)), self.grant.clone(), bytes).await {
            Some(answer) => {
                let answer = answer.header("x-amz-request-id", self.request.id_text());
                Ok(self.request.answer(conn, Op::Control, answer).await?)
            }
            None => Err(S3Error::new(S3Code::SlowDown, "the control core's queue is full").into()),
        }
    }

    /// Takes S3's chunks off the body as the gate decided: a handler cannot choose a weaker way.
    fn unwrap(&self, body: &mut Body, plan: &BodyPlan) -> Result<(), Refusal> {
        let Some(decoder) = ChunkedBody::new(plan.framing) else {
            if self.grant.body_rule().is_aws_chunked() {
                return Err(S3Error::new(S3Code::InvalidRequest, "expected an aws-chunked body").into());
            }
            return Ok(());
        };
        let verifier: Box<dyn ChunkVerifier> = match self.grant.body_rule() {
            BodyRule::SignedChunks { signer, .. } => Box::new(Signed(signer.clone())),
            BodyRule::UnsignedChunks { .. } | BodyRule::Plain | BodyRule::Sha256(_) => Box::new(Unverified),
        };
        body.unwrap_aws(decoder, verifier, plan.length);
        Ok(())
    }

    /// A document, whole and checked.
    async fn document(&self, conn: &mut Conn, body: &mut Body, plan: &BodyPlan) -> Result<Vec<u8>, Refusal> {
        self.unwrap(body, plan)?;
        let bytes = body.read_all(conn, limits::XML_BYTES_MAX).await.map_err(Failure::from)?;
        let bytes = bytes.ok_or_else(|| S3Error::from(S3Code::MaxMessageLengthExceeded))?;
        plan.verify_bytes(&bytes, &body.aws_trailers()?)?;
        Ok(bytes)
    }

    async fn answer(&self, conn: &Conn, op: Op, answer: Answer) -> Result<Handled, Refusal> {
        let answer = answer.header("x-amz-request-id", self.request.id_text());
        Ok(self.request.answer(conn, op, answer).await?)
    }
}

/// What it makes of the object that is there.
fn fate(op: &ObjectOp) -> Fate {
    match op {
        ObjectOp::Put(put) if put.conditions == WriteConditions::default() => Fate::Replaced,
        ObjectOp::Delete(delete) if delete.conditions == WriteConditions::default() => Fate::Removed,
        _ => Fate::Counts,
    }
}

/// Whether nothing changes by it.
fn reads(op: &ObjectOp) -> bool {
    matches!(
        op,
        ObjectOp::Get(_)
            | ObjectOp::Head(_)
            | ObjectOp::GetAttributes(_)
            | ObjectOp::GetTagging
            | ObjectOp::GetAcl
            | ObjectOp::Absent(_)
    )
}

/// The chain of signatures, as the decoder of the dialect asks for it.
struct Signed(Box<ChunkSigner>);

impl ChunkVerifier for Signed {
    fn data(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn chunk(&mut self, signature: &str) -> weir_s3::Result<()> {
        self.0.finish_chunk(signature).map_err(|d| errors::denied(&d))
    }
    fn trailer(&mut self, canonical: &[u8], signature: &str) -> weir_s3::Result<()> {
        let text =
            std::str::from_utf8(canonical).map_err(|_| S3Error::from(S3Code::MalformedTrailerError))?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        self.0.finish_trailer(fields, signature).map_err(|d| errors::denied(&d))
    }
}
