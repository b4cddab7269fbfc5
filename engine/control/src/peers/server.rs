use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use weir_auth::{PEER_HEADER, PeerVerifier};
use weir_types::limits::{HEAD_BYTES_MAX, PEER_BODY_BYTES_MAX, PEER_CALL_MILLIS_MAX, PEER_CONNECTIONS_MAX};

use super::{Hub, PATH, PeerCall, now_ms};
use crate::ControlError;

/// How long a connection may take to send a request's head, once it is open and idle: peers keep some open.
const HEAD_SECONDS_MAX: u64 = 60;

/// Binds the listener, so that an address in use is an error of the start.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, ControlError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|e| ControlError::Peers(format!("listen on {address}: {e}")))
}

/// Serves peers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, verifier: PeerVerifier, hub: Hub) {
    let (verifier, hub) = (Arc::new(verifier), Arc::new(hub));
    let room = Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(permit) = room.clone().acquire_owned().await {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Out of descriptors, as a rule: it passes.
                tracing::warn!("intra-control listener: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (verifier, hub) = (verifier.clone(), hub.clone());
        tokio::spawn(async move {
            connection(socket, verifier, hub).await;
            drop(permit);
        });
    }
}

async fn connection(socket: TcpStream, verifier: Arc<PeerVerifier>, hub: Arc<Hub>) {
    // A socket that cannot be told so is slower, not wrong.
    let _ = socket.set_nodelay(true);
    let service = service_fn(move |request| {
        let (verifier, hub) = (verifier.clone(), hub.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&verifier, &hub, request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_SECONDS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = served.await {
        tracing::debug!("a peer's connection ended: {error}");
    }
}

async fn answer(verifier: &PeerVerifier, hub: &Hub, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let proof = request.headers().get(PEER_HEADER).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned();
    let (status, body) = served(verifier, hub, &proof, request).await.unwrap_or_else(|refused| {
        if refused.0 == StatusCode::FORBIDDEN {
            tracing::warn!("a request on the intra-control listener was refused: {}", refused.1);
        }
        (refused.0, refused.1.into_bytes())
    });
    let signed = verifier.key().sign_answer(&proof, status.as_u16(), &body);
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    if let Ok(value) = signed.parse() {
        response.headers_mut().insert(PEER_HEADER, value);
    }
    response
}

type Refusal = (StatusCode, String);

async fn served(
    verifier: &PeerVerifier,
    hub: &Hub,
    proof: &str,
    request: Request<Incoming>,
) -> Result<(StatusCode, Vec<u8>), Refusal> {
    let bad = |what: String| (StatusCode::BAD_REQUEST, what);
    let (method, target) = (request.method().clone(), request.uri().to_string());
    // Before anything is read: who cannot even write the field gets no memory.
    if proof.is_empty() || target != PATH {
        return Err((StatusCode::FORBIDDEN, weir_auth::PeerDenied::Malformed.to_string()));
    }
    let within = Duration::from_millis(PEER_CALL_MILLIS_MAX);
    let body = Limited::new(request.into_body(), PEER_BODY_BYTES_MAX).collect();
    let body =
        tokio::time::timeout(within, body).await.map_err(|_| bad("the body came too slowly".into()))?;
    let body = body.map_err(|e| bad(e.to_string()))?.to_bytes();
    let peer = verifier
        .verify(proof, method.as_str(), &target, &body, now_ms())
        .map_err(|denied| (StatusCode::FORBIDDEN, denied.to_string()))?;
    let call: PeerCall = postcard::from_bytes(&body).map_err(|e| bad(format!("request of a node: {e}")))?;
    if peer.is_joining() && !matches!(call, PeerCall::Who) {
        return Err((StatusCode::FORBIDDEN, format!("{}: expected a member of the cluster", call.name())));
    }
    let answer = hub.answer(call).await;
    let body = postcard::to_stdvec(&answer).map_err(|e| bad(format!("answer to a node: {e}")))?;
    Ok((StatusCode::OK, body))
}
