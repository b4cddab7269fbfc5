use std::fmt;

use weir_types::limits::HEADERS_MAX;

use crate::fields::{Framing, Meaning};
use crate::method::Method;

/// Offset and length of a part of the head. A head is at most 32 KiB, so 16 bits hold both.
pub(crate) type Part = (u16, u16);

/// The request line, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line {
    pub(crate) method: Method,
    pub(crate) minor: u8,
    pub(crate) target: Part,
    /// Absent where an absolute target has none, which means `/`.
    pub(crate) path: Option<Part>,
    pub(crate) query: Part,
}

/// Where one header's name and value lie in the head.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    pub(crate) name: Part,
    pub(crate) value: Part,
}

/// Room for the header table of one request, to be kept by a connection and used again for the next one.
pub struct HeaderSlots {
    pub(crate) spans: [Span; HEADERS_MAX],
}

impl Default for HeaderSlots {
    fn default() -> Self {
        Self { spans: [Span::default(); HEADERS_MAX] }
    }
}

impl fmt::Debug for HeaderSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeaderSlots")
    }
}

/// A request head that kept every rule, borrowed from the receive buffer. Copies are cheap.
#[derive(Clone, Copy)]
pub struct Head<'b> {
    /// What is asked.
    pub method: Method,
    /// The request target as sent.
    pub target: &'b str,
    /// The path as sent, still percent-encoded: starts with `/`, or is `*` (OPTIONS only).
    pub path: &'b str,
    /// What follows the first `?`, still encoded; empty without one.
    pub query: &'b str,
    /// Minor version: 0 or 1.
    pub minor: u8,
    text: &'b str,
    spans: &'b [Span],
    line: Line,
    meaning: Meaning,
}

impl<'b> Head<'b> {
    /// The value of the first header of this name, in any case, surrounding white space removed.
    pub fn header(&self, name: &str) -> Option<&'b str> {
        self.headers(name).next()
    }

    /// The values of every header of this name, in the order sent.
    pub fn headers<'n>(&self, name: &'n str) -> impl Iterator<Item = &'b str> + use<'b, 'n> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header as (name as sent, value), in the order sent.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b str)> + use<'b> {
        let text = self.text;
        self.spans.iter().map(move |s| (slice(text, s.name), slice(text, s.value)))
    }

    /// How the body is framed. Bad framing never gets this far: [`crate::parse_head`] refuses it.
    pub fn framing(&self) -> Framing {
        self.meaning.framing
    }

    /// Whether the client allows another request on the connection after this one.
    pub fn keep_alive(&self) -> bool {
        self.meaning.keep_alive
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn expects_continue(&self) -> bool {
        self.meaning.expects_continue
    }

    /// `Host` as sent: name and port. Absent only in HTTP/1.0.
    pub fn host(&self) -> Option<&'b str> {
        self.header("host")
    }

    /// A copy that outlives the receive buffer.
    pub fn to_owned(&self) -> OwnedHead {
        OwnedHead { text: self.text.into(), spans: self.spans.into(), line: self.line, meaning: self.meaning }
    }

    /// A head over `text`, of which `line` and `spans` are parts.
    pub(crate) fn new(text: &'b str, spans: &'b [Span], line: Line, meaning: Meaning) -> Self {
        Self {
            method: line.method,
            target: slice(text, line.target),
            path: line.path.map_or("/", |s| slice(text, s)),
            query: slice(text, line.query),
            minor: line.minor,
            text,
            spans,
            line,
            meaning,
        }
    }
}

/// Header values may be credentials, so only the request line is shown.
impl fmt::Debug for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Head({} {} HTTP/1.{}, {} headers)", self.method, self.path, self.minor, self.spans.len())
    }
}

/// A head that owns its bytes, for a request that is handed to another thread.
#[derive(Clone)]
pub struct OwnedHead {
    text: Box<str>,
    spans: Box<[Span]>,
    line: Line,
    meaning: Meaning,
}

impl OwnedHead {
    /// The head, with everything that can be asked of one.
    pub fn head(&self) -> Head<'_> {
        Head::new(&self.text, &self.spans, self.line, self.meaning)
    }
}

impl fmt::Debug for OwnedHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head().fmt(f)
    }
}

/// Spans are made by the parser from this very text; should one ever be wrong, it reads as empty.
pub(crate) fn slice(text: &str, (start, len): Part) -> &str {
    let start = usize::from(start);
    text.get(start..start + usize::from(len)).unwrap_or("")
}
