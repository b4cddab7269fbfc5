//! The same where small changes go through the journal: the store dies at every disk call of a script in turn, and its unsynced writes are kept, dropped, torn or reordered:
//! nothing acknowledged is lost, nothing torn is visible, recovery succeeds. Bugs put in on purpose are found.

mod common;

use common::crashes::{Way, calls, death, finds, run};
use common::oracle::Op;
use common::script::script;
use weir_store::Planted;
use weir_store::sim::Fault;

const WAY: Way = Way::Journal;

#[test]
fn the_script_does_what_it_says() {
    let (node, oracle, _) = run(WAY, 0, Fault::NoSpace, None);
    let operations = script().iter().flatten().filter(|op| !matches!(op, Op::Tend | Op::GiveUp)).count();
    assert_eq!(oracle.acked, operations, "every operation is acknowledged");
    assert!(operations >= 40);
    oracle.check(&node.unwrap(), None).unwrap();
}

#[test]
fn death_at_every_call_even() {
    let calls = calls(WAY, None);
    let crashes: u64 = (1..=calls).step_by(2).map(|at| death(WAY, at, None, 3).unwrap()).sum();
    assert!(calls > 500 && crashes > 2000, "{calls} {crashes}");
}

#[test]
fn death_at_every_call_odd() {
    for at in (2..=calls(WAY, None)).step_by(2) {
        death(WAY, at, None, 3).unwrap();
    }
}

macro_rules! planted {
    ($($test:ident: $bug:ident),* $(,)?) => {
        $(#[test] fn $test() { finds(WAY, Planted::$bug); })*
    };
}

planted! {
    finds_a_journal_not_synced: JournalNotSynced,
    finds_removals_without_an_entry: NoTombstone,
    finds_segments_used_again_too_early: SegmentReusedEarly,
    finds_torn_batches_accepted: TornBatchAccepted,
    finds_stale_batches_accepted: StaleBatchAccepted,
    finds_another_way_taken_before_the_file_is_durable: OtherWayBeforeDurable,
    finds_files_not_synced: NoFileSync,
    finds_metadata_not_synced: NoSyncOfCustom,
    finds_uploads_removed_first: UploadRemovedFirst,
}
