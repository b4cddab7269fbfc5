//! Requests as bytes, answers as a shard gets them: through the dialects' own routers, the gate, the control thread
//! and a backend in memory.

mod ais_buckets;
mod ais_cluster;
mod ais_copies;
mod ais_jobs;
mod ais_list;
mod guard;
mod memory;
mod s3;

use std::sync::Arc;

use futures_channel::oneshot;
use tempfile::TempDir;
use weir_auth::{Arrival, Gate};
use weir_cluster::NetInfo;
use weir_http::{HeaderSlots, parse_head};

use crate::{Control, ControlConfig, ControlHandle, ControlOp, ControlRequest, ControlResponse};
pub(crate) use memory::Memory;

/// A node with a control core and nothing else.
pub(crate) struct Node {
    pub(crate) handle: ControlHandle,
    pub(crate) memory: Arc<Memory>,
    pub(crate) gate: Gate,
    dir: Arc<TempDir>,
}

impl Node {
    /// A new node without credentials.
    pub(crate) fn start() -> Self {
        Self::with_gate(Gate::anonymous_loopback_only())
    }

    pub(crate) fn with_gate(gate: Gate) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let memory = Arc::new(Memory::default());
        let config = ControlConfig::new(dir.path(), NetInfo::new("127.0.0.1", 8080));
        let handle = Control::start(config, memory.clone()).unwrap();
        Self { handle, memory, gate, dir }
    }

    /// The same node after a restart.
    pub(crate) fn restarted(self) -> Self {
        self.handle.join();
        let config = ControlConfig::new(self.dir.path(), NetInfo::new("127.0.0.1", 8080));
        let handle = Control::start(config, self.memory.clone()).unwrap();
        Self { handle, memory: self.memory.clone(), gate: self.gate.clone(), dir: self.dir.clone() }
    }

    /// `text` is the request line's method and target, then header lines.
    pub(crate) fn ask(&self, text: &str, body: &str) -> ControlResponse {
        block_on(self.submit(text, body)).expect("the request was dropped")
    }

    pub(crate) fn submit(&self, text: &str, body: &str) -> oneshot::Receiver<ControlResponse> {
        submit(&self.handle, &self.gate, text, body)
    }

    /// Asks and gives status and body.
    pub(crate) fn get(&self, text: &str, body: &str) -> (u16, String) {
        let answer = self.ask(text, body);
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }

    /// Asks and reads the JSON of a 200.
    pub(crate) fn json(&self, text: &str, body: &str) -> serde_json::Value {
        let (status, body) = self.get(text, body);
        assert_eq!(status, 200, "{text}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|e| panic!("{text}: {e}: {body}"))
    }

    pub(crate) fn ok(&self, text: &str, body: &str) {
        let (status, answer) = self.get(text, body);
        assert_eq!((status, answer.as_str()), (200, ""), "{text}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.handle.stop();
    }
}

/// Hands a request to a control core.
pub(crate) fn submit(
    handle: &ControlHandle,
    gate: &Gate,
    text: &str,
    body: &str,
) -> oneshot::Receiver<ControlResponse> {
    let (line, headers) = text.split_once('\n').unwrap_or((text, ""));
    let headers: String = headers.lines().map(|l| format!("{}\r\n", l.trim())).collect();
    let bytes = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    let mut slots = HeaderSlots::default();
    let (head, _) = parse_head(bytes.as_bytes(), &mut slots).unwrap().unwrap();
    let op = if weir_ais::claims(head.path) {
        ControlOp::Ais(Box::new(weir_ais::route(head.method, head.path, head.query).unwrap()))
    } else {
        ControlOp::S3(Box::new(weir_s3::route(&head, &weir_s3::S3Config::default()).unwrap()))
    };
    let peer: std::net::SocketAddr = "127.0.0.1:51234".parse().unwrap();
    let grant = gate.admit(&head, &Arrival { peer: peer.ip(), now: 1_000_000 }).unwrap();
    let (reply, answer) = oneshot::channel();
    let request = ControlRequest {
        op,
        head: head.to_owned(),
        body: body.to_owned().into(),
        grant,
        peer,
        request_id: "r1".into(),
        reply,
    };
    handle.try_submit(request).unwrap();
    answer
}

/// Any executor will do: the answers' wakers know nothing of the control thread's runtime.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The body of an AIS action.
pub(crate) fn action(name: &str, value: &str) -> String {
    format!(r#"{{"action":"{name}","name":"","value":{value}}}"#)
}

/// What the Python SDK makes of an error's text: provider, bucket, and whether an object follows.
pub(crate) fn sdk_reads(text: &str) -> Option<(String, String, bool)> {
    const PROVIDERS: [&str; 7] = ["ais", "aws", "azure", "gcp", "oci", "gs", "s3"];
    let part = |c: char| c.is_ascii_alphanumeric() || "@#._-".contains(c);
    for (at, _) in text.match_indices("://") {
        let Some(provider) = PROVIDERS.iter().find(|p| text[..at].ends_with(**p)) else { continue };
        let rest = &text[at + 3..];
        let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
        if (1..=132).contains(&end) {
            return Some(((*provider).into(), rest[..end].into(), rest[end..].starts_with('/')));
        }
    }
    None
}
