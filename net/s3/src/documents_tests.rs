use super::*;

fn code<T>(result: Result<T>) -> Option<S3Code> {
    result.err().map(|e| e.code)
}

#[test]
fn create_bucket() {
    let check = |body: &str, expected: std::result::Result<Option<&str>, S3Code>| {
        let got = parse_create_bucket(body.as_bytes()).map_err(|e| e.code);
        assert_eq!(got, expected.map(|l| l.map(str::to_owned)), "{body}");
    };
    check("", Ok(None));
    check(" \n", Ok(None));
    check("<CreateBucketConfiguration/>", Ok(None));
    check(
        "<CreateBucketConfiguration xmlns=\"x\"><LocationConstraint>eu</LocationConstraint></CreateBucketConfiguration>",
        Ok(Some("eu")),
    );
    check("<Other/>", Err(S3Code::MalformedXML));
    check("nonsense", Err(S3Code::MalformedXML));
}

#[test]
fn versioning() {
    let check = |inside: &str, expected: std::result::Result<bool, S3Code>| {
        let body = format!("<VersioningConfiguration>{inside}</VersioningConfiguration>");
        assert_eq!(parse_versioning(body.as_bytes()).map_err(|e| e.code), expected, "{inside}");
    };
    check("<Status>Enabled</Status>", Ok(true));
    check("<Status>Suspended</Status>", Ok(false));
    check("<Status>On</Status>", Err(S3Code::MalformedXML));
    check("", Err(S3Code::MalformedXML));
    check("<Status>Enabled</Status><MfaDelete>Enabled</MfaDelete>", Err(S3Code::NotImplemented));
}

#[test]
fn tagging() {
    let tags = |n: usize| -> String {
        let set: String = (0..n).map(|i| format!("<Tag><Key>{i}</Key><Value>v</Value></Tag>")).collect();
        format!("<Tagging><TagSet>{set}</TagSet></Tagging>")
    };
    assert_eq!(parse_tagging(tags(10).as_bytes(), 10).unwrap().len(), 10);
    assert_eq!(parse_tagging(tags(0).as_bytes(), 10).unwrap().len(), 0);
    assert_eq!(code(parse_tagging(tags(11).as_bytes(), 10)), Some(S3Code::InvalidTag));
    assert_eq!(code(parse_tagging(b"<Tagging/>", 10)), Some(S3Code::MalformedXML));
    assert_eq!(
        code(parse_tagging(b"<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>", 10)),
        Some(S3Code::MalformedXML)
    );
}

#[test]
fn deletes() {
    let body = "<Delete><Quiet>true</Quiet><Object><Key> a &amp; b</Key><VersionId>null</VersionId></Object>\
        <Object><Key>c</Key><ETag>\"e\"</ETag><Size>3</Size><LastModifiedTime>Thu, 01 Jan 2015 00:00:00 GMT</LastModifiedTime></Object>\
        <Object><Key>d</Key><VersionId>7</VersionId></Object><Object><Key></Key></Object></Delete>";
    let got = parse_delete(body.as_bytes()).unwrap();
    assert!(got.quiet);
    let names: Vec<_> =
        got.objects.iter().map(|o| o.name.as_ref().map(ObjectName::as_str).map_err(|e| e.code)).collect();
    assert_eq!(names, [Ok(" a & b"), Ok("c"), Err(S3Code::NoSuchVersion), Err(S3Code::InvalidArgument)]);
    assert_eq!(got.objects[1].conditions.if_match_size, Some(3));
    assert_eq!(got.objects[1].conditions.if_match_mtime, Some(1_420_070_400));
    assert!(got.objects[0].conditions.is_empty());
    let many = |n: usize| format!("<Delete>{}</Delete>", "<Object><Key>k</Key></Object>".repeat(n));
    assert_eq!(parse_delete(many(1000).as_bytes()).unwrap().objects.len(), 1000);
    assert_eq!(code(parse_delete(many(1001).as_bytes())), Some(S3Code::MalformedXML));
    assert_eq!(code(parse_delete(many(0).as_bytes())), Some(S3Code::MalformedXML));
    assert_eq!(
        code(parse_delete(b"<Delete><Object><Size>1</Size></Object></Delete>")),
        Some(S3Code::MalformedXML)
    );
}

#[test]
fn completions() {
    let part = |n: &str| {
        format!(
            "<Part><PartNumber>{n}</PartNumber><ETag>&quot;e{n}&quot;</ETag><ChecksumCRC32>AAAAAA==</ChecksumCRC32></Part>"
        )
    };
    let check = |numbers: &[&str], expected: Option<S3Code>| {
        let inside: String = numbers.iter().map(|n| part(n)).collect();
        let body = format!("<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>");
        assert_eq!(code(parse_complete(body.as_bytes())), expected, "{numbers:?}");
    };
    check(&["1"], None);
    check(&["1", "3", "10000"], None);
    check(&[], Some(S3Code::MalformedXML));
    check(&["2", "1"], Some(S3Code::InvalidPartOrder));
    check(&["1", "1"], Some(S3Code::InvalidPartOrder));
    check(&["0"], Some(S3Code::InvalidArgument));
    check(&["10001"], Some(S3Code::InvalidArgument));
    check(&["x"], Some(S3Code::InvalidArgument));
    let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", part("7"));
    let got = parse_complete(body.as_bytes()).unwrap();
    assert_eq!((got[0].number, got[0].etag.as_str(), got[0].checksums.len()), (7, "e7", 1));
    assert_eq!(
        code(parse_complete(
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>"
        )),
        Some(S3Code::MalformedXML)
    );
    assert_eq!(code(parse_complete(b"")), Some(S3Code::MalformedXML));
}

#[test]
fn acls() {
    let owner = Owner::default();
    let check = |grants: &[(&str, &str)], expected: Option<S3Code>| {
        let grants: String = grants
            .iter()
            .map(|(g, p)| format!("<Grant><Grantee>{g}</Grantee><Permission>{p}</Permission></Grant>"))
            .collect();
        let body = format!(
            "<AccessControlPolicy><AccessControlList>{grants}</AccessControlList></AccessControlPolicy>"
        );
        assert_eq!(code(parse_acl(body.as_bytes(), &owner)), expected, "{body}");
    };
    let full = ("<ID>weir</ID>", "FULL_CONTROL");
    check(&[full], None);
    check(&[("<ID>weir</ID>", "READ")], Some(S3Code::NotImplemented));
    check(&[], Some(S3Code::NotImplemented));
    check(
        &[full, ("<URI>http://acs.amazonaws.com/groups/global/AllUsers</URI>", "READ")],
        Some(S3Code::NotImplemented),
    );
    check(&[full, ("<ID>other</ID>", "READ")], Some(S3Code::InvalidArgument));
    check(
        &[full, ("<EmailAddress>a@b</EmailAddress>", "READ")],
        Some(S3Code::UnresolvableGrantByEmailAddress),
    );
    // What is answered may be sent back.
    assert!(parse_acl(&crate::render::private_acl(&owner), &owner).is_ok());
    assert!(parse_acl(b"", &owner).is_ok());
    assert_eq!(code(parse_acl(b"<AccessControlPolicy/>", &owner)), Some(S3Code::MalformedACLError));
}
