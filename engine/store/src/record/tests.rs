use proptest::prelude::*;
use weir_types::{ChecksumKind, checksum};

use super::super::{RECORD_XATTR, runs_of};
use super::*;

fn full() -> Record {
    let mut custom = CustomMeta::default();
    custom.set("k1", "v1").unwrap();
    custom.set("ключ", "").unwrap();
    Record {
        name: Some(ObjectName::new("a//b").unwrap()),
        size: 5 << 40,
        checksums: vec![checksum::of(ChecksumKind::XxHash2, b"x"), checksum::of(ChecksumKind::Sha256, b"x")],
        version: 7,
        modified_ns: 1_700_000_000_000_000_001,
        created_ns: 1_600_000_000_000_000_002,
        custom,
        content: ContentHeaders {
            content_type: Some("text/plain".into()),
            encoding: Some("gzip".into()),
            disposition: Some("attachment".into()),
            language: Some("en".into()),
            cache_control: Some("no-cache".into()),
            expires: Some("Thu, 01 Dec 1994 16:00:00 GMT".into()),
        },
        etag: Some(Etag::Multipart([9; 16], 3)),
        remote: Some(RemoteIdentity {
            provider: Provider::Aws,
            etag: Some("e".into()),
            version: Some("v".into()),
            modified_ns: Some(0),
        }),
        copies: 2,
        commit: CommitId { map_version: 3, sequence: 1 << 40 },
        spans: vec![
            Span { file: String::new(), offset: 0, length: 10 },
            Span { file: "x".into(), offset: 1, length: 2 },
        ],
        blocks: Blocks::Beside { block_bytes: 256 << 10, file: CommitId { map_version: 1, sequence: 2 } },
        part_runs: vec![(1000, 8 << 20), (1, 5)],
        parts_beside: true,
        upload: Some("u".into()),
        boot: Some(BootId([5; 16])),
    }
}

#[test]
fn every_field_comes_back() {
    for record in [full(), Record::default()] {
        assert_eq!(Record::decode(&record.encode()), Ok(record));
    }
    assert_eq!(RECORD_XATTR, "user.weir");
}

#[test]
fn the_common_record_is_small() {
    let record = Record {
        size: 4096,
        checksums: vec![checksum::of(ChecksumKind::XxHash2, b"x")],
        version: 1,
        modified_ns: 1,
        created_ns: 1,
        etag: Some(Etag::Md5([1; 16])),
        commit: CommitId { map_version: 1, sequence: 1 },
        blocks: Blocks::Inline { block_bytes: 4096, sums: vec![1] },
        content: ContentHeaders {
            content_type: Some("application/octet-stream".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    let bytes = record.encode().len();
    assert!(bytes < 200, "{bytes}");
}

#[test]
fn damage_is_an_error() {
    let good = full().encode();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(Record::decode(&bad).is_err(), "byte {at}");
        assert!(Record::decode(&good[..at]).is_err(), "cut at {at}");
    }
    let mut later = good;
    later[2] = 2;
    assert_eq!(Record::decode(&later), Err(RecordError::Format { got: 2 }));
}

#[test]
fn part_sizes_are_runs() {
    assert_eq!(runs_of(&[8, 8, 8, 3]), [(3, 8), (1, 3)]);
    assert_eq!(runs_of(&[]), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_record_round_trips(
        size: u64, version: u64, modified: u64, created: u64, map: u64, sequence: u64, copies: u8, log2 in 12u32..=18,
        sums in proptest::collection::vec(any::<u32>(), 0..64),
        custom in proptest::collection::btree_map("[a-z]{1,8}", "[ -~]{0,20}", 0..8),
        name in proptest::option::of("[^\0]{1,100}"), content_type in proptest::option::of(".{0,20}"),
        etag in proptest::option::of("[ -~]{0,40}"), boot in proptest::option::of(any::<[u8; 16]>()),
        runs in proptest::collection::vec((0u32..100, any::<u64>()), 0..10),
    ) {
        let mut meta = CustomMeta::default();
        for (k, v) in &custom {
            meta.set(k, v).unwrap();
        }
        let record = Record {
            name: name.map(|n| ObjectName::new(n).unwrap()),
            size, version, modified_ns: modified, created_ns: created, copies,
            custom: meta,
            content: ContentHeaders { content_type, ..Default::default() },
            etag: etag.map(Etag::Text),
            commit: CommitId { map_version: map, sequence },
            blocks: Blocks::Inline { block_bytes: 1 << log2, sums },
            part_runs: runs,
            boot: boot.map(BootId),
            ..Default::default()
        };
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    /// The checksum hides the decoder from damage, so damage is shown to the decoder without it.
    #[test]
    fn mutated_bodies_never_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..16), cut: prop::sample::Index) {
        let mut body = full().encode().split_off(ENVELOPE_BYTES);
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let _ = decode_body(&body);
        body.truncate(cut.index(body.len() + 1));
        let _ = decode_body(&body);
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Record::decode(&bytes);
        let _ = decode_body(&bytes);
    }
}
