//! From bytes to [`Head`]: the skeleton first, then the request line, then the header lines.

use std::mem::MaybeUninit;

use weir_types::limits::HEADERS_MAX;

use crate::fields::{Fields, Meaning};
use crate::head::{Head, HeaderSlots, Line, Part, Span, slice};
use crate::{HttpError, lines, target};

/// A head that was read and kept every rule, apart from the bytes and slots it was read from.
#[derive(Clone, Copy, Debug)]
pub struct Parsed {
    bytes: usize,
    headers: usize,
    line: Line,
    meaning: Meaning,
}

impl Parsed {
    /// Bytes that the head takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The head, from the bytes and slots that it was read from; `None` from others.
    pub fn head<'b>(&self, bytes: &'b [u8], slots: &'b HeaderSlots) -> Option<Head<'b>> {
        let text = std::str::from_utf8(bytes.get(..self.bytes)?).ok()?;
        Some(Head::new(text, slots.spans.get(..self.headers)?, self.line, self.meaning))
    }
}

/// Reads one request head from the front of `bytes`.
///
/// Gives the head and the bytes it takes, or `None` while it is not complete. Bytes after the head (its body, the next
/// request) are not looked at. A verdict does not depend on how the bytes were split in arriving, save that a
/// malformed head may be refused before it is complete.
pub fn parse_head<'b>(
    bytes: &'b [u8],
    slots: &'b mut HeaderSlots,
) -> Result<Option<(Head<'b>, usize)>, HttpError> {
    let Some(parsed) = parse(bytes, slots)? else { return Ok(None) };
    Ok(parsed.head(bytes, slots).map(|head| (head, parsed.bytes)))
}

/// The same for a caller that cannot lend its bytes yet: it asks [`Parsed::head`] when it can.
pub fn parse(bytes: &[u8], slots: &mut HeaderSlots) -> Result<Option<Parsed>, HttpError> {
    let found = lines::scan(bytes)?;
    let Some(first) = found.first else {
        return early(bytes);
    };
    let request = target::request_line(bytes.get(..first).unwrap_or_default())?;
    let Some(whole) = found.whole else {
        return Ok(None);
    };
    let head = bytes.get(..whole).unwrap_or_default();
    let text = std::str::from_utf8(head).map_err(|_| HttpError::Header("expected UTF-8"))?;
    let count = spans(head, slots)?;
    let spans = slots.spans.get(..count).unwrap_or_default();

    let mut fields = Fields::default();
    for span in spans {
        fields.take(slice(text, span.name), slice(text, span.value))?;
    }
    let meaning = fields.finish(request.line.minor, request.authority.map(|a| slice(text, a)))?;
    Ok(Some(Parsed { bytes: whole, headers: count, line: request.line, meaning }))
}

/// What can be said of an incomplete request line: that it does not even start like one.
fn early(bytes: &[u8]) -> Result<Option<Parsed>, HttpError> {
    match bytes.first() {
        Some(&b) if !target::is_token(b) => Err(HttpError::RequestLine("method is not a token")),
        _ => Ok(None),
    }
}

/// Cuts a complete head into header lines; gives their number.
fn spans(head: &[u8], slots: &mut HeaderSlots) -> Result<usize, HttpError> {
    let mut table = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut table) {
        // Two readings of where the head ends would be an opening; there must be one.
        Ok(httparse::Status::Complete(end)) if end == head.len() => {}
        Ok(_) => return Err(HttpError::Header("expected lines of the form name: value")),
        Err(error) => return Err(refused(error)),
    }
    for (span, header) in slots.spans.iter_mut().zip(request.headers.iter()) {
        if header.value.iter().any(|&b| (b < b' ' && b != b'\t') || b == 0x7f) {
            return Err(HttpError::Header("value holds a control byte"));
        }
        *span = Span { name: part(head, header.name.as_bytes())?, value: part(head, header.value)? };
    }
    Ok(request.headers.len())
}

fn refused(error: httparse::Error) -> HttpError {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => HttpError::TooManyHeaders,
        Error::HeaderName => HttpError::Header("name is not a token directly followed by a colon"),
        Error::HeaderValue => HttpError::Header("value holds a control byte"),
        Error::NewLine => HttpError::Header("expected CR LF at the end"),
        Error::Version => HttpError::Version,
        Error::Token | Error::Status => HttpError::RequestLine("expected METHOD, target and version"),
    }
}

/// Where `inner`, a part of `head`, lies in it.
pub(crate) fn part(head: &[u8], inner: &[u8]) -> Result<Part, HttpError> {
    if inner.is_empty() {
        return Ok((0, 0));
    }
    let start = inner.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    match (u16::try_from(start), u16::try_from(inner.len())) {
        (Ok(start), Ok(len)) => Ok((start, len)),
        _ => Err(HttpError::HeadTooLarge),
    }
}
