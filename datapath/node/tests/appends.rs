//! Appending to objects through AIS's API: what is seen when, what a handle stands for, and what is refused.

mod http;

use http::{Client, Running, bytes, start};
use weir_types::ChecksumKind;
use weir_types::checksum;

const HANDLE: &str = "ais-append-handle";

/// One object that is appended to.
struct Log<'c> {
    client: &'c mut Client,
    target: String,
}

impl<'c> Log<'c> {
    fn of(client: &'c mut Client, name: &str) -> Self {
        Self { client, target: format!("/v1/objects/b/{name}?provider=ais") }
    }

    fn ask(&mut self, kind: &str, handle: &str, fields: &str, body: &[u8]) -> u16 {
        let handle = handle.replace('|', "%7C");
        let line = format!("PUT {}&append_type={kind}&append_handle={handle}", self.target);
        self.client.ask(&line, fields, body)
    }

    /// Appends: the next handle.
    fn add(&mut self, handle: &str, body: &[u8]) -> String {
        assert_eq!(self.ask("append", handle, "", body), 200, "{}", self.said());
        self.client.field(HANDLE).unwrap().to_owned()
    }

    fn flush(&mut self, handle: &str) {
        assert_eq!(self.ask("flush", handle, "", b""), 200, "{}", self.said());
        assert_eq!(self.client.field(HANDLE), None);
    }

    fn put(&mut self, fields: &str, body: &[u8]) {
        assert_eq!(self.client.ask(&format!("PUT {}", self.target), fields, body), 200);
    }

    fn seen(&mut self) -> Option<Vec<u8>> {
        match self.client.ask(&format!("GET {}", self.target), "", b"") {
            200 => Some(std::mem::take(&mut self.client.body)),
            404 => None,
            status => panic!("{status}: {}", self.said()),
        }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.client.body).into_owned()
    }
}

fn node(dir: &std::path::Path) -> Running {
    let node = start(dir, 2, 2);
    node.client().make_bucket("b", "durable");
    node
}

#[test]
fn what_is_appended_is_seen_when_it_is_flushed() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    // Of nothing, of an empty object, of a small one and of one in several blocks.
    for present in [None, Some(0), Some(11), Some((1 << 20) + 5)] {
        let name = present.map_or("none".to_owned(), |size| format!("o-{size}"));
        let mut log = Log::of(&mut client, &name);
        let before = present.map(|size| bytes(size as u64, size));
        if let Some(before) = &before {
            log.put("", before);
        }
        let mut whole = before.clone().unwrap_or_default();
        for round in 0..2 {
            let visible = log.seen();
            let mut handle = String::new();
            for (i, size) in [7, 0, 4096, 300_000, 1].into_iter().enumerate() {
                let piece = bytes(100 * round + i as u64, size);
                handle = log.add(&handle, &piece);
                whole.extend_from_slice(&piece);
                assert!(log.seen() == visible, "{name}: seen before the flush");
            }
            log.flush(&handle);
            assert!(log.seen().as_ref() == Some(&whole), "{name}: other bytes after round {round}");
            let version = u32::from(present.is_some()) + 1 + round as u32;
            assert_eq!(log.client.field("ais-version"), Some(version.to_string().as_str()));
            let sum = checksum::of(ChecksumKind::XxHash2, &whole).hex();
            assert_eq!(log.client.field("ais-checksum-value"), Some(sum.as_str()));
            let line = format!("HEAD {}&props=chunked", log.target);
            assert_eq!(log.client.ask(&line, "", b""), 200);
            assert_eq!(log.client.field("ais-chunks-count"), None, "it shows what it was made of");
        }
    }
    let listed = client.ask("GET /b?uploads", "", b"");
    assert!(listed == 200 && !String::from_utf8_lossy(&client.body).contains("<UploadId>"));
}

#[test]
fn nothing_may_be_appended() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    for before in [None, Some(&b""[..]), Some(b"here")] {
        let mut log =
            Log::of(&mut client, &format!("o-{}", before.map_or("none".into(), |b| b.len().to_string())));
        if let Some(before) = before {
            log.put("", before);
        }
        let first = log.add("", b"");
        assert_eq!(log.add(&first, b""), first);
        log.flush(&first);
        assert_eq!(log.seen().as_deref(), Some(before.unwrap_or_default()));
    }
}

#[test]
fn metadata_stays_and_the_last_flush_wins() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    // S3's checksum of the old content must not stand beside the new.
    let fields = "x-amz-meta-k: v\r\nContent-Type: text/x\r\nx-amz-checksum-crc32: DUoRhQ==\r\n";
    assert_eq!(client.ask("PUT /b/o", fields, b"hello world"), 200);
    let mut log = Log::of(&mut client, "o");
    let (first, second) = (log.add("", b"+1"), log.add("", b"+2"));
    log.flush(&second);
    assert_eq!(log.seen().as_deref(), Some(&b"hello world+2"[..]));
    log.flush(&first);
    assert_eq!(log.seen().as_deref(), Some(&b"hello world+1"[..]));
    assert_eq!(client.ask("GET /b/o", "x-amz-checksum-mode: ENABLED\r\n", b""), 200);
    assert_eq!((client.field("x-amz-meta-k"), client.field("content-type")), (Some("v"), Some("text/x")));
    assert_eq!(client.field("x-amz-checksum-crc32"), None);
    let mut log = Log::of(&mut client, "o");
    let handle = log.add("", b"+3");
    assert_eq!(log.client.ask("DELETE /v1/objects/b/o?provider=ais", "", b""), 200);
    log.flush(&handle);
    assert_eq!(log.seen().as_deref(), Some(&b"hello world+1+3"[..]));
    assert_eq!(log.client.field("ais-custom-md"), None);
}

#[test]
fn a_flush_makes_what_its_handle_stands_for_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    let mut log = Log::of(&mut client, "o");
    let first = log.add("", b"1");
    // The answer to an append was lost: it comes again, with the same bytes or with more.
    let lost = log.add(&first, b"2");
    assert_eq!(log.add(&first, b"2"), lost);
    let more = log.add(&first, b"23");
    assert_ne!(more, lost);
    assert_eq!(log.ask("flush", &lost, "", b""), 400, "a flush of what is not there any more");
    assert!(log.said().contains(&format!("expected \\\"{lost}\\\", got \\\"{more}\\\"")), "{}", log.said());
    assert_eq!(log.seen(), None);
    assert_eq!(log.ask("flush", &more, "", b"4"), 400, "bytes that would go nowhere");
    let sum = |kind: ChecksumKind, of: &[u8]| {
        let value = checksum::of(kind, of).hex();
        format!("Ais-Checksum-Type: {}\r\nAis-Checksum-Value: {value}\r\n", kind.as_str())
    };
    for kind in [ChecksumKind::XxHash2, ChecksumKind::Md5, ChecksumKind::Crc32c] {
        assert_eq!(log.ask("append", &more, &sum(kind, b"other"), b"4"), 400);
        assert_eq!(log.ask("flush", &more, &sum(kind, b"124"), b""), 400);
        assert_eq!(log.seen(), None);
    }
    assert_eq!(log.ask("append", &more, &sum(ChecksumKind::Crc32c, b"4"), b"4"), 200);
    let last = log.client.field(HANDLE).unwrap().to_owned();
    assert_eq!(log.ask("flush", &last, &sum(ChecksumKind::Md5, b"1234"), b""), 200);
    assert_eq!(log.seen().as_deref(), Some(&b"1234"[..]));
    // The answer to the flush was lost.
    log.flush(&last);
    assert_eq!(log.ask("flush", &first, "", b""), 404, "a flush of another handle, when the upload was done");
    assert_eq!(log.client.ask(&format!("HEAD {}", log.target), "", b""), 200);
    assert_eq!(log.client.field("ais-version"), Some("1"));
    log.put("", b"another");
    assert_eq!(log.ask("flush", &last, "", b""), 404);
    assert_eq!(log.ask("append", &last, "", b"5"), 404);
    assert_eq!(log.seen().as_deref(), Some(&b"another"[..]));
}

#[test]
fn wrong_handles_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    let mut log = Log::of(&mut client, "o");
    log.put("", b"kept");
    let handle = log.add("", b"x");
    let [node, upload, parts, digest] = handle.split('|').collect::<Vec<_>>()[..] else { panic!("{handle}") };
    assert_eq!(parts, "2");
    let other = "1".repeat(digest.len());
    let created = r#"{"action":"mpt-upload"}"#;
    let line = "POST /v1/objects/b/o?provider=ais";
    assert_eq!(log.client.ask(line, "Content-Type: application/json\r\n", created.as_bytes()), 200);
    let plain = log.said();
    let rows = [
        ("append", "nonsense".to_owned(), 400),
        ("flush", String::new(), 400),
        ("both", handle.clone(), 400),
        ("append", format!("{node}|{upload}|10000|{digest}"), 400),
        // It would drop the object that was there.
        ("append", format!("{node}|{upload}|0|{digest}"), 400),
        ("flush", format!("{node}|{upload}|0|{}", "0".repeat(digest.len())), 400),
        ("flush", format!("{node}|{upload}|2|{other}"), 400),
        ("flush", format!("{node}|{upload}|3|{digest}"), 400),
        ("append", format!("{node}|{plain}|0|{digest}"), 404),
        ("flush", format!("{node}|{plain}|0|{}", "0".repeat(digest.len())), 404),
        ("append", format!("{node}|..|0|{digest}"), 404),
        ("flush", format!("{node}|0000|0|{digest}"), 404),
    ];
    for (kind, handle, status) in rows {
        let body: &[u8] = if kind == "flush" { b"" } else { b"y" };
        assert_eq!(log.ask(kind, &handle, "", body), status, "{kind} {handle}: {}", log.said());
        assert_eq!(log.client.field(HANDLE), None);
    }
    assert_eq!(Log::of(log.client, "another").ask("append", &handle, "", b"y"), 404);
    assert_eq!(log.seen().as_deref(), Some(&b"kept"[..]));
    log.flush(&handle);
    assert_eq!(log.seen().as_deref(), Some(&b"keptx"[..]));
}

#[test]
fn appends_go_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let handle = {
        let node = node(dir.path());
        let mut client = node.client();
        let mut log = Log::of(&mut client, "o");
        log.put("", b"0");
        log.add("", b"1")
    };
    let node = start(dir.path(), 2, 2);
    let mut client = node.client();
    let mut log = Log::of(&mut client, "o");
    assert_eq!(log.seen().as_deref(), Some(&b"0"[..]));
    let handle = log.add(&handle, b"2");
    log.flush(&handle);
    assert_eq!(log.seen().as_deref(), Some(&b"012"[..]));
}

/// Runs the job that removes what is left over.
fn clean_up(client: &mut Client) {
    let json = "Content-Type: application/json\r\n";
    let start = br#"{"action":"start","value":{"kind":"cleanup"}}"#;
    assert_eq!(client.ask("PUT /v1/cluster", json, start), 200);
    let by_id = format!(r#"{{"id":{:?}}}"#, String::from_utf8_lossy(&client.body));
    loop {
        assert_eq!(client.ask("GET /v1/cluster?what=status", json, by_id.as_bytes()), 200);
        let status = String::from_utf8_lossy(&client.body).into_owned();
        if !status.contains(r#""end_time":0"#) {
            assert!(status.contains(r#""err":"""#), "{status}");
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn what_is_never_flushed_goes_when_it_is_old_and_uploads_stay() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(dir.path());
    let mut client = node.client();
    let mut log = Log::of(&mut client, "o");
    log.put("", b"0");
    let handle = log.add("", b"1");
    let empty = Log::of(log.client, "empty").add("", b"");
    let json = "Content-Type: application/json\r\n";
    let created = br#"{"action":"mpt-upload"}"#;
    assert_eq!(log.client.ask("POST /v1/objects/b/u?provider=ais", json, created), 200);
    assert_eq!(log.client.ask("POST /b/s3?uploads", "", b""), 200);
    // They are young.
    clean_up(log.client);
    let handle = log.add(&handle, b"2");
    let config = br#"{"action":"set-config","value":{"space":{"dont_cleanup_time":"0s"}}}"#;
    assert_eq!(log.client.ask("PUT /v1/cluster", json, config), 200);
    clean_up(log.client);
    assert_eq!(log.ask("append", &handle, "", b"3"), 404, "{}", log.said());
    assert_eq!(log.ask("flush", &handle, "", b""), 404, "{}", log.said());
    assert_eq!(Log::of(log.client, "empty").ask("flush", &empty, "", b""), 404);
    assert_eq!(log.seen().as_deref(), Some(&b"0"[..]));
    assert_eq!(client.ask("GET /b?uploads", "", b""), 200);
    let left = String::from_utf8_lossy(&client.body).into_owned();
    assert_eq!(left.matches("<UploadId>").count(), 2, "{left}");
    assert!(left.contains("<Key>u</Key>") && left.contains("<Key>s3</Key>"), "{left}");
}
