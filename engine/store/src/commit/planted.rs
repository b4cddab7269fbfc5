//! Bugs put in on purpose. In production nothing can plant one: [`Committer::has_bug`] is the constant `false` there.

use super::Committer;
use crate::Disk;
use crate::journal::Bugs;

/// A bug put in on purpose, so that the crash tests show that they would find it.
#[cfg_attr(
    not(any(test, feature = "sim")),
    allow(unreachable_pub, reason = "public where bugs can be planted")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// Work files are not synced before they are named.
    NoFileSync,
    /// The record is set after the rename.
    NameBeforeRecord,
    /// The answer is given before directories are synced.
    AnswerBeforeSync,
    /// The directory of the new name is not synced.
    NoDirSync,
    /// Directories made on the way are not synced into their parents.
    NoParentSync,
    /// The file beside a large object is not synced.
    BesideNotSynced,
    /// The directory of a removed name is not synced.
    NoSyncOnDelete,
    /// Changed custom metadata is not synced.
    NoSyncOfCustom,
    /// A completed upload is removed before its object is durable.
    UploadRemovedFirst,
    /// A name is escaped while its plain predecessor's removal is not durable.
    NoSyncBeforeEscape,
    /// The file beside the old object is removed before the new object is visible.
    BesideRemovedFirst,
    /// A failed sync is taken for a success.
    SyncErrorIgnored,
    /// Caches of open objects hear of a change only when it is visible and durable.
    BumpAfterRename,
    /// Writes of one name that come together are planned side by side: each finds the same version before it.
    SameVersionTwice,
    /// The journal is not synced before the answer.
    JournalNotSynced,
    /// A removal leaves no entry in the journal.
    NoTombstone,
    /// A segment of the journal is used again before its files are durable.
    SegmentReusedEarly,
    /// A torn batch of the journal is taken for a whole one.
    TornBatchAccepted,
    /// A batch that an earlier use of its segment left is taken for one of this use.
    StaleBatchAccepted,
    /// A name that the journal alone keeps is changed by another way.
    OtherWayBeforeDurable,
    /// An object that comes from another mountpath goes over a newer one.
    AdoptOverNewer,
}

pub(super) use Planted as Bug;

impl<D: Disk> Committer<D> {
    pub(super) fn journal_bugs(&self) -> Bugs {
        Bugs {
            not_synced: self.has_bug(Bug::JournalNotSynced),
            reused_early: self.has_bug(Bug::SegmentReusedEarly),
            torn_accepted: self.has_bug(Bug::TornBatchAccepted),
            stale_accepted: self.has_bug(Bug::StaleBatchAccepted),
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(super) fn has_bug(&self, bug: Bug) -> bool {
        self.planted == Some(bug)
    }
    #[cfg(not(any(test, feature = "sim")))]
    pub(super) const fn has_bug(&self, _bug: Bug) -> bool {
        false
    }
}
