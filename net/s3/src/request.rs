use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::error::{Result, S3Code, S3Error};

/// What the dialect needs to see of a request head. The head is already framed and bounded by the HTTP crate.
pub trait RequestHead {
    /// The method as sent.
    fn method(&self) -> &str;
    /// The path as sent: still percent-encoded, beginning with `/`, without the query.
    fn path(&self) -> &str;
    /// The query as sent, without the `?`; empty when there is none.
    fn query(&self) -> &str;
    /// The first value of a header, by its name in any case.
    fn header(&self, name: &str) -> Option<&str>;
    /// Calls `f` with name and value of every header line.
    fn each_header(&self, f: &mut dyn FnMut(&str, &str));
}

impl RequestHead for weir_http::Head<'_> {
    fn method(&self) -> &str {
        self.method.as_str()
    }
    fn path(&self) -> &str {
        self.path
    }
    fn query(&self) -> &str {
        self.query
    }
    fn header(&self, name: &str) -> Option<&str> {
        weir_http::Head::header(self, name)
    }
    fn each_header(&self, f: &mut dyn FnMut(&str, &str)) {
        self.iter().for_each(|(name, value)| f(name, value));
    }
}

/// Query parameters, decoded, in the order sent. A parameter without `=` has an empty value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes a raw query; bytes that are no UTF-8 are refused.
    pub(crate) fn parse(raw: &str) -> Result<Self> {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode_form(name)?, decode_form(value)?))
        };
        raw.split('&').filter(|p| !p.is_empty()).map(pair).collect::<Result<_>>().map(Self)
    }

    /// Whether the parameter is there, with or without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The first value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a parameter, if it is not empty.
    pub(crate) fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// A whole number of 0..=2^31-1, the bound that S3 has for its counts.
    pub(crate) fn count(&self, name: &'static str) -> Result<Option<u32>> {
        let Some(text) = self.filled(name) else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(n) => match u32::try_from(n).ok().filter(|n| *n <= i32::MAX as u32) {
                Some(n) => Ok(Some(n)),
                None => {
                    Err(S3Error::argument(name, text, format!("{name} must be between 0 and 2147483647")))
                }
            },
            Err(_) => Err(S3Error::argument(name, text, format!("{name} is not an integer"))),
        }
    }
}

/// Decodes `application/x-www-form-urlencoded` text: `%xx` and `+`.
pub(crate) fn decode_form(raw: &str) -> Result<String> {
    let spaced = if raw.contains('+') { Cow::Owned(raw.replace('+', " ")) } else { Cow::Borrowed(raw) };
    decode(&spaced)
}

/// Decodes `%xx`; what is no UTF-8 afterwards is refused.
pub(crate) fn decode(raw: &str) -> Result<String> {
    match percent_decode_str(raw).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(S3Error::from(S3Code::InvalidURI)),
    }
}

/// A head of plain values, for tests and for callers that hold a head of their own.
#[derive(Debug, Clone, Default)]
pub struct PlainHead {
    /// The method.
    pub method: String,
    /// Path as sent.
    pub path: String,
    /// Query as sent.
    pub query: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
}

impl PlainHead {
    /// A head without headers; `target` is the path with its query.
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method: method.into(), path: path.into(), query: query.into(), headers: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl RequestHead for PlainHead {
    fn method(&self) -> &str {
        &self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> &str {
        &self.query
    }
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    fn each_header(&self, f: &mut dyn FnMut(&str, &str)) {
        self.headers.iter().for_each(|(n, v)| f(n, v));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let q = Query::parse("acl&prefix=a%2Fb+c&x=1=2&empty=&&n=%C3%A9").unwrap();
        assert!(q.has("acl") && !q.has("ac"));
        for (name, expected) in [("acl", ""), ("prefix", "a/b c"), ("x", "1=2"), ("empty", ""), ("n", "é")] {
            assert_eq!(q.get(name), Some(expected), "{name}");
        }
        assert_eq!(Query::parse("a=%ff").unwrap_err().code, S3Code::InvalidURI);
    }

    #[test]
    fn counts() {
        let count = |raw: &str| Query::parse(raw).unwrap().count("n").map_err(|e| e.code);
        let bad = Err(S3Code::InvalidArgument);
        let table = [
            ("", Ok(None)),
            ("n=", Ok(None)),
            ("n=0", Ok(Some(0))),
            ("n=2147483647", Ok(Some(2_147_483_647))),
            ("n=2147483648", bad),
            ("n=-1", bad),
            ("n=blah", bad),
            ("n=1.5", bad),
            ("n=99999999999999999999", bad),
        ];
        for (raw, expected) in table {
            assert_eq!(count(raw), expected, "{raw}");
        }
    }
}
