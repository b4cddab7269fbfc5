//! An origin's XML as a small tree. What it holds is kept byte for byte: keys may begin or end with spaces.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements within elements; S3's deepest answer has four.
const DEPTH_MAX: usize = 16;

/// One element: local name, own text, children.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

impl Element {
    /// Reads a document; the error says what is wrong with it.
    pub(super) fn parse(xml: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::from_reader(xml);
        // `open[0]` stands for the document itself.
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().map_err(|e| e.to_string())? {
                Event::Start(tag) if open.len() > DEPTH_MAX => {
                    return Err(format!(
                        "{:?} nested deeper than {DEPTH_MAX}",
                        local(tag.local_name().as_ref())
                    ));
                }
                Event::Start(tag) => open.push(Self::named(tag.local_name().as_ref())),
                Event::Empty(tag) => top(&mut open)?.children.push(Self::named(tag.local_name().as_ref())),
                Event::End(_) => {
                    let element = open.pop().ok_or("an end without a start")?;
                    top(&mut open)?.children.push(element);
                }
                Event::Text(text) => {
                    top(&mut open)?.text.push_str(&text.decode().map_err(|e| e.to_string())?)
                }
                Event::CData(text) => {
                    top(&mut open)?.text.push_str(&text.decode().map_err(|e| e.to_string())?)
                }
                Event::GeneralRef(name) => {
                    let text = reference(&name)?;
                    top(&mut open)?.text.push_str(&text);
                }
                Event::Eof => break,
                Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => {}
            }
        }
        match (open.len(), open.pop().and_then(|mut document| document.children.pop())) {
            (1, Some(root)) => Ok(root),
            (1, None) => Err("no element".into()),
            _ => Err("an element without its end".into()),
        }
    }

    /// The first child of that name.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The text of the first child of that name, empty when there is none.
    pub(super) fn text_of(&self, name: &str) -> &str {
        self.child(name).map_or("", |c| &c.text)
    }

    fn named(name: &[u8]) -> Self {
        Self { name: local(name), ..Self::default() }
    }
}

fn local(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn top(open: &mut [Element]) -> Result<&mut Element, String> {
    open.last_mut().ok_or_else(|| "an end without a start".into())
}

/// What `&name;` stands for: the five of XML, or a character by number.
fn reference(name: &quick_xml::events::BytesRef<'_>) -> Result<String, String> {
    if let Some(c) = name.resolve_char_ref().map_err(|e| e.to_string())? {
        return Ok(c.into());
    }
    let name = name.decode().map_err(|e| e.to_string())?;
    let text = quick_xml::escape::resolve_predefined_entity(&name);
    text.map(str::to_owned).ok_or_else(|| format!("an unknown entity &{name};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_exactly() {
        let xml = "<?xml version='1.0'?>\n<R xmlns='x'><K> a &amp;&#x1;&#233;<![CDATA[<b>]]> </K><E/><n:K>2</n:K></R>\n";
        let root = Element::parse(xml.as_bytes()).unwrap();
        assert_eq!(root.name, "R");
        assert_eq!(root.text_of("K"), " a &\u{1}é<b> ");
        assert_eq!(root.all("K").map(|k| k.text.as_str()).collect::<Vec<_>>(), [" a &\u{1}é<b> ", "2"]);
        assert_eq!(root.text_of("E"), "");
        assert_eq!(root.text_of("none"), "");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let deep = "<a>".repeat(40) + &"</a>".repeat(40);
        for bad in ["", "plain", "<a>", "<a><b></a>", "</a>", "<a>&nope;</a>", &deep] {
            assert!(Element::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
