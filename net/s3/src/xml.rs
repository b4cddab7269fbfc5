//! XML in and out: a small bounded tree for requests, a writer that escapes for answers.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use quick_xml::Reader;
use quick_xml::events::{BytesRef, Event};

use crate::error::{Result, S3Code, S3Error};

/// What `encoding-type=url` and tags escape: all but unreserved characters.
pub(crate) const URL_ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same with `/` left as it is, as S3 does for keys.
pub(crate) const KEY_ENCODED: &AsciiSet = &URL_ENCODED.remove(b'/');
/// The namespace of S3's documents.
pub(crate) const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Elements inside each other. The deepest document that is read has four.
const DEPTH_MAX: usize = 10;
/// Elements of one document: 10,000 parts with eight elements each.
const ELEMENTS_MAX: usize = 100_000;

/// An element of a request: its local name, its own text, its children.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) children: Vec<Node>,
}

impl Node {
    /// Reads a document whose root has this name. Document types, and so entities of their own, are refused.
    pub(crate) fn parse(body: &[u8], root: &str) -> Result<Self> {
        if body.len() > weir_types::limits::XML_BYTES_MAX {
            return Err(S3Code::MaxMessageLengthExceeded.into());
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("not UTF-8"))?;
        let node = read(text.trim_start_matches('\u{feff}'))?;
        if node.name == root {
            Ok(node)
        } else {
            Err(malformed(format!("expected {root}, got {:.64}", node.name)))
        }
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name == name)
    }

    /// Every child of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The text of the first child of this name as sent.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }

    /// The text of a child that must be there.
    pub(crate) fn required(&self, name: &str) -> Result<&str> {
        self.text_of(name).ok_or_else(|| malformed(format!("{} has no {name}", self.name)))
    }
}

/// `MalformedXML` with what was found.
pub(crate) fn malformed(what: impl std::fmt::Display) -> S3Error {
    S3Error::new(
        S3Code::MalformedXML,
        format!("the XML is not well-formed or not of the expected shape: {what}"),
    )
}

fn read(text: &str) -> Result<Node> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut open, mut root, mut elements): (Vec<Node>, Option<Node>, usize) = (Vec::new(), None, 0);
    loop {
        match reader.read_event().map_err(malformed)? {
            Event::Start(start) => {
                elements += 1;
                if root.is_some() || open.len() >= DEPTH_MAX || elements > ELEMENTS_MAX {
                    return Err(malformed("too many or too deeply nested elements"));
                }
                let name =
                    std::str::from_utf8(start.local_name().into_inner()).map_err(malformed)?.to_owned();
                open.push(Node { name, ..Node::default() });
            }
            // The reader has checked that it is the name of the innermost element.
            Event::End(_) => {
                let node = open.pop().ok_or_else(|| malformed("an element ends that did not begin"))?;
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => root = Some(node),
                }
            }
            Event::Text(t) => add_text(&mut open, &t.xml10_content().map_err(malformed)?)?,
            Event::CData(t) => add_text(&mut open, &t.xml10_content().map_err(malformed)?)?,
            Event::GeneralRef(r) => {
                let c = referenced(&r)?;
                add_text(&mut open, c.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(malformed("a document type is not allowed")),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::Empty(_) => {}
            Event::Eof if open.is_empty() => return root.ok_or_else(|| malformed("no element")),
            Event::Eof => return Err(malformed("an element does not end")),
        }
    }
}

fn add_text(open: &mut [Node], text: &str) -> Result<()> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(malformed("text outside of the root element")),
    }
    Ok(())
}

/// A character reference or one of the five entities that XML itself has.
fn referenced(reference: &BytesRef<'_>) -> Result<char> {
    if let Some(c) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(c);
    }
    match reference.decode().map_err(malformed)?.as_ref() {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => Err(malformed(format!("the entity {other:.32} is not known"))),
    }
}

/// Writes one document. Element names are ours; every text is escaped.
#[derive(Debug)]
pub(crate) struct Writer {
    out: String,
    open: Vec<&'static str>,
}

impl Writer {
    /// Begins a document with a root element in S3's namespace.
    pub(crate) fn new(root: &'static str) -> Self {
        Self::begin(root, &format!(" xmlns=\"{NAMESPACE}\""))
    }

    /// Begins a document whose root has no namespace, as errors have none.
    pub(crate) fn bare(root: &'static str) -> Self {
        Self::begin(root, "")
    }

    fn begin(root: &'static str, attributes: &str) -> Self {
        let out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root}{attributes}>");
        Self { out, open: vec![root] }
    }

    /// Opens an element and closes it after `inside`.
    pub(crate) fn element(&mut self, name: &'static str, inside: impl FnOnce(&mut Self)) {
        self.start(name, "");
        inside(self);
        self.end();
    }

    /// Opens an element with attributes written out by the caller.
    pub(crate) fn start(&mut self, name: &'static str, attributes: &'static str) {
        self.open.push(name);
        self.out.extend(["<", name, attributes, ">"]);
    }

    /// Closes the innermost element.
    pub(crate) fn end(&mut self) {
        if let Some(name) = self.open.pop() {
            self.out.extend(["</", name, ">"]);
        }
    }

    /// An element with text.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) {
        self.out.extend(["<", name, ">"]);
        escape_into(&mut self.out, text);
        self.out.extend(["</", name, ">"]);
    }

    /// Text of the innermost open element.
    pub(crate) fn own_text(&mut self, text: &str) {
        escape_into(&mut self.out, text);
    }

    /// An element with the text of a value.
    pub(crate) fn value(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.text(name, &value.to_string());
    }

    /// An element with text, if there is any.
    pub(crate) fn optional(&mut self, name: &'static str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// Ends the document.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.end();
        }
        self.out.into_bytes()
    }
}

/// Escapes markup. What XML 1.0 cannot hold becomes a numeric reference, as S3 itself answers: a strict reader then
/// refuses the document, where any substitute would show it another key. `encoding-type=url` avoids the question.
fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' => out.push(c),
            // CR would be read back as LF.
            c if c < ' ' || matches!(c, '\u{7f}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("&#x{:X};", u32::from(c)));
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
#[path = "xml_tests.rs"]
mod tests;
