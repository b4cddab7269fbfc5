//! Owners of names as AIS itself computes them (its `Smap.HrwName2T` and `fs.Hrw`, run on random nodes, disks and names):
//! `owners.txt` has one set of candidates after the other, each with names and the candidate that owns them.

use weir_cluster::{ClusterUuid, NetInfo, Node, NodeFlags, NodeId, Role, Smap, hrw};
use weir_types::{Bucket, BucketName, Namespace, Provider};

/// Candidates of one kind, in the order of the file; `None` stands for one that is being detached.
enum Candidates {
    Targets(Smap, Vec<String>),
    Mountpaths(Vec<Option<u64>>),
}

#[test]
fn owners_are_those_of_ais() {
    let mut candidates = None;
    let (mut of_targets, mut of_mountpaths, mut most) = (0, 0, (0, 0));
    for line in include_str!("owners.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(ids) = line.strip_prefix("t: ") {
            candidates = Some(targets(ids));
        } else if let Some(paths) = line.strip_prefix("m: ") {
            candidates = Some(mountpaths(paths));
        } else {
            let [provider, namespace, bucket, object, owner] =
                line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            let digest = hrw::object_digest(&bucket_of(provider, namespace, bucket), object);
            let owner: usize = owner.parse().unwrap();
            match candidates.as_ref().unwrap() {
                Candidates::Targets(map, ids) => {
                    assert_eq!(map.owner(digest).unwrap().id.as_str(), ids[owner], "{line}");
                    (of_targets, most.0) = (of_targets + 1, most.0.max(ids.len()));
                }
                Candidates::Mountpaths(all) => {
                    let in_service = all.iter().enumerate().filter_map(|(i, digest)| Some(((*digest)?, i)));
                    assert_eq!(hrw::pick(in_service, digest), Some(owner), "{line}");
                    (of_mountpaths, most.1) = (of_mountpaths + 1, most.1.max(all.len()));
                }
            }
        }
    }
    assert_eq!((of_targets, of_mountpaths, most), (832, 520, (16, 10)));
}

fn targets(text: &str) -> Candidates {
    let gateway = Node::new(NodeId::new("p1p1p1p1").unwrap(), Role::Gateway, NetInfo::new("h", 1));
    let mut map = Smap::new(ClusterUuid::new("Yx3l2Jk9p").unwrap(), 0, gateway);
    let mut ids = Vec::new();
    for text in text.split(' ') {
        let (id, mark) = text.split_once('!').unwrap_or((text, ""));
        let mut node = Node::new(NodeId::new(id).unwrap(), Role::Target, NetInfo::new("h", 1));
        node.flags = match mark {
            "" => NodeFlags::default(),
            "M" => NodeFlags::MAINTENANCE,
            "D" => NodeFlags::DECOMMISSION,
            other => panic!("mark {other:?}"),
        };
        map.put(node);
        ids.push(id.to_owned());
    }
    Candidates::Targets(map, ids)
}

fn mountpaths(text: &str) -> Candidates {
    let digest = |path: &str| (!path.ends_with("!W")).then(|| hrw::digest(path.as_bytes()));
    Candidates::Mountpaths(text.split(' ').map(digest).collect())
}

fn bucket_of(provider: &str, namespace: &str, name: &str) -> Bucket {
    let namespace = if namespace == "-" { "" } else { namespace };
    Bucket {
        provider: Provider::parse(provider).unwrap(),
        namespace: Namespace::parse(namespace).unwrap(),
        name: BucketName::new(name).unwrap(),
    }
}
