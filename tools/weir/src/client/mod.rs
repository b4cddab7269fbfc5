//! The AIS HTTP API as a blocking client: requests, redirects, another try when a node is busy, errors in words.

mod buckets;
mod jobs;
mod objects;
#[cfg(test)]
mod wire_tests;

use std::io::{self, Read};
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::{Agent, Body, SendBody};

pub(crate) use buckets::{Entry, ListAsk};
pub(crate) use jobs::{Part, Status, Tally, Which};

use crate::error::ToolError;

/// Where a node of a playground listens.
pub(crate) const ENDPOINT_DEFAULT: &str = "http://127.0.0.1:8080";
/// Redirects followed from a gateway to the owner of a name.
const REDIRECTS_MAX: usize = 3;
/// Tries of a request that a busy node refused (429, 503).
const TRIES_MAX: u32 = 4;
/// Longest wait that a busy node may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// Bodies above this wait for the node's consent, so that a redirect or a refusal costs nothing.
const EXPECT_BYTES_MIN: u64 = 1 << 20;
/// An answer without object data, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A node to ask.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// A request's body.
pub(crate) enum Payload<'a> {
    None,
    Json(&'a Value),
    /// Opened anew for each try; its size in bytes where it is known.
    Open(&'a mut dyn FnMut() -> io::Result<Box<dyn Read>>, Option<u64>),
}

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, String)];

impl Client {
    /// A client of the node at `endpoint`; nothing is asked yet.
    pub(crate) fn new(endpoint: &str, token: Option<String>) -> Result<Self, ToolError> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        if !endpoint.starts_with("http://") {
            return Err(ToolError::Usage(format!("endpoint {endpoint:?}: expected http://HOST:PORT")));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .proxy(None)
            .max_idle_connections_per_host(64)
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(300)))
            .build()
            .new_agent();
        Ok(Self { agent, endpoint, token })
    }

    /// Sends a request to the node or wherever it redirects; success or an error in words.
    pub(crate) fn send(
        &self,
        method: Method,
        target: &str,
        headers: Headers<'_>,
        mut payload: Payload<'_>,
    ) -> Result<Response<Body>, ToolError> {
        let mut url = format!("{}{target}", self.endpoint);
        let (mut redirects, mut tries) = (0, 1);
        loop {
            let response = self.send_once(&method, &url, headers, &mut payload)?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            if status.is_redirection() && redirects < REDIRECTS_MAX {
                redirects += 1;
                url = location(&response, &url)?;
                continue;
            }
            let busy = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
            if busy && tries < TRIES_MAX {
                sleep(retry_after(&response, tries));
                tries += 1;
                continue;
            }
            return Err(refusal(&method, &url, response));
        }
    }

    /// The whole answer as JSON.
    pub(crate) fn json(
        &self,
        method: Method,
        target: &str,
        payload: Payload<'_>,
    ) -> Result<Value, ToolError> {
        let what = format!("{method} {target}");
        let mut response = self.send(method, target, &[], payload)?;
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_json();
        answer.map_err(|e| ToolError::Protocol { what, expected: "JSON", got: e.to_string() })
    }

    /// The whole answer to a GET as text.
    pub(crate) fn text(&self, target: &str) -> Result<String, ToolError> {
        let mut response = self.send(Method::GET, target, &[], Payload::None)?;
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let what = format!("GET {target}");
        answer.map_err(|e| ToolError::Protocol { what, expected: "text", got: e.to_string() })
    }

    /// Whether the node says that it is ready; asked once.
    pub(crate) fn ready(&self) -> Result<(), ToolError> {
        let url = format!("{}/v1/health?prr=true", self.endpoint);
        let response = self.send_once(&Method::GET, &url, &[], &mut Payload::None)?;
        if response.status().is_success() { Ok(()) } else { Err(refusal(&Method::GET, &url, response)) }
    }

    fn send_once(
        &self,
        method: &Method,
        url: &str,
        headers: Headers<'_>,
        payload: &mut Payload<'_>,
    ) -> Result<Response<Body>, ToolError> {
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let fail = |got: String| ToolError::Unreachable { endpoint: self.endpoint.clone(), got };
        let words = |e: ureq::http::Error| ToolError::Usage(format!("{url}: {e}"));
        let sent = match payload {
            Payload::None => self.agent.run(request.body(()).map_err(words)?),
            Payload::Json(value) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(value.to_string()).map_err(words)?)
            }
            Payload::Open(open, size) => {
                if let Some(size) = size {
                    request = request.header("content-length", size.to_string());
                    if *size >= EXPECT_BYTES_MIN {
                        request = request.header("expect", "100-continue");
                    }
                }
                let mut reader =
                    open().map_err(|e| ToolError::Usage(format!("the source cannot be read: {e}")))?;
                self.agent.run(request.body(SendBody::from_reader(&mut reader)).map_err(words)?)
            }
        };
        sent.map_err(|e| fail(e.to_string()))
    }
}

/// The absolute form of a redirect's Location.
fn location(response: &Response<Body>, from: &str) -> Result<String, ToolError> {
    let to = response.headers().get("location").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if to.starts_with("http://") {
        return Ok(to.to_owned());
    }
    let what = format!("redirect from {from}");
    Err(ToolError::Protocol { what, expected: "an http:// Location", got: format!("{to:?}") })
}

fn retry_after(response: &Response<Body>, tries: u32) -> Duration {
    let asked = response.headers().get("retry-after").and_then(|v| v.to_str().ok()?.parse().ok());
    asked.map_or(Duration::from_millis(200) * tries, Duration::from_secs).min(RETRY_AFTER_MAX)
}

/// What the node says of its refusal (AIS: JSON with a message; HEAD: the same in a header).
fn refusal(method: &Method, url: &str, mut response: Response<Body>) -> ToolError {
    let status = response.status();
    let header = response.headers().get("hdr-error").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let text = header.unwrap_or_else(|| {
        response.body_mut().with_config().limit(1 << 20).lossy_utf8(true).read_to_string().unwrap_or_default()
    });
    let message = serde_json::from_str::<Value>(&text).ok();
    let message = message.and_then(|v| Some(v.get("message")?.as_str()?.to_owned()));
    let message = message.unwrap_or_else(|| match text.trim() {
        "" => format!("{method} {url}: {status}"),
        text => format!("{status}: {}", text.chars().take(500).collect::<String>()),
    });
    ToolError::Refused { status: status.as_u16(), message: crate::output::printable(&message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_checked() {
        assert_eq!(Client::new("http://h:1/", None).unwrap().endpoint, "http://h:1");
        assert!(Client::new("h:1", None).is_err());
    }

    #[test]
    fn a_node_that_is_not_there_is_said_so() {
        let client = Client::new("http://127.0.0.1:1", None).unwrap();
        let error = client.send(Method::GET, "/", &[], Payload::None).unwrap_err();
        assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
        assert!(error.hint().unwrap().contains("weir playground"));
    }
}
