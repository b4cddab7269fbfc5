use super::*;
use crate::request::PlainHead;

/// The operation's name, or the code that refuses it.
fn routed(method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let head = headers.iter().fold(PlainHead::new(method, target), |h, (n, v)| h.header(n, v));
    match route(&head, &S3Config::default()) {
        Ok(op) => op.name().to_owned(),
        Err(e) => format!("{} {}", e.status(), e.code),
    }
}

#[test]
fn every_bucket_operation() {
    let table = [
        ("GET", "/", "ListBuckets"),
        ("GET", "/s3/?x-id=ListBuckets", "ListBuckets"),
        ("PUT", "/", "405 MethodNotAllowed"),
        ("HEAD", "/", "405 MethodNotAllowed"),
        ("PUT", "/bucket", "CreateBucket"),
        ("PUT", "/s3/bucket/", "CreateBucket"),
        ("PUT", "/s3/v1", "400 InvalidBucketName"),
        ("PUT", "/s3/foo_bar", "400 InvalidBucketName"),
        ("DELETE", "/foo_bar", "DeleteBucket"),
        ("HEAD", "/bucket", "HeadBucket"),
        ("GET", "/bucket", "ListObjects"),
        ("GET", "/bucket?list-type=2&prefix=a", "ListObjects"),
        ("GET", "/bucket?list-type=3", "400 InvalidArgument"),
        ("GET", "/bucket?max-keys=blah", "400 InvalidArgument"),
        ("GET", "/bucket?max-keys=-1", "400 InvalidArgument"),
        ("GET", "/bucket?encoding-type=base64", "400 InvalidArgument"),
        ("GET", "/bucket?list-type=2&continuation-token=%21", "400 InvalidArgument"),
        ("GET", "/bucket?location", "GetBucketLocation"),
        ("GET", "/bucket?versioning", "GetBucketVersioning"),
        ("PUT", "/bucket?versioning", "PutBucketVersioning"),
        ("GET", "/bucket?versions", "ListObjectVersions"),
        ("GET", "/bucket?versions&version-id-marker=x", "400 InvalidArgument"),
        ("GET", "/bucket?uploads", "ListMultipartUploads"),
        ("POST", "/bucket?delete", "DeleteObjects"),
        ("POST", "/bucket", "501 NotImplemented"),
        ("GET", "/bucket?acl", "GetBucketAcl"),
        ("PUT", "/bucket?acl", "PutBucketAcl"),
        ("GET", "/bucket?tagging", "GetBucketTagging"),
        ("PUT", "/bucket?tagging", "PutBucketTagging"),
        ("DELETE", "/bucket?tagging", "DeleteBucketTagging"),
        ("DELETE", "/bucket?location", "405 MethodNotAllowed"),
        ("GET", "/bucket?policy", "GetBucketSubresource"),
        ("DELETE", "/bucket?policy", "DeleteBucketSubresource"),
        ("PUT", "/bucket?policy", "501 NotImplemented"),
        ("PUT", "/bucket?logging", "501 NotImplemented"),
        ("DELETE", "/bucket?logging", "501 NotImplemented"),
        ("GET", "/bucket?session", "501 NotImplemented"),
        ("PATCH", "/bucket", "405 MethodNotAllowed"),
        ("OPTIONS", "/bucket", "400 BadRequest"),
        ("GET", "/%ff", "400 InvalidURI"),
        ("GET", "/bucket?prefix=%ff", "400 InvalidURI"),
    ];
    for (method, target, expected) in table {
        assert_eq!(routed(method, target, &[]), expected, "{method} {target}");
    }
}

#[test]
fn headers_of_buckets() {
    let check = |name: &str, value: &str, expected: &str| {
        assert_eq!(routed("PUT", "/bucket", &[(name, value)]), expected, "{name}: {value}");
    };
    check("x-amz-acl", "public-read", "CreateBucket");
    check("x-amz-acl", "all", "400 InvalidArgument");
    check("x-amz-bucket-object-lock-enabled", "false", "CreateBucket");
    check("x-amz-bucket-object-lock-enabled", "True", "501 NotImplemented");
    check("x-amz-object-ownership", "BucketOwnerEnforced", "CreateBucket");
    check("x-amz-object-ownership", "Nobody", "400 InvalidArgument");
    check("x-amz-expected-bucket-owner", "weir", "CreateBucket");
    check("x-amz-expected-bucket-owner", "other", "403 AccessDenied");
    check("content-length", "99999999", "400 MaxMessageLengthExceeded");
    assert_eq!(routed("OPTIONS", "/bucket/o", &[("origin", "x")]), "403 AccessForbidden");
}

#[test]
fn what_no_bucket_has_is_told_by_its_own_code() {
    let absent =
        |name: &str| match route(&PlainHead::new("GET", &format!("/bucket?{name}")), &S3Config::default()) {
            Ok(S3Op::Bucket { op: BucketOp::Absent(absent), .. }) => absent,
            other => panic!("{name}: {other:?}"),
        };
    let codes = [
        ("policy", S3Code::NoSuchBucketPolicy),
        ("lifecycle", S3Code::NoSuchLifecycleConfiguration),
        ("cors", S3Code::NoSuchCORSConfiguration),
        ("website", S3Code::NoSuchWebsiteConfiguration),
        ("encryption", S3Code::ServerSideEncryptionConfigurationNotFoundError),
        ("replication", S3Code::ReplicationConfigurationNotFoundError),
        ("object-lock", S3Code::ObjectLockConfigurationNotFoundError),
        ("publicAccessBlock", S3Code::NoSuchPublicAccessBlockConfiguration),
        ("ownershipControls", S3Code::OwnershipControlsNotFoundError),
    ];
    for (name, code) in codes {
        assert_eq!(absent(name), Absent::Error(code));
        assert_eq!(code.status(), 404, "{name}");
    }
    for (name, _) in ABSENT {
        if let Absent::Document(text) = absent(name) {
            let root = text.split("\n<").nth(1).and_then(|t| t.split(' ').next()).unwrap();
            assert!(crate::xml::Node::parse(text.as_bytes(), root).is_ok(), "{text}");
        }
    }
}

#[test]
fn every_operation_names_what_it_needs() {
    let access = |method: &str, target: &str| {
        let head = PlainHead::new(method, target).header("content-length", "0");
        route(&head, &S3Config::default()).unwrap().access()
    };
    use weir_types::Access;
    let table = [
        ("GET", "/", Access::LIST_BUCKETS),
        ("PUT", "/bucket", Access::CREATE_BUCKET),
        ("DELETE", "/bucket", Access::DESTROY_BUCKET),
        ("GET", "/bucket", Access::LIST_OBJECTS),
        ("POST", "/bucket?delete", Access::DELETE_OBJECT),
        ("GET", "/bucket/o", Access::GET),
        ("HEAD", "/bucket/o", Access::HEAD_OBJECT),
        ("PUT", "/bucket/o", Access::PUT),
        ("POST", "/bucket/o?uploadId=1", Access::PUT),
        ("DELETE", "/bucket/o", Access::DELETE_OBJECT),
        ("PUT", "/bucket/o?tagging", Access::UPDATE_OBJECT),
    ];
    for (method, target, expected) in table {
        assert_eq!(access(method, target), expected, "{method} {target}");
    }
}
