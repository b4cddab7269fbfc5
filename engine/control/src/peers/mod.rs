//! Requests between the nodes of a cluster, on the control network.
//!
//! One request is one typed [`PeerCall`] in postcard, sent by POST to [`PATH`] with a proof of the join secret
//! ([`weir_auth::PEER_HEADER`]); the answer carries a proof of its own. Everything is bounded: bodies, connections, times.

mod answer;
mod client;
mod server;
mod wire;

pub(crate) use answer::{CoreLink, Hub};
pub(crate) use client::{PeerError, Peers};
pub(crate) use server::{listen, serve};
pub(crate) use wire::{Hello, HelloAnswer, Part, PeerAnswer, PeerCall, Proposed};

/// The one target of requests between nodes.
const PATH: &str = "/weir/peer";

/// Milliseconds since 1970, for proofs.
fn now_ms() -> u64 {
    crate::now_ns() / 1_000_000
}
