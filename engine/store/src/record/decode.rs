//! Flatbuffer to record: every offset is checked against the buffer before it is followed, so damaged or hostile bytes
//! give an error. (The flatbuffers crate's own accessors need `unsafe` or generated code.)

use weir_types::limits::{CHECKSUM_BLOCK_BYTES_MAX, PARTS_MAX};
use weir_types::{Checksum, CustomMeta, ObjectName, Provider};

use super::encode::{CHECKSUM_CODES, FLAG_BESIDE, FLAG_PARTS_BESIDE, PROVIDER_CODES, slot};
use super::{
    Blocks, BootId, CommitId, ContentHeaders, ENVELOPE_BYTES, Etag, FORMAT_VERSION, RECORD_BYTES_MAX, Record,
    RecordError, RemoteIdentity, Span,
};
use crate::blocks::{BLOCK_BYTES_MIN, crc32c};

type Got<T> = Result<T, RecordError>;

pub(super) fn decode(bytes: &[u8]) -> Got<Record> {
    if bytes.len() > RECORD_BYTES_MAX {
        return Err(malformed("record size"));
    }
    let (envelope, body) = bytes.split_at_checked(ENVELOPE_BYTES).ok_or(RecordError::NotARecord)?;
    let &[b'W', b'R', v0, v1, c0, c1, c2, c3] = envelope else { return Err(RecordError::NotARecord) };
    let format = u16::from_le_bytes([v0, v1]);
    if format == 0 || format > FORMAT_VERSION {
        return Err(RecordError::Format { got: format });
    }
    let (expected, got) = (u32::from_le_bytes([c0, c1, c2, c3]), crc32c(body));
    if expected != got {
        return Err(RecordError::Checksum { expected, got });
    }
    decode_body(body)
}

/// The flatbuffer alone, its checksum not asked: what the fuzz tests call.
pub(super) fn decode_body(body: &[u8]) -> Got<Record> {
    let root = Bytes(body).u32(0).ok_or(malformed("root"))? as usize;
    let t = Table::new(body, root)?;
    let modified_ns = t.u64(slot::MODIFIED, "modified")?.unwrap_or(0);
    let flags = t.u32(slot::FLAGS, "flags")?.unwrap_or(0);
    let commit = CommitId {
        map_version: t.u64(slot::COMMIT_MAP, "commit map")?.unwrap_or(0),
        sequence: t.u64(slot::COMMIT_SEQUENCE, "commit sequence")?.unwrap_or(0),
    };
    Ok(Record {
        name: t.string(slot::NAME, "name")?.map(object_name).transpose()?,
        size: t.u64(slot::SIZE, "size")?.unwrap_or(0),
        checksums: checksums(t.bytes(slot::CHECKSUMS, "checksums")?.unwrap_or_default())?,
        version: t.u64(slot::VERSION, "version")?.unwrap_or(0),
        modified_ns,
        created_ns: t.u64(slot::CREATED, "created")?.unwrap_or(modified_ns),
        custom: custom(&t)?,
        content: content(&t)?,
        etag: etag(&t)?,
        remote: remote(&t)?,
        copies: t.u8(slot::COPIES, "copies")?.unwrap_or(1),
        commit,
        spans: spans(&t)?,
        blocks: blocks(&t, flags)?,
        part_runs: part_runs(&t)?,
        parts_beside: flags & FLAG_PARTS_BESIDE != 0,
        upload: t.string(slot::UPLOAD, "upload")?.map(str::to_owned),
        boot: boot(&t)?,
    })
}

fn object_name(text: &str) -> Got<ObjectName> {
    ObjectName::new(text).map_err(|_| malformed("name"))
}

fn checksums(mut bytes: &[u8]) -> Got<Vec<Checksum>> {
    let mut out = Vec::new();
    while let Some((code, rest)) = bytes.split_first() {
        let kind = CHECKSUM_CODES.iter().find(|(c, _)| c == code).map(|(_, k)| *k);
        let kind = kind.ok_or(malformed("checksums"))?;
        let (value, rest) = rest.split_at_checked(kind.value_bytes()).ok_or(malformed("checksums"))?;
        out.push(Checksum { kind, value: value.to_vec() });
        bytes = rest;
    }
    Ok(out)
}

fn custom(t: &Table<'_>) -> Got<CustomMeta> {
    let mut out = CustomMeta::default();
    let texts = t.strings(slot::CUSTOM, "custom")?;
    for pair in texts.chunks(2) {
        let &[key, value] = pair else { return Err(malformed("custom")) };
        out.set(key, value).map_err(|_| malformed("custom"))?;
    }
    Ok(out)
}

fn content(t: &Table<'_>) -> Got<ContentHeaders> {
    let text = |slot, field| Ok(t.string(slot, field)?.map(str::to_owned));
    Ok(ContentHeaders {
        content_type: text(slot::CONTENT_TYPE, "content type")?,
        encoding: text(slot::CONTENT_ENCODING, "content encoding")?,
        disposition: text(slot::DISPOSITION, "content disposition")?,
        language: text(slot::LANGUAGE, "content language")?,
        cache_control: text(slot::CACHE_CONTROL, "cache control")?,
        expires: text(slot::EXPIRES, "expires")?,
    })
}

fn etag(t: &Table<'_>) -> Got<Option<Etag>> {
    if let Some(text) = t.string(slot::ETAG_TEXT, "etag text")? {
        return Ok(Some(Etag::Text(text.to_owned())));
    }
    let Some(bytes) = t.bytes(slot::ETAG, "etag")? else { return Ok(None) };
    let bad = |_| malformed("etag");
    if let Some((md5, count)) = bytes.split_first_chunk::<16>() {
        return Ok(Some(match count {
            [] => Etag::Md5(*md5),
            count => Etag::Multipart(*md5, u32::from_le_bytes(count.try_into().map_err(bad)?)),
        }));
    }
    Ok(Some(Etag::Commit(u64::from_le_bytes(bytes.try_into().map_err(bad)?))))
}

fn remote(t: &Table<'_>) -> Got<Option<RemoteIdentity>> {
    let Some(code) = t.u8(slot::REMOTE_PROVIDER, "provider")? else { return Ok(None) };
    let provider: Provider =
        PROVIDER_CODES.iter().find(|(c, _)| *c == code).map(|(_, p)| *p).ok_or(malformed("provider"))?;
    Ok(Some(RemoteIdentity {
        provider,
        etag: t.string(slot::REMOTE_ETAG, "remote etag")?.map(str::to_owned),
        version: t.string(slot::REMOTE_VERSION, "remote version")?.map(str::to_owned),
        modified_ns: t.u64(slot::REMOTE_MODIFIED, "remote modified")?,
    }))
}

fn blocks(t: &Table<'_>, flags: u32) -> Got<Blocks> {
    let log2 = t.u8(slot::BLOCK_LOG2, "block size")?.unwrap_or(0);
    let block_bytes = 1u32.checked_shl(log2.into()).unwrap_or(0);
    if !(BLOCK_BYTES_MIN..=CHECKSUM_BLOCK_BYTES_MAX).contains(&block_bytes) {
        return Err(malformed("block size"));
    }
    if flags & FLAG_BESIDE != 0 {
        let file = CommitId {
            map_version: t.u64(slot::BESIDE_MAP, "beside map")?.unwrap_or(0),
            sequence: t.u64(slot::BESIDE_SEQUENCE, "beside sequence")?.unwrap_or(0),
        };
        return Ok(Blocks::Beside { block_bytes, file });
    }
    let raw = t.vector(slot::BLOCKS, 4, "blocks")?.unwrap_or_default();
    let (sums, _) = raw.as_chunks::<4>();
    Ok(Blocks::Inline { block_bytes, sums: sums.iter().map(|s| u32::from_le_bytes(*s)).collect() })
}

fn part_runs(t: &Table<'_>) -> Got<Vec<(u32, u64)>> {
    let raw = t.vector(slot::PART_RUNS, 8, "part runs")?.unwrap_or_default();
    let (numbers, _) = raw.as_chunks::<8>();
    let mut out = Vec::new();
    let mut all = 0u64;
    for pair in numbers.chunks(2) {
        let &[count, bytes] = pair else { return Err(malformed("part runs")) };
        let count = u64::from_le_bytes(count);
        all = all.saturating_add(count);
        if all > PARTS_MAX.into() {
            return Err(malformed("part runs"));
        }
        out.push((count as u32, u64::from_le_bytes(bytes)));
    }
    Ok(out)
}

fn spans(t: &Table<'_>) -> Got<Vec<Span>> {
    let mut out = Vec::new();
    for at in t.offsets(slot::SPANS, "spans")? {
        let span = Table::new(t.bytes.0, at)?;
        out.push(Span {
            file: span.string(slot::SPAN_FILE, "span file")?.unwrap_or_default().to_owned(),
            offset: span.u64(slot::SPAN_OFFSET, "span offset")?.unwrap_or(0),
            length: span.u64(slot::SPAN_LENGTH, "span length")?.unwrap_or(0),
        });
    }
    Ok(out)
}

fn boot(t: &Table<'_>) -> Got<Option<BootId>> {
    let Some(bytes) = t.bytes(slot::BOOT, "boot")? else { return Ok(None) };
    Ok(Some(BootId(bytes.try_into().map_err(|_| malformed("boot"))?)))
}

fn malformed(field: &'static str) -> RecordError {
    RecordError::Malformed { field }
}

/// Little-endian numbers at a place, if they lie within.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..)?.first_chunk::<N>().copied()
    }
    fn u16(self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }
    fn u32(self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_le_bytes)
    }
    fn u64(self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }
    /// Follows the relative offset at `at`.
    fn follow(self, at: usize) -> Option<usize> {
        at.checked_add(self.u32(at)? as usize)
    }
    /// The vector at `at`: a count and that many elements of `width` bytes.
    fn vector(self, at: usize, width: usize) -> Option<&'a [u8]> {
        let bytes = (self.u32(at)? as usize).checked_mul(width)?;
        let start = at.checked_add(4)?;
        self.0.get(start..start.checked_add(bytes)?)
    }
    fn string(self, at: usize) -> Option<&'a str> {
        std::str::from_utf8(self.vector(at, 1)?).ok()
    }
}

/// One table: where it starts, and its vtable.
struct Table<'a> {
    bytes: Bytes<'a>,
    at: usize,
    vtable: usize,
    vtable_bytes: usize,
    table_bytes: usize,
}

impl<'a> Table<'a> {
    fn new(body: &'a [u8], at: usize) -> Got<Self> {
        let bytes = Bytes(body);
        let bad = malformed("table");
        let back = i64::from(bytes.u32(at).ok_or(bad)? as i32);
        let vtable = usize::try_from(at as i64 - back).map_err(|_| bad)?;
        let vtable_bytes = usize::from(bytes.u16(vtable).ok_or(bad)?);
        let table_bytes = usize::from(bytes.u16(vtable.saturating_add(2)).ok_or(bad)?);
        Ok(Self { bytes, at, vtable, vtable_bytes, table_bytes })
    }

    /// Where the field's `width` bytes are; `None` if the field is absent.
    fn field(&self, slot: u16, width: usize, field: &'static str) -> Got<Option<usize>> {
        let entry = 4 + 2 * usize::from(slot);
        if entry + 2 > self.vtable_bytes {
            return Ok(None);
        }
        let offset = usize::from(self.bytes.u16(self.vtable + entry).ok_or(malformed(field))?);
        match offset {
            0 => Ok(None),
            offset if offset >= 4 && offset + width <= self.table_bytes => Ok(Some(self.at + offset)),
            _ => Err(malformed(field)),
        }
    }

    fn u8(&self, slot: u16, field: &'static str) -> Got<Option<u8>> {
        let Some(at) = self.field(slot, 1, field)? else { return Ok(None) };
        self.bytes.array::<1>(at).map(|[b]| Some(b)).ok_or(malformed(field))
    }
    fn u32(&self, slot: u16, field: &'static str) -> Got<Option<u32>> {
        let Some(at) = self.field(slot, 4, field)? else { return Ok(None) };
        self.bytes.u32(at).map(Some).ok_or(malformed(field))
    }
    fn u64(&self, slot: u16, field: &'static str) -> Got<Option<u64>> {
        let Some(at) = self.field(slot, 8, field)? else { return Ok(None) };
        self.bytes.u64(at).map(Some).ok_or(malformed(field))
    }
    fn vector(&self, slot: u16, width: usize, field: &'static str) -> Got<Option<&'a [u8]>> {
        let Some(at) = self.field(slot, 4, field)? else { return Ok(None) };
        let vector = self.bytes.follow(at).and_then(|at| self.bytes.vector(at, width));
        vector.map(Some).ok_or(malformed(field))
    }
    fn bytes(&self, slot: u16, field: &'static str) -> Got<Option<&'a [u8]>> {
        self.vector(slot, 1, field)
    }
    fn string(&self, slot: u16, field: &'static str) -> Got<Option<&'a str>> {
        let Some(bytes) = self.bytes(slot, field)? else { return Ok(None) };
        std::str::from_utf8(bytes).map(Some).map_err(|_| malformed(field))
    }
    /// Where the elements of a vector of offsets lie.
    fn offsets(&self, slot: u16, field: &'static str) -> Got<Vec<usize>> {
        let Some(at) = self.field(slot, 4, field)? else { return Ok(Vec::new()) };
        let start = self.bytes.follow(at).ok_or(malformed(field))?;
        let count = self.bytes.vector(start, 4).ok_or(malformed(field))?.len() / 4;
        (0..count).map(|i| self.bytes.follow(start + 4 + 4 * i).ok_or(malformed(field))).collect()
    }
    fn strings(&self, slot: u16, field: &'static str) -> Got<Vec<&'a str>> {
        self.offsets(slot, field)?
            .into_iter()
            .map(|at| self.bytes.string(at).ok_or(malformed(field)))
            .collect()
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
