//! Requests that one node passes on to another: who asked it, and what they may do, goes with them, vouched for by the node
//! that let them in.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use weir_http::Head;
use weir_types::{Access, Bucket};

use crate::gate::unchained;
use crate::grant::{Principal, Rights};
use crate::peer::{PEER_HEADER, PeerVerifier, Statement};
use crate::{BodyRule, Denied, Grant, sigv4};

/// The field with what the sender vouches for: who asked, and what they may do.
pub const GRANT_HEADER: &str = "weir-grant";
/// The field with the log index of the sender's view of the cluster.
pub const INDEX_HEADER: &str = "weir-index";
/// The query parameter of a redirected request that carries both, with the statement of the gateway that redirected it.
const VOUCHER: &str = "u";

/// The two ends of vouching, for one process.
#[derive(Clone, Debug)]
pub struct Vouching {
    verifier: PeerVerifier,
    cluster: Arc<str>,
    from: Arc<str>,
}

/// What is passed on, and to whom.
#[derive(Clone, Copy, Debug)]
pub struct Passed<'p> {
    /// ID of the node that it goes to.
    pub to: &'p str,
    /// Method.
    pub method: &'p str,
    /// Target as it goes on the wire, query included; of a redirect without the voucher.
    pub target: &'p str,
    /// Log index of the view of the cluster by which it goes there.
    pub index: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// A request that a peer passed on.
#[derive(Clone, Debug)]
pub struct Taken {
    /// What its sender may do.
    pub grant: Grant,
    /// Log index of the view that the peer went by.
    pub index: u64,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    principal: WirePrincipal,
    cluster: Access,
    buckets: Vec<(Bucket, Access)>,
}

#[derive(Serialize, Deserialize)]
enum WirePrincipal {
    Anonymous,
    AccessKey(String),
    Subject(String),
}

impl Vouching {
    /// Vouches and judges as one node of a cluster: `from` is the ID that it speaks under.
    pub fn new(verifier: PeerVerifier, cluster: impl Into<Arc<str>>, from: impl Into<Arc<str>>) -> Self {
        Self { verifier, cluster: cluster.into(), from: from.into() }
    }

    /// The fields that a request carries to the node that is to answer it.
    pub fn fields(&self, grant: &Grant, passed: &Passed<'_>) -> [(&'static str, String); 3] {
        let text = encode(grant);
        let proof = self.sign(passed, &content(&text, passed.index));
        [(PEER_HEADER, proof), (GRANT_HEADER, text), (INDEX_HEADER, passed.index.to_string())]
    }

    /// What a client carries, as a further query parameter, to the target that it is redirected to: good for this very
    /// request there, for as long as clocks may differ.
    pub fn voucher(&self, grant: &Grant, passed: &Passed<'_>) -> String {
        let text = encode(grant);
        let proof = self.sign(passed, &content(&text, passed.index));
        format!("{VOUCHER}={}.{text}", BASE64.encode(proof))
    }

    /// Judges a request that came over a listener for peers.
    pub fn take(&self, head: &Head<'_>, now_ms: u64) -> Result<Taken, Denied> {
        let only = |name| sigv4::only(head, name).ok().flatten().ok_or(Denied::Peer);
        let (proof, text, index) = (only(PEER_HEADER)?, only(GRANT_HEADER)?, only(INDEX_HEADER)?);
        let index = index.parse().map_err(|_| Denied::Peer)?;
        self.judge(proof, head.method.as_str(), head.target, text, index, now_ms)?;
        Ok(Taken { grant: decode(text, unchained(head)?)?, index })
    }

    /// Judges a redirected request by its voucher; `None` if it has none. `index` is what the redirect says.
    pub fn take_redirected(&self, head: &Head<'_>, index: u64, now_ms: u64) -> Option<Result<Grant, Denied>> {
        // The gateway appended it: it stands last.
        let (target, voucher) = head.target.rsplit_once(['?', '&'])?;
        let voucher = voucher.strip_prefix(VOUCHER)?.strip_prefix('=')?;
        Some(self.take_voucher(head, target, voucher, index, now_ms))
    }

    fn take_voucher(
        &self,
        head: &Head<'_>,
        target: &str,
        voucher: &str,
        index: u64,
        now_ms: u64,
    ) -> Result<Grant, Denied> {
        let (proof, text) = voucher.split_once('.').ok_or(Denied::Peer)?;
        let proof = BASE64.decode(proof).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let proof = proof.ok_or(Denied::Peer)?;
        self.judge(&proof, head.method.as_str(), target, text, index, now_ms)?;
        decode(text, unchained(head)?)
    }

    fn judge(
        &self,
        proof: &str,
        method: &str,
        target: &str,
        text: &str,
        index: u64,
        now_ms: u64,
    ) -> Result<(), Denied> {
        match self.verifier.verify(proof, method, target, &content(text, index), now_ms) {
            Ok(peer) if peer.is_joining() => Err(Denied::Peer),
            Ok(_) => Ok(()),
            Err(_) => Err(Denied::Peer),
        }
    }

    fn sign(&self, passed: &Passed<'_>, content: &[u8]) -> String {
        self.verifier.key().sign(&Statement {
            cluster: &self.cluster,
            from: &self.from,
            to: passed.to,
            at_ms: passed.at_ms,
            method: passed.method,
            target: passed.target,
            content,
        })
    }
}

fn content(text: &str, index: u64) -> Vec<u8> {
    format!("grant {text} {index}").into_bytes()
}

fn encode(grant: &Grant) -> String {
    let principal = match grant.principal() {
        Principal::Anonymous => WirePrincipal::Anonymous,
        Principal::AccessKey(id) => WirePrincipal::AccessKey(id.to_string()),
        Principal::Subject(subject) => WirePrincipal::Subject(subject.to_string()),
    };
    let rights = grant.rights();
    let wire = Wire { principal, cluster: rights.cluster, buckets: rights.buckets.to_vec() };
    // Plain values of ours in memory: there is nothing that could fail; should it, nobody will admit the empty text.
    BASE64.encode(postcard::to_stdvec(&wire).unwrap_or_default())
}

fn decode(text: &str, body: BodyRule) -> Result<Grant, Denied> {
    let bytes = BASE64.decode(text).map_err(|_| Denied::Peer)?;
    let wire: Wire = postcard::from_bytes(&bytes).map_err(|_| Denied::Peer)?;
    let principal = match wire.principal {
        WirePrincipal::Anonymous => Principal::Anonymous,
        WirePrincipal::AccessKey(id) => Principal::AccessKey(id.into()),
        WirePrincipal::Subject(subject) => Principal::Subject(subject.into()),
    };
    Ok(Grant::new(principal, Rights { cluster: wire.cluster, buckets: wire.buckets.into() }, body))
}

#[cfg(test)]
mod tests {
    use weir_http::{HeaderSlots, parse_head};
    use weir_types::{BucketName, Provider};

    use super::*;
    use crate::Secret;
    use crate::peer::PeerKey;

    const NOW: u64 = 1_700_000_000_000;

    fn vouching(secret: &str, ids: [&str; 1]) -> Vouching {
        let key = PeerKey::new(&Secret::new(secret)).unwrap();
        Vouching::new(PeerVerifier::new(key, "Yx3l2Jk9p", ids), "Yx3l2Jk9p", ids[0])
    }

    fn grant() -> Grant {
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        let rights = Rights { cluster: Access::GET, buckets: vec![(bucket, Access::ALL)].into() };
        Grant::new(Principal::Subject("ann".into()), rights, BodyRule::Plain)
    }

    fn passed(target: &str) -> Passed<'_> {
        Passed { to: "t1t1t1t1", method: "PUT", target, index: 7, at_ms: NOW }
    }

    fn take(request: &str, now_ms: u64) -> Result<Taken, Denied> {
        let mut slots = HeaderSlots::default();
        let (head, _) = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
        vouching("0123456789abcdef", ["t1t1t1t1"]).take(&head, now_ms)
    }

    fn request(secret: &str) -> String {
        let fields = vouching(secret, ["p1p1p1p1"]).fields(&grant(), &passed("/b/o?x=1"));
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("PUT /b/o?x=1 HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
    }

    #[test]
    fn what_a_peer_vouches_for_is_taken() {
        let taken = take(&request("0123456789abcdef"), NOW).unwrap();
        assert_eq!(taken.index, 7);
        assert_eq!(taken.grant.principal(), grant().principal());
        let bucket = |name| Bucket::global(Provider::Ais, BucketName::new(name).unwrap());
        assert_eq!(taken.grant.access_to(&bucket("b")), Access::ALL);
        assert_eq!(taken.grant.access_to(&bucket("c")), Access::GET);
    }

    #[test]
    fn nothing_else_is() {
        let good = request("0123456789abcdef");
        let forged = encode(&Grant::new(Principal::Anonymous, Rights::all(), BodyRule::Plain));
        let wider = good.replace(&encode(&grant()), &forged);
        assert_ne!(wider, good);
        for (request, now) in [
            (request("another secret..."), NOW),
            (good.clone(), NOW + 3_600_000),
            (good.replace("weir-index: 7", "weir-index: 6"), NOW),
            (good.replace("/b/o?x=1", "/b/o?x=2"), NOW),
            (good.replace("PUT", "DELETE"), NOW),
            (good.replace("weir-peer", "x-peer"), NOW),
            (wider, NOW),
        ] {
            assert_eq!(take(&request, now).unwrap_err(), Denied::Peer, "{request}");
        }
    }

    #[test]
    fn a_voucher_is_for_one_request() {
        let voucher = vouching("0123456789abcdef", ["p1p1p1p1"]).voucher(&grant(), &passed("/v1/o?pid=p"));
        let judge = |method: &str, target: &str, index| {
            let text = format!("{method} {target}&{voucher} HTTP/1.1\r\nHost: h\r\n\r\n");
            let mut slots = HeaderSlots::default();
            let (head, _) = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
            let taken = vouching("0123456789abcdef", ["t1t1t1t1"]).take_redirected(&head, index, NOW);
            taken.unwrap().map(|grant| grant.principal().clone())
        };
        assert_eq!(judge("PUT", "/v1/o?pid=p", 7), Ok(Principal::Subject("ann".into())));
        for (method, target, index) in
            [("GET", "/v1/o?pid=p", 7), ("PUT", "/v1/x?pid=p", 7), ("PUT", "/v1/o?pid=p", 8)]
        {
            assert_eq!(judge(method, target, index), Err(Denied::Peer), "{method} {target}");
        }
    }
}
