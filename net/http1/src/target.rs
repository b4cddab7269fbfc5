//! The request line: method, target in its forms (RFC 9112, 3.2) and version.

use crate::head::{Line, Part};
use crate::{HttpError, Method};

/// A request line taken apart, with the authority of an absolute target, which must be what `Host` says.
pub(crate) struct RequestLine {
    pub(crate) line: Line,
    pub(crate) authority: Option<Part>,
}

/// Reads a request line without its CR LF.
pub(crate) fn request_line(bytes: &[u8]) -> Result<RequestLine, HttpError> {
    if bytes.iter().any(|b| !(b' '..=b'~').contains(b)) {
        return Err(HttpError::RequestLine("expected visible ASCII and single spaces"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| HttpError::RequestLine("expected visible ASCII"))?;
    let mut parts = text.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(HttpError::RequestLine("expected METHOD, target and version with one space between"));
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(HttpError::RequestLine("method is not a token"));
    }
    let minor = minor_version(version)?;
    let method_known = Method::parse(method).ok_or(HttpError::UnknownMethod)?;
    let at = method.len() + 1;
    let form = form_of(target, method_known)?;
    let part = |(start, len): (usize, usize)| ((at + start) as u16, len as u16);
    let line = Line {
        method: method_known,
        minor,
        target: part((0, target.len())),
        path: form.path.map(part),
        query: part(form.query),
    };
    Ok(RequestLine { line, authority: form.authority.map(part) })
}

/// Parts of a target as (offset, length) within it.
struct Form {
    authority: Option<(usize, usize)>,
    path: Option<(usize, usize)>,
    query: (usize, usize),
}

fn form_of(target: &str, method: Method) -> Result<Form, HttpError> {
    if target.is_empty() {
        return Err(HttpError::RequestLine("target is empty"));
    }
    if target.contains('#') {
        return Err(HttpError::Target("fragments are not sent to servers"));
    }
    if target == "*" {
        return match method {
            Method::Options => Ok(Form { authority: None, path: Some((0, 1)), query: (1, 0) }),
            _ => Err(HttpError::Target("\"*\" is for OPTIONS only")),
        };
    }
    if target.starts_with('/') {
        return Ok(origin(target, 0, None));
    }
    let Some((scheme, rest)) = target.split_once("://") else {
        return Err(HttpError::Target("expected a path that starts with \"/\""));
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err(HttpError::Target("expected the scheme http or https"));
    }
    let start = scheme.len() + 3;
    let len = rest.find(['/', '?']).unwrap_or(rest.len());
    Ok(origin(target, start + len, Some((start, len))))
}

/// Splits path and query, which start at `start`.
fn origin(target: &str, start: usize, authority: Option<(usize, usize)>) -> Form {
    let rest = target.get(start..).unwrap_or_default();
    let path_len = rest.find('?').unwrap_or(rest.len());
    let query_start = (start + path_len + 1).min(target.len());
    Form {
        authority,
        path: (path_len > 0).then_some((start, path_len)),
        query: (query_start, target.len() - query_start),
    }
}

fn minor_version(version: &str) -> Result<u8, HttpError> {
    match version {
        "HTTP/1.1" => return Ok(1),
        "HTTP/1.0" => return Ok(0),
        _ => {}
    }
    match version.strip_prefix("HTTP/").map(str::as_bytes) {
        Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(HttpError::Version)
        }
        _ => Err(HttpError::RequestLine("expected HTTP/1.0 or HTTP/1.1 after the target")),
    }
}

/// RFC 9110, 5.6.2.
pub(crate) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric()
        || matches!(
            b,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}
