use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use weir_auth::{NOT_KNOWN, PEER_HEADER, PeerKey, Statement};
use weir_types::limits::{PEER_BODY_BYTES_MAX, PEER_CALL_MILLIS_MAX};

use super::{PATH, PeerAnswer, PeerCall, now_ms};
use crate::runtime;

/// Idle connections kept to each node.
const IDLE_MAX: usize = 8;
/// How long an idle connection is kept.
const IDLE_SECONDS_MAX: u64 = 30;

/// The way to other nodes. It knows no addresses: they come with every call.
pub(crate) struct Peers {
    client: Client<HttpConnector, Full<Bytes>>,
    key: PeerKey,
    cluster: String,
    from: String,
}

impl Peers {
    /// For the node `from` of `cluster`.
    pub(crate) fn new(key: PeerKey, cluster: &str, from: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(PEER_CALL_MILLIS_MAX)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(IDLE_SECONDS_MAX))
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { client, key, cluster: cluster.into(), from: from.into() }
    }

    /// For a node that belongs to no cluster: it can ask for one.
    pub(crate) fn joining(key: PeerKey) -> Self {
        Self::new(key, NOT_KNOWN, NOT_KNOWN)
    }

    /// Asks the node `to` ([`NOT_KNOWN`] if its ID is not known) at `endpoint`, a `host:port`.
    pub(crate) async fn call(
        &self,
        endpoint: &str,
        to: &str,
        call: &PeerCall,
        within: Duration,
    ) -> Result<PeerAnswer, PeerError> {
        let whole = self.exchange(endpoint, to, call);
        let late = |_| PeerError::Failed(format!("{} of {endpoint}: no answer in {within:?}", call.name()));
        runtime::timeout(within, whole).await.map_err(late)?
    }

    async fn exchange(&self, endpoint: &str, to: &str, call: &PeerCall) -> Result<PeerAnswer, PeerError> {
        #[cfg(test)]
        let simulated = crate::sim::exchange(endpoint, to, call);
        #[cfg(test)]
        if let Some(answer) = simulated {
            return answer.await;
        }
        let at = |what: &dyn std::fmt::Display| format!("{} of {endpoint}: {what}", call.name());
        let body = postcard::to_stdvec(call).map_err(|e| PeerError::Unreachable(at(&e)))?;
        let proof = self.key.sign(&Statement {
            cluster: &self.cluster,
            from: &self.from,
            to,
            at_ms: now_ms(),
            method: "POST",
            target: PATH,
            content: &body,
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{endpoint}{PATH}"))
            .header(PEER_HEADER, &proof)
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| PeerError::Unreachable(at(&e)))?;
        let response = self.client.request(request).await.map_err(|e| {
            let text = at(&reason(&e));
            if e.is_connect() { PeerError::Unreachable(text) } else { PeerError::Failed(text) }
        })?;
        let status = response.status();
        let came = response.headers().get(PEER_HEADER).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
        let body = Limited::new(response.into_body(), PEER_BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|e| PeerError::Failed(at(&e)))?.to_bytes();
        if status != StatusCode::OK {
            let text: String = String::from_utf8_lossy(&body).chars().take(500).collect();
            return Err(if status == StatusCode::FORBIDDEN {
                PeerError::Refused(at(&text))
            } else {
                PeerError::Failed(at(&text))
            });
        }
        if !self.key.is_answer(&proof, status.as_u16(), &body, &came) {
            return Err(PeerError::Failed(at(&"the answer is not signed with the join secret")));
        }
        postcard::from_bytes(&body).map_err(|e| PeerError::Failed(at(&e)))
    }
}

/// The innermost cause, which is the one that says something.
fn reason(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Why a node did not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// It is not known whether the call was carried out.
    #[error("{0}")]
    Failed(String),
    /// The node does not take this one for a peer.
    #[error("{0}")]
    Refused(String),
}
