//! What an operator sets: a TOML file, flags over it. Every field has a default but the directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::NodeError;

/// A node's configuration, as read from TOML.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Directory of the node's own state: identity, agreement log, keys. Nothing of the objects.
    pub dir: PathBuf,
    /// Public address. Off loopback it needs a credential.
    pub listen: SocketAddr,
    /// Disks: directories, each on a file system of its own.
    pub mountpaths: Vec<PathBuf>,
    /// Shard threads; 0 means one per core less one for control.
    pub shards: usize,
    /// Pin threads to cores.
    pub pin: bool,
    /// Microseconds a shard spins before it parks.
    pub spin_us: u64,
    /// Registered I/O buffers of each shard, 256 KiB each.
    pub buffers: usize,
    /// Send large bodies without copying (SEND_ZC), for network cards that can gather them. A shard that sees the kernel copy
    /// all the same goes back to plain sends.
    pub zero_copy: bool,
    /// Seconds a stop waits for requests under way.
    pub drain_seconds: u64,
    /// Base domain of virtual-hosted S3 requests (`bucket.<domain>`); empty: path style only.
    pub s3_domain: String,
    /// Credentials; none means anonymous, on loopback only.
    pub auth: AuthConfig,
    /// Where remote buckets live.
    pub origins: Vec<OriginConfig>,
    /// Whether a bucket's property may name an endpoint that is not among `origins`. Off: whoever may set properties
    /// could make this node speak, with its credentials, to any host it can reach.
    pub bucket_endpoints: bool,
}

/// Who may ask.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthConfig {
    /// S3 access keys.
    pub access_keys: Vec<AccessKey>,
    /// Whether AIS requests need a bearer token, signed with the key in `<dir>/token.key` (made at first start).
    /// Implied when there are access keys.
    pub tokens: bool,
    /// Without credentials: what `Host` may name besides loopback addresses, `localhost` and `s3_domain` with its
    /// buckets. One that begins with a dot stands for all names below it. A page of such a host reads everything here.
    pub hosts: Vec<String>,
}

/// One S3 access key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The public half.
    pub id: String,
    /// The secret half.
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One S3-compatible endpoint behind the node.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OriginConfig {
    /// Provider of its buckets; `s3` (aws) is the one there is today.
    pub provider: String,
    /// URL of the endpoint, `http://` or `https://`.
    pub endpoint: String,
    /// Region for signatures.
    pub region: String,
    /// Access key; empty: from `AWS_ACCESS_KEY_ID`, or anonymous when that is unset.
    pub access_key: String,
    /// Secret key, likewise.
    pub secret_key: String,
}

impl std::fmt::Debug for OriginConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OriginConfig")
            .field("provider", &self.provider)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .finish_non_exhaustive()
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            mountpaths: Vec::new(),
            shards: 0,
            pin: true,
            spin_us: 50,
            buffers: weir_types::limits::IO_BUFFERS,
            zero_copy: false,
            drain_seconds: 10,
            s3_domain: String::new(),
            auth: AuthConfig::default(),
            origins: Vec::new(),
            bucket_endpoints: false,
        }
    }
}

impl NodeConfig {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self, NodeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| NodeError::Config { place: path.display().to_string(), got: e.to_string() })?;
        toml::from_str(&text)
            .map_err(|e| NodeError::Config { place: path.display().to_string(), got: e.to_string() })
    }

    /// Shards that this machine gets: as configured, or one per core less one for control.
    pub fn shard_count(&self) -> usize {
        if self.shards > 0 {
            return self.shards;
        }
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (cores - 1).max(1)
    }

    /// Whether any credential is configured.
    pub fn has_credentials(&self) -> bool {
        self.auth.tokens || !self.auth.access_keys.is_empty()
    }

    /// What cannot work is refused before anything starts.
    pub fn check(&self) -> Result<(), NodeError> {
        let bad = |place: &str, got: String| Err(NodeError::Config { place: place.into(), got });
        if self.dir.as_os_str().is_empty() {
            return bad("dir", "nothing; expected a directory for the node's state".into());
        }
        if self.mountpaths.is_empty() {
            return bad("mountpaths", "an empty list; expected at least one directory".into());
        }
        if let Some(p) = self.mountpaths.iter().find(|p| !p.is_absolute()) {
            return bad("mountpaths", format!("{}; expected absolute paths", p.display()));
        }
        if self.mountpaths.iter().enumerate().any(|(i, p)| self.mountpaths[..i].contains(p)) {
            return bad("mountpaths", "one directory twice".into());
        }
        if !self.listen.ip().is_loopback() && !self.has_credentials() {
            return bad(
                "listen",
                format!(
                    "{}; off loopback a credential is needed: set [auth] access_keys or tokens",
                    self.listen
                ),
            );
        }
        if self.buffers < 8 {
            return bad("buffers", format!("{}; expected at least 8", self.buffers));
        }
        if let Some(k) = self.auth.access_keys.iter().find(|k| k.id.is_empty() || k.secret.len() < 8) {
            return bad(
                "auth.access_keys",
                format!("{:?}; expected an id and a secret of 8 bytes or more", k.id),
            );
        }
        for o in &self.origins {
            if !o.endpoint.starts_with("http://") && !o.endpoint.starts_with("https://") {
                return bad("origins.endpoint", format!("{:?}; expected http:// or https://", o.endpoint));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> NodeConfig {
        NodeConfig { dir: "/d".into(), mountpaths: vec!["/m".into()], ..NodeConfig::default() }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(valid().check().is_ok());
        let cases: [(&str, NodeConfig); 6] = [
            ("dir", NodeConfig { dir: "".into(), ..valid() }),
            ("mountpaths", NodeConfig { mountpaths: vec![], ..valid() }),
            ("absolute", NodeConfig { mountpaths: vec!["m".into()], ..valid() }),
            ("twice", NodeConfig { mountpaths: vec!["/m".into(), "/m".into()], ..valid() }),
            ("credential", NodeConfig { listen: ([0, 0, 0, 0], 80).into(), ..valid() }),
            ("buffers", NodeConfig { buffers: 1, ..valid() }),
        ];
        for (word, config) in cases {
            let text = config.check().unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let mut c = valid();
        c.auth.access_keys.push(AccessKey { id: "id".into(), secret: "hush-hush".into() });
        c.origins.push(OriginConfig { secret_key: "hush-hush".into(), ..OriginConfig::default() });
        assert!(!format!("{c:?}").contains("hush"));
    }

    #[test]
    fn a_file_says_only_what_differs() {
        let c: NodeConfig = toml::from_str(
            "dir = '/d'\nmountpaths = ['/m']\n[[origins]]\nprovider = 's3'\nendpoint = 'http://127.0.0.1:1'\n",
        )
        .unwrap();
        assert_eq!(c.listen.port(), 8080);
        assert_eq!(c.origins[0].endpoint, "http://127.0.0.1:1");
        assert!(toml::from_str::<NodeConfig>("diir = '/d'").is_err());
    }
}
