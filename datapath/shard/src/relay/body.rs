//! The body of a request on its way to the node that keeps it.

use std::fmt::Write as _;

use weir_types::limits;

use super::head::Carried;
use super::link::Link;
use crate::body::{Body, BodyError};
use crate::conn::{Conn, full};
use crate::fail::Failure;

/// How the sending of a body ended.
pub(super) enum Outcome {
    /// All of it is sent.
    Sent,
    /// The peer took no more: it may have said why.
    Refused,
}

/// Sends the body, a buffer at a time. A body that ends early or that does not keep its promises is never ended towards the
/// peer, which therefore keeps nothing of it.
pub(super) async fn send(
    conn: &mut Conn,
    body: &mut Body,
    link: &mut Link,
    carried: Carried,
) -> Result<Outcome, Failure> {
    if carried == Carried::Nothing {
        return Ok(Outcome::Sent);
    }
    let most =
        body.announced().map_or(limits::RELAY_BUFFER_BYTES, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let mut buf = full(conn.handle.buffers().heap(most.clamp(1, limits::RELAY_BUFFER_BYTES)));
    // What stands between the pieces: the end of a chunk and the begin of the next.
    let mut between = String::new();
    loop {
        let n;
        (buf, n) = body.fill(conn, buf, 0).await?;
        if n == 0 {
            break;
        }
        open_chunk(&mut between, carried, n);
        if !between.is_empty() && link.conn.send_head(between.as_bytes()).await.is_err() {
            return Ok(Outcome::Refused);
        }
        between.clear();
        match link.conn.send(buf, 0..n).await {
            Ok(back) => buf = back,
            Err(_) => return Ok(Outcome::Refused),
        }
        close_chunk(&mut between, carried);
    }
    let trailers = body.aws_trailers().map_err(BodyError::S3)?;
    end(&mut between, carried, trailers.iter());
    match link.conn.send_bytes(between.as_bytes()).await {
        Ok(()) => Ok(Outcome::Sent),
        Err(_) => Ok(Outcome::Refused),
    }
}

/// Writes what comes before a piece of `n` bytes.
fn open_chunk(out: &mut String, carried: Carried, n: usize) {
    // Writing to a String cannot fail.
    let _ = match carried {
        Carried::Nothing | Carried::Bytes(_) => Ok(()),
        Carried::Chunks => write!(out, "{n:x}\r\n"),
        Carried::AwsChunks => {
            let inner = format!("{n:x}\r\n");
            write!(out, "{:x}\r\n{inner}", inner.len() + n + 2)
        }
    };
}

/// Writes what comes after a piece.
fn close_chunk(out: &mut String, carried: Carried) {
    out.push_str(match carried {
        Carried::Nothing | Carried::Bytes(_) => "",
        Carried::Chunks => "\r\n",
        Carried::AwsChunks => "\r\n\r\n",
    });
}

/// Writes what comes after the last piece. Signatures end here; the rest of the trailers goes along.
fn end<'t>(out: &mut String, carried: Carried, trailers: impl Iterator<Item = (&'t str, &'t str)>) {
    match carried {
        Carried::Nothing | Carried::Bytes(_) => {}
        Carried::Chunks => out.push_str("0\r\n\r\n"),
        Carried::AwsChunks => {
            let mut inner = String::from("0\r\n");
            for (name, value) in trailers.filter(|(name, _)| *name != "x-amz-trailer-signature") {
                let _ = write!(inner, "{name}:{value}\r\n");
            }
            inner.push_str("\r\n");
            let _ = write!(out, "{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_http::ChunkDecoder;
    use weir_s3::body::Framing;
    use weir_s3::chunked::{ChunkedBody, Unverified};

    use super::*;

    fn carried(pieces: &[&str], carried: Carried, trailers: &[(&str, &str)]) -> String {
        let mut out = String::new();
        for piece in pieces {
            open_chunk(&mut out, carried, piece.len());
            out.push_str(piece);
            close_chunk(&mut out, carried);
        }
        end(&mut out, carried, trailers.iter().copied());
        out
    }

    #[test]
    fn framings() {
        assert_eq!(carried(&["hello", "!"], Carried::Bytes(6), &[]), "hello!");
        assert_eq!(carried(&["hello", "!"], Carried::Chunks, &[]), "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n");
        assert_eq!(carried(&[], Carried::Chunks, &[]), "0\r\n\r\n");
    }

    #[test]
    fn chunks_of_s3_are_read_back_with_their_trailers() {
        let sent = [("x-amz-checksum-crc32", "AAAA"), ("x-amz-trailer-signature", "secret")];
        for pieces in [&["hello", "world"][..], &[]] {
            let text = carried(pieces, Carried::AwsChunks, &sent);
            let framing =
                Framing::AwsChunked { decoded: 5 * pieces.len() as u64, signed: false, trailer: true };
            let (mut outer, mut inner) = (ChunkDecoder::default(), ChunkedBody::new(framing).unwrap());
            let (mut rest, mut got) = (text.as_bytes(), Vec::new());
            loop {
                let step = outer.decode(rest).unwrap();
                let mut data = step.data;
                let (framing, ended, taken) = (step.framing, step.end, data.len());
                while !data.is_empty() {
                    let step = inner.step(data, &mut Unverified).unwrap();
                    got.extend_from_slice(&data[step.data]);
                    data = &data[step.used..];
                }
                outer.took(taken);
                rest = &rest[framing + taken..];
                if ended {
                    break;
                }
            }
            assert!(rest.is_empty());
            assert_eq!(got, pieces.concat().as_bytes());
            let trailers = inner.finish().unwrap();
            assert_eq!(trailers.iter().collect::<Vec<_>>(), [("x-amz-checksum-crc32", "AAAA")]);
        }
    }
}
