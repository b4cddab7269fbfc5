//! Deaths at disk calls of the script, and what they leave: the harness of the crash tests.

use weir_store::Planted;
use weir_store::sim::{Crash, Fault, Faulty, SimDisk};

use super::oracle::{Op, Oracle};
use super::script::script;
use super::*;

/// Which way small changes go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// As large ones do.
    Files,
    /// Through the journal.
    Journal,
}

impl Way {
    pub fn options(self, boot: u8) -> MountpathOptions {
        match self {
            Self::Files => options(boot),
            Self::Journal => journaled(boot),
        }
    }
}

/// Bugs of reading the journal are the recovery's.
fn in_recovery(bug: Option<Planted>) -> Option<Planted> {
    bug.filter(|b| matches!(b, Planted::TornBatchAccepted | Planted::StaleBatchAccepted))
}

const BOOT: u8 = 1;

/// Runs the script on a disk that fails at call `at`.
pub fn run(way: Way, at: u64, fault: Fault, bug: Option<Planted>) -> (Option<Node>, Oracle, Faulty) {
    let disk = Faulty::new(SimDisk::new(), at, fault);
    let mut oracle = Oracle::new();
    let Ok(mut node) = Node::start_with(disk.clone(), way.options(BOOT)) else { return (None, oracle, disk) };
    if let Some(bug) = bug {
        node.committer.plant(bug);
    }
    for (i, batch) in script().iter().enumerate() {
        oracle.run(&mut node, batch);
        node.pass_time(i);
        if disk.is_dead() {
            break;
        }
    }
    (Some(node), oracle, disk)
}

/// What a crash of `disk` leaves is checked, and then works on.
fn check_crash(
    way: Way,
    bug: Option<Planted>,
    oracle: &Oracle,
    disk: &SimDisk,
    crash: Crash,
    seed: u64,
) -> Result<(), String> {
    let boot = if crash.is_power_loss() { BOOT + 1 } else { BOOT };
    let left = disk.crash(crash, seed);
    let start = |disk: Faulty| {
        Node::start_planted(disk, way.options(boot), bug).map_err(|e| format!("recovery: {e}"))
    };
    if seed.is_multiple_of(5) {
        // The recovery dies too.
        let dying = Faulty::new(left.clone(), 1 + seed % 61, Fault::Die { applied: seed.is_multiple_of(2) });
        let _ = start(dying);
    }
    let mut node = start(Faulty::new(left.clone(), 0, Fault::NoSpace))?;
    oracle.check(&node, Some(crash))?;
    if seed.is_multiple_of(3) {
        work_on(oracle, &mut node)?;
        if !crash.is_power_loss() {
            // The power fails after a process death: what was durable before both is there.
            let left = Faulty::new(left.crash(Crash::Dropped, seed), 0, Fault::NoSpace);
            let node = Node::start_with(left, way.options(BOOT + 1));
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
pub fn death(way: Way, at: u64, bug: Option<Planted>, seeds: u64) -> Result<u64, String> {
    let applied = at.wrapping_mul(7).is_multiple_of(3);
    let (_, oracle, disk) = run(way, at, Fault::Die { applied }, bug);
    assert!(disk.is_dead(), "call {at} was not reached");
    let mut crashes = 0;
    for crash in Crash::ALL {
        let seeds = if matches!(crash, Crash::Torn | Crash::Reordered) { seeds } else { 1 };
        for seed in 0..seeds {
            let seed = at * 31 + seed;
            crashes += 1;
            check_crash(way, in_recovery(bug), &oracle, disk.inner(), crash, seed).map_err(|wrong| {
                let operation = disk.fired().unwrap_or_default();
                format!(
                    "died at call {at} ({operation}, applied: {applied}), {crash:?}, seed {seed}: {wrong}"
                )
            })?;
        }
    }
    Ok(crashes)
}

/// The script does what it says where nothing fails.
pub fn undisturbed(way: Way) {
    let (node, oracle, _) = run(way, 0, Fault::NoSpace, None);
    let operations = script().iter().flatten().filter(|op| !matches!(op, Op::Tend | Op::GiveUp)).count();
    assert_eq!(oracle.acked, operations, "every operation is acknowledged");
    assert!(operations >= 40);
    oracle.check(&node.unwrap(), None).unwrap();
}

/// Deaths at every second call from `first` on: how many calls the script has, and how many crashes were checked.
pub fn deaths(way: Way, first: u64) -> (u64, u64) {
    let calls = calls(way, None);
    (calls, (first..=calls).step_by(2).map(|at| death(way, at, None, 3).unwrap()).sum())
}

/// Calls of the whole script.
pub fn calls(way: Way, bug: Option<Planted>) -> u64 {
    let (_, oracle, disk) = run(way, 0, Fault::NoSpace, bug);
    assert!(oracle.acked >= 40, "{} operations acknowledged", oracle.acked);
    disk.calls()
}

/// A bug shows at some calls only: they are tried in an order that jumps about the script.
pub fn finds(way: Way, bug: Planted) {
    const STRIDE: u64 = 389;
    let calls = calls(way, Some(bug));
    assert!(!calls.is_multiple_of(STRIDE), "the stride must visit every call");
    let found = (0..calls).any(|i| death(way, 1 + i * STRIDE % calls, Some(bug), 4).is_err());
    assert!(found, "{bug:?} was not found");
}

/// The tests of one way: the script undisturbed, death at each of its calls, and bugs that must be found.
#[macro_export]
macro_rules! crash_tests {
    ($way:expr, $($test:ident: $bug:ident),* $(,)?) => {
        #[test]
        fn the_script_does_what_it_says() {
            common::crashes::undisturbed($way);
        }

        #[test]
        fn death_at_every_call_even() {
            let (calls, crashes) = common::crashes::deaths($way, 1);
            assert!(calls > 500 && crashes > 2000, "{calls} {crashes}");
        }

        #[test]
        fn death_at_every_call_odd() {
            common::crashes::deaths($way, 2);
        }

        $(#[test] fn $test() { common::crashes::finds($way, weir_store::Planted::$bug); })*
    };
}
