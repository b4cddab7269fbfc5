//! Chunked bodies: a table of what is taken and refused, and that no split of the bytes changes the outcome.

use proptest::prelude::*;
use weir_http::{ChunkDecoder, HttpError, LAST_CHUNK, write_chunk_head};
use weir_types::limits;

/// What a body comes to: its data, trailers and the bytes behind it, or nothing yet, or a status.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    Body { data: Vec<u8>, trailers: Vec<(String, String)>, rest: Vec<u8> },
    More,
    Status(u16),
}

/// Decodes `bytes` that arrive cut at `cuts`, taking at most `room` data bytes a step.
fn decode(bytes: &[u8], cuts: &[usize], room: usize, max: u64) -> Outcome {
    let mut decoder = ChunkDecoder::new(max);
    let (mut data, mut at) = (Vec::new(), 0);
    let mut ends: Vec<usize> = cuts.iter().map(|c| c % (bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    for end in ends {
        loop {
            let step = match decoder.decode(&bytes[at.min(end)..end]) {
                Ok(step) => step,
                Err(error) => {
                    assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(error), "an error is final");
                    return Outcome::Status(error.status());
                }
            };
            at += step.framing;
            if step.end {
                assert!(decoder.done() && step.data.is_empty());
                let own = |(n, v): (&str, &str)| (n.to_owned(), v.to_owned());
                let trailers = decoder.trailers().iter().map(own).collect();
                return Outcome::Body { data, trailers, rest: bytes[at..].to_vec() };
            }
            if step.data.is_empty() {
                break;
            }
            let n = step.data.len().min(room);
            data.extend_from_slice(&step.data[..n]);
            decoder.took(n);
            at += n;
        }
    }
    assert!(!decoder.done());
    Outcome::More
}

fn whole(bytes: &[u8]) -> Outcome {
    decode(bytes, &[], usize::MAX, u64::MAX)
}

#[test]
fn bodies_that_are_taken() {
    for (bytes, data, rest) in [
        (&b"0\r\n\r\n"[..], &b""[..], &b""[..]),
        (b"0\r\n\r\nGET / HTTP/1.1\r\n", b"", b"GET / HTTP/1.1\r\n"),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc", b""),
        (b"3\r\na\r\n\r\n0\r\n\r\nx", b"a\r\n", b"x"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", b""),
        (b"0000000000000001\r\na\r\n0000000000000000\r\n\r\n", b"a", b""),
        (b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc", b""),
        (b"1;x\r\na\r\n0;y=z\r\n\r\n", b"a", b""),
        (b"1;x=\"a b\"; y\r\na\r\n0\r\n\r\n", b"a", b""),
        (b"1;\r\na\r\n0\r\n\r\n", b"a", b""),
        (b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", b""),
    ] {
        let expected = Outcome::Body { data: data.to_vec(), trailers: vec![], rest: rest.to_vec() };
        assert_eq!(whole(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
        for end in 0..bytes.len() - rest.len() {
            assert_eq!(whole(&bytes[..end]), Outcome::More, "cut at {end}");
        }
    }
}

#[test]
fn framing_that_is_refused() {
    let rows: &[&[u8]] = &[
        // sizes
        b"\r\n",
        b"\n",
        b" 3\r\nabc\r\n",
        b"\t3\r\nabc\r\n",
        b"3 \r\nabc\r\n",
        b"3\t\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b"-3\r\nabc\r\n",
        b"-1\r\n",
        b"0x3\r\nabc\r\n",
        b"3h\r\nabc\r\n",
        b"3_0\r\n",
        b"g\r\n",
        b"3,\r\nabc\r\n",
        b"3.0\r\nabc\r\n",
        b";x\r\n",
        b"\"3\"\r\nabc\r\n",
        b"\xef\xbc\x93\r\nabc\r\n",
        b"\x003\r\n",
        b"3\0\r\n",
        b"00000000000000003\r\nabc\r\n",
        b"ffffffffffffffff0\r\n",
        b"10000000000000000\r\n",
        b"3 ;x\r\nabc\r\n",
        b"3\x0b\r\nabc\r\n",
        b"3\x0c\r\n",
        b"0 \r\n\r\n",
        b"0x0\r\n\r\n",
        b"00000000000000000\r\n\r\n",
        // line ends of sizes
        b"3\nabc\r\n",
        b"3\rabc\r\n",
        b"3\r\rabc",
        b"3\r\r\nabc\r\n",
        b"3\n\rabc",
        b"0\n\n",
        b"0\n\r\n",
        b"0\rX",
        b"3;x\nabc\r\n",
        b"3;x\rabc\r\n",
        b"3;x\r\rabc",
        b"3;\n0\r\n\r\n",
        // line ends of data
        b"3\r\nabc0\r\n\r\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n0\r\n\r\n",
        b"3\r\nabc\rX",
        b"3\r\nabc\r\r\n",
        b"3\r\nabc\n\r",
        b"3\r\nabcXX0\r\n\r\n",
        b"3\r\nabc \r\n",
        b"2\r\nabc\r\n0\r\n\r\n",
        b"4\r\nabc\r\n0\r\n\r\n",
        // extensions
        b"3;\x00\r\nabc\r\n",
        b"3;a\x7f\r\n",
        b"3;a=\x01\r\n",
        b"3;\xff\r\n",
        b"3;a=\"\n\"\r\nabc\r\n",
        b"3;a=\"\r\nabc\r\n\"0\r\n\r\n\r\n",
        b"3;\x0b\r\n",
        b"3;\xc2\xa0\r\n",
        // trailers
        b"0\r\nX\r\n\r\n",
        b"0\r\n: v\r\n\r\n",
        b"0\r\nX : v\r\n\r\n",
        b"0\r\n X: v\r\n\r\n",
        b"0\r\nX: v\n\r\n",
        b"0\r\nX: v\r\n\n",
        b"0\r\nX: v\rY: w\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\nX\xff: v\r\n\r\n",
        b"0\r\nX: \xff\r\n\r\n",
        b"0\r\nX Y: v\r\n\r\n",
        b"0\r\n\n",
        b"0\r\n\r\r\n",
        b"0\r\n\rX",
        b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        // fields that trailers must not set
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\ncontent-length: 3\r\n\r\n",
        b"0\r\nHost: b\r\n\r\n",
        b"0\r\nAuthorization: Bearer x\r\n\r\n",
        b"0\r\nX-Amz-Security-Token: x\r\n\r\n",
        b"0\r\nCookie: x\r\n\r\n",
        b"0\r\nX-Amz-Content-Sha256: x\r\n\r\n",
        b"0\r\nContent-Type: x\r\n\r\n",
        b"0\r\nContent-Encoding: x\r\n\r\n",
        b"0\r\nContent-Range: x\r\n\r\n",
        b"0\r\nTrailer: x\r\n\r\n",
        b"0\r\nTE: x\r\n\r\n",
        b"0\r\nExpect: x\r\n\r\n",
        b"0\r\nIf-Match: x\r\n\r\n",
        b"0\r\nRange: x\r\n\r\n",
        b"0\r\nConnection: close\r\n\r\n",
        b"0\r\nX-Forwarded-For: x\r\n\r\n",
        b"0\r\nX-Amz-Decoded-Content-Length: 1\r\n\r\n",
        b"0\r\nX-Good: a\r\nConTent-LENGTH: 3\r\n\r\n",
    ];
    for bytes in rows {
        assert_eq!(whole(bytes), Outcome::Status(400), "{:?}", String::from_utf8_lossy(bytes));
        assert_eq!(decode(bytes, &(0..bytes.len()).collect::<Vec<_>>(), 1, u64::MAX), Outcome::Status(400));
    }
}

#[test]
fn trailers_are_kept() {
    let bytes = b"1\r\na\r\n0\r\nX-Amz-Checksum-Crc32c:\t yZRlqg== \r\nx-empty:\r\n\r\nnext";
    let Outcome::Body { trailers, rest, .. } = whole(bytes) else { panic!("not taken") };
    let expected = [("X-Amz-Checksum-Crc32c", "yZRlqg=="), ("x-empty", "")];
    assert_eq!(trailers, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    assert_eq!(rest, b"next");
    let mut decoder = ChunkDecoder::default();
    decoder.decode(b"0\r\nA: b\r\n\r\n").unwrap();
    assert_eq!((decoder.trailers().field("a"), decoder.trailers().field("b")), (Some("b"), None));
    assert!(!decoder.trailers().is_empty());
}

#[test]
fn limits_hold_exactly() {
    let line = |n: usize| [b"1;", &vec![b'x'; n - 2][..], b"\r\na\r\n0\r\n\r\n"].concat();
    let line_max = limits::CHUNK_LINE_BYTES_MAX - 1;
    assert!(matches!(whole(&line(line_max)), Outcome::Body { .. }));
    assert_eq!(whole(&line(line_max + 1)), Outcome::Status(400));
    assert_eq!(whole(&line(line_max * 1000)), Outcome::Status(400));

    // Extensions of many chunks together, each small.
    let body = |chunks: usize| [b"1;xxxxxxx\r\na\r\n".repeat(chunks), b"0\r\n\r\n".to_vec()].concat();
    let chunks = limits::CHUNK_EXTENSIONS_BYTES_MAX / 8;
    assert!(matches!(whole(&body(chunks)), Outcome::Body { .. }));
    assert_eq!(whole(&body(chunks + 1)), Outcome::Status(400));

    // Trailers, and those that never end.
    let trailers = |n: usize| [b"0\r\n", &b"a: b\r\n".repeat(n)[..], b"\r\n"].concat();
    assert!(matches!(whole(&trailers(limits::HEADERS_MAX)), Outcome::Body { .. }));
    assert_eq!(whole(&trailers(limits::HEADERS_MAX + 1)), Outcome::Status(431));
    let endless = |n: usize| [b"0\r\na: ", &vec![b'x'; n][..], b"\r\n\r\n"].concat();
    assert!(matches!(whole(&endless(limits::TRAILER_BYTES_MAX - 7)), Outcome::Body { .. }));
    assert_eq!(whole(&endless(limits::TRAILER_BYTES_MAX - 6)), Outcome::Status(431));
    assert_eq!(whole(&endless(limits::TRAILER_BYTES_MAX * 1000)), Outcome::Status(431));

    // The body as a whole; what does not fit is refused by its size line.
    for (bytes, expected) in [
        (&b"4\r\nabcd\r\n0\r\n\r\n"[..], None),
        (b"4\r\nabcd\r\n1\r\n", Some(413)),
        (b"5\r\n", Some(413)),
        (b"ffffffffffffffff\r\n", Some(413)),
        (b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", None),
        (b"2\r\nab\r\n3\r\n", Some(413)),
    ] {
        let got = decode(bytes, &[], usize::MAX, 4);
        match expected {
            Some(status) => assert_eq!(got, Outcome::Status(status)),
            None => assert!(matches!(got, Outcome::Body { .. }), "{got:?}"),
        }
    }
    assert_eq!(ChunkDecoder::default().decode(b"ffffffffffffffff\r\n").unwrap_err().status(), 413);
}

#[test]
fn taking_more_than_was_shown_is_taking_all() {
    let mut decoder = ChunkDecoder::default();
    decoder.took(7);
    assert_eq!(decoder.decode(b"2\r\nab").unwrap().data, b"ab");
    decoder.took(9);
    assert_eq!(decoder.decode(b"X").unwrap_err(), HttpError::Chunk("data is not followed by CR LF"));
}

fn encode(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces.iter().filter(|p| !p.is_empty()) {
        write_chunk_head(&mut bytes, piece.len());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(weir_http::CHUNK_END);
    }
    write_chunk_head(&mut bytes, 0);
    bytes.extend_from_slice(LAST_CHUNK);
    bytes
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        rest in prop::collection::vec(any::<u8>(), 0..9),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        room in 1usize..400,
    ) {
        let bytes = [encode(&pieces), rest.clone()].concat();
        let expected = Outcome::Body { data: pieces.concat(), trailers: vec![], rest };
        prop_assert_eq!(decode(&bytes, &cuts, room, u64::MAX), expected);
    }

    #[test]
    fn any_split_of_any_bytes_gives_the_same_outcome(
        parts in prop::collection::vec(prop::sample::select(vec![
            &b"0\r\n"[..], b"\r\n", b"3\r\nabc\r\n", b"a", b"10\r\n", b";", b"x=y", b"\n", b"\r", b"A: b\r\n", b"1", b" ",
        ]), 0..24),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        room in 1usize..5,
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(decode(&bytes, &cuts, room, 64), whole_of(&bytes));
    }
}

fn whole_of(bytes: &[u8]) -> Outcome {
    decode(bytes, &[], usize::MAX, 64)
}
