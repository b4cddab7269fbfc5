//! Deaths as in `crash.rs`, where small changes go through the journal, and the bugs that only the journal can have.

mod common;

use common::crashes::Way;

crate::crash_tests! {
    Way::Journal,
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
