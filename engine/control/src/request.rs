use std::net::SocketAddr;

use bytes::Bytes;
use futures_channel::oneshot;
use weir_ais::AisOp;
use weir_auth::Grant;
use weir_http::OwnedHead;
use weir_s3::S3Op;

/// What a request asks for, as its dialect's router read it.
#[derive(Debug)]
pub enum ControlOp {
    /// AIS API.
    Ais(Box<AisOp>),
    /// S3 API.
    S3(Box<S3Op>),
}

/// A request that is not an object transfer, whole and admitted.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked for.
    pub op: ControlOp,
    /// The head as it came.
    pub head: OwnedHead,
    /// The body, decoded, at most [`weir_types::limits::CONTROL_BODY_BYTES_MAX`] (S3: `XML_BYTES_MAX`). Whoever
    /// submits it has held it against the grant's body rule and an S3 operation's body plan, with the trailers.
    pub body: Bytes,
    /// Who asks, and what is allowed.
    pub grant: Grant,
    /// Address of the client.
    pub peer: SocketAddr,
    /// ID of the request in logs and S3 answers.
    pub request_id: String,
    /// Where the answer goes.
    pub reply: oneshot::Sender<ControlResponse>,
}

/// The answer. The shard adds `Content-Length`, `Date`, `Connection` and the server's own headers; for HEAD it
/// sends the headers with the body's length and leaves the body out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlResponse {
    /// HTTP status.
    pub status: u16,
    /// Headers, valid for [`weir_http::ResponseHead::header`].
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Bytes,
}

impl ControlResponse {
    /// An answer without headers and body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body with its type.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with("Content-Type", content_type)
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// A request that could not be taken: too many are under way, or the control core is stopped. Answer 503 with
/// `Retry-After`.
#[derive(Debug)]
pub struct Overloaded(pub Box<ControlRequest>);
