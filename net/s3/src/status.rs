//! The one place where S3 codes, HTTP statuses and usual messages meet.

macro_rules! codes {
    ($($code:ident $status:literal $message:literal,)*) => {
        /// A code of S3's error list.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is named as on the wire; its message says the rest")]
        pub enum S3Code { $($code,)* }

        impl S3Code {
            /// Every code, for tables and tests.
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$code => stringify!($code),)* }
            }

            /// HTTP status of an answer with this code.
            pub fn status(self) -> u16 {
                match self { $(Self::$code => $status,)* }
            }

            /// The usual message.
            pub fn message(self) -> &'static str {
                match self { $(Self::$code => $message,)* }
            }
        }
    };
}

codes! {
    NotModified 304 "the object has not changed",
    TemporaryRedirect 307 "ask again at the address given",
    AuthorizationHeaderMalformed 400 "the Authorization header is malformed",
    AuthorizationQueryParametersError 400 "the query parameters of the presigned URL are wrong",
    BadRequest 400 "the request is not complete",
    BadDigest 400 "the checksum given does not match the bytes received",
    EntityTooLarge 400 "the object is larger than allowed",
    EntityTooSmall 400 "a part other than the last is smaller than 5 MiB",
    ExpiredToken 400 "the token has expired",
    IllegalLocationConstraintException 400 "the location constraint does not fit this endpoint",
    IncompleteBody 400 "fewer bytes arrived than were announced",
    InvalidArgument 400 "an argument is invalid",
    InvalidBucketName 400 "the bucket name is invalid",
    InvalidDigest 400 "the digest given is not valid",
    InvalidEncryptionAlgorithmError 400 "the encryption algorithm is not valid",
    InvalidLocationConstraint 400 "the location constraint is not valid",
    InvalidPart 400 "a part is missing or its entity tag differs",
    InvalidPartOrder 400 "the parts are not in ascending order",
    InvalidRequest 400 "the request is invalid",
    InvalidStorageClass 400 "the storage class is not valid",
    InvalidTag 400 "a tag is not valid",
    InvalidTargetBucketForLogging 400 "the target bucket for logging is not valid",
    InvalidToken 400 "the token is malformed",
    InvalidURI 400 "the URI cannot be parsed",
    KeyTooLongError 400 "the key is longer than 1024 bytes",
    MalformedACLError 400 "the access control list is not well-formed or not of the expected shape",
    MalformedPOSTRequest 400 "the body is not well-formed multipart/form-data",
    MalformedTrailerError 400 "the trailer of the body is malformed",
    MalformedXML 400 "the XML is not well-formed or not of the expected shape",
    MaxMessageLengthExceeded 400 "the body is larger than allowed",
    MetadataTooLarge 400 "the user metadata is larger than 2 KiB",
    MissingSecurityHeader 400 "a required header is missing",
    RequestTimeout 400 "the client did not send its body in time",
    TooManyBuckets 400 "there are too many buckets",
    UnexpectedContent 400 "this request takes no body",
    UnresolvableGrantByEmailAddress 400 "the e-mail address belongs to no account",
    UserKeyMustBeSpecified 400 "the form names no key",
    XAmzContentSHA256Mismatch 400 "x-amz-content-sha256 does not match the bytes received",
    AccessForbidden 403 "access forbidden",
    AccessDenied 403 "access denied",
    InvalidAccessKeyId 403 "the access key is unknown",
    InvalidObjectState 403 "the operation does not fit the object's state",
    RequestTimeTooSkewed 403 "the request's time is too far from the server's",
    SignatureDoesNotMatch 403 "the signature does not match",
    NoSuchBucket 404 "the bucket does not exist",
    NoSuchBucketPolicy 404 "the bucket has no policy",
    NoSuchCORSConfiguration 404 "the bucket has no CORS configuration",
    NoSuchKey 404 "the object does not exist",
    NoSuchLifecycleConfiguration 404 "the bucket has no lifecycle configuration",
    NoSuchConfiguration 404 "the configuration does not exist",
    NoSuchObjectLockConfiguration 404 "the object has no lock configuration",
    NoSuchPublicAccessBlockConfiguration 404 "the bucket has no public access block",
    NoSuchTagSet 404 "there are no tags",
    NoSuchUpload 404 "the multipart upload does not exist",
    NoSuchVersion 404 "the version does not exist",
    NoSuchWebsiteConfiguration 404 "the bucket has no website configuration",
    ObjectLockConfigurationNotFoundError 404 "the bucket has no object lock configuration",
    OwnershipControlsNotFoundError 404 "the bucket has no ownership controls",
    ReplicationConfigurationNotFoundError 404 "the bucket has no replication configuration",
    ServerSideEncryptionConfigurationNotFoundError 404 "the bucket has no encryption configuration",
    MethodNotAllowed 405 "the method is not allowed for this resource",
    BucketAlreadyExists 409 "the bucket name is taken",
    BucketAlreadyOwnedByYou 409 "the bucket exists and is yours",
    BucketNotEmpty 409 "the bucket is not empty",
    ConditionalRequestConflict 409 "another write to the object is under way",
    InvalidBucketState 409 "the operation does not fit the bucket's state",
    OperationAborted 409 "another operation on the resource is under way",
    MissingContentLength 411 "the length of the body must be given",
    PreconditionFailed 412 "a condition of the request does not hold",
    InvalidRange 416 "the range begins outside the object",
    InternalError 500 "an internal error occurred",
    NotImplemented 501 "not implemented by this server",
    ServiceUnavailable 503 "the service is not available, try again",
    SlowDown 503 "too many requests, slow down",
    InsufficientStorage 507 "there is no room for the object",
}

impl S3Code {
    /// The code of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl std::fmt::Display for S3Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
