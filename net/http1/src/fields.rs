//! What the header lines of a request say about the message itself: host, body framing, connection, expectation.

use crate::HttpError;

/// How the body of a request is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Neither `Content-Length` nor `Transfer-Encoding`: no body.
    None,
    /// Exactly so many bytes.
    Length(u64),
    /// HTTP chunks, read with [`crate::ChunkDecoder`].
    Chunked,
}

/// What the header lines mean for message and connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Meaning {
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
    pub(crate) expects_continue: bool,
}

/// Gathers the fields in one pass over the header lines; [`finish`](Self::finish) judges them together.
#[derive(Default)]
pub(crate) struct Fields<'b> {
    host: Option<&'b str>,
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep: bool,
    expects: bool,
}

impl<'b> Fields<'b> {
    /// Takes one header line.
    pub(crate) fn take(&mut self, name: &str, value: &'b str) -> Result<(), HttpError> {
        // The lengths of the names below; the match costs nothing for the others.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => self.take_host(value),
            6 if name.eq_ignore_ascii_case("expect") => self.take_expect(value),
            10 if name.eq_ignore_ascii_case("connection") => self.take_connection(value),
            14 if name.eq_ignore_ascii_case("content-length") => self.take_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.take_encoding(value),
            _ => Ok(()),
        }
    }

    fn take_host(&mut self, value: &'b str) -> Result<(), HttpError> {
        if self.host.replace(value).is_some() {
            return Err(HttpError::Host("expected once, got twice"));
        }
        if !is_authority(value) {
            return Err(HttpError::Host("expected a name or address with an optional port"));
        }
        Ok(())
    }

    /// RFC 9112, 6.2 and 6.3: decimal digits, once. Lists of equal values are allowed there and refused here.
    fn take_length(&mut self, value: &str) -> Result<(), HttpError> {
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_digit()) {
            return Err(HttpError::ContentLength("expected decimal digits only"));
        }
        if value.len() > 1 && value.starts_with('0') {
            return Err(HttpError::ContentLength("leading zeros are refused"));
        }
        let length = value.parse().map_err(|_| HttpError::ContentLength("number is too large"))?;
        match self.length.replace(length) {
            Some(_) => Err(HttpError::ContentLength("expected once, got twice")),
            None => Ok(()),
        }
    }

    /// RFC 9112, 6.1. Coding names are case-insensitive; lists, parameters and other codings are refused.
    fn take_encoding(&mut self, value: &str) -> Result<(), HttpError> {
        if !value.eq_ignore_ascii_case("chunked") {
            return Err(HttpError::TransferCoding);
        }
        if std::mem::replace(&mut self.chunked, true) {
            return Err(HttpError::TransferEncoding("expected once, got twice"));
        }
        Ok(())
    }

    fn take_connection(&mut self, value: &str) -> Result<(), HttpError> {
        for token in value.split(',') {
            let token = token.trim_matches([' ', '\t']);
            self.close |= token.eq_ignore_ascii_case("close");
            self.keep |= token.eq_ignore_ascii_case("keep-alive");
        }
        Ok(())
    }

    fn take_expect(&mut self, value: &str) -> Result<(), HttpError> {
        if self.expects || !value.eq_ignore_ascii_case("100-continue") {
            return Err(HttpError::Expectation);
        }
        self.expects = true;
        Ok(())
    }

    /// Judges the fields together. `authority` is that of an absolute target.
    pub(crate) fn finish(self, minor: u8, authority: Option<&str>) -> Result<Meaning, HttpError> {
        match (self.host, authority) {
            (None, _) if minor > 0 => return Err(HttpError::Host("HTTP/1.1 requires it")),
            (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
                return Err(HttpError::Host("differs from the authority of the target"));
            }
            (None, Some(authority)) if !is_authority(authority) => {
                return Err(HttpError::Target("authority is malformed"));
            }
            _ => {}
        }
        let framing = match (self.chunked, self.length) {
            (true, Some(_)) => return Err(HttpError::TransferEncoding("stands beside Content-Length")),
            (true, None) if minor == 0 => return Err(HttpError::TransferEncoding("HTTP/1.0 has none")),
            (true, None) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::None,
        };
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        Ok(Meaning {
            framing,
            keep_alive: !self.close && (minor > 0 || self.keep),
            // RFC 9110, 10.1.1: the expectation of an HTTP/1.0 client is ignored.
            expects_continue: self.expects && has_body && minor > 0,
        })
    }
}

/// Whether `text` is `host[:port]`: a registered name, an IPv4 address or an IPv6 address in brackets.
fn is_authority(text: &str) -> bool {
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let Some((address, rest)) = inner.split_once(']') else { return false };
            if !address.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')) {
                return false;
            }
            (address, rest)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let named = text.starts_with('[')
        || host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    let port = match rest.strip_prefix(':') {
        Some(port) => port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok(),
        None => rest.is_empty(),
    };
    !host.is_empty() && named && port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for good in ["a", "a.b:80", "127.0.0.1:8080", "[::1]", "[::1]:9", "my-bucket.s3_x.host", "xn--e1a"] {
            assert!(is_authority(good), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a:",
            "a:b",
            "a:80:80",
            "a:65536",
            "a:+8",
            "a b",
            "a/b",
            "a@b",
            "[::1",
            "[::1]x",
            "[g]",
            "a,b",
            "a?b",
            "[]",
            "é",
            "a%20b",
            "a:00000000000000080x",
        ] {
            assert!(!is_authority(bad), "{bad}");
        }
    }
}
