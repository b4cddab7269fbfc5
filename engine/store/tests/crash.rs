//! The store dies at every disk call of a script in turn, and its unsynced writes are kept, dropped, torn or reordered:
//! nothing acknowledged is lost, nothing torn is visible, recovery succeeds. Bugs put in on purpose are found.

mod common;

use common::crashes::Way;

crate::crash_tests! {
    Way::Files,
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
