//! The cluster map: who is there, who leads, and who owns a name (AIS `core/meta/smap.go`).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{ClusterUuid, NodeId, hrw};

/// What a node does. A process that hosts both roles has two nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Takes client requests and names the owner (AIS: proxy).
    Gateway,
    /// Holds objects.
    Target,
}

impl Role {
    /// AIS's name: `proxy` or `target`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "proxy",
            Self::Target => "target",
        }
    }
}

/// One endpoint of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NetInfo {
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the endpoint speaks TLS.
    pub tls: bool,
}

impl NetInfo {
    /// A plain endpoint.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, tls: false }
    }
}

impl NetInfo {
    /// `host:port`, as in a URL.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// The endpoint's URL: `http://10.0.0.5:8081`.
impl fmt::Display for NetInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

/// A node's state in the map, AIS's bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeFlags(pub u64);

impl NodeFlags {
    /// Never leads.
    pub const NON_ELECTABLE: Self = Self(1);
    /// Keeps the job registry (AIS: information center).
    pub const IC: Self = Self(1 << 1);
    /// Under maintenance: owns no name.
    pub const MAINTENANCE: Self = Self(1 << 2);
    /// Leaving: owns no name.
    pub const DECOMMISSION: Self = Self(1 << 3);
    /// Under maintenance, its names already moved.
    pub const MAINTENANCE_REBALANCED: Self = Self(1 << 4);
    /// Has not been heard of: it goes on to own its names, and whoever asks for them is told to come again. Ours; AIS's
    /// clients do not see it.
    pub const AWAY: Self = Self(1 << 32);

    /// The bits that AIS's clients know.
    pub fn of_ais(self) -> u64 {
        self.0 & 0xffff_ffff
    }

    /// These bits and those.
    #[must_use]
    pub fn with(self, flags: Self) -> Self {
        Self(self.0 | flags.0)
    }

    /// These bits without those.
    #[must_use]
    pub fn without(self, flags: Self) -> Self {
        Self(self.0 & !flags.0)
    }

    /// Whether any bit of `flags` is set.
    pub fn any(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }
}

/// A member of the cluster (AIS: Snode).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Identity.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Where clients reach it.
    pub public: NetInfo,
    /// Where nodes reach it for control.
    pub intra_control: NetInfo,
    /// Where nodes reach it for data.
    pub intra_data: NetInfo,
    /// Further public endpoints.
    pub public_extra: Vec<NetInfo>,
    /// State.
    pub flags: NodeFlags,
}

impl Node {
    /// A node with one endpoint for everything.
    pub fn new(id: NodeId, role: Role, net: NetInfo) -> Self {
        let (public, intra_control, intra_data) = (net.clone(), net.clone(), net);
        Self {
            id,
            role,
            public,
            intra_control,
            intra_data,
            public_extra: Vec::new(),
            flags: NodeFlags::default(),
        }
    }

    /// Whether it was heard of lately, as far as the leader knows.
    pub fn is_here(&self) -> bool {
        !self.flags.any(NodeFlags::AWAY)
    }

    /// Whether names may be placed on it.
    pub fn is_active(&self) -> bool {
        const AWAY: NodeFlags = NodeFlags(NodeFlags::MAINTENANCE.0 | NodeFlags::DECOMMISSION.0);
        !self.flags.any(AWAY)
    }
}

/// AIS's way to name a node in messages: `t[ID]`, `p[ID]`.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.role == Role::Target { 't' } else { 'p' };
        write!(f, "{letter}[{}]", self.id)
    }
}

/// The cluster map.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Smap {
    /// Counts changes, from 1.
    pub version: u64,
    /// The cluster's identity, for life.
    pub uuid: ClusterUuid,
    /// When the cluster was made, in nanoseconds since 1970.
    pub created_ns: u64,
    /// The gateway that leads.
    pub primary: NodeId,
    /// Gateways by ID.
    pub gateways: BTreeMap<NodeId, Node>,
    /// Targets by ID.
    pub targets: BTreeMap<NodeId, Node>,
}

impl Smap {
    /// A map of version 1 with one gateway, which leads.
    pub fn new(uuid: ClusterUuid, created_ns: u64, primary: Node) -> Self {
        let id = primary.id.clone();
        let gateways = BTreeMap::from([(id.clone(), primary)]);
        Self { version: 1, uuid, created_ns, primary: id, gateways, targets: BTreeMap::new() }
    }

    /// Adds a node, or replaces the one with its ID and role; the version goes up if anything changed.
    pub fn put(&mut self, node: Node) {
        let map = if node.role == Role::Target { &mut self.targets } else { &mut self.gateways };
        if map.get(&node.id) != Some(&node) {
            map.insert(node.id.clone(), node);
            self.version += 1;
        }
    }

    /// Sets and clears bits of the nodes of this ID; the version goes up if anything changed. Whether there is one.
    pub fn set_flags(&mut self, id: &str, set: NodeFlags, clear: NodeFlags) -> bool {
        let Some(node) = self.targets.get_mut(id).or_else(|| self.gateways.get_mut(id)) else { return false };
        let flags = node.flags.without(clear).with(set);
        if flags != node.flags {
            node.flags = flags;
            self.version += 1;
        }
        true
    }

    /// Makes a gateway the leading one; the version goes up if it was not. Whether there is such a gateway.
    pub fn set_primary(&mut self, id: &str) -> bool {
        let Some(node) = self.gateways.get(id) else { return false };
        if self.primary != node.id {
            self.primary = node.id.clone();
            self.version += 1;
        }
        true
    }

    /// Takes a node off the map. Whether it was on it; the leading gateway stays.
    pub fn remove(&mut self, id: &str) -> bool {
        let is_primary = self.primary.as_str() == id;
        let removed =
            !is_primary && (self.targets.remove(id).is_some() || self.gateways.remove(id).is_some());
        self.version += u64::from(removed);
        removed
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.gateways.len() + self.targets.len()
    }

    /// Whether there are none, which no published map is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Any node by ID.
    pub fn node(&self, id: &str) -> Option<&Node> {
        self.targets.get(id).or_else(|| self.gateways.get(id))
    }

    /// The gateway that leads.
    pub fn primary_node(&self) -> Option<&Node> {
        self.gateways.get(&self.primary)
    }

    /// Targets that may own names.
    pub fn active_targets(&self) -> impl Iterator<Item = &Node> {
        self.targets.values().filter(|t| t.is_active())
    }

    fn claims(&self) -> impl Iterator<Item = (u64, &Node)> {
        self.active_targets().map(|t| (t.id.digest(), t))
    }

    /// The target that owns the name with `object_digest`; none when no target is active.
    pub fn owner(&self, object_digest: u64) -> Option<&Node> {
        hrw::pick(self.claims(), object_digest)
    }

    /// The first `count` targets in the order of their claim to the name.
    pub fn owners(&self, object_digest: u64, count: usize) -> Vec<&Node> {
        hrw::pick_many(self.claims(), object_digest, count)
    }

    /// The target that a task by UUID runs on.
    pub fn task_target(&self, uuid: &str) -> Option<&Node> {
        hrw::pick(self.claims(), hrw::digest(uuid.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str) -> Node {
        Node::new(NodeId::new(id).unwrap(), Role::Target, NetInfo::new("h", 1))
    }

    fn smap(targets: &[&str]) -> Smap {
        let gateway = Node::new(NodeId::new("p1p1p1p1").unwrap(), Role::Gateway, NetInfo::new("h", 1));
        let mut map = Smap::new(ClusterUuid::new("Yx3l2Jk9p").unwrap(), 0, gateway);
        targets.iter().for_each(|id| map.put(target(id)));
        map
    }

    #[test]
    fn owners_are_active() {
        let mut map = smap(&["t1t1t1t1", "t2t2t2t2", "t3t3t3t3"]);
        assert_eq!(map.version, 4);
        let digest = hrw::digest(b"ais/@#/mybucket/dir/obj1");
        assert_eq!(map.owner(digest).unwrap().to_string(), "t[t3t3t3t3]");
        let mut away = target("t3t3t3t3");
        away.flags = NodeFlags::MAINTENANCE;
        map.put(away.clone());
        map.put(away);
        assert_eq!(map.version, 5);
        assert_eq!(map.owner(digest).unwrap().id.as_str(), "t2t2t2t2");
        assert_eq!(map.owners(digest, 9).len(), 2);
        assert!(smap(&[]).owner(digest).is_none());
        assert_eq!(map.primary_node().unwrap().to_string(), "p[p1p1p1p1]");
    }

    #[test]
    fn states_leaders_and_removals_count_as_changes() {
        let mut map = smap(&["t1t1t1t1", "t2t2t2t2"]);
        let none = NodeFlags::default();
        assert!(
            map.set_flags("t1t1t1t1", NodeFlags::AWAY, none)
                && map.set_flags("t1t1t1t1", NodeFlags::AWAY, none)
        );
        assert_eq!((map.version, map.active_targets().count()), (4, 2));
        assert!(!map.targets["t1t1t1t1"].is_here() && map.targets["t1t1t1t1"].flags.of_ais() == 0);
        map.set_flags("t1t1t1t1", NodeFlags::MAINTENANCE, NodeFlags::AWAY);
        assert_eq!((map.version, map.active_targets().count()), (5, 1));
        assert!(!map.set_flags("t9t9t9t9", NodeFlags::AWAY, none) && !map.set_primary("t1t1t1t1"));
        map.put(Node::new(NodeId::new("p2p2p2p2").unwrap(), Role::Gateway, NetInfo::new("h", 2)));
        assert!(map.set_primary("p2p2p2p2") && !map.remove("p2p2p2p2") && map.remove("p1p1p1p1"));
        assert!(map.remove("t1t1t1t1") && !map.remove("t1t1t1t1"));
        assert_eq!((map.version, map.len(), map.is_empty()), (9, 2, false));
    }

    #[test]
    fn urls() {
        for (host, tls, url) in [
            ("10.0.0.5", false, "http://10.0.0.5:8"),
            ("::1", false, "http://[::1]:8"),
            ("h", true, "https://h:8"),
        ] {
            assert_eq!(NetInfo { host: host.into(), port: 8, tls }.to_string(), url);
        }
    }

    #[test]
    fn survives_postcard() {
        let map = smap(&["t1t1t1t1"]);
        let bytes = postcard::to_stdvec(&map).unwrap();
        assert_eq!(postcard::from_bytes::<Smap>(&bytes).unwrap(), map);
    }
}
