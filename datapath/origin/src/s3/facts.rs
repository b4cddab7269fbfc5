//! Response headers of HEAD and GET to facts about the object and the range that follows.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Response, StatusCode, header};
use weir_types::{ByteRange, Checksum, ChecksumKind, RangeSpec};

use super::answer::About;
use crate::{ContentHeaders, OriginError, OriginObject};

/// The flexible checksums of S3; `x-amz-checksum-` and this.
const CHECKSUMS: [(&str, ChecksumKind); 5] = [
    ("x-amz-checksum-crc32c", ChecksumKind::Crc32c),
    ("x-amz-checksum-crc32", ChecksumKind::Crc32),
    ("x-amz-checksum-crc64nvme", ChecksumKind::Crc64Nvme),
    ("x-amz-checksum-sha1", ChecksumKind::Sha1),
    ("x-amz-checksum-sha256", ChecksumKind::Sha256),
];

/// Reads the head of an answer to HEAD, or to GET of the whole object.
pub(super) fn whole<B>(about: About<'_>, response: &Response<B>) -> Result<OriginObject, OriginError> {
    let head = response.headers();
    let size = length(head).ok_or_else(|| about.protocol("Content-Length", "none"))?;
    Ok(facts(head, size))
}

/// Reads the head of an answer to a GET of `range`: the facts and the bytes that follow.
pub(super) fn ranged<B>(
    about: About<'_>,
    range: Option<RangeSpec>,
    response: &Response<B>,
) -> Result<(OriginObject, ByteRange), OriginError> {
    let head = response.headers();
    let Some(asked) = range.filter(|_| response.status() == StatusCode::PARTIAL_CONTENT) else {
        let facts = whole(about, response)?;
        let all = ByteRange { start: 0, len: facts.size };
        // An origin may answer 200 to a range that is the whole object, never to a smaller one.
        return match range.map(|r| r.resolve(facts.size)) {
            Some(resolved) if resolved != Ok(all) => Err(about.protocol("206 to a range", "200")),
            _ => Ok((facts, all)),
        };
    };
    let bad = || {
        let got = head.get(header::CONTENT_RANGE).map_or("none".into(), |v| format!("{v:?}"));
        about.protocol("the Content-Range that was asked", got)
    };
    let (sent, size) = content_range(head).ok_or_else(bad)?;
    if asked.resolve(size) != Ok(sent) || length(head).is_some_and(|n| n != sent.len) {
        return Err(bad());
    }
    // The checksum headers of a part, where a server sends them, are not the whole object's.
    Ok((OriginObject { checksum: None, ..facts(head, size) }, sent))
}

/// `bytes a-b/size`, checked against itself.
fn content_range(head: &HeaderMap) -> Option<(ByteRange, u64)> {
    let value = text(head, header::CONTENT_RANGE.as_str())?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last, size): (u64, u64, u64) = (first.parse().ok()?, last.parse().ok()?, size.parse().ok()?);
    (first <= last && last < size).then(|| (ByteRange { start: first, len: last - first + 1 }, size))
}

fn facts(head: &HeaderMap, size: u64) -> OriginObject {
    let content = ContentHeaders {
        content_type: text(head, "content-type"),
        cache_control: text(head, "cache-control"),
        disposition: text(head, "content-disposition"),
        encoding: text(head, "content-encoding"),
        language: text(head, "content-language"),
        expires: text(head, "expires"),
    };
    OriginObject {
        size,
        etag: text(head, "etag").map(|e| plain_etag(&e)),
        version: text(head, "x-amz-version-id").filter(|v| v != "null"),
        last_modified: text(head, "last-modified").and_then(|t| httpdate::parse_http_date(&t).ok()),
        content,
        user: user(head),
        checksum: checksum(head),
    }
}

/// An ETag without its quotes; a weak one as it is.
pub(super) fn plain_etag(value: &str) -> String {
    value.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(value).to_owned()
}

/// The form for If-Match; `None` for a weak one, which never matches strongly.
pub(super) fn quoted_etag(plain: &str) -> Option<String> {
    (!plain.starts_with("W/")).then(|| format!("\"{plain}\""))
}

fn user(head: &HeaderMap) -> Vec<(String, String)> {
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        let name = name.as_str().strip_prefix("x-amz-meta-")?;
        Some((name.to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
    };
    head.iter().filter_map(pair).collect()
}

/// The first full-object checksum. A composite one says so, in its type or by `-parts` after its value.
fn checksum(head: &HeaderMap) -> Option<Checksum> {
    if text(head, "x-amz-checksum-type").is_some_and(|t| t.eq_ignore_ascii_case("composite")) {
        return None;
    }
    CHECKSUMS.iter().find_map(|(name, kind)| {
        let value = STANDARD.decode(text(head, name)?).ok()?;
        (value.len() == kind.value_bytes()).then_some(Checksum { kind: *kind, value })
    })
}

fn length(head: &HeaderMap) -> Option<u64> {
    text(head, header::CONTENT_LENGTH.as_str())?.parse().ok()
}

fn text(head: &HeaderMap, name: &str) -> Option<String> {
    head.get(name).map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned()).filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use weir_types::{Bucket, BucketName, Provider};

    use super::*;
    use crate::RemoteBucket;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        headers
            .iter()
            .fold(Response::builder().status(status), |r, (k, v)| r.header(*k, *v))
            .body(())
            .unwrap()
    }

    fn ranged_of(range: Option<RangeSpec>, r: &Response<()>) -> Option<(u64, u64, u64)> {
        let bucket = RemoteBucket::of(&Bucket::global(Provider::Aws, BucketName::new("b").unwrap()));
        ranged(About::object(&bucket, "o"), range, r).ok().map(|(f, r)| (f.size, r.start, r.len))
    }

    #[test]
    fn ranges_are_what_was_asked() {
        let check = |range, status, headers: &[(&str, &str)], expected| {
            assert_eq!(ranged_of(range, &response(status, headers)), expected, "{range:?} {headers:?}");
        };
        let first = Some(RangeSpec::From(0, Some(4)));
        check(None, 200, &[("content-length", "9")], Some((9, 0, 9)));
        check(None, 200, &[], None);
        check(first, 206, &[("content-range", "bytes 0-4/9"), ("content-length", "5")], Some((9, 0, 5)));
        check(first, 206, &[("content-range", "bytes 0-3/4")], Some((4, 0, 4)));
        check(first, 206, &[("content-range", "bytes 1-4/9")], None);
        check(first, 206, &[("content-range", "bytes 0-4/9"), ("content-length", "6")], None);
        check(first, 206, &[("content-range", "bytes 4-0/9")], None);
        check(first, 206, &[("content-range", "bytes 0-4/*")], None);
        check(first, 206, &[], None);
        check(first, 200, &[("content-length", "5")], Some((5, 0, 5)));
        check(first, 200, &[("content-length", "9")], None);
        check(Some(RangeSpec::Last(2)), 206, &[("content-range", "bytes 7-8/9")], Some((9, 7, 2)));
        check(Some(RangeSpec::From(7, None)), 206, &[("content-range", "bytes 7-8/9")], Some((9, 7, 2)));
    }

    #[test]
    fn headers_become_facts() {
        let r = response(
            200,
            &[
                ("etag", "\"abc\""),
                ("x-amz-version-id", "null"),
                ("last-modified", "Fri, 24 May 2013 00:00:00 GMT"),
                ("content-type", "text/plain"),
                ("x-amz-meta-b", "1"),
                ("x-amz-meta-a", "2"),
                ("x-amz-checksum-crc32c", "4waSgw=="),
            ],
        );
        let f = facts(r.headers(), 9);
        assert_eq!(
            (f.etag.as_deref(), f.version, f.content.content_type.as_deref()),
            (Some("abc"), None, Some("text/plain"))
        );
        assert_eq!(f.user, [("b".into(), "1".into()), ("a".into(), "2".into())]);
        assert_eq!(f.checksum.unwrap().hex(), "e3069283");
        let seconds = f.last_modified.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(seconds, 1_369_353_600);
        for composite in [
            [("x-amz-checksum-crc32c", "4waSgw==-2"), ("x-amz-checksum-type", "FULL_OBJECT")],
            [("x-amz-checksum-crc32c", "4waSgw=="), ("x-amz-checksum-type", "COMPOSITE")],
        ] {
            assert_eq!(facts(response(200, &composite).headers(), 9).checksum, None);
        }
    }

    #[test]
    fn etags_lose_and_regain_quotes() {
        assert_eq!(plain_etag("\"a-2\""), "a-2");
        assert_eq!(plain_etag("a"), "a");
        assert_eq!(plain_etag("W/\"a\""), "W/\"a\"");
        assert_eq!(quoted_etag("a-2").as_deref(), Some("\"a-2\""));
        assert_eq!(quoted_etag("W/\"a\""), None);
    }
}
