//! Targets come and go while clients read and write: real processes on loopback.
#![allow(clippy::print_stdout, reason = "figures of a run")]

mod appends;
mod copies;
mod damaged;
#[path = "../nodes/mod.rs"]
mod nodes;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use nodes::{Answer, Cluster, Node, ask, content, free_ports, until};
use serde_json::Value;

const BUCKET: &str = "b";

/// Objects whose name and version say their content; each has a size of its own, some larger than what a journal takes.
fn body(object: usize, version: u64) -> Vec<u8> {
    let len = match object % 10 {
        0 => 300_000 + object * 13,
        1 => 70_000 + object,
        _ => 1 + (object * 37) % 9000,
    };
    content((object as u64) << 20 | version, len)
}

fn name(object: usize) -> String {
    format!("d{}/o{object}", object % 7)
}

fn path(object: usize) -> String {
    format!("/s3/{BUCKET}/{}", name(object))
}

/// A cluster with objects of version 1 in it, and how to make more nodes of it.
struct World {
    cluster: Cluster,
    dir: tempfile::TempDir,
    seeds: Vec<u16>,
    objects: usize,
}

impl World {
    fn new(targets: usize, objects: usize) -> Self {
        Self::with(targets, objects, &[], |_| {})
    }

    /// The same with targets that have these mountpaths, too, and a bucket that was seen to.
    fn with(targets: usize, objects: usize, mountpaths: &[&str], see_to: impl FnOnce(&Cluster)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start_with(dir.path(), 1, targets, false, mountpaths);
        let seeds = vec![cluster.nodes[0].port + cluster.nodes.len() as u16];
        cluster.create(0, BUCKET);
        see_to(&cluster);
        for object in 0..objects {
            put(cluster.nodes[1 + object % targets].port, object, 1);
        }
        Self { cluster, dir, seeds, objects }
    }

    /// A new target, started.
    fn add(&mut self) -> usize {
        self.add_with(&[])
    }

    /// The same with these mountpaths, too.
    fn add_with(&mut self, mountpaths: &[&str]) -> usize {
        let i = self.cluster.nodes.len();
        let port = free_ports(3);
        let secret = self.dir.path().join("secret");
        let ports = [port, port + 1, port + 2];
        let mut node = Node::new(self.dir.path(), &format!("n{i}"), "target", ports, &self.seeds, &secret);
        mountpaths.iter().for_each(|mountpath| node.also(mountpath));
        node.start();
        self.cluster.nodes.push(node);
        i
    }

    fn json(&self, line: &str, body: &[u8]) -> Option<Value> {
        let answer = self.cluster.ask(0, line, &[], body).filter(|a| a.status == 200)?;
        serde_json::from_slice(&answer.body).ok()
    }

    /// Waits until a target of the node is on the map with these flags: its ID.
    fn target(&self, node: usize, flags: u64) -> String {
        let port = self.cluster.nodes[node].port.to_string();
        until("the target is on the map", || {
            let map = self.json("GET /v1/cluster?what=smap", b"")?;
            let is =
                |t: &&Value| t["public_net"]["daemon_port"].as_str() == Some(&port) && t["flags"] == flags;
            map["tmap"].as_object()?.values().find(is)?["daemon_id"].as_str().map(str::to_owned)
        })
    }

    /// Waits until no rebalance runs and as many as these have ended whole, if it is said how many: their IDs.
    fn rebalanced(&self, at_least: usize) -> Vec<String> {
        until("every object is at its owner", || {
            let all = self.json("GET /v1/cluster?what=status_all", br#"{"kind":"rebalance"}"#)?;
            let all = all.as_array()?.clone();
            let runs = |job: &Value| job["end_time"] == 0;
            let whole: Vec<String> = all
                .iter()
                .filter(|job| job["aborted"] == false && job["err"] == "")
                .filter_map(|job| job["uuid"].as_str().map(str::to_owned))
                .collect();
            (!all.iter().any(runs) && whole.len() >= at_least).then_some(whole)
        })
    }

    /// Objects and bytes that the targets sent in a rebalance.
    fn moved(&self, id: &str) -> (u64, u64) {
        self.counted(id, "out", |_| true)
    }

    /// Objects and bytes that one target received in it.
    fn received(&self, id: &str, target: &str) -> (u64, u64) {
        self.counted(id, "in", |of| of == target)
    }

    fn counted(&self, id: &str, way: &str, counts: impl Fn(&str) -> bool) -> (u64, u64) {
        let body = format!(r#"{{"id":"{id}","kind":"rebalance"}}"#);
        let snaps = self.json("GET /v1/cluster?what=qryxstats", body.as_bytes()).unwrap();
        let snaps = snaps.as_object().unwrap().iter().filter(|(target, _)| counts(target));
        let snaps = snaps.flat_map(|(_, snaps)| snaps.as_array().unwrap().clone());
        let number = |snap: &Value, what: &str| {
            snap["stats"][format!("{way}-{what}")].as_str().unwrap().parse::<u64>().unwrap()
        };
        snaps.fold((0, 0), |(objects, bytes), snap| {
            (objects + number(&snap, "objs"), bytes + number(&snap, "bytes"))
        })
    }

    /// The files of objects that a node has.
    fn files(&self, node: usize) -> usize {
        fn count(dir: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|e| if e.path().is_dir() { count(&e.path()) } else { 1 }).sum()
        }
        count(&self.dir.path().join(format!("n{node}/mp1/@ais/{BUCKET}/%ob")))
    }

    fn listed(&self, through: usize) -> BTreeMap<String, usize> {
        let mut names = BTreeMap::new();
        let mut after = String::new();
        loop {
            let line = format!("GET /s3/{BUCKET}?list-type=2&max-keys=70&start-after={after}");
            let page = self.cluster.of(through, &line, &[], b"");
            assert_eq!(page.status, 200, "{page:?}");
            let text = page.text();
            for key in text.split("<Key>").skip(1).filter_map(|t| t.split("</Key>").next()) {
                *names.entry(key.to_owned()).or_default() += 1;
                after = key.replace('/', "%2F");
            }
            if !text.contains("<IsTruncated>true") {
                return names;
            }
        }
    }

    fn act(&self, action: &str, node: &str) -> Answer {
        let body = format!(r#"{{"action":"{action}","value":{{"sid":"{node}"}}}}"#);
        self.cluster.of(0, "PUT /v1/cluster", &[], body.as_bytes())
    }
}

fn put(port: u16, object: usize, version: u64) {
    until("an object is written", || {
        let answer = ask(port, &format!("PUT {}", path(object)), &[], &body(object, version))?;
        assert!([200, 503].contains(&answer.status), "{object}: {answer:?}");
        (answer.status == 200).then_some(())
    });
}

/// Clients that read and write all the time, each its own objects: what they read must be what they wrote last.
struct Clients {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<u64>>>,
    reads: Arc<AtomicUsize>,
    /// Reads that were answered 503.
    away: Arc<AtomicUsize>,
}

impl Clients {
    /// `objects` exist in version 1. `ports` are asked in turn.
    fn start(ports: Vec<u16>, objects: usize, threads: usize) -> Self {
        let (stop, reads, away) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..threads).map(|thread| {
            let (stop, reads, away, ports) = (stop.clone(), reads.clone(), away.clone(), ports.clone());
            std::thread::spawn(move || {
                // By object; 0: removed.
                let mut versions = vec![1u64; objects];
                let mut turn = thread as u64;
                while !stop.load(Ordering::Relaxed) {
                    turn =
                        turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let at = (turn >> 33) as usize;
                    let object = at % (objects / threads) * threads + thread;
                    let port = ports[at / 7 % ports.len()];
                    let version = versions[object];
                    match at % 10 {
                        0 => {
                            put(port, object, version + 1);
                            versions[object] = version + 1;
                        }
                        1 if at.is_multiple_of(3) => {
                            until("an object is removed", || {
                                let gone = ask(port, &format!("DELETE {}", path(object)), &[], b"")?;
                                assert!([204, 503].contains(&gone.status), "{object}: {gone:?}");
                                (gone.status == 204).then_some(())
                            });
                            assert!(read(port, object, &away).is_none(), "removed {object} is back");
                            put(port, object, version + 1);
                            versions[object] = version + 1;
                        }
                        _ => {
                            let got = read(port, object, &away);
                            let got = got.unwrap_or_else(|| panic!("{object} is lost"));
                            assert!(got == body(object, version), "{object} is not of version {version}");
                            reads.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                versions
            })
        });
        Self { threads: threads.collect(), stop, reads, away }
    }

    /// Ends them: the version of each object.
    fn end(self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let count = self.threads.len();
        let all: Vec<Vec<u64>> = self.threads.into_iter().map(|t| t.join().unwrap()).collect();
        let objects = all[0].len();
        (0..objects).map(|object| all[object % count][object]).collect()
    }
}

/// An object's content; `None`: there is none. While it cannot be had it is asked for again.
fn read(port: u16, object: usize, away: &AtomicUsize) -> Option<Vec<u8>> {
    until("an object is read", || {
        let answer = ask(port, &format!("GET {}", path(object)), &[], b"").filter(Answer::is_whole)?;
        match answer.status {
            200 => Some(Some(answer.body)),
            404 => Some(None),
            503 => {
                away.fetch_add(1, Ordering::Relaxed);
                None
            }
            other => panic!("{object}: {other} {}", answer.text()),
        }
    })
}

fn all_there(world: &World, versions: &[u64]) {
    let away = AtomicUsize::new(0);
    for (object, version) in versions.iter().enumerate() {
        let got = read(world.cluster.nodes[0].port, object, &away);
        assert!(got.is_some_and(|got| got == body(object, *version)), "{object} is not as it was written");
    }
    let names = world.listed(0);
    assert_eq!(names.len(), versions.len());
    assert!(names.values().all(|n| *n == 1));
}

#[test]
fn a_target_joins_under_load() {
    let mut world = World::new(3, 400);
    let before: usize = (1..=3).map(|n| world.files(n)).sum();
    let ports = world.cluster.nodes.iter().map(|n| n.port).collect();
    let clients = Clients::start(ports, world.objects, 4);
    let added = world.add();
    world.target(added, 0);
    for through in [0, 1, 2, 3, 0, 1] {
        let names = world.listed(through);
        assert!(names.values().all(|n| *n == 1), "a name is listed twice");
        // Clients remove and write again a few of them meanwhile.
        assert!(names.len() + 8 >= world.objects, "{} of {} are listed", names.len(), world.objects);
    }
    let ids = world.rebalanced(1);
    let (reads, later) = (clients.reads.load(Ordering::Relaxed), clients.away.load(Ordering::Relaxed));
    println!("{reads} reads while it moved, {later} answers 503");
    until("clients go on", || (clients.reads.load(Ordering::Relaxed) > reads + 50).then_some(()));
    let versions = clients.end();
    all_there(&world, &versions);
    let (objects, bytes) = world.moved(ids.last().unwrap());
    let ideal = (0..world.objects).filter(|o| world.cluster.owner(BUCKET, &name(*o)) == added).count();
    println!("moved {objects} objects of {bytes} bytes, {ideal} of {} are the new target's", world.objects);
    assert!(before > 0 && objects as usize <= ideal + ideal / 10);
}

/// The bytes of version 1 of what a node owns.
fn owned_bytes(world: &World, node: usize) -> u64 {
    let own = (0..world.objects).filter(|o| world.cluster.owner(BUCKET, &name(*o)) == node);
    own.map(|o| body(o, 1).len() as u64).sum()
}

#[test]
fn what_moves_is_what_must() {
    let mut world = World::new(3, 500);
    let before: Vec<usize> = (0..world.objects).map(|o| world.cluster.owner(BUCKET, &name(o))).collect();
    let added = world.add();
    let target = world.target(added, 0);
    let ids = world.rebalanced(1);
    assert_eq!(ids.len(), 1);
    let (objects, bytes) = world.moved(&ids[0]);
    let (ideal, ideal_bytes) = (
        before.iter().enumerate().filter(|(o, was)| world.cluster.owner(BUCKET, &name(*o)) != **was).count(),
        owned_bytes(&world, added),
    );
    println!("moved {objects} objects of {bytes} bytes; the new target owns {ideal} of {ideal_bytes} bytes");
    assert_eq!((objects, bytes), (ideal as u64, ideal_bytes));
    assert_eq!(world.received(&ids[0], &target), (objects, bytes), "all that was sent has come");
    assert_eq!(world.counted(&ids[0], "in", |_| true), (objects, bytes), "and to nobody else");
    all_there(&world, &vec![1; world.objects]);
}

#[test]
fn a_target_leaves_under_load_and_rests() {
    let mut world = World::new(4, 300);
    let ports: Vec<u16> = world.cluster.nodes.iter().take(4).map(|n| n.port).collect();
    let clients = Clients::start(ports, world.objects, 3);
    let resting = world.target(2, 0);
    let leaving = world.target(4, 0);
    // One rests: its names are others' at once, its objects follow.
    let answer = world.act("start-maintenance", &resting);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().starts_with('g'), "{answer:?}");
    world.rebalanced(1);
    // Its part is over, and says so (maintenance, 4; rebalanced, 16).
    world.target(2, 4 + 16);
    until("it holds nothing", || (world.files(2) == 0).then_some(()));
    // One leaves while it rests.
    let answer = world.act("decommission-node", &leaving);
    assert_eq!(answer.status, 200, "{answer:?}");
    until("it is off the map", || {
        let map = world.json("GET /v1/cluster?what=smap", b"")?;
        (!map["tmap"].as_object()?.contains_key(&leaving)).then_some(())
    });
    until("its process ends", || world.cluster.nodes[4].child.as_mut()?.try_wait().unwrap());
    assert_eq!(world.files(4), 0, "it left with objects");
    let answer = world.act("stop-maintenance", &resting);
    assert_eq!(answer.status, 200, "{answer:?}");
    world.rebalanced(3);
    assert!(world.files(2) > 0, "it has objects again");
    let versions = clients.end();
    all_there(&world, &versions);
    // Nobody is left who could take the objects of the last two.
    world.cluster.nodes[4].kill();
}

#[test]
fn targets_die_and_join_in_the_middle() {
    let mut world = World::new(3, 600);
    // Of who is not killed.
    let ports = vec![world.cluster.nodes[0].port, world.cluster.nodes[3].port];
    let clients = Clients::start(ports, world.objects, 3);
    let added = world.add();
    world.target(added, 0);
    until("objects move", || (world.files(added) > 5).then_some(()));
    world.cluster.nodes[1].kill();
    let another = world.add();
    world.target(another, 0);
    world.cluster.nodes[1].start();
    until("objects move again", || (world.files(another) > 5).then_some(()));
    world.cluster.nodes[added].kill();
    world.cluster.nodes[added].start();
    world.rebalanced(1);
    let versions = clients.end();
    all_there(&world, &versions);
    let total: usize = (1..=5).map(|n| world.files(n)).sum();
    assert_eq!(total, world.objects, "every object is at one target");
}

/// A cluster one of whose targets, the last, rests with its objects on it: what it held of the small ones.
fn resting() -> (World, Vec<usize>) {
    let mut world = World::new(3, 0);
    // They move before the small ones, whose names come after theirs: those are there still when it is stopped.
    for i in 0..24 {
        let big = content(i, 6 << 20);
        let line = format!("PUT /s3/{BUCKET}/big{i}");
        assert_eq!(world.cluster.of(1 + i as usize % 3, &line, &[], &big).status, 200);
    }
    world.objects = 60;
    (0..world.objects).for_each(|object| put(world.cluster.nodes[0].port, object, 1));
    let held: Vec<usize> =
        (0..world.objects).filter(|o| world.cluster.owner(BUCKET, &name(*o)) == 3).collect();
    let id = world.target(3, 0);
    let rest = format!(r#"{{"action":"start-maintenance","value":{{"sid":"{id}","skip_rebalance":true}}}}"#);
    let answer = world.cluster.of(0, "PUT /v1/cluster", &[], rest.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    until("the rebalance is stopped", || {
        let all = world.json("GET /v1/cluster?what=status_all", br#"{"kind":"rebalance"}"#)?;
        let all = all.as_array()?.clone();
        (!all.is_empty() && all.iter().all(|job| job["end_time"] != 0)).then_some(())
    });
    // Small changes are filed within a second or so.
    until("every object is at one target", || {
        ((1..=3).map(|n| world.files(n)).sum::<usize>() == 24 + world.objects).then_some(())
    });
    let is_there =
        |o: &usize| world.dir.path().join(format!("n3/mp1/@ais/{BUCKET}/%ob/{}", name(*o))).exists();
    let held: Vec<usize> = held.into_iter().filter(is_there).collect();
    assert!(held.len() > 4, "{held:?}");
    (world, held)
}

fn go_on(world: &World) {
    let start =
        world.cluster.of(0, "PUT /v1/cluster", &[], br#"{"action":"start","value":{"Kind":"rebalance"}}"#);
    assert!(start.status == 200 && start.text().starts_with('g'), "{start:?}");
    world.rebalanced(1);
}

/// Removes or replaces objects that other targets hold still, has everything moved, and looks.
#[test]
fn what_changes_at_its_owner_stays_changed() {
    let (world, own) = resting();
    let port = world.cluster.nodes[0].port;
    let away = AtomicUsize::new(0);
    for (i, object) in own.iter().enumerate() {
        assert_eq!(read(port, *object, &away), Some(body(*object, 1)), "it is read where it is");
        match i % 2 {
            0 => put(port, *object, 2),
            _ => {
                let gone = world.cluster.of(0, &format!("DELETE {}", path(*object)), &[], b"");
                assert_eq!(gone.status, 204, "{gone:?}");
            }
        }
    }
    go_on(&world);
    for (i, object) in own.iter().enumerate() {
        let want = (i % 2 == 0).then(|| body(*object, 2));
        assert!(read(port, *object, &away) == want, "{object} is as it was before it was changed");
    }
}

/// The same with a holder that is away meanwhile: it answers 503, or does not bring anything back.
#[test]
fn who_returns_brings_nothing_back() {
    let (mut world, own) = resting();
    world.cluster.nodes[3].kill();
    until("it is away", || {
        let read = world.cluster.ask(0, &format!("GET {}", path(own[0])), &[], b"")?;
        (read.status != 200).then_some(())
    });
    let mut removed = Vec::new();
    for object in &own {
        let path = path(*object);
        let read = world.cluster.of(0, &format!("GET {path}"), &[], b"");
        assert_ne!(read.status, 404, "{object} is not known to be gone");
        let written = world.cluster.of(0, &format!("PUT {path}"), &[], &body(*object, 2));
        let gone = world.cluster.of(0, &format!("DELETE {path}"), &[], b"");
        assert!(
            [200, 503].contains(&written.status) && [204, 503].contains(&gone.status),
            "{written:?} {gone:?}"
        );
        removed.extend((gone.status == 204).then_some(*object));
    }
    world.cluster.nodes[3].start();
    go_on(&world);
    let away = AtomicUsize::new(0);
    for object in &own {
        let want = (!removed.contains(object)).then(|| body(*object, 1));
        assert!(read(world.cluster.nodes[0].port, *object, &away) == want, "{object} is back");
    }
}

/// Each bug is found by the test that is there for it: run with it, the test fails.
#[test]
fn planted_bugs_are_found() {
    for (bug, test) in [
        ("change-unasked", "what_changes_at_its_owner_stays_changed"),
        ("move-anything", "what_changes_at_its_owner_stays_changed"),
        ("away-is-empty", "who_returns_brings_nothing_back"),
    ] {
        let mut run = std::process::Command::new(std::env::current_exe().unwrap());
        let output = run.args(["--exact", test]).env("WEIR_PLANTED", bug).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            !output.status.success() && text.contains("panicked"),
            "{bug} is not found by {test}: {text}"
        );
        let telling = text.lines().find(|line| {
            line.contains("is back") || line.contains("as it was") || line.contains("known to be gone")
        });
        assert!(telling.is_some(), "{bug}: {text}");
        println!("{bug}: {}", telling.unwrap_or_default());
    }
}
