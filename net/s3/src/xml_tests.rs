use proptest::prelude::*;

use super::*;

#[test]
fn documents_are_read() {
    let body = b"\xef\xbb\xbf<?xml version=\"1.0\"?><!-- c --><s3:A xmlns:s3=\"x\"><B> a&amp;&#x41;<![CDATA[<]]></B><C/><B>2</B></s3:A>\n";
    let a = Node::parse(body, "A").unwrap();
    assert_eq!(a.all("B").map(|b| b.text.as_str()).collect::<Vec<_>>(), [" a&A<", "2"]);
    assert_eq!(a.text_of("C"), Some(""));
    assert_eq!(a.text_of("D"), None);
    assert_eq!(a.required("D").unwrap_err().code, S3Code::MalformedXML);
}

#[test]
fn what_is_not_well_formed_or_not_bounded_is_refused() {
    let deep = format!("{}{}", "<A>".repeat(20), "</A>".repeat(20));
    let wide = format!("<A>{}</A>", "<B/>".repeat(ELEMENTS_MAX + 1));
    let bomb = "<!DOCTYPE A [<!ENTITY x \"xxxxxxxx\">]><A>&x;</A>";
    let bad = [
        "",
        " ",
        "text",
        "<A>",
        "</A>",
        "<A></B>",
        "<B/>",
        "<A/><A/>",
        "<A/>x",
        "<A>&x;</A>",
        "<A>&#x0;</A>",
        "<A>&</A>",
        &deep,
        &wide,
        bomb,
    ];
    for body in bad {
        let e = Node::parse(body.as_bytes(), "A").unwrap_err();
        assert_eq!(e.code, S3Code::MalformedXML, "{:.80}", body);
    }
    assert_eq!(Node::parse(b"<A>\xff</A>", "A").unwrap_err().code, S3Code::MalformedXML);
    let large = vec![b' '; weir_types::limits::XML_BYTES_MAX + 1];
    assert_eq!(Node::parse(&large, "A").unwrap_err().code, S3Code::MaxMessageLengthExceeded);
}

#[test]
fn illegal_characters_never_stand_bare() {
    let mut w = Writer::bare("A");
    w.text("B", "a<b>&\"\r\n\t\u{1}\u{ffff}é");
    let text = String::from_utf8(w.finish()).unwrap();
    assert!(text.ends_with("<A><B>a&lt;b&gt;&amp;&quot;&#xD;\n\t&#x1;&#xFFFF;é</B></A>"), "{text}");
}

proptest! {
    #[test]
    fn text_round_trips(text in "[^\\u{0}-\\u{8}\\u{b}\\u{c}\\u{e}-\\u{1f}\\u{fffe}\\u{ffff}]{0,40}") {
        let mut w = Writer::new("A");
        w.element("B", |w| w.text("C", &text));
        let body = w.finish();
        let node = Node::parse(&body, "A").unwrap();
        prop_assert_eq!(node.child("B").unwrap().text_of("C"), Some(text.as_str()));
    }

    #[test]
    fn any_bytes_are_answered(body in proptest::collection::vec(any::<u8>(), 0..200), text in "[<>/A!&;#x\\[\\]\"'= -]{0,60}") {
        let _ = Node::parse(&body, "A");
        let _ = Node::parse(text.as_bytes(), "A");
    }
}
