//! Copies of objects on the mountpaths of a node: what one of them loses, or spoils, another has.

#[path = "mirror/damaged.rs"]
mod damaged;
#[path = "mirror/late.rs"]
mod late;
#[path = "disks/node.rs"]
#[allow(dead_code, reason = "each test uses its part of this")]
mod node;
mod nodes;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use node::{Node, object};
use nodes::{content, until};
use serde_json::{Value, json};

/// Sizes on each side of every way that an object is kept.
const SIZES: [usize; 6] = [0, 100, 5000, 70_000, 300_000, 9_500_000];

fn name(n: usize) -> String {
    format!("d{}/o{n}", n % 7)
}

fn body(n: usize) -> Vec<u8> {
    content(n as u64, SIZES[n % SIZES.len()])
}

/// Where a mountpath below `dir` has an object.
fn file(dir: &Path, mountpath: &str, n: usize) -> PathBuf {
    dir.join(mountpath).join("@ais/b/%ob").join(name(n))
}

/// Damages the content of one copy.
fn spoil(dir: &Path, mountpath: &str, n: usize) {
    let mut file = fs::OpenOptions::new().write(true).open(file(dir, mountpath, n)).unwrap();
    file.seek(SeekFrom::Start(body(n).len() as u64 / 2)).unwrap();
    file.write_all(b"!spoilt!").unwrap();
    file.sync_all().unwrap();
}

/// Keeps so many copies from now on; waits for the job that makes those of what is there.
fn keep(node: &Node, copies: usize) {
    let order = json!({"action": "make-n-copies", "value": copies}).to_string();
    let begun = node.of("POST /v1/buckets/b?provider=ais", order.as_bytes());
    assert_eq!(begun.status, 200, "{}", begun.text());
    ended(node, &begun.text());
}

fn ended(node: &Node, id: &str) {
    let asked = json!({"ID": id}).to_string();
    let status = until("the job ends", || {
        let answer = node.ask("GET /v1/cluster?what=status", asked.as_bytes())?;
        let status: Value = serde_json::from_slice(&answer.body).ok()?;
        (status["end_time"].as_u64()? != 0).then_some(status)
    });
    assert_eq!(status["err"].as_str().unwrap_or_default(), "", "{status}");
}

fn fill(node: &Node, names: std::ops::Range<usize>) {
    for n in names {
        assert_eq!(node.put(&name(n), &body(n)), 200, "{}", name(n));
    }
}

fn check(node: &Node, names: std::ops::Range<usize>) {
    for n in names {
        let answer = node.get(&name(n));
        assert_eq!(answer.status, 200, "{}: {}", name(n), answer.head);
        assert!(answer.body == body(n), "{}: {} bytes", name(n), answer.body.len());
    }
}

/// Waits until there are so many files of objects on all mountpaths together.
fn files(node: &Node, mountpaths: &[&str], count: usize) {
    until(&format!("{count} files"), || {
        let files: usize = mountpaths.iter().map(|mountpath| node.files(mountpath).len()).sum();
        (files == count).then_some(())
    });
}

fn listed(node: &Node) -> Vec<Value> {
    let list = br#"{"action":"list","value":{"props":"name,size,copies"}}"#;
    let answer = node.of("GET /v1/buckets/b?provider=ais", list);
    let page: Value = serde_json::from_slice(&answer.body).unwrap();
    page["entries"].as_array().cloned().unwrap_or_default()
}

/// A node with two copies of each of so many objects, all in their files.
fn with_copies(dir: &Path, mountpaths: &[&str], objects: usize) -> Node {
    let node = Node::serving(dir, mountpaths);
    keep(&node, 2);
    fill(&node, 0..objects);
    files(&node, mountpaths, 2 * objects);
    node
}

#[test]
fn objects_have_as_many_copies_as_their_bucket_says() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2", "mp3"];
    let node = Node::serving(dir.path(), &all);
    fill(&node, 0..12);
    files(&node, &all, 12);
    keep(&node, 2);
    files(&node, &all, 24);
    fill(&node, 6..24);
    files(&node, &all, 48);
    check(&node, 0..24);
    let head = node.of(&object("HEAD", &name(3)), b"");
    assert_eq!(head.field("ais-mirror-copies"), Some("2"), "{}", head.head);
    let entries = listed(&node);
    assert_eq!(entries.len(), 24);
    assert!(entries.iter().all(|entry| entry["copies"] == 2), "{entries:?}");
    let too_many = node.of("POST /v1/buckets/b?provider=ais", br#"{"action":"make-n-copies","value":4}"#);
    assert_eq!(too_many.status, 400, "{}", too_many.text());
    // More, fewer, and none; with what is there for a while, and what is gone.
    keep(&node, 3);
    files(&node, &all, 72);
    for n in 0..6 {
        assert_eq!(node.of(&object("DELETE", &name(n)), b"").status, 200);
        assert_eq!(node.get(&name(n)).status, 404);
    }
    files(&node, &all, 54);
    keep(&node, 1);
    files(&node, &all, 18);
    fill(&node, 0..6);
    files(&node, &all, 24);
    check(&node, 0..24);
}

#[test]
fn a_mountpath_that_is_wiped_without_notice_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2", "mp3"];
    let mut node = with_copies(dir.path(), &all, 24);
    for wiped in ["mp1", "mp2", "mp3"] {
        fs::remove_dir_all(dir.path().join(wiped).join("@ais")).unwrap();
        check(&node, 0..24);
        // Readers have what they miss made again; the rest is made by a job.
        until("some copies are there again", || {
            check(&node, 0..24);
            (!node.files(wiped).is_empty()).then_some(())
        });
        keep(&node, 2);
        files(&node, &all, 48);
    }
    // All of it, and the node is not there to see it: the disk is not the one that it was.
    node.kill();
    fs::remove_dir_all(dir.path().join("mp2")).unwrap();
    fs::create_dir_all(dir.path().join("mp2")).unwrap();
    node.start(&all);
    check(&node, 0..24);
    assert_eq!(listed_names(&node), 24);
}

/// Names in a listing, which is complete only once no disk is out of service.
fn listed_names(node: &Node) -> usize {
    let out = node.mountpaths()[2].clone();
    for mountpath in &out {
        assert_eq!(node.change("DELETE", "detach-mp", mountpath, "").status, 200);
    }
    node.settled();
    listed(node).len()
}

#[test]
fn a_damaged_copy_is_never_sent_and_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = with_copies(dir.path(), &all, 12);
    let spoil = |mountpath: &str, n: usize| spoil(dir.path(), mountpath, n);
    let is_whole =
        |mountpath: &str, n: usize| fs::read(file(dir.path(), mountpath, n)).is_ok_and(|got| got == body(n));
    let names = [1, 2, 3, 4, 5];
    node.stop();
    names.iter().for_each(|n| spoil(all[n % 2], *n));
    node.start(&all);
    // Two reads of a name by one shard, one after the other, are of both copies; what is kept open is not read again.
    for n in names {
        until("readers have it made again", || {
            check(&node, n..n + 1);
            is_whole(all[n % 2], n).then_some(())
        });
    }
    check(&node, 0..12);
    // Nobody reads these.
    node.stop();
    names.iter().for_each(|n| spoil(all[(n + 1) % 2], *n));
    node.start(&all);
    let order =
        json!({"action": "start", "value": {"kind": "scrub", "bck": {"name": "b", "provider": "ais"}}});
    let begun = node.of("PUT /v1/cluster", order.to_string().as_bytes());
    assert_eq!(begun.status, 200, "{}", begun.text());
    ended(&node, &begun.text());
    assert!(names.iter().all(|n| is_whole("mp1", *n) && is_whole("mp2", *n)));
    check(&node, 0..12);
}

#[test]
fn an_object_is_copied_from_its_good_copy() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = with_copies(dir.path(), &all, 12);
    node.stop();
    // Some of these are what a copy reads first.
    let names = [3, 4, 5, 9, 10, 11];
    names.iter().for_each(|n| spoil(dir.path(), all[n % 2], *n));
    node.start(&all);
    for n in names {
        let from = format!("x-amz-copy-source: /b/{}", name(n));
        let copied = nodes::ask(node.port, &format!("PUT /s3/b/copy{n}"), &[&from], b"").unwrap();
        assert_eq!(copied.status, 200, "{}", copied.text());
        assert!(node.get(&format!("copy{n}")).body == body(n), "{}", name(n));
    }
}

#[test]
fn either_disk_may_be_lost_after_every_acknowledgement() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["m0", "m1"]);
    keep(&node, 2);
    let mut disks = vec!["m0".to_owned(), "m1".to_owned()];
    let mut put = 0;
    for round in 0..20 {
        for _ in 0..50 {
            let body = content(put, 200 + 30_000 * (put as usize % 3));
            assert_eq!(node.put(&format!("o{put}"), &body), 200);
            put += 1;
        }
        node.kill();
        let lost = disks.remove(round % 2);
        fs::remove_dir_all(dir.path().join(&lost)).unwrap();
        let left: Vec<&str> = disks.iter().map(String::as_str).collect();
        node.start(&left);
        // All that is new, and of what is older a part.
        for n in (0..put).filter(|n| *n + 100 > put || n % 10 == round as u64 % 10 || round == 19) {
            let answer = node.get(&format!("o{n}"));
            assert_eq!(answer.status, 200, "o{n} after {lost}: {}", answer.head);
            assert!(answer.body == content(n, 200 + 30_000 * (n as usize % 3)), "o{n} after {lost}");
        }
        for away in node.mountpaths()[2].clone() {
            let gone = node.change("DELETE", "detach-mp", &away, "");
            assert_eq!(gone.status, 200, "{}", gone.text());
        }
        let new = format!("m{}", round + 2);
        node.attach(&new);
        disks.push(new);
        node.settled();
    }
}

/// What a mountpath has in its files: of each name its content.
fn contents(node: &Node, mountpath: &str) -> BTreeMap<String, Vec<u8>> {
    let root = node.dir.join(mountpath).join("@ais/b/%ob");
    // What changes meanwhile is looked at again.
    let read = |name: String| Some((name.clone(), fs::read(root.join(name)).ok()?));
    node.files(mountpath).into_iter().filter_map(read).collect()
}

/// Waits until the copies of all of so many names are the same; nothing is read through the node.
fn even(node: &Node, names: usize) {
    until("copies are even", || {
        let [first, second] = ["mp1", "mp2"].map(|mountpath| contents(node, mountpath));
        (first.len() == names && first == second).then_some(())
    });
}

/// How the passes that have ended came out.
fn passes(node: &Node) -> Vec<String> {
    let answer = node.of("GET /v1/cluster?what=status_all", br#"{"kind":"put-copies"}"#);
    let all: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let ended = all.as_array().into_iter().flatten().filter(|job| job["end_time"] != 0);
    ended.filter_map(|job| job["err"].as_str().map(str::to_owned)).collect()
}

#[test]
fn copies_become_even_after_a_death_without_being_read() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = Node::serving(dir.path(), &all);
    keep(&node, 2);
    // No journal has these.
    let large = |n: usize, version: u64| content(n as u64 + version * 1000, 300_000);
    (0..12).for_each(|n| assert_eq!(node.put(&name(n), &large(n, 1)), 200));
    files(&node, &all, 24);
    node.kill();
    // What a death between the changes of the copies leaves: older copies, and missing ones.
    let at = |mountpath: &str, n: usize| file(dir.path(), mountpath, n);
    (0..4).for_each(|n| fs::rename(at(all[n % 2], n), dir.path().join(format!("old{n}"))).unwrap());
    node.start(&all);
    until("a pass has ended", || (passes(&node).len() == 1).then_some(()));
    (0..4).for_each(|n| assert_eq!(node.put(&name(n), &large(n, 2)), 200));
    files(&node, &all, 24);
    node.kill();
    (0..4).for_each(|n| fs::rename(dir.path().join(format!("old{n}")), at(all[n % 2], n)).unwrap());
    (4..8).for_each(|n| fs::remove_file(at(all[n % 2], n)).unwrap());
    node.start(&all);
    even(&node, 12);
    until("the pass has ended", || (passes(&node).len() == 2).then_some(()));
    assert!(passes(&node).iter().all(String::is_empty), "{:?}", passes(&node));
    let now = contents(&node, "mp1");
    for n in 0..12 {
        assert!(now[&name(n)] == large(n, if n < 4 { 2 } else { 1 }), "{}", name(n));
    }
    // Who stops in order leaves nothing to look after, and says so.
    let noted = |node: &Node| fs::read_to_string(node.dir.join("node/mountpaths.toml")).unwrap();
    assert!(noted(&node).contains("even = false"));
    node.stop();
    assert!(noted(&node).contains("even = true"));
}

#[test]
fn copies_become_even_after_deaths_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = Node::serving(dir.path(), &all);
    keep(&node, 2);
    fill(&node, 0..12);
    for round in 0..4 {
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let port = node.port;
                scope.spawn(move || {
                    // Until the node is not there any more.
                    for turn in 0.. {
                        let n = (turn * 4 + thread) % 12;
                        let line = object("PUT", &name(n));
                        let body = content((round * 1000 + turn) as u64, SIZES[n % 5]);
                        if nodes::ask(port, &line, &[], &body).is_none() {
                            break;
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(150 + 70 * round as u64));
            node.kill();
        });
        node.start(&all);
        even(&node, 12);
    }
}

fn set(node: &Node, props: Value) {
    let order = json!({"action": "set-bprops", "value": props}).to_string();
    let answer = node.of("PATCH /v1/buckets/b?provider=ais", order.as_bytes());
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn copies_are_made_after_the_answer_where_the_bucket_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = Node::serving(dir.path(), &all);
    keep(&node, 2);
    set(&node, json!({"write_policy": {"data": "delayed"}}));
    fill(&node, 0..24);
    even(&node, 24);
    check(&node, 0..24);
    // A queue for one object: who finds no place waits for his copies.
    set(&node, json!({"mirror": {"burst_buffer": 1}}));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let node = &node;
            scope.spawn(move || fill(node, 24 + 6 * thread..30 + 6 * thread));
        }
    });
    even(&node, 48);
    check(&node, 0..48);
    set(&node, json!({"mirror": {"burst_buffer": 512}}));
    for round in 0..3 {
        let put = |n: usize| content((n + 1000 * round) as u64, SIZES[n % 5]);
        for n in 0..48 {
            assert_eq!(node.put(&name(n), &put(n)), 200);
        }
        node.kill();
        node.start(&all);
        even(&node, 48);
        for n in 0..48 {
            let answer = node.get(&name(n));
            assert!(answer.status == 200 && answer.body == put(n), "{} in round {round}", name(n));
        }
    }
    assert!(passes(&node).iter().all(String::is_empty), "{:?}", passes(&node));
}

/// A removed object's copies stay: what a lost disk would bring back.
#[test]
fn copies_that_stay_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = Node::serving(dir.path(), &all);
    keep(&node, 2);
    node.stop();
    node.start_planted(&all, "copies-are-kept");
    fill(&node, 1..2);
    assert_eq!(node.of(&object("DELETE", &name(1)), b"").status, 200);
    assert_eq!(node.get(&name(1)).status, 200, "the planted bug was not found");
}
