use std::borrow::Cow;

pub use crate::status::S3Code;

/// Why a request is refused: a code of S3's list with a message for people. The status comes from the code (`status.rs`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct S3Error {
    /// The code, which clients act on.
    pub code: S3Code,
    /// What was expected and what came.
    pub message: Cow<'static, str>,
    /// Further elements of the XML body, such as `ArgumentName` or `BucketName`.
    pub details: Vec<(&'static str, String)>,
    /// Further headers of the answer, such as `Allow` or `ETag`.
    pub headers: Vec<(&'static str, String)>,
}

/// What every function of this crate that can refuse returns.
pub type Result<T, E = S3Error> = std::result::Result<T, E>;

impl S3Error {
    /// An error with its own message.
    pub fn new(code: S3Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), details: Vec::new(), headers: Vec::new() }
    }

    /// Adds an element to the XML body.
    #[must_use]
    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> Self {
        self.details.push((element, value.into()));
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `InvalidArgument` naming the argument and what came in it.
    pub fn argument(name: &'static str, value: &str, message: impl Into<Cow<'static, str>>) -> Self {
        let shown: String = value.chars().take(ARGUMENT_CHARS_MAX).collect();
        Self::new(S3Code::InvalidArgument, message).with("ArgumentName", name).with("ArgumentValue", shown)
    }

    /// `NotImplemented` for what S3 has and this server has not.
    pub fn not_implemented(what: &str) -> Self {
        Self::new(S3Code::NotImplemented, format!("{what} is not implemented by this server"))
    }

    /// `NoSuchBucket` naming the bucket.
    pub fn no_such_bucket(bucket: &str) -> Self {
        S3Error::from(S3Code::NoSuchBucket).with("BucketName", bucket)
    }

    /// `NoSuchKey` naming the object.
    pub fn no_such_key(key: &str) -> Self {
        S3Error::from(S3Code::NoSuchKey).with("Key", key)
    }

    /// HTTP status of the answer.
    pub fn status(&self) -> u16 {
        self.code.status()
    }
}

/// Characters of a refused argument that the answer repeats.
const ARGUMENT_CHARS_MAX: usize = 256;

/// An error with the code's usual message.
impl From<S3Code> for S3Error {
    fn from(code: S3Code) -> Self {
        Self::new(code, code.message())
    }
}
