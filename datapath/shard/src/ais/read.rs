//! Reading: GET and both kinds of HEAD.

use weir_ais::headers::HeaderSink as _;
use weir_ais::{AisError, Cname, GetArgs, HeadArgs};
use weir_http::BodyLength;
use weir_store::Record;
use weir_types::{ByteRange, RangeSpec};

use super::Ais;
use super::errors::{Refusal, about};
use super::facts::{Facts, Fields, Lines};
use crate::answer::{Answer, add_field, start_head};
use crate::conn::Conn;
use crate::fail::Failure;
use crate::opened::Dialect;
use crate::place::Place;
use crate::relay::{RECORD_HEADER, record_text};
use crate::serve::Handled;
use crate::shard::Side;
use crate::{Op, cold, get, hot};

impl Ais<'_, '_> {
    pub(super) async fn get(
        &self,
        conn: &mut Conn,
        place: &Place,
        args: GetArgs,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let asked = self.request.head.header("range").filter(|value| !value.is_empty());
        // A range is answered with 206 or refused; a malformed one with 416 and the size, so the object comes first.
        let range = asked.map(RangeSpec::parse);
        if args.latest && place.bucket.provider.is_remote() {
            self.drop_outdated(place).await?;
        }
        let early = range.as_ref().and_then(|r| r.as_ref().ok()).copied();
        let readable = get::open(shard, place, early).await.map_err(named)?;
        let size = readable.record.size;
        let selected = match range {
            None => ByteRange { start: 0, len: size },
            Some(Ok(range)) => range.resolve(size).map_err(|e| named(e.into()))?,
            Some(Err(error)) => {
                let object = Cname::new(&place.bucket, &place.name);
                return Err(AisError::Range { object, error, size }.into());
            }
        };
        let (op, status) = (
            if readable.is_local() { Op::Get } else { Op::ColdGet },
            if asked.is_some() { 206 } else { 200 },
        );
        let head = self.get_head(place, &readable, status, selected);
        if readable.is_local() && status == 200 && !args.latest {
            hot::note(self.request, Dialect::Ais, place);
        }
        match get::send(shard, conn, place, readable, selected, head).await {
            Ok(()) => Ok(Handled { op, status, broken: false }),
            Err(failed) if failed.head_left => {
                tracing::warn!(request = self.request.id_text(), "body cut short: {}", failed.error);
                Err(Refusal::Broken { status })
            }
            Err(failed) => Err(named(failed.error)),
        }
    }

    fn get_head(&self, place: &Place, readable: &get::Readable, status: u16, selected: ByteRange) -> Vec<u8> {
        let shard = self.request.shard;
        let record = &readable.record;
        let fields = || {
            let mut lines = Lines::default();
            Facts::of(shard, place, record, readable.is_local()).facts().get(&mut lines);
            lines.header("Content-Type", format_args!("application/octet-stream"));
            lines.0
        };
        let mut out = Vec::with_capacity(512);
        let mut head = start_head(&mut out, status, &shard.date());
        shard.add_staleness(&mut head);
        match readable.opened() {
            Some(opened) => head.lines(opened.lines(Dialect::Ais, fields)),
            None => head.lines(&fields()),
        };
        let asked = self.request.head.header(RECORD_HEADER).is_some();
        if asked && self.request.side == Side::Peers {
            add_field(&mut head, RECORD_HEADER, record_text(record));
        }
        if status == 206 {
            let ByteRange { start, len } = selected;
            let range = format_args!("bytes {start}-{}/{}", start + len - 1, record.size);
            add_field(&mut head, "Content-Range", range);
            add_field(&mut head, "Accept-Ranges", "bytes");
        }
        head.finish(BodyLength::Length(selected.len), self.request.keep);
        out
    }

    pub(super) async fn head(
        &self,
        conn: &mut Conn,
        place: &Place,
        args: HeadArgs,
    ) -> Result<Handled, Refusal> {
        let shard = self.request.shard;
        let named = |failure| about(failure, &self.node(), &place.bucket, &place.name);
        let (record, present) = match get::head(shard, place).await {
            Ok(record) => ((*record).clone(), true),
            Err(error) if error.is_not_found() && self.may_ask_origin(place, args) => {
                (cold::head_origin(shard, place).await.map_err(named)?, false)
            }
            Err(error) => return Err(named(error.into())),
        };
        if present && args.latest && place.bucket.provider.is_remote() {
            self.compare_with_origin(place, &record).await?;
        }
        let mut answer = Answer::new(200);
        if !args.presence.status_only() {
            let facts = Facts::of(shard, place, &record, present);
            let mut fields = Fields::default();
            match &args.props {
                Some(props) => facts.facts().head_props(props, &mut fields),
                None => facts.facts().head(&mut fields),
            }
            answer.headers = fields.0;
        }
        answer.length = Some(record.size);
        self.answer(conn, Op::Head, answer).await
    }

    fn may_ask_origin(&self, place: &Place, args: HeadArgs) -> bool {
        !args.presence.in_cluster_only() && cold::may_fetch(self.request.shard, place)
    }

    /// 409 when the origin has another version, 410 when it has none.
    async fn compare_with_origin(&self, place: &Place, here: &Record) -> Result<(), Refusal> {
        let object = Cname::new(&place.bucket, &place.name);
        match cold::head_origin(self.request.shard, place).await {
            Ok(there) if cold::is_same(here, &there) => Ok(()),
            Ok(_) => Err(AisError::RemoteMismatch { object }.into()),
            Err(failure) if failure.is_not_found() => Err(AisError::RemoteGone { object }.into()),
            Err(failure) => Err(about(failure, &self.node(), &place.bucket, &place.name)),
        }
    }

    /// Evicts a copy that its origin has replaced, so that the read that follows brings the new one in.
    async fn drop_outdated(&self, place: &Place) -> Result<(), Refusal> {
        let shard = self.request.shard;
        let Ok(here) = crate::get::head(shard, place).await else { return Ok(()) };
        match self.compare_with_origin(place, &here).await {
            Err(Refusal::Answer(AisError::RemoteMismatch { .. }, _)) => {
                let evict =
                    weir_store::Change::Evict { bucket: place.bucket.clone(), name: place.name.clone() };
                place.change(shard, evict).await.map(drop).map_err(Failure::from)?;
                Ok(())
            }
            other => other,
        }
    }
}
