//! What the journal does while nothing fails: visible at once, filed behind, emptied, bounded.

mod common;

use common::*;
use weir_store::sim::{Crash, block_on};
use weir_store::{Condition, Outcome, StoreError, Terms};

fn files(node: &Node) -> Vec<String> {
    node.disk.inner().paths().into_iter().filter(|p| p.starts_with('@')).collect()
}

#[test]
fn a_change_is_seen_before_it_is_filed_and_after() {
    let mut n = Node::fresh_journaled();
    let slot = weir_store::Slot::of(&bucket("b"), &name("d/x"));
    let generation = n.mountpath.generation(slot).unwrap();
    n.put("b", "d/x", b"one").unwrap();
    n.put("b", "gone", b"x").unwrap();
    n.delete("b", "gone").unwrap();
    let after = n.mountpath.generation(slot).unwrap();
    assert!(after > generation);
    for filed in [false, true] {
        assert_eq!(files(&n).is_empty(), !filed);
        assert_eq!(n.content("b", "d/x").as_deref(), Some(&b"one"[..]));
        assert_eq!(n.content("b", "gone"), None);
        assert_eq!(n.list_all("b"), ["d/x"]);
        assert_eq!(n.mountpath.stats().unfiled > 0, !filed);
        n.settle();
    }
    assert_eq!(files(&n), ["@ais/b/%ob/d/x"]);
    assert!(matches!(n.delete("b", "gone"), Err(StoreError::NotFound { .. })));
}

#[test]
fn terms_and_versions_see_what_is_not_filed() {
    let mut n = Node::fresh_journaled();
    let etag = n.put("b", "x", b"1").unwrap().record.etag_text();
    assert_eq!(n.put("b", "x", b"22").unwrap().record.version, 2);
    let conditional = |n: &Node, terms: Terms| {
        let change = n.put_change("b", "x", b"333", weir_store::Durability::Durable).unwrap();
        let weir_store::Change::Put(mut put) = change else { unreachable!() };
        put.terms = terms;
        weir_store::Change::Put(put)
    };
    let stale = Terms { if_match: Some(Condition::Etags(vec![etag])), ..Terms::default() };
    let change = conditional(&n, stale);
    assert!(matches!(n.one(change), Err(StoreError::Precondition { .. })));
    let change = conditional(&n, Terms { if_none_match: Some(Condition::Any), ..Terms::default() });
    assert!(matches!(n.one(change), Err(StoreError::Precondition { .. })));
    // One batch: each change sees the one before it.
    let one = n.put_change("b", "y", b"1", weir_store::Durability::Relaxed).unwrap();
    let two = n.put_change("b", "y", b"2", weir_store::Durability::Durable).unwrap();
    let gone = delete("b", "y", weir_store::Durability::Durable);
    let three = n.put_change("b", "y", b"3", weir_store::Durability::Durable).unwrap();
    let answers = n.execute(vec![one, two, gone, three]);
    let versions: Vec<u64> = answers
        .into_iter()
        .filter_map(|a| match a.unwrap() {
            Outcome::Committed(c) => Some(c.record.version),
            _ => None,
        })
        .collect();
    assert_eq!(versions, [1, 2, 1]);
    // A process that dies goes on where it was.
    let mut n = n.restart(Crash::Kept, 1);
    assert_eq!(n.refiled, 2);
    assert_eq!(n.put("b", "x", b"4444").unwrap().record.version, 3);
    assert_eq!(n.put("b", "y", b"5").unwrap().record.version, 2);
}

#[test]
fn a_name_that_changes_often_is_filed_once() {
    let mut n = Node::fresh_journaled();
    n.put("b", "x", b"first").unwrap();
    n.settle();
    let calls = n.disk.calls();
    for i in 0..20u64 {
        n.put("b", "x", &bytes(i, 10)).unwrap();
    }
    let (each, before) = ((n.disk.calls() - calls) / 20, n.disk.calls());
    n.settle();
    assert!(n.disk.calls() - before < 20, "one file: {} calls", n.disk.calls() - before);
    assert!(each < 12, "{each} calls a change");
    assert_eq!(n.content("b", "x"), Some(bytes(19, 10)));
}

#[test]
fn full_segments_wait_for_files_and_are_used_again() {
    let mut n = Node::fresh_journaled();
    for i in 0..200u64 {
        n.put("b", &format!("d{}/{i}", i % 7), &bytes(i, 5000)).unwrap();
    }
    assert!(files(&n).len() > 150, "{} files", files(&n).len());
    assert_eq!(n.list_all("b").len(), 200);
    // More than two segments hold was acknowledged; a power loss now takes none of it.
    let n = n.restart(Crash::Dropped, 2);
    assert!(n.refiled < 20);
    for i in 0..200u64 {
        assert_eq!(n.content("b", &format!("d{}/{i}", i % 7)), Some(bytes(i, 5000)));
    }
}

#[test]
fn without_a_journal_an_earlier_one_is_filed_and_removed() {
    let mut n = Node::fresh_journaled();
    n.put("b", "x", b"1").unwrap();
    let left = weir_store::sim::Faulty::new(
        n.disk.inner().crash(Crash::Dropped, 1),
        0,
        weir_store::sim::Fault::NoSpace,
    );
    let mut n = Node::start_with(left, options(2)).unwrap();
    assert_eq!((n.refiled, n.content("b", "x").as_deref()), (1, Some(&b"1"[..])));
    assert!(!n.disk.inner().paths().iter().any(|p| p.contains("journal")));
    n.put("b", "x", b"2").unwrap();
    // And one of another size is made anew.
    let n = n.restart(Crash::Kept, 2);
    let disk = n.disk.clone();
    let mut n = Node::start_with(disk.clone(), journaled(2)).unwrap();
    n.put("b", "x", b"3").unwrap();
    let larger = weir_store::MountpathOptions { journal_bytes: 2 * JOURNAL_BYTES, ..journaled(2) };
    let n = Node::start_with(disk, larger).unwrap();
    assert_eq!((n.refiled, n.content("b", "x").as_deref()), (1, Some(&b"3"[..])));
}

#[test]
fn time_files_what_waits_and_empties_the_journal() {
    let mut n = Node::fresh_journaled();
    n.put("b", "x", b"1").unwrap();
    let mut ticks = 0;
    while block_on(n.committer.tick()) {
        block_on(n.committer.file_late(64));
        ticks += 1;
        assert!(ticks < 20, "never settled");
    }
    assert!(ticks >= 2, "a change has a moment to be overtaken");
    assert_eq!(files(&n), ["@ais/b/%ob/x"]);
    // Durable without the journal.
    assert_eq!(n.restart(Crash::Dropped, 2).refiled, 0);
    assert_eq!(n.restart(Crash::Dropped, 2).content("b", "x").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_refusal_is_told_after_the_change_that_it_is_for() {
    let mut n = Node::fresh_journaled();
    n.put("b", "x", b"1").unwrap();
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let request = |i: usize| {
        let (told, mountpath) = (told.clone(), n.mountpath.clone());
        let reply = Box::new(move |result: Result<Outcome<u64>, StoreError>| {
            let gone = mountpath.acknowledged().find(&bucket("b"), &name("x"));
            assert!(matches!(gone, Some(weir_store::Unfiled::Deleted)), "told before it can be seen");
            told.lock().unwrap().push((i, result.is_ok()));
        });
        weir_store::Request {
            change: delete("b", "x", weir_store::Durability::Durable),
            together: None,
            now_ns: 5,
            reply,
        }
    };
    let batch = vec![request(0), request(1)];
    block_on(n.committer.execute(batch));
    assert_eq!(*told.lock().unwrap(), [(0, true), (1, false)]);
}

#[test]
fn a_removal_of_what_the_disk_has_lost_holds() {
    use weir_store::{Disk as _, DiskPath};
    for crash in Crash::ALL {
        let mut n = Node::fresh_journaled();
        n.put("b", "x", b"one").unwrap();
        n.put("b", "y", b"two").unwrap();
        while block_on(n.committer.file_some(64)) {}
        let path = |n: &str| DiskPath::root().join_all(format!("@ais/b/%ob/{n}")).unwrap();
        for lost in ["x", "y"] {
            block_on(n.disk.unlink(&path(lost))).unwrap();
        }
        let before = n.disk.calls();
        assert!(matches!(n.delete("b", "x"), Err(StoreError::NotFound { .. })));
        let first = n.disk.calls() - before;
        assert!(matches!(n.delete("b", "x"), Err(StoreError::NotFound { .. })));
        assert!(n.disk.calls() - before < 2 * first, "the second removal wrote, too");
        let n = n.restart(crash, if crash.is_power_loss() { 2 } else { 1 });
        assert_eq!(n.content("b", "x"), None, "{crash:?}");
        assert_eq!(n.content("b", "y").as_deref(), Some(&b"two"[..]), "the journal still had it, {crash:?}");
    }
}
