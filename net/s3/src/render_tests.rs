use super::*;
use crate::error::S3Code;
use crate::flexible::FlexibleKind;
use crate::xml::Node;

/// Checks that a document is well-formed and what stands in its root.
fn check(body: Vec<u8>, root: &str, expected: &str) {
    Node::parse(&body, root).unwrap();
    let text = String::from_utf8(body).unwrap();
    let from = text.find(&format!("<{root}")).unwrap();
    let from = from + text[from..].find('>').unwrap() + 1;
    assert_eq!(&text[from..text.rfind("</").unwrap()], expected);
}

#[test]
fn errors() {
    let e = S3Error::no_such_key("a<b");
    let expected = "<Code>NoSuchKey</Code><Message>the object does not exist</Message><Key>a&lt;b</Key>\
        <Resource>/b/a&lt;b</Resource><RequestId>r1</RequestId><HostId>h1</HostId>";
    check(error(&e, "/b/a<b", "r1", "h1"), "Error", expected);
    assert!(error_has_body(&e, "GET") && !error_has_body(&e, "HEAD"));
    assert!(!error_has_body(&S3Code::NotModified.into(), "GET"));
}

#[test]
fn small_documents() {
    check(location("us-east-1"), "LocationConstraint", "");
    check(location("eu"), "LocationConstraint", "eu");
    check(versioning(None), "VersioningConfiguration", "");
    check(versioning(Some(true)), "VersioningConfiguration", "<Status>Enabled</Status>");
    check(versioning(Some(false)), "VersioningConfiguration", "<Status>Suspended</Status>");
    let tags = Tags::parse_header("b=2&a=1").unwrap();
    let expected =
        "<TagSet><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag></TagSet>";
    check(tagging(&tags), "Tagging", expected);
    check(tagging(&Tags::default()), "Tagging", "<TagSet></TagSet>");
    let expected = "<Bucket>b</Bucket><Key>k&amp;</Key><UploadId>u</UploadId>";
    check(initiate_multipart("b", "k&", "u"), "InitiateMultipartUploadResult", expected);
}

#[test]
fn results_of_writes() {
    let sum = StoredChecksum { kind: FlexibleKind::Crc32, value: vec![0; 4], parts: 2 };
    let expected = "<LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag>";
    check(copy_object_result("e", 0, None), "CopyObjectResult", expected);
    let expected = format!("{expected}<ChecksumCRC32>AAAAAA==-2</ChecksumCRC32>");
    check(copy_part_result("e", 0, Some(&sum)), "CopyPartResult", &expected);
    let expected = "<Location>http://h/b/k</Location><Bucket>b</Bucket><Key>k</Key><ETag>&quot;e-2&quot;</ETag>\
        <ChecksumCRC32>AAAAAA==-2</ChecksumCRC32><ChecksumType>COMPOSITE</ChecksumType>";
    let body = complete_multipart("http://h/b/k", "b", "k", "e-2", Some(&sum));
    check(body, "CompleteMultipartUploadResult", expected);
}

#[test]
fn results_of_removals() {
    let outcomes = || [("a", Ok(())), ("b", Err(S3Code::AccessDenied.into()))].into_iter();
    let failed = "<Error><Key>b</Key><Code>AccessDenied</Code><Message>access denied</Message></Error>";
    check(
        delete_result(outcomes(), false),
        "DeleteResult",
        &format!("<Deleted><Key>a</Key></Deleted>{failed}"),
    );
    check(delete_result(outcomes(), true), "DeleteResult", failed);
}

#[test]
fn acls() {
    let text = |acl_name| String::from_utf8(acl(&Owner::default(), acl_name)).unwrap();
    let private = text(Acl::Private);
    assert_eq!(private.matches("<Grant>").count(), 1);
    assert!(
        private.contains("xsi:type=\"CanonicalUser\"><ID>weir</ID>") && private.contains("FULL_CONTROL"),
        "{private}"
    );
    assert_eq!(text(Acl::PublicReadWrite).matches("<Grant>").count(), 3);
    assert_eq!(private_acl(&Owner::default()), private.into_bytes());
}

#[test]
fn every_code_has_an_error_status() {
    for code in S3Code::ALL {
        let informs = matches!(code, S3Code::NotModified | S3Code::TemporaryRedirect);
        assert!(informs || (400..=507).contains(&code.status()), "{code}");
        assert!(!code.message().is_empty());
        assert_eq!(S3Code::from_name(code.as_str()), Some(*code));
    }
}
