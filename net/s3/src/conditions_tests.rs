use super::*;
use crate::request::PlainHead;

const ETAG: &str = "abc";
/// 12 October 2009, 17:50:30.5.
const MTIME: u64 = 1_255_369_830_500_000_000;
const BEFORE: &str = "Mon, 12 Oct 2009 17:50:29 GMT";
const SAME: &str = "Mon, 12 Oct 2009 17:50:30 GMT";
const AFTER: &str = "Mon, 12 Oct 2009 17:50:31 GMT";

fn head(headers: &[(&str, &str)]) -> PlainHead {
    headers.iter().fold(PlainHead::new("GET", "/b/o"), |h, (n, v)| h.header(n, v))
}

#[test]
fn reads() {
    let check = |headers: &[(&str, &str)], expected: u16| {
        let got = ReadConditions::parse(&head(headers)).check(ETAG, MTIME);
        assert_eq!(got.map_or_else(|e| e.status(), |()| 200), expected, "{headers:?}");
    };
    check(&[], 200);
    check(&[("If-Match", "\"abc\"")], 200);
    check(&[("If-Match", "abc")], 200);
    check(&[("If-Match", "*")], 200);
    check(&[("If-Match", "\"x\", \"abc\"")], 200);
    check(&[("If-Match", "\"x\"")], 412);
    check(&[("If-Match", "W/\"abc\"")], 412);
    check(&[("If-None-Match", "\"abc\"")], 304);
    check(&[("If-None-Match", "W/\"abc\"")], 304);
    check(&[("If-None-Match", "*")], 304);
    check(&[("If-None-Match", "ABC")], 200);
    check(&[("If-Modified-Since", BEFORE)], 200);
    check(&[("If-Modified-Since", SAME)], 304);
    check(&[("If-Modified-Since", AFTER)], 304);
    check(&[("If-Unmodified-Since", BEFORE)], 412);
    check(&[("If-Unmodified-Since", SAME)], 200);
    check(&[("If-Modified-Since", "rubbish")], 200);
    // A tag condition silences the date condition of its kind.
    check(&[("If-Match", "abc"), ("If-Unmodified-Since", BEFORE)], 200);
    check(&[("If-None-Match", "x"), ("If-Modified-Since", AFTER)], 200);
    // 412 comes before 304.
    check(&[("If-Match", "x"), ("If-None-Match", "abc")], 412);
}

#[test]
fn unchanged_answers_repeat_the_validators() {
    let e = ReadConditions::parse(&head(&[("If-None-Match", "abc")])).check(ETAG, MTIME).unwrap_err();
    assert_eq!(e.headers, [("etag", "\"abc\"".to_owned()), ("last-modified", SAME.to_owned())]);
}

#[test]
fn a_copy_never_answers_304() {
    let h = head(&[("x-amz-copy-source-if-none-match", "abc"), ("if-none-match", "zzz")]);
    let e = ReadConditions::parse_source(&h).check_source(ETAG, MTIME).unwrap_err();
    assert_eq!(e.status(), 412);
}

#[test]
fn if_range() {
    let check = |value: &str, expected| {
        let c = ReadConditions::parse(&head(&[("if-range", value)]));
        assert_eq!(c.range_applies(ETAG, MTIME), expected, "{value}");
    };
    check("\"abc\"", true);
    check("\"x\"", false);
    check("W/\"abc\"", false);
    check(SAME, true);
    check(BEFORE, false);
    assert!(ReadConditions::default().range_applies(ETAG, MTIME));
}

#[test]
fn writes() {
    let now = Some(Current { etag: ETAG, mtime_ns: MTIME, size: 7 });
    let check = |headers: &[(&str, &str)], current, expected: u16| {
        let got = WriteConditions::parse(&head(headers)).check_put("o", current);
        assert_eq!(got.map_or_else(|e| e.status(), |()| 200), expected, "{headers:?}");
    };
    check(&[], None, 200);
    check(&[("if-match", "*")], now, 200);
    check(&[("if-match", "*")], None, 404);
    check(&[("if-match", "x")], None, 404);
    check(&[("if-match", "x")], now, 412);
    check(&[("if-none-match", "*")], None, 200);
    check(&[("if-none-match", "*")], now, 412);
    check(&[("if-none-match", "\"abc\"")], now, 412);
    check(&[("if-none-match", "x")], now, 200);
}

#[test]
fn removals() {
    let now = Some(Current { etag: ETAG, mtime_ns: MTIME, size: 7 });
    let check = |name: &str, value: &str, current, expected: u16| {
        let got =
            WriteConditions::parse_delete(&head(&[(name, value)])).and_then(|c| c.check_delete(current));
        assert_eq!(got.map_or_else(|e| e.status(), |()| 204), expected, "{name}: {value}");
    };
    check("if-match", "abc", now, 204);
    check("if-match", "x", now, 412);
    check("if-match", "x", None, 204);
    check("x-amz-if-match-last-modified-time", SAME, now, 204);
    check("x-amz-if-match-last-modified-time", "2009-10-12T17:50:30Z", now, 204);
    check("x-amz-if-match-last-modified-time", BEFORE, now, 412);
    check("x-amz-if-match-last-modified-time", "soon", now, 400);
    check("x-amz-if-match-size", "7", now, 204);
    check("x-amz-if-match-size", "8", now, 412);
    check("x-amz-if-match-size", "8", None, 204);
    check("x-amz-if-match-size", "-", now, 400);
}
