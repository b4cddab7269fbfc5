use std::sync::Arc;

use weir_types::{Bucket, ObjectName};

use crate::generation::Slot;
use crate::work::WorkFile;
use crate::{DiskPath, Lead, Outcome, Record, Reply, StoreError};

/// What makes a planned change visible.
pub(super) enum Action<F> {
    /// A work file gets a name.
    File {
        work: WorkFile<F>,
        /// What lies beside it, and its name.
        beside: Option<(WorkFile<F>, DiskPath)>,
        to: DiskPath,
        /// Directories to sync before, where they exist: a new escaped name must not meet its plain predecessor.
        before: Vec<DiskPath>,
        /// The record, already set on the work file.
        record: Vec<u8>,
    },
    /// A file goes away.
    Remove { path: DiskPath },
    /// A file gets another record.
    Record { file: F, record: Vec<u8> },
    /// A directory goes away with all it holds.
    Tree { path: DiskPath },
    /// A cold flight is led or joined.
    Cold,
    /// There is nothing to do, or it is done.
    None,
}

/// What a listing shows of the name afterwards.
pub(super) enum Listed {
    Set(Arc<Record>),
    Gone,
    Same,
}

/// One change on its way through a round.
pub(super) struct Step<F> {
    pub(super) reply: Option<Reply<F>>,
    pub(super) outcome: Option<Outcome<F>>,
    pub(super) error: Option<StoreError>,
    /// Bucket and object; no object: the bucket as a whole.
    pub(super) name: (Bucket, Option<ObjectName>),
    pub(super) action: Action<F>,
    pub(super) listed: Listed,
    pub(super) durable: bool,
    pub(super) removal: bool,
    /// Whether step 4 was done.
    pub(super) visible: bool,
    /// The path that step 4 made or removed.
    pub(super) touched: Option<DiskPath>,
    pub(super) changed_file: Option<F>,
    /// The file beside the object that this change replaces or removes.
    pub(super) stale_beside: Option<DiskPath>,
    /// The file beside the new object, once it has its name.
    pub(super) placed_beside: Option<DiskPath>,
    /// Directory from which empty ones are removed upwards, and the one that stays.
    pub(super) empty_below: Option<(DiskPath, DiskPath)>,
    /// Directory of the upload that this change completes.
    pub(super) done_upload: Option<DiskPath>,
    /// Change of the number of uploads.
    pub(super) uploads_more: i8,
    pub(super) flight: Option<Lead<F>>,
}

impl<F> Step<F> {
    pub(super) fn new(bucket: Bucket, name: Option<ObjectName>, action: Action<F>) -> Self {
        Self {
            reply: None,
            outcome: None,
            error: None,
            name: (bucket, name),
            action,
            listed: Listed::Same,
            durable: false,
            removal: false,
            visible: false,
            touched: None,
            changed_file: None,
            stale_beside: None,
            placed_beside: None,
            empty_below: None,
            done_upload: None,
            uploads_more: 0,
            flight: None,
        }
    }

    pub(super) fn changes_names(&self) -> bool {
        !matches!(self.action, Action::Cold | Action::None)
    }

    /// The slot of the generation table, where an object changes.
    pub(super) fn slot(&self) -> Option<Slot> {
        let (bucket, name) = &self.name;
        match self.listed {
            Listed::Same => None,
            Listed::Set(_) | Listed::Gone => name.as_ref().map(|name| Slot::of(bucket, name)),
        }
    }

    /// Whether it changes every name of a bucket.
    pub(super) fn changes_all(&self) -> bool {
        self.name.1.is_none() && self.changes_names()
    }

    /// For the planted bug that answers before it syncs.
    pub(super) fn answer_early(&mut self) {
        if self.error.is_none()
            && self.visible
            && self.reply.is_some()
            && let (Some(outcome), Some(reply)) = (self.outcome.take(), self.reply.take())
        {
            reply(Ok(outcome));
        }
    }
}
