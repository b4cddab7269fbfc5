use proptest::prelude::*;

use super::*;

fn query(raw: &str) -> Query {
    Query::parse(raw).unwrap()
}

fn entry(key: &str) -> Entry<'_> {
    Entry { key, size: 3, mtime_ns: 0, etag: "e".into() }
}

fn owner() -> Owner {
    Owner { id: "id".into(), display_name: "name".into() }
}

fn text(body: Vec<u8>) -> String {
    String::from_utf8(body).unwrap()
}

/// The document between its root's tags.
fn inside(body: Vec<u8>) -> String {
    let text = text(body);
    let from = text.find("2006-03-01/\">").unwrap() + "2006-03-01/\">".len();
    text[from..text.rfind("</").unwrap()].to_owned()
}

const CONTENTS_A: &str = "<Contents><Key>a</Key><LastModified>1970-01-01T00:00:00.000Z</LastModified>\
    <ETag>&quot;e&quot;</ETag><Size>3</Size><StorageClass>STANDARD</StorageClass>";

#[test]
fn first_generation() {
    let op = ListObjects::parse(&query("marker=%0A&delimiter=/&max-keys=2")).unwrap();
    let page = Page { entries: vec![entry("a")], prefixes: vec!["b/"], truncated: true };
    let expected = format!(
        "<Name>bucket</Name><Prefix></Prefix><Marker>\n</Marker><NextMarker>b/</NextMarker><MaxKeys>2</MaxKeys>\
         <Delimiter>/</Delimiter><IsTruncated>true</IsTruncated>{CONTENTS_A}<Owner><ID>id</ID><DisplayName>name</DisplayName></Owner>\
         </Contents><CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>"
    );
    assert_eq!(inside(op.render("bucket", &page, &owner())), expected);
    // Without a delimiter the last key serves as the marker.
    let op = ListObjects::parse(&query("")).unwrap();
    let plain = inside(op.render("bucket", &page, &owner()));
    assert!(plain.contains("<Marker></Marker><MaxKeys>1000</MaxKeys><IsTruncated>true"), "{plain}");
}

#[test]
fn second_generation() {
    let op =
        ListObjects::parse(&query("list-type=2&start-after=%0A&continuation-token=&max-keys=1")).unwrap();
    assert_eq!(op.after(), Some("\n"));
    let page = Page { entries: vec![entry("a")], prefixes: vec![], truncated: true };
    let expected = format!(
        "<Name>bucket</Name><Prefix></Prefix><KeyCount>1</KeyCount><ContinuationToken></ContinuationToken>\
         <NextContinuationToken>YQ</NextContinuationToken><StartAfter>\n</StartAfter><MaxKeys>1</MaxKeys>\
         <IsTruncated>true</IsTruncated>{CONTENTS_A}</Contents>"
    );
    assert_eq!(inside(op.render("bucket", &page, &owner())), expected);
    let op =
        ListObjects::parse(&query("list-type=2&start-after=bar&continuation-token=YmF6&fetch-owner=true"))
            .unwrap();
    assert_eq!((op.after(), op.fetch_owner), (Some("baz"), true));
}

#[test]
fn names_are_encoded_when_asked() {
    let op = ListObjects::parse(&query(
        "list-type=2&encoding-type=url&prefix=a%20&delimiter=%2F%2B&start-after=%0a",
    ))
    .unwrap();
    let page = Page {
        entries: vec![entry("asdf+b"), entry("\u{1}é")],
        prefixes: vec!["quux ab/"],
        truncated: false,
    };
    let got = inside(op.render("bucket", &page, &owner()));
    for part in [
        "<Prefix>a%20</Prefix>",
        "<StartAfter>%0A</StartAfter>",
        "<Delimiter>/%2B</Delimiter><EncodingType>url</EncodingType>",
        "<Key>asdf%2Bb</Key>",
        "<Key>%01%C3%A9</Key>",
        "<CommonPrefixes><Prefix>quux%20ab/</Prefix></CommonPrefixes>",
    ] {
        assert!(got.contains(part), "{part} in {got}");
    }
}

#[test]
fn an_empty_page_is_never_truncated() {
    let op = ListObjects::parse(&query("max-keys=0")).unwrap();
    assert_eq!(op.scope.max_keys, 0);
    let page = Page { truncated: true, ..Page::default() };
    assert!(text(op.render("b", &page, &owner())).contains("<IsTruncated>false</IsTruncated>"));
}

#[test]
fn a_page_goes_on_behind_its_last_name() {
    let after = |raw: &str| ListObjects::parse(&query(raw)).unwrap().after;
    let table = [
        ("", None),
        ("marker=", None),
        ("marker=foo", Some("foo")),
        // A marker that is a common prefix of this listing stands for all names under it.
        ("marker=foo/&delimiter=/", Some("foo/\u{10ffff}")),
        ("marker=foo/bar&delimiter=/", Some("foo/bar")),
        ("marker=foo/&delimiter=/&prefix=foo/", Some("foo/")),
        ("marker=foo/bar/&delimiter=/&prefix=foo/", Some("foo/bar/\u{10ffff}")),
        ("marker=foo/bar/&delimiter=/", Some("foo/bar/")),
        ("marker=foo/&delimiter=/&prefix=x", Some("foo/")),
        ("list-type=2&continuation-token=Zm9vLw&delimiter=/", Some("foo/\u{10ffff}")),
        ("list-type=2&start-after=foo/&delimiter=/", Some("foo/")),
        ("list-type=2&marker=foo", None),
        ("continuation-token=Zm9vLw", None),
    ];
    for (raw, expected) in table {
        assert_eq!(after(raw).as_deref(), expected, "{raw}");
    }
    assert!(ListObjects::parse(&query("list-type=2&continuation-token=not%20ours")).is_err());
    assert!(ListObjects::parse(&query("allow-unordered=true&delimiter=/")).is_err());
    assert!(ListObjects::parse(&query("allow-unordered=true")).is_ok());
}

#[test]
fn page_sizes_are_bounded() {
    for (raw, expected) in [("", 1000), ("max-keys=7", 7), ("max-keys=100000", 1000), ("max-keys=", 1000)] {
        assert_eq!(Scope::parse(&query(raw), "max-keys").unwrap().max_keys, expected, "{raw}");
    }
}

#[test]
fn versions_are_null() {
    let op = ListVersions::parse(&query("key-marker=A&version-id-marker=null&prefix=a")).unwrap();
    assert_eq!(op.after(), Some("A"));
    let page = Page { entries: vec![entry("a")], prefixes: vec![], truncated: true };
    let got = inside(op.render("bucket", &page, &owner()));
    for part in [
        "<KeyMarker>A</KeyMarker><VersionIdMarker>null</VersionIdMarker><NextKeyMarker>a</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>",
        "<Version><VersionId>null</VersionId><IsLatest>true</IsLatest><Key>a</Key>",
    ] {
        assert!(got.contains(part), "{part} in {got}");
    }
}

/// A store of names, listed as S3 says, to walk pages against.
fn list<'a>(names: &'a [String], op: &ListObjects) -> Page<'a> {
    let mut page = Page::default();
    for name in names.iter().filter(|n| n.starts_with(&op.scope.prefix)) {
        if op.after().is_some_and(|after| name.as_str() <= after) {
            continue;
        }
        let delimiter = op.scope.delimiter.as_deref();
        let rolled = delimiter.and_then(|d| {
            let from = op.scope.prefix.len();
            name[from..].find(d).map(|i| &name[..from + i + d.len()])
        });
        if rolled.is_some() && rolled == page.prefixes.last().copied() {
            continue;
        }
        if page.entries.len() + page.prefixes.len() == op.scope.max_keys {
            page.truncated = true;
            break;
        }
        match rolled {
            Some(prefix) => page.prefixes.push(prefix),
            None => page.entries.push(entry(name)),
        }
    }
    page
}

proptest! {
    #[test]
    fn pages_cover_a_listing_once(names in proptest::collection::btree_set("[ab/\u{e9}]{1,5}", 0..30), prefix in "[ab/]{0,2}", delimiter in "(/|b|a/|)", max in 1usize..5, v2: bool) {
        let names: Vec<_> = names.into_iter().collect();
        let encode = |s: &str| utf8_percent_encode(s, crate::xml::URL_ENCODED).to_string();
        let base = format!("prefix={}&delimiter={}", encode(&prefix), encode(&delimiter));
        let all = ListObjects::parse(&query(&base)).unwrap();
        let whole = list(&names, &all);
        let mut expected: Vec<&str> = whole.entries.iter().map(|e| e.key).chain(whole.prefixes.iter().copied()).collect();
        expected.sort_unstable();
        let (mut got, mut next) = (Vec::new(), String::new());
        loop {
            let op = ListObjects::parse(&query(&format!("{base}&max-keys={max}{next}"))).unwrap();
            let page = list(&names, &op);
            let mut keys: Vec<&str> = page.entries.iter().map(|e| e.key).chain(page.prefixes.iter().copied()).collect();
            keys.sort_unstable();
            got.extend(keys);
            let Some(last) = page.last().filter(|_| page.truncated) else { break };
            next = if v2 { format!("&list-type=2&continuation-token={}", encode_token(last)) } else { format!("&marker={}", encode(last)) };
        }
        prop_assert_eq!(got, expected);
    }
}
