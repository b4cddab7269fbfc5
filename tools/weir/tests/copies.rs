//! Copies and renames where source and copy belong to different targets.

mod nodes;

use nodes::{Cluster, content};

/// A name that a node owns, other than these.
fn another(cluster: &Cluster, owner: usize, prefix: &str) -> String {
    (0..).map(|i| format!("{prefix}{i}")).find(|name| cluster.owner("bkt", name) == owner).unwrap()
}

#[test]
fn s3_copies_between_owners() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "bkt");
    let from = another(&cluster, 1, "from%20%2B");
    let body = content(1, (5 << 20) + 77);
    let fields =
        ["x-amz-meta-k: v", "Content-Type: text/x", "x-amz-tagging: a=b", "x-amz-checksum-algorithm: CRC32"];
    let put = cluster.of(0, &format!("PUT /s3/bkt/{from}"), &fields, &body);
    assert_eq!(put.status, 200, "{put:?}");
    for (through, owner) in [(0, 2), (1, 2), (2, 2), (2, 1)] {
        let to = another(&cluster, owner, &format!("to-{through}-{owner}-"));
        let source = format!("x-amz-copy-source: /bkt/{from}");
        let copied = cluster.of(through, &format!("PUT /s3/bkt/{to}"), &[&source], b"");
        assert_eq!(copied.status, 200, "{copied:?}");
        let got = cluster.of(0, &format!("GET /s3/bkt/{to}"), &[], b"");
        assert!(got.body == body, "{}", got.head);
        assert_eq!((got.field("x-amz-meta-k"), got.field("content-type")), (Some("v"), Some("text/x")));
        assert_eq!((got.field("etag"), got.field("x-amz-tagging-count")), (put.field("etag"), Some("1")));
        let matches = [&source[..], "x-amz-copy-source-if-match: \"other\""];
        assert_eq!(cluster.of(through, &format!("PUT /s3/bkt/{to}"), &matches, b"").status, 412);
        let absent =
            cluster.of(through, &format!("PUT /s3/bkt/{to}"), &["x-amz-copy-source: /bkt/absent"], b"");
        assert_eq!(absent.status, 404, "{absent:?}");
        // Parts, one of them a range.
        let begun = cluster.of(through, &format!("POST /s3/bkt/{to}?uploads"), &[], b"").text();
        let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let part = |number: usize, more: &[&str]| {
            let line = format!("PUT /s3/bkt/{to}?partNumber={number}&uploadId={id}");
            cluster.of(through, &line, &[&[&source[..]], more].concat(), b"")
        };
        let tag = |answer: &nodes::Answer| {
            assert_eq!(answer.status, 200, "{answer:?}");
            let text = answer.text();
            text.split("<ETag>").nth(1).unwrap().split('<').next().unwrap().replace("&quot;", "")
        };
        let tags = [tag(&part(1, &[])), tag(&part(2, &["x-amz-copy-source-range: bytes=1000-1999"]))];
        assert_eq!(part(3, &["x-amz-copy-source-range: bytes=9-99999999"]).status, 416);
        let parts: String = tags
            .iter()
            .enumerate()
            .map(|(i, tag)| format!("<Part><PartNumber>{}</PartNumber><ETag>{tag}</ETag></Part>", i + 1))
            .collect();
        let list = format!("<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>");
        let done = cluster.of(through, &format!("POST /s3/bkt/{to}?uploadId={id}"), &[], list.as_bytes());
        assert_eq!(done.status, 200, "{done:?}");
        let got = cluster.of(0, &format!("GET /s3/bkt/{to}"), &[], b"").body;
        assert!(got == [&body[..], &body[1000..2000]].concat());
    }
}

#[test]
fn ais_copies_and_renames_between_owners() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 2, true);
    cluster.create(0, "bkt");
    let (from, to, last) = (another(&cluster, 1, "a"), another(&cluster, 2, "b"), another(&cluster, 1, "c"));
    let body = content(2, 300_000);
    let follow = |line: &str, sent: &[u8]| {
        let redirect = cluster.of(0, line, &[], sent);
        let to = redirect.field("location").unwrap_or_else(|| panic!("{redirect:?}"));
        let (port, target) = to.strip_prefix("http://127.0.0.1:").unwrap().split_once('/').unwrap();
        let method = line.split(' ').next().unwrap();
        nodes::ask(port.parse().unwrap(), &format!("{method} /{target}"), &[], sent).unwrap()
    };
    let at = |name: &str| format!("/v1/objects/bkt/{name}?provider=ais");
    assert_eq!(follow(&format!("PUT {}", at(&from)), &body).status, 200);
    let copy = follow(&format!("PUT {}&object_to=ais%2F%40%23%2Fbkt%2F{to}", at(&from)), b"");
    assert_eq!(copy.status, 200, "{copy:?}");
    for name in [&from, &to] {
        assert!(follow(&format!("GET {}", at(name)), b"").body == body);
    }
    // There and back: the old name goes once the new one is there.
    let renamed = another(&cluster, 2, "d");
    for (old, new) in [(&from, &renamed), (&renamed, &last)] {
        let action = format!(r#"{{"action":"rename-obj","name":"{new}"}}"#);
        let done = follow(&format!("POST {}", at(old)), action.as_bytes());
        assert_eq!(done.status, 200, "{done:?}");
        assert!(follow(&format!("GET {}", at(new)), b"").body == body);
        assert_eq!(follow(&format!("GET {}", at(old)), b"").status, 404);
    }
    let absent = follow(&format!("PUT {}&object_to=ais%2F%40%23%2Fbkt%2F{to}", at(&from)), b"");
    assert_eq!(absent.status, 404, "{absent:?}");
    // Whose other owner is away is neither copied nor lost.
    let port = cluster.nodes[1].port;
    let action = format!(r#"{{"action":"rename-obj","name":"{renamed}"}}"#);
    let redirect = cluster.of(0, &format!("POST {}", at(&last)), &[], action.as_bytes());
    let line = redirect.field("location").unwrap().split_once(&format!(":{port}")).unwrap().1.to_owned();
    cluster.nodes[2].kill();
    let refused = nodes::ask(port, &format!("POST {line}"), &[], action.as_bytes()).unwrap();
    assert_eq!(refused.status, 503, "{refused:?}");
    let got = cluster.of(1, &format!("GET /s3/bkt/{last}"), &[], b"");
    assert!(got.body == body, "{}", got.head);
}
