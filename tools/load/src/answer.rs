//! Heads of answers: the few fields that a loader acts on.

use weir_types::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// What the head of an answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Body,
    /// The server closes the connection after it.
    pub(crate) close: bool,
    /// Where a redirect points to.
    pub(crate) location: Option<String>,
    /// Bytes of the head.
    pub(crate) head_bytes: usize,
}

/// Where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    /// After so many bytes.
    Length(u64),
    /// Where its chunks say.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Answer {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn is_redirect(&self) -> bool {
        matches!(self.status, 301 | 302 | 307 | 308)
    }
}

/// Reads the head at the front of `bytes`; `None` while it is not whole. The error says what was expected and what came.
pub(crate) fn read(bytes: &[u8]) -> Result<Option<Answer>, String> {
    let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut slots);
    let head_bytes = match head.parse(bytes) {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) if bytes.len() >= HEAD_BYTES_MAX => {
            return Err(format!("expected a head of at most {HEAD_BYTES_MAX} bytes, got more"));
        }
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => {
            let front = String::from_utf8_lossy(bytes.get(..bytes.len().min(60)).unwrap_or_default());
            return Err(format!("expected the head of an HTTP answer, got {front:?} ({error})"));
        }
    };
    let status = head.code.unwrap_or(0);
    let mut length = None;
    let (mut chunked, mut location) = (false, None);
    let mut close = head.version == Some(0);
    for field in head.headers.iter() {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        let value = || String::from_utf8_lossy(field.value);
        if is("content-length") {
            let text = value();
            length = Some(
                text.trim()
                    .parse()
                    .map_err(|_| format!("Content-Length: expected a number, got {text:?}"))?,
            );
        } else if is("transfer-encoding") {
            chunked = value().to_ascii_lowercase().contains("chunked");
        } else if is("connection") {
            close = value().to_ascii_lowercase().contains("close");
        } else if is("location") {
            location = Some(value().into_owned());
        }
    }
    let body = match (status, length) {
        (100..=199 | 204 | 304, _) => Body::Length(0),
        _ if chunked => Body::Chunked,
        (_, Some(length)) => Body::Length(length),
        _ => Body::UntilClose,
    };
    Ok(Some(Answer { status, body, close: close || body == Body::UntilClose, location, head_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let check = |text: &str, expected: Result<Option<(u16, Body, bool)>, ()>| {
            let got = read(text.as_bytes());
            let short = got.as_ref().map(|a| a.as_ref().map(|a| (a.status, a.body, a.close))).map_err(|_| ());
            assert_eq!(short, expected, "{text:?}: {got:?}");
        };
        let full = |status, body, close| Ok(Some((status, body, close)));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", full(200, Body::Length(5), false));
        check(
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: Close\r\n\r\n",
            full(200, Body::Length(0), true),
        );
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", full(200, Body::Chunked, false));
        check("HTTP/1.1 200 OK\r\n\r\n", full(200, Body::UntilClose, true));
        check("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", full(200, Body::Length(1), true));
        check(
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
            full(200, Body::Length(1), false),
        );
        check("HTTP/1.1 100 Continue\r\n\r\n", full(100, Body::Length(0), false));
        check("HTTP/1.1 204 No Content\r\n\r\n", full(204, Body::Length(0), false));
        check("HTTP/1.1 200 OK\r\nContent-Le", Ok(None));
        check("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n", Err(()));
        check("SSH-2.0-OpenSSH\r\n\r\n", Err(()));
    }

    #[test]
    fn redirects_say_where_to() {
        let text =
            "HTTP/1.1 307 T\r\nLocation: http://t:1/v1/objects/b/o?pid=p&utm=1\r\nContent-Length: 0\r\n\r\n";
        let answer = read(text.as_bytes()).unwrap().unwrap();
        assert!(answer.is_redirect() && !answer.is_success());
        assert_eq!(answer.location.as_deref(), Some("http://t:1/v1/objects/b/o?pid=p&utm=1"));
        assert_eq!(answer.head_bytes, text.len());
    }

    #[test]
    fn an_endless_head_is_refused() {
        let text = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
        assert!(read(text.as_bytes()).is_err());
    }
}
