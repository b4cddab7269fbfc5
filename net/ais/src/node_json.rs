//! A node's state and statistics in AIS's JSON shapes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_cluster::{ClusterView, Node};

use crate::list::number_text;
use crate::shapes::SnodeJson;
use crate::{AIS_VERSION, Snap};

/// A node's condition, AIS's bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeStateFlags(pub u64);

impl NodeStateFlags {
    /// The cluster has started.
    pub const CLUSTER_STARTED: Self = Self(1 << 1);
    /// The node has started.
    pub const NODE_STARTED: Self = Self(1 << 2);
    /// Both, and nothing else.
    pub const OK: Self = Self(6);
    /// A mountpath is full.
    pub const OUT_OF_SPACE: Self = Self(1 << 8);
    /// A mountpath is above the high watermark.
    pub const LOW_CAPACITY: Self = Self(1 << 11);
    /// A disk is full.
    pub const DISK_OUT_OF_SPACE: Self = Self(1 << 22);
    /// A disk is above the high watermark.
    pub const DISK_LOW_CAPACITY: Self = Self(1 << 23);
    /// Under maintenance.
    pub const MAINTENANCE: Self = Self(1 << 10);
    /// A disk has failed.
    pub const DISK_FAULT: Self = Self(1 << 13);
}

impl std::ops::BitOr for NodeStateFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a node has seen of the cluster's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct NodeStateInfo {
    pub smap: SmapState,
    pub bmd: Version,
    pub rmd: Version,
    pub config: Version,
    pub etlmd: Version,
    pub flags: NodeStateFlags,
}

/// The version of one part of the cluster's state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct Version {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub uuid: String,
    pub version: String,
}

/// The map's version and leader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct SmapState {
    #[serde(rename = "Primary")]
    pub primary: Primary,
    pub uuid: String,
    pub version: String,
}

/// The leader.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct Primary {
    pub pub_url: String,
    pub control_url: String,
    pub id: String,
}

impl NodeStateInfo {
    /// What a view of the cluster says, with the node's flags.
    pub fn new(view: &ClusterView, flags: NodeStateFlags) -> Self {
        let versioned =
            |uuid: &str, version: u64| Version { uuid: uuid.into(), version: version.to_string() };
        let primary = view.smap.primary_node().map(|p| Primary {
            pub_url: p.public.to_string(),
            control_url: p.intra_control.to_string(),
            id: p.id.to_string(),
        });
        Self {
            smap: SmapState {
                primary: primary.unwrap_or_default(),
                uuid: view.smap.uuid.to_string(),
                version: view.smap.version.to_string(),
            },
            bmd: versioned(view.bmd.uuid.as_str(), view.bmd.version),
            rmd: versioned("", 0),
            config: versioned("", view.config_version),
            etlmd: versioned("", 0),
            flags,
        }
    }
}

/// Load averages.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "minutes")]
pub struct LoadAvg {
    pub one: f64,
    pub five: f64,
    pub fifteen: f64,
}

/// Memory in bytes and CPU in percent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct MemCpu {
    pub mem_used: u64,
    pub mem_avail: u64,
    pub pct_mem_used: f64,
    pub pct_cpu_used: f64,
    pub load_avg: LoadAvg,
    pub cpu_util: i64,
}

/// The same with a target's disk space.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TargetSysInfo {
    /// Memory and CPU.
    #[serde(flatten)]
    pub mem_cpu: MemCpu,
    /// Bytes used.
    #[serde(with = "number_text")]
    pub fs_used: u64,
    /// Bytes in all.
    #[serde(with = "number_text")]
    pub fs_capacity: u64,
    /// Percent used.
    pub pct_fs_used: u64,
}

/// A target's mountpaths by state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Mountpaths {
    /// In use.
    pub available: Vec<String>,
    /// On the way out.
    pub waiting_dd: Vec<String>,
    /// Out of use.
    pub disabled: Vec<String>,
}

/// One mountpath's space.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapacityMountpath {
    /// Label.
    pub mountpath_label: String,
    /// File system.
    pub fs: FsInfo,
    /// Disks.
    pub disks: Vec<String>,
    /// Bytes used.
    #[serde(with = "number_text")]
    pub used: u64,
    /// Bytes free.
    #[serde(with = "number_text")]
    pub avail: u64,
    /// Percent used.
    pub pct_used: i32,
}

/// A file system.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FsInfo {
    /// Device.
    #[serde(rename = "Fs")]
    pub fs: String,
    /// Type.
    #[serde(rename = "FsType")]
    pub fs_type: String,
    /// ID of statfs; on the wire the text `a,b`.
    #[serde(rename = "FsID", with = "fs_id_text")]
    pub fs_id: [i32; 2],
}

/// A file system's ID as the text `a,b`.
mod fs_id_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>([a, b]: &[i32; 2], s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{a},{b}"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<[i32; 2], D::Error> {
        let text = String::deserialize(d)?;
        let parsed = text.split_once(',').and_then(|(a, b)| Some([a.parse().ok()?, b.parse().ok()?]));
        parsed.ok_or_else(|| D::Error::custom(format!("FsID: expected \"a,b\", got {text:?}")))
    }
}

/// A target's space (AIS: Tcdf).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// By mountpath.
    pub mountpaths: BTreeMap<String, CapacityMountpath>,
    /// What is wrong with capacity; empty if nothing.
    pub cs_err: String,
    /// Bytes used.
    #[serde(with = "number_text")]
    pub total_used: u64,
    /// Bytes free.
    #[serde(with = "number_text")]
    pub total_avail: u64,
    /// Percent used of the fullest.
    pub pct_max: i32,
    /// On average.
    pub pct_avg: i32,
    /// Of the emptiest.
    pub pct_min: i32,
}

impl Capacity {
    /// Sums over mountpaths; percentages are of used and free together.
    pub fn new(mountpaths: BTreeMap<String, CapacityMountpath>) -> Self {
        let percents = || mountpaths.values().map(|m| m.pct_used);
        let count = i32::try_from(mountpaths.len()).unwrap_or(i32::MAX).max(1);
        Self {
            cs_err: String::new(),
            total_used: mountpaths.values().map(|m| m.used).sum(),
            total_avail: mountpaths.values().map(|m| m.avail).sum(),
            pct_max: percents().max().unwrap_or(0),
            pct_avg: percents().sum::<i32>() / count,
            pct_min: percents().min().unwrap_or(0),
            mountpaths,
        }
    }
}

/// One disk's rates: bytes per second, average request bytes, percent busy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "AIS's fields")]
pub struct DiskStat {
    #[serde(rename = "RBps")]
    pub read_bps: i64,
    #[serde(rename = "Ravg")]
    pub read_avg: i64,
    #[serde(rename = "WBps")]
    pub write_bps: i64,
    #[serde(rename = "Wavg")]
    pub write_avg: i64,
    #[serde(rename = "Util")]
    pub util: i64,
}

/// `what=disk`: space and disks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CapacityWithDisks {
    /// Space.
    #[serde(flatten)]
    pub capacity: Capacity,
    /// By disk.
    #[serde(rename = "AllDiskStats")]
    pub disks: BTreeMap<String, DiskStat>,
}

/// `what=node_stats`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStats {
    /// The node.
    pub snode: SnodeJson,
    /// Statistics by AIS's name (`get.n`, `put.size`, …).
    pub tracker: BTreeMap<String, u64>,
    /// Space; all zero on a gateway.
    pub capacity: Capacity,
}

/// `what=node_status`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Statistics.
    #[serde(flatten)]
    pub stats: NodeStats,
    /// A rebalance that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebalance_snap: Option<Snap>,
    /// Empty, `maintenance` or `decommission`.
    pub status: String,
    /// `linux` and the like.
    pub deployment: String,
    /// The AIS version whose API this is.
    pub ais_version: String,
    /// When the binary was built.
    pub build_time: String,
    /// Pod; empty outside Kubernetes.
    pub k8s_pod_name: String,
    /// What it has seen of the cluster.
    pub cluster: NodeStateInfo,
    /// Memory, CPU and space.
    pub sys_info: TargetSysInfo,
    /// Version of the map.
    pub smap_version: String,
}

impl NodeStatus {
    /// The status of `node` as `view` has it.
    pub fn new(
        node: &Node,
        view: &ClusterView,
        state: NodeStateInfo,
        stats: NodeStats,
        sys_info: TargetSysInfo,
    ) -> Self {
        use weir_cluster::NodeFlags;
        let status = match node.flags {
            f if f.any(NodeFlags::DECOMMISSION) => "decommission",
            f if f.any(NodeFlags::MAINTENANCE) => "maintenance",
            _ => "",
        };
        Self {
            stats,
            rebalance_snap: None,
            status: status.into(),
            deployment: "linux".into(),
            ais_version: AIS_VERSION.into(),
            build_time: String::new(),
            k8s_pod_name: String::new(),
            cluster: state,
            sys_info,
            smap_version: view.smap.version.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn space() {
        let mountpath =
            |used, pct_used| CapacityMountpath { used, avail: 10, pct_used, ..CapacityMountpath::default() };
        let all = BTreeMap::from([("/a".to_owned(), mountpath(1, 10)), ("/b".to_owned(), mountpath(2, 31))]);
        let capacity = Capacity::new(all);
        let got =
            serde_json::to_value(CapacityWithDisks { capacity, ..CapacityWithDisks::default() }).unwrap();
        assert_eq!((&got["total_used"], &got["total_avail"]), (&json!("3"), &json!("20")));
        assert_eq!((&got["pct_max"], &got["pct_avg"], &got["pct_min"]), (&json!(31), &json!(20), &json!(10)));
        assert_eq!(got["AllDiskStats"], json!({}));
        assert_eq!(
            got["mountpaths"]["/a"],
            json!({"mountpath_label": "", "fs": {"Fs": "", "FsType": "", "FsID": "0,0"}, "disks": [], "used": "1", "avail": "10", "pct_used": 10})
        );
        assert_eq!(Capacity::new(BTreeMap::new()).pct_avg, 0);
    }

    /// The `ais` command line refuses the whole answer for any other form.
    #[test]
    fn the_id_of_a_file_system_was_an_array() {
        let fs = FsInfo { fs_id: [-7, 8], ..FsInfo::default() };
        let wire = serde_json::to_value(&fs).unwrap();
        assert_eq!(wire["FsID"], "-7,8");
        assert_eq!(serde_json::from_value::<FsInfo>(wire).unwrap(), fs);
        for bad in [json!([0, 0]), json!("1"), json!("1,x")] {
            let wire = json!({"Fs": "", "FsType": "", "FsID": bad});
            assert!(serde_json::from_value::<FsInfo>(wire.clone()).is_err(), "{wire}");
        }
    }

    #[test]
    fn system() {
        let got = serde_json::to_value(TargetSysInfo::default()).unwrap();
        assert_eq!(
            got,
            json!({"mem_used": 0, "mem_avail": 0, "pct_mem_used": 0.0, "pct_cpu_used": 0.0,
                   "load_avg": {"One": 0.0, "Five": 0.0, "Fifteen": 0.0}, "cpu_util": 0,
                   "fs_used": "0", "fs_capacity": "0", "pct_fs_used": 0})
        );
        let state =
            serde_json::to_value(NodeStateInfo { flags: NodeStateFlags::OK, ..NodeStateInfo::default() })
                .unwrap();
        assert_eq!(state["flags"], 6);
        assert_eq!(state["smap"]["Primary"], json!({"pub_url": "", "control_url": "", "id": ""}));
        assert_eq!(NodeStateFlags::CLUSTER_STARTED | NodeStateFlags::NODE_STARTED, NodeStateFlags::OK);
    }
}
