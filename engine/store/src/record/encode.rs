//! Record to flatbuffer. The schema stands in docs/FORMAT.md; slots are numbered here and in `decode` from one list.

use flatbuffers::{FlatBufferBuilder, WIPOffset};

use super::{Blocks, ENVELOPE_BYTES, Etag, FORMAT_VERSION, Record};
use crate::blocks::crc32c;
use weir_types::ChecksumKind;

/// Slots of the table, common ones first: a vtable ends at its last used slot.
pub(super) mod slot {
    pub(in super::super) const SIZE: u16 = 0;
    pub(in super::super) const VERSION: u16 = 1;
    pub(in super::super) const MODIFIED: u16 = 2;
    pub(in super::super) const COMMIT_MAP: u16 = 3;
    pub(in super::super) const COMMIT_SEQUENCE: u16 = 4;
    pub(in super::super) const CHECKSUMS: u16 = 5;
    pub(in super::super) const BLOCK_LOG2: u16 = 6;
    pub(in super::super) const BLOCKS: u16 = 7;
    pub(in super::super) const ETAG: u16 = 8;
    pub(in super::super) const FLAGS: u16 = 9;
    pub(in super::super) const CONTENT_TYPE: u16 = 10;
    pub(in super::super) const CUSTOM: u16 = 11;
    pub(in super::super) const BOOT: u16 = 12;
    pub(in super::super) const CREATED: u16 = 13;
    pub(in super::super) const NAME: u16 = 14;
    pub(in super::super) const REMOTE_PROVIDER: u16 = 15;
    pub(in super::super) const REMOTE_ETAG: u16 = 16;
    pub(in super::super) const REMOTE_VERSION: u16 = 17;
    pub(in super::super) const REMOTE_MODIFIED: u16 = 18;
    pub(in super::super) const CONTENT_ENCODING: u16 = 19;
    pub(in super::super) const DISPOSITION: u16 = 20;
    pub(in super::super) const LANGUAGE: u16 = 21;
    pub(in super::super) const CACHE_CONTROL: u16 = 22;
    pub(in super::super) const EXPIRES: u16 = 23;
    pub(in super::super) const COPIES: u16 = 24;
    pub(in super::super) const BESIDE_MAP: u16 = 25;
    pub(in super::super) const BESIDE_SEQUENCE: u16 = 26;
    pub(in super::super) const PART_RUNS: u16 = 27;
    pub(in super::super) const SPANS: u16 = 28;
    pub(in super::super) const UPLOAD: u16 = 29;
    pub(in super::super) const ETAG_TEXT: u16 = 30;
    /// Of the span table.
    pub(in super::super) const SPAN_FILE: u16 = 0;
    pub(in super::super) const SPAN_OFFSET: u16 = 1;
    pub(in super::super) const SPAN_LENGTH: u16 = 2;
}

/// Where a slot's entry is in the vtable, as the builder counts: after the vtable's two sizes.
fn vt(slot: u16) -> u16 {
    4 + 2 * slot
}

/// Flag: block checksums are in the file beside the object.
pub(super) const FLAG_BESIDE: u32 = 1;
/// Flag: part sizes are in the file beside the object.
pub(super) const FLAG_PARTS_BESIDE: u32 = 2;

/// The numbers of checksum kinds on disk: never renumbered.
pub(super) const CHECKSUM_CODES: [(u8, ChecksumKind); 9] = [
    (1, ChecksumKind::XxHash),
    (2, ChecksumKind::XxHash2),
    (3, ChecksumKind::Md5),
    (4, ChecksumKind::Crc32c),
    (5, ChecksumKind::Sha256),
    (6, ChecksumKind::Sha512),
    (7, ChecksumKind::Crc32),
    (8, ChecksumKind::Crc64Nvme),
    (9, ChecksumKind::Sha1),
];

/// The numbers of providers on disk: never renumbered.
pub(super) const PROVIDER_CODES: [(u8, weir_types::Provider); 5] = [
    (1, weir_types::Provider::Ais),
    (2, weir_types::Provider::Aws),
    (3, weir_types::Provider::Gcp),
    (4, weir_types::Provider::Azure),
    (5, weir_types::Provider::Oci),
];

/// Offsets of everything that a flatbuffer wants written before its table.
#[derive(Default)]
struct Parts<'b> {
    strings: Vec<(u16, WIPOffset<&'b str>)>,
    bytes: Vec<(u16, WIPOffset<flatbuffers::UnionWIPOffset>)>,
}

pub(super) fn encode(r: &Record) -> Vec<u8> {
    let mut b = FlatBufferBuilder::with_capacity(512);
    let parts = write_parts(&mut b, r);
    let table = b.start_table();
    for (slot, at) in parts.strings {
        b.push_slot_always(vt(slot), at);
    }
    for (slot, at) in parts.bytes {
        b.push_slot_always(vt(slot), at);
    }
    write_scalars(&mut b, r);
    let root = b.end_table(table);
    b.finish_minimal(WIPOffset::<flatbuffers::UnionWIPOffset>::new(root.value()));
    let body = b.finished_data();
    let mut out = Vec::with_capacity(ENVELOPE_BYTES + body.len());
    out.extend_from_slice(b"WR");
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&crc32c(body).to_le_bytes());
    out.extend_from_slice(body);
    out
}

fn write_scalars(b: &mut FlatBufferBuilder<'_>, r: &Record) {
    b.push_slot(vt(slot::SIZE), r.size, 0);
    b.push_slot(vt(slot::VERSION), r.version, 0);
    b.push_slot(vt(slot::MODIFIED), r.modified_ns, 0);
    b.push_slot(vt(slot::COMMIT_MAP), r.commit.map_version, 0);
    b.push_slot(vt(slot::COMMIT_SEQUENCE), r.commit.sequence, 0);
    if r.created_ns != r.modified_ns {
        b.push_slot_always(vt(slot::CREATED), r.created_ns);
    }
    let mut flags = if r.parts_beside { FLAG_PARTS_BESIDE } else { 0 };
    if let Blocks::Beside { file, .. } = r.blocks {
        flags |= FLAG_BESIDE;
        b.push_slot(vt(slot::BESIDE_MAP), file.map_version, 0);
        b.push_slot(vt(slot::BESIDE_SEQUENCE), file.sequence, 0);
    }
    b.push_slot(vt(slot::FLAGS), flags, 0);
    b.push_slot(vt(slot::BLOCK_LOG2), r.blocks.block_bytes().trailing_zeros() as u8, 0);
    b.push_slot(vt(slot::COPIES), r.copies, 1);
    if let Some(remote) = &r.remote {
        let code = PROVIDER_CODES.iter().find(|(_, p)| *p == remote.provider).map_or(0, |(code, _)| *code);
        b.push_slot(vt(slot::REMOTE_PROVIDER), code, 0);
        if let Some(ns) = remote.modified_ns {
            b.push_slot_always(vt(slot::REMOTE_MODIFIED), ns);
        }
    }
}

fn write_parts<'b>(b: &mut FlatBufferBuilder<'b>, r: &Record) -> Parts<'b> {
    let mut parts = Parts::default();
    let remote = r.remote.as_ref();
    let etag_text = match &r.etag {
        Some(Etag::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    let c = &r.content;
    let strings = [
        (slot::NAME, r.name.as_ref().map(|n| n.as_str())),
        (slot::REMOTE_ETAG, remote.and_then(|i| i.etag.as_deref())),
        (slot::REMOTE_VERSION, remote.and_then(|i| i.version.as_deref())),
        (slot::CONTENT_TYPE, c.content_type.as_deref()),
        (slot::CONTENT_ENCODING, c.encoding.as_deref()),
        (slot::DISPOSITION, c.disposition.as_deref()),
        (slot::LANGUAGE, c.language.as_deref()),
        (slot::CACHE_CONTROL, c.cache_control.as_deref()),
        (slot::EXPIRES, c.expires.as_deref()),
        (slot::UPLOAD, r.upload.as_deref()),
        (slot::ETAG_TEXT, etag_text),
    ];
    for (slot, text) in strings {
        if let Some(text) = text {
            parts.strings.push((slot, b.create_string(text)));
        }
    }
    write_vectors(b, r, &mut parts);
    parts
}

fn write_vectors<'b>(b: &mut FlatBufferBuilder<'b>, r: &Record, parts: &mut Parts<'b>) {
    let mut push = |slot, at: u32| parts.bytes.push((slot, WIPOffset::new(at)));
    if !r.checksums.is_empty() {
        push(slot::CHECKSUMS, b.create_vector(&checksum_bytes(r)).value());
    }
    if let Some(etag) = etag_bytes(r.etag.as_ref()) {
        push(slot::ETAG, b.create_vector(&etag).value());
    }
    if let Blocks::Inline { sums, .. } = &r.blocks
        && !sums.is_empty()
    {
        push(slot::BLOCKS, b.create_vector(sums).value());
    }
    if let Some(boot) = r.boot {
        push(slot::BOOT, b.create_vector(&boot.0).value());
    }
    if !r.custom.is_empty() {
        let texts: Vec<_> = r.custom.iter().flat_map(|(k, v)| [k, v]).map(|t| b.create_string(t)).collect();
        push(slot::CUSTOM, b.create_vector(&texts).value());
    }
    if !r.part_runs.is_empty() {
        let runs: Vec<u64> =
            r.part_runs.iter().flat_map(|(count, bytes)| [u64::from(*count), *bytes]).collect();
        push(slot::PART_RUNS, b.create_vector(&runs).value());
    }
    if !r.spans.is_empty() {
        let tables: Vec<_> = r
            .spans
            .iter()
            .map(|span| {
                let file = b.create_string(&span.file);
                let table = b.start_table();
                b.push_slot_always(vt(slot::SPAN_FILE), file);
                b.push_slot(vt(slot::SPAN_OFFSET), span.offset, 0);
                b.push_slot(vt(slot::SPAN_LENGTH), span.length, 0);
                let end = b.end_table(table);
                WIPOffset::<flatbuffers::UnionWIPOffset>::new(end.value())
            })
            .collect();
        push(slot::SPANS, b.create_vector(&tables).value());
    }
}

/// Each checksum as its kind's number and its value.
fn checksum_bytes(r: &Record) -> Vec<u8> {
    let mut out = Vec::with_capacity(16);
    for sum in &r.checksums {
        if let Some((code, _)) = CHECKSUM_CODES.iter().find(|(_, kind)| *kind == sum.kind) {
            out.push(*code);
            out.extend_from_slice(&sum.value);
        }
    }
    out
}

/// The binary forms, told apart by their length: 8 a commit, 16 an MD5, 20 an MD5 and a count.
fn etag_bytes(etag: Option<&Etag>) -> Option<Vec<u8>> {
    match etag? {
        Etag::Md5(md5) => Some(md5.to_vec()),
        Etag::Multipart(md5, parts) => Some([md5.as_slice(), &parts.to_le_bytes()].concat()),
        Etag::Commit(sequence) => Some(sequence.to_le_bytes().to_vec()),
        Etag::Text(_) => None,
    }
}
