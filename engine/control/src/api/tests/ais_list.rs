use std::collections::BTreeSet;

use weir_ais::LsoRes;

use super::memory::{ais, aws};
use super::{Node, action};

fn bucket(node: &Node) {
    node.ok("POST /v1/buckets/b?provider=ais", &action("create-bck", "null"));
}

fn page(node: &Node, target: &str, value: &str) -> LsoRes {
    serde_json::from_value(node.json(&format!("GET {target}"), &action("list", value))).unwrap()
}

/// All pages: their entries, and how many there were.
fn pages(node: &Node, target: &str, size: usize, more: &str) -> (Vec<String>, usize) {
    let (mut names, mut count, mut token, mut uuid) = (Vec::new(), 0, String::new(), String::new());
    loop {
        let value = format!(r#"{{"pagesize":{size},"continuation_token":"{token}","uuid":"{uuid}"{more}}}"#);
        let page = page(node, target, &value);
        assert!(page.entries.len() <= size && !page.uuid.is_empty());
        assert!(uuid.is_empty() || uuid == page.uuid, "one listing, one UUID");
        uuid = page.uuid;
        names.extend(page.entries.into_iter().map(|e| e.name));
        count += 1;
        token = page.continuation_token;
        if token.is_empty() {
            return (names, count);
        }
    }
}

#[test]
fn pages_cover_every_name_once() {
    let node = Node::start();
    bucket(&node);
    let all: BTreeSet<String> = (0..25).map(|i| format!("o{i:02}")).collect();
    all.iter().for_each(|n| node.memory.put(&ais("b"), n, 3));
    let expected: Vec<String> = all.into_iter().collect();
    for size in [1, 2, 7, 24, 25, 26] {
        let (names, count) = pages(&node, "/v1/buckets/b?provider=ais", size, "");
        assert_eq!(names, expected, "pages of {size}");
        // A full page names a token even if nothing follows.
        assert_eq!(count, 25 / size + 1, "pages of {size}");
    }
    let one =
        page(&node, "/v1/buckets/b?provider=ais", r#"{"prefix":"o1*","pagesize":0,"start_after":"o13"}"#);
    assert_eq!(
        one.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(),
        ["o14", "o15", "o16", "o17", "o18", "o19"]
    );
    assert_eq!(one.continuation_token, "");
}

#[test]
fn msgpack_for_who_accepts_it() {
    let node = Node::start();
    bucket(&node);
    node.memory.put(&ais("b"), "a", 3);
    let request =
        "GET /v1/buckets/b?provider=ais\nAccept: application/msgpack\nContent-Type: application/json";
    let answer = node.ask(request, &action("list", r#"{"props":"name,size","uuid":"kN3lq0Yx9"}"#));
    assert_eq!(answer.header("Content-Type"), Some("application/msgpack"));
    let mut expected = b"\x84\xa4UUID\xa9kN3lq0Yx9\xb1ContinuationToken\xa0\xa7Entries\x91\x83".to_vec();
    expected.extend(b"\xa1n\xa1a\xa1s\x03\xa1f\x40\xa5Flags\x00");
    assert_eq!(answer.body, expected);
}

#[test]
fn properties_asked_for() {
    let node = Node::start();
    bucket(&node);
    node.memory.put(&ais("b"), "a", 3);
    let entry = |props: &str| {
        let page = page(&node, "/v1/buckets/b?provider=ais", &format!(r#"{{"props":"{props}"}}"#));
        page.entries.into_iter().next().unwrap()
    };
    let all = entry("name,size,version,checksum,atime,cached,copies,location,custom");
    assert_eq!((all.size, all.version.as_str(), all.copies), (3, "1", 1));
    assert_eq!((all.checksum.as_str(), all.atime.as_str()), ("26c7827d889f6da3", "21 Nov 25 00:32 UTC"));
    assert_eq!(all.location, format!("t[{}]:mp[/mp1]", node.handle.identity().target));
    let name = entry("name");
    assert_eq!((name.size, name.checksum.as_str(), name.flags.0), (0, "", 64));
}

#[test]
fn directories_without_recursion() {
    let node = Node::start();
    bucket(&node);
    for name in ["a", "d", "d/1", "d/2", "d-x", "e/f/g", "z"] {
        node.memory.put(&ais("b"), name, 1);
    }
    let shown = |value: &str| -> Vec<(String, bool)> {
        let page = page(&node, "/v1/buckets/b?provider=ais", value);
        page.entries.into_iter().map(|e| (e.name, e.flags.0 & 256 != 0)).collect()
    };
    let plain = |names: &[(&str, bool)]| names.iter().map(|(n, d)| ((*n).to_owned(), *d)).collect::<Vec<_>>();
    let all = [("a", false), ("d", false), ("d-x", false), ("d/", true), ("e/", true), ("z", false)];
    assert_eq!(shown(r#"{"flags":"2048"}"#), plain(&all));
    assert_eq!(shown(r#"{"flags":"2048","prefix":"d/"}"#), plain(&[("d/1", false), ("d/2", false)]));
    for size in 1..7 {
        let (names, _) = pages(&node, "/v1/buckets/b?provider=ais", size, r#","flags":"2048""#);
        assert_eq!(names, ["a", "d", "d-x", "d/", "e/", "z"], "pages of {size}");
    }
}

/// Without recursion a directory of an AIS bucket is an entry even with `no-dirs`.
#[test]
fn no_dirs_hid_the_directories_of_what_is_held() {
    let node = Node::start();
    bucket(&node);
    for name in ["p/a", "p/sub/1", "p/sub/deep/2"] {
        node.memory.put(&ais("b"), name, 1);
    }
    let shown = |value: &str| -> Vec<String> {
        let page = page(&node, "/v1/buckets/b?provider=ais", value);
        page.entries.into_iter().map(|e| e.name).collect()
    };
    assert_eq!(shown(r#"{"flags":"10240","prefix":"p/"}"#), ["p/a", "p/sub/"]);
    assert_eq!(shown(r#"{"flags":"10240","prefix":"p/sub/"}"#), ["p/sub/1", "p/sub/deep/"]);
    // With recursion there are none to show.
    assert_eq!(shown(r#"{"flags":"8192"}"#), ["p/a", "p/sub/1", "p/sub/deep/2"]);
}

#[test]
fn a_remote_bucket_shows_what_is_here() {
    let node = Node::start();
    let remote = aws("r");
    node.memory.at_origin(&remote, &["a", "b", "c", "d/e"]);
    for name in ["b", "gone", "d/e"] {
        node.memory.put(&remote, name, 10);
    }
    let shown = |value: &str| -> Vec<(String, u16)> {
        let page = page(&node, "/v1/buckets/r?provider=aws", value);
        page.entries.into_iter().map(|e| (e.name, e.flags.0)).collect()
    };
    let plain = |names: &[(&str, u16)]| names.iter().map(|(n, f)| ((*n).to_owned(), *f)).collect::<Vec<_>>();
    assert_eq!(shown("{}"), plain(&[("a", 0), ("b", 64), ("c", 0), ("d/e", 64)]));
    // cached, not-cached
    assert_eq!(shown(r#"{"flags":"1"}"#), plain(&[("b", 64), ("d/e", 64), ("gone", 64)]));
    assert_eq!(shown(r#"{"flags":"512"}"#), plain(&[("a", 0), ("c", 0)]));
    assert_eq!(shown(r#"{"flags":"2048"}"#), plain(&[("a", 0), ("b", 64), ("c", 0), ("d/", 256)]));
    // no-recursion with no-dirs; with cached besides, which is the walk of what is here
    assert_eq!(shown(r#"{"flags":"10240"}"#), plain(&[("a", 0), ("b", 64), ("c", 0)]));
    assert_eq!(shown(r#"{"flags":"10241"}"#), plain(&[("b", 64), ("d/", 256), ("gone", 64)]));
    for size in 1..6 {
        let (names, _) = pages(&node, "/v1/buckets/r?provider=aws", size, "");
        assert_eq!(names, ["a", "b", "c", "d/e"], "pages of {size}");
        let (names, _) = pages(&node, "/v1/buckets/r?provider=aws", size, r#","flags":"512""#);
        assert_eq!(names, ["a", "c"], "pages of {size}, not cached");
    }
    let custom = page(&node, "/v1/buckets/r?provider=aws", r#"{"props":"name,custom","prefix":"a"}"#);
    assert_eq!(custom.entries[0].custom, "[source:aws ETag:e1 LastModified:Fri, 21 Nov 2025 00:32:11 GMT]");
}

#[test]
fn what_a_listing_refuses() {
    let node = Node::start();
    bucket(&node);
    for (value, status) in [
        (r#"{"prefix":"a/../b"}"#, 400),
        (r#"{"flags":"513"}"#, 400),
        (r#"{"uuid":"no"}"#, 400),
        (r#"{"flags":"8"}"#, 501),
        (r#"{"flags":"x"}"#, 400),
    ] {
        let (got, text) = node.get("GET /v1/buckets/b?provider=ais", &action("list", value));
        assert_eq!(got, status, "{value}: {text}");
    }
    // Flag dont-add-remote leaves the cluster as it is.
    node.memory.at_origin(&aws("r"), &["a"]);
    assert_eq!(page(&node, "/v1/buckets/r?provider=aws", r#"{"flags":"256"}"#).entries.len(), 1);
    assert!(node.handle.view().bmd.get(&aws("r")).is_none());
}
