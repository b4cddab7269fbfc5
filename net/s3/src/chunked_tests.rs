use proptest::prelude::*;

use super::*;

/// Keeps what it was told, and refuses the signature `bad`.
#[derive(Default)]
struct Recorder {
    running: Vec<u8>,
    log: Vec<String>,
}

impl ChunkVerifier for Recorder {
    fn data(&mut self, bytes: &[u8]) {
        self.running.extend_from_slice(bytes);
    }
    fn chunk(&mut self, signature: &str) -> Result<()> {
        let data = String::from_utf8(std::mem::take(&mut self.running)).unwrap();
        self.log.push(format!("{data}/{signature}"));
        if signature == "bad" { Err(S3Code::SignatureDoesNotMatch.into()) } else { Ok(()) }
    }
    fn trailer(&mut self, canonical: &[u8], signature: &str) -> Result<()> {
        self.log.push(format!("{:?}/{signature}", std::str::from_utf8(canonical).unwrap()));
        Ok(())
    }
}

/// Decodes `body` given in pieces that end at `cuts`; answers data, log and trailers.
fn decode(framing: Framing, body: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Vec<String>, Trailers)> {
    let mut decoder = ChunkedBody::new(framing).unwrap();
    let (mut verifier, mut data, mut from) = (Recorder::default(), Vec::new(), 0);
    for to in cuts.iter().copied().chain([body.len()]) {
        let mut piece = &body[from.min(to)..to];
        while !piece.is_empty() && !decoder.done() {
            let step = decoder.step(piece, &mut verifier)?;
            assert!(step.used > 0, "a step over bytes makes progress");
            data.extend_from_slice(&piece[step.data]);
            piece = &piece[step.used..];
        }
        assert!(piece.is_empty(), "the body ends with its input");
        from = to.max(from);
    }
    Ok((data, verifier.log, decoder.finish()?))
}

fn chunked(decoded: u64, signed: bool, trailer: bool) -> Framing {
    Framing::AwsChunked { decoded, signed, trailer }
}

#[test]
fn bodies() {
    let check = |framing, body: &str, data: &str, log: &[&str], trailers: &[(&str, &str)]| {
        let got = decode(framing, body.as_bytes(), &[]).unwrap_or_else(|e| panic!("{body:?}: {e}"));
        assert_eq!(String::from_utf8(got.0).unwrap(), data, "{body:?}");
        assert_eq!(got.1, log, "{body:?}");
        assert_eq!(got.2, Trailers::of(trailers), "{body:?}");
    };
    check(chunked(0, false, false), "0\r\n\r\n", "", &[], &[]);
    check(chunked(5, false, false), "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde", &[], &[]);
    check(
        chunked(10, false, true),
        "A\r\n0123456789\r\n0\r\nx-a: 1\r\n\r\n",
        "0123456789",
        &[],
        &[("x-a", "1")],
    );
    // A body may be named by its encoding alone and still carry signatures that nobody can check.
    check(chunked(1, false, false), "1;chunk-signature=s\r\na\r\n0;chunk-signature=t\r\n\r\n", "a", &[], &[]);
    let signed = "3;chunk-signature=s1\r\nabc\r\n0;chunk-signature=s2\r\n\r\n";
    check(chunked(3, true, false), signed, "abc", &["abc/s1", "/s2"], &[]);
    let trailing =
        "3;chunk-signature=s1\r\nabc\r\n0;chunk-signature=s2\r\nX-A:1\r\nx-amz-trailer-signature:s3\r\n\r\n";
    check(chunked(3, true, true), trailing, "abc", &["abc/s1", "/s2", "\"x-a:1\\n\"/s3"], &[("x-a", "1")]);
    // Some clients end a trailer with LF alone.
    check(chunked(0, false, true), "0\r\nx-a:1\n\r\n", "", &[], &[("x-a", "1")]);
}

#[test]
fn malformed_bodies_are_refused() {
    let check = |framing, body: &str, expected: S3Code| {
        assert_eq!(decode(framing, body.as_bytes(), &[]).unwrap_err().code, expected, "{body:?}");
    };
    let (invalid, trailer) = (S3Code::InvalidRequest, S3Code::MalformedTrailerError);
    let three = chunked(3, false, false);
    check(three, "", S3Code::IncompleteBody);
    check(three, "3\r\nabc\r\n0\r\n", S3Code::IncompleteBody);
    check(three, "0\r\n\r\n", S3Code::IncompleteBody);
    check(three, "2\r\nab\r\n0\r\n\r\n", S3Code::IncompleteBody);
    check(three, "4\r\nabcd\r\n0\r\n\r\n", invalid);
    check(three, "3\nabc\r\n0\r\n\r\n", invalid);
    check(three, "3\r\nabcX\r\n", invalid);
    check(three, "3\r\nabc\n\n", invalid);
    check(three, "\r\n", invalid);
    check(three, "-3\r\nabc\r\n", invalid);
    check(three, "+3\r\nabc\r\n", invalid);
    check(three, " 3\r\nabc\r\n", invalid);
    check(three, "0x3\r\nabc\r\n", invalid);
    check(three, "00000000000000003\r\nabc\r\n", invalid);
    check(three, "ffffffffffffffff\r\nabc\r\n", invalid);
    check(three, &"3".repeat(5000), invalid);
    check(three, &format!("3;chunk-signature={}\r\n", "s".repeat(5000)), invalid);
    check(three, "3\r\nabc\r\n0\r\nx-a:1\r\n\r\n", trailer);
    let signed = chunked(3, true, true);
    check(signed, "3\r\nabc\r\n", invalid);
    check(signed, "3;chunk-signature=bad\r\nabc\r\n", S3Code::SignatureDoesNotMatch);
    let to_trailer = "3;chunk-signature=a\r\nabc\r\n0;chunk-signature=b\r\n";
    for rest in [
        "x-a:1\r\n\r\n",
        "\r\n",
        "nocolon\r\n",
        ":v\r\n",
        "x-a:1\r\nX-A:2\r\n",
        "x-amz-trailer-signature:s\r\nx-b:1\r\n",
    ] {
        check(signed, &format!("{to_trailer}{rest}"), trailer);
    }
    check(signed, &format!("{to_trailer}{}", "x".repeat(9000)), invalid);
    let many: String = (0..2000).map(|i| format!("x-{i}:1\r\n")).collect();
    assert!(decode(signed, format!("{to_trailer}{many}").as_bytes(), &[]).is_err());
}

proptest! {
    #[test]
    fn any_split_decodes_alike(chunks in proptest::collection::vec("[a-z]{1,40}", 0..6), mut cuts in proptest::collection::vec(0usize..600, 0..12)) {
        let data = chunks.concat();
        let mut body: String = chunks.iter().map(|c| format!("{:x};chunk-signature=s\r\n{c}\r\n", c.len())).collect();
        body.push_str("0;chunk-signature=e\r\nx-amz-checksum-crc32:AAAA\r\nx-amz-trailer-signature:t\r\n\r\n");
        cuts.retain(|c| *c < body.len());
        cuts.sort_unstable();
        let framing = chunked(data.len() as u64, true, true);
        let whole = decode(framing, body.as_bytes(), &[]).unwrap();
        prop_assert_eq!(&whole.0, data.as_bytes());
        prop_assert_eq!(&decode(framing, body.as_bytes(), &cuts).unwrap(), &whole);
        let each: Vec<usize> = (0..body.len()).collect();
        prop_assert_eq!(&decode(framing, body.as_bytes(), &each).unwrap(), &whole);
        // Any cut short of the end is an incomplete body, never a shorter one.
        for end in cuts {
            prop_assert!(decode(framing, &body.as_bytes()[..end], &[]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..300), signed: bool, trailer: bool) {
        let framing = chunked(17, signed, trailer);
        let mut decoder = ChunkedBody::new(framing).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() && !decoder.done() {
            match decoder.step(rest, &mut Unverified) {
                Ok(step) => {
                    prop_assert!(step.used > 0 && step.data.end <= step.used);
                    rest = &rest[step.used..];
                }
                Err(e) => { prop_assert!(e.status() < 500); break }
            }
        }
    }
}
