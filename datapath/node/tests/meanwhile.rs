//! Changes that are made of what an object is, while others change it: a rename, tags, metadata.

mod http;

use std::sync::atomic::{AtomicBool, Ordering};

use http::{Client, bytes, start};

const LARGE_BYTES: usize = 48 << 20;

fn act(client: &mut Client, line: &str, body: &str) -> u16 {
    client.ask(line, "Content-Type: application/json\r\n", body.as_bytes())
}

/// What an object has, and which generation its metadata says it is of.
fn of(client: &mut Client, name: &str) -> Option<(Vec<u8>, Option<String>)> {
    match client.ask(&format!("GET /b/{name}"), "", b"") {
        200 => Some((std::mem::take(&mut client.body), client.field("x-amz-meta-g").map(str::to_owned))),
        404 => None,
        status => panic!("{name}: {status}"),
    }
}

#[test]
fn a_rename_leaves_what_is_written_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 2, 2);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    let large = bytes(1, LARGE_BYTES);
    for round in 0..4 {
        let (from, to) = (format!("from{round}"), format!("to{round}"));
        assert_eq!(client.ask(&format!("PUT /b/{from}"), "", &large), 200);
        let mut renamer = node.client();
        let line = format!("POST /v1/objects/b/{from}?provider=ais");
        let order = format!(r#"{{"action":"rename-obj","name":"{to}"}}"#);
        let renamed = std::thread::spawn(move || act(&mut renamer, &line, &order));
        let mut last = Vec::new();
        let mut writes = 0;
        while !renamed.is_finished() || writes == 0 {
            writes += 1;
            last = format!("generation {writes}").into_bytes();
            assert_eq!(client.ask(&format!("PUT /b/{from}"), "", &last), 200);
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(renamed.join().unwrap(), 200);
        let (from, to) = (of(&mut client, &from), of(&mut client, &to));
        let kept = from.or(to).map(|(content, _)| content);
        assert!(kept.as_ref() == Some(&last), "round {round}: the last of {writes} writes is gone");
    }
}

#[test]
fn metadata_is_that_of_its_object() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 2, 2);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    assert_eq!(client.ask("PUT /b/o", "x-amz-meta-g: start\r\n", b"start"), 200);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let tagger = |line: &'static str, body: &'static str, statuses: [u16; 2]| {
            let (mut client, over) = (node.client(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let status = client.ask(line, "", body.as_bytes());
                    assert!(statuses.contains(&status), "{status}");
                }
            });
        };
        let tags = "<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>";
        // Whoever comes again and again between another's look and its change has it give up.
        tagger("PUT /b/o?tagging", tags, [200, 503]);
        tagger("DELETE /b/o?tagging", "", [204, 503]);
        for generation in 0..1500 {
            let text = generation.to_string();
            let put = client.ask("PUT /b/o", &format!("x-amz-meta-g: {text}\r\n"), text.as_bytes());
            let got = of(&mut client, "o");
            if (put, &got) != (200, &Some((text.clone().into_bytes(), Some(text.clone())))) {
                over.store(true, Ordering::Relaxed);
                panic!("generation {generation} was stored ({put}), and is {got:?}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
}
