//! The trailer section of a chunked body.

use weir_types::limits::{HEADERS_MAX, TRAILER_BYTES_MAX};

use crate::HttpError;
use crate::target::is_token;

/// Fields that would change what was already decided from the head: framing, routing, authority, conditions, content
/// (RFC 9110, 6.5.1). One of them in a trailer is an attack or a mistake, so it is refused rather than ignored.
const FORBIDDEN: &[&str] = &[
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-security-token",
    "x-forwarded-for",
];

/// Trailer fields of one body, names in the case sent.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Trailers {
    fields: Vec<(String, String)>,
    bytes: usize,
}

impl Trailers {
    /// The first field of this name, in any case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every field in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Room left for the line that is being received, in bytes.
    pub(crate) fn room(&self) -> usize {
        TRAILER_BYTES_MAX.saturating_sub(self.bytes)
    }

    /// Takes one line without its CR LF.
    pub(crate) fn take(&mut self, line: &[u8]) -> Result<(), HttpError> {
        let Some(colon) = memchr::memchr(b':', line) else {
            return Err(HttpError::Trailer("expected name: value"));
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(HttpError::Trailer("name is not a token directly followed by a colon"));
        }
        if value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(HttpError::Trailer("value holds a control byte"));
        }
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            return Err(HttpError::Trailer("expected UTF-8"));
        };
        if FORBIDDEN.iter().any(|f| f.eq_ignore_ascii_case(name)) {
            return Err(HttpError::Trailer("field is not allowed in trailers"));
        }
        if self.fields.len() >= HEADERS_MAX {
            return Err(HttpError::TrailersTooLarge);
        }
        self.bytes += line.len() + 2;
        self.fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        Ok(())
    }
}
