//! Percent-decoding and query strings. Strict: a `%` that is no escape is an error, never text.

use std::borrow::Cow;
use std::iter::FusedIterator;

use crate::HttpError;

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plus {
    /// Itself, as in paths.
    Literal,
    /// A space, as in query strings.
    Space,
}

/// The bytes a percent-encoded text stands for, one by one, without allocating. A bad escape is an error at its place.
#[derive(Clone, Debug)]
pub struct Escapes<'t> {
    text: &'t [u8],
    at: usize,
    plus: Plus,
}

impl<'t> Escapes<'t> {
    /// Decodes `text`.
    pub fn new(text: &'t str, plus: Plus) -> Self {
        Self { text: text.as_bytes(), at: 0, plus }
    }
}

impl Iterator for Escapes<'_> {
    type Item = Result<u8, HttpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        let byte = *self.text.get(at)?;
        self.at += 1;
        Some(match byte {
            b'%' => {
                let digit = |i: usize| self.text.get(i).and_then(|&b| (b as char).to_digit(16));
                match (digit(at + 1), digit(at + 2)) {
                    (Some(high), Some(low)) => {
                        self.at = at + 3;
                        Ok((high << 4 | low) as u8)
                    }
                    _ => {
                        self.at = self.text.len();
                        Err(HttpError::Escape { at })
                    }
                }
            }
            b'+' if self.plus == Plus::Space => Ok(b' '),
            _ => Ok(byte),
        })
    }
}

impl FusedIterator for Escapes<'_> {}

/// The bytes that `text` stands for; borrowed where nothing is encoded.
pub fn percent_decode_bytes(text: &str, plus: Plus) -> Result<Cow<'_, [u8]>, HttpError> {
    let encoded = |b: u8| b == b'%' || (b == b'+' && plus == Plus::Space);
    if !text.bytes().any(encoded) {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    Escapes::new(text, plus).collect::<Result<Vec<u8>, _>>().map(Cow::Owned)
}

/// The text that a path, or a part of one, stands for. `+` is itself. What decodes to something other than UTF-8 is
/// refused; NUL, `..` and `//` are text like any other, for the caller to judge.
pub fn percent_decode(path: &str) -> Result<Cow<'_, str>, HttpError> {
    decode_text(path, Plus::Literal)
}

fn decode_text(text: &str, plus: Plus) -> Result<Cow<'_, str>, HttpError> {
    match percent_decode_bytes(text, plus)? {
        Cow::Borrowed(_) => Ok(Cow::Borrowed(text)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| HttpError::NotUtf8),
    }
}

/// Iterator over the pairs of a query string.
#[derive(Clone, Debug)]
pub struct QueryPairs<'q> {
    rest: Option<&'q str>,
    plus: Plus,
}

/// The pairs of a query string, decoded, in the order sent. `name` alone is (`name`, ``); empty pairs are skipped.
/// `+` is a space in both APIs; use [`QueryPairs::with_plus`] for another reading.
pub fn query_pairs(query: &str) -> QueryPairs<'_> {
    QueryPairs::with_plus(query, Plus::Space)
}

impl<'q> QueryPairs<'q> {
    /// The pairs of `query`, with `+` read as said.
    pub fn with_plus(query: &'q str, plus: Plus) -> Self {
        Self { rest: (!query.is_empty()).then_some(query), plus }
    }

    /// The next pair as sent, not decoded.
    pub fn next_raw(&mut self) -> Option<(&'q str, &'q str)> {
        while let Some(rest) = self.rest {
            let (pair, rest) = match rest.split_once('&') {
                Some((pair, rest)) => (pair, Some(rest)),
                None => (rest, None),
            };
            self.rest = rest;
            if !pair.is_empty() {
                return Some(pair.split_once('=').unwrap_or((pair, "")));
            }
        }
        None
    }
}

impl<'q> Iterator for QueryPairs<'q> {
    type Item = Result<(Cow<'q, str>, Cow<'q, str>), HttpError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.next_raw()?;
        let plus = self.plus;
        Some(decode_text(name, plus).and_then(|name| Ok((name, decode_text(value, plus)?))))
    }
}

/// The decoded value of the first pair of this name; an error if any pair up to it is malformed.
pub fn query_value<'q>(query: &'q str, name: &str) -> Result<Option<Cow<'q, str>>, HttpError> {
    for pair in query_pairs(query) {
        let (n, value) = pair?;
        if n == name {
            return Ok(Some(value));
        }
    }
    Ok(None)
}
