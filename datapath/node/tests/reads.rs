//! Reading objects through HTTP in every way there is: the bytes, the fields, and that nothing old is ever read.

mod http;

use http::{Client, bytes, start};
use weir_types::limits::HOT_OBJECT_BYTES_MAX;

/// Sizes on both sides of each way's bounds.
const SIZES: [usize; 9] = [
    0,
    1,
    4096,
    16 << 10,
    HOT_OBJECT_BYTES_MAX as usize,
    HOT_OBJECT_BYTES_MAX as usize + 1,
    300_000,
    (1 << 20) + 13,
    5 << 20,
];

/// The fields that must be the same however an object is read.
fn fields(client: &Client) -> Vec<Option<String>> {
    let names =
        ["ais-version", "ais-checksum-value", "content-type", "content-length", "etag", "ais-custom-md"];
    names.iter().map(|n| client.field(n).map(str::to_owned)).collect()
}

#[test]
fn every_read_of_an_object_is_the_same_object() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 2, 2);
    let mut client = node.client();
    for durability in ["durable", "relaxed"] {
        let bucket = format!("b-{durability}");
        client.make_bucket(&bucket, durability);
        for size in SIZES {
            let target = format!("/v1/objects/{bucket}/dir/o-{size}?provider=ais");
            for version in 1..=2 {
                let content = bytes(version * 100 + size as u64, size);
                let custom = format!("Ais-Custom-Md: v={version}\r\n");
                assert_eq!(client.ask(&format!("PUT {target}"), &custom, &content), 200);
                let mut first = None;
                // From the disk, brought to where it is at hand, and at hand; on both shards, as connections fall.
                for _ in 0..8 {
                    let mut client = node.client();
                    for _ in 0..4 {
                        assert_eq!(client.ask(&format!("GET {target}"), "", b""), 200, "{target}");
                        assert!(client.body == content, "{target} version {version}");
                        let got = fields(&client);
                        assert_eq!(got[0], Some(version.to_string()));
                        assert_eq!(first.get_or_insert(got.clone()), &got);
                    }
                    let s3 = format!("/{bucket}/dir/o-{size}");
                    for _ in 0..3 {
                        assert_eq!(client.ask(&format!("GET {s3}"), "", b""), 200);
                        assert!(client.body == content && client.field("x-amz-request-id").is_some(), "{s3}");
                    }
                    assert_eq!(client.ask(&format!("HEAD {target}"), "", b""), 200);
                    assert_eq!(client.field("ais-version").map(str::to_owned), Some(version.to_string()));
                }
            }
            assert_eq!(client.ask(&format!("DELETE {target}"), "", b""), 200);
            for _ in 0..4 {
                assert_eq!(node.client().ask(&format!("GET {target}"), "", b""), 404, "{target}");
            }
        }
    }
}

/// Files below a directory that this process has open though they have no name any more.
fn nameless_below(dir: &std::path::Path) -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    targets.filter(|t| t.starts_with(dir) && t.to_string_lossy().ends_with(" (deleted)")).count()
}

#[test]
fn what_was_replaced_gives_its_room_back_though_nobody_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 2, 1);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    let targets: Vec<String> = (0..20).map(|n| format!("/v1/objects/b/o-{n}?provider=ais")).collect();
    let content = bytes(1, 1 << 20);
    for target in &targets {
        assert_eq!(client.ask(&format!("PUT {target}"), "", &content), 200);
        for _ in 0..3 {
            assert_eq!(node.client().ask(&format!("GET {target}"), "", b""), 200);
        }
    }
    for (n, target) in targets.iter().enumerate() {
        let change = if n % 2 == 0 { "PUT" } else { "DELETE" };
        assert_eq!(
            client.ask(&format!("{change} {target}"), "", if n % 2 == 0 { &content } else { b"" }),
            200
        );
    }
    let begun = std::time::Instant::now();
    while nameless_below(dir.path()) > 0 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{} files", nameless_below(dir.path()));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn ranges_of_what_is_at_hand() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 1, 1);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    for size in [10_000usize, 200_000, 3 << 20] {
        let target = format!("/v1/objects/b/o-{size}?provider=ais");
        let content = bytes(size as u64, size);
        assert_eq!(client.ask(&format!("PUT {target}"), "", &content), 200);
        for _ in 0..4 {
            for (from, to) in
                [(0, 0), (1, 4096), (size / 2, size / 2 + 999), (0, size - 1), (size - 1, size - 1)]
            {
                let range = format!("Range: bytes={from}-{to}\r\n");
                assert_eq!(client.ask(&format!("GET {target}"), &range, b""), 206);
                assert!(client.body == content[from..=to], "{size} {from} {to}");
            }
            let beyond = format!("Range: bytes={size}-\r\n");
            assert_eq!(client.ask(&format!("GET {target}"), &beyond, b""), 416);
            assert_eq!(client.ask(&format!("GET {target}"), "", b""), 200);
            assert!(client.body == content);
        }
    }
}

#[test]
fn what_is_kept_stays_within_its_bounds_and_first_reads_drive_nothing_out() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 1, 1);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    let get = |client: &mut Client, name: &str| {
        assert_eq!(client.ask(&format!("GET /v1/objects/b/{name}?provider=ais"), "", b""), 200);
    };
    for name in ["small", "large"] {
        let content = bytes(7, if name == "small" { 4096 } else { 1 << 20 });
        assert_eq!(client.ask(&format!("PUT /v1/objects/b/{name}?provider=ais"), "", &content), 200);
        get(&mut client, name);
        assert_eq!((client.metric("weir_open_objects"), client.metric("weir_hot_bytes")), (0.0, 0.0));
        get(&mut client, name);
        let kept = (client.metric("weir_open_objects"), client.metric("weir_hot_bytes") > 4096.0);
        assert_eq!(kept, if name == "small" { (0.0, true) } else { (1.0, false) });
        assert_eq!(client.ask(&format!("DELETE /v1/objects/b/{name}?provider=ais"), "", b""), 200);
        assert_eq!(client.ask(&format!("GET /v1/objects/b/{name}?provider=ais"), "", b""), 404);
        // What was kept of it went with the look that found it old.
        assert_eq!((client.metric("weir_open_objects"), client.metric("weir_hot_bytes")), (0.0, 0.0));
    }
}

#[test]
fn a_bucket_that_was_made_again_has_none_of_the_old_objects() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 1, 2);
    let mut clients: Vec<Client> = (0..4).map(|_| node.client()).collect();
    for round in 0..3u64 {
        clients[0].make_bucket("b", "durable");
        for size in [100usize, 200_000] {
            let target = format!("/v1/objects/b/o-{size}?provider=ais");
            for client in &mut clients {
                assert_eq!(client.ask(&format!("GET {target}"), "", b""), 404);
            }
            assert_eq!(clients[0].ask(&format!("PUT {target}"), "", &bytes(round, size)), 200);
            for _ in 0..4 {
                for client in &mut clients {
                    assert_eq!(client.ask(&format!("GET {target}"), "", b""), 200);
                    assert!(client.body == bytes(round, size));
                }
            }
        }
        let json = "Content-Type: application/json\r\n";
        let destroy = br#"{"action":"destroy-bck"}"#;
        assert_eq!(clients[0].ask("DELETE /v1/buckets/b?provider=ais", json, destroy), 200);
    }
}

#[test]
fn a_slow_client_gets_all_of_what_is_at_hand() {
    use std::io::{Read, Write};
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), 1, 1);
    let mut client = node.client();
    client.make_bucket("b", "relaxed");
    for size in [60_000usize, 4 << 20] {
        let target = format!("/v1/objects/b/o-{size}?provider=ais");
        let content = bytes(3, size);
        assert_eq!(client.ask(&format!("PUT {target}"), "", &content), 200);
        for _ in 0..4 {
            assert_eq!(client.ask(&format!("GET {target}"), "", b""), 200);
        }
        // Many answers asked for before one is read: the socket is full in the middle of some head or body.
        let asked = 200_000_000 / (size * 4).max(1_000_000);
        let mut stream = std::net::TcpStream::connect(node.addr).unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n").repeat(asked);
        stream.write_all(request.as_bytes()).unwrap();
        let mut whole = Vec::new();
        let mut piece = vec![0; 1 << 20];
        let mut answers = 0;
        while answers < asked {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "cut after {answers} of {asked}");
            whole.extend_from_slice(&piece[..n]);
            while let Some(end) = whole.windows(4).position(|w| w == b"\r\n\r\n") {
                if whole.len() < end + 4 + size {
                    break;
                }
                assert!(whole.starts_with(b"HTTP/1.1 200") && whole[end + 4..end + 4 + size] == content[..]);
                whole.drain(..end + 4 + size);
                answers += 1;
            }
        }
        assert!(whole.is_empty());
    }
}
