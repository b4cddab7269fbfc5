//! A cluster of real processes on loopback: it comes up, agrees, loses nodes by kill -9 and takes them back.

#[path = "../nodes/mod.rs"]
mod nodes;
mod watch;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use nodes::{Cluster, Node, WEIR, free_ports, until};
use watch::{Watch, ask, leaders, leads, tell, waiting_at};

fn ids(map: &Value) -> Vec<String> {
    let of = |name: &str| map[name].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    [of("pmap"), of("tmap")].concat()
}

#[test]
fn nodes_are_killed_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 3, false);
    let map = cluster.agreed(None);
    assert_eq!(leaders(&cluster), 1);
    (0..6).for_each(|i| cluster.create(i, &format!("b{i}")));
    let watch = Watch::begin(&cluster);

    let (leader, id) = watch::leader(&cluster);
    cluster.nodes[leader].kill();
    let begun = Instant::now();
    until("another leads", || (0..3).any(|i| i != leader && leads(cluster.nodes[i].port)).then_some(()));
    tell("another leads after the leader was killed", begun);
    cluster.create((leader + 1) % 3, "after-the-leader");
    tell("a change after the leader was killed", begun);
    cluster.agreed(Some(&id));
    assert_eq!(leaders(&cluster), 1);
    cluster.nodes[leader].start();
    cluster.agreed(Some(&id));
    cluster.create(leader, "by-the-old-leader");

    let (leader, _) = watch::leader(&cluster);
    for (victim, name) in [((leader + 1) % 3, "after-a-follower"), (4, "after-a-target")] {
        cluster.nodes[victim].kill();
        cluster.create(leader, name);
        cluster.nodes[victim].start();
        cluster.agreed(None);
    }
    assert!(watch.end() > 0);

    cluster.nodes.iter_mut().for_each(Node::kill);
    cluster.nodes.iter_mut().for_each(Node::start);
    let again = cluster.agreed(None);
    assert_eq!((ids(&again), &again["uuid"]), (ids(&map), &map["uuid"]));
    cluster.create(5, "after-all");
    for name in ["b0", "b5", "after-the-leader", "by-the-old-leader", "after-a-follower", "after-a-target"] {
        let (status, ..) =
            ask(cluster.nodes[3].port, &format!("HEAD /v1/buckets/{name}?provider=ais"), "").unwrap();
        assert_eq!(status, 200, "{name}");
    }
}

#[test]
fn without_a_majority_reads_say_so_and_changes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 1, false);
    cluster.create(0, "b");
    let target = cluster.nodes[3].port;
    let (leader, _) = watch::leader(&cluster);
    for gateway in (0..3).filter(|i| *i != leader) {
        cluster.nodes[gateway].kill();
    }
    // The leader knows that it leads nobody, the target that nobody counts on it.
    let head = until("the target notices", || {
        let (_, head, _) = ask(target, "HEAD /v1/buckets/b?provider=ais", "")?;
        head.to_lowercase().contains("weir-stale: ").then_some(head)
    });
    assert!(head.contains(" 200 "), "{head}");
    assert_eq!(leaders(&cluster), 0);
    for (port, line, body) in [
        (cluster.nodes[leader].port, "POST /v1/buckets/c?provider=ais", r#"{"action":"create-bck"}"#),
        (target, "POST /v1/buckets/c?provider=ais", r#"{"action":"create-bck"}"#),
        (target, "PUT /s3/b/o", "x"),
        (target, "DELETE /s3/b/o", ""),
    ] {
        let (status, head, text) = ask(port, line, body).unwrap();
        assert_eq!(status, 503, "{line}: {head} {text}");
    }
    cluster.nodes.iter_mut().filter(|n| n.child.is_none()).for_each(Node::start);
    cluster.agreed(None);
    cluster.create(3, "c");
}

#[test]
fn who_stood_still_changes_nothing_by_what_it_knew() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 3, 1, false);
    cluster.create(0, "gone");
    cluster.create(0, "stays");
    let watch = Watch::begin(&cluster);
    let target = &cluster.nodes[3];
    assert_eq!(ask(target.port, "PUT /s3/gone/o", "x").unwrap().0, 200);

    // A bucket goes while its target stands still. What waited at the target's door comes to a bucket that it believes in.
    target.signal("STOP");
    let gone =
        ask(cluster.nodes[0].port, "DELETE /v1/buckets/gone?provider=ais", r#"{"action":"destroy-bck"}"#);
    assert_eq!(gone.unwrap().0, 200);
    let port = target.port;
    let waiting: Vec<_> = (0..8)
        .map(|i| std::thread::spawn(move || ask(port, &format!("PUT /s3/gone/o{i}"), "x").unwrap().0))
        .collect();
    until("they wait at its door", || (waiting_at(port) >= 4).then_some(()));
    target.signal("CONT");
    for put in waiting {
        let status = put.join().unwrap();
        assert!([503, 404].contains(&status), "{status}");
    }
    until("it takes objects again", || (ask(port, "PUT /s3/stays/o", "x")?.0 == 200).then_some(()));
    cluster.create(0, "gone");
    assert_eq!(ask(port, "GET /s3/gone/o", "").unwrap().0, 404);

    // The leader stands still, another follows, and it goes on: it leads nobody, and what it is asked goes to the new one.
    let (leader, id) = watch::leader(&cluster);
    let begun = Instant::now();
    cluster.nodes[leader].signal("STOP");
    let others: Vec<usize> = (0..3).filter(|i| *i != leader).collect();
    let next = until("another leads", || others.iter().copied().find(|i| leads(cluster.nodes[*i].port)));
    tell("another leads after the leader stood still", begun);
    until("a change goes through", || {
        let line = "POST /v1/buckets/meanwhile?provider=ais";
        let (status, ..) = ask(cluster.nodes[next].port, line, r#"{"action":"create-bck"}"#)?;
        (status != 503).then_some(())
    });
    cluster.nodes[leader].signal("CONT");
    assert!(!leads(cluster.nodes[leader].port));
    cluster.create(leader, "by-the-old-leader");
    let map = cluster.agreed(Some(&id));
    assert_eq!(map["pmap"].as_object().unwrap().len(), 3);
    assert!(watch.end() > 0);
}

#[test]
fn strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, 1, false);
    let first = free_ports(3);
    let ports = [first, first + 1, first + 2];
    let seeds = [cluster.nodes[0].port + 2];
    let secret = dir.path().join("another-secret");
    fs::write(&secret, "not the cluster's secret").unwrap();
    let mut wrong = Node::new(dir.path(), "wrong", "target", ports, &seeds, &secret);
    let said = wrong.refusal();
    assert!(said.contains("join secret"), "{said}");

    // It made a cluster of its own; then it is told of this one.
    let secret = dir.path().join("secret");
    let mut foreign = Node::new(dir.path(), "foreign", "gateway", ports, &[], &secret);
    foreign.start();
    until("it leads itself", || (ask(ports[0], "GET /v1/health?apr=true", "")?.0 == 200).then_some(()));
    foreign.kill();
    let mut foreign = Node::new(dir.path(), "foreign", "gateway", ports, &seeds, &secret);
    let said = foreign.refusal();
    assert!(said.contains("belongs to cluster"), "{said}");
    assert_eq!(ids(&cluster.agreed(None)).len(), 2);

    // The control listener takes nothing from who has no proof; a public one never asks for it.
    let (status, _, text) = ask(seeds[0], "POST /weir/peer", "").unwrap();
    assert_eq!(status, 403, "{text}");
    assert_ne!(ask(cluster.nodes[0].port, "POST /weir/peer", "").unwrap().0, 200);
}

#[test]
fn a_playground_of_several_nodes() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_ports(18);
    let begun = Instant::now();
    let mut child = Command::new(WEIR)
        .args(["playground", "--gateways", "3", "--targets", "3", "--mountpaths", "2", "--dir"])
        .arg(dir.path())
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut banner = String::new();
    while !banner.contains("Ctrl-C") {
        assert_ne!(out.read_line(&mut banner).unwrap(), 0, "it ended after:\n{banner}");
    }
    tell("a playground of 3 and 3 is ready", begun);
    let url = format!("http://127.0.0.1:{port}");
    let weir = |arguments: &[&str]| {
        let output = Command::new(WEIR).args(arguments).env("WEIR_ENDPOINT", &url).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let shown = weir(&["show", "cluster"]);
    for i in 0..6 {
        assert!(shown.contains(&(port + i).to_string()), "{shown}");
    }
    weir(&["create", "ais://b"]);
    weir(&["rmb", "ais://b"]);
    weir(&["create", "ais://b"]);
    let map: Value = serde_json::from_str(&weir(&["show", "cluster", "--json"])).unwrap();
    let primary = map["proxy_si"]["daemon_id"].as_str().unwrap();
    let next = map["pmap"].as_object().unwrap().keys().find(|id| *id != primary).unwrap().clone();
    weir(&["cluster", "set-primary", &next]);
    until("it leads", || {
        let map: Value = serde_json::from_str(&weir(&["show", "cluster", "--json"])).unwrap();
        (map["proxy_si"]["daemon_id"] == next.as_str()).then_some(())
    });
    // A target without objects rests, comes back, and leaves.
    let target = map["tmap"].as_object().unwrap().keys().next().unwrap().clone();
    weir(&["cluster", "maintenance", &target]);
    assert!(weir(&["show", "cluster"]).contains("in maintenance"));
    weir(&["cluster", "maintenance", &target, "--stop"]);
    weir(&["cluster", "remove", &target]);
    until("it is off the map", || (!weir(&["show", "cluster"]).contains(&target)).then_some(()));
    // As a terminal does it: to all of its group.
    let group = format!("-{}", child.id());
    assert!(Command::new("kill").args(["-s", "INT", "--", &group]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(!said.contains("ended:"), "nodes did not end by themselves: {said}");
    until("the nodes are gone", || TcpListener::bind(("127.0.0.1", port + 17)).ok());
}

#[test]
fn a_job_goes_on_when_its_target_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::start(dir.path(), 3, 1, false);
    cluster.create(0, "b");
    let (gateway, target) = (cluster.nodes[0].port, cluster.nodes[3].port);
    for i in 0..200 {
        assert_eq!(ask(target, &format!("PUT /s3/b/o{i:03}"), "x").unwrap().0, 200);
    }
    let delete = r#"{"action":"delete-listrange","value":{"template":"o{010..199}"}}"#;
    let (status, _, id) = ask(gateway, "DELETE /v1/buckets/b?provider=ais", delete).unwrap();
    assert_eq!(status, 200, "{id}");
    cluster.nodes[3].kill();
    cluster.nodes[3].start();
    let query = format!(r#"{{"ID":"{id}","Kind":"delete-objects"}}"#);
    let line = "GET /v1/cluster?what=status";
    // Every gateway knows of it.
    let ended = until("the job ends", || {
        let (status, _, text) = ask(cluster.nodes[1].port, line, &query)?;
        let status = (status == 200).then(|| serde_json::from_str::<Value>(&text).unwrap())?;
        (status["end_time"] != 0).then_some(status)
    });
    assert_eq!((&ended["err"], &ended["aborted"]), (&"".into(), &false.into()));
    let left = until("the target answers", || {
        let (status, _, text) = ask(target, "GET /s3/b?list-type=2", "")?;
        (status == 200).then_some(text)
    });
    assert_eq!(left.matches("<Key>").count(), 10, "{left}");
    let (status, _, snaps) = ask(gateway, "GET /v1/cluster?what=qryxstats", &query).unwrap();
    assert!(status == 200 && snaps.contains(r#""kind":"delete-listrange""#), "{snaps}");
}
