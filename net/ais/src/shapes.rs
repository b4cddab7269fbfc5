//! The cluster's state in AIS's JSON shapes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use weir_cluster::{Bmd, BucketInfo, ClusterView, NetInfo, Node, Smap};
use weir_types::{Bucket, BucketName, Namespace, Provider};

use crate::AisError;
use crate::query::provider;
use crate::settings_json::settings_json;
use crate::times::date_time;

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NsJson {
    /// UUID or alias of another cluster.
    #[serde(default)]
    pub uuid: String,
    /// Name.
    #[serde(default)]
    pub name: String,
}

/// A bucket; all empty where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BckJson {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Provider.
    #[serde(default)]
    pub provider: String,
    /// Namespace.
    #[serde(default)]
    pub namespace: NsJson,
}

impl From<&Bucket> for BckJson {
    fn from(b: &Bucket) -> Self {
        let Namespace { uuid, name } = b.namespace.clone();
        Self {
            name: b.name.to_string(),
            provider: b.provider.as_str().into(),
            namespace: NsJson { uuid, name },
        }
    }
}

/// A bucket as clients name it: no provider is `ais`, and a namespace may be null.
pub(crate) fn bucket_json(value: &Value) -> Result<Bucket, AisError> {
    let wrong = |why: String| AisError::Bad(format!("invalid bucket {value}: {why}"));
    let mut fields = value.clone();
    if let Some(map) = fields.as_object_mut() {
        map.retain(|_, field| !field.is_null());
    }
    let bucket: BckJson = serde_json::from_value(fields).map_err(|error| wrong(error.to_string()))?;
    let namespace = format!("@{}#{}", bucket.namespace.uuid, bucket.namespace.name);
    Ok(Bucket {
        provider: if bucket.provider.is_empty() { Provider::Ais } else { provider(&bucket.provider)? },
        namespace: Namespace::parse(&namespace).ok_or_else(|| wrong(namespace))?,
        name: BucketName::new(bucket.name)?,
    })
}

/// One endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetJson {
    /// Host.
    pub node_ip_addr: String,
    /// Port, a text.
    pub daemon_port: String,
    /// URL.
    pub direct_url: String,
}

impl From<&NetInfo> for NetJson {
    fn from(n: &NetInfo) -> Self {
        Self { node_ip_addr: n.host.clone(), daemon_port: n.port.to_string(), direct_url: n.to_string() }
    }
}

/// A node (AIS: Snode).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields, as of weir_cluster::Node")]
pub struct SnodeJson {
    pub public_net: NetJson,
    pub intra_data_net: NetJson,
    pub intra_control_net: NetJson,
    pub daemon_type: String,
    pub daemon_id: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pub_extra: Vec<NetJson>,
    pub flags: u64,
    pub id_digest: u64,
}

impl From<&Node> for SnodeJson {
    fn from(n: &Node) -> Self {
        Self {
            public_net: (&n.public).into(),
            intra_data_net: (&n.intra_data).into(),
            intra_control_net: (&n.intra_control).into(),
            daemon_type: n.role.as_str().into(),
            daemon_id: n.id.to_string(),
            pub_extra: n.public_extra.iter().map(Into::into).collect(),
            flags: n.flags.of_ais(),
            id_digest: n.id.digest(),
        }
    }
}

/// The cluster map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields, as of weir_cluster::Smap")]
pub struct SmapJson {
    pub uuid: String,
    pub creation_time: String,
    pub version: String,
    /// Null only in a map that has lost its leader's entry, which no published map has.
    pub proxy_si: Option<SnodeJson>,
    pub pmap: BTreeMap<String, SnodeJson>,
    pub tmap: BTreeMap<String, SnodeJson>,
}

impl From<&Smap> for SmapJson {
    fn from(s: &Smap) -> Self {
        let nodes = |map: &BTreeMap<_, Node>| map.values().map(|n| (n.id.to_string(), n.into())).collect();
        Self {
            uuid: s.uuid.to_string(),
            creation_time: date_time(s.created_ns),
            version: s.version.to_string(),
            proxy_si: s.primary_node().map(Into::into),
            pmap: nodes(&s.gateways),
            tmap: nodes(&s.targets),
        }
    }
}

/// A bucket's properties with its identity (AIS: Bprops).
pub fn bprops_json(bucket: &Bucket, info: &BucketInfo) -> Value {
    let mut props = settings_json(&info.props);
    props.insert("provider".into(), bucket.provider.as_str().into());
    props.insert("Renamed".into(), "".into());
    props.insert("bid".into(), info.bid.to_string().into());
    props.insert("created".into(), info.created_ns.to_string().into());
    Value::Object(props)
}

/// All buckets by provider and namespace.
pub fn bmd_json(bmd: &Bmd) -> Value {
    let mut providers = Map::new();
    for (bucket, info) in bmd.iter() {
        let ns = format!("@{}#{}", bucket.namespace.uuid, bucket.namespace.name);
        let level = |map: &mut Map<String, Value>, key: String, value: Option<Value>| {
            let entry = map.entry(key).or_insert_with(|| Value::Object(Map::new()));
            if let Some(value) = value {
                *entry = value;
            }
        };
        level(&mut providers, bucket.provider.as_str().into(), None);
        let Some(Value::Object(spaces)) = providers.get_mut(bucket.provider.as_str()) else { continue };
        level(spaces, ns.clone(), None);
        let Some(Value::Object(buckets)) = spaces.get_mut(&ns) else { continue };
        level(buckets, bucket.name.to_string(), Some(bprops_json(bucket, info)));
    }
    json!({ "uuid": bmd.uuid.as_str(), "version": bmd.version.to_string(), "providers": providers })
}

/// The cluster's configuration.
pub fn cluster_config_json(view: &ClusterView) -> Value {
    let mut config = settings_json(view.config.as_ref());
    config.insert("uuid".into(), view.smap.uuid.as_str().into());
    config.insert("lastupdate_time".into(), date_time(view.config_updated_ns).into());
    config.insert("config_version".into(), view.config_version.to_string().into());
    Value::Object(config)
}

/// What a node alone knows of its configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct LocalConfig {
    /// Mountpaths with their labels.
    pub fspaths: BTreeMap<String, String>,
    /// Where the node keeps its state.
    pub confdir: String,
    /// Where it logs; empty for standard error.
    pub log_dir: String,
    /// For tests of AIS; zero.
    pub test_fspaths: TestPaths,
    /// Listeners.
    pub host_net: HostNet,
}

/// For tests of AIS.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct TestPaths {
    pub root: String,
    pub count: u32,
    pub instance: u32,
}

/// Listeners; ports are texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct HostNet {
    pub hostname: String,
    pub hostname_intra_control: String,
    pub hostname_intra_data: String,
    pub port: String,
    pub port_intra_control: String,
    pub port_intra_data: String,
}

/// The node's configuration: its own fields and the cluster's, in one object.
pub fn node_config_json(local: &LocalConfig, view: &ClusterView) -> Value {
    let mut config = cluster_config_json(view);
    if let (Value::Object(all), Ok(Value::Object(own))) = (&mut config, serde_json::to_value(local)) {
        all.extend(own);
    }
    config
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_cluster::{BucketProps, ClusterConfig, ClusterUuid, NodeId, Role};
    use weir_types::{BucketName, Provider};

    use super::*;

    fn view() -> ClusterView {
        let node = |id: &str, role| Node::new(NodeId::new(id).unwrap(), role, NetInfo::new("10.0.0.5", 8081));
        let uuid = ClusterUuid::new("Yx3l2Jk9p").unwrap();
        let mut smap = Smap::new(uuid.clone(), 1_763_685_131_000_000_000, node("p1aaaaaa", Role::Gateway));
        smap.put(node("t2t2t2t2", Role::Target));
        let mut bmd = Bmd::new(uuid);
        for (provider, name) in [(Provider::Ais, "b1"), (Provider::Ais, "b2"), (Provider::Aws, "b1")] {
            let bucket = Bucket::global(provider, BucketName::new(name).unwrap());
            bmd.create(bucket, BucketProps::default(), 1_732_147_200_000_000_000).unwrap();
        }
        ClusterView {
            index: 1,
            smap: Arc::new(smap),
            bmd: Arc::new(bmd),
            config: Arc::new(ClusterConfig::default()),
            config_version: 3,
            config_updated_ns: 1_763_685_131_000_000_000,
            jobs: Arc::default(),
            moving: None,
            me: Arc::default(),
        }
    }

    #[test]
    fn cluster_map() {
        let got = serde_json::to_value(SmapJson::from(view().smap.as_ref())).unwrap();
        let net =
            json!({"node_ip_addr": "10.0.0.5", "daemon_port": "8081", "direct_url": "http://10.0.0.5:8081"});
        let target = json!({
            "public_net": net, "intra_data_net": net, "intra_control_net": net, "daemon_type": "target",
            "daemon_id": "t2t2t2t2", "flags": 0, "id_digest": 4_658_495_253_260_178_676_u64
        });
        assert_eq!(got["tmap"]["t2t2t2t2"], target);
        assert_eq!(got["proxy_si"]["daemon_type"], "proxy");
        assert_eq!(got["proxy_si"], got["pmap"]["p1aaaaaa"]);
        assert_eq!((&got["version"], &got["uuid"]), (&json!("2"), &json!("Yx3l2Jk9p")));
        assert_eq!(got["creation_time"], "2025-11-21 00:32:11");
        let back: SmapJson = serde_json::from_value(got.clone()).unwrap();
        assert_eq!(serde_json::to_value(back).unwrap(), got);
    }

    /// The whole default of a new bucket, as AIS answers it, and Weir's two properties.
    #[test]
    fn bucket_properties() {
        let view = view();
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b1").unwrap());
        let got = bprops_json(&bucket, view.bmd.get(&bucket).unwrap());
        let expected = json!({
            "backend_bck": {"name": "", "provider": "", "namespace": {"uuid": "", "name": ""}},
            "write_policy": {"data": "immediate", "md": "immediate"},
            "provider": "ais", "Renamed": "",
            "checksum": {"type": "xxhash2", "validate_cold_get": false, "validate_warm_get": false,
                         "validate_obj_move": false, "enable_read_range": false},
            "extra": {"aws": {}, "gcp": {}, "oci": {}},
            "rate_limit": {"backend": {"interval": "1m", "max_tokens": 1000, "enabled": false, "num_retries": 3},
                           "frontend": {"interval": "1m", "max_tokens": 1000, "enabled": false, "burst_size": 375}},
            "ec": {"compression": "never", "bundle_multiplier": 2, "burst_buffer": 512, "objsize_limit": 262_144,
                   "data_slices": 2, "parity_slices": 2, "enabled": false, "disk_only": false},
            "chunks": {"objsize_limit": "0B", "max_monolithic_size": "1TiB", "chunk_size": "1GiB"},
            "mirror": {"copies": 2, "burst_buffer": 512, "enabled": false},
            "lru": {"dont_evict_time": "2h0m", "capacity_upd_time": "10m", "batch_size": 32_768, "enabled": false},
            "access": "18446744073709551615", "features": "0",
            "bid": "9223372036854775809", "created": "1732147200000000000",
            "versioning": {"enabled": true, "validate_warm_get": false, "synchronize": false},
            "durability": "durable", "etag": "md5"
        });
        assert_eq!(got, expected);
    }

    #[test]
    fn buckets() {
        let got = bmd_json(&view().bmd);
        assert_eq!((&got["uuid"], &got["version"]), (&json!("Yx3l2Jk9p"), &json!("3")));
        let names =
            |p: &str| got["providers"][p]["@#"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            (names("ais"), names("aws")),
            (vec!["b1".to_owned(), "b2".to_owned()], vec!["b1".to_owned()])
        );
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b1").unwrap());
        assert_eq!(
            serde_json::to_value(BckJson::from(&bucket)).unwrap(),
            json!({"name": "b1", "provider": "ais", "namespace": {"uuid": "", "name": ""}})
        );
    }

    #[test]
    fn configuration() {
        let host_net = HostNet { port: "8080".into(), ..HostNet::default() };
        let local = LocalConfig { host_net, ..LocalConfig::default() };
        let got = node_config_json(&local, &view());
        assert_eq!(got["host_net"]["port"], "8080");
        assert_eq!(got["config_version"], "3");
        assert_eq!(got["timeout"]["object_md"], "2h0m");
        assert_eq!(got["log"]["level"], "3");
        assert_eq!(got["keepalivetracker"]["proxy"]["name"], "heartbeat");
    }
}
