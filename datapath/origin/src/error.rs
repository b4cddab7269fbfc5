/// Why an origin did not give what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The bucket is there, the object is not.
    #[error("{bucket}/{object} is not at the origin")]
    NotFound {
        /// Canonical bucket, `s3://b`.
        bucket: String,
        /// Object name.
        object: String,
    },
    /// The origin has no such bucket.
    #[error("bucket {bucket} is not at the origin")]
    BucketNotFound {
        /// Canonical bucket.
        bucket: String,
    },
    /// The origin refuses the credentials or the operation.
    #[error("{place}: the origin refused: {got}; check the access key, its policy and the clock")]
    Denied {
        /// Bucket or object concerned.
        place: String,
        /// The origin's code and message.
        got: String,
    },
    /// The object is no longer the one that was expected (If-Match, or between two pieces of one stream).
    #[error("{place} changed at the origin: expected ETag {expected:?}")]
    Changed {
        /// Object concerned.
        place: String,
        /// The ETag that was expected.
        expected: String,
    },
    /// The range begins at or past the end.
    #[error("{place}: range begins outside the object's {size} bytes")]
    Range {
        /// Object concerned.
        place: String,
        /// The object's size in bytes.
        size: u64,
    },
    /// No answer: name resolution, connection, TLS or the head's time limit failed, retries included.
    #[error("origin {endpoint} cannot be reached: {got}")]
    Unreachable {
        /// URL of the endpoint.
        endpoint: String,
        /// What happened.
        got: String,
    },
    /// The body ended early or stood still, and taking it up again did not help.
    #[error("{place}: the origin's stream broke after {at} bytes of {expected}: {got}")]
    Broken {
        /// Object concerned.
        place: String,
        /// Bytes delivered.
        at: u64,
        /// Bytes expected.
        expected: u64,
        /// What happened.
        got: String,
    },
    /// All bytes came, and they are not what the origin's checksum says. None of them may be kept.
    #[error("{place}: {kind} of the bytes is {got}, the origin says {expected}")]
    Checksum {
        /// Object concerned.
        place: String,
        /// Kind of checksum.
        kind: &'static str,
        /// Computed, in hex.
        got: String,
        /// What the origin says, in hex.
        expected: String,
    },
    /// The origin asks for fewer requests, or has an error of its own that retries did not outlast.
    #[error("{place}: origin answered {status} {got}")]
    Failed {
        /// Bucket or object concerned.
        place: String,
        /// HTTP status.
        status: u16,
        /// The origin's code and message.
        got: String,
    },
    /// The origin's answer is not S3.
    #[error("{place}: expected {expected}, the origin sent {got}")]
    Protocol {
        /// Bucket or object concerned.
        place: String,
        /// What the protocol says.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// No configured origin serves this provider, or the bucket's endpoint is not a configured one.
    #[error(
        "{bucket}: no origin is configured for {wanted}: give its endpoint in the configuration (--origin)"
    )]
    NotConfigured {
        /// Canonical bucket or provider.
        bucket: String,
        /// What was looked for.
        wanted: String,
    },
    /// A configuration cannot work.
    #[error("origin configuration, {place}: got {got}")]
    Config {
        /// Which setting.
        place: String,
        /// What came and what was expected.
        got: String,
    },
    /// Too many calls wait already: [`weir_types::limits::ORIGIN_CALLS_MAX`].
    #[error("{waiting} calls on origins wait already: try later")]
    Busy {
        /// Calls waiting or running.
        waiting: usize,
    },
    /// The origin threads were stopped.
    #[error("origins are stopped")]
    Stopped,
}

impl OriginError {
    /// Whether the same call may succeed a little later without anybody's doing.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Broken { .. } | Self::Failed { .. } | Self::Busy { .. }
        )
    }

    /// Whether the origin says that the thing is not there (and not that it could not be asked).
    pub fn is_absence(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::BucketNotFound { .. })
    }
}
