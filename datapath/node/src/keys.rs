//! The key of bearer tokens: made at first start, readable by the node's user only. And the key of nodes, from a file.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use weir_auth::{Credentials, Gate, PeerKey, PeerVerifier, Secret, Vouching};
use weir_control::Identity;

use crate::{NodeConfig, NodeError};

/// Random bytes of a new key, written in hex.
const KEY_BYTES: usize = 32;

/// The gate that the configuration asks for.
pub(crate) fn gate(config: &NodeConfig, cluster: &str) -> Result<Gate, NodeError> {
    if !config.has_credentials() {
        return Ok(Gate::anonymous_loopback_only().for_cluster(cluster).for_hosts(hosts(config)));
    }
    let keys = &config.auth.access_keys;
    let credentials = Credentials {
        access_keys: keys.iter().map(|k| (k.id.clone(), Secret::new(k.secret.as_bytes()))).collect(),
        token_key: Some(token_key(&config.dir.join("token.key"))?),
    };
    let bad = |e: weir_auth::AuthError| NodeError::Config { place: "auth".into(), got: e.to_string() };
    Ok(Gate::new(credentials).map_err(bad)?.for_cluster(cluster))
}

/// Hosts of this node beside loopback: those listed, and those that address buckets.
fn hosts(config: &NodeConfig) -> Vec<String> {
    let domain = &config.s3_domain;
    let buckets = (!domain.is_empty()).then(|| [domain.clone(), format!(".{domain}")]);
    config.auth.hosts.iter().cloned().chain(buckets.into_iter().flatten()).collect()
}

fn token_key(path: &Path) -> Result<Secret, NodeError> {
    let io = |error| NodeError::Io { what: path.display().to_string(), error };
    if !path.exists() {
        let mut bytes = [0; KEY_BYTES];
        File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut bytes)).map_err(io)?;
        let text: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).map_err(io)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
    }
    Ok(Secret::new(fs::read(path).map_err(io)?.trim_ascii()))
}

/// How the node vouches for what it passes on to others; nothing in a cluster of one.
pub(crate) fn vouching(config: &NodeConfig, identity: &Identity) -> Result<Option<Vouching>, NodeError> {
    if config.intra_data.is_none() {
        return Ok(None);
    }
    let cluster = identity.cluster.as_str();
    let ids = [
        config.role.has_gateway().then(|| identity.gateway.as_str()),
        config.role.has_target().then(|| identity.target.as_str()),
    ];
    let ids: Vec<&str> = ids.into_iter().flatten().collect();
    let from = ids.first().copied().unwrap_or_default();
    let verifier = PeerVerifier::new(peer_key(config)?, cluster, ids.iter().copied());
    Ok(Some(Vouching::new(verifier, cluster, from)))
}

/// The key that the cluster's nodes know each other by.
pub(crate) fn peer_key(config: &NodeConfig) -> Result<PeerKey, NodeError> {
    let path = &config.join_secret;
    let text = fs::read(path).map_err(|error| NodeError::Io { what: path.display().to_string(), error })?;
    let bad = |e: weir_auth::AuthError| NodeError::Config { place: "join_secret".into(), got: e.to_string() };
    PeerKey::new(&Secret::new(text.trim_ascii())).map_err(bad)
}
