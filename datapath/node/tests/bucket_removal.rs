//! What is acknowledged does not go with a bucket that was removed as empty.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Barrier;
use std::time::Duration;

use support::{Running, start};

const ROUNDS: usize = 60;
const WRITERS: usize = 4;
/// Requests by which writers are late, at most.
const LATER: usize = 12;

fn node(dir: &tempfile::TempDir) -> Running {
    start(dir.path(), &["mp1", "mp2"], |_| {}).unwrap()
}

/// An upload that the node has let in, and of which half has been sent.
fn begun(node: &Running, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "PUT {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hal").unwrap();
    stream
}

/// The answer to it when the rest has come.
fn ended(mut stream: TcpStream) -> (u16, String) {
    stream.write_all(b"ves").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

#[test]
fn a_bucket_removed_as_empty_takes_no_acknowledged_object_along() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    for round in 0..ROUNDS {
        let bucket = format!("/round-{round}");
        assert_eq!(node.ask(&format!("PUT {bucket}"), b"").0, 200);
        let together = Barrier::new(WRITERS + 1);
        let (answer, kept) = std::thread::scope(|scope| {
            let writers: Vec<_> = (0..WRITERS)
                .map(|writer| {
                    let (node, together, bucket) = (&node, &together, &bucket);
                    scope.spawn(move || {
                        together.wait();
                        // Later and later, so that the removal is met in each of its steps.
                        for _ in 0..round % LATER {
                            assert_eq!(node.ask("GET /", b"").0, 200);
                        }
                        let name = format!("{bucket}/{writer}");
                        let (status, text) = node.ask(&format!("PUT {name}"), name.as_bytes());
                        assert!(matches!(status, 200 | 404 | 503), "{status}: {text}");
                        (status == 200).then_some(name)
                    })
                })
                .collect();
            together.wait();
            let answer = node.ask(&format!("DELETE {bucket}"), b"");
            let kept: Vec<_> = writers.into_iter().filter_map(|w| w.join().unwrap()).collect();
            (answer, kept)
        });
        match answer.0 {
            204 => assert!(kept.is_empty(), "round {round}: {kept:?} went with the bucket"),
            409 => {}
            _ => panic!("{answer:?}"),
        }
        for name in &kept {
            assert_eq!(node.ask(&format!("GET {name}"), b""), (200, name.clone()), "round {round}");
        }
    }
}

#[test]
fn an_upload_that_outlives_its_bucket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = node(&dir);
    for (target, remove, body) in [
        ("/bkt/o", "DELETE /bkt", &b""[..]),
        (
            "/v1/objects/bkt/o?provider=ais",
            "DELETE /v1/buckets/bkt?provider=ais",
            br#"{"action":"destroy-bck"}"#,
        ),
    ] {
        assert_eq!(node.ask("PUT /bkt", b"").0, 200);
        let uploads: Vec<_> = (0..2).map(|_| begun(&node, target)).collect();
        let (status, text) = node.ask(remove, body);
        assert!(matches!(status, 200 | 204), "{status}: {text}");
        let mut uploads = uploads.into_iter();
        let (status, text) = ended(uploads.next().unwrap());
        assert_eq!(status, 404, "{text}");
        // Nothing of it is in a bucket that is made anew, and what is acknowledged there is there.
        assert_eq!(node.ask("PUT /bkt", b"").0, 200);
        assert_eq!(node.ask("GET /bkt/o", b"").0, 404);
        let (status, text) = ended(uploads.next().unwrap());
        assert_eq!(status, 200, "{text}");
        assert_eq!(node.ask("GET /bkt/o", b""), (200, "halves".into()));
        assert_eq!(node.ask("DELETE /bkt", b"").0, 409);
        assert_eq!(node.ask("DELETE /bkt/o", b"").0, 204);
        assert_eq!(node.ask("DELETE /bkt", b"").0, 204);
    }
}
