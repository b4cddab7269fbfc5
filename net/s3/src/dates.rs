//! Dates on the wire. Inside, a time is nanoseconds since 1970, which is what the store keeps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

const ISO: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// `2009-10-12T17:50:30.000Z`, as in XML bodies.
pub fn iso8601(ns: u64) -> String {
    let when =
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // The format has no component that can fail for a valid date of our range.
    when.format(&ISO).unwrap_or_default()
}

/// `Mon, 12 Oct 2009 17:50:30 GMT`, as in headers.
pub fn http_date(ns: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_nanos(ns))
}

/// Reads an HTTP date into whole seconds since 1970; `None` if it is none (such a condition is ignored).
pub(crate) fn parse_http_date(text: &str) -> Option<u64> {
    let when: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    when.duration_since(UNIX_EPOCH).ok().map(|d| d.as_secs())
}

/// Reads an HTTP or an ISO 8601 date into whole seconds since 1970.
pub(crate) fn parse_any_date(text: &str) -> Option<u64> {
    parse_http_date(text).or_else(|| {
        let when = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
        u64::try_from(when.unix_timestamp()).ok()
    })
}

/// Nanoseconds as the whole seconds that HTTP dates know.
pub(crate) fn whole_seconds(ns: u64) -> u64 {
    ns / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let ns = 1_255_369_830_123_456_789;
        assert_eq!(iso8601(ns), "2009-10-12T17:50:30.123Z");
        assert_eq!(iso8601(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(iso8601(u64::MAX), "2554-07-21T23:34:33.709Z");
        assert_eq!(http_date(ns), "Mon, 12 Oct 2009 17:50:30 GMT");
        assert_eq!(parse_http_date(&http_date(ns)), Some(whole_seconds(ns)));
        assert_eq!(parse_any_date("2009-10-12T17:50:30Z"), Some(whole_seconds(ns)));
        assert_eq!(parse_any_date(&iso8601(ns)), Some(whole_seconds(ns)));
        for bad in ["", "yesterday", "2009-10-12", "-1"] {
            assert_eq!(parse_any_date(bad), None, "{bad}");
        }
    }
}
