//! What an owner asks a target that may still hold an object, or an upload, of the owner's: whether it does, the object, its
//! removal.

use weir_auth::Grant;
use weir_http::{HttpError, Method, Reply};
use weir_store::{CommitId, Record};
use weir_types::{Bucket, ObjectName, limits};

use super::failed;
use super::fetch::{Asked, Fetched, RECORD_HEADER, ask, field, path_of, query_of, record_of};
use super::link::{Link, LinkError};
use crate::fail::Failure;
use crate::moves::{CHECK, HELD_HEADER, MAP_HEADER, PART_HEADER, TAKE, UPLOAD_HEADER};
use crate::place::There;
use crate::promote::FILE_HEADER;
use crate::shard::Shard;

/// The field with the number of a multipart object's parts, whose sizes (u64, little-endian) stand before its bytes.
pub(crate) const PARTS_HEADER: &str = "weir-parts";

/// An object that may be at another target.
pub(crate) struct Taking<'t> {
    pub(crate) shard: &'t Shard,
    /// What this node may do there.
    pub(crate) grant: &'t Grant,
    pub(crate) there: &'t There,
    pub(crate) name: &'t ObjectName,
}

/// Of an upload that may be at another target its metadata, with the numbers of its parts, or one part.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadPiece<'u> {
    pub(crate) id: &'u str,
    pub(crate) part: Option<u32>,
}

impl UploadPiece<'_> {
    fn fields(self) -> Vec<(&'static str, String)> {
        let part = self.part.map(|number| (PART_HEADER, number.to_string()));
        part.into_iter().chain([(UPLOAD_HEADER, self.id.to_owned())]).collect()
    }
}

impl<'t> Taking<'t> {
    /// Its metadata; `None` if it is not there.
    pub(crate) async fn look(&self) -> Result<Option<Record>, Failure> {
        let _turn = self.shard.links.turn(&self.there.owner)?;
        let (link, reply) = self.ask(Method::Head, TAKE.into(), Vec::new()).await?;
        let record = match reply.status {
            404 => None,
            200 => Some(
                field(&link, &reply, RECORD_HEADER).and_then(record_of).ok_or_else(|| self.no_record())?,
            ),
            other => return Err(failed(self.there, LinkError::Answered(other))),
        };
        self.keep(link, &reply, 0);
        Ok(record)
    }

    /// Whether what is there cannot be read whole. That takes as long as reading it.
    pub(crate) async fn is_damaged(&self) -> Result<bool, Failure> {
        let _turn = self.shard.links.turn(&self.there.owner)?;
        let (link, reply) = self.ask(Method::Head, CHECK.into(), Vec::new()).await?;
        let damaged = match reply.status {
            200 | 404 => false,
            410 => true,
            other => return Err(failed(self.there, LinkError::Answered(other))),
        };
        self.keep(link, &reply, 0);
        Ok(damaged)
    }

    /// The object, its bytes on their way, and the sizes of its parts; `None` if it is not there.
    pub(crate) async fn take(&self) -> Result<Option<(Fetched<'t>, Vec<u64>)>, Failure> {
        self.fetch(Vec::new()).await
    }

    /// An upload's metadata and the numbers of its parts, or one part of it; `None` if it is not there.
    pub(crate) async fn take_upload(
        &self,
        piece: UploadPiece<'_>,
    ) -> Result<Option<(Fetched<'t>, Vec<u64>)>, Failure> {
        self.fetch(piece.fields()).await
    }

    /// A file that is to become the object, which that target has; `None` if it gives none.
    pub(crate) async fn take_file(&self, path: &str) -> Result<Option<Fetched<'t>>, Failure> {
        let fetched = self.fetch(vec![(FILE_HEADER, hex::encode(path))]).await?;
        Ok(fetched.map(|(fetched, _)| fetched))
    }

    async fn fetch(
        &self,
        more: Vec<(&'static str, String)>,
    ) -> Result<Option<(Fetched<'t>, Vec<u64>)>, Failure> {
        let turn = self.shard.links.turn(&self.there.owner)?;
        let (link, reply) = self.ask(Method::Get, TAKE.into(), more).await?;
        match reply.status {
            404 => {
                self.keep(link, &reply, reply.length.unwrap_or(0));
                return Ok(None);
            }
            200 => {}
            other => return Err(failed(self.there, LinkError::Answered(other))),
        }
        let parts = field(&link, &reply, PARTS_HEADER).and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        if parts > limits::PARTS_MAX as usize {
            return Err(failed(self.there, HttpError::Reply("expected fewer parts").into()));
        }
        let mut fetched = Fetched::of(self.shard, self.there, link, &reply, turn)?;
        let sizes = if parts > 0 { fetched.sizes(parts).await? } else { Vec::new() };
        Ok(Some((fetched, sizes)))
    }

    /// Has it removed there, if it is of this commit still; that it is not there is as good.
    pub(crate) async fn release(&self, commit: CommitId) -> Result<(), Failure> {
        self.remove(commit.to_string(), Vec::new()).await
    }

    /// Has an upload dropped there; that it is not there is as good.
    pub(crate) async fn release_upload(&self, id: &str) -> Result<(), Failure> {
        self.remove(TAKE.into(), UploadPiece { id, part: None }.fields()).await
    }

    async fn remove(&self, held: String, more: Vec<(&'static str, String)>) -> Result<(), Failure> {
        let _turn = self.shard.links.turn(&self.there.owner)?;
        let (link, reply) = self.ask(Method::Delete, held, more).await?;
        self.keep(link, &reply, reply.length.unwrap_or(0));
        match reply.status {
            200 | 404 => Ok(()),
            other => Err(failed(self.there, LinkError::Answered(other))),
        }
    }

    async fn ask(
        &self,
        method: Method,
        held: String,
        more: Vec<(&'static str, String)>,
    ) -> Result<(Link, Reply), Failure> {
        let bucket: &Bucket = &self.there.bucket;
        let mut fields = vec![(HELD_HEADER, held), (MAP_HEADER, self.there.view.smap.version.to_string())];
        fields.extend(more);
        let asked =
            Asked { method, path: path_of(bucket, self.name), query: query_of(bucket), fields: &fields };
        ask(self.shard, self.grant, self.there, &asked).await
    }

    /// Keeps the connection where all of the answer came at once, as short ones do.
    fn keep(&self, mut link: Link, reply: &Reply, body: u64) {
        let whole = usize::try_from(body).ok().and_then(|body| reply.bytes().checked_add(body));
        if reply.keep_alive && whole == Some(link.conn.pending().len()) {
            link.conn.consume(link.conn.pending().len());
            self.shard.links.keep(link, self.shard.handle.now());
        }
    }

    fn no_record(&self) -> Failure {
        failed(self.there, HttpError::Reply("expected the object's record").into())
    }
}
