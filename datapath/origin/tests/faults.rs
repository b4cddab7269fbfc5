//! Streams that break, stall and change: never a wrong byte, never a task left behind.

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use support::proxy::{Fault, Proxy};
use support::server::Server;
use support::{bucket, object, origins, origins_with, pattern, read, run, until};
use weir_origin::{OriginError, OriginStream, OriginsHandle};
use weir_types::RangeSpec;

const MIB: u64 = 1 << 20;

fn get(handle: &OriginsHandle) -> Result<OriginStream, OriginError> {
    run(handle.get(&bucket("bkt"), &object("o"), None, None))
}

/// A server with one object of 4 MiB, and a proxy before it.
fn setup(faults: &[Fault]) -> (Server, Proxy, Vec<u8>) {
    let (server, bytes) = (Server::start(), pattern(7, 4 << 20));
    server.put("bkt", "o", &bytes);
    let proxy = Proxy::start(server.addr, faults);
    (server, proxy, bytes)
}

#[test]
fn broken_streams_are_taken_up_again() {
    let cases: [&[Fault]; 6] = [
        &[Fault::CutAfter(MIB), Fault::None],
        &[Fault::CutAfter(MIB), Fault::CutAfter(MIB), Fault::CutAfter(MIB), Fault::None],
        &[Fault::StallAfter(MIB), Fault::None],
        &[Fault::CutAfter(700), Fault::Refuse, Fault::None],
        &[Fault::CutAfter(4 * MIB), Fault::None],
        &[Fault::Refuse, Fault::Refuse, Fault::Delay(Duration::from_millis(20)), Fault::None],
    ];
    for faults in cases {
        let (_server, proxy, bytes) = setup(faults);
        let (_running, handle) = origins(&[&proxy.url()]);
        let mut stream = get(&handle).unwrap();
        let (got, end) = run(read(&mut stream.chunks));
        assert_eq!(end, Ok(()), "{faults:?}");
        assert!(got == bytes, "{faults:?}");
        let stats = handle.stats();
        assert_eq!(stats.bytes, 4 * MIB);
        assert!(stats.resumes + stats.retries > 0, "{stats:?}");
    }
}

#[test]
fn a_broken_range_is_taken_up_within_the_range() {
    let (_server, proxy, bytes) = setup(&[Fault::CutAfter(MIB / 2), Fault::None]);
    let (_running, handle) = origins(&[&proxy.url()]);
    let range = Some(RangeSpec::From(MIB, Some(3 * MIB - 1)));
    let mut stream = run(handle.get(&bucket("bkt"), &object("o"), range, None)).unwrap();
    let (got, end) = run(read(&mut stream.chunks));
    assert_eq!(end, Ok(()));
    assert!(got == bytes[MIB as usize..3 * MIB as usize]);
    let heads = proxy.seen.heads.lock().unwrap().to_lowercase();
    assert!(heads.contains("if-match: \"") && heads.contains("-3145727\r\n"), "{heads}");
}

#[test]
fn a_stream_that_keeps_breaking_is_an_error() {
    let (_server, proxy, bytes) = setup(&[Fault::CutAfter(MIB / 2)]);
    let (_running, handle) = origins(&[&proxy.url()]);
    let mut stream = get(&handle).unwrap();
    let (got, end) = run(read(&mut stream.chunks));
    assert!(
        matches!(end, Err(OriginError::Broken { at, expected, .. }) if at == got.len() as u64 && expected == 4 * MIB),
        "{end:?}"
    );
    assert!(got == bytes[..got.len()] && got.len() > MIB as usize);
    assert_eq!(run(stream.chunks.next_chunk()), Ok(None));
    assert_eq!(handle.stats().resumes, 3);
    until(|| handle.stats().streams == 0);
}

#[test]
fn an_object_that_changes_midway_is_an_error() {
    // The server of these tests ignores If-Match: the ETag of the answer has to tell.
    for len in [4 << 20, 5 << 20, 3 << 20, 100] {
        let (server, proxy, old) = setup(&[Fault::CutAfter(MIB), Fault::None]);
        let (_running, handle) = origins_with(&[&proxy.url()], |c| c.chunks_max = 1);
        let mut stream = get(&handle).unwrap();
        let first = run(stream.chunks.next_chunk()).unwrap().unwrap();
        server.put("bkt", "o", &pattern(8, len));
        let (rest, end) = run(read(&mut stream.chunks));
        let got = [&first[..], &rest[..]].concat();
        assert!(matches!(end, Err(OriginError::Changed { .. })), "{len}: {end:?}");
        assert!(got == old[..got.len()], "{len}");
    }
}

#[test]
fn an_object_that_goes_away_midway_is_an_error() {
    let (server, proxy, _) = setup(&[Fault::CutAfter(MIB), Fault::None]);
    let (_running, handle) = origins_with(&[&proxy.url()], |c| c.chunks_max = 1);
    let mut stream = get(&handle).unwrap();
    std::fs::remove_file(server.dir.path().join("bkt/o")).unwrap();
    let (_, end) = run(read(&mut stream.chunks));
    assert!(matches!(end, Err(OriginError::Changed { .. })), "{end:?}");
}

#[test]
fn a_reader_that_goes_ends_the_stream() {
    for fault in [Fault::None, Fault::StallAfter(MIB), Fault::Bandwidth(MIB)] {
        let (_server, proxy, _) = setup(&[fault]);
        let stall = Duration::from_secs(600);
        let (_running, handle) = origins_with(&[&proxy.url()], |c| c.stall_max = stall);
        let mut stream = get(&handle).unwrap();
        run(stream.chunks.next_chunk()).unwrap().unwrap();
        drop(stream);
        until(|| handle.stats().streams == 0 && proxy.seen.open.load(SeqCst) == 0);
    }
}

#[test]
fn a_caller_that_goes_ends_the_call() {
    let (_server, proxy, _) = setup(&[Fault::StallAfter(0)]);
    let (_running, handle) = origins_with(&[&proxy.url()], |c| c.head_max = Duration::from_secs(600));
    let call = handle.get(&bucket("bkt"), &object("o"), None, None);
    until(|| proxy.seen.requests.load(SeqCst) == 1);
    drop(call);
    until(|| handle.stats().streams == 0 && proxy.seen.open.load(SeqCst) == 0);
}

#[test]
fn a_slow_reader_holds_the_origin_back() {
    let server = Server::start();
    let bytes = pattern(3, 64 << 20);
    server.put("bkt", "o", &bytes);
    let proxy = Proxy::start(server.addr, &[Fault::None]);
    let (_running, handle) = origins_with(&[&proxy.url()], |c| {
        c.chunks_max = 4;
        c.stall_max = Duration::from_secs(60);
    });
    let mut stream = get(&handle).unwrap();
    // What may be under way without a reader: the channel, one chunk in hand, hyper's buffer, the sockets' buffers.
    let mut last = u64::MAX;
    until(|| {
        let now = proxy.seen.answer_bytes.load(SeqCst);
        let still = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(50));
        still
    });
    assert!(last < 32 << 20, "{last} bytes left the origin with nobody reading");
    let (got, end) = run(read(&mut stream.chunks));
    assert_eq!(end, Ok(()));
    assert!(got == bytes);
}

#[test]
fn streams_are_bounded_and_connections_reused() {
    let (_server, proxy, _) = setup(&[Fault::None]);
    let (_running, handle) = origins_with(&[&proxy.url()], |c| c.streams_max = 2);
    let held: Vec<_> = (0..2).map(|_| get(&handle).unwrap()).collect();
    let mut third = Box::pin(handle.get(&bucket("bkt"), &object("o"), None, None));
    assert_eq!(handle.stats().streams, 2);
    assert!(run(async { futures_util::poll!(&mut third) }).is_pending());
    drop(held);
    run(read(&mut run(third).unwrap().chunks)).1.unwrap();
    until(|| handle.stats().streams == 0);
    let before = proxy.seen.connections.load(SeqCst);
    for _ in 0..20 {
        run(read(&mut get(&handle).unwrap().chunks)).1.unwrap();
    }
    assert!(proxy.seen.connections.load(SeqCst) <= before + 1);
}

#[test]
fn origins_that_do_not_answer() {
    let (_server, proxy, _) = setup(&[Fault::StallAfter(0)]);
    let (_running, handle) = origins_with(&[&proxy.url()], |c| c.head_max = Duration::from_millis(50));
    let silent = get(&handle).unwrap_err();
    assert!(matches!(&silent, OriginError::Unreachable { .. }) && silent.is_passing(), "{silent}");
    assert_eq!(handle.stats().retries, 3);
    let (_running, handle) = origins(&["http://127.0.0.1:1"]);
    let closed = get(&handle).unwrap_err().to_string();
    assert!(closed.contains("127.0.0.1:1") && closed.contains("refused"), "{closed}");
}

#[test]
fn answers_that_are_not_s3() {
    let check = |answer: &'static str, expected: &str| {
        let (_server, proxy, _) = setup(&[Fault::Answer(answer)]);
        let (_running, handle) = origins(&[&proxy.url()]);
        let outcome = match get(&handle) {
            Ok(mut stream) => run(read(&mut stream.chunks)).1.unwrap_err(),
            Err(error) => error,
        };
        assert!(format!("{outcome:?}").starts_with(expected), "{answer}: {outcome:?}");
    };
    check("HTTP/1.1 200 OK\r\n\r\n", "Protocol");
    check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "Protocol");
    check("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "Failed");
    check("HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n", "Failed");
    check("HTTP/1.1 301 M\r\nx-amz-bucket-region: eu-west-9\r\nContent-Length: 0\r\n\r\n", "Failed");
    check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx-amz-checksum-crc32c: 4waSgw==\r\n\r\nhi", "Checksum");
    check("SSH-2.0-x\r\n", "Unreachable");
}
