use std::collections::{BTreeMap, BTreeSet};

use weir_cluster::{Node, NodeFlags, NodeId, Role, Smap};
use weir_types::limits::VOTERS_MAX;

use crate::raft::types::RaftId;

/// A process of the cluster: the nodes that share a control listener. It is one member of Raft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Process {
    /// The ID that it answers under: its gateway's, if it is one.
    pub(crate) id: NodeId,
    /// `host:port` of its control listener.
    pub(crate) endpoint: String,
    /// Its nodes.
    pub(crate) nodes: Vec<NodeId>,
    /// Whether the map says that it has not been heard of.
    pub(crate) away: bool,
}

impl Process {
    /// Its number in Raft.
    pub(crate) fn raft_id(&self) -> RaftId {
        self.id.digest()
    }
}

/// All processes of the map, gateways before targets. A gateway and a target of one listener are one; two of one role are not:
/// one of them is dead, and what it has not said must not count for the other.
pub(crate) fn processes(smap: &Smap) -> Vec<Process> {
    let mut at: BTreeMap<String, usize> = BTreeMap::new();
    let mut has = BTreeSet::new();
    let mut found: Vec<Process> = Vec::new();
    for node in smap.gateways.values().chain(smap.targets.values()) {
        let endpoint = node.intra_control.authority();
        let is_first = has.insert((endpoint.clone(), node.role == Role::Target));
        match at.get(&endpoint).filter(|_| is_first).and_then(|i| found.get_mut(*i)) {
            Some(process) => {
                process.nodes.push(node.id.clone());
                process.away |= !node.is_here();
            }
            None => {
                at.entry(endpoint.clone()).or_insert(found.len());
                found.push(Process {
                    id: node.id.clone(),
                    endpoint,
                    nodes: vec![node.id.clone()],
                    away: !node.is_here(),
                });
            }
        }
    }
    found
}

/// Who is to vote: an odd number of gateways, at most [`VOTERS_MAX`], the leader always; those that are here before those
/// that are away, those that vote before those that do not.
pub(crate) fn voters(smap: &Smap, now: &BTreeSet<RaftId>, leader: RaftId) -> BTreeSet<RaftId> {
    let votes = |n: &Node| n.is_active() && !n.flags.any(NodeFlags::NON_ELECTABLE);
    let digest = |n: &Node| n.id.digest();
    let mut able: Vec<&Node> = smap
        .gateways
        .values()
        .filter(|n| digest(n) == leader || votes(n) && (n.is_here() || now.contains(&digest(n))))
        .collect();
    able.sort_by_key(|n| (digest(n) != leader, !n.is_here(), !now.contains(&digest(n)), n.id.clone()));
    let count = able.len().min(VOTERS_MAX);
    // The leader is among them, so that there is one at least.
    let odd = count - usize::from(count > 0 && count.is_multiple_of(2));
    able.into_iter().take(odd).map(digest).collect()
}

#[cfg(test)]
mod tests {
    use weir_cluster::{ClusterUuid, NetInfo};

    use super::*;

    fn node(id: &str, role: Role, port: u16) -> Node {
        Node::new(NodeId::new(id).unwrap(), role, NetInfo::new("h", port))
    }

    fn map(gateways: usize) -> Smap {
        let uuid = ClusterUuid::new("Yx3l2Jk9p").unwrap();
        let mut smap = Smap::new(uuid, 0, node("gateway0", Role::Gateway, 0));
        for i in 1..gateways {
            smap.put(node(&format!("gateway{i}"), Role::Gateway, i as u16));
        }
        smap
    }

    #[test]
    fn two_targets_of_one_listener_are_two_processes() {
        let mut smap = map(1);
        smap.put(node("target01", Role::Target, 9));
        smap.put(node("target02", Role::Target, 9));
        let found: Vec<_> = processes(&smap).into_iter().map(|p| p.id.to_string()).collect();
        assert_eq!(found, ["gateway0", "target01", "target02"]);
    }

    #[test]
    fn nodes_of_one_listener_are_one_process() {
        let mut smap = map(2);
        smap.put(node("target00", Role::Target, 0));
        smap.put(node("target09", Role::Target, 9));
        smap.set_flags("target09", NodeFlags::AWAY, NodeFlags::default());
        let found: Vec<_> = processes(&smap)
            .into_iter()
            .map(|p| (p.id.to_string(), p.endpoint, p.nodes.len(), p.away))
            .collect();
        let want =
            [("gateway0", "h:0", 2, false), ("gateway1", "h:1", 1, false), ("target09", "h:9", 1, true)];
        assert_eq!(found, want.map(|(id, at, n, away)| (id.to_owned(), at.to_owned(), n, away)));
    }

    #[test]
    fn an_odd_number_of_gateways_votes() {
        let id = |i: usize| NodeId::new(format!("gateway{i}")).unwrap().digest();
        let ids = |all: &[usize]| all.iter().map(|i| id(*i)).collect::<BTreeSet<_>>();
        let check = |smap: &Smap, now: &[usize], leader: usize, want: &[usize]| {
            assert_eq!(voters(smap, &ids(now), id(leader)), ids(want), "{now:?} {leader}");
        };
        check(&map(1), &[0], 0, &[0]);
        check(&map(2), &[0], 0, &[0]);
        check(&map(3), &[0], 0, &[0, 1, 2]);
        check(&map(4), &[0, 1, 3], 3, &[0, 1, 3]);
        check(&map(7), &[0, 1, 2, 3, 4], 6, &[6, 0, 1, 2, 3]);
        let mut away = map(3);
        away.set_flags("gateway1", NodeFlags::AWAY, NodeFlags::default());
        check(&away, &[0, 1, 2], 0, &[0, 1, 2]);
        // Who is away gets no vote; one who votes loses it only to one who is here.
        check(&away, &[0], 0, &[0]);
        let mut four = map(4);
        four.set_flags("gateway1", NodeFlags::AWAY, NodeFlags::default());
        check(&four, &[0, 1, 2], 0, &[0, 2, 3]);
        let mut resting = map(3);
        resting.set_flags("gateway1", NodeFlags::MAINTENANCE, NodeFlags::default());
        check(&resting, &[0, 1, 2], 2, &[2]);
        let mut never = map(3);
        never.set_flags("gateway1", NodeFlags::NON_ELECTABLE, NodeFlags::default());
        check(&never, &[0], 0, &[0]);
    }
}
