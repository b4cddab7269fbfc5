//! What an operator sets: a TOML file, flags over it. Every field has a default but the directory.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_cluster::Roles;

use crate::NodeError;

/// A node's configuration, as read from TOML.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Directory of the node's own state: identity, agreement log, keys. Nothing of the objects.
    pub dir: PathBuf,
    /// Public address. Off loopback it needs a credential.
    pub listen: SocketAddr,
    /// What this process is: `gateway`, `target` or `both`.
    pub role: Roles,
    /// Address for requests of other nodes about the cluster; none: this process is a cluster by itself.
    pub intra_control: Option<SocketAddr>,
    /// Address for objects on their way between nodes; with `intra_control` only.
    pub intra_data: Option<SocketAddr>,
    /// Under which hosts the three are reached, where not under the addresses listened on.
    pub advertise: Advertise,
    /// `host:port` of `intra_control` of nodes to ask for the cluster, the same list on every node. The first makes the
    /// cluster at its first start, unless another knows of one; so does a node without a list.
    pub seeds: Vec<String>,
    /// File with the secret that all nodes of the cluster share, at least 16 bytes.
    pub join_secret: PathBuf,
    /// ID as a gateway; empty: made at the first start.
    pub gateway_id: String,
    /// ID as a target; empty: made at the first start.
    pub target_id: String,
    /// Disks: directories, each on a file system of its own.
    pub mountpaths: Vec<PathBuf>,
    /// Directories of this host whose files may become objects (`promote`): whoever has the right to promote into a bucket can
    /// read all that is in them, and remove it.
    pub promote_dirs: Vec<PathBuf>,
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

/// Hosts under which a node is reached; an empty one is the address that is listened on.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// By clients.
    pub public: String,
    /// By nodes, for control.
    pub intra_control: String,
    /// By nodes, for data.
    pub intra_data: String,
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
            role: Roles::Both,
            intra_control: None,
            intra_data: None,
            advertise: Advertise::default(),
            seeds: Vec::new(),
            join_secret: PathBuf::new(),
            gateway_id: String::new(),
            target_id: String::new(),
            mountpaths: Vec::new(),
            promote_dirs: Vec::new(),
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

    /// What is in these directories can be read by others: nothing of the node's own is.
    fn check_promote_dirs(&self) -> Result<(), NodeError> {
        let bad = |got: String| Err(NodeError::Config { place: "promote_dirs".into(), got });
        let is_dotted = |dir: &Path| dir.components().any(|part| part == std::path::Component::ParentDir);
        if self.promote_dirs.iter().any(|dir| !dir.is_absolute() || is_dotted(dir)) {
            return bad(format!("{:?}; expected absolute paths without ..", self.promote_dirs));
        }
        if self.promote_dirs.len() > weir_types::limits::PROMOTE_DIRS_MAX {
            let (got, most) = (self.promote_dirs.len(), weir_types::limits::PROMOTE_DIRS_MAX);
            return bad(format!("{got} directories; expected at most {most}"));
        }
        let overlaps = |one: &Path, other: &Path| one.starts_with(other) || other.starts_with(one);
        let is_own = |dir: &&PathBuf| self.mountpaths.iter().chain([&self.dir]).any(|own| overlaps(own, dir));
        match self.promote_dirs.iter().find(is_own) {
            Some(dir) => bad(format!("{}; expected none that holds or is in the node's own", dir.display())),
            None => Ok(()),
        }
    }

    /// What cannot work is refused before anything starts.
    pub fn check(&self) -> Result<(), NodeError> {
        let bad = |place: &str, got: String| Err(NodeError::Config { place: place.into(), got });
        if self.dir.as_os_str().is_empty() {
            return bad("dir", "nothing; expected a directory for the node's state".into());
        }
        if self.mountpaths.is_empty() == self.role.has_target() {
            let got = format!("{} directories for role {}", self.mountpaths.len(), self.role.as_str());
            return bad(
                "mountpaths",
                format!("{got}; expected at least one for a target, none for a gateway"),
            );
        }
        self.check_cluster()?;
        if let Some(p) = self.mountpaths.iter().find(|p| !p.is_absolute()) {
            return bad("mountpaths", format!("{}; expected absolute paths", p.display()));
        }
        self.check_promote_dirs()?;
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

impl NodeConfig {
    /// The listeners, named as in the file.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let intra = [("intra_control", self.intra_control), ("intra_data", self.intra_data)];
        [("listen", self.listen)].into_iter().chain(intra.into_iter().filter_map(|(n, a)| Some((n, a?))))
    }

    /// What a node of several needs.
    fn check_cluster(&self) -> Result<(), NodeError> {
        let bad = |place: &str, got: String| Err(NodeError::Config { place: place.into(), got });
        if self.intra_control.is_some() != self.intra_data.is_some() {
            return bad("intra_data", "one intra-cluster address; expected both or none".into());
        }
        if self.intra_control.is_none() {
            return match self.role {
                Roles::Both if self.seeds.is_empty() => Ok(()),
                role => bad(
                    "intra_control",
                    format!(
                        "no address for a node of role {} with {} seeds; expected intra_control, intra_data and join_secret",
                        role.as_str(),
                        self.seeds.len()
                    ),
                ),
            };
        }
        if self.join_secret.as_os_str().is_empty() {
            return bad(
                "join_secret",
                "nothing; expected the file of the secret that all nodes share".into(),
            );
        }
        if self.role == Roles::Target && self.seeds.is_empty() {
            return bad("seeds", "an empty list; expected intra_control addresses of gateways".into());
        }
        if let Some(seed) = self.seeds.iter().find(|s| !s.contains(':') || s.contains('/')) {
            return bad("seeds", format!("{seed:?}; expected host:port"));
        }
        let listeners: Vec<_> = self.listeners().collect();
        for (i, (name, addr)) in listeners.iter().enumerate() {
            if listeners[..i].iter().any(|(_, other)| other == addr) {
                return bad(name, format!("{addr} twice; expected an address for each listener"));
            }
            let host = match *name {
                "intra_control" => &self.advertise.intra_control,
                "intra_data" => &self.advertise.intra_data,
                _ => &self.advertise.public,
            };
            if addr.ip().is_unspecified() && host.is_empty() {
                return bad(
                    name,
                    format!("{addr}; expected [advertise] to say under which host others reach it"),
                );
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
        let intra = |control: u16, data: u16| NodeConfig {
            intra_control: Some(([127, 0, 0, 1], control).into()),
            intra_data: Some(([127, 0, 0, 1], data).into()),
            join_secret: "/s".into(),
            ..valid()
        };
        assert!(intra(1, 2).check().is_ok());
        let gateway = NodeConfig { role: Roles::Gateway, mountpaths: vec![], ..intra(1, 2) };
        assert!(gateway.check().is_ok());
        let of_cluster = [
            ("none for a gateway", NodeConfig { mountpaths: vec!["/m".into()], ..gateway.clone() }),
            ("intra_control", NodeConfig { intra_control: None, intra_data: None, ..gateway }),
            ("intra_control", NodeConfig { seeds: vec!["h:1".into()], ..valid() }),
            ("both or none", NodeConfig { intra_data: None, ..intra(1, 2) }),
            ("join_secret", NodeConfig { join_secret: PathBuf::new(), ..intra(1, 2) }),
            ("seeds", NodeConfig { role: Roles::Target, ..intra(1, 2) }),
            ("host:port", NodeConfig { seeds: vec!["http://h:1".into()], ..intra(1, 2) }),
            ("twice", intra(1, 1)),
            ("advertise", NodeConfig { intra_data: Some(([0, 0, 0, 0], 2).into()), ..intra(1, 2) }),
        ];
        for (word, config) in cases.into_iter().chain(of_cluster) {
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
