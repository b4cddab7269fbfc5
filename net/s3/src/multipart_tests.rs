use weir_types::checksum;

use super::*;
use crate::flexible::Expected;

const MIB: u64 = 1 << 20;

fn part(number: u32, size: u64) -> PartView {
    PartView { number, size, mtime_ns: 0, etag: format!("e{number}"), checksum: None }
}

fn named(number: u32) -> NamedPart {
    NamedPart { number, etag: format!("e{number}"), checksums: Vec::new() }
}

#[test]
fn completions() {
    let stored = [part(1, 5 * MIB), part(2, 5 * MIB - 1), part(3, 1), part(9, 6 * MIB)];
    let check = |numbers: &[u32], expected: std::result::Result<&[u32], S3Code>| {
        let named: Vec<_> = numbers.iter().copied().map(named).collect();
        let got = check_parts(&named, &stored).map(|p| p.iter().map(|p| p.number).collect::<Vec<_>>());
        assert_eq!(got.map_err(|e| e.code), expected.map(<[u32]>::to_vec), "{numbers:?}");
    };
    check(&[1], Ok(&[1]));
    check(&[3], Ok(&[3]));
    check(&[1, 9], Ok(&[1, 9]));
    check(&[1, 2, 9], Err(S3Code::EntityTooSmall));
    check(&[2, 3], Err(S3Code::EntityTooSmall));
    check(&[4], Err(S3Code::InvalidPart));
    check(&[9999], Err(S3Code::InvalidPart));
    let wrong = NamedPart { etag: "ffff".into(), ..named(1) };
    assert_eq!(check_parts(&[wrong], &stored).unwrap_err().code, S3Code::InvalidPart);
}

#[test]
fn checksums_of_named_parts_are_compared() {
    let sum = StoredChecksum::full(&checksum::of(ChecksumKind::Crc32, b"a")).unwrap();
    let stored = [PartView { checksum: Some(sum.clone()), ..part(1, 1) }];
    let check = |kind, wire: &str| {
        let named = NamedPart { checksums: vec![Expected { kind, wire: wire.into() }], ..named(1) };
        check_parts(&[named], &stored).is_ok()
    };
    assert!(check(FlexibleKind::Crc32, &sum.wire()));
    assert!(!check(FlexibleKind::Crc32, "AAAAAA=="));
    assert!(!check(FlexibleKind::Crc32, "bad"));
    assert!(check(FlexibleKind::Sha1, "AAAA"));
}

#[test]
fn tags() {
    // md5 of the empty string, twice, hashed again.
    let empty = "d41d8cd98f00b204e9800998ecf8427e";
    assert_eq!(etag([empty].into_iter()), "59adb24ef3cdbe0297f05b395827453f-1");
    assert!(etag([empty, empty].into_iter()).ends_with("-2"));
    assert_ne!(etag(["fast1"].into_iter()), etag(["fast2"].into_iter()));
}

#[test]
fn whole_checksums() {
    let data = [b"hello ".as_slice(), b"wide ", b"world"];
    let parts = |kind: FlexibleKind| -> Vec<PartView> {
        let view = |(i, d): (usize, &&[u8])| {
            let sum = StoredChecksum::full(&checksum::of(kind.kind(), d));
            PartView { checksum: sum, size: d.len() as u64, ..part(i as u32 + 1, 0) }
        };
        data.iter().enumerate().map(view).collect()
    };
    for kind in [FlexibleKind::Crc32, FlexibleKind::Crc32c, FlexibleKind::Crc64Nvme] {
        let parts = parts(kind);
        let whole =
            super::checksum(kind, ChecksumType::FullObject, &parts.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(whole, StoredChecksum::full(&checksum::of(kind.kind(), &data.concat())).unwrap());
    }
    let sha = parts(FlexibleKind::Sha256);
    let refs: Vec<_> = sha.iter().collect();
    let composite = super::checksum(FlexibleKind::Sha256, ChecksumType::Composite, &refs).unwrap();
    let inner: Vec<u8> = data.iter().flat_map(|d| checksum::of(ChecksumKind::Sha256, d).value).collect();
    assert_eq!((composite.value, composite.parts), (checksum::of(ChecksumKind::Sha256, &inner).value, 3));
    assert_eq!(super::checksum(FlexibleKind::Crc32, ChecksumType::Composite, &refs), None);
    assert_eq!(super::checksum(FlexibleKind::Sha256, ChecksumType::FullObject, &refs), None);
}

#[test]
fn ranges() {
    let copy = |range, size| resolve_copy_range(range, size).map(|r| (r.start, r.len)).map_err(|e| e.code);
    assert_eq!(copy(None, 5), Ok((0, 5)));
    assert_eq!(copy(Some((0, 4)), 5), Ok((0, 5)));
    assert_eq!(copy(Some((2, 2)), 5), Ok((2, 1)));
    assert_eq!(copy(Some((0, 21)), 5), Err(S3Code::InvalidRange));
    assert_eq!(copy(Some((0, u64::MAX)), u64::MAX), Err(S3Code::InvalidRange));
    let part = |n, sizes: &[u64]| part_range(n, sizes, 9).map(|r| (r.start, r.len)).map_err(|e| e.code);
    assert_eq!(part(1, &[]), Ok((0, 9)));
    assert_eq!(part(2, &[]), Err(S3Code::InvalidPart));
    assert_eq!(part(1, &[4, 5]), Ok((0, 4)));
    assert_eq!(part(2, &[4, 5]), Ok((4, 5)));
    assert_eq!(part(3, &[4, 5]), Err(S3Code::InvalidPart));
    assert_eq!(part(0, &[4, 5]), Err(S3Code::InvalidPart));
}

#[test]
fn completed_objects_are_what_was_expected() {
    let sum = StoredChecksum { kind: FlexibleKind::Crc32, value: vec![0; 4], parts: 0 };
    let check = |size: Option<u64>, expected: Option<&str>, sum: Option<&StoredChecksum>| {
        let expected = expected.map(|wire| Expected { kind: FlexibleKind::Crc32, wire: wire.into() });
        let op = crate::op::CompleteUpload {
            upload_id: "u".into(),
            conditions: Default::default(),
            body: Default::default(),
            expected,
            size,
        };
        op.check(9, sum).err().map(|e| e.code)
    };
    assert_eq!(check(None, None, None), None);
    assert_eq!(check(Some(9), Some("AAAAAA=="), Some(&sum)), None);
    assert_eq!(check(Some(8), None, None), Some(S3Code::InvalidRequest));
    assert_eq!(check(None, Some("bad"), Some(&sum)), Some(S3Code::BadDigest));
    assert_eq!(check(None, Some("AAAAAA=="), None), Some(S3Code::InvalidRequest));
}

#[test]
fn answers_of_new_uploads() {
    assert!(upload_headers(None).is_empty());
    let headers = upload_headers(Some((FlexibleKind::Sha1, ChecksumType::Composite)));
    assert_eq!(headers.iter().map(|(_, v)| v.as_str()).collect::<Vec<_>>(), ["SHA1", "COMPOSITE"]);
}
