//! The only gate: a request head in, a [`Grant`] out. No handler can be called without one, and only this crate makes them.
//!
//! Credentials are AWS Signature Version 4 (header or presigned query) against configured access keys, and HS256 bearer
//! tokens in the shape of AIS's AuthN. Which body decoder applies is part of the grant, so that no handler can
//! choose a weaker one. This crate refuses to know sockets, clocks and bodies: time and peer come as values.

mod body;
mod date;
mod denied;
mod gate;
mod grant;
mod peer;
mod secret;
mod sigv4;
mod token;
mod vouched;

pub use body::BodyRule;
pub use denied::{AuthError, Denied};
pub use gate::{Arrival, Credentials, Gate};
pub use grant::{Grant, Permit, Principal};
pub use peer::{NOT_KNOWN, PEER_HEADER, Peer, PeerDenied, PeerKey, PeerVerifier, Statement};
pub use secret::Secret;
pub use sigv4::ChunkSigner;
pub use token::issue_token;
pub use vouched::{GRANT_HEADER, INDEX_HEADER, Passed, Taken, Vouching};
