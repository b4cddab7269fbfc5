//! Conditional requests: RFC 9110, 13.1 and 13.2.2, with what S3 adds for writes.

use crate::dates::{http_date, parse_any_date, parse_http_date, whole_seconds};
use crate::error::{Result, S3Code, S3Error};
use crate::request::RequestHead;

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtagMatch {
    /// `*`: any object.
    Any,
    /// One of these, unquoted; those that were sent weak are marked.
    List(Vec<Etag>),
}

/// An entity tag as a client sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag {
    /// The tag without quotes.
    pub tag: String,
    /// Whether it was sent as `W/"…"`.
    pub weak: bool,
}

impl EtagMatch {
    /// Reads a header value. Quotes may be missing: many clients of S3 leave them out.
    pub fn parse(value: &str) -> Self {
        if value.trim() == "*" {
            return Self::Any;
        }
        let tag = |part: &str| {
            let part = part.trim();
            let (part, weak) = part.strip_prefix("W/").map_or((part, false), |p| (p, true));
            Etag { tag: unquoted(part).to_owned(), weak }
        };
        Self::List(value.split(',').map(tag).filter(|e| !e.tag.is_empty()).collect())
    }

    /// Strong comparison with an object's tag (unquoted): a weak tag never matches.
    pub fn matches(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|t| !t.weak && t.tag == etag),
        }
    }

    /// Weak comparison.
    pub fn matches_weakly(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::List(tags) => tags.iter().any(|t| t.tag == etag),
        }
    }
}

/// The tag without its quotes, if it has them.
pub(crate) fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|e| e.strip_suffix('"')).unwrap_or(etag)
}

/// Conditions of a read, or those that a copy puts on its source. Dates are whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadConditions {
    /// `If-Match`.
    pub if_match: Option<EtagMatch>,
    /// `If-None-Match`.
    pub if_none_match: Option<EtagMatch>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<u64>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<u64>,
    /// `If-Range`: without it, or when it holds, `Range` applies.
    pub if_range: Option<IfRange>,
}

/// The value of `If-Range`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfRange {
    /// A strong entity tag, unquoted; `None` if it was weak and so never holds.
    Etag(Option<String>),
    /// A date in whole seconds since 1970.
    Date(u64),
}

/// Names of the four conditional headers.
struct Names([&'static str; 4]);

const OWN: Names = Names(["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]);
const SOURCE: Names = Names([
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-unmodified-since",
]);

impl ReadConditions {
    /// Reads the conditions of GET and HEAD.
    pub fn parse<H: RequestHead + ?Sized>(head: &H) -> Self {
        let mut conditions = Self::read(head, &OWN);
        conditions.if_range = head.header("if-range").map(|value| match parse_http_date(value) {
            Some(date) => IfRange::Date(date),
            None if value.trim().starts_with("W/") => IfRange::Etag(None),
            None => IfRange::Etag(Some(unquoted(value.trim()).to_owned())),
        });
        conditions
    }

    /// Reads the conditions that a copy puts on its source.
    pub fn parse_source<H: RequestHead + ?Sized>(head: &H) -> Self {
        Self::read(head, &SOURCE)
    }

    fn read<H: RequestHead + ?Sized>(head: &H, names: &Names) -> Self {
        let Names([m, n, modified, unmodified]) = names;
        Self {
            if_match: head.header(m).map(EtagMatch::parse),
            if_none_match: head.header(n).map(EtagMatch::parse),
            if_modified_since: head.header(modified).and_then(parse_http_date),
            if_unmodified_since: head.header(unmodified).and_then(parse_http_date),
            if_range: None,
        }
    }

    /// Evaluates them for an object in the order of RFC 9110, 13.2.2: `PreconditionFailed`, or `NotModified`
    /// with the headers that a 304 repeats.
    pub fn check(&self, etag: &str, mtime_ns: u64) -> Result<()> {
        let seconds = whole_seconds(mtime_ns);
        let failed = |condition: &str| S3Error::from(S3Code::PreconditionFailed).with("Condition", condition);
        let unchanged = || {
            S3Error::from(S3Code::NotModified)
                .with_header("etag", crate::render::quoted(etag))
                .with_header("last-modified", http_date(mtime_ns))
        };
        match (&self.if_match, self.if_unmodified_since) {
            (Some(tags), _) if !tags.matches(etag) => return Err(failed("If-Match")),
            (None, Some(date)) if seconds > date => return Err(failed("If-Unmodified-Since")),
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(tags), _) if tags.matches_weakly(etag) => Err(unchanged()),
            (None, Some(date)) if seconds <= date => Err(unchanged()),
            _ => Ok(()),
        }
    }

    /// The same for the source of a copy, where an unchanged source is a failed condition too.
    pub fn check_source(&self, etag: &str, mtime_ns: u64) -> Result<()> {
        self.check(etag, mtime_ns).map_err(|_| {
            S3Error::from(S3Code::PreconditionFailed).with("Condition", "x-amz-copy-source-if-*")
        })
    }

    /// Whether `Range` is to be honoured, as far as `If-Range` says.
    pub fn range_applies(&self, etag: &str, mtime_ns: u64) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Etag(tag)) => tag.as_deref() == Some(etag),
            Some(IfRange::Date(date)) => whole_seconds(mtime_ns) == *date,
        }
    }
}

/// Conditions of a write or a removal, for the committer to evaluate at the moment of the change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteConditions {
    /// `If-Match`: the object must be there and have one of the tags.
    pub if_match: Option<EtagMatch>,
    /// `If-None-Match`: no object, or none with one of the tags.
    pub if_none_match: Option<EtagMatch>,
    /// `x-amz-if-match-last-modified-time`, for removals: whole seconds since 1970.
    pub if_match_mtime: Option<u64>,
    /// `x-amz-if-match-size`, for removals: bytes.
    pub if_match_size: Option<u64>,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Current<'a> {
    /// Its tag, unquoted.
    pub etag: &'a str,
    /// Its last modification in nanoseconds since 1970.
    pub mtime_ns: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl WriteConditions {
    /// Reads the conditions of PUT and of completing an upload.
    pub fn parse<H: RequestHead + ?Sized>(head: &H) -> Self {
        Self {
            if_match: head.header("if-match").map(EtagMatch::parse),
            if_none_match: head.header("if-none-match").map(EtagMatch::parse),
            ..Self::default()
        }
    }

    /// Reads the conditions of a removal.
    pub fn parse_delete<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        let invalid = |name, value: &str| S3Error::argument(name, value, "the condition cannot be read");
        let mut conditions =
            Self { if_match: head.header("if-match").map(EtagMatch::parse), ..Self::default() };
        const MTIME: &str = "x-amz-if-match-last-modified-time";
        if let Some(text) = head.header(MTIME) {
            conditions.if_match_mtime = Some(parse_any_date(text).ok_or_else(|| invalid(MTIME, text))?);
        }
        const SIZE: &str = "x-amz-if-match-size";
        if let Some(text) = head.header(SIZE) {
            conditions.if_match_size = Some(text.trim().parse().map_err(|_| invalid(SIZE, text))?);
        }
        Ok(conditions)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Evaluates them for a write: `NoSuchKey` when `If-Match` finds no object, else `PreconditionFailed`.
    pub fn check_put(&self, key: &str, current: Option<Current<'_>>) -> Result<()> {
        match (current, &self.if_match) {
            (None, Some(_)) => Err(S3Error::no_such_key(key)),
            (None, None) => Ok(()),
            (Some(now), _) => self.check_present(now),
        }
    }

    /// Evaluates them for a removal: where there is no object, removing it succeeds whatever was asked.
    pub fn check_delete(&self, current: Option<Current<'_>>) -> Result<()> {
        current.map_or(Ok(()), |now| self.check_present(now))
    }

    fn check_present(&self, now: Current<'_>) -> Result<()> {
        let failed =
            |condition: &str| Err(S3Error::from(S3Code::PreconditionFailed).with("Condition", condition));
        if self.if_match.as_ref().is_some_and(|tags| !tags.matches(now.etag)) {
            return failed("If-Match");
        }
        if self.if_none_match.as_ref().is_some_and(|tags| tags.matches_weakly(now.etag)) {
            return failed("If-None-Match");
        }
        if self.if_match_mtime.is_some_and(|date| date != whole_seconds(now.mtime_ns)) {
            return failed("x-amz-if-match-last-modified-time");
        }
        if self.if_match_size.is_some_and(|size| size != now.size) {
            return failed("x-amz-if-match-size");
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "conditions_tests.rs"]
mod tests;
