use proptest::prelude::*;

use super::*;
use crate::address::S3Config;
use crate::op::S3Op;
use crate::request::PlainHead;

fn op(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<ObjectOp> {
    let head = headers.iter().fold(PlainHead::new(method, target), |h, (n, v)| h.header(n, v));
    match crate::route(&head, &S3Config::default())? {
        S3Op::Object { op, .. } => Ok(op),
        other => panic!("{other:?}"),
    }
}

/// The operation's name, or the code that refuses it.
fn routed(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    op(method, target, headers)
        .map_or_else(|e| format!("{} {}", e.status(), e.code), |op| op.name().to_owned())
}

#[test]
fn every_object_operation() {
    let table = [
        ("GET", "/b/o", "GetObject"),
        ("GET", "/b/o?versionId=null&x-id=GetObject", "GetObject"),
        ("GET", "/b/o?versionId=7", "404 NoSuchVersion"),
        ("GET", "/b/o?partNumber=0", "400 InvalidArgument"),
        ("GET", "/b/o?partNumber=10001", "400 InvalidArgument"),
        ("HEAD", "/b/o", "HeadObject"),
        ("GET", "/b/o?acl", "GetObjectAcl"),
        ("GET", "/b/o?tagging", "GetObjectTagging"),
        ("GET", "/b/o?attributes", "400 InvalidArgument"),
        ("GET", "/b/o?torrent", "GetObjectSubresource"),
        ("GET", "/b/o?retention", "GetObjectSubresource"),
        ("GET", "/b/o?uploadId=1", "ListParts"),
        ("GET", "/b/o?uploadId=1&max-parts=x", "400 InvalidArgument"),
        ("PUT", "/b/o", "PutObject"),
        ("PUT", "/b/o?acl", "PutObjectAcl"),
        ("PUT", "/b/o?tagging", "PutObjectTagging"),
        ("PUT", "/b/o?retention", "GetObjectSubresource"),
        ("PUT", "/b/o?legal-hold", "GetObjectSubresource"),
        ("PUT", "/b/o?renameObject", "501 NotImplemented"),
        ("PUT", "/b/o?uploadId=1&partNumber=1", "UploadPart"),
        ("PUT", "/b/o?uploadId=1&partNumber=10001", "400 InvalidArgument"),
        ("PUT", "/b/o?uploadId=1&partNumber=", "400 InvalidArgument"),
        ("PUT", "/b/o?uploadId=1", "400 InvalidRequest"),
        ("POST", "/b/o?uploads", "CreateMultipartUpload"),
        ("POST", "/b/o?uploadId=1", "CompleteMultipartUpload"),
        ("POST", "/b/o?select&select-type=2", "501 NotImplemented"),
        ("POST", "/b/o?restore", "501 NotImplemented"),
        ("POST", "/b/o", "405 MethodNotAllowed"),
        ("DELETE", "/b/o", "DeleteObject"),
        ("DELETE", "/b/o?tagging", "DeleteObjectTagging"),
        ("DELETE", "/b/o?uploadId=1", "AbortMultipartUpload"),
        ("PATCH", "/b/o", "405 MethodNotAllowed"),
    ];
    for (method, target, expected) in table {
        assert_eq!(routed(method, target, &[("content-length", "0")]), expected, "{method} {target}");
    }
}

#[test]
fn writes_are_refused_by_their_headers() {
    let check = |name: &str, value: &str, expected: &str| {
        assert_eq!(
            routed("PUT", "/b/o", &[("content-length", "0"), (name, value)]),
            expected,
            "{name}: {value}"
        );
    };
    check("x-amz-acl", "private", "PutObject");
    check("x-amz-acl", "mine", "400 InvalidArgument");
    check("x-amz-server-side-encryption", "AES256", "501 NotImplemented");
    check("x-amz-storage-class", "GLACIER", "400 InvalidStorageClass");
    check("content-md5", "x", "400 InvalidDigest");
    assert_eq!(routed("PUT", "/b/o", &[]), "411 MissingContentLength");
    assert_eq!(
        routed("GET", "/b/o", &[("x-amz-server-side-encryption-customer-algorithm", "AES256")]),
        "400 InvalidRequest"
    );
}

#[test]
fn ranges() {
    let range = |value: &str| match op("GET", "/b/o", &[("range", value)]) {
        Ok(ObjectOp::Get(get)) => get.range,
        other => panic!("{other:?}"),
    };
    assert_eq!(range("bytes=4-7"), Some(RangeSpec::From(4, Some(7))));
    assert_eq!(range("bytes=-7"), Some(RangeSpec::Last(7)));
    // What is not one range is no condition of the answer (RFC 9110, 14.2).
    assert_eq!(range("bytes=1-2,4-5"), None);
    assert_eq!(range("lines=1-2"), None);
    assert_eq!(routed("GET", "/b/o?partNumber=1", &[("range", "bytes=0-1")]), "400 InvalidRequest");
}

#[test]
fn copy_sources() {
    let check = |value: &str, expected: &str| {
        let got = match op("PUT", "/b/o", &[("x-amz-copy-source", value)]) {
            Ok(ObjectOp::Copy(c)) => format!("{}|{}", c.source.bucket, c.source.key),
            Ok(other) => panic!("{other:?}"),
            Err(e) => e.code.to_string(),
        };
        assert_eq!(got, expected, "{value}");
    };
    check("src/a", "src|a");
    check("/src/a/b%20c", "src|a/b c");
    check("src%2Fa", "src|a");
    check("src/a+b", "src|a+b");
    check("src/%25", "src|%");
    check("src/%3FversionId", "src|?versionId");
    check("src/a?versionId=null", "src|a");
    check("src/a?versionId=7", "NoSuchVersion");
    check("src", "InvalidArgument");
    check("src/", "InvalidArgument");
    check("/", "InvalidArgument");
    check("src/%ff", "InvalidArgument");
    check("s..c/a", "InvalidBucketName");
    check("arn:aws:s3:x/y", "NotImplemented");
    check("b/o", "InvalidRequest");
}

#[test]
fn copies() {
    let source = ("x-amz-copy-source", "b/o");
    let copy = |headers: &[(&str, &str)]| match op("PUT", "/b/o", &[&[source], headers].concat()) {
        Ok(ObjectOp::Copy(c)) => Ok(c),
        Ok(other) => panic!("{other:?}"),
        Err(e) => Err(e.code),
    };
    let replace = ("x-amz-metadata-directive", "REPLACE");
    let got = copy(&[replace, ("x-amz-meta-a", "1")]).unwrap();
    assert_eq!(got.replace.unwrap().user.get("a"), Some("1"));
    assert_eq!(got.replace_tags, None);
    assert!(copy(&[("x-amz-tagging-directive", "REPLACE"), ("x-amz-tagging", "a=b")]).is_ok());
    assert_eq!(copy(&[("x-amz-metadata-directive", "MOVE")]), Err(S3Code::InvalidArgument));
    assert_eq!(copy(&[replace, ("x-amz-checksum-algorithm", "MD4")]), Err(S3Code::InvalidRequest));
    assert_eq!(
        copy(&[replace, ("x-amz-checksum-algorithm", "SHA256")]).unwrap().checksum,
        Some(FlexibleKind::Sha256)
    );
    assert_eq!(copy(&[replace, ("x-amz-server-side-encryption", "aws:kms")]), Err(S3Code::NotImplemented));
}

#[test]
fn part_copies() {
    let check = |range: &str, expected: &str| {
        let headers = [("x-amz-copy-source", "s/a"), ("x-amz-copy-source-range", range)];
        let got = match op("PUT", "/b/o?uploadId=u&partNumber=2", &headers) {
            Ok(ObjectOp::UploadPartCopy(c)) => format!("{:?}", c.range),
            Ok(other) => panic!("{other:?}"),
            Err(e) => e.code.to_string(),
        };
        assert_eq!(got, expected, "{range}");
    };
    check("bytes=0-21", "Some((0, 21))");
    for bad in [
        "0-2",
        "bytes=0",
        "bytes=hello-world",
        "bytes=0-bar",
        "bytes=hello-",
        "bytes=0-2,3-5",
        "bytes=3-2",
        "bytes=-5",
    ] {
        check(bad, "InvalidArgument");
    }
}

#[test]
fn uploads() {
    let create = |headers: &[(&str, &str)]| match op("POST", "/b/o?uploads", headers) {
        Ok(ObjectOp::CreateUpload(c)) => Ok((c.checksum, c.checksum_type)),
        Ok(other) => panic!("{other:?}"),
        Err(e) => Err(e.code),
    };
    let (algorithm, t) = ("x-amz-checksum-algorithm", "x-amz-checksum-type");
    assert_eq!(create(&[]), Ok((None, None)));
    assert_eq!(
        create(&[(algorithm, "SHA256")]),
        Ok((Some(FlexibleKind::Sha256), Some(ChecksumType::Composite)))
    );
    assert_eq!(
        create(&[(algorithm, "CRC32"), (t, "FULL_OBJECT")]),
        Ok((Some(FlexibleKind::Crc32), Some(ChecksumType::FullObject)))
    );
    assert_eq!(create(&[(algorithm, "SHA1"), (t, "FULL_OBJECT")]), Err(S3Code::InvalidRequest));
    assert_eq!(create(&[(t, "COMPOSITE")]), Err(S3Code::InvalidRequest));
    assert_eq!(create(&[(algorithm, "SHA1"), (t, "HALF")]), Err(S3Code::InvalidRequest));
    let headers = [
        ("content-length", "5"),
        ("x-amz-checksum-sha256", "AAAA-1"),
        ("x-amz-mp-object-size", "9"),
        ("if-none-match", "*"),
    ];
    let Ok(ObjectOp::CompleteUpload(c)) = op("POST", "/b/o?uploadId=u%2F1", &headers) else { panic!() };
    assert_eq!((c.upload_id.as_str(), c.size), ("u/1", Some(9)));
    assert_eq!(c.expected.unwrap().wire, "AAAA-1");
    assert!(c.body.kinds().is_empty() && !c.conditions.is_empty());
}

proptest! {
    #[test]
    fn any_target_is_answered(method in "(GET|PUT|POST|HEAD|DELETE)", target in "/[a-z0-9%/?=&.\\-_+\u{e9}]{0,60}", name in "(range|x-amz-copy-source|if-match|x-amz-tagging|x-amz-trailer|content-md5)", value in "[ -~]{0,30}") {
        let head = PlainHead::new(&method, &target).header(&name, &value);
        if let Err(e) = crate::route(&head, &S3Config::default()) {
            prop_assert!((400..=501).contains(&e.status()), "{e:?}");
        }
    }
}
