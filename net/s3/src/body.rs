//! What a request says about its body: how it is framed, and what must hold for the bytes once they are through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use weir_types::limits::{OBJECT_BYTES_MAX, XML_BYTES_MAX};
use weir_types::{Checksum, ChecksumKind};

use crate::chunked::Trailers;
use crate::error::{Result, S3Code, S3Error};
use crate::flexible::{Expected, FlexibleKind, StoredChecksum};
use crate::request::RequestHead;

/// How a body is framed and checked. Compute every kind of [`BodyPlan::kinds`] over the decoded bytes, then call
/// [`BodyPlan::verify`] before anything becomes visible.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BodyPlan {
    /// Framing inside the HTTP body.
    pub framing: Framing,
    /// Bytes of the decoded body, if announced.
    pub length: Option<u64>,
    /// `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// `x-amz-content-sha256`, when it is a hash.
    pub sha256: Option<[u8; 32]>,
    /// The flexible checksum to compute and where its expected value comes from.
    pub checksum: Option<Declared>,
    /// A flexible checksum that is kept whether the client declares it or not: that of the upload a part belongs to.
    pub wanted: Option<FlexibleKind>,
}

impl Declared {
    fn kind(&self) -> FlexibleKind {
        match self {
            Self::Header(expected) => expected.kind,
            Self::Trailer(kind) => *kind,
        }
    }
}

/// Framing inside the HTTP body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// The bytes as they are.
    #[default]
    Plain,
    /// aws-chunked: decode with [`crate::chunked::ChunkedBody`].
    AwsChunked {
        /// Bytes after decoding (`x-amz-decoded-content-length`).
        decoded: u64,
        /// Every chunk carries a signature.
        signed: bool,
        /// Trailers follow the last chunk.
        trailer: bool,
    },
}

/// Where the expected flexible checksum comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Declared {
    /// From a header: known before the body.
    Header(Expected),
    /// From the trailer of an aws-chunked body.
    Trailer(FlexibleKind),
}

const STREAMING_UNSIGNED: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const STREAMING_SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const STREAMING_SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const SHA256_HEADER: &str = "x-amz-content-sha256";
const DECODED_LENGTH: &str = "x-amz-decoded-content-length";

impl BodyPlan {
    /// Reads the headers of a request that carries an object or a part; its length must be announced in some way.
    pub fn parse_object<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        let plan = Self::parse(head)?;
        let chunked = head.header("transfer-encoding").is_some();
        match plan.length {
            None if !chunked => Err(S3Code::MissingContentLength.into()),
            Some(n) if n > OBJECT_BYTES_MAX => Err(S3Error::from(S3Code::EntityTooLarge)
                .with("ProposedSize", n.to_string())
                .with("MaxSizeAllowed", OBJECT_BYTES_MAX.to_string())),
            _ => Ok(plan),
        }
    }

    /// Reads the headers of a request that carries a document of at most `XML_BYTES_MAX` bytes.
    pub fn parse_document<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        let plan = Self::parse(head)?;
        match plan.length {
            Some(n) if n > XML_BYTES_MAX as u64 => Err(S3Code::MaxMessageLengthExceeded.into()),
            _ => Ok(plan),
        }
    }

    fn parse<H: RequestHead + ?Sized>(head: &H) -> Result<Self> {
        let framing = framing(head)?;
        let length = match framing {
            Framing::AwsChunked { decoded, .. } => Some(decoded),
            Framing::Plain => head.header("content-length").and_then(|v| v.trim().parse().ok()),
        };
        let sha256 = match head.header(SHA256_HEADER) {
            Some(v) if v.len() == 64 => Some(sha256_value(v)?),
            _ => None,
        };
        let trailer = matches!(framing, Framing::AwsChunked { trailer: true, .. });
        Ok(Self {
            framing,
            length,
            md5: md5(head)?,
            sha256,
            checksum: declared(head, trailer)?,
            wanted: None,
        })
    }

    /// The plan of a part whose upload keeps checksums of `kind`; a part that declares another kind is refused.
    pub fn wanting(mut self, kind: FlexibleKind) -> Result<Self> {
        match self.declared_kind() {
            Some(other) if other != kind => {
                let text =
                    format!("the upload keeps {}, the part declares {}", kind.as_str(), other.as_str());
                Err(S3Error::new(S3Code::InvalidRequest, text))
            }
            _ => {
                self.wanted = Some(kind);
                Ok(self)
            }
        }
    }

    fn declared_kind(&self) -> Option<FlexibleKind> {
        self.checksum.as_ref().map(Declared::kind)
    }

    /// What must be computed over the decoded bytes.
    pub fn kinds(&self) -> Vec<ChecksumKind> {
        let flexible = self.declared_kind().or(self.wanted).map(FlexibleKind::kind);
        let md5 = self.md5.map(|_| ChecksumKind::Md5);
        let sha = self.sha256.map(|_| ChecksumKind::Sha256).filter(|k| Some(*k) != flexible);
        [md5, sha, flexible].into_iter().flatten().collect()
    }

    /// Compares what was computed over the decoded bytes with what was announced; `length` is their number. Answers
    /// the flexible checksum to keep with the object.
    pub fn verify(
        &self,
        length: u64,
        got: &[Checksum],
        trailers: &Trailers,
    ) -> Result<Option<StoredChecksum>> {
        if self.length.is_some_and(|n| n != length) {
            return Err(S3Code::IncompleteBody.into());
        }
        if let Some(md5) = &self.md5 {
            expect(got, ChecksumKind::Md5, md5, S3Code::BadDigest)?;
        }
        if let Some(sha256) = &self.sha256 {
            expect(got, ChecksumKind::Sha256, sha256, S3Code::XAmzContentSHA256Mismatch)?;
        }
        let expected = match &self.checksum {
            None => {
                let sum = self.wanted.map(|kind| computed(got, kind.kind())).transpose()?;
                return Ok(sum.and_then(StoredChecksum::full));
            }
            Some(Declared::Header(expected)) => expected.clone(),
            Some(Declared::Trailer(kind)) => trailers.checksum(*kind)?,
        };
        let computed = computed(got, expected.kind.kind())?;
        let stored = StoredChecksum { kind: expected.kind, value: computed.value.clone(), parts: 0 };
        expected.check(&stored)?;
        Ok(Some(stored))
    }

    /// The same for a document that is all there: computes and compares. Most documents of S3 want no checksum.
    pub fn verify_bytes(&self, body: &[u8], trailers: &Trailers) -> Result<()> {
        let got: Vec<_> = self.kinds().into_iter().map(|k| weir_types::checksum::of(k, body)).collect();
        self.verify(body.len() as u64, &got, trailers).map(|_| ())
    }
}

fn computed(got: &[Checksum], kind: ChecksumKind) -> Result<&Checksum> {
    // The caller computes what `kinds` names; anything else is an error of ours, not of the client.
    got.iter().find(|sum| sum.kind == kind).ok_or_else(|| {
        S3Error::new(S3Code::InternalError, format!("the {} of the body was not computed", kind.as_str()))
    })
}

fn expect(got: &[Checksum], kind: ChecksumKind, expected: &[u8], code: S3Code) -> Result<()> {
    let sum = computed(got, kind)?;
    if sum.value == expected {
        return Ok(());
    }
    Err(S3Error::from(code).with("CalculatedDigest", BASE64.encode(&sum.value)))
}

fn framing<H: RequestHead + ?Sized>(head: &H) -> Result<Framing> {
    let encoded = head
        .header("content-encoding")
        .is_some_and(|v| v.split(',').any(|c| c.trim().eq_ignore_ascii_case("aws-chunked")));
    let decoded = head.header(DECODED_LENGTH);
    let (signed, trailer) = match head.header(SHA256_HEADER) {
        Some(STREAMING_UNSIGNED) => (false, true),
        Some(STREAMING_SIGNED) => (true, false),
        Some(STREAMING_SIGNED_TRAILER) => (true, true),
        Some(other) if other.starts_with("STREAMING-") => return Err(S3Error::not_implemented(other)),
        // Named by its encoding alone, as a client without credentials may; chunks then carry what they carry.
        _ if encoded && decoded.is_some() => (false, head.header("x-amz-trailer").is_some()),
        _ => return Ok(Framing::Plain),
    };
    let text = decoded.ok_or_else(|| {
        S3Error::new(S3Code::MissingContentLength, "x-amz-decoded-content-length is missing")
    })?;
    let decoded = text
        .trim()
        .parse()
        .map_err(|_| S3Error::argument(DECODED_LENGTH, text, "expected the number of decoded bytes"))?;
    Ok(Framing::AwsChunked { decoded, signed, trailer })
}

fn md5<H: RequestHead + ?Sized>(head: &H) -> Result<Option<[u8; 16]>> {
    let Some(value) = head.header("content-md5") else { return Ok(None) };
    let bytes = BASE64.decode(value.trim()).ok().and_then(|b| <[u8; 16]>::try_from(b).ok());
    bytes.map(Some).ok_or_else(|| S3Error::new(S3Code::InvalidDigest, "the Content-MD5 given is not valid"))
}

fn sha256_value(text: &str) -> Result<[u8; 32]> {
    Checksum::from_hex(ChecksumKind::Sha256, text)
        .and_then(|sum| <[u8; 32]>::try_from(sum.value).ok())
        .ok_or_else(|| {
            S3Error::argument(SHA256_HEADER, text, "expected a hash in hex or one of the fixed texts")
        })
}

/// The one flexible checksum that a request declares, by header or by the name of a trailer.
fn declared<H: RequestHead + ?Sized>(head: &H, trailer: bool) -> Result<Option<Declared>> {
    let mut found = None;
    let many = || S3Error::new(S3Code::InvalidRequest, "expected a single x-amz-checksum-* header");
    for kind in FlexibleKind::ALL {
        let Some(value) = head.header(kind.header()) else { continue };
        let declared = Declared::Header(Expected { kind, wire: value.trim().to_owned() });
        if found.replace(declared).is_some() {
            return Err(many());
        }
    }
    let names = head.header("x-amz-trailer").unwrap_or_default();
    for name in names.split(',').map(str::trim).filter(|n| !n.is_empty()) {
        let kind = FlexibleKind::ALL.into_iter().find(|k| k.header().eq_ignore_ascii_case(name));
        let kind = kind.ok_or_else(|| {
            S3Error::new(S3Code::InvalidRequest, format!("the trailer {name:.64} is not supported"))
        })?;
        if !trailer {
            return Err(S3Error::new(
                S3Code::InvalidRequest,
                "x-amz-trailer needs a body that has a trailer",
            ));
        }
        if found.replace(Declared::Trailer(kind)).is_some() {
            return Err(many());
        }
    }
    let named = head.header("x-amz-sdk-checksum-algorithm").filter(|v| !v.trim().is_empty());
    check_named(named, found.as_ref().map(Declared::kind))?;
    Ok(found)
}

fn check_named(named: Option<&str>, kind: Option<FlexibleKind>) -> Result<()> {
    let Some(text) = named else { return Ok(()) };
    let invalid =
        |message: &'static str| Err(S3Error::new(S3Code::InvalidRequest, message).with("Value", text));
    match (FlexibleKind::parse(text), kind) {
        (None, _) if text.eq_ignore_ascii_case("MD5") => Ok(()),
        (None, _) => invalid("x-amz-sdk-checksum-algorithm names no checksum"),
        (Some(_), None) => {
            invalid("x-amz-sdk-checksum-algorithm is given without an x-amz-checksum-* header or trailer")
        }
        (Some(named), Some(kind)) if named != kind => {
            invalid("x-amz-sdk-checksum-algorithm and the x-amz-checksum-* header differ")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
