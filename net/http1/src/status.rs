//! Which status an [`HttpError`] is answered with, and the phrase of every status. No other file maps errors.

use crate::HttpError;

impl HttpError {
    /// The HTTP status to answer with before closing.
    pub fn status(&self) -> u16 {
        match self {
            Self::LineEnding { .. }
            | Self::RequestLine(_)
            | Self::Target(_)
            | Self::Header(_)
            | Self::Host(_)
            | Self::ContentLength(_)
            | Self::TransferEncoding(_)
            | Self::Chunk(_)
            | Self::ChunkLineTooLong
            | Self::Trailer(_)
            | Self::Escape { .. }
            | Self::NotUtf8 => 400,
            Self::LengthRequired => 411,
            Self::BodyTooLarge { .. } => 413,
            Self::RequestLineTooLong => 414,
            Self::Expectation => 417,
            Self::HeadTooLarge | Self::TooManyHeaders | Self::TrailersTooLarge => 431,
            Self::ResponseField(_) => 500,
            Self::Reply(_) => 502,
            Self::UnknownMethod | Self::TransferCoding => 501,
            Self::Version => 505,
        }
    }
}

/// The reason phrase of a status; empty for one without a name.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}
