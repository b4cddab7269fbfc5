//! Reading: GetObject, HeadObject, GetObjectAttributes, tags and ACLs.

use weir_http::{BodyLength, FieldLines};
use weir_s3::attributes::AttributesView;
use weir_s3::op::{Absent, GetAttributes, GetObject};
use weir_s3::render;
use weir_s3::uploads::PartView;
use weir_store::Record;
use weir_types::ByteRange;

use super::S3;
use super::errors::Refusal;
use super::facts::Facts;
use crate::answer::{Answer, add_field, report, start_head};
use crate::conn::Conn;
use crate::fail::Failure;
use crate::opened::Dialect;
use crate::place::Place;
use crate::serve::Handled;
use crate::{Op, cold, get, hot};

const XML: &str = "application/xml";

/// What of the object is sent.
struct Selection {
    range: ByteRange,
    /// 206 with `Content-Range`.
    partial: bool,
    /// Checksums apply: the whole object, or one of its parts.
    whole: bool,
}

impl S3<'_, '_> {
    pub(super) async fn get(
        &self,
        conn: &mut Conn,
        place: &Place,
        get: &GetObject,
    ) -> Result<Handled, Refusal> {
        // A condition or a part number needs the metadata first; only then is a cold range the origin's business.
        let early = get.range.filter(|_| get.conditions == Default::default());
        let readable = get::open(self.request.shard, place, early).await?;
        let op = if readable.is_local() { Op::Get } else { Op::ColdGet };
        let facts = Facts::of(&readable.record);
        get.conditions.check(&facts.etag, facts.mtime_ns)?;
        let selection = select(get, &facts, readable.record.size)?;
        let head = match readable.opened().filter(|_| *get == GetObject::default()) {
            Some(opened) => {
                hot::note(self.request, Dialect::S3, place);
                self.plain_head(opened.lines(Dialect::S3, || lines(get, &facts, &selection)), &selection)
            }
            None => self.object_head(get, &facts, &readable.record, &selection),
        };
        let status = if selection.partial { 206 } else { 200 };
        match get::send(self.request.shard, conn, place, readable, selection.range, head).await {
            Ok(()) => Ok(Handled { op, status, broken: false }),
            Err(failed) if failed.head_left => {
                tracing::warn!(request = self.request.id_text(), "body cut short: {}", failed.error);
                Err(Refusal::Broken { status })
            }
            Err(failed) => Err(failed.error.into()),
        }
    }

    pub(super) async fn head(
        &self,
        conn: &mut Conn,
        place: &Place,
        get: &GetObject,
    ) -> Result<Handled, Refusal> {
        let record = self.record(place).await?;
        let facts = Facts::of(&record);
        get.conditions.check(&facts.etag, facts.mtime_ns)?;
        let selection = select(get, &facts, record.size)?;
        conn.send_bytes(&self.object_head(get, &facts, &record, &selection)).await?;
        Ok(Handled { op: Op::Head, status: if selection.partial { 206 } else { 200 }, broken: false })
    }

    /// The metadata of an object here or at its origin.
    pub(super) async fn record(&self, place: &Place) -> Result<Record, Refusal> {
        let shard = self.request.shard;
        match get::head(shard, place).await {
            Ok(record) => Ok((*record).clone()),
            Err(error) if error.is_not_found() && cold::may_fetch(shard, place) => {
                Ok(cold::head_origin(shard, place).await?)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn object_head(&self, get: &GetObject, facts: &Facts, record: &Record, selection: &Selection) -> Vec<u8> {
        let mut lines = lines(get, facts, selection);
        if selection.partial {
            let ByteRange { start, len } = selection.range;
            let range = format_args!("bytes {start}-{}/{}", start + len - 1, record.size);
            report("content-range", lines.header("content-range", range).map(drop));
        }
        self.plain_head(&lines, selection)
    }

    fn plain_head(&self, lines: &FieldLines, selection: &Selection) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let status = if selection.partial { 206 } else { 200 };
        let mut head = start_head(&mut out, status, &self.request.shard.date());
        head.lines(lines);
        self.request.shard.add_staleness(&mut head);
        add_field(&mut head, "x-amz-request-id", self.request.id_display());
        head.finish(BodyLength::Length(selection.range.len), self.request.keep);
        out
    }

    pub(super) async fn attributes(
        &self,
        conn: &mut Conn,
        place: &Place,
        wanted: &GetAttributes,
    ) -> Result<Handled, Refusal> {
        let record = self.record(place).await?;
        let facts = Facts::of(&record);
        wanted.conditions.check(&facts.etag, facts.mtime_ns)?;
        let part = |(number, size): (u32, &u64)| PartView {
            number,
            size: *size,
            mtime_ns: 0,
            etag: String::new(),
            checksum: facts.part_checksum(number).cloned(),
        };
        let parts: Vec<PartView> = (1..).zip(&facts.part_sizes).map(part).collect();
        let view = AttributesView {
            etag: &facts.etag,
            size: record.size,
            checksum: facts.checksums.first(),
            parts: &parts,
        };
        let body = weir_s3::attributes::render(wanted, &view);
        let answer =
            Answer::new(200).header("last-modified", weir_s3::http_date(facts.mtime_ns)).body(XML, body);
        self.answer(conn, Op::Head, answer).await
    }

    pub(super) async fn tagging(&self, conn: &mut Conn, place: &Place) -> Result<Handled, Refusal> {
        let facts = Facts::of(&self.record(place).await?);
        self.answer(conn, Op::Head, Answer::new(200).body(XML, render::tagging(&facts.tags))).await
    }

    pub(super) async fn acl(&self, conn: &mut Conn, place: &Place) -> Result<Handled, Refusal> {
        self.record(place).await?;
        let owner = super::config(self.request).owner;
        self.answer(conn, Op::Head, Answer::new(200).body(XML, render::private_acl(&owner))).await
    }

    pub(super) async fn absent(
        &self,
        conn: &mut Conn,
        place: &Place,
        absent: Absent,
    ) -> Result<Handled, Refusal> {
        self.record(place).await?;
        self.answer(conn, Op::Head, Answer::new(200).body(XML, absent.answer()?)).await
    }
}

/// The fields of an answer that are the object's.
fn lines(get: &GetObject, facts: &Facts, selection: &Selection) -> FieldLines {
    let view = get.part.map_or_else(|| facts.view(), |number| facts.view_of_part(number));
    let mut lines = FieldLines::default();
    for (name, value) in weir_s3::attrs::object_headers(&view, get, selection.whole) {
        report(&name, lines.header(&name, value).map(drop));
    }
    lines
}

fn select(get: &GetObject, facts: &Facts, size: u64) -> Result<Selection, Refusal> {
    if let Some(number) = get.part {
        let range = weir_s3::multipart::part_range(number, &facts.part_sizes, size)?;
        let partial = !facts.part_sizes.is_empty();
        let whole = !partial || facts.part_checksum(number).is_some();
        return Ok(Selection { range, partial: partial && range.len > 0, whole });
    }
    let all = Selection { range: ByteRange { start: 0, len: size }, partial: false, whole: true };
    match get.range {
        Some(range) if get.conditions.range_applies(&facts.etag, facts.mtime_ns) => {
            let range = range.resolve(size).map_err(Failure::from)?;
            Ok(Selection { range, partial: true, whole: false })
        }
        _ => Ok(all),
    }
}
