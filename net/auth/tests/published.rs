//! The examples that AWS publishes for S3 (Signature Version 4 in the API reference), and what happens to them when
//! anything is changed.

mod signer;

use signer::{DAY, Refusal, admit, gate};
use weir_auth::{BodyRule, Denied, Principal};

fn signed(line: &str, headers: &str, signed: &str, signature: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\n{headers}Authorization: AWS4-HMAC-SHA256 \
         Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders={signed},\
         Signature={signature}\r\n\r\n"
    )
}

const EMPTY_HEADERS: &str = "Host: examplebucket.s3.amazonaws.com\r\nx-amz-date: 20130524T000000Z\r\n\
    x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n";

fn get_object() -> String {
    signed(
        "GET /test.txt",
        &format!("{EMPTY_HEADERS}Range: bytes=0-9\r\n"),
        "host;range;x-amz-content-sha256;x-amz-date",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    )
}

fn put_object() -> String {
    signed(
        "PUT /test$file.text",
        "Host: examplebucket.s3.amazonaws.com\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\n\
         x-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\
         x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072\r\n",
        "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    )
}

fn get_lifecycle() -> String {
    signed(
        "GET /?lifecycle",
        EMPTY_HEADERS,
        "host;x-amz-content-sha256;x-amz-date",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    )
}

fn list_objects() -> String {
    signed(
        "GET /?max-keys=2&prefix=J",
        EMPTY_HEADERS,
        "host;x-amz-content-sha256;x-amz-date",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    )
}

fn presigned() -> String {
    "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3\
     %2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
     aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1\r\n\
     Host: examplebucket.s3.amazonaws.com\r\n\r\n"
        .to_owned()
}

fn chunked() -> String {
    signed(
        "PUT /examplebucket/chunkObject.txt",
        "Host: s3.amazonaws.com\r\nx-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\
         x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\r\nContent-Encoding: aws-chunked\r\n\
         x-amz-decoded-content-length: 66560\r\nContent-Length: 66824\r\n",
        "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class",
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )
}

fn chunked_with_trailer() -> String {
    signed(
        "PUT /examplebucket/chunkObject.txt",
        "Host: s3.amazonaws.com\r\nx-amz-date: 20130524T000000Z\r\nx-amz-storage-class: REDUCED_REDUNDANCY\r\n\
         x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\r\nContent-Encoding: aws-chunked\r\n\
         x-amz-decoded-content-length: 66560\r\nx-amz-trailer: x-amz-checksum-crc32c\r\n",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;\
         x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )
}

fn all() -> Vec<(&'static str, String)> {
    vec![
        ("get object", get_object()),
        ("put object", put_object()),
        ("get lifecycle", get_lifecycle()),
        ("list objects", list_objects()),
        ("presigned", presigned()),
        ("chunked", chunked()),
        ("chunked with trailer", chunked_with_trailer()),
    ]
}

#[test]
fn published_examples_are_admitted() {
    for (name, request) in all() {
        let grant = admit(&gate(), &request, DAY).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        assert_eq!(*grant.principal(), Principal::AccessKey("AKIAIOSFODNN7EXAMPLE".into()), "{name}");
    }
    let rule = |request: String| format!("{:?}", admit(&gate(), &request, DAY).unwrap().body_rule());
    assert!(rule(get_object()).starts_with("Sha256(e3b0c442"));
    assert!(rule(put_object()).starts_with("Sha256(44ce7dd6"));
    assert_eq!(rule(presigned()), "Plain");
    assert_eq!(rule(chunked()), "SignedChunks { trailer: false }");
    assert_eq!(rule(chunked_with_trailer()), "SignedChunks { trailer: true }");
}

/// Clients escape and order things differently, and white space is trimmed on the way: the meaning is what is signed.
#[test]
fn other_spellings_of_the_same_request_are_admitted() {
    let headers = || signer::Plan::new("PUT", "/b/o").header("x-amz-meta-a", "one,two").in_header();
    for (request, from, to) in [
        (list_objects(), "?max-keys=2&prefix=J", "?prefix=J&max-keys=2"),
        (list_objects(), "prefix=J", "prefix=%4A"),
        (list_objects(), "max-keys=2", "max%2Dkeys=2"),
        (get_lifecycle(), "?lifecycle", "?lifecycle="),
        (get_lifecycle(), "?lifecycle", "?&lifecycle&"),
        (put_object(), "/test$file", "/test%24file"),
        (get_object(), "/test.txt", "/%74est.txt"),
        (get_object(), "Range: bytes=0-9", "RANGE:  bytes=0-9 \t"),
        (get_object(), ",SignedHeaders", ", SignedHeaders"),
        (presigned(), "%2F20130524%2F", "/20130524/"),
        (headers(), "x-amz-meta-a: one,two", "x-amz-meta-a: one\r\nX-Amz-Meta-A: two"),
    ] {
        assert!(request.contains(from), "{from}");
        assert!(admit(&gate(), &request.replacen(from, to, 1), DAY).is_ok(), "{from} as {to}");
    }
    for (request, from, to) in [
        (headers(), "x-amz-meta-a: one,two", "x-amz-meta-a: two\r\nX-Amz-Meta-A: one"),
        (list_objects(), "prefix=J", "prefix=J&prefix=J"),
        (list_objects(), "prefix=J", "prefix=j"),
        (list_objects(), "prefix=J", "prefix=%254A"),
        (get_object(), "/test.txt", "//test.txt"),
        (get_object(), "/test.txt", "/x/../test.txt"),
        (get_object(), "/test.txt", "/./test.txt"),
        (get_object(), "/test.txt", "/test.txt/"),
        (get_object(), "/test.txt", "/%2574est.txt"),
        (get_object(), "Range: bytes=0-9", "Range: bytes=0-9\r\nRange: bytes=5-"),
    ] {
        assert!(admit(&gate(), &request.replacen(from, to, 1), DAY).is_err(), "{from} as {to}");
    }
}

/// `Date` stands in for `x-amz-date` where that is absent, and only there.
#[test]
fn a_request_may_be_dated_by_date() {
    for (date, expected) in [
        ("Fri, 24 May 2013 00:00:00 GMT", Ok(())),
        ("20130524T000000Z", Ok(())),
        ("Fri, 24 May 2013 00:00:01 GMT", Err(Denied::Signature)),
        ("Fri, 24 May 2013 00:20:00 GMT", Err(Denied::Skewed)),
        ("yesterday", Err(Denied::Malformed("x-amz-date or Date is no time, or came twice"))),
    ] {
        let request = signer::Plan::new("GET", "/b/o").header("date", date).dated().in_header();
        assert!(!request.contains("x-amz-date"));
        let got = admit(&gate(), &request, DAY).map(|_| ());
        assert_eq!(got, expected.map_err(Refusal::Denied), "{date}");
    }
}

fn chunk_signer(request: &str) -> weir_auth::ChunkSigner {
    let grant = admit(&gate(), request, DAY).unwrap();
    match grant.body_rule() {
        BodyRule::SignedChunks { signer, .. } => (**signer).clone(),
        other => panic!("{other:?}"),
    }
}

const CHUNKS: [(usize, &str); 3] = [
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
];

#[test]
fn published_chunks_are_accepted_in_any_pieces() {
    for piece in [65536, 4096, 1000, 7] {
        let mut signer = chunk_signer(&chunked());
        for (len, signature) in CHUNKS {
            vec![b'a'; len].chunks(piece).for_each(|data| signer.update(data));
            assert_eq!(signer.finish_chunk(signature), Ok(()));
        }
    }
}

#[test]
fn published_trailers_are_accepted() {
    let mut signer = chunk_signer(&chunked_with_trailer());
    for (len, signature) in [
        (65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2"),
        (1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"),
        (0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"),
    ] {
        signer.update(&vec![b'a'; len]);
        assert_eq!(signer.finish_chunk(signature), Ok(()));
    }
    let good = "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435";
    for (fields, signature, expected) in [
        (vec![("x-amz-checksum-crc32c", "sOO8/Q==")], good, Ok(())),
        (vec![("X-Amz-Checksum-Crc32c", " sOO8/Q==\t")], good, Ok(())),
        (vec![("x-amz-checksum-crc32c", "sOO8/g==")], good, Err(Denied::ChunkSignature)),
        (vec![("x-amz-checksum-crc32", "sOO8/Q==")], good, Err(Denied::ChunkSignature)),
        (vec![], good, Err(Denied::ChunkSignature)),
        (vec![("x-amz-checksum-crc32c", "sOO8/Q=="), ("a", "b")], good, Err(Denied::ChunkSignature)),
        (vec![("x-amz-checksum-crc32c", "sOO8/Q==")], &good[1..], Err(Denied::ChunkSignature)),
        (vec![("x-amz-checksum-crc32c", "sOO8/Q==")], "", Err(Denied::ChunkSignature)),
    ] {
        assert_eq!(
            signer.clone().finish_trailer(fields.clone(), signature),
            expected,
            "{fields:?} {signature}"
        );
    }
}

/// Runs the published chunks with one thing changed; true if every link was accepted.
fn chain(change: impl Fn(usize, &mut Vec<u8>, &mut String), order: &[usize]) -> bool {
    let mut signer = chunk_signer(&chunked());
    let mut good = true;
    for &i in order {
        let (mut data, mut signature) = (vec![b'a'; CHUNKS[i].0], CHUNKS[i].1.to_owned());
        change(i, &mut data, &mut signature);
        signer.update(&data);
        good &= signer.finish_chunk(&signature).is_ok();
    }
    good
}

#[test]
fn a_changed_chunk_breaks_the_chain() {
    assert!(chain(|_, _, _| {}, &[0, 1, 2]));
    for order in
        [&[1, 0, 2][..], &[0, 2], &[2], &[1, 2], &[0, 0, 1, 2], &[0, 1, 1, 2], &[0, 1, 2, 2], &[2, 1, 0]]
    {
        assert!(!chain(|_, _, _| {}, order), "{order:?}");
    }
    for at in 0..3 {
        let here = |i: usize| i == at;
        assert!(!chain(
            |i, data, _| if here(i) {
                data.push(b'a')
            },
            &[0, 1, 2]
        ));
        assert!(!chain(
            |i, _, s| if here(i) {
                s.make_ascii_uppercase()
            },
            &[0, 1, 2]
        ));
        assert!(!chain(
            |i, _, s| if here(i) {
                s.clear()
            },
            &[0, 1, 2]
        ));
        assert!(!chain(
            |i, _, s| if here(i) {
                s.push('0')
            },
            &[0, 1, 2]
        ));
        assert!(!chain(
            |i, _, s| if here(i) {
                *s = CHUNKS[(i + 1) % 3].1.to_owned()
            },
            &[0, 1, 2]
        ));
        assert!(!chain(
            |i, _, s| if here(i) {
                *s = "0".repeat(64)
            },
            &[0, 1, 2]
        ));
    }
    for at in [0, 1, 65535] {
        assert!(
            !chain(
                |i, data, _| if i == 0 {
                    data[at] ^= 1
                },
                &[0, 1, 2]
            ),
            "bit of byte {at}"
        );
    }
}

#[test]
fn nothing_follows_a_broken_link() {
    let mut signer = chunk_signer(&chunked());
    signer.update(b"b");
    assert_eq!(signer.finish_chunk(CHUNKS[0].1), Err(Denied::ChunkSignature));
    signer.update(&[b'a'; 65536]);
    assert_eq!(signer.finish_chunk(CHUNKS[0].1), Err(Denied::ChunkSignature));
}

/// Every byte of a signed request counts: each one changed to its neighbour refuses the request. The two exceptions
/// are the minor version, which nobody signs, and what is not part of the message's meaning.
#[test]
fn every_changed_byte_is_refused() {
    for (name, request) in all() {
        let version = request.find(" HTTP/1.1").unwrap() + 8;
        let mut count = 0;
        for at in (0..request.len() - 2).filter(|at| *at != version) {
            let mut bytes = request.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else { continue };
            assert!(admit(&gate(), &changed, DAY).is_err(), "{name}: byte {at} changed in\n{changed}");
            count += 1;
        }
        assert!(count > 200, "{name}: only {count} changes were tried");
    }
}

#[test]
fn time_bounds_hold_exactly() {
    for (request, now, expected) in [
        (get_object(), DAY, None),
        (get_object(), DAY + 900, None),
        (get_object(), DAY - 900, None),
        (get_object(), DAY + 901, Some(Denied::Skewed)),
        (get_object(), DAY - 901, Some(Denied::Skewed)),
        (get_object(), 0, Some(Denied::Skewed)),
        (get_object(), u64::MAX, Some(Denied::Skewed)),
        (presigned(), DAY, None),
        (presigned(), DAY + 86_400, None),
        (presigned(), DAY + 86_401, Some(Denied::Expired)),
        (presigned(), DAY - 900, None),
        (presigned(), DAY - 901, Some(Denied::Skewed)),
        (presigned(), u64::MAX, Some(Denied::Expired)),
    ] {
        let got = admit(&gate(), &request, now).err();
        assert_eq!(got, expected.map(Refusal::Denied), "{now}");
    }
}
