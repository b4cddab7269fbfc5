use serde::{Deserialize, Serialize};

use crate::{Node, NodeId, Smap};

/// What a process is started as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Roles {
    /// Takes requests, and votes; keeps no object.
    Gateway,
    /// Keeps objects.
    Target,
    /// Both in one process, under two node IDs.
    #[default]
    Both,
}

impl Roles {
    /// Whether a gateway is among them.
    pub fn has_gateway(self) -> bool {
        self != Self::Target
    }

    /// Whether a target is among them.
    pub fn has_target(self) -> bool {
        self != Self::Gateway
    }

    /// `gateway`, `target` or `both`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Target => "target",
            Self::Both => "both",
        }
    }

    /// Reads [`Roles::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Gateway, Self::Target, Self::Both].into_iter().find(|r| r.as_str() == text)
    }
}

/// Who this process is in the cluster: a node ID for each of its roles. Empty in what nodes agree on; a published view has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Me {
    /// Its ID as a gateway, if it is one.
    pub gateway: Option<NodeId>,
    /// Its ID as a target, if it is one.
    pub target: Option<NodeId>,
}

impl Me {
    /// Whether the node is this process in one of its roles.
    pub fn is(&self, node: &Node) -> bool {
        self.has(node.id.as_str())
    }

    /// Whether the ID is one of this process's.
    pub fn has(&self, id: &str) -> bool {
        self.ids().any(|own| own.as_str() == id)
    }

    /// Its IDs, the gateway's first.
    pub fn ids(&self) -> impl Iterator<Item = &NodeId> {
        self.gateway.iter().chain(&self.target)
    }

    /// The ID that it answers under: the gateway's, if it is one.
    pub fn id(&self) -> Option<&NodeId> {
        self.ids().next()
    }

    /// Whether it leads, as the map has it.
    pub fn is_primary(&self, smap: &Smap) -> bool {
        self.gateway.as_ref() == Some(&smap.primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_as_they_are_written() {
        for roles in [Roles::Gateway, Roles::Target, Roles::Both] {
            assert_eq!(Roles::parse(roles.as_str()), Some(roles));
            assert!(roles.has_gateway() || roles.has_target());
        }
        assert_eq!(Roles::parse("proxy"), None);
    }

    #[test]
    fn a_process_has_an_id_for_each_role() {
        let id = |text| NodeId::new(text).unwrap();
        let me = Me { gateway: None, target: Some(id("t1t1t1t1")) };
        assert!(me.has("t1t1t1t1") && !me.has("p1p1p1p1"));
        assert_eq!(me.id(), Some(&id("t1t1t1t1")));
        let both = Me { gateway: Some(id("p1p1p1p1")), ..me };
        assert_eq!(both.id().unwrap().as_str(), "p1p1p1p1");
        assert_eq!(both.ids().count(), 2);
    }
}
