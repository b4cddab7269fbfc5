//! What goes over the wire for each call, and what becomes of answers: a listener stands where a node would.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;
use weir_types::{Bucket, BucketName, Provider};

use super::{Client, ListAsk, Tally, Which};
use crate::error::ToolError;
use crate::progress::Progress;
use crate::uri::ObjectUri;

/// Answers the n-th request with the n-th text; what was asked comes over the channel, head and body.
fn node(answers: Vec<String>) -> (Client, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    let here = url.clone();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            while let Some(question) = question(&mut socket) {
                let Some(answer) = answers.next() else { return };
                asked.send(question).unwrap();
                socket.write_all(answer.replace("{here}", &here).as_bytes()).unwrap();
                if answer.contains("Connection: close") {
                    break;
                }
            }
        }
    });
    (Client::new(&url, Some("secret-token".into())).unwrap(), questions)
}

/// One request with a body by Content-Length or in chunks; consents where consent is asked.
fn question(socket: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut buf = [0; 4096];
    let mut consented = false;
    loop {
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n") {
            let head = head.to_lowercase();
            let length =
                head.lines().find_map(|l| l.strip_prefix("content-length: ")).map(|n| n.parse().unwrap());
            let chunked = head.contains("transfer-encoding: chunked");
            if head.contains("expect: 100-continue") && !consented {
                consented = true;
                socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
            }
            let done = if chunked { body.ends_with("0\r\n\r\n") } else { body.len() >= length.unwrap_or(0) };
            if done {
                return Some(whole);
            }
        }
        match socket.read(&mut buf) {
            Ok(n @ 1..) => text.extend_from_slice(&buf[..n]),
            _ => return None,
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn bucket() -> Bucket {
    Bucket::global(Provider::Aws, BucketName::new("b").unwrap())
}

fn object() -> ObjectUri {
    ObjectUri::new(&bucket(), "dir/o 1").unwrap()
}

fn json_of(question: &str) -> Value {
    serde_json::from_str(question.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn listings_turn_pages() {
    let page = |token: &str, names: &[&str]| {
        let entries: Vec<_> =
            names.iter().map(|n| format!(r#"{{"name":"{n}","size":"3","flags":64}}"#)).collect();
        let body = format!(
            r#"{{"uuid":"u1","continuation_token":"{token}","entries":[{}],"flags":0}}"#,
            entries.join(",")
        );
        answer("200 OK", "Content-Type: application/json\r\n", &body)
    };
    let last = answer("200 OK", "", r#"{"uuid":"u1","continuation_token":"","entries":null,"flags":0}"#);
    let (client, asked) = node(vec![page("b", &["a", "b"]), page("c", &["c"]), last]);
    let ask = ListAsk { prefix: "p".into(), ..ListAsk::default() };
    let names: Vec<_> = client.objects(&bucket(), ask).map(|e| e.unwrap().name).collect();
    assert_eq!(names, ["a", "b", "c"]);
    let first = asked.recv().unwrap();
    assert!(first.starts_with("GET /v1/buckets/b?provider=aws HTTP/1.1\r\n"), "{first}");
    let lower = first.to_lowercase();
    assert!(
        lower.contains("content-type: application/json")
            && lower.contains("authorization: bearer secret-token")
    );
    assert_eq!(json_of(&first).pointer("/value/prefix"), Some(&"p".into()));
    let second = json_of(&asked.recv().unwrap());
    assert_eq!(second.pointer("/value/continuation_token"), Some(&"b".into()));
    assert_eq!(second.pointer("/value/uuid"), Some(&"u1".into()));
}

#[test]
fn bodies_are_sent_whole_and_their_checksum_compared() {
    let check = |kept: &str, good: bool| {
        let headers = format!("Ais-Checksum-Type: xxhash2\r\nAis-Checksum-Value: {kept}\r\n");
        let (client, asked) = node(vec![answer("200 OK", &headers, "")]);
        let mut open = || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(&b"hello"[..])) };
        let put = client.put(&object(), &mut open, Some(5), &Progress::start("", 0, false));
        assert_eq!(put.is_ok(), good, "{put:?}");
        let question = asked.recv().unwrap();
        assert!(question.starts_with("PUT /v1/objects/b/dir/o%201?provider=aws HTTP/1.1\r\n"), "{question}");
        assert!(
            question.to_lowercase().contains("content-length: 5\r\n") && question.ends_with("hello"),
            "{question}"
        );
    };
    check("26c7827d889f6da3", true);
    check("0000000000000000", false);
}

#[test]
fn large_bodies_wait_for_consent_and_follow_redirects() {
    let away = answer("307 Temporary Redirect", "Location: {here}/elsewhere?pid=t1\r\n", "");
    let busy = answer("503 Service Unavailable", "Retry-After: 0\r\n", "");
    let (client, asked) = node(vec![away, busy, answer("200 OK", "", "")]);
    let size = 2 << 20;
    let mut open = || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(std::io::repeat(b'x').take(size))) };
    let bytes = client.put(&object(), &mut open, Some(size), &Progress::start("", 0, false)).unwrap();
    assert_eq!(bytes, size);
    let first = asked.recv().unwrap();
    assert!(first.to_lowercase().contains("expect: 100-continue"));
    for question in [asked.recv().unwrap(), asked.recv().unwrap()] {
        assert!(question.starts_with("PUT /elsewhere?pid=t1 HTTP/1.1\r\n"));
        assert_eq!(question.split_once("\r\n\r\n").unwrap().1.len() as u64, size);
    }
}

#[test]
fn a_stream_of_unknown_size_is_chunked() {
    let (client, asked) = node(vec![answer("200 OK", "", "")]);
    let mut open = || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(&b"hello"[..])) };
    client.put(&object(), &mut open, None, &Progress::start("", 0, false)).unwrap();
    let question = asked.recv().unwrap();
    assert!(
        question.to_lowercase().contains("transfer-encoding: chunked") && question.contains("hello"),
        "{question}"
    );
}

#[test]
fn downloads_are_checked() {
    let check = |headers: &str, body: &str, range: Option<&str>, status: &str, expected: &str| {
        let (client, _asked) = node(vec![answer(status, headers, body)]);
        let mut out = Vec::new();
        let got = client
            .open(&object(), range)
            .and_then(|d| d.copy(&mut out, range.is_none(), &Progress::start("", 0, false)));
        assert!(format!("{got:?}").starts_with(expected), "{got:?}");
        if got.is_ok() {
            assert_eq!(out, body.as_bytes());
        }
    };
    let sum = |value: &str| format!("Ais-Checksum-Type: xxhash2\r\nAis-Checksum-Value: {value}\r\n");
    check(&sum("26c7827d889f6da3"), "hello", None, "200 OK", "Ok(5)");
    check(&sum("0000000000000000"), "hello", None, "200 OK", "Err(Checksum");
    check(&sum("0000000000000000"), "ell", Some("bytes=1-3"), "206 Partial Content", "Ok(3)");
    check("", "hello", Some("bytes=1-3"), "200 OK", "Err(Protocol");
    check("", "", None, "404 Not Found", "Err(Refused { status: 404");
}

#[test]
fn a_body_cut_short_is_an_error() {
    let (client, _asked) =
        node(vec!["HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nhello".into()]);
    let got =
        client.open(&object(), None).and_then(|d| d.copy(Vec::new(), true, &Progress::start("", 0, false)));
    assert!(matches!(got, Err(ToolError::Protocol { .. })), "{got:?}");
}

#[test]
fn refusals_speak() {
    let text = r#"{"tcode":"ErrBckNotFound","message":"bucket \"ais://abc\" does not exist","status":404}"#;
    let (client, asked) = node(vec![answer("404 Not Found", "", text)]);
    let error = client.create_bucket(&bucket(), &Value::Null).unwrap_err();
    assert_eq!(error.to_string(), "bucket \"ais://abc\" does not exist");
    assert!(error.hint().unwrap().contains("weir create"));
    assert_eq!(json_of(&asked.recv().unwrap()).get("action"), Some(&"create-bck".into()));

    let (client, _asked) =
        node(vec![format!("HTTP/1.1 404 Not Found\r\nHdr-Error: {text}\r\nContent-Length: 0\r\n\r\n")]);
    assert_eq!(client.head(&object()).unwrap_err().to_string(), "bucket \"ais://abc\" does not exist");
    let (client, _asked) = node(vec![answer("403 Forbidden", "", "no")]);
    assert!(client.delete(&object()).unwrap_err().hint().unwrap().contains("weir token"));
}

#[test]
fn eviction_and_destruction_say_which() {
    let (client, asked) = node(vec![answer("200 OK", "", ""), answer("200 OK", "", "")]);
    client.evict(&object()).unwrap();
    let question = asked.recv().unwrap();
    assert!(question.starts_with("DELETE /v1/objects/b/dir/o%201?provider=aws "), "{question}");
    assert_eq!(json_of(&question).get("name"), Some(&"b/dir/o 1".into()));
    client.destroy_bucket(&bucket()).unwrap();
    assert_eq!(json_of(&asked.recv().unwrap()).get("action"), Some(&"evict-remote-bck".into()));
}

#[test]
fn what_a_job_moved_is_counted_where_it_was_sent() {
    let bucket = r#"{"name":"","provider":"","namespace":{"uuid":"","name":""}}"#;
    let part = |stats: &str| {
        format!(
            r#"{{"start-time":"2026-11-21T00:00:00Z","end-time":"0001-01-01T00:00:00Z","bck":{bucket},"src-bck":{bucket},
               "dst-bck":{bucket},"id":"g1","kind":"rebalance","abort-err":"","err":"","glob.id":"0","aborted":false,
               "is_idle":false,"stats":{{{stats}}}}}"#
        )
    };
    let sent =
        r#""loc-objs":"1","loc-bytes":"10","out-objs":"7","out-bytes":"70","in-objs":"0","in-bytes":"0""#;
    let got =
        r#""loc-objs":"0","loc-bytes":"0","out-objs":"0","out-bytes":"0","in-objs":"7","in-bytes":"70""#;
    let body = format!(r#"{{"t1":[{}],"t2":[{}]}}"#, part(sent), part(got));
    let (client, _asked) = node(vec![answer("200 OK", "", &body)]);
    let parts = client.job_parts(Which::Id("g1")).unwrap();
    let tallies = |id: &str| (parts[id][0].done(), parts[id][0].sent(), parts[id][0].received());
    let tally = |objects, bytes| Tally { objects, bytes };
    assert_eq!(tallies("t1"), (tally(8, 80), tally(7, 70), tally(0, 0)));
    assert_eq!(tallies("t2"), (tally(0, 0), tally(0, 0), tally(7, 70)));
}
