//! Listings, facts and errors against a real S3 server.

mod support;

use support::server::Server;
use support::{bucket, object, origins, origins_with, pattern, read, run};
use weir_origin::{Credentials, ListQuery, OriginConfig, OriginError};
use weir_types::{Provider, RangeSpec};

#[test]
fn pages_cover_a_bucket_in_byte_order() {
    let server = Server::start();
    let mut names: Vec<String> = (0..25).map(|i| format!("d{}/o{i:02}", i % 3)).collect();
    names.extend(["Z", "a b", "é", "d1.x"].map(str::to_owned));
    names.iter().for_each(|n| server.put("bkt", n, n.as_bytes()));
    names.sort();
    let (_running, handle) = origins(&[&server.url()]);
    for limit in [1, 7, 30, 5000] {
        let by_name = walk(|last, _| ListQuery { start_after: last, limit, ..ListQuery::default() }, &handle);
        let by_token =
            walk(|_, token| ListQuery { continuation: token, limit, ..ListQuery::default() }, &handle);
        assert_eq!(by_name, names, "{limit}");
        assert_eq!(by_token, names, "{limit}");
    }
    let query = ListQuery { prefix: "d1/".into(), limit: 100, ..ListQuery::default() };
    let page = run(handle.list_page(&bucket("bkt"), query)).unwrap();
    assert_eq!((page.entries.len(), page.more, page.refused), (8, false, 0));
    assert_eq!((page.entries[0].size, page.entries[0].name.as_str()), (6, "d1/o01"));
    assert!(page.entries[0].last_modified.is_some());
}

fn walk(
    query: impl Fn(String, Option<String>) -> ListQuery,
    handle: &weir_origin::OriginsHandle,
) -> Vec<String> {
    let (mut names, mut last, mut token) = (Vec::new(), String::new(), None);
    loop {
        let page = run(handle.list_page(&bucket("bkt"), query(last.clone(), token.take()))).unwrap();
        names.extend(page.entries.iter().map(|e| e.name.as_str().to_owned()));
        last = names.last().cloned().unwrap_or_default();
        token = page.continuation;
        if !page.more {
            return names;
        }
        assert!(token.is_some());
    }
}

#[test]
fn a_delimiter_rolls_up_and_pages_advance() {
    let server = Server::start();
    for name in ["a/1", "a/2", "b", "c/1", "c/d/1"] {
        server.put("bkt", name, b"x");
    }
    let (_running, handle) = origins(&[&server.url()]);
    let check = |prefix: &str, after: &str, entries: &[&str], prefixes: &[&str]| {
        let query = ListQuery {
            prefix: prefix.into(),
            start_after: after.into(),
            delimiter: Some("/".into()),
            limit: 10,
            continuation: None,
        };
        let page = run(handle.list_page(&bucket("bkt"), query)).unwrap();
        assert_eq!(page.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), entries);
        assert_eq!(page.common_prefixes, prefixes);
    };
    check("", "", &["b"], &["a/", "c/"]);
    check("", "a/", &["b"], &["c/"]);
    check("c/", "", &["c/1"], &["c/d/"]);
    check("x", "", &[], &[]);
}

#[test]
fn heads_and_errors() {
    let server = Server::start();
    server.put("bkt", "dir/o", b"hello");
    let (_running, handle) = origins(&[&server.url()]);
    let facts = run(handle.head(&bucket("bkt"), &object("dir/o"))).unwrap();
    assert_eq!((facts.size, facts.etag.as_deref()), (5, Some("5d41402abc4b2a76b9719d911017c592")));
    assert!(facts.last_modified.is_some());

    let missing = run(handle.head(&bucket("bkt"), &object("none"))).unwrap_err();
    assert!(matches!(&missing, OriginError::NotFound { bucket, .. } if bucket == "s3://bkt"), "{missing}");
    let missing = run(handle.get(&bucket("bkt"), &object("none"), None, None)).unwrap_err();
    assert!(missing.is_absence(), "{missing}");
    let missing =
        run(handle.list_page(&bucket("nope"), ListQuery { limit: 1, ..ListQuery::default() })).unwrap_err();
    assert_eq!(missing, OriginError::BucketNotFound { bucket: "s3://nope".into() });

    assert_eq!(run(handle.head_bucket(&bucket("bkt"))).unwrap().endpoint, server.url());
    assert!(run(handle.head_bucket(&bucket("nope"))).unwrap_err().is_absence());
    // A name that S3 does not allow is one that it cannot have, though the answer to HEAD is a bare 400.
    let missing = run(handle.head_bucket(&bucket("Not_a_name_of_S3"))).unwrap_err();
    assert_eq!(missing, OriginError::BucketNotFound { bucket: "s3://Not_a_name_of_S3".into() });
    server.bucket("cat");
    let names: Vec<_> =
        run(handle.list_buckets(Provider::Aws)).unwrap().into_iter().map(|b| b.name.to_string()).collect();
    assert_eq!(names, ["bkt", "cat"]);
}

#[test]
fn whole_objects_and_ranges() {
    let server = Server::start();
    let bytes = pattern(1, 3 << 20);
    server.put("bkt", "o", &bytes);
    server.put("bkt", "empty", b"");
    let (_running, handle) = origins(&[&server.url()]);
    let size = bytes.len() as u64;
    let check = |range: Option<RangeSpec>| {
        let mut stream = run(handle.get(&bucket("bkt"), &object("o"), range, None)).unwrap();
        let (start, len) = range.map_or((0, size), |r| r.resolve(size).map(|r| (r.start, r.len)).unwrap());
        assert_eq!((stream.facts.size, stream.range.start, stream.range.len), (size, start, len));
        assert_eq!(stream.chunks.left(), len);
        let (got, end) = run(read(&mut stream.chunks));
        assert_eq!(end, Ok(()));
        assert!(got == bytes[start as usize..(start + len) as usize], "{range:?}");
        assert_eq!(stream.chunks.left(), 0);
    };
    check(None);
    check(Some(RangeSpec::From(0, Some(0))));
    check(Some(RangeSpec::From(1_000_000, Some(2_000_000))));
    check(Some(RangeSpec::From(size - 1, None)));
    check(Some(RangeSpec::From(5, Some(u64::MAX >> 1))));
    check(Some(RangeSpec::Last(1000)));

    let past =
        run(handle.get(&bucket("bkt"), &object("o"), Some(RangeSpec::From(size, None)), None)).unwrap_err();
    assert!(matches!(past, OriginError::Range { .. }), "{past}");
    let mut empty = run(handle.get(&bucket("bkt"), &object("empty"), None, None)).unwrap();
    assert_eq!(run(read(&mut empty.chunks)), (Vec::new(), Ok(())));
}

#[test]
fn one_version_or_none() {
    let server = Server::start();
    server.put("bkt", "o", b"hello");
    let (_running, handle) = origins(&[&server.url()]);
    let get = |etag: &str| run(handle.get(&bucket("bkt"), &object("o"), None, Some(etag.into())));
    let mut same = get("5d41402abc4b2a76b9719d911017c592").unwrap();
    assert_eq!(run(read(&mut same.chunks)), (b"hello".to_vec(), Ok(())));
    let other = get("00000000000000000000000000000000").unwrap_err();
    assert!(matches!(other, OriginError::Changed { .. }), "{other}");
}

#[test]
fn signed_requests_are_accepted_and_others_denied() {
    let server = Server::with(Some(("AKIDWEIR", "secret/with+chars")));
    server.put("bkt", "a b+c%/é", b"x");
    let check = |credentials: Credentials, accepted: bool| {
        let origin = OriginConfig { credentials, ..OriginConfig::s3(server.url()) };
        let (_running, handle) = origins_with(&[], |c| c.origins.push(origin));
        let got = run(handle.head(&bucket("bkt"), &object("a b+c%/é")));
        assert_eq!(got.is_ok(), accepted, "{got:?}");
        let listed = run(handle.list_page(
            &bucket("bkt"),
            ListQuery { prefix: "a b+".into(), limit: 9, ..ListQuery::default() },
        ));
        match listed {
            Ok(page) => assert_eq!(page.entries.len(), 1),
            Err(error) => assert!(matches!(error, OriginError::Denied { .. }) && !accepted, "{error}"),
        }
        let buckets = run(handle.list_buckets(Provider::Aws)).unwrap();
        assert_eq!(buckets.len(), usize::from(accepted));
    };
    check(Credentials::key("AKIDWEIR", "secret/with+chars"), true);
    check(Credentials::key("AKIDWEIR", "wrong"), false);
    check(Credentials::Anonymous, false);
}

#[test]
fn buckets_are_found_among_origins_and_only_there() {
    let (one, two) = (Server::start(), Server::start());
    one.put("first", "o", b"1");
    two.put("second", "o", b"22");
    let (_running, handle) = origins(&[&one.url(), &two.url()]);
    assert_eq!(run(handle.head(&bucket("first"), &object("o"))).unwrap().size, 1);
    assert_eq!(run(handle.head(&bucket("second"), &object("o"))).unwrap().size, 2);
    assert_eq!(run(handle.head_bucket(&bucket("second"))).unwrap().endpoint, two.url());
    assert!(run(handle.head_bucket(&bucket("third"))).unwrap_err().is_absence());
    assert_eq!(run(handle.list_buckets(Provider::Aws)).unwrap().len(), 2);

    let at = |name: &str, url: &str| run(handle.head_bucket(&bucket(name).at(url)));
    assert!(at("second", &one.url()).unwrap_err().is_absence());
    assert!(at("second", &two.url()).is_ok());
    let elsewhere = at("second", "http://127.0.0.1:1").unwrap_err();
    assert!(matches!(elsewhere, OriginError::NotConfigured { .. }), "{elsewhere}");

    // The bucket moves: the remembered endpoint is asked, says no, and is forgotten.
    std::fs::remove_dir_all(two.dir.path().join("second")).unwrap();
    one.put("second", "o", b"333");
    let gone = run(handle.list_page(&bucket("second"), ListQuery { limit: 1, ..ListQuery::default() }));
    assert!(gone.unwrap_err().is_absence());
    assert_eq!(run(handle.head(&bucket("second"), &object("o"))).unwrap().size, 3);
}

#[test]
fn a_bucket_may_bring_its_endpoint_where_that_is_allowed() {
    let (listed, other) = (Server::start(), Server::with(Some(("AKIDWEIR", "secret"))));
    other.put("bkt", "o", b"x");
    let check = |allowed: bool, region: &str, expected: &str| {
        let origin = OriginConfig {
            credentials: Credentials::key("AKIDWEIR", "secret"),
            ..OriginConfig::s3(listed.url())
        };
        let (_running, handle) = origins_with(&[], |c| {
            c.origins.push(origin);
            c.bucket_endpoints = allowed;
        });
        let got = run(handle.head(&bucket("bkt").at(&other.url()).in_region(region), &object("o")));
        let got = got.map(|facts| facts.size);
        assert!(format!("{got:?}").starts_with(expected), "{allowed} {region}: {got:?}");
    };
    check(true, "", "Ok(1)");
    check(true, "eu-west-1", "Ok(1)");
    check(true, "no region", "Err(Config");
    check(false, "", "Err(NotConfigured");
}

#[test]
fn stopped_origins_answer_so() {
    let server = Server::start();
    server.put("bkt", "o", b"x");
    let (running, handle) = origins(&[&server.url()]);
    drop(running);
    assert_eq!(run(handle.head(&bucket("bkt"), &object("o"))), Err(OriginError::Stopped));
    let (_running, handle) = origins(&[]);
    assert!(!handle.serves(Provider::Aws));
    let nowhere = run(handle.head(&bucket("bkt"), &object("o"))).unwrap_err();
    assert!(matches!(nowhere, OriginError::NotConfigured { .. }), "{nowhere}");
}
