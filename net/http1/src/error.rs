use weir_types::limits;

/// Why bytes are no acceptable request, or a response cannot be written. Each one means: answer
/// [`status`](Self::status) and close the connection, since where the next message starts is no longer certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// A line does not end in CR LF, or a CR stands alone.
    #[error("byte {at} of the head: expected lines ended by CR LF, got a bare LF or a lone CR")]
    LineEnding {
        /// Offset in the head.
        at: usize,
    },
    /// The request line is not `METHOD SP target SP HTTP/1.x`.
    #[error("request line: {0}")]
    RequestLine(&'static str),
    /// The request line is too long.
    #[error("request line: expected at most {} bytes", limits::REQUEST_LINE_BYTES_MAX)]
    RequestLineTooLong,
    /// A version other than 1.0 and 1.1.
    #[error("version: expected HTTP/1.0 or HTTP/1.1")]
    Version,
    /// A method outside [`crate::Method`].
    #[error("method is not known here")]
    UnknownMethod,
    /// The target is not one of the forms a server may be sent.
    #[error("request target: {0}")]
    Target(&'static str),
    /// The head as a whole is too large.
    #[error("head: expected at most {} bytes", limits::HEAD_BYTES_MAX)]
    HeadTooLarge,
    /// Too many header lines.
    #[error("head: expected at most {} header lines", limits::HEADERS_MAX)]
    TooManyHeaders,
    /// A header line is malformed: folded, without a name, with a space before the colon, …
    #[error("header line: {0}")]
    Header(&'static str),
    /// `Host` is absent, repeated or malformed.
    #[error("Host: {0}")]
    Host(&'static str),
    /// `Content-Length` is repeated or malformed.
    #[error("Content-Length: {0}")]
    ContentLength(&'static str),
    /// `Transfer-Encoding` is repeated, malformed, sent by HTTP/1.0 or beside `Content-Length`.
    #[error("Transfer-Encoding: {0}")]
    TransferEncoding(&'static str),
    /// A transfer coding other than `chunked`.
    #[error("Transfer-Encoding: expected exactly \"chunked\"")]
    TransferCoding,
    /// `Expect` asks for something other than `100-continue`.
    #[error("Expect: only \"100-continue\" can be met")]
    Expectation,
    /// A chunked body breaks its framing.
    #[error("chunked body: {0}")]
    Chunk(&'static str),
    /// A chunk-size line is too long, or the extensions of one body are.
    #[error("chunked body: chunk-size line or extensions are too long")]
    ChunkLineTooLong,
    /// A trailer field is malformed or one that trailers must not carry.
    #[error("trailer: {0}")]
    Trailer(&'static str),
    /// The trailer section is too large.
    #[error("trailers: expected at most {} bytes", limits::TRAILER_BYTES_MAX)]
    TrailersTooLarge,
    /// The body is larger than its receiver takes.
    #[error("body: expected at most {max} bytes")]
    BodyTooLarge {
        /// The receiver's bound in bytes.
        max: u64,
    },
    /// The operation needs to know the body's length beforehand.
    #[error("body: expected a Content-Length")]
    LengthRequired,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("percent escape at byte {at}: expected two hexadecimal digits")]
    Escape {
        /// Offset of the `%`.
        at: usize,
    },
    /// Decoded text is not UTF-8.
    #[error("decoded text is not UTF-8")]
    NotUtf8,
    /// Bytes are no acceptable head of an answer.
    #[error("answer: {0}")]
    Reply(&'static str),
    /// A response field that would break the response's framing, or one the builder writes itself.
    #[error("response field: {0}")]
    ResponseField(&'static str),
}
