//! The skeleton of a head: where it ends, and that every line of it ends in CR LF and nothing else.
//!
//! The tokenizer behind this takes a bare LF for a line end, and other programs take a lone CR for one. Checking the
//! bytes here first means that there is one reading of where each line stops.

use weir_types::limits::{HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX};

use crate::HttpError;

/// The bytes of a head that were found so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lines {
    /// Bytes of the request line without its CR LF, once that line is complete.
    pub(crate) first: Option<usize>,
    /// Bytes of the whole head, its empty line included, once complete.
    pub(crate) whole: Option<usize>,
}

/// Finds the end of the head. Judges as early as the bytes allow, so that a malformed head need not be complete.
pub(crate) fn scan(bytes: &[u8]) -> Result<Lines, HttpError> {
    let window = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let mut lines = Lines { first: None, whole: None };
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', window) {
        let line = line_of(window, start, end)?;
        if lines.first.is_none() {
            if line.len() > REQUEST_LINE_BYTES_MAX {
                return Err(HttpError::RequestLineTooLong);
            }
            lines.first = Some(line.len());
        } else if line.is_empty() {
            lines.whole = Some(end + 1);
            return Ok(lines);
        } else if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err(HttpError::Header("continuation lines (obs-fold) are refused"));
        }
        start = end + 1;
    }
    rest(window, start, lines.first.is_none())?;
    if bytes.len() >= HEAD_BYTES_MAX {
        return Err(HttpError::HeadTooLarge);
    }
    Ok(lines)
}

/// The line that ends with the LF at `end`, without its CR LF.
fn line_of(window: &[u8], start: usize, end: usize) -> Result<&[u8], HttpError> {
    let line = window.get(start..end).unwrap_or_default();
    let Some((b'\r', line)) = line.split_last() else {
        return Err(HttpError::LineEnding { at: end });
    };
    match memchr::memchr(b'\r', line) {
        Some(at) => Err(HttpError::LineEnding { at: start + at }),
        None => Ok(line),
    }
}

/// Judges the line that is not complete yet.
fn rest(window: &[u8], start: usize, first: bool) -> Result<(), HttpError> {
    let line = window.get(start..).unwrap_or_default();
    if first && line.len() > REQUEST_LINE_BYTES_MAX + 1 {
        return Err(HttpError::RequestLineTooLong);
    }
    match memchr::memchr(b'\r', line) {
        Some(at) if at + 1 < line.len() => Err(HttpError::LineEnding { at: start + at }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: Result<(Option<usize>, Option<usize>), HttpError>) {
        let got = scan(input).map(|l| (l.first, l.whole));
        assert_eq!(got, expected, "{:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn heads_end_where_they_end() {
        check(b"", Ok((None, None)));
        check(b"GET", Ok((None, None)));
        check(b"GET\r", Ok((None, None)));
        check(b"GET\r\n", Ok((Some(3), None)));
        check(b"GET\r\nA: b\r\n\r", Ok((Some(3), None)));
        check(b"GET\r\nA: b\r\n\r\nrest\n", Ok((Some(3), Some(13))));
        check(b"GET\r\n\r\n", Ok((Some(3), Some(7))));
    }

    #[test]
    fn other_line_ends_are_refused_as_soon_as_seen() {
        check(b"GET\n", Err(HttpError::LineEnding { at: 3 }));
        check(b"GET\rX", Err(HttpError::LineEnding { at: 3 }));
        check(b"GET\r\nA: b\n", Err(HttpError::LineEnding { at: 9 }));
        check(b"GET\r\nA: b\rc\r\n", Err(HttpError::LineEnding { at: 9 }));
        check(b"GET\r\nA: b\r\r\n", Err(HttpError::LineEnding { at: 9 }));
        check(b"GET\r\n A: b\r\n", Err(HttpError::Header("continuation lines (obs-fold) are refused")));
    }
}
