//! Objects with copies on two mountpaths of their target, while targets come and go and mountpaths lose what they hold.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const MOUNTPATHS: [&str; 2] = ["mp1", "mp2"];

/// Has two copies made of every object, and waits until they are.
fn make_copies(cluster: &Cluster) {
    let order = br#"{"action":"make-n-copies","value":2}"#;
    let begun = cluster.of(0, &format!("POST /v1/buckets/{BUCKET}?provider=ais"), &[], order);
    assert_eq!(begun.status, 200, "{begun:?}");
    let asked = format!(r#"{{"ID":"{}"}}"#, begun.text());
    let status = until("the copies are made", || {
        let answer = cluster.ask(0, "GET /v1/cluster?what=status", &[], asked.as_bytes())?;
        let status: Value = serde_json::from_slice(&answer.body).ok()?;
        (status["end_time"].as_u64()? != 0).then_some(status)
    });
    assert_eq!(status["err"].as_str().unwrap_or_default(), "", "{status}");
}

fn objects_of(world: &World, node: usize, mountpath: &str) -> PathBuf {
    world.dir.path().join(format!("n{node}/{mountpath}/@ais/{BUCKET}/%ob"))
}

/// All that a mountpath has of the bucket's objects is gone, and nobody is told.
fn wipe(world: &World, node: usize, mountpath: &str) {
    fn files(dir: &Path) -> usize {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let gone = |path: PathBuf| match path.is_dir() {
            true => files(&path),
            // What goes at the same time is gone as well.
            false => usize::from(fs::remove_file(path).is_ok()),
        };
        entries.map(|entry| gone(entry.path())).sum()
    }
    let gone = files(&objects_of(world, node, mountpath));
    println!("{gone} objects of {mountpath} at n{node} are gone");
}

/// Where an object has files, with what is in them.
fn copies(world: &World, object: usize) -> Vec<(usize, &'static str, Vec<u8>)> {
    let all = (1..world.cluster.nodes.len()).flat_map(|node| MOUNTPATHS.map(|mountpath| (node, mountpath)));
    let copy = |(node, mountpath): (usize, &'static str)| {
        let bytes = fs::read(objects_of(world, node, mountpath).join(name(object))).ok()?;
        Some((node, mountpath, bytes))
    };
    all.filter_map(copy).collect()
}

#[test]
fn objects_move_with_their_copies_under_load() {
    let mut world = World::with(3, 240, &["mp2"], make_copies);
    // Of who stays.
    let ports = (0..3).map(|node| world.cluster.nodes[node].port).collect();
    let clients = Clients::start(ports, world.objects, 3);
    let added = world.add_with(&["mp2"]);
    world.target(added, 0);
    until("objects move", || (world.files(added) > 5).then_some(()));
    wipe(&world, 2, "mp1");
    world.rebalanced(1);
    let leaving = world.target(3, 0);
    let answer = world.act("decommission-node", &leaving);
    assert_eq!(answer.status, 200, "{answer:?}");
    wipe(&world, 1, "mp2");
    until("it is off the map", || {
        let map = world.json("GET /v1/cluster?what=smap", b"")?;
        (!map["tmap"].as_object()?.contains_key(&leaving)).then_some(())
    });
    until("its process ends", || world.cluster.nodes[3].child.as_mut()?.try_wait().unwrap());
    let versions = clients.end();
    all_there(&world, &versions);
    make_copies(&world.cluster);
    for (object, version) in versions.iter().enumerate() {
        let owner = world.cluster.owner(BUCKET, &name(object));
        let expected: Vec<_> = MOUNTPATHS.map(|mountpath| (owner, mountpath, body(object, *version))).into();
        // What is in a journal is in its file a moment later.
        until("an object has its copies at its owner, and nowhere else", || {
            (copies(&world, object) == expected).then_some(())
        });
    }
    all_there(&world, &versions);
}

#[test]
fn an_object_of_which_no_copy_can_be_opened_stays_and_is_not_absent() {
    let world = World::with(3, 200, &["mp2"], make_copies);
    // Of those that are written to their files at once.
    let mut large = (0..world.objects).step_by(10);
    let damaged = large.find(|o| world.cluster.owner(BUCKET, &name(*o)) == 2).unwrap();
    for mountpath in MOUNTPATHS {
        let path = objects_of(&world, 2, mountpath).join(name(damaged));
        fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
    }
    damaged::rest(&world, &[damaged]);
    for through in 0..4 {
        if let Some(answer) = world.cluster.ask(through, &format!("GET {}", path(damaged)), &[], b"") {
            assert!(answer.status >= 500, "{}", answer.head);
        }
    }
    put(world.cluster.nodes[0].port, damaged, 2);
    let (away, port) = (AtomicUsize::new(0), world.cluster.nodes[0].port);
    assert!(read(port, damaged, &away) == Some(body(damaged, 2)));
}
