//! Disks that come and go while a node serves, and between its starts: every object is there all the time, as it was
//! acknowledged last, and nowhere twice in the end.

mod damaged;
mod health;
mod load;
mod node;
#[path = "../nodes/mod.rs"]
mod nodes;
mod rig;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use load::Load;
use node::{Node, object};
use nodes::{content, until};
use rig::{FAILING_BYTES, FailingDisk, LoopMount};
use weir_faultdisk::ctl::answer as tell;

/// Sizes on each side of every way that an object is kept.
const SIZES: [usize; 6] = [0, 100, 5000, 70_000, 300_000, 9_500_000];

fn name(n: usize) -> String {
    format!("d{}/o{n}", n % 7)
}

#[test]
fn starts_with_more_and_with_fewer_mountpaths_find_every_object() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["mp1"]);
    let all: Vec<(String, Vec<u8>)> =
        (0..60).map(|n| (name(n), content(n as u64, SIZES[n % SIZES.len()]))).collect();
    for (name, body) in &all {
        assert_eq!(node.put(name, body), 200);
    }
    let facts = |node: &Node| -> Vec<Option<String>> {
        let head = node.of(&object("HEAD", &name(5)), b"");
        ["ais-version", "ais-checksum-value", "etag", "last-modified"]
            .map(|field| head.field(field).map(str::to_owned))
            .to_vec()
    };
    // A second version, and an upload in progress.
    assert_eq!(node.put(&name(5), &all[5].1), 200);
    let before = facts(&node);
    let begun = node.of("POST /s3/b/parts?uploads", b"").text();
    let id = begun.split_once("<UploadId>").unwrap().1.split_once('<').unwrap().0.to_owned();
    let part = |node: &Node, number: usize, body: &[u8]| {
        let answer = node.of(&format!("PUT /s3/b/parts?partNumber={number}&uploadId={id}"), body);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.field("etag").unwrap().to_owned()
    };
    let parts = [content(1, 5 << 20), content(2, 1000)];
    let first = part(&node, 1, &parts[0]);
    let check = |node: &Node| {
        for (name, body) in &all {
            let answer = node.get(name);
            assert_eq!(answer.status, 200, "{name}: {answer:?}");
            assert!(answer.body == *body, "{name}");
        }
        assert_eq!(facts(node), before);
    };
    let names_of = |node: &Node| {
        let list = br#"{"action":"list","value":{"props":"name"}}"#;
        let text = node.of("GET /v1/buckets/b?provider=ais", list).text();
        all.iter().filter(|(name, _)| text.contains(&format!("\"{name}\""))).count()
    };
    node.stop();
    node.start(&["mp1", "mp2", "mp3"]);
    check(&node);
    assert_eq!(names_of(&node), all.len());
    node.settled();
    check(&node);
    let counts = until("each name is on one disk", || {
        let counts = ["mp1", "mp2", "mp3"].map(|mountpath| node.files(mountpath).len());
        (counts.iter().sum::<usize>() == all.len()).then_some(counts)
    });
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    // What is given no more is emptied and leaves; the upload goes along.
    node.stop();
    node.start(&["mp3"]);
    check(&node);
    assert_eq!(names_of(&node), all.len());
    let second = part(&node, 2, &parts[1]);
    let whole = format!(
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{first}</ETag></Part>\
         <Part><PartNumber>2</PartNumber><ETag>{second}</ETag></Part></CompleteMultipartUpload>"
    );
    let done = node.of(&format!("POST /s3/b/parts?uploadId={id}"), whole.as_bytes());
    assert_eq!(done.status, 200, "{done:?}");
    until("the others have left", || (node.mountpaths()[0] == ["mp3"] && node.is_settled()).then_some(()));
    check(&node);
    assert!(node.get("parts").body == parts.concat());
    until("what they held is gone from them", || {
        (["mp1", "mp2"].map(|mountpath| node.files(mountpath).len()) == [0, 0]).then_some(())
    });
    // A disk that was taken off is not taken for one of the node's because a start names it.
    node.stop();
    node.start(&["mp1", "mp3"]);
    assert_eq!(node.mountpaths(), [vec!["mp3".to_owned()], vec![], vec![]]);
    node.attach("mp1");
    node.settled();
    check(&node);
    node.kill();
    // What was attached while the node ran belongs to it, whatever a start names.
    node.start(&["mp3"]);
    assert_eq!(node.mountpaths()[0], ["mp1", "mp3"]);
    check(&node);
}

/// Everything that is to be there is, and nothing else; each name on one disk.
fn check_all<const N: usize>(node: &Node, there: &BTreeMap<String, Vec<u8>>, mountpaths: [&str; N]) {
    for (name, body) in there {
        let answer = node.get(name);
        assert!(answer.status == 200 && answer.body == *body, "{name}: {}", answer.status);
    }
    // What the journal has is in its files a moment later.
    let mut wanted: Vec<&str> = there.keys().map(String::as_str).collect();
    wanted.sort_unstable();
    let begun = Instant::now();
    loop {
        let of_disks = mountpaths.map(|mountpath| node.files(mountpath));
        let mut files: Vec<&str> = of_disks.iter().flatten().map(String::as_str).collect();
        files.sort_unstable();
        if files == wanted {
            break;
        }
        // What stands on two disks, on none, or should not be there.
        let odd = |name: &&str| {
            files.iter().filter(|file| *file == name).count() != usize::from(wanted.contains(name))
        };
        let odd: BTreeSet<&str> = files.iter().chain(&wanted).copied().filter(odd).collect();
        assert!(begun.elapsed() < nodes::WAIT_MAX, "{odd:?} of {of_disks:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn mountpaths_come_and_go_under_load() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::serving(dir.path(), &["mp1"]);
    let load = Load::start(node.port, 6);
    load.more(300);
    for mountpath in ["mp2", "mp3"] {
        node.attach(mountpath);
        load.more(200);
    }
    node.settled();
    load.more(100);
    // The set changes again while names are being moved, there and back.
    for (method, action) in [("DELETE", "detach-mp"), ("PUT", "attach-mp"), ("DELETE", "detach-mp")] {
        assert_eq!(node.change(method, action, "mp1", "").status, 200, "{action}");
        load.more(20);
    }
    let rest = [vec!["mp2".to_owned(), "mp3".to_owned()], vec![], vec![]];
    until("the first has left", || (node.mountpaths() == rest).then_some(()));
    until("what it held is gone from it", || node.files("mp1").is_empty().then_some(()));
    load.more(200);
    let (there, refused) = load.stop();
    assert_eq!(refused, 0, "nobody was refused");
    node.settled();
    check_all(&node, &there, ["mp2", "mp3"]);
}

#[test]
fn kills_in_the_middle_of_resilvers_lose_and_revive_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["mp1"]);
    let load = Load::start(node.port, 4);
    load.more(300);
    let sets = [&["mp1", "mp2"][..], &["mp2", "mp3"], &["mp1", "mp2", "mp3"], &["mp3"], &["mp1", "mp3"]];
    for (round, set) in sets.iter().enumerate() {
        node.kill();
        node.start(set);
        load.more(10 + 15 * round as u64);
        node.kill();
        node.start(set);
        load.more(20);
        // A disk that has left comes back by command.
        for mountpath in
            set.iter().filter(|mountpath| !node.mountpaths()[0].contains(&(**mountpath).to_owned()))
        {
            node.attach(mountpath);
        }
    }
    load.more(50);
    let (there, _) = load.stop();
    node.settled();
    check_all(&node, &there, ["mp1", "mp2", "mp3"]);
}

#[test]
fn a_kill_while_a_mountpath_leaves_does_not_leave_objects_on_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["mp1", "mp2"]);
    let load = Load::start(node.port, 4);
    for (leaves, stays) in [("mp1", "mp2"), ("mp2", "mp1"), ("mp1", "mp2"), ("mp2", "mp1")] {
        load.more(100);
        assert_eq!(node.change("DELETE", "detach-mp", leaves, "").status, 200);
        let begun = Instant::now();
        // The moment counts: what was moved last still stands in files of both.
        while node.mountpaths()[0] != [stays] || !node.mountpaths()[1].is_empty() {
            assert!(begun.elapsed() < nodes::WAIT_MAX, "{leaves} stays");
        }
        node.kill();
        node.start(&["mp1", "mp2"]);
        until("nothing is left on it", || node.files(leaves).is_empty().then_some(()));
        let left = [vec![stays.to_owned()], vec![], vec![]];
        until("it has left", || (node.mountpaths() == left).then_some(()));
        node.attach(leaves);
        node.settled();
    }
    let (there, _) = load.stop();
    check_all(&node, &there, ["mp1", "mp2"]);
}

#[test]
fn a_mountpath_that_keeps_what_was_moved_is_found_out() {
    let revived = |planted: &str| {
        let dir = tempfile::tempdir().unwrap();
        let mut node = Node::serving(dir.path(), &["mp1"]);
        for n in 0..40 {
            assert_eq!(node.put(&name(n), &content(n as u64, 1000)), 200);
        }
        node.stop();
        node.start_planted(&["mp1", "mp2"], planted);
        (0..40).for_each(|n| assert_eq!(node.of(&object("DELETE", &name(n)), b"").status, 200));
        node.settled();
        // The set changes: names go back where they were.
        assert_eq!(node.change("DELETE", "detach-mp", "mp2", "").status, 200);
        (0..40).filter(|n| node.get(&name(*n)).status == 200).count()
    };
    assert!(revived("moved-is-kept") > 0, "the planted bug was not found");
    assert_eq!(revived(""), 0);
}

#[test]
fn what_cannot_be_done_with_a_mountpath_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::serving(dir.path(), &["mp1", "mp2"]);
    let refused = |method: &str, action: &str, mountpath: &str, why: &str| {
        let answer = node.change(method, action, mountpath, "");
        assert!(answer.status == 400 && answer.text().contains(why), "{action} {mountpath}: {answer:?}");
    };
    refused("PUT", "attach-mp", "mp1", "attached already");
    refused("PUT", "attach-mp", "nowhere", "no directory");
    fs::create_dir_all(dir.path().join("mp1/inner")).unwrap();
    refused("PUT", "attach-mp", "mp1/inner", "one inside the other");
    refused("DELETE", "detach-mp", "mp9", "not a mountpath");
    refused("POST", "enable-mp", "mp9", "attach it");
    fs::create_dir_all(dir.path().join("foreign/@ais/b/%ob")).unwrap();
    fs::write(dir.path().join("foreign/@ais/b/%ob/o"), "x").unwrap();
    refused("PUT", "attach-mp", "foreign", "holds objects");
    (0..30).for_each(|n| assert_eq!(node.put(&name(n), b"x"), 200));
    assert_eq!(node.change("DELETE", "detach-mp", "mp1", "").status, 200);
    until("it has left", || (node.mountpaths() == [vec!["mp2".to_owned()], vec![], vec![]]).then_some(()));
    refused("DELETE", "detach-mp", "mp2", "the last one");
    (0..30).for_each(|n| assert_eq!(node.get(&name(n)).status, 200));
}

#[test]
fn names_of_a_mountpath_out_of_service_answer_503_until_it_is_given_up_or_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = Node::serving(dir.path(), &["mp1", "mp2"]);
    (0..40).for_each(|n| assert_eq!(node.put(&name(n), format!("old {n}").as_bytes()), 200));
    assert_eq!(node.change("POST", "disable-mp", "mp2", "?dntres=true").status, 200);
    assert_eq!(node.mountpaths(), [vec!["mp1".to_owned()], vec![], vec!["mp2".to_owned()]]);
    let away: Vec<usize> = (0..40).filter(|n| node.get(&name(*n)).status != 200).collect();
    assert!(!away.is_empty() && away.len() < 40, "{away:?}");
    for n in &away {
        for method in ["GET", "HEAD", "DELETE"] {
            let answer = node.of(&object(method, &name(*n)), b"");
            assert_eq!(
                (answer.status, answer.field("retry-after")),
                (503, Some("1")),
                "{method}: {answer:?}"
            );
        }
    }
    let listed = node.of("GET /v1/buckets/b?provider=ais", br#"{"action":"list","value":{}}"#);
    assert_eq!(listed.status, 503, "a listing that misses names does not look whole");
    // It stays out over a restart; what is written meanwhile is newer than what it holds.
    node.kill();
    node.start(&["mp1", "mp2"]);
    assert_eq!(node.get(&name(away[0])).status, 503);
    assert_eq!(node.put(&name(away[0]), b"new"), 200);
    assert_eq!(node.get(&name(away[0])).body, b"new");
    assert_eq!(node.change("POST", "enable-mp", "mp2", "").status, 200);
    let whole = |node: &Node, but: &[usize]| {
        for n in (0..40).filter(|n| !but.contains(n)) {
            let want = if n == away[0] { "new".to_owned() } else { format!("old {n}") };
            assert_eq!(node.get(&name(n)).text(), want, "{n}");
        }
    };
    whole(&node, &[]);
    node.settled();
    whole(&node, &[]);
    until("each name is on one disk", || {
        (node.files("mp1").len() + node.files("mp2").len() == 40).then_some(())
    });
    assert!(!node.files("mp2").is_empty());
    // Given up: its names are gone, and it comes back only with nothing on it.
    assert_eq!(node.change("POST", "disable-mp", "mp2", "?dntres=true").status, 200);
    assert_eq!(node.change("DELETE", "detach-mp", "mp2", "").status, 200);
    away.iter().for_each(|n| assert_eq!(node.get(&name(*n)).status, 404));
    whole(&node, &away);
    let back = node.change("PUT", "attach-mp", "mp2", "");
    assert!(back.status == 400 && back.text().contains("holds objects"), "{back:?}");
    fs::remove_dir_all(dir.path().join("mp2/@ais")).unwrap();
    node.attach("mp2");
    node.settled();
    whole(&node, &away);
}

#[test]
fn a_detached_file_system_can_be_unmounted_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = LoopMount::make(dir.path(), "mp2", 256) else {
        eprintln!("not run: this process may not mount");
        return;
    };
    let node = Node::serving(dir.path(), &["mp1"]);
    let load = Load::start(node.port, 4);
    load.more(100);
    node.attach("mp2");
    node.settled();
    load.more(200);
    assert!(!mount.unmount(), "it is in use");
    assert_eq!(node.change("DELETE", "detach-mp", "mp2", "").status, 200);
    until("it has left", || (node.mountpaths() == [vec!["mp1".to_owned()], vec![], vec![]]).then_some(()));
    let left = Instant::now();
    until("it can be unmounted", || mount.unmount().then_some(()));
    eprintln!("unmounted {:?} after it had left", left.elapsed());
    load.more(50);
    let (there, refused) = load.stop();
    assert_eq!(refused, 0, "nobody was refused");
    check_all(&node, &there, ["mp1"]);
}

#[test]
fn a_disk_that_fails_is_taken_out_and_never_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(failing) = FailingDisk::make(dir.path(), "mp2") else { return };
    let mut node = Node::serving(dir.path(), &["mp1"]);
    node.attach("mp2");
    let body = |n: usize| content(n as u64, SIZES[1 + n % 4]);
    (0..60).for_each(|n| assert_eq!(node.put(&name(n), &body(n)), 200));
    node.settled();
    assert_eq!(tell(&failing.disk, &format!("eio-write 0 {FAILING_BYTES}")), "ok");
    // A write of a large object fails at once, one of the journal with its sync: either takes the disk out.
    until("it is taken out", || {
        (60..80).for_each(|n| assert!([200, 500, 503].contains(&node.put(&name(n), &body(n)))));
        (node.mountpaths()[2] == ["mp2"]).then_some(())
    });
    let check = |node: &Node| -> Vec<usize> {
        assert_eq!(node.mountpaths(), [vec!["mp1".to_owned()], vec![], vec!["mp2".to_owned()]]);
        let lost = |n: &usize| {
            let answer = node.get(&name(*n));
            assert!([200, 503].contains(&answer.status), "{n}: {answer:?}");
            assert!(answer.status == 503 || answer.body == body(*n), "{n}");
            answer.status == 503
        };
        (0..60).filter(lost).collect()
    };
    let lost = check(&node);
    assert!(!lost.is_empty() && lost.len() < 60, "{lost:?}");
    let metrics = node.of("GET /metrics", b"").text();
    let out = format!("weir_disk_in_service{{mountpath={:?}}} 0", node.path("mp2"));
    assert!(metrics.contains(&out), "{metrics}");
    // The others take what is written anew.
    assert_eq!(node.put(&name(lost[0]), &body(lost[0])), 200);
    (100..140).for_each(|n| assert_eq!(node.put(&name(n), &body(n)), 200));
    // It works again, and nobody believes it: not now, and not at the next start.
    assert_eq!(tell(&failing.disk, "clear"), "ok");
    assert_eq!(check(&node), lost[1..]);
    node.kill();
    node.start(&["mp1"]);
    assert_eq!(check(&node), lost[1..]);
    assert_eq!(node.change("DELETE", "detach-mp", "mp2", "").status, 200);
    lost[1..].iter().for_each(|n| assert_eq!(node.get(&name(*n)).status, 404));
    failing.mounted.unmount().unwrap();
}
