//! An object of another node, read for a copy: its metadata with its bytes behind it. It is asked for as AIS's GET, and the
//! owner adds its record to the answer.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use weir_auth::{Grant, Passed};
use weir_http::{Framing, HttpError, Method, Reply, RequestHead};
use weir_store::{Blocks, Record, StoreError};
use weir_types::{Bucket, ByteRange, ObjectName, RangeError, limits};

use super::link::{Link, LinkError, Turn};
use super::{address, answer_within, failed, while_here};
use crate::committer::now_ns;
use crate::copies::NEED_HEADER;
use crate::fail::Failure;
use crate::place::There;
use crate::shard::Shard;
use weir_ring::Buf;

/// The field by which a node asks for the object's record and gets it.
pub(crate) const RECORD_HEADER: &str = "weir-record";
const U64_BYTES: usize = u64::BITS as usize / 8;

/// An object of another node whose bytes are on their way.
pub(crate) struct Fetched<'s> {
    shard: &'s Shard,
    there: There,
    record: Record,
    range: ByteRange,
    left: u64,
    link: Link,
    keep: bool,
    _turn: Turn<'s>,
}

/// A request that this node makes of another one.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) fields: &'a [(&'a str, String)],
}

impl<'s> Fetched<'s> {
    /// Asks for an object, or for the bytes from the first to the last of `range`.
    pub(crate) async fn open(
        shard: &'s Shard,
        grant: &Grant,
        there: &There,
        (bucket, name): (&Bucket, &ObjectName),
        range: Option<(u64, u64)>,
    ) -> Result<Self, Failure> {
        let turn = shard.links.turn(&there.owner)?;
        let mut fields = vec![(RECORD_HEADER, "1".to_owned())];
        fields.extend(range.map(|(first, last)| ("Range", format!("bytes={first}-{last}"))));
        let asked = Asked {
            method: Method::Get,
            path: path_of(bucket, name),
            query: query_of(bucket),
            fields: &fields,
        };
        let (mut link, reply) = ask(shard, grant, there, &asked).await?;
        let failed = |error| failed(there, error);
        match reply.status {
            200 | 206 => {}
            404 => return Err(StoreError::NotFound { bucket: bucket.clone(), name: name.clone() }.into()),
            416 => return Err(RangeError::Unsatisfiable { size: size_of(&link, &reply) }.into()),
            other => return Err(failed(LinkError::Answered(other))),
        }
        let expected = |what| failed(HttpError::Reply(what).into());
        let record = field(&link, &reply, RECORD_HEADER).and_then(record_of);
        let record = record.ok_or_else(|| expected("expected the object's record"))?;
        let left =
            reply.body_bytes(Method::Get).ok_or_else(|| expected("expected the length of its body"))?;
        let range = ByteRange { start: range.map_or(0, |(first, _)| first), len: left };
        link.conn.consume(reply.bytes());
        let (there, keep) = (there.clone(), reply.keep_alive);
        Ok(Self { shard, there, record, range, left, link, keep, _turn: turn })
    }

    /// What an answer brings, whose head is pending.
    pub(super) fn of(
        shard: &'s Shard,
        there: &There,
        mut link: Link,
        reply: &Reply,
        turn: Turn<'s>,
    ) -> Result<Self, Failure> {
        let expected = |what| failed(there, HttpError::Reply(what).into());
        let record = field(&link, reply, RECORD_HEADER).and_then(record_of);
        let record = record.ok_or_else(|| expected("expected the object's record"))?;
        let left =
            reply.body_bytes(Method::Get).ok_or_else(|| expected("expected the length of its body"))?;
        link.conn.consume(reply.bytes());
        let range = ByteRange { start: 0, len: record.size };
        Ok(Self {
            shard,
            there: there.clone(),
            record,
            range,
            left,
            link,
            keep: reply.keep_alive,
            _turn: turn,
        })
    }

    /// Its metadata, without where its bytes are there.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Which bytes come.
    pub(crate) fn range(&self) -> ByteRange {
        self.range
    }

    /// The next bytes, as many as there is room for or as are left; the buffer and its fill. None are left: 0.
    pub(crate) async fn fill(&mut self, mut buf: Buf) -> Result<(Buf, usize), Failure> {
        let within = Duration::from_secs(limits::STALL_SECONDS_MAX);
        let most = |room: usize, left: u64| room.min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut at = 0;
        while self.left > 0 && at < buf.len() {
            let room = most(buf.len() - at, self.left);
            let pending = self.link.conn.pending();
            let n = if pending.is_empty() {
                let received = self.link.conn.recv(buf, at, room, within).await;
                let n;
                (n, buf) = received.map_err(|e| failed(&self.there, e.into()))?;
                n
            } else {
                let n = room.min(pending.len());
                if let (Some(to), Some(from)) = (buf.get_mut(at..at + n), pending.get(..n)) {
                    to.copy_from_slice(from);
                }
                self.link.conn.consume(n);
                n
            };
            at += n;
            self.left -= n as u64;
        }
        Ok((buf, at))
    }

    /// Sizes of parts, which stand before the bytes.
    pub(super) async fn sizes(&mut self, count: usize) -> Result<Vec<u64>, Failure> {
        let buf = crate::conn::full(self.shard.handle.buffers().heap(count * U64_BYTES));
        let (bytes, n) = self.fill(buf).await?;
        let sizes = bytes.get(..n).unwrap_or_default().as_chunks::<8>().0;
        if sizes.len() != count {
            return Err(failed(&self.there, HttpError::Reply("expected the sizes of its parts").into()));
        }
        Ok(sizes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect())
    }

    /// Keeps the connection if everything was read.
    pub(crate) fn close(self) {
        if self.left == 0 && self.keep {
            self.shard.links.keep(self.link, self.shard.handle.now());
        }
    }
}

/// Has the owner of `to` copy an object of this node: it reads it back from here. `need` says when it need not.
pub(crate) async fn have_copied(
    shard: &Shard,
    grant: &Grant,
    there: &There,
    (bucket, name): (&Bucket, &ObjectName),
    (to, to_name): (&Bucket, &ObjectName),
    need: Option<String>,
) -> Result<(), Failure> {
    let _turn = shard.links.turn(&there.owner)?;
    let query = format!("{}&object_to={}", query_of(bucket), encoded(&to.uname(to_name.as_str())));
    let fields: Vec<_> = need.map(|need| (NEED_HEADER, need)).into_iter().collect();
    let asked = Asked { method: Method::Put, path: path_of(bucket, name), query, fields: &fields };
    let (mut link, reply) = ask(shard, grant, there, &asked).await?;
    let whole = reply.bytes()
        + reply.length.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX)).min(1 << 20);
    if reply.keep_alive && link.conn.pending().len() == whole {
        link.conn.consume(whole);
        shard.links.keep(link, shard.handle.now());
    }
    match reply.status {
        200 => Ok(()),
        404 => Err(StoreError::NotFound { bucket: bucket.clone(), name: name.clone() }.into()),
        other => Err(failed(there, LinkError::Answered(other))),
    }
}

/// An object's record for another node that copies it.
pub(crate) fn record_text(record: &Record) -> String {
    let own = Record {
        name: None,
        spans: Vec::new(),
        blocks: Blocks::Inline { block_bytes: record.blocks.block_bytes(), sums: Vec::new() },
        part_runs: Vec::new(),
        parts_beside: false,
        boot: None,
        ..record.clone()
    };
    hex::encode(own.encode())
}

pub(super) fn record_of(text: &str) -> Option<Record> {
    Record::decode(&hex::decode(text).ok()?).ok()
}

pub(super) async fn ask(
    shard: &Shard,
    grant: &Grant,
    there: &There,
    asked: &Asked<'_>,
) -> Result<(Link, Reply), Failure> {
    let failed = |error| failed(there, error);
    let to = address(there).map_err(failed)?;
    let head = head_of(shard, grant, there, asked, &to.to_string()).map_err(|e| failed(e.into()))?;
    let again = matches!(asked.method, Method::Get | Method::Head);
    let asked = shard.links.ask(&shard.handle, to, &head, Some(answer_within()), again);
    let (link, reply) = while_here(shard, there, asked).await.map_err(failed)?;
    let reply = reply.ok_or_else(|| failed(HttpError::Reply("expected an answer").into()))?;
    Ok((link, reply))
}

fn head_of(
    shard: &Shard,
    grant: &Grant,
    there: &There,
    asked: &Asked<'_>,
    host: &str,
) -> Result<Vec<u8>, HttpError> {
    let target = format!("{}?{}", asked.path, asked.query);
    let passed = Passed {
        to: there.owner.as_str(),
        method: asked.method.as_str(),
        target: &target,
        index: there.view.index,
        at_ms: now_ns() / 1_000_000,
    };
    let vouched = shard.shared.vouching.as_ref().map(|v| v.fields(grant, &passed));
    let vouched = vouched.ok_or(HttpError::Reply("this node has no join secret"))?;
    let mut out = Vec::with_capacity(1024);
    let mut head = RequestHead::new(&mut out, asked.method, &asked.path, &asked.query, host)?;
    for (name, value) in asked.fields {
        head.header(name, value)?;
    }
    for (name, value) in &vouched {
        head.header(name, value)?;
    }
    let framing = if asked.method == Method::Put { Framing::Length(0) } else { Framing::None };
    head.finish(framing, false);
    Ok(out)
}

pub(super) fn path_of(bucket: &Bucket, name: &ObjectName) -> String {
    format!("/v1/objects/{}/{}", bucket.name, encoded(name.as_str()))
}

pub(super) fn query_of(bucket: &Bucket) -> String {
    let namespace = format!("@{}#{}", bucket.namespace.uuid, bucket.namespace.name);
    format!("provider={}&namespace={}", bucket.provider.as_str(), encoded(&namespace))
}

/// Everything that could mean something in a path or a query, percent-encoded.
fn encoded(text: &str) -> PercentEncode<'_> {
    const MEANT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    utf8_percent_encode(text, MEANT)
}

pub(super) fn field<'l>(link: &'l Link, reply: &Reply, name: &str) -> Option<&'l str> {
    link.fields(reply).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The object's size, out of `Content-Range: bytes */size`.
fn size_of(link: &Link, reply: &Reply) -> u64 {
    let range = field(link, reply, "content-range").unwrap_or_default();
    range.rsplit('/').next().and_then(|size| size.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use weir_store::{ContentHeaders, Etag, Span};
    use weir_types::{BucketName, Checksum, ChecksumKind, CustomMeta, Provider};

    use super::*;

    #[test]
    fn a_record_arrives_without_where_its_bytes_were() {
        let mut custom = CustomMeta::default();
        custom.set("k", "v").unwrap();
        let sent = Record {
            size: 9,
            checksums: vec![Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap()],
            modified_ns: 5,
            custom,
            content: ContentHeaders { content_type: Some("text/x".into()), ..ContentHeaders::default() },
            etag: Some(Etag::Md5([3; 16])),
            spans: vec![Span { file: "%ck/1".into(), offset: 0, length: 9 }],
            ..Record::default()
        };
        let got = record_of(&record_text(&sent)).unwrap();
        assert_eq!(got, Record { spans: Vec::new(), ..sent });
        for bad in ["", "00", "zz", "0"] {
            assert_eq!(record_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_go_as_they_are() {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let name = ObjectName::new("/a b/../%2f?x=ü").unwrap();
        let (path, query) = (path_of(&bucket, &name), query_of(&bucket));
        let op = weir_ais::route(Method::Get, &path, &query).unwrap();
        let weir_ais::AisOp::Object { bucket: got, object, .. } = op else { panic!("{op:?}") };
        assert_eq!((got, object), (bucket, name));
    }
}
