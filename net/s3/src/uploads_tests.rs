use super::*;

fn query(raw: &str) -> Query {
    Query::parse(raw).unwrap()
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

/// The texts of every element of this name.
fn all(body: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    body.split(&open).skip(1).map(|p| p.split(&close).next().unwrap().to_owned()).collect()
}

#[test]
fn buckets() {
    let entries = ["a1", "b1", "b2", "c1"].map(|name| BucketEntry { name, created_ns: 0 });
    let check = |raw: &str, names: &[&str], token: Option<&str>| {
        let body = text(ListBuckets::parse(&query(raw)).unwrap().render(&entries, &Owner::default()));
        assert_eq!(all(&body, "Name"), names, "{raw}");
        assert_eq!(all(&body, "ContinuationToken").first().map(String::as_str), token, "{raw}");
    };
    check("", &["a1", "b1", "b2", "c1"], None);
    check("prefix=b", &["b1", "b2"], None);
    check("max-buckets=1", &["a1"], Some("YTE"));
    check("max-buckets=4", &["a1", "b1", "b2", "c1"], None);
    check("max-buckets=2&continuation-token=YTE", &["b1", "b2"], Some("YjI"));
    check("max-buckets=2&continuation-token=YjI", &["c1"], None);
    for bad in ["max-buckets=0", "max-buckets=10001", "max-buckets=x", "continuation-token=%20"] {
        assert!(ListBuckets::parse(&query(bad)).is_err(), "{bad}");
    }
}

#[test]
fn uploads() {
    let entries = [("a", "1"), ("a", "2"), ("b/x", "3"), ("b/y", "4"), ("c", "5")];
    let entries = entries.map(|(key, upload_id)| UploadEntry { key, upload_id, initiated_ns: 0 });
    let check = |raw: &str, ids: &[&str], next: Option<(&str, &str)>| {
        let body =
            text(ListUploads::parse(&query(raw)).unwrap().render("bucket", &entries, &Owner::default()));
        assert_eq!(all(&body, "UploadId"), ids, "{raw}");
        let got = all(&body, "NextKeyMarker").into_iter().zip(all(&body, "NextUploadIdMarker")).next();
        assert_eq!(got, next.map(|(k, i)| (k.to_owned(), i.to_owned())), "{raw}");
        assert!(body.contains(&format!("<IsTruncated>{}</IsTruncated>", next.is_some())), "{raw}");
    };
    check("", &["1", "2", "3", "4", "5"], None);
    check("prefix=b", &["3", "4"], None);
    check("max-uploads=1", &["1"], Some(("a", "1")));
    check("max-uploads=1&key-marker=a&upload-id-marker=1", &["2"], Some(("a", "2")));
    check("key-marker=a", &["3", "4", "5"], None);
    check("upload-id-marker=1", &["1", "2", "3", "4", "5"], None);
    check("delimiter=/", &["1", "2", "5"], None);
    check("delimiter=/&max-uploads=3", &["1", "2"], Some(("b/", "")));
    check("delimiter=/&max-uploads=3&key-marker=b/", &["5"], None);
    check("max-uploads=0", &[], None);
    let body = text(ListUploads::parse(&query("delimiter=/")).unwrap().render(
        "bucket",
        &entries,
        &Owner::default(),
    ));
    assert!(body.contains("<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>"), "{body}");
}

#[test]
fn parts() {
    let sum = StoredChecksum { kind: FlexibleKind::Crc32, value: vec![0; 4], parts: 0 };
    let part = |number| PartView {
        number,
        size: 5,
        mtime_ns: 0,
        etag: format!("e{number}"),
        checksum: Some(sum.clone()),
    };
    let entries: Vec<_> = [1, 2, 7].map(part).into();
    let check = |raw: &str, numbers: &[&str], next: &str, truncated: bool| {
        let op = ListParts::parse(&query(raw), "u").unwrap();
        let checksum = Some((FlexibleKind::Crc32, ChecksumType::Composite));
        let body = text(op.render("bucket", "k", &entries, checksum, &Owner::default()));
        assert_eq!(all(&body, "PartNumber"), numbers, "{raw}");
        assert_eq!(all(&body, "NextPartNumberMarker"), [next], "{raw}");
        assert!(body.contains(&format!("<IsTruncated>{truncated}</IsTruncated>")), "{raw}");
        assert_eq!(all(&body, "ChecksumCRC32").len(), numbers.len());
        assert_eq!(all(&body, "ChecksumAlgorithm"), ["CRC32"]);
    };
    check("", &["1", "2", "7"], "7", false);
    check("max-parts=2", &["1", "2"], "2", true);
    check("max-parts=2&part-number-marker=2", &["7"], "7", false);
    check("part-number-marker=7", &[], "0", false);
    check("max-parts=0", &[], "0", false);
}
