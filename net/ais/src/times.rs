//! Times in the forms of AIS's messages: Go's layouts.

use time::OffsetDateTime;

/// The layout of access times in listings when none is asked for (Go's RFC822).
pub(crate) const RFC822: &str = "02 Jan 06 15:04 MST";
/// When something has not ended: Go's zero time, which the Python SDK compares as a text.
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

fn utc(ns: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ns)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Go's layout tokens, longer ones before those they begin with.
const TOKENS: [&str; 25] = [
    "January",
    "Monday",
    ".000000000",
    ".999999999",
    ".000000",
    ".999999",
    ".000",
    ".999",
    "Z07:00",
    "-07:00",
    "-0700",
    "2006",
    "Jan",
    "Mon",
    "MST",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "15",
    "PM",
    "_2",
    "Z0700",
];

/// `ns` since 1970, in UTC, by a Go layout. What is no token stands for itself.
pub(crate) fn go_format(ns: u64, layout: &str) -> String {
    let t = utc(ns);
    let mut out = String::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(c) = rest.chars().next() {
        match TOKENS.iter().find(|token| rest.starts_with(**token)) {
            Some(token) => {
                out.push_str(&token_text(&t, token));
                rest = rest.get(token.len()..).unwrap_or("");
            }
            None => {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or("");
            }
        }
    }
    out
}

fn token_text(t: &OffsetDateTime, token: &str) -> String {
    let name = |names: &[&'static str], at: u8| names.get(usize::from(at)).copied().unwrap_or_default();
    let month = || name(&MONTHS, u8::from(t.month()) - 1);
    let day = || name(&DAYS, t.weekday().number_days_from_monday());
    let nanos = || format!("{:09}", t.nanosecond());
    match token {
        "January" => month().into(),
        "Jan" => month().get(..3).unwrap_or_default().into(),
        "Monday" => day().into(),
        "Mon" => day().get(..3).unwrap_or_default().into(),
        "2006" => format!("{:04}", t.year()),
        "06" => format!("{:02}", t.year() % 100),
        "01" => format!("{:02}", u8::from(t.month())),
        "02" => format!("{:02}", t.day()),
        "_2" => format!("{:2}", t.day()),
        "15" => format!("{:02}", t.hour()),
        "03" => format!("{:02}", (t.hour() + 11) % 12 + 1),
        "04" => format!("{:02}", t.minute()),
        "05" => format!("{:02}", t.second()),
        "PM" => if t.hour() < 12 { "AM" } else { "PM" }.into(),
        "MST" => "UTC".into(),
        "Z07:00" | "Z0700" => "Z".into(),
        "-07:00" => "+00:00".into(),
        "-0700" => "+0000".into(),
        fraction if fraction.contains('0') => {
            format!(".{}", nanos().get(..fraction.len() - 1).unwrap_or_default())
        }
        fraction => {
            let digits = nanos();
            let digits = digits.get(..fraction.len() - 1).unwrap_or_default().trim_end_matches('0');
            if digits.is_empty() { String::new() } else { format!(".{digits}") }
        }
    }
}

/// RFC 3339 with the nanoseconds that are there.
pub fn rfc3339(ns: u64) -> String {
    go_format(ns, "2006-01-02T15:04:05.999999999Z07:00")
}

/// As the cluster map's creation time.
pub(crate) fn date_time(ns: u64) -> String {
    go_format(ns, "2006-01-02 15:04:05")
}

/// As `Last-Modified`.
pub(crate) fn http_date(ns: u64) -> String {
    go_format(ns, "Mon, 02 Jan 2006 15:04:05 GMT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        const T: u64 = 1_763_685_131_000_123_456;
        for (layout, text) in [
            (RFC822, "21 Nov 25 00:32 UTC"),
            ("2006-01-02T15:04:05Z07:00", "2025-11-21T00:32:11Z"),
            ("Mon Jan _2 15:04:05 2006", "Fri Nov 21 00:32:11 2025"),
            ("Monday, 02-Jan-06 15:04:05 MST", "Friday, 21-Nov-25 00:32:11 UTC"),
            ("03:04PM", "12:32AM"),
            ("15:04:05.000", "00:32:11.000"),
            ("15:04:05.999999", "00:32:11.000123"),
            ("жx", "жx"),
        ] {
            assert_eq!(go_format(T, layout), text, "{layout}");
        }
        assert_eq!(rfc3339(T), "2025-11-21T00:32:11.000123456Z");
        assert_eq!(rfc3339(1_763_685_131_000_000_000), "2025-11-21T00:32:11Z");
        assert_eq!(date_time(T), "2025-11-21 00:32:11");
        assert_eq!(http_date(T), "Fri, 21 Nov 2025 00:32:11 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert!(!rfc3339(u64::MAX).is_empty());
    }
}
