use std::fmt;

use crate::ChunkSigner;

/// How the body of an admitted request must be read. The decoder follows this rule and nothing else.
#[derive(Clone)]
pub enum BodyRule {
    /// The bytes are the payload; nothing was promised about them.
    Plain,
    /// The bytes are the payload and must have this SHA-256; otherwise nothing of them may be kept
    /// (S3: `XAmzContentSHA256Mismatch`, 400).
    Sha256([u8; 32]),
    /// aws-chunked: every chunk carries a signature that `signer` must accept before the object is committed.
    SignedChunks {
        /// Checks the chain of signatures.
        signer: Box<ChunkSigner>,
        /// Whether signed trailers end the body.
        trailer: bool,
    },
    /// aws-chunked; signatures on chunk lines, if there are any, have no meaning.
    UnsignedChunks {
        /// Whether trailers end the body.
        trailer: bool,
    },
}

impl BodyRule {
    /// Whether the body is aws-chunked inside its HTTP framing.
    pub fn is_aws_chunked(&self) -> bool {
        matches!(self, Self::SignedChunks { .. } | Self::UnsignedChunks { .. })
    }
}

impl fmt::Debug for BodyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain => f.write_str("Plain"),
            Self::Sha256(hash) => write!(f, "Sha256({})", hex::encode(hash)),
            Self::SignedChunks { trailer, .. } => write!(f, "SignedChunks {{ trailer: {trailer} }}"),
            Self::UnsignedChunks { trailer } => write!(f, "UnsignedChunks {{ trailer: {trailer} }}"),
        }
    }
}

/// What `x-amz-content-sha256` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PayloadMode {
    Unsigned,
    Sha256([u8; 32]),
    SignedChunks { trailer: bool },
    UnsignedChunksTrailer,
}

impl PayloadMode {
    /// Reads the header's value; a digest must be lower-case hex, as it is part of what is signed.
    pub(crate) fn parse(value: &str) -> Result<Self, crate::Denied> {
        Ok(match value {
            "UNSIGNED-PAYLOAD" => Self::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Self::SignedChunks { trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Self::SignedChunks { trailer: true },
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Self::UnsignedChunksTrailer,
            _ if value.starts_with("STREAMING-") => return Err(crate::Denied::PayloadMode),
            _ => Self::Sha256(digest(value).ok_or(crate::Denied::PayloadHash)?),
        })
    }

    /// The rule where no signature chain exists: an anonymous caller's or a token bearer's request.
    pub(crate) fn unchained(self) -> BodyRule {
        match self {
            Self::Unsigned => BodyRule::Plain,
            Self::Sha256(hash) => BodyRule::Sha256(hash),
            Self::SignedChunks { trailer } => BodyRule::UnsignedChunks { trailer },
            Self::UnsignedChunksTrailer => BodyRule::UnsignedChunks { trailer: true },
        }
    }
}

/// 32 bytes from exactly 64 lower-case hex digits.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
