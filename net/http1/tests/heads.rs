//! Request heads that a strict server takes or refuses, as a table: the ways of request smuggling and their
//! harmless neighbours. A row is the bytes and what must come of them.

use weir_http::{Framing, HeaderSlots, HttpError, Method, parse_head};

mod table;
use table::{ROWS, Want};

fn verdict(bytes: &[u8]) -> Want {
    let mut slots = HeaderSlots::default();
    match parse_head(bytes, &mut slots) {
        Err(error) => Want::Status(error.status()),
        Ok(None) => Want::More,
        Ok(Some((head, _))) => match head.framing() {
            Framing::None => Want::NoBody,
            Framing::Length(n) => Want::Length(n),
            Framing::Chunked => Want::Chunked,
        },
    }
}

#[test]
fn every_row_of_the_table_is_judged_as_it_says() {
    let wrong: Vec<String> = ROWS
        .iter()
        .filter(|(bytes, want)| verdict(bytes) != *want)
        .map(|(b, want)| {
            format!("{:?}\n  expected {want:?}, got {:?}", String::from_utf8_lossy(b), verdict(b))
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), ROWS.len(), wrong.join("\n"));
    assert!(ROWS.len() >= 200, "the table has {} rows", ROWS.len());
}

/// However a head arrives, the verdict is the same; what is refused may be refused early, with the same status or
/// that of the part which came first.
#[test]
fn no_row_depends_on_how_it_arrives() {
    for (bytes, want) in ROWS {
        for end in 0..bytes.len() {
            let early = verdict(&bytes[..end]);
            match (early, want) {
                (Want::More, _) | (Want::Status(_), Want::Status(_)) => {}
                // A complete head with bytes behind it is complete without them.
                (early, want) => {
                    assert_eq!(early, *want, "{:?} cut at {end}", String::from_utf8_lossy(bytes))
                }
            }
        }
    }
}

/// Each single byte of a good head changed to each dangerous one leaves the framing, or the head is refused.
#[test]
fn a_changed_byte_never_moves_the_end_of_the_body() {
    let good = b"PUT /b/o HTTP/1.1\r\nHost: a\r\nContent-Length: 17\r\nX-Y: z\r\n\r\n";
    for at in 0..good.len() {
        for byte in [0u8, b'\r', b'\n', b' ', b'\t', b':', b',', b';', b'+', b'-', 0x0b, 0x7f, 0x80, 0xff] {
            // White space in place of a digit is a shorter number, plainly written.
            let digit = good[at].is_ascii_digit() && at > 40;
            if digit && matches!(byte, b' ' | b'\t') {
                continue;
            }
            let mut bytes = good.to_vec();
            bytes[at] = byte;
            let got = verdict(&bytes);
            let in_length_name = (28..42).contains(&at);
            let harmless = got == Want::Length(17) || matches!(got, Want::Status(_) | Want::More);
            // Another name is another header: then there is no length, and what follows is the next request.
            assert!(harmless || (in_length_name && got == Want::NoBody), "byte {at} = {byte:#x}: {got:?}");
        }
    }
}

fn head_with(line_target: usize, headers: usize, pad: usize) -> Vec<u8> {
    let mut head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(line_target - 1)).into_bytes();
    for i in 1..headers {
        head.extend_from_slice(format!("h{i}: v\r\n").as_bytes());
    }
    if pad > 0 {
        let fill = pad.checked_sub(head.len() + 7).unwrap();
        head.extend_from_slice(format!("P: {}\r\n", "y".repeat(fill)).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    head
}

#[test]
fn limits_hold_exactly() {
    use weir_types::limits::{HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_LINE_BYTES_MAX};
    let target = REQUEST_LINE_BYTES_MAX - "GET  HTTP/1.1".len();
    for (bytes, want) in [
        (head_with(target - 1, 1, 0), Want::NoBody),
        (head_with(target, 1, 0), Want::NoBody),
        (head_with(target + 1, 1, 0), Want::Status(414)),
        (head_with(target * 1000, 1, 0), Want::Status(414)),
        (head_with(1, HEADERS_MAX - 1, 0), Want::NoBody),
        (head_with(1, HEADERS_MAX, 0), Want::NoBody),
        (head_with(1, HEADERS_MAX + 1, 0), Want::Status(431)),
        (head_with(1, HEADERS_MAX * 30, 0), Want::Status(431)),
        (head_with(1, 1, HEAD_BYTES_MAX - 1), Want::NoBody),
        (head_with(1, 1, HEAD_BYTES_MAX), Want::NoBody),
        (head_with(1, 1, HEAD_BYTES_MAX + 1), Want::Status(431)),
        (head_with(1, 1, HEAD_BYTES_MAX * 1000), Want::Status(431)),
    ] {
        assert_eq!(verdict(&bytes), want, "{} bytes", bytes.len());
    }
    // What never ends is refused where its limit is, not at its end.
    assert_eq!(verdict(&vec![b'A'; REQUEST_LINE_BYTES_MAX + 1]), Want::More);
    assert_eq!(verdict(&vec![b'A'; REQUEST_LINE_BYTES_MAX + 2]), Want::Status(414));
    let mut endless = b"GET / HTTP/1.1\r\nA: ".to_vec();
    endless.resize(HEAD_BYTES_MAX - 1, b'x');
    assert_eq!(verdict(&endless), Want::More);
    endless.push(b'x');
    assert_eq!(verdict(&endless), Want::Status(431));
}

#[test]
fn parts_of_a_head_are_what_was_sent() {
    let bytes =
        b"PUT http://A.b:80/c%20d?e=f&g HTTP/1.1\r\nhOST: a.B:80\r\nX-Two:  1 \r\nx-two:\t2\t\r\nEmpty:\r\n\
        Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello";
    let mut slots = HeaderSlots::default();
    let (head, used) = parse_head(bytes, &mut slots).unwrap().unwrap();
    assert_eq!(&bytes[used..], b"hello");
    let owned = head.to_owned();
    for head in [head, owned.head(), owned.clone().head().to_owned().head()] {
        assert_eq!((head.method, head.minor), (Method::Put, 1));
        assert_eq!((head.target, head.path, head.query), ("http://A.b:80/c%20d?e=f&g", "/c%20d", "e=f&g"));
        assert_eq!(head.host(), Some("a.B:80"));
        assert_eq!(head.headers("X-TWO").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!((head.header("empty"), head.header("absent")), (Some(""), None));
        assert_eq!(head.iter().map(|(n, _)| n).collect::<Vec<_>>()[..3], ["hOST", "X-Two", "x-two"]);
        assert_eq!(head.framing(), Framing::Length(5));
        assert!(head.expects_continue() && head.keep_alive());
    }
}

#[test]
fn targets_are_split() {
    for (target, path, query) in [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("/a/../b//c", "/a/../b//c", ""),
        ("/%2e%2e/%00", "/%2e%2e/%00", ""),
        ("http://h", "/", ""),
        ("http://h?q=1", "/", "q=1"),
        ("HTTPS://h/p", "/p", ""),
        ("http://h/?", "/", ""),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(bytes.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!((head.path, head.query, head.to_owned().head().path), (path, query, path), "{target}");
    }
}

#[test]
fn connections_persist_as_version_and_client_say() {
    for (version, lines, keep) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: x, close\r\n", false),
        ("1.1", "Connection: x\r\nConnection: ,close ,\r\n", false),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(bytes.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!(head.keep_alive(), keep, "{version} {lines:?}");
    }
}

#[test]
fn expectations() {
    let check = |version: &str, lines: &str, expected: Result<bool, HttpError>| {
        let bytes = format!("PUT / HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
        let mut slots = HeaderSlots::default();
        let got = parse_head(bytes.as_bytes(), &mut slots).map(|h| h.unwrap().0.expects_continue());
        assert_eq!(got, expected, "{version} {lines:?}");
    };
    check("1.1", "Expect: 100-continue\r\nContent-Length: 1\r\n", Ok(true));
    check("1.1", "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", Ok(true));
    check("1.1", "Expect: 100-continue\r\nContent-Length: 0\r\n", Ok(false));
    check("1.1", "Expect: 100-continue\r\n", Ok(false));
    check("1.0", "Expect: 100-continue\r\nContent-Length: 1\r\n", Ok(false));
    check("1.1", "Expect: 200-ok\r\n", Err(HttpError::Expectation));
    check("1.1", "Expect: 100-continue, x\r\n", Err(HttpError::Expectation));
    check("1.1", "Expect: 100-continue\r\nExpect: 100-continue\r\n", Err(HttpError::Expectation));
    check("1.1", "Expect:\r\n", Err(HttpError::Expectation));
}

#[test]
fn a_head_that_is_shown_shows_no_header() {
    let bytes = b"GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer sesame\r\n\r\n";
    let mut slots = HeaderSlots::default();
    let (head, _) = parse_head(bytes, &mut slots).unwrap().unwrap();
    assert!(
        !format!("{head:?} {:?} {slots:?}", head.to_owned(), slots = HeaderSlots::default())
            .contains("sesame")
    );
}
