//! The store dies at every disk call of a script in turn, and its unsynced writes are kept, dropped, torn or reordered:
//! nothing acknowledged is lost, nothing torn is visible, recovery succeeds. Bugs put in on purpose are found.

mod common;

use common::oracle::{Op, Oracle};
use common::script::script;
use common::*;
use weir_store::Planted;
use weir_store::sim::{Crash, Fault, Faulty, SimDisk};

const BOOT: u8 = 1;

/// Runs the script on a disk that fails at call `at`.
fn run(at: u64, fault: Fault, bug: Option<Planted>) -> (Option<Node>, Oracle, Faulty) {
    let disk = Faulty::new(SimDisk::new(), at, fault);
    let mut oracle = Oracle::new();
    let Ok(mut node) = Node::start(disk.clone(), BOOT) else { return (None, oracle, disk) };
    if let Some(bug) = bug {
        node.committer.plant(bug);
    }
    for batch in script() {
        oracle.run(&mut node, &batch);
        if disk.is_dead() {
            break;
        }
    }
    (Some(node), oracle, disk)
}

/// What a crash of `disk` leaves is checked, and then works on.
fn check_crash(oracle: &Oracle, disk: &SimDisk, crash: Crash, seed: u64) -> Result<(), String> {
    let boot = if crash.is_power_loss() { BOOT + 1 } else { BOOT };
    let left = disk.crash(crash, seed);
    let start = |disk: Faulty| Node::start(disk, boot).map_err(|e| format!("recovery: {e}"));
    if seed.is_multiple_of(5) {
        // The recovery dies too.
        let dying = Faulty::new(left.clone(), 1 + seed % 23, Fault::Die { applied: seed.is_multiple_of(2) });
        let _ = Node::start(dying, boot);
    }
    let mut node = start(Faulty::new(left.clone(), 0, Fault::NoSpace))?;
    oracle.check(&node, Some(crash))?;
    if seed.is_multiple_of(3) {
        work_on(oracle, &mut node)?;
        if !crash.is_power_loss() {
            // The power fails after a process death: what was durable before both is there.
            let node =
                Node::start(Faulty::new(left.crash(Crash::Dropped, seed), 0, Fault::NoSpace), BOOT + 1);
            let node = node.map_err(|e| format!("second recovery: {e}"))?;
            for key in oracle.names.keys() {
                let (content, _) = node.get(&key.0, &key.1).map_err(|e| format!("second life: {e}"))?;
                if content != b"after" {
                    return Err(format!("{key:?}: second life has {} bytes", content.len()));
                }
            }
        }
    }
    Ok(())
}

/// Every name can be written again, and nothing useless is left behind.
fn work_on(oracle: &Oracle, node: &mut Node) -> Result<(), String> {
    for (b, n) in oracle.names.keys() {
        node.put(b, n, b"after").map_err(|e| format!("{b}/{n} after recovery: {e}"))?;
    }
    node.settle();
    let files = node.disk.inner().paths();
    let beside = files.iter().filter(|p| p.contains("/%ck/")).collect::<Vec<_>>();
    let work = files.iter().filter(|p| p.starts_with("%wk/")).count();
    if !beside.is_empty() || work > 2 {
        return Err(format!("left behind: {beside:?}, {work} work files"));
    }
    for (b, n) in oracle.names.keys() {
        if node.content(b, n).as_deref() != Some(b"after") {
            return Err(format!("{b}/{n} after recovery is not what was written"));
        }
    }
    Ok(())
}

/// Dies at call `at`; what any kind of crash leaves is checked. The number of crashes, or what is wrong.
fn death(at: u64, bug: Option<Planted>, seeds: u64) -> Result<u64, String> {
    let applied = at.wrapping_mul(7).is_multiple_of(3);
    let (_, oracle, disk) = run(at, Fault::Die { applied }, bug);
    assert!(disk.is_dead(), "call {at} was not reached");
    let mut crashes = 0;
    for crash in Crash::ALL {
        let seeds = if matches!(crash, Crash::Torn | Crash::Reordered) { seeds } else { 1 };
        for seed in 0..seeds {
            let seed = at * 31 + seed;
            crashes += 1;
            check_crash(&oracle, disk.inner(), crash, seed).map_err(|wrong| {
                let operation = disk.fired().unwrap_or_default();
                format!(
                    "died at call {at} ({operation}, applied: {applied}), {crash:?}, seed {seed}: {wrong}"
                )
            })?;
        }
    }
    Ok(crashes)
}

/// Calls of the whole script.
fn calls(bug: Option<Planted>) -> u64 {
    let (_, oracle, disk) = run(0, Fault::NoSpace, bug);
    assert!(oracle.acked >= 40, "{} operations acknowledged", oracle.acked);
    disk.calls()
}

#[test]
fn the_script_does_what_it_says() {
    let (node, oracle, _) = run(0, Fault::NoSpace, None);
    let operations = script().iter().flatten().filter(|op| !matches!(op, Op::Tend | Op::GiveUp)).count();
    assert_eq!(oracle.acked, operations, "every operation is acknowledged");
    assert!(operations >= 40);
    oracle.check(&node.unwrap(), None).unwrap();
}

#[test]
fn death_at_every_call_even() {
    let calls = calls(None);
    let crashes: u64 = (1..=calls).step_by(2).map(|at| death(at, None, 3).unwrap()).sum();
    assert!(calls > 500 && crashes > 2000, "{calls} {crashes}");
}

#[test]
fn death_at_every_call_odd() {
    for at in (2..=calls(None)).step_by(2) {
        death(at, None, 3).unwrap();
    }
}

/// A bug shows at some calls only: they are tried in an order that jumps about the script.
fn finds(bug: Planted) {
    const STRIDE: u64 = 389;
    let calls = calls(Some(bug));
    assert!(!calls.is_multiple_of(STRIDE), "the stride must visit every call");
    let found = (0..calls).any(|i| death(1 + i * STRIDE % calls, Some(bug), 4).is_err());
    assert!(found, "{bug:?} was not found");
}

macro_rules! planted {
    ($($test:ident: $bug:ident),* $(,)?) => {
        $(#[test] fn $test() { finds(Planted::$bug); })*
    };
}

planted! {
    finds_files_not_synced: NoFileSync,
    finds_names_before_records: NameBeforeRecord,
    finds_answers_before_syncs: AnswerBeforeSync,
    finds_directories_not_synced: NoDirSync,
    finds_parents_not_synced: NoParentSync,
    finds_what_lies_beside_not_synced: BesideNotSynced,
    finds_deletes_not_synced: NoSyncOnDelete,
    finds_metadata_not_synced: NoSyncOfCustom,
    finds_uploads_removed_first: UploadRemovedFirst,
    finds_escapes_without_sync: NoSyncBeforeEscape,
    finds_what_lies_beside_removed_first: BesideRemovedFirst,
}
