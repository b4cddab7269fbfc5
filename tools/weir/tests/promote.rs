//! Files of targets become objects: real processes on loopback.

mod nodes;

use std::fs;
use std::path::{Path, PathBuf};

use nodes::{Cluster, until};
use serde_json::{Value, json};

const BUCKET: &str = "b";

/// Two targets that may promote from one directory of this host.
struct World {
    cluster: Cluster,
    dir: tempfile::TempDir,
}

impl World {
    fn new(allowed: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::start(dir.path(), 1, 2, false);
        let allowed: Vec<PathBuf> = allowed.iter().map(|name| dir.path().join(name)).collect();
        allowed.iter().for_each(|allowed| fs::create_dir_all(allowed).unwrap());
        for target in 1..=2 {
            cluster.nodes[target].kill();
            allowed.iter().for_each(|dir| cluster.nodes[target].promotes(dir));
            cluster.nodes[target].start();
        }
        cluster.agreed(None);
        cluster.create(0, BUCKET);
        Self { cluster, dir }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Status and text of the answer to a promotion, as the SDK asks for it.
    fn ask(&self, source: &str, value: &Value) -> (u16, String) {
        let body = json!({ "action": "promote", "name": source, "value": value }).to_string();
        let line = format!("POST /v1/objects/{BUCKET}?provider=ais");
        let fields = ["Content-Type: application/json"];
        let answer = until("an answer that is final", || {
            self.cluster.ask(0, &line, &fields, body.as_bytes()).filter(|answer| answer.status != 503)
        });
        (answer.status, answer.text())
    }

    /// Promotes, and waits for the job's end: how many objects were made by both targets, and its error.
    fn promoted(&self, source: &str, value: &Value) -> (u64, String) {
        let (status, id) = self.ask(source, value);
        assert_eq!(status, 200, "{id}");
        let json = |what: &str| {
            let body = json!({ "ID": id }).to_string();
            let answer =
                self.cluster.ask(0, &format!("GET /v1/cluster?what={what}"), &[], body.as_bytes())?;
            serde_json::from_slice::<Value>(&answer.body).ok()
        };
        let status = until("the job ends", || json("status").filter(|status| status["end_time"] != 0));
        assert_eq!(status["kind"], "promote");
        let snaps = json("qryxstats").unwrap();
        let snaps = snaps.as_object().unwrap().values().flat_map(|snaps| snaps.as_array().unwrap().clone());
        let made =
            snaps.map(|snap| snap["stats"]["loc-objs"].as_str().unwrap().parse::<u64>().unwrap()).sum();
        (made, status["err"].as_str().unwrap().to_owned())
    }

    /// The ID of a node that is a target.
    fn id(&self, node: usize) -> String {
        let map = self.cluster.of(0, "GET /v1/cluster?what=smap", &[], b"");
        let map: Value = serde_json::from_slice(&map.body).unwrap();
        let port = self.cluster.nodes[node].port.to_string();
        let mut targets = map["tmap"].as_object().unwrap().values();
        let is = |t: &&Value| t["public_net"]["daemon_port"].as_str() == Some(&port);
        targets.find(is).unwrap()["daemon_id"].as_str().unwrap().to_owned()
    }

    fn object(&self, name: &str) -> Option<Vec<u8>> {
        let answer = self.cluster.of(0, &format!("GET /s3/{BUCKET}/{name}"), &[], b"");
        assert!([200, 404].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then_some(answer.body)
    }
}

#[test]
fn files_of_a_directory_become_objects_of_their_owners() {
    let world = World::new(&["in"]);
    let content = |n: usize| nodes::content(n as u64, 100_000 * n);
    (0..12).for_each(|n| world.write(&format!("in/set/f{n}"), &content(n)));
    world.write("in/set/deep/er/g", b"deep");
    std::os::unix::fs::symlink(world.path("outside"), world.path("in/set/link")).unwrap();
    world.write("outside", b"not to be read");
    let source = world.path("in/set");
    let here = |n: usize| world.object(&format!("up/f{n}"));
    // Both targets have the directory: each object is made once, by whoever comes first.
    assert_eq!(world.promoted(&source, &json!({ "src": source, "obj": "up/" })), (12, String::new()));
    assert!((0..12).all(|n| here(n) == Some(content(n))));
    assert!(world.object("up/deep/er/g").is_none() && world.object("up/link").is_none());
    let owners: Vec<usize> = (0..12).map(|n| world.cluster.owner(BUCKET, &format!("up/f{n}"))).collect();
    assert!(owners.contains(&1) && owners.contains(&2), "{owners:?}");
    // What is there stays, unless it is to be written again.
    world.write("in/set/f1", b"another");
    let deep = json!({ "src": source, "obj": "up/", "rcr": true });
    assert_eq!(world.promoted(&source, &deep), (1, String::new()));
    assert_eq!((here(1), world.object("up/deep/er/g")), (Some(content(1)), Some(b"deep".to_vec())));
    let one = world.id(1);
    let again = json!({ "src": source, "obj": "up/", "ovw": true, "dls": true, "tid": one });
    assert_eq!(world.promoted(&source, &again), (12, String::new()));
    assert_eq!(here(1), Some(b"another".to_vec()));
    assert!((0..12).all(|n| !Path::new(&world.path(&format!("in/set/f{n}"))).exists()));
    assert!(
        Path::new(&world.path("in/set/deep/er/g")).exists() && Path::new(&world.path("outside")).exists()
    );
    // A single file, under its own name and under another.
    let file = world.path("in/set/deep/er/g");
    assert_eq!(world.promoted(&file, &json!({ "src": file })).0, 1);
    assert_eq!(world.promoted(&file, &json!({ "src": file, "obj": "other" })).0, 1);
    assert_eq!((world.object("g"), world.object("other")), (Some(b"deep".to_vec()), Some(b"deep".to_vec())));
}

#[test]
fn what_no_setting_allows_is_refused() {
    let world = World::new(&[]);
    world.write("in/f", b"f");
    let source = world.path("in/f");
    let (status, said) = world.ask(&source, &json!({ "src": source, "obj": "f" }));
    assert!(status == 403 && said.contains("promote_dirs") && said.contains("names none"), "{status} {said}");
    let world = World::new(&["in"]);
    world.write("in/f", b"f");
    world.write("out/f", b"f");
    let check = |path: &str, expected: u16, word: &str| {
        let (status, said) = world.ask(path, &json!({ "src": path, "obj": "f" }));
        assert!(status == expected && said.contains(word), "{path}: {status} {said}");
    };
    check(&world.path("out/f"), 403, "promote_dirs");
    check(&world.path("in2/f"), 403, "promote_dirs");
    check(&world.path("in/absent"), 400, "no target has");
    check(&world.path("in/../out/f"), 400, "'..'");
    check("in/f", 400, "absolute");
    std::os::unix::fs::symlink(world.path("out"), world.path("in/link")).unwrap();
    check(&world.path("in/link/f"), 403, "link/f");
    assert!(world.object("f").is_none());
}
