//! The head of a request on its way from the node that let it in to the node that answers it: what the client said, less
//! what was settled here (who it is, how its body was framed and signed), more what this node vouches for.

use weir_auth::{GRANT_HEADER, INDEX_HEADER, PEER_HEADER};
use weir_http::{Framing, Head, HttpError, RequestHead};

use crate::moves::{HELD_HEADER, MAP_HEADER, PART_HEADER, UPLOAD_HEADER};
use crate::promote::FILE_HEADER;

/// Fields that end here: of the connection, of the framing, of the credential; and the date, which nobody asks for.
const SETTLED: [&str; 22] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "expect",
    "date",
    "authorization",
    "x-amz-security-token",
    PEER_HEADER,
    GRANT_HEADER,
    INDEX_HEADER,
    HELD_HEADER,
    MAP_HEADER,
    UPLOAD_HEADER,
    PART_HEADER,
    FILE_HEADER,
];

const PAYLOAD: &str = "x-amz-content-sha256";
/// What stands for every kind of S3's chunks: signatures were checked here, trailers go along.
const CHUNKS_WITH_TRAILERS: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

/// How the body goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Carried {
    /// None.
    Nothing,
    /// So many bytes as they are.
    Bytes(u64),
    /// Of a length that is not known, in HTTP's chunks.
    Chunks,
    /// As [`Carried::Chunks`], and S3's chunks inside, unsigned, so that trailers go along and the end is told from a break.
    AwsChunks,
}

impl Carried {
    fn framing(self) -> Framing {
        match self {
            Self::Nothing => Framing::None,
            Self::Bytes(n) => Framing::Length(n),
            Self::Chunks | Self::AwsChunks => Framing::Chunked,
        }
    }
}

/// Where a request goes.
pub(super) struct To<'t> {
    /// Address of the peer.
    pub(super) host: &'t str,
    /// Path and query there.
    pub(super) path: &'t str,
    pub(super) query: &'t str,
}

/// Writes the head; `vouched` is what the gate gives for it.
pub(super) fn write(
    out: &mut Vec<u8>,
    head: &Head<'_>,
    to: &To<'_>,
    carried: Carried,
    waits: bool,
    vouched: &[(&'static str, String)],
) -> Result<(), HttpError> {
    let mut on = RequestHead::new(out, head.method, to.path, to.query, to.host)?;
    for (name, value) in head.iter() {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let replaced = carried == Carried::AwsChunks && is(PAYLOAD);
        if !replaced && !SETTLED.iter().any(|settled| is(settled)) {
            on.header(name, value)?;
        }
    }
    if carried == Carried::AwsChunks {
        on.header(PAYLOAD, CHUNKS_WITH_TRAILERS)?;
    }
    for (name, value) in vouched {
        on.header(name, value)?;
    }
    on.finish(carried.framing(), waits);
    Ok(())
}

/// The path under which a peer finds what a virtual host names.
pub(super) fn path_style(bucket: &str, path: &str) -> String {
    format!("/s3/{bucket}{path}")
}

#[cfg(test)]
mod tests {
    use weir_http::{HeaderSlots, parse_head};

    use super::*;

    const HOST: &str = "127.0.0.1:10080";

    fn passed_on(request: &str, carried: Carried) -> String {
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
        let to = To { host: HOST, path: head.path, query: head.query };
        let mut out = Vec::new();
        write(&mut out, &head, &to, carried, false, &[("weir-grant", "g".into())]).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_settled_here_stays_here() {
        let request = "PUT /b/o?partNumber=1 HTTP/1.1\r\nHost: b.s3.local\r\nAuthorization: AWS4-HMAC-SHA256 x\r\n\
                       x-amz-security-token: t\r\nContent-Length: 9\r\nExpect: 100-continue\r\nConnection: close\r\n\
                       Date: now\r\nweir-grant: forged\r\nWeir-Peer: forged\r\nweir-index: 9\r\n\
                       x-amz-meta-a: 1\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\r\n";
        assert_eq!(
            passed_on(request, Carried::Bytes(9)),
            "PUT /b/o?partNumber=1 HTTP/1.1\r\nHost: 127.0.0.1:10080\r\nx-amz-meta-a: 1\r\n\
             x-amz-content-sha256: UNSIGNED-PAYLOAD\r\nweir-grant: g\r\nContent-Length: 9\r\n\r\n"
        );
    }

    #[test]
    fn signed_chunks_go_on_unsigned() {
        let request = "PUT /b/o HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\nContent-Encoding: aws-chunked\r\n\
                       x-amz-decoded-content-length: 9\r\nx-amz-trailer: x-amz-checksum-crc32\r\n\
                       x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\r\n\r\n";
        assert_eq!(
            passed_on(request, Carried::AwsChunks),
            "PUT /b/o HTTP/1.1\r\nHost: 127.0.0.1:10080\r\nContent-Encoding: aws-chunked\r\n\
             x-amz-decoded-content-length: 9\r\nx-amz-trailer: x-amz-checksum-crc32\r\n\
             x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\nweir-grant: g\r\n\
             Transfer-Encoding: chunked\r\n\r\n"
        );
    }

    #[test]
    fn a_bucket_in_the_host_moves_into_the_path() {
        assert_eq!(path_style("v1", "/a%2Fb"), "/s3/v1/a%2Fb");
    }
}
