//! One request and its answer: pooled connections, signature, time limits, and another try after a passing failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rand::Rng;
use tokio::sync::Semaphore;
use weir_types::limits::{IO_BUFFER_BYTES, ORIGIN_RETRIES_MAX};
use weir_types::{BucketName, Provider};

use super::route::Routes;
use super::sign::{self, Signing};
use crate::endpoint::Endpoint;
use crate::{OriginError, OriginStats, OriginsConfig};

/// Pause before the first retry; it doubles.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Idle connections are closed after this.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What all origin threads share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) config: OriginsConfig,
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    pub(super) routes: Routes,
    pub(super) streams: Arc<Semaphore>,
    pub(super) counters: Counters,
}

/// What [`OriginStats`] is read from.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) resumes: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Core {
    pub(crate) fn new(config: OriginsConfig) -> Result<Self, OriginError> {
        let endpoints =
            config.origins.iter().map(|o| Endpoint::new(o).map(Arc::new)).collect::<Result<_, _>>()?;
        let streams = Arc::new(Semaphore::new(config.streams_max.max(1)));
        Ok(Self { endpoints, streams, routes: Routes::default(), counters: Counters::default(), config })
    }

    pub(crate) fn serves(&self, provider: Provider) -> bool {
        self.config.bucket_endpoints && provider == Provider::Aws
            || self.endpoints.iter().any(|e| e.provider == provider)
    }

    pub(crate) fn stats(&self) -> OriginStats {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        OriginStats {
            requests: of(&c.requests),
            failures: of(&c.failures),
            retries: of(&c.retries),
            resumes: of(&c.resumes),
            bytes: of(&c.bytes),
            streams: (self.config.streams_max.max(1) - self.streams.available_permits()) as u64,
        }
    }
}

/// One thread's client: the shared core and connections of its own.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) core: Arc<Core>,
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) bucket: Option<&'a BucketName>,
    pub(super) key: &'a str,
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Lower-case names; all are signed.
    pub(super) headers: Vec<(&'static str, String)>,
}

/// No answer came.
struct NoAnswer {
    got: String,
}

impl Client {
    pub(crate) fn new(core: Arc<Core>) -> Result<Self, OriginError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(core.config.connect_max));
        let tls = hyper_rustls::HttpsConnectorBuilder::new();
        let tls = if core.config.bucket_endpoints || core.endpoints.iter().any(|e| e.tls) {
            tls.with_native_roots()
                .map_err(|e| OriginError::Config { place: "certificates".into(), got: e.to_string() })?
        } else {
            // Nothing is asked of the system's certificates when no endpoint needs them.
            let none = rustls::RootCertStore::empty();
            tls.with_tls_config(
                rustls::ClientConfig::builder().with_root_certificates(none).with_no_client_auth(),
            )
        };
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(core.config.streams_max)
            .http1_max_buf_size(IO_BUFFER_BYTES)
            .build(tls.https_or_http().enable_http1().wrap_connector(tcp));
        Ok(Self { core, http })
    }

    /// Asks until there is an answer that another try would not change. The answer may still be an error of the origin.
    pub(super) async fn ask(
        &self,
        endpoint: &Endpoint,
        ask: &Ask<'_>,
    ) -> Result<Response<Incoming>, OriginError> {
        let mut tries = 0;
        loop {
            let answer = self.ask_once(endpoint, ask).await;
            let passing = match &answer {
                Ok(response) => is_passing(response.status()),
                Err(_) => true,
            };
            if passing {
                self.core.counters.failures.fetch_add(1, Ordering::Relaxed);
            }
            if passing && tries < ORIGIN_RETRIES_MAX {
                tries += 1;
                self.core.counters.retries.fetch_add(1, Ordering::Relaxed);
                // Half fixed, half by chance, so that many callers do not come back together.
                let pause = RETRY_PAUSE * (1 << tries) / 2;
                let chance: f64 = rand::rng().random();
                tokio::time::sleep(pause + pause.mul_f64(chance)).await;
                continue;
            }
            return answer
                .map_err(|no| OriginError::Unreachable { endpoint: endpoint.url.clone(), got: no.got });
        }
    }

    async fn ask_once(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Response<Incoming>, NoAnswer> {
        let target = endpoint.target(ask.bucket, ask.key, ask.query);
        let signing = Signing {
            method: ask.method.as_str(),
            target: &target,
            headers: &ask.headers,
            region: &endpoint.region,
            now: SystemTime::now(),
        };
        let signed = sign::sign(&signing, endpoint.credentials());
        let mut request = Request::builder().method(ask.method.clone()).uri(target.url());
        for (name, value) in ask.headers.iter().chain(&signed) {
            request = request.header(*name, value);
        }
        let request = request.body(Empty::new()).map_err(|e| NoAnswer { got: e.to_string() })?;
        self.core.counters.requests.fetch_add(1, Ordering::Relaxed);
        match tokio::time::timeout(self.core.config.head_max, self.http.request(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(NoAnswer { got: chain(&error) }),
            Err(_) => Err(NoAnswer { got: format!("no answer within {:?}", self.core.config.head_max) }),
        }
    }
}

/// What an origin says when the same request may succeed a moment later.
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// An error with its causes: hyper's own text says only "client error (Connect)".
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(c) = cause {
        text = format!("{text}: {c}");
        cause = c.source();
    }
    text
}
