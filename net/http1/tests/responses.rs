//! Response heads, percent escapes and query strings: exact bytes, refusals, and round trips.

use std::borrow::Cow;

use proptest::prelude::*;
use weir_http::{
    BodyLength, FieldLines, HeaderSlots, HttpError, OwnedHead, Plus, QueryPairs, ResponseHead, parse_head,
    percent_decode, percent_decode_bytes, query_pairs, query_value, reason,
};

#[test]
fn heads_are_written_as_told() {
    let mut out = b"before".to_vec();
    let mut head = ResponseHead::new(&mut out, 206);
    head.date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    head.header("ETag", "\"a\"").unwrap().header_display("Ais-Version", 7).unwrap();
    head.finish(BodyLength::Length(5), true);
    let expected = "beforeHTTP/1.1 206 Partial Content\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"a\"\r\n\
        Ais-Version: 7\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);

    for (status, body, keep, expected) in [
        (204, BodyLength::Absent, true, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n"),
        (
            200,
            BodyLength::Chunked,
            false,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        ),
        (299, BodyLength::Absent, false, "HTTP/1.1 299 \r\nConnection: close\r\n\r\n"),
        (7, BodyLength::Absent, false, "HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n\r\n"),
    ] {
        let mut out = Vec::new();
        ResponseHead::new(&mut out, status).finish(body, keep);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn lines_that_were_written_before_keep_the_same_rules() {
    let mut lines = FieldLines::default();
    lines.header("ETag", "\"a\"").unwrap().header("Ais-Version", 7).unwrap();
    assert!(lines.header("X", "a\r\nY: b").is_err() && lines.header("Date", "now").is_err());
    let mut out = Vec::new();
    let mut head = ResponseHead::new(&mut out, 200);
    head.lines(&lines).lines(&lines);
    head.finish(BodyLength::Length(0), true);
    let each = "ETag: \"a\"\r\nAis-Version: 7\r\n";
    let expected =
        format!("HTTP/1.1 200 OK\r\n{each}{each}Content-Length: 0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn a_head_that_is_not_finished_leaves_nothing() {
    let mut out = b"before".to_vec();
    ResponseHead::new(&mut out, 200).header("A", "b").unwrap();
    assert_eq!(out, b"before");
}

#[test]
fn no_value_breaks_out_of_its_line() {
    for (name, value) in [
        ("X", "a\r\nSet-Cookie: b"),
        ("X", "a\nb"),
        ("X", "a\rb"),
        ("X", "\0"),
        ("X", "a\x0b"),
        ("X", "\x7f"),
        ("X", "a\r\n\r\n<html>"),
        ("X\r\nY", "a"),
        ("X: y\r\nZ", "a"),
        ("", "a"),
        ("X Y", "a"),
        ("X:", "a"),
        ("É", "a"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("CONNECTION", "close"),
        ("Date", "x"),
    ] {
        let mut out = Vec::new();
        let mut head = ResponseHead::new(&mut out, 200);
        let refused = head.header(name, value).map(|_| ());
        assert!(matches!(refused, Err(HttpError::ResponseField(_))), "{name:?}: {value:?}");
        // What was refused has left no trace, and the head can go on.
        head.header("Y", "tab\tand café").unwrap();
        head.finish(BodyLength::Absent, false);
        let expected = "HTTP/1.1 200 OK\r\nY: tab\tand café\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

#[test]
fn every_error_is_answered_and_closes() {
    for error in [
        HttpError::LineEnding { at: 3 },
        HttpError::RequestLineTooLong,
        HttpError::Version,
        HttpError::UnknownMethod,
        HttpError::HeadTooLarge,
        HttpError::TransferCoding,
        HttpError::Expectation,
        HttpError::LengthRequired,
        HttpError::BodyTooLarge { max: 9 },
        HttpError::Escape { at: 1 },
        HttpError::Host("why"),
    ] {
        let mut out = Vec::new();
        error.answer(&mut out, "Sun, 06 Nov 1994 08:49:37 GMT");
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with(&format!("HTTP/1.1 {} {}\r\n", error.status(), reason(error.status()))),
            "{head}"
        );
        assert!(
            head.contains(&format!("\r\nContent-Length: {}\r\n", body.len()))
                && head.contains("\r\nDate: Sun")
        );
        assert!(head.ends_with("\r\nConnection: close") && body == format!("{error}\n"));
    }
}

#[test]
fn escapes() {
    let check = |text: &str, expected: Result<&str, HttpError>| {
        assert_eq!(percent_decode(text).as_deref(), expected.as_ref().copied(), "{text}");
    };
    for (text, expected) in [
        ("", ""),
        ("/a/b", "/a/b"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("%2e%2E", ".."),
        ("%252e", "%2e"),
        ("%C3%a9", "é"),
        ("%00", "\0"),
        ("a//b/./..", "a//b/./.."),
        ("%2F", "/"),
        ("%25", "%"),
        ("%E2%80%AE", "\u{202e}"),
        ("%5c", "\\"),
        ("%0d%0A", "\r\n"),
        ("%F0%9F%98%80", "😀"),
    ] {
        check(text, Ok(expected));
    }
    for (text, at) in [
        ("%", 0),
        ("a%2", 1),
        ("%g0", 0),
        ("%0g", 0),
        ("ab%%41", 2),
        ("% 41", 0),
        ("%+4", 0),
        ("%-1", 0),
        ("%u0041", 0),
        ("%0x41", 0),
        ("%41%", 3),
        ("%é", 0),
    ] {
        check(text, Err(HttpError::Escape { at }));
    }
    // Overlong forms, surrogates, cut and stray bytes are not UTF-8.
    for text in [
        "%c0%af",
        "%c0%ae%c0%ae",
        "%e0%80%af",
        "%ed%a0%80",
        "%ff",
        "%80",
        "%C3",
        "%f8%80%80%80%af",
        "%f4%90%80%80",
    ] {
        check(text, Err(HttpError::NotUtf8));
    }
    assert_eq!(percent_decode_bytes("%ff+", Plus::Space).unwrap()[..], b"\xff "[..]);
    assert!(matches!(percent_decode("plain"), Ok(Cow::Borrowed("plain"))));
}

#[test]
fn queries() {
    let check = |query: &str, expected: &[(&str, &str)]| {
        let got: Vec<_> = query_pairs(query).map(|p| p.unwrap()).collect();
        let got: Vec<_> = got.iter().map(|(n, v)| (&**n, &**v)).collect();
        assert_eq!(got, expected, "{query}");
    };
    check("", &[]);
    check("a", &[("a", "")]);
    check("a=", &[("a", "")]);
    check("a=b&c=d", &[("a", "b"), ("c", "d")]);
    check("&&a=b&&c&", &[("a", "b"), ("c", "")]);
    check("a=b=c&=d", &[("a", "b=c"), ("", "d")]);
    check("a+b=c+d%2B", &[("a b", "c d+")]);
    check("a=1&a=2", &[("a", "1"), ("a", "2")]);
    check("a;b=c", &[("a;b", "c")]);
    check("%61=%26%3d", &[("a", "&=")]);
    assert_eq!(QueryPairs::with_plus("a=b+c", Plus::Literal).next().unwrap().unwrap().1, "b+c");
    assert_eq!(query_value("a=1&b=2&b=3", "b").unwrap().as_deref(), Some("2"));
    assert_eq!(query_value("a=1", "b"), Ok(None));
    assert_eq!(query_value("a=%&b=1", "b"), Err(HttpError::Escape { at: 0 }));
    assert_eq!(query_pairs("a=%ff").next(), Some(Err(HttpError::NotUtf8)));
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("%{b:02X}")).collect()
}

proptest! {
    #[test]
    fn escapes_round_trip(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let decoded = percent_decode_bytes(&encoded(&bytes), Plus::Space).unwrap().into_owned();
        prop_assert_eq!(&decoded, &bytes);
        prop_assert_eq!(percent_decode(&encoded(&bytes)).is_ok(), std::str::from_utf8(&bytes).is_ok());
    }

    #[test]
    fn any_text_is_decoded_or_refused(text in "\\PC{0,40}|[%a-f0-9+&=]{0,40}") {
        let _ = percent_decode(&text);
        for pair in query_pairs(&text) {
            let _ = pair;
        }
    }

    /// Heads made of good parts are read back; the bytes behind them are left alone.
    #[test]
    fn good_heads_round_trip(
        path in "/[a-zA-Z0-9%._~/-]{0,40}",
        query in "[a-z0-9=&]{0,20}",
        headers in prop::collection::vec(("[a-z]{1,9}-x", "[!-~]([ -~]{0,20}[!-~])?"), 0..20),
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut bytes = format!("GET {path}?{query} HTTP/1.1\r\nhost: h\r\n").into_bytes();
        for (name, value) in &headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        let whole = bytes.len();
        bytes.extend_from_slice(&rest);
        let mut slots = HeaderSlots::default();
        let (head, used) = parse_head(&bytes, &mut slots).unwrap().unwrap();
        prop_assert_eq!((used, head.path, head.query), (whole, path.as_str(), query.as_str()));
        let owned: OwnedHead = head.to_owned();
        let got: Vec<_> = owned.head().iter().skip(1).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        prop_assert_eq!(got, headers);
    }

    /// Whatever arrives: a complete head is the same however many bytes follow it, and an incomplete one is never
    /// taken for complete.
    #[test]
    fn any_bytes_split_anywhere_are_read_the_same(
        parts in prop::collection::vec(prop::sample::select(vec![
            &b"GET / HTTP/1.1\r\n"[..], b"Host: a\r\n", b"\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n",
            b"X: y", b"\r", b"\n", b" ", b":", b"\0", b"POST /b?c HTTP/1.0\r\n", b"\xff", b"Expect: 100-continue\r\n",
        ]), 0..10),
        good_start in any::<bool>(),
    ) {
        let mut bytes = if good_start { b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec() } else { Vec::new() };
        bytes.extend(parts.concat());
        let read = |bytes: &[u8]| {
            let mut slots = HeaderSlots::default();
            parse_head(bytes, &mut slots).map(|h| h.map(|(head, used)| (used, head.framing(), head.path.to_owned())))
        };
        let all = read(&bytes);
        for end in 0..bytes.len() {
            match (read(&bytes[..end]), &all) {
                (Ok(None), _) => {}
                (Err(_), got) => prop_assert!(got.is_err(), "refused early, taken late"),
                (got @ Ok(Some(_)), all) => prop_assert_eq!(&got, all),
            }
        }
    }
}
