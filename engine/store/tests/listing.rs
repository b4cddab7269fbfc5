//! Listings by the index, by the bounded walk, and beside changes.

mod common;

use std::collections::BTreeSet;

use common::*;
use weir_store::sim::{Crash, Fault, Faulty, Random, SimDisk, block_on};
use weir_store::{Disk, DiskPath, ListQuery, MountpathOptions};

fn pages(n: &Node, query: &ListQuery) -> Vec<String> {
    let mut query = query.clone();
    let mut out = Vec::new();
    loop {
        let page = block_on(n.volume().list(&bucket("b"), &query)).unwrap();
        assert!(page.rows.len() + page.common_prefixes.len() <= query.limit);
        out.extend(page.rows.iter().map(|row| row.name.to_owned()));
        out.extend(page.common_prefixes);
        let Some(next) = page.next else { break };
        query.start_after = next;
    }
    out.sort_unstable();
    out
}

/// What the names alone say.
fn expected(names: &BTreeSet<String>, query: &ListQuery) -> Vec<String> {
    let within = names.iter().filter(|n| n.starts_with(&query.prefix) && **n > query.start_after);
    let rolled: BTreeSet<String> = within
        .map(|n| match n[query.prefix.len()..].find(&query.delimiter) {
            Some(at) if !query.delimiter.is_empty() => {
                n[..query.prefix.len() + at + query.delimiter.len()].to_owned()
            }
            _ => n.clone(),
        })
        .collect();
    rolled.into_iter().filter(|n| *n != query.start_after).collect()
}

fn check_all_queries(n: &Node, names: &BTreeSet<String>) {
    for prefix in ["", "d", "d1/", "d1/e", "x", "/", "d1//"] {
        for delimiter in ["", "/", "e", "//"] {
            for start_after in ["", "d1/", "d2/f3", "zzz"] {
                for limit in [1, 7, 1000] {
                    let query = ListQuery {
                        prefix: prefix.into(),
                        start_after: start_after.into(),
                        delimiter: delimiter.into(),
                        limit,
                    };
                    assert_eq!(pages(n, &query), expected(names, &query), "{query:?}");
                }
            }
        }
    }
}

fn names() -> BTreeSet<String> {
    let mut out: BTreeSet<String> = ["", "/", "//", "."].iter().map(|s| format!("d1/{s}x")).collect();
    for d in 0..4 {
        out.extend((0..6).map(|f| format!("d{d}/f{f}")));
        out.extend((0..3).map(|f| format!("d{d}/e/f{f}")));
    }
    out.extend(["d1", "d1/e", "x", "x.y", "x/", "..", "/d1/q"].map(str::to_owned));
    out
}

fn node(index_bytes_max: usize) -> Node {
    let options = MountpathOptions { index_bytes_max, ..options(1) };
    let mut n = Node::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), options).unwrap();
    for name in names() {
        n.put("b", &name, b"x").unwrap();
    }
    n
}

/// The same in another life: its first listing walks.
fn later_node(index_bytes_max: usize) -> Node {
    node(index_bytes_max).restart(Crash::Kept, 1)
}

/// From a bucket's first object on there is an index: no listing of it touches the disk.
#[test]
fn an_index_begins_with_its_bucket() {
    let n = node(1 << 20);
    let calls = n.disk.calls();
    check_all_queries(&n, &names());
    assert_eq!(n.disk.calls(), calls);
}

#[test]
fn by_the_index() {
    let n = later_node(1 << 20);
    let before = n.disk.calls();
    check_all_queries(&n, &names());
    assert!(n.disk.calls() > before);
    let calls = n.disk.calls();
    check_all_queries(&n, &names());
    assert_eq!(n.disk.calls(), calls, "a page does not touch the disk again");
    assert!(n.mountpath.stats().index_bytes > 0);
}

#[test]
fn by_the_bounded_walk() {
    let n = node(1000);
    check_all_queries(&n, &names());
    assert_eq!(n.mountpath.stats().index_bytes, 0);
}

#[test]
fn a_directory_larger_than_the_walk_holds() {
    let options = MountpathOptions { index_bytes_max: 1000, ..options(1) };
    let mut n = Node::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), options).unwrap();
    let mut want = Vec::new();
    for i in 0..150 {
        let batch: Vec<_> = (0..60)
            .map(|j| {
                want.push(format!("d/{:05}", (i * 60 + j) * 7919 % 9001));
                n.put_change("b", want.last().unwrap(), b"", weir_store::Durability::Relaxed).unwrap()
            })
            .collect();
        n.execute(batch).into_iter().for_each(|r| drop(r.unwrap()));
    }
    want.sort_unstable();
    assert_eq!(pages(&n, &ListQuery { limit: 1000, ..ListQuery::default() }), want);
}

#[test]
fn the_index_follows_changes_and_stays_within_its_bytes() {
    let mut n = later_node(1 << 20);
    let mut names = names();
    assert_eq!(n.list_all("b").len(), names.len());
    let mut random = Random::new(5);
    for i in 0..300 {
        let name = format!("d{}/n{}", random.below(4), random.below(20));
        if random.coin() {
            n.put("b", &name, &bytes(i, 10)).unwrap();
            names.insert(name);
        } else {
            let gone = n.delete("b", &name).is_ok();
            assert_eq!(names.remove(&name), gone);
        }
    }
    assert_eq!(n.list_all("b"), names.iter().cloned().collect::<Vec<_>>());
    let page =
        block_on(n.volume().list(&bucket("b"), &ListQuery { limit: 1, ..ListQuery::default() })).unwrap();
    let first = page.rows.get(0).unwrap();
    let (object, (_, record)) = (first.object().unwrap(), n.get("b", first.name).unwrap());
    assert_eq!((object.commit, object.checksum), (record.commit, record.checksums.first().cloned()));
}

/// What waits in the journal lies before, between and after what is filed; of one name it is what counts.
#[test]
fn what_waits_to_be_filed_is_listed_among_what_is() {
    // By the index, and by the bounded walk.
    for index_bytes_max in [1 << 20, 0] {
        let options = MountpathOptions { index_bytes_max, ..journaled(1) };
        let mut n = Node::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), options).unwrap();
        let mut names = BTreeSet::new();
        let mut change = |n: &mut Node, name: &str| match names.take(name) {
            Some(_) => n.delete("b", name).unwrap(),
            None => {
                n.put("b", name, b"x").unwrap();
                names.insert(name.to_owned());
            }
        };
        ["b", "d1/b", "d1/d", "d2/a", "f"].iter().for_each(|name| change(&mut n, name));
        n.settle();
        ["f", "g", "e", "d1/a", "d1/e", "d2/a", "d1/c", "c", "a"]
            .iter()
            .for_each(|name| change(&mut n, name));
        let waiting = n.mountpath.acknowledged().of_bucket(&bucket("b"));
        assert!(waiting.len() < 9 && waiting.iter().any(|(name, _)| name.as_str() == "a"), "{waiting:?}");
        check_all_queries(&n, &names);
    }
}

/// A removal says that there is no such object, and from then on no listing says otherwise.
#[test]
fn what_was_removed_without_weir_leaves_the_index_by_a_removal() {
    for options in [options(1), journaled(1)] {
        let disk = Faulty::new(SimDisk::new(), 0, Fault::NoSpace);
        let mut n = Node::start_with(disk, options).unwrap();
        n.put("b", "kept", b"x").unwrap();
        n.put("b", "wiped", b"x").unwrap();
        n.settle();
        assert_eq!(n.list_all("b"), ["kept", "wiped"]);
        let path = n.disk.inner().paths().into_iter().find(|path| path.ends_with("/wiped")).unwrap();
        let path = path.split('/').try_fold(DiskPath::root(), |dir, part| dir.join(part)).unwrap();
        block_on(n.disk.unlink(&path)).unwrap();
        assert!(n.delete("b", "wiped").unwrap_err().is_not_found());
        assert_eq!(n.list_all("b"), ["kept"]);
        n.put("b", "wiped", b"y").unwrap();
        n.settle();
        assert_eq!(n.list_all("b"), ["kept", "wiped"]);
    }
}

#[test]
fn many_buckets_share_the_bytes() {
    let options = MountpathOptions { index_bytes_max: 20_000, ..options(1) };
    let mut n = Node::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), options).unwrap();
    for b in 0..10 {
        for o in 0..30 {
            n.put(&format!("b{b}"), &format!("o{o:02}"), b"x").unwrap();
        }
    }
    for round in 0..3 {
        for b in 0..10 {
            assert_eq!(n.list_all(&format!("b{b}")).len(), 30, "{round}");
            assert!(n.mountpath.stats().index_bytes <= 20_000);
        }
    }
}

/// A walk that is under way when names change gives every name that was there all the time, and every change that was
/// answered before the listing ended is in the index afterwards.
#[test]
fn a_walk_beside_changes_loses_nothing() {
    for seed in 0..30 {
        let mut n = later_node(1 << 20);
        let volume = n.volume();
        let mut random = Random::new(seed);
        let query = ListQuery { limit: 1000, ..ListQuery::default() };
        let target = bucket("b");
        let mut listing = Box::pin(async { volume.list(&target, &query).await });
        let waker = std::task::Waker::noop();
        let mut cx = std::task::Context::from_waker(waker);
        let mut all = names();
        let mut done = None;
        for i in 0..20 {
            for _ in 0..random.below(12) {
                if done.is_none()
                    && let std::task::Poll::Ready(page) = listing.as_mut().poll(&mut cx)
                {
                    done = Some(page.unwrap());
                }
            }
            let name = format!("d{}/f{}", random.below(5), random.below(8));
            if all.remove(&name) {
                n.delete("b", &name).unwrap();
            } else {
                n.put("b", &name, &bytes(i, 5)).unwrap();
                all.insert(name);
            }
        }
        if done.is_none() {
            block_on(listing).unwrap();
        } else {
            drop(listing);
        }
        assert_eq!(n.list_all("b"), all.into_iter().collect::<Vec<_>>(), "seed {seed}");
    }
}
