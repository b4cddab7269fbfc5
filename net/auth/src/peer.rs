//! Authentication between the nodes of a cluster, from the join secret that all of them hold.
//!
//! A request between nodes carries one field, [`PEER_HEADER`]: who asks whom, of which cluster, when, and a MAC over all of it
//! with method, target and what the sender vouches for of the content. The answer carries a MAC that binds it to that
//! request. Proof is given on the intra-cluster listeners only; a public listener neither asks for the field nor heeds it.
//!
//! It stands against whoever can reach the listeners without the secret. It does not hide anything, and within
//! [`PEER_SKEW_SECONDS_MAX`] whoever reads along can send a request again.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use weir_types::limits::{JOIN_SECRET_BYTES_MIN, PEER_SKEW_SECONDS_MAX};

use crate::{AuthError, Secret};

/// The field of a request from a node to a node, and of its answer.
pub const PEER_HEADER: &str = "weir-peer";
/// What stands in place of the cluster's UUID while a node asks to join one, and in place of a node's ID that is not known
/// yet.
pub const NOT_KNOWN: &str = "-";

/// Version of the statement: another one is refused.
const VERSION: &str = "v1";
/// Keeps this use of the secret apart from any other.
const PURPOSE: &[u8] = b"weir peer v1";

/// What a node says with a request. IDs are without spaces, as cluster UUIDs and node IDs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statement<'s> {
    /// UUID of the cluster that the sender belongs to, or [`NOT_KNOWN`].
    pub cluster: &'s str,
    /// ID of the sender.
    pub from: &'s str,
    /// ID of the node that is meant, or [`NOT_KNOWN`].
    pub to: &'s str,
    /// The sender's clock, milliseconds since 1970.
    pub at_ms: u64,
    /// Method of the request.
    pub method: &'s str,
    /// Target of the request as on the wire, query included.
    pub target: &'s str,
    /// What else the sender vouches for: the body, or the fields that matter. Both sides must take the same bytes.
    pub content: &'s [u8],
}

/// The key of a cluster's nodes: signs statements.
#[derive(Clone)]
pub struct PeerKey(Secret);

impl PeerKey {
    /// The key that follows from a join secret of at least [`JOIN_SECRET_BYTES_MIN`] bytes.
    pub fn new(join_secret: &Secret) -> Result<Self, AuthError> {
        if join_secret.len() < JOIN_SECRET_BYTES_MIN {
            return Err(AuthError::ShortJoinSecret { got: join_secret.len() });
        }
        Ok(Self(Secret::new(mac(join_secret, &[PURPOSE]).to_vec())))
    }

    /// The value of [`PEER_HEADER`] for a request.
    pub fn sign(&self, s: &Statement<'_>) -> String {
        let tag = hex::encode(self.tag(s));
        format!("{VERSION} {} {} {} {} {tag}", s.cluster, s.from, s.to, s.at_ms)
    }

    /// The value of [`PEER_HEADER`] for the answer to the request that carried `proof`.
    pub fn sign_answer(&self, proof: &str, status: u16, content: &[u8]) -> String {
        hex::encode(self.answer_tag(proof, status, content))
    }

    /// Whether an answer comes from who holds the key, to this request.
    pub fn is_answer(&self, proof: &str, status: u16, content: &[u8], came: &str) -> bool {
        is_tag(&self.answer_tag(proof, status, content), came)
    }

    fn tag(&self, s: &Statement<'_>) -> [u8; 32] {
        let at = s.at_ms.to_le_bytes();
        let content = Sha256::digest(s.content);
        mac(
            &self.0,
            &[
                b"request",
                s.cluster.as_bytes(),
                s.from.as_bytes(),
                s.to.as_bytes(),
                &at,
                s.method.as_bytes(),
                s.target.as_bytes(),
                &content,
            ],
        )
    }

    fn answer_tag(&self, proof: &str, status: u16, content: &[u8]) -> [u8; 32] {
        let content = Sha256::digest(content);
        mac(&self.0, &[b"answer", proof.as_bytes(), &status.to_le_bytes(), &content])
    }
}

impl fmt::Debug for PeerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerKey")
    }
}

/// Judges statements for one process: it is a node of one cluster, under the IDs of its roles.
#[derive(Clone, Debug)]
pub struct PeerVerifier {
    key: PeerKey,
    cluster: String,
    ids: Vec<String>,
}

/// A node that proved to hold the cluster's secret. Only [`PeerVerifier::verify`] makes one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    id: String,
    joining: bool,
}

impl Peer {
    /// The ID that it says is its own. Who holds the secret is trusted to say the truth.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether it belongs to no cluster yet: it may ask to join, nothing else.
    pub fn is_joining(&self) -> bool {
        self.joining
    }
}

impl PeerVerifier {
    /// Judges for the nodes `ids` of `cluster`.
    pub fn new(
        key: PeerKey,
        cluster: impl Into<String>,
        ids: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self { key, cluster: cluster.into(), ids: ids.into_iter().map(Into::into).collect() }
    }

    /// The key, to sign answers and own requests.
    pub fn key(&self) -> &PeerKey {
        &self.key
    }

    /// Who sent the request that carried `header`, at `now_ms` of this node's clock.
    pub fn verify(
        &self,
        header: &str,
        method: &str,
        target: &str,
        content: &[u8],
        now_ms: u64,
    ) -> Result<Peer, PeerDenied> {
        let (s, tag) = parse(header, method, target, content).ok_or(PeerDenied::Malformed)?;
        // First of all: what an unproven statement says is of no interest.
        if !is_tag(&self.key.tag(&s), tag) {
            return Err(PeerDenied::Secret);
        }
        if s.at_ms.abs_diff(now_ms) > PEER_SKEW_SECONDS_MAX * 1000 {
            return Err(PeerDenied::Skewed { by_ms: s.at_ms.abs_diff(now_ms) });
        }
        let joining = s.cluster == NOT_KNOWN;
        if !joining && s.cluster != self.cluster {
            return Err(PeerDenied::Cluster { expected: self.cluster.clone(), got: s.cluster.into() });
        }
        if s.to != NOT_KNOWN && !self.ids.iter().any(|id| id == s.to) {
            return Err(PeerDenied::Addressee { expected: self.ids.join(", "), got: s.to.into() });
        }
        Ok(Peer { id: s.from.into(), joining })
    }
}

/// Why a request is not taken as a peer's.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PeerDenied {
    /// No statement, or none that can be read.
    #[error("expected one {PEER_HEADER} field of version {VERSION}")]
    Malformed,
    /// It was not signed with this cluster's secret, or something of the request was changed.
    #[error("the join secret is not this cluster's, or the request was changed")]
    Secret,
    /// The clocks are too far apart.
    #[error("the clocks are {by_ms} ms apart: expected at most {PEER_SKEW_SECONDS_MAX} s")]
    Skewed {
        /// By how much.
        by_ms: u64,
    },
    /// The sender belongs to another cluster.
    #[error(
        "this is cluster {expected}, and the node belongs to cluster {got}: give it an empty state directory to join"
    )]
    Cluster {
        /// The cluster here.
        expected: String,
        /// The sender's.
        got: String,
    },
    /// Another node was meant: addresses have been given anew, or the sender's map is old.
    #[error("the request is for node {got}, and here is {expected}")]
    Addressee {
        /// The IDs here.
        expected: String,
        /// The ID that was meant.
        got: String,
    },
}

/// The statement of a field's value, and its tag.
fn parse<'h>(
    header: &'h str,
    method: &'h str,
    target: &'h str,
    content: &'h [u8],
) -> Option<(Statement<'h>, &'h str)> {
    let mut parts = header.split(' ');
    if parts.next()? != VERSION {
        return None;
    }
    let (cluster, from, to) = (parts.next()?, parts.next()?, parts.next()?);
    let at_ms = parts.next()?.parse().ok()?;
    let tag = parts.next()?;
    let whole = parts.next().is_none() && !cluster.is_empty() && !from.is_empty() && !to.is_empty();
    whole.then_some((Statement { cluster, from, to, at_ms, method, target, content }, tag))
}

/// Whether the text is the tag in hex, in a time that depends on the lengths only.
fn is_tag(expected: &[u8; 32], came: &str) -> bool {
    let expected = hex::encode(expected);
    Secret::new(expected.into_bytes()).matches(came.as_bytes())
}

/// HMAC-SHA256 over the parts, each with its length before it.
fn mac(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn key(secret: &str) -> PeerKey {
        PeerKey::new(&Secret::new(secret)).unwrap()
    }

    fn statement() -> Statement<'static> {
        Statement {
            cluster: "Yx3l2Jk9p",
            from: "p1p1p1p1",
            to: "t1t1t1t1",
            at_ms: NOW,
            method: "POST",
            target: "/v1/raft/append?x=1",
            content: b"body",
        }
    }

    fn judge(header: &str, now_ms: u64) -> Result<Peer, PeerDenied> {
        let s = statement();
        let verifier = PeerVerifier::new(key("0123456789abcdef"), "Yx3l2Jk9p", ["p0p0p0p0", "t1t1t1t1"]);
        verifier.verify(header, s.method, s.target, s.content, now_ms)
    }

    #[test]
    fn who_holds_the_secret_is_a_peer() {
        let key = key("0123456789abcdef");
        let header = key.sign(&statement());
        let peer = judge(&header, NOW).unwrap();
        assert_eq!((peer.id(), peer.is_joining()), ("p1p1p1p1", false));
        let joining = Statement { cluster: NOT_KNOWN, to: NOT_KNOWN, ..statement() };
        assert!(judge(&key.sign(&joining), NOW).unwrap().is_joining());
        let answer = key.sign_answer(&header, 200, b"ok");
        assert!(key.is_answer(&header, 200, b"ok", &answer));
        for (proof, status, content) in [("x", 200, "ok"), (&header, 201, "ok"), (&header, 200, "no")] {
            assert!(!key.is_answer(proof, status, content.as_bytes(), &answer), "{proof} {status} {content}");
        }
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let header = key("0123456789abcdef").sign(&statement());
        for at in 0..header.len() {
            let mut bytes = header.clone().into_bytes();
            bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(judge(&changed, NOW).is_err(), "{changed}");
        }
        let s = statement();
        let verifier = PeerVerifier::new(key("0123456789abcdef"), "Yx3l2Jk9p", ["t1t1t1t1"]);
        for (method, target, content) in [
            ("PUT", s.target, s.content),
            (s.method, "/v1/raft/append?x=2", s.content),
            (s.method, s.target, &b"bodz"[..]),
        ] {
            assert_eq!(verifier.verify(&header, method, target, content, NOW), Err(PeerDenied::Secret));
        }
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let sign = |s: Statement<'_>| key("0123456789abcdef").sign(&s);
        let far = PEER_SKEW_SECONDS_MAX * 1000;
        assert!(judge(&sign(statement()), NOW + far).is_ok());
        for (header, now, words) in [
            (key("another secret...").sign(&statement()), NOW, "join secret"),
            (sign(statement()), NOW + far + 1, "clocks"),
            (sign(Statement { cluster: "Zx3l2Jk9p", ..statement() }), NOW, "belongs to cluster Zx3l2Jk9p"),
            (sign(Statement { to: "t2t2t2t2", ..statement() }), NOW, "here is p0p0p0p0, t1t1t1t1"),
            (String::new(), NOW, "weir-peer"),
            (sign(statement()) + " x", NOW, "weir-peer"),
        ] {
            let error = judge(&header, now).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(PeerKey::new(&Secret::new("short")).unwrap_err().to_string().contains("join secret"));
        assert_eq!(format!("{:?}", key("0123456789abcdef")), "PeerKey");
    }
}
