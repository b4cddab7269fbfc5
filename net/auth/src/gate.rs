use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use weir_http::Head;
use weir_types::Access;
use weir_types::limits::{ACCESS_KEYS_MAX, TOKEN_KEY_BYTES_MIN};

use crate::body::PayloadMode;
use crate::grant::{Principal, Rights};
use crate::sigv4::{self, AccessKeys};
use crate::token::{Verifier, issue_token};
use crate::{AuthError, BodyRule, Denied, Grant, Secret};

/// What callers are checked against.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// Access key IDs of the S3 API with their secrets; each has every right.
    pub access_keys: Vec<(String, Secret)>,
    /// Key of bearer tokens (HS256).
    pub token_key: Option<Secret>,
}

/// Circumstances of a request that its head does not tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Peer address of the socket. Forwarding headers are never believed.
    pub peer: IpAddr,
    /// Seconds since 1970.
    pub now: u64,
}

/// The only way from a request to a [`Grant`]. With credentials every request needs one; a gate without credentials
/// exists only by [`Gate::anonymous_loopback_only`]. A clone shares the credentials and has its own cache of signing
/// keys: one clone per shard, so that the cache is never contended.
#[derive(Clone)]
pub struct Gate {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    /// With the hosts that it serves under besides those of loopback.
    Anonymous(Arc<[String]>),
    Checked {
        keys: AccessKeys,
        tokens: Option<Arc<Tokens>>,
        cluster_uuid: Arc<str>,
    },
}

struct Tokens {
    key: Secret,
    verifier: Verifier,
}

impl Gate {
    /// A gate that asks every request for one of `credentials`. None at all is refused: an operator whose
    /// configuration lost its keys must not get an open node.
    pub fn new(credentials: Credentials) -> Result<Self, AuthError> {
        let Credentials { access_keys, token_key } = credentials;
        if access_keys.is_empty() && token_key.is_none() {
            return Err(AuthError::NoCredential);
        }
        let tokens = token_key.map(tokens).transpose()?;
        let keys = AccessKeys::new(checked(access_keys)?);
        Ok(Self { kind: Kind::Checked { keys, tokens, cluster_uuid: Arc::from("") } })
    }

    /// A gate that admits everyone on this host with every right, and nobody else. The node refuses to listen off
    /// loopback with it; the gate refuses such peers besides, and requests that a browser makes for another site: by
    /// their `Origin`, and by a `Host` that is no name of loopback, which is how a page reads whose own name was
    /// made to resolve to loopback.
    pub fn anonymous_loopback_only() -> Self {
        Self { kind: Kind::Anonymous(Arc::new([])) }
    }

    /// The same gate, which serves anonymous requests under these hosts too. One that begins with a dot stands for all
    /// names below it.
    #[must_use]
    pub fn for_hosts(mut self, more: impl IntoIterator<Item = String>) -> Self {
        if let Kind::Anonymous(hosts) = &mut self.kind {
            *hosts = more.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        }
        self
    }

    /// The same gate for the cluster of this UUID, which the bucket and cluster entries of tokens may name.
    #[must_use]
    pub fn for_cluster(mut self, uuid: &str) -> Self {
        if let Kind::Checked { cluster_uuid, .. } = &mut self.kind {
            *cluster_uuid = Arc::from(uuid);
        }
        self
    }

    /// The same gate, which takes signatures for this region only. Without it the region a client signs for is free.
    #[must_use]
    pub fn for_region(mut self, region: &str) -> Self {
        if let Kind::Checked { keys, .. } = &mut self.kind {
            keys.set_region(region);
        }
        self
    }

    /// Whether requests without a credential are admitted (from this host only).
    pub fn anonymous_allowed(&self) -> bool {
        matches!(self.kind, Kind::Anonymous(_))
    }

    /// Judges a request by its head.
    pub fn admit(&self, head: &Head<'_>, arrival: &Arrival) -> Result<Grant, Denied> {
        match &self.kind {
            Kind::Anonymous(hosts) => admit_anonymous(head, arrival.peer, hosts),
            Kind::Checked { keys, tokens, cluster_uuid } => {
                let tokens = tokens.as_deref();
                match Presented::of(head)? {
                    Presented::Token(token) => {
                        let verifier = &tokens.ok_or(Denied::TokensOff)?.verifier;
                        let (principal, rights) = verifier.verify(token, cluster_uuid, arrival.now)?;
                        Ok(Grant::new(principal, rights, unchained(head)?))
                    }
                    Presented::Header(value) => sigv4::admit_header(keys, head, value, arrival.now),
                    Presented::Query => sigv4::admit_query(keys, head, arrival.now),
                }
            }
        }
    }

    /// Issues a token with the gate's key; see [`issue_token`].
    pub fn issue(&self, subject: &str, access: Access, seconds: u64, now: u64) -> Result<String, AuthError> {
        match &self.kind {
            Kind::Checked { tokens: Some(tokens), .. } => {
                issue_token(&tokens.key, subject, access, seconds, now)
            }
            _ => Err(AuthError::NoTokenKey),
        }
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.anonymous_allowed() { "Gate(anonymous)" } else { "Gate(credentials)" })
    }
}

/// The one credential a request presents.
enum Presented<'h> {
    Token(&'h str),
    Header(&'h str),
    Query,
}

impl<'h> Presented<'h> {
    fn of(head: &Head<'h>) -> Result<Self, Denied> {
        let authorization = sigv4::only(head, "authorization").map_err(|_| Denied::Ambiguous)?;
        let security = sigv4::only(head, "x-amz-security-token").map_err(|_| Denied::Ambiguous)?;
        let in_query = sigv4::in_query(head.query);
        match (authorization, security) {
            (Some(_), _) if in_query => Err(Denied::Ambiguous),
            (Some(value), security) => match (scheme(value), security) {
                (Some(("bearer", _)), Some(_)) => Err(Denied::Ambiguous),
                (Some(("bearer", token)), None) => Ok(Self::Token(token)),
                // An S3 client that was given a token signs with keys of its own invention: the token is its
                // credential (AIS: `X-Amz-Security-Token`). Keys of ours never go with a session token.
                (Some(("aws", _)), Some(token)) => Ok(Self::Token(token)),
                (Some(("aws", rest)), None) => Ok(Self::Header(rest)),
                _ => Err(Denied::Mechanism),
            },
            (None, Some(_)) if in_query => Err(Denied::Ambiguous),
            (None, Some(token)) => Ok(Self::Token(token)),
            (None, None) if in_query => Ok(Self::Query),
            (None, None) => Err(Denied::Missing),
        }
    }
}

/// Splits `Authorization` into a scheme of ours and what follows it.
fn scheme(value: &str) -> Option<(&'static str, &str)> {
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(("bearer", rest.trim_start_matches(' ')))
    } else if scheme == "AWS4-HMAC-SHA256" {
        Some(("aws", rest))
    } else {
        None
    }
}

fn admit_anonymous(head: &Head<'_>, peer: IpAddr, hosts: &[String]) -> Result<Grant, Denied> {
    if !peer.to_canonical().is_loopback() {
        return Err(Denied::NotLoopback);
    }
    let host = name_of(head.host().unwrap_or_default());
    if !is_local(host) && !hosts.iter().any(|listed| fits(host, listed)) {
        return Err(Denied::ForeignHost);
    }
    if head.headers("origin").any(|origin| !is_local_origin(origin)) {
        return Err(Denied::CrossSite);
    }
    Ok(Grant::new(Principal::Anonymous, Rights::all(), unchained(head)?))
}

/// Whether a browser page of this origin was itself served from this host.
fn is_local_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| is_local(name_of(authority)))
}

/// The host of an authority, without port and brackets.
fn name_of(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map_or("", |(host, _)| host),
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    }
}

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// Whether `host` is the listed one (in lower case), or below it if that begins with a dot.
fn fits(host: &str, listed: &str) -> bool {
    let Some(at) = host.len().checked_sub(listed.len()) else { return false };
    (at == 0 || listed.starts_with('.'))
        && host.get(at..).is_some_and(|tail| !tail.is_empty() && tail.eq_ignore_ascii_case(listed))
}

/// The body rule of a request without a signature chain.
pub(crate) fn unchained(head: &Head<'_>) -> Result<BodyRule, Denied> {
    match sigv4::only(head, "x-amz-content-sha256").map_err(|_| Denied::PayloadHash)? {
        Some(value) => PayloadMode::parse(value).map(PayloadMode::unchained),
        None => Ok(BodyRule::Plain),
    }
}

fn tokens(key: Secret) -> Result<Arc<Tokens>, AuthError> {
    if key.len() < TOKEN_KEY_BYTES_MIN {
        return Err(AuthError::ShortTokenKey { got: key.len() });
    }
    let verifier = Verifier::new(&key);
    Ok(Arc::new(Tokens { key, verifier }))
}

fn checked(access_keys: Vec<(String, Secret)>) -> Result<HashMap<Arc<str>, Secret>, AuthError> {
    if access_keys.len() > ACCESS_KEYS_MAX {
        return Err(AuthError::TooManyKeys { got: access_keys.len() });
    }
    let mut keys = HashMap::new();
    for (id, secret) in access_keys {
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b',') {
            return Err(AuthError::AccessKey { got: id });
        }
        if secret.is_empty() {
            return Err(AuthError::EmptySecret { of: id });
        }
        if keys.insert(Arc::from(id.as_str()), secret).is_some() {
            return Err(AuthError::Twice { got: id });
        }
    }
    Ok(keys)
}
