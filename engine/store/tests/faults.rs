//! One disk call of a script fails, at every call in turn: with an I/O error, no space, or half of what was asked.
//! What was acknowledged holds, what was refused for lack of space left nothing, and an I/O error of a write stops writes.

mod common;

use common::crashes::Way;
use common::oracle::Oracle;
use common::script::script;
use common::*;
use weir_store::sim::{Crash, Fault, Faulty, SimDisk, block_on};
use weir_store::{Durability, Planted, StoreError, WriteOptions};

/// Runs the whole script over one failure; the first thing that is wrong.
fn run(way: Way, at: u64, fault: Fault, bug: Option<Planted>) -> Result<(), String> {
    let disk = Faulty::new(SimDisk::new(), at, fault);
    let mut oracle = Oracle::new();
    let Ok(mut node) = Node::start_with(disk.clone(), way.options(1)) else { return Ok(()) };
    if let Some(bug) = bug {
        node.committer.plant(bug);
    }
    for (i, batch) in script().iter().enumerate() {
        oracle.run(&mut node, batch);
        node.pass_time(i);
    }
    let Some(operation) = disk.fired() else { return Err(format!("call {at} was not reached")) };
    let wrong = |what: String| format!("{fault:?} at call {at} ({operation}): {what}");
    node.settle();
    oracle.check(&node, None).map_err(wrong)?;
    if fault == Fault::NoSpace && node.mountpath.poisoned().is_some() && !operation.starts_with("sync") {
        return Err(wrong(format!("poisoned: {:?}", node.mountpath.poisoned())));
    }
    if matches!(fault, Fault::Io { .. }) && writes(operation) {
        let refused = node.put("b", "more", b"x");
        if !matches!(refused, Err(StoreError::Poisoned(_))) {
            return Err(wrong(format!("the mountpath still takes writes: {refused:?}")));
        }
    }
    for (crash, boot) in [(Crash::Kept, 1), (Crash::Dropped, 2), (Crash::Reordered, 2)] {
        let left = Faulty::new(disk.inner().crash(crash, at), 0, Fault::NoSpace);
        let mut node =
            Node::start_with(left, way.options(boot)).map_err(|e| wrong(format!("recovery: {e}")))?;
        oracle.check(&node, Some(crash)).map_err(|e| wrong(format!("after {crash:?}: {e}")))?;
        node.put("b", "a", b"after").map_err(|e| wrong(e.to_string()))?;
    }
    Ok(())
}

fn writes(operation: &str) -> bool {
    [
        "write",
        "sync",
        "sync_dir",
        "sync_data",
        "sync_all",
        "write_through",
        "rename",
        "xattr_set",
        "unlink",
        "create",
        "mkdir",
        "truncate",
        "clone_range",
    ]
    .contains(&operation)
}

fn calls(way: Way) -> u64 {
    common::crashes::calls(way, None)
}

fn at_every_call(way: Way, fault: Fault) {
    for at in 1..=calls(way) {
        run(way, at, fault, None).unwrap();
    }
}

#[test]
fn an_io_error_without_effect_at_every_call() {
    at_every_call(Way::Files, Fault::Io { applied: false });
}

#[test]
fn an_io_error_without_effect_at_every_call_with_a_journal() {
    at_every_call(Way::Journal, Fault::Io { applied: false });
}

#[test]
fn an_io_error_with_effect_at_every_call() {
    at_every_call(Way::Files, Fault::Io { applied: true });
}

#[test]
fn an_io_error_with_effect_at_every_call_with_a_journal() {
    at_every_call(Way::Journal, Fault::Io { applied: true });
}

#[test]
fn no_space_at_every_call() {
    at_every_call(Way::Files, Fault::NoSpace);
}

#[test]
fn no_space_at_every_call_with_a_journal() {
    at_every_call(Way::Journal, Fault::NoSpace);
}

#[test]
fn half_of_what_was_asked_at_every_call() {
    at_every_call(Way::Files, Fault::Short);
}

#[test]
fn half_of_what_was_asked_at_every_call_with_a_journal() {
    at_every_call(Way::Journal, Fault::Short);
}

#[test]
fn finds_a_failed_sync_taken_for_a_success() {
    let found = (1..=calls(Way::Files)).any(|at| {
        run(Way::Files, at, Fault::Io { applied: false }, Some(Planted::SyncErrorIgnored)).is_err()
    });
    assert!(found);
}

#[test]
fn a_full_mountpath_says_so_and_frees_what_is_deleted() {
    let sim = SimDisk::new();
    let mut node = Node::start(Faulty::new(sim.clone(), 0, Fault::NoSpace), 1).unwrap();
    sim.set_capacity(100_000);
    node.put("b", "first", &bytes(1, 60_000)).unwrap();
    for durability in [Durability::Durable, Durability::Relaxed] {
        for size_hint in [None, Some(60_000)] {
            let options = WriteOptions { size_hint, durability, ..WriteOptions::default() };
            let refused = node.prepare_as(&bytes(2, 60_000), &options).err();
            assert!(matches!(refused, Some(StoreError::NoSpace(_))), "{refused:?}");
        }
    }
    let refused =
        block_on(node.volume().writer(&WriteOptions { size_hint: Some(1 << 20), ..WriteOptions::default() }));
    assert!(matches!(refused.err(), Some(StoreError::NoSpace(_))));
    node.settle();
    assert_eq!(node.mountpath.poisoned(), None);
    assert!(node.content("b", "first") == Some(bytes(1, 60_000)));
    assert_eq!(sim.files().values().map(Vec::len).sum::<usize>() / 1000, 60, "nothing half is kept");
    node.delete("b", "first").unwrap();
    sim.set_capacity(u64::MAX);
    node.put("b", "second", &bytes(3, 60_000)).unwrap();
}
