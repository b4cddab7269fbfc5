//! Why a request is not let in, and what each dialect answers. No other file maps denials.

use weir_types::{Access, limits};

/// Why a request was not admitted or not permitted. Texts name what is missing, never a secret or a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credential came, and one is needed.
    #[error("a credential is required")]
    Missing,
    /// More than one credential came.
    #[error("expected one way of authentication, got several")]
    Ambiguous,
    /// `Authorization` names a scheme that is not understood.
    #[error("expected Authorization of AWS4-HMAC-SHA256 or Bearer")]
    Mechanism,
    /// `Authorization` of Signature Version 4 is malformed.
    #[error("authorization header is malformed: {0}")]
    Malformed(&'static str),
    /// The presigned query is malformed.
    #[error("query-string authentication: {0}")]
    MalformedQuery(&'static str),
    /// Path or query hold a bad percent escape.
    #[error("the request target holds a bad percent escape")]
    BadEscape,
    /// Nobody has this access key.
    #[error("the access key ID does not exist here")]
    UnknownKey,
    /// The signature of the request is not the one its key makes.
    #[error("the request signature does not match: check the secret key and how the request is signed")]
    Signature,
    /// The signature of a chunk or of the trailers is wrong; nothing of the body may be kept.
    #[error("the signature of a chunk does not match")]
    ChunkSignature,
    /// The request carries no date.
    #[error("expected x-amz-date or Date")]
    NoDate,
    /// The request's date is too far from this node's clock.
    #[error("the request time is more than {} s away from the server's", limits::SIGNATURE_SKEW_SECONDS_MAX)]
    Skewed,
    /// A presigned URL is past its time.
    #[error("the presigned request has expired")]
    Expired,
    /// A header that must be signed is not.
    #[error("host and every x-amz header must be signed")]
    Unsigned,
    /// `x-amz-content-sha256` is missing.
    #[error("expected x-amz-content-sha256")]
    NoPayloadHash,
    /// `x-amz-content-sha256` is no digest and no known mode.
    #[error("x-amz-content-sha256: expected a SHA-256 in lower-case hex or a payload mode")]
    PayloadHash,
    /// A payload mode that exists but is not offered.
    #[error("x-amz-content-sha256: this payload mode is not supported")]
    PayloadMode,
    /// Tokens are not accepted here.
    #[error("bearer tokens are not accepted: no token key is configured")]
    TokensOff,
    /// A token that this node's key did not make, or that lacks a claim.
    #[error("the token is not valid")]
    Token,
    /// A token past its time.
    #[error("the token has expired")]
    TokenExpired,
    /// An anonymous request from elsewhere than this host.
    #[error("without credentials, only requests from this host are served")]
    NotLoopback,
    /// An anonymous request that a browser made on behalf of another site.
    #[error("without credentials, requests made by other web sites are not served")]
    CrossSite,
    /// An anonymous request under a host that is not this one's.
    #[error(
        "without credentials, requests are served under 127.0.0.1, [::1] or localhost, and under the hosts that the \
         configuration lists (auth.hosts): the Host header names another"
    )]
    ForeignHost,
    /// A request between nodes, or one that a gateway redirected, that no node of this cluster vouches for now.
    #[error(
        "expected a request that a node of this cluster vouches for, not more than {} s ago",
        limits::PEER_SKEW_SECONDS_MAX
    )]
    Peer,
    /// The credential is good but does not allow the operation.
    #[error("access denied: permission bits {:#x} are needed", .0.0)]
    Forbidden(Access),
}

impl Denied {
    /// HTTP status and error code of the S3 API.
    pub fn s3(&self) -> (u16, &'static str) {
        match self {
            Self::Missing
            | Self::NoDate
            | Self::Expired
            | Self::Unsigned
            | Self::NotLoopback
            | Self::CrossSite
            | Self::ForeignHost
            | Self::Peer
            | Self::Forbidden(_) => (403, "AccessDenied"),
            Self::Ambiguous | Self::PayloadHash => (400, "InvalidArgument"),
            Self::Mechanism => (400, "InvalidRequest"),
            Self::Malformed(_) => (400, "AuthorizationHeaderMalformed"),
            Self::MalformedQuery(_) => (400, "AuthorizationQueryParametersError"),
            Self::BadEscape => (400, "InvalidURI"),
            Self::UnknownKey => (403, "InvalidAccessKeyId"),
            Self::Signature | Self::ChunkSignature => (403, "SignatureDoesNotMatch"),
            Self::Skewed => (403, "RequestTimeTooSkewed"),
            Self::NoPayloadHash => (400, "MissingSecurityHeader"),
            Self::PayloadMode => (501, "NotImplemented"),
            Self::TokensOff | Self::Token => (400, "InvalidToken"),
            Self::TokenExpired => (400, "ExpiredToken"),
        }
    }

    /// HTTP status of the AIS API: 403 for a known caller without the right, 401 for everything else
    /// (AIS `ais/prxauth.go`).
    pub fn ais_status(&self) -> u16 {
        match self {
            Self::Forbidden(_) | Self::NotLoopback | Self::CrossSite | Self::ForeignHost | Self::Peer => 403,
            Self::BadEscape => 400,
            _ => 401,
        }
    }
}

/// Why credentials cannot be configured or a token cannot be issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A gate needs something to check against; for none there is [`crate::Gate::anonymous_loopback_only`].
    #[error("no credential is configured: expected an access key or a token key")]
    NoCredential,
    /// An access key ID is empty or holds something else than visible ASCII without `/` and `,`.
    #[error("access key ID {got:?}: expected visible ASCII without '/' and ','")]
    AccessKey {
        /// The ID that came.
        got: String,
    },
    /// An access key ID came twice.
    #[error("access key ID {got:?} is configured twice")]
    Twice {
        /// The ID.
        got: String,
    },
    /// The secret of an access key is empty.
    #[error("the secret key of {of:?} is empty")]
    EmptySecret {
        /// Its access key ID.
        of: String,
    },
    /// Too many access keys.
    #[error("{got} access keys are configured: expected at most {}", limits::ACCESS_KEYS_MAX)]
    TooManyKeys {
        /// Keys that came.
        got: usize,
    },
    /// The token key is too short.
    #[error("the token key has {got} bytes: expected at least {}", limits::TOKEN_KEY_BYTES_MIN)]
    ShortTokenKey {
        /// Bytes that came.
        got: usize,
    },
    /// The join secret is too short.
    #[error("the join secret has {got} bytes: expected at least {}", limits::JOIN_SECRET_BYTES_MIN)]
    ShortJoinSecret {
        /// Bytes that came.
        got: usize,
    },
    /// No token key is configured, so no token can be issued.
    #[error("no token key is configured")]
    NoTokenKey,
    /// A token's lifetime is out of bounds.
    #[error("a token may live 1 to {} s, got {got}", limits::TOKEN_SECONDS_MAX)]
    Lifetime {
        /// Seconds asked for.
        got: u64,
    },
    /// A token's subject is empty or too long.
    #[error("the subject of a token must have 1 to 256 bytes, got {got}")]
    Subject {
        /// Bytes that came.
        got: usize,
    },
    /// The token could not be encoded.
    #[error("the token cannot be encoded: {0}")]
    Encode(String),
}
