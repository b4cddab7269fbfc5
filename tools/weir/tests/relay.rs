//! Names of another node: S3's requests are passed on to it, AIS's clients are sent to it; between real processes.

mod nodes;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nodes::{Answer, Cluster, Node, ask, aws_chunked, connect, content, crc32, head, until};

const GATEWAY: usize = 0;
const TARGETS: [usize; 2] = [1, 2];

/// A target that does not own what `owner` owns.
fn other(owner: usize) -> usize {
    TARGETS.into_iter().find(|t| *t != owner).unwrap()
}

fn status(cluster: &Cluster, node: usize, line: &str) -> u16 {
    cluster.of(node, line, &[], b"").status
}

#[test]
fn every_node_serves_s3() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "b");
    let sizes = [0, 1, 70_000, 300_000, 3 << 20];
    for (i, size) in sizes.into_iter().enumerate() {
        for (through, name) in ["plain", "chunked", "d/a%20b%2Bc%C3%BC"].into_iter().enumerate() {
            let (body, target) = (content(i as u64, size), format!("/s3/b/{name}-{i}"));
            let put = if name == "chunked" {
                let (chunks, fields) = aws_chunked(&body, 65_536, crc32(&body));
                let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
                cluster.of(through, &format!("PUT {target}"), &fields, &chunks)
            } else {
                cluster.of(through, &format!("PUT {target}"), &[], &body)
            };
            assert_eq!(put.status, 200, "{target}: {put:?}");
            for node in 0..3 {
                let got = cluster.of(node, &format!("GET {target}"), &[], b"");
                assert_eq!(
                    (got.status, got.is_whole()),
                    (200, true),
                    "{target} through n{node}: {}",
                    got.head
                );
                assert!(got.body == body, "{target} through n{node}: other bytes");
                assert_eq!(got.field("etag"), put.field("etag"));
                let told = cluster.of(node, &format!("HEAD {target}"), &[], b"");
                assert_eq!(told.field("content-length"), Some(size.to_string().as_str()), "{told:?}");
            }
        }
    }
}

#[test]
fn ranges_conditions_and_removal_pass_through() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "b");
    let (name, body) = (cluster.name_of("b", 1), content(7, 1 << 20));
    let target = format!("/s3/b/{name}");
    let (get, put, delete) = (format!("GET {target}"), format!("PUT {target}"), format!("DELETE {target}"));
    for through in [GATEWAY, other(1)] {
        let fields = ["If-None-Match: *", "x-amz-meta-k: v", "Content-Type: text/x"];
        let made = cluster.of(through, &put, &fields, &body);
        assert_eq!(made.status, 200, "{made:?}");
        assert_eq!(cluster.of(through, &put, &["If-None-Match: *"], b"x").status, 412);
        let etag = made.field("etag").unwrap();
        let part = cluster.of(through, &get, &["Range: bytes=700000-700099"], b"");
        assert_eq!((part.status, part.field("content-range")), (206, Some("bytes 700000-700099/1048576")));
        assert_eq!(part.body, body[700_000..700_100]);
        assert_eq!((part.field("x-amz-meta-k"), part.field("content-type")), (Some("v"), Some("text/x")));
        assert_eq!(cluster.of(through, &get, &["Range: bytes=9999999-"], b"").status, 416);
        let same = cluster.of(through, &get, &[&format!("If-None-Match: {etag}")], b"");
        assert_eq!((same.status, same.body.len()), (304, 0));
        assert_eq!(cluster.of(through, &get, &["If-Match: \"other\""], b"").status, 412);
        assert_eq!(cluster.of(through, &delete, &["If-Match: \"other\""], b"").status, 412);
        assert_eq!(status(&cluster, through, &delete), 204);
        assert!((0..3).all(|node| status(&cluster, node, &get) == 404));
        let multipart = cluster.of(through, &format!("POST {target}?uploads"), &[], b"").text();
        let id = multipart.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
        let part = cluster.of(through, &format!("{put}?partNumber=1&uploadId={id}"), &[], &body);
        let etag = part.field("etag").unwrap();
        let list = format!(
            "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part></CompleteMultipartUpload>"
        );
        let done = cluster.of(through, &format!("POST {target}?uploadId={id}"), &[], list.as_bytes());
        assert_eq!(done.status, 200, "{done:?}");
        assert!(cluster.of(other(1), &get, &[], b"").body == body);
        assert_eq!(status(&cluster, through, &delete), 204);
    }
    assert_eq!(status(&cluster, GATEWAY, "GET /s3/absent/o"), 404);
}

/// What remains of an upload that did not end as it should: nothing.
fn nothing_is_kept(cluster: &Cluster, owner: usize, name: &str) {
    let another = (0..).map(|i| format!("x{i}")).find(|x| cluster.owner("b", x) == owner).unwrap();
    until("nothing is on its way", || {
        // Work files that nobody wants go with the next change.
        assert_eq!(cluster.of(owner, &format!("PUT /s3/b/{another}"), &[], b"x").status, 200);
        (cluster.nodes[owner].under_way() == 0).then_some(())
    });
    assert!((0..3).all(|node| status(cluster, node, &format!("GET /s3/b/{name}")) == 404));
}

#[test]
fn a_body_that_breaks_its_promise_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "b");
    let (name, body) = (cluster.name_of("b", 2), content(3, 900_000));
    let put = format!("PUT /s3/b/{name}");
    let (chunks, fields) = aws_chunked(&body, 65_536, !crc32(&body));
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    for through in [GATEWAY, other(2), 2] {
        let refused = cluster.of(through, &put, &fields, &chunks);
        assert_eq!(refused.status, 400, "{refused:?}");
        nothing_is_kept(&cluster, 2, &name);
        let wrong = cluster.of(through, &put, &["x-amz-checksum-crc32: AAAAAA=="], &body);
        assert_eq!(wrong.status, 400, "{wrong:?}");
        let wrong = cluster.of(through, &put, &["Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="], &body);
        assert_eq!(wrong.status, 400, "{wrong:?}");
        // The client goes in the middle of a chunk, before the last chunk, and before the end of a counted body.
        for (whole, cut, fields) in [
            (&chunks, chunks.len() / 2, &fields[..]),
            (&chunks, chunks.len() - 60, &fields[..]),
            (&body, body.len() - 1, &[][..]),
        ] {
            let length = format!("Content-Length: {}", whole.len());
            let mut stream = connect(cluster.nodes[through].port).unwrap();
            stream.write_all(head(&put, &[fields, &[&length]].concat()).as_bytes()).unwrap();
            stream.write_all(&whole[..cut]).unwrap();
            until("it has arrived", || (cluster.nodes[2].under_way() > 0).then_some(()));
            drop(stream);
            nothing_is_kept(&cluster, 2, &name);
        }
    }
}

#[test]
fn an_owner_that_is_killed_never_gives_other_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "b");
    let name = cluster.name_of("b", 1);
    let big = format!("/s3/b/{name}");
    // More than the sockets on the way hold.
    let body = content(9, 64 << 20);
    assert_eq!(cluster.of(other(1), &format!("PUT {big}"), &[], &body).status, 200);
    for through in [GATEWAY, other(1)] {
        let port = cluster.nodes[through].port;
        let mut reading = connect(port).unwrap();
        reading.write_all(head(&format!("GET {big}"), &[]).as_bytes()).unwrap();
        let mut came = vec![0; 1 << 20];
        reading.read_exact(&mut came).unwrap();
        let mut writing = connect(port).unwrap();
        let length = format!("Content-Length: {}", body.len());
        writing.write_all(head(&format!("PUT {big}-2"), &[&length]).as_bytes()).unwrap();
        let owner_of_second = cluster.owner("b", &format!("{name}-2"));
        writing.write_all(&body[..1 << 20]).unwrap();
        until("it arrives", || (cluster.nodes[owner_of_second].under_way() > 0).then_some(()));

        TARGETS.into_iter().filter(|t| *t != through).for_each(|t| cluster.nodes[t].kill());
        let _ = reading.read_to_end(&mut came);
        let got = Answer::parse(&came).unwrap();
        assert!(got.status == 200 && !got.is_whole(), "{}", got.head);
        assert!(body.starts_with(&got.body));
        if owner_of_second != through {
            // The rest may not even be taken.
            let _ = writing.write_all(&body[1 << 20..]);
            let mut said = Vec::new();
            let _ = writing.read_to_end(&mut said);
            let said = Answer::parse(&said);
            assert!(said.as_ref().is_none_or(|a| a.status == 503), "{said:?}");
        }
        drop(writing);
        let away = ask(port, &format!("GET {big}"), &[], b"").unwrap();
        assert_eq!((away.status, away.field("retry-after")), (503, Some("1")), "{away:?}");
        assert_eq!(ask(port, &format!("PUT {big}"), &[], b"x").unwrap().status, 503);

        TARGETS.into_iter().filter(|t| *t != through).for_each(|t| cluster.nodes[t].start());
        cluster.agreed(None);
        assert!(cluster.of(through, &format!("GET {big}"), &[], b"").body == body);
        assert_eq!(status(&cluster, through, &format!("GET {big}-2")), 404);
    }
}

#[test]
fn an_owner_that_stands_still_keeps_nobody_waiting_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, false);
    cluster.create(0, "b");
    let (still, well) = (cluster.name_of("b", 1), cluster.name_of("b", 2));
    for name in [&still, &well] {
        assert_eq!(cluster.of(0, &format!("PUT /s3/b/{name}"), &[], b"hello").status, 200);
    }
    cluster.nodes[1].signal("STOP");
    for node in [GATEWAY, 2] {
        // Asked before and after it is known to be away.
        for line in ["GET", "PUT", "GET"] {
            let answer = cluster.of(node, &format!("{line} /s3/b/{still}"), &[], b"");
            assert_eq!(answer.status, 503, "{line} through n{node}: {answer:?}");
        }
        assert_eq!(cluster.of(node, &format!("GET /s3/b/{well}"), &[], b"").body, b"hello");
    }
    cluster.nodes[1].signal("CONT");
    until("it is back", || (status(&cluster, 0, &format!("GET /s3/b/{still}")) == 200).then_some(()));
    assert_eq!(cluster.of(2, &format!("GET /s3/b/{still}"), &[], b"").body, b"hello");
}

/// Stands for an owner that refuses bodies before they come. Whether a connection that owes one was asked anything more:
/// an owner would take that for the rest of it.
fn refuse_bodies(port: u16) -> Arc<AtomicBool> {
    // What a killed process had listened on is closed a moment after its end.
    let owner = until("the port is free", || TcpListener::bind(("127.0.0.1", port)).ok());
    let misused = Arc::new(AtomicBool::new(false));
    let told = misused.clone();
    thread::spawn(move || {
        for mut stream in owner.incoming().flatten() {
            let misused = misused.clone();
            thread::spawn(move || {
                let (mut owed, mut asked, mut byte) = (false, Vec::new(), [0]);
                while stream.read_exact(&mut byte).is_ok() {
                    asked.push(byte[0]);
                    if !asked.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    if owed {
                        return misused.store(true, Ordering::Relaxed);
                    }
                    owed = String::from_utf8_lossy(&asked).contains("100-continue");
                    let answer = if owed { "412 Precondition Failed" } else { "200 OK" };
                    let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
                    stream.write_all(answer.as_bytes()).unwrap();
                    asked.clear();
                }
            });
        }
    });
    told
}

#[test]
fn a_connection_that_owes_the_rest_of_a_body_is_not_used_again() {
    let both_asked = || {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(dir.path(), 1, 2, false);
        cluster.create(0, "b");
        let target = format!("/s3/b/{}", cluster.name_of("b", 1));
        cluster.nodes[1].kill();
        // Behind the public ports of all nodes come those of their control listeners, then these.
        let misused = refuse_bodies(cluster.nodes[1].port + 6);
        let refused = cluster.of(GATEWAY, &format!("PUT {target}"), &[], &content(4, 1 << 20));
        let removed = cluster.of(GATEWAY, &format!("DELETE {target}"), &[], b"");
        assert!(!misused.load(Ordering::Relaxed));
        (refused.status, removed.status) == (412, 200)
    };
    // Once the owner is known to be away nobody is asked in its place.
    assert!((0..5).any(|_| both_asked()));
}

/// The target of a redirect: the node and what it is asked.
fn followed(cluster: &Cluster, answer: &Answer) -> (usize, String) {
    let to = answer.field("location").unwrap_or_else(|| panic!("no redirect: {answer:?}"));
    let rest = to.strip_prefix("http://127.0.0.1:").unwrap();
    let (port, target) = rest.split_at(rest.find('/').unwrap());
    (cluster.nodes.iter().position(|n: &Node| n.port.to_string() == port).unwrap(), target.to_owned())
}

#[test]
fn ais_clients_are_sent_to_the_owner() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 2, true);
    cluster.create(0, "b");
    let (name, body) = (cluster.name_of("b", 1), content(5, 200_000));
    let target = format!("/v1/objects/b/{name}?provider=ais");
    for (method, status) in [("PUT", 307), ("HEAD", 307), ("GET", 301), ("DELETE", 307)] {
        let sent = cluster.of(GATEWAY, &format!("{method} {target}"), &["Expect: 100-continue"], b"");
        assert_eq!(sent.status, status, "{method}: {sent:?}");
        let (owner, to) = followed(&cluster, &sent);
        assert_eq!(owner, 1);
        assert!(to.starts_with(&target) && to.contains("&pid=") && to.contains("&utm="), "{to}");
        let port = cluster.nodes[owner].port;
        let sent = if method == "PUT" { &body[..] } else { b"" };
        // Clients leave their credential behind: what the gateway vouches for goes without.
        for (forged, why) in [
            (to.replace(&name, &cluster.name_of("b", 2)), "another name"),
            (to.rsplit_once('&').unwrap().0.to_owned(), "no voucher"),
            (format!("{to}x"), "a longer one"),
            (to.replace("utm=1", "utm=2"), "another time"),
        ] {
            let refused = ask(port, &format!("{method} {forged}"), &[], sent).unwrap();
            assert!([401, 403].contains(&refused.status), "{why}: {refused:?}");
        }
        let another = if method == "GET" { "DELETE" } else { "GET" };
        let refused = ask(port, &format!("{another} {to}"), &[], b"").unwrap();
        assert!([401, 403].contains(&refused.status), "{another} for {method}: {refused:?}");
        let done = ask(port, &format!("{method} {to}"), &[], sent).unwrap();
        assert_eq!(done.status, 200, "{method}: {done:?}");
        assert!(method != "GET" || done.body == body);
    }
    // Past the gateway nobody writes.
    for method in ["PUT", "DELETE", "PATCH"] {
        let past = cluster.of(1, &format!("{method} {target}"), &[], b"{}");
        assert_eq!(past.status, 403, "{method}: {past:?}");
    }
}

#[test]
fn the_listener_for_peers_answers_peers_alone() {
    let dir = tempfile::tempdir().unwrap();
    for guarded in [false, true] {
        let dir = dir.path().join(guarded.to_string());
        std::fs::create_dir(&dir).unwrap();
        let cluster = Cluster::start(&dir, 1, 1, guarded);
        cluster.create(0, "b");
        assert_eq!(cluster.of(1, "PUT /s3/b/o", &[], b"secret content").status, 200);
        let forged = ["weir-peer: 1 a b 1 AAAA", "weir-grant: AAAA", "weir-index: 1"];
        let bearer: Vec<&str> = cluster.bearer.as_deref().into_iter().collect();
        for node in [0, 1] {
            // Behind the ports of both nodes come those of their control listeners, then these.
            let data = cluster.nodes[node].port + 4;
            for line in [
                "GET /s3/b/o",
                "GET /o",
                "PUT /s3/b/o",
                "DELETE /s3/b/o",
                "GET /s3/b?list-type=2",
                "GET /v1/objects/b/o?provider=ais",
                "GET /v1/objects/b/o?provider=ais&pid=p&utm=1&vpams=1",
                "PUT /v1/objects/b/o?provider=ais&pid=p&utm=1&vpams=1",
                "GET /v1/daemon?what=smap",
                "GET /metrics",
            ] {
                for fields in [&[][..], &forged, &bearer, &["weir-record: 1"]] {
                    let refused = ask(data, line, fields, b"").unwrap();
                    assert!([401, 403].contains(&refused.status), "{line} {fields:?}: {refused:?}");
                    assert!(!refused.text().contains("secret content"));
                }
            }
            // And nobody is a peer elsewhere.
            let public = ask(cluster.nodes[node].port, "GET /s3/b/o", &forged, b"").unwrap();
            assert_eq!(public.status, if guarded { 403 } else { 200 }, "{public:?}");
        }
        assert_eq!(cluster.of(0, "GET /s3/b/o", &[], b"").body, b"secret content");
    }
}

#[test]
fn a_target_admits_reads_past_the_gateway_and_no_writes() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 1, false);
    cluster.create(0, "b");
    let target = "/v1/objects/b/o?provider=ais";
    let (owner, to) = followed(&cluster, &cluster.of(GATEWAY, &format!("PUT {target}"), &[], b""));
    assert_eq!(cluster.of(owner, &format!("PUT {to}"), &[], b"hello").status, 200);
    assert_eq!(cluster.of(1, &format!("GET {target}"), &[], b"").body, b"hello");
    assert_eq!(status(&cluster, 1, &format!("HEAD {target}")), 200);
    // Of a cluster that this node has not heard of yet it says nothing.
    let ahead = to.rsplit_once('=').unwrap().0.to_owned() + "=999999999";
    let behind = cluster.of(1, &format!("GET {ahead}"), &[], b"");
    assert_eq!((behind.status, behind.field("retry-after")), (503, Some("1")), "{behind:?}");
    for method in ["PUT", "DELETE"] {
        let past = cluster.of(1, &format!("{method} {target}"), &[], b"");
        assert_eq!(past.status, 400, "{past:?}");
        assert!(past.text().contains("is expected to be redirected"), "{past:?}");
    }
    assert_eq!(status(&cluster, 1, "GET /s3/b/o"), 200);
    assert_eq!(cluster.of(GATEWAY, "GET /s3/b/o", &[], b"").body, b"hello");
}
