use super::*;
use crate::flexible::{ChecksumType, FlexibleKind};
use crate::request::PlainHead;

fn put(headers: &[(&str, &str)]) -> PlainHead {
    headers.iter().fold(PlainHead::new("PUT", "/b/o"), |h, (n, v)| h.header(n, v))
}

#[test]
fn content_encoding_loses_its_framing() {
    let check = |value: &str, expected: Option<&str>| {
        let attrs = ObjectAttrs::parse(&put(&[("Content-Encoding", value)])).unwrap();
        assert_eq!(attrs.content.value("content-encoding"), expected, "{value}");
    };
    check("gzip", Some("gzip"));
    check("deflate, gzip", Some("deflate, gzip"));
    check("gzip, aws-chunked", Some("gzip"));
    check("aws-chunked,gzip", Some("gzip"));
    check("AWS-Chunked", None);
    check("aws-chunked, aws-chunked", None);
    check("", None);
}

#[test]
fn user_metadata_is_kept_in_lower_case_and_bounded() {
    let attrs = ObjectAttrs::parse(&put(&[
        ("X-Amz-Meta-Meta1", " bar "),
        ("x-amz-meta-m2", ""),
        ("x-amz-meta-meta1", "b"),
    ]));
    let pairs: Vec<_> = attrs.as_ref().unwrap().user.iter().collect();
    assert_eq!(pairs, [("meta1", "bar,b"), ("m2", "")]);
    let code = |headers: &[(&str, &str)]| ObjectAttrs::parse(&put(headers)).err().map(|e| e.code);
    assert_eq!(code(&[("x-amz-meta-k", &"v".repeat(2047))]), None);
    assert_eq!(code(&[("x-amz-meta-k", &"v".repeat(2048))]), Some(S3Code::MetadataTooLarge));
    assert_eq!(code(&[("x-amz-meta-", "v")]), Some(S3Code::InvalidArgument));
    assert_eq!(code(&[("cache-control", &"v".repeat(5000))]), Some(S3Code::InvalidRequest));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let code = |name: &str, value: &str| ObjectAttrs::parse(&put(&[(name, value)])).err().map(|e| e.code);
    let table = [
        ("x-amz-storage-class", "STANDARD", None),
        ("x-amz-storage-class", "GLACIER", Some(S3Code::InvalidStorageClass)),
        ("x-amz-object-lock-mode", "GOVERNANCE", Some(S3Code::InvalidRequest)),
        ("x-amz-object-lock-legal-hold", "OFF", None),
        ("x-amz-website-redirect-location", "/x", Some(S3Code::NotImplemented)),
        ("x-amz-write-offset-bytes", "5", Some(S3Code::NotImplemented)),
        ("x-amz-tagging", "a=1&a=2", Some(S3Code::InvalidTag)),
    ];
    for (name, value, expected) in table {
        assert_eq!(code(name, value), expected, "{name}: {value}");
    }
}

#[test]
fn acls() {
    let acl = |name: &str, value: &str| Acl::parse(&put(&[(name, value)])).map_err(|e| e.code);
    assert_eq!(acl("x-amz-acl", "public-read"), Ok(Acl::PublicRead));
    assert_eq!(acl("x-other", "v"), Ok(Acl::Private));
    assert_eq!(acl("x-amz-acl", "everyone"), Err(S3Code::InvalidArgument));
    assert_eq!(acl("x-amz-grant-read", "id=x"), Err(S3Code::NotImplemented));
    for (acl, name) in Acl::ALL {
        assert_eq!((acl.as_str(), Acl::from_name(name)), (name, Some(acl)));
    }
}

#[test]
fn heads() {
    let mut content = ContentHeaders::default();
    content.set("cache-control", "no-store");
    content.set("expires", "0");
    let mut user = CustomMeta::default();
    user.set("k", "v").unwrap();
    user.set("not a token", "v").unwrap();
    user.set("x-amz-meta-p", "v").unwrap();
    let sums = [StoredChecksum { kind: FlexibleKind::Crc32, value: vec![0; 4], parts: 2 }];
    let view = ObjectView {
        etag: "e-2",
        mtime_ns: 0,
        content: &content,
        user: &user,
        tags: 2,
        checksums: &sums,
        checksum_type: None,
        parts: 2,
        version: None,
    };
    let query = Query::parse("response-content-type=foo/bar&response-expires=123").unwrap();
    let get = GetObject {
        overrides: Overrides::parse(&query).unwrap(),
        checksum_mode: true,
        part: Some(1),
        ..GetObject::default()
    };
    let text = |headers: Vec<Header>| {
        headers.iter().map(|(n, v)| format!("{n}: {v}")).collect::<Vec<_>>().join("\n")
    };
    let expected = "etag: \"e-2\"\nlast-modified: Thu, 01 Jan 1970 00:00:00 GMT\naccept-ranges: bytes\n\
        content-type: foo/bar\ncache-control: no-store\nexpires: 123\nx-amz-tagging-count: 2\nx-amz-mp-parts-count: 2\n\
        x-amz-checksum-crc32: AAAAAA==-2\nx-amz-checksum-type: COMPOSITE\nx-amz-meta-k: v\nx-amz-meta-p: v";
    assert_eq!(text(object_headers(&view, &get, true)), expected);
    let plain = text(object_headers(&view, &GetObject::default(), true));
    assert!(plain.contains("content-type: binary/octet-stream\n") && !plain.contains("checksum"), "{plain}");
    assert!(!text(object_headers(&view, &get, false)).contains("checksum"));
    let part = checksum_headers(&sums, Some(ChecksumType::FullObject));
    assert_eq!(part[1].1, "FULL_OBJECT");
    assert_eq!(text(put_headers("e", None)), "etag: \"e\"");
    let put = "etag: \"e\"\nx-amz-checksum-crc32: AAAAAA==-2\nx-amz-checksum-type: COMPOSITE";
    assert_eq!(text(put_headers("e", sums.first())), put);
    assert!(Overrides::parse(&Query::parse("response-expires=a%0d%0ab").unwrap()).is_err());
    assert_eq!(header_safe("a\nb"), "=?UTF-8?B?YQpi?=");
}
