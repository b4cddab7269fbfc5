//! What the holders of an object have of it.

use std::sync::Arc;

use crate::{DiskErrorKind, Record, StoreError};

/// What a holder has.
pub(super) enum Here {
    Absent,
    Has(Arc<Record>),
    Damaged(StoreError),
}

impl Here {
    pub(super) fn record(&self) -> Option<&Arc<Record>> {
        match self {
            Self::Has(record) => Some(record),
            Self::Absent | Self::Damaged(_) => None,
        }
    }

    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

/// What the holders have, in their order.
pub(super) struct Seen(pub(super) Vec<Here>);

impl Seen {
    /// The greatest commit, and the first who has it.
    pub(super) fn best(&self) -> Option<(usize, &Arc<Record>)> {
        let records = self.0.iter().enumerate().filter_map(|(at, here)| Some((at, here.record()?)));
        records.rev().max_by_key(|(_, record)| record.commit)
    }

    pub(super) fn of(&self, at: usize) -> Option<&Arc<Record>> {
        self.0.get(at)?.record()
    }

    /// What is wrong with the first that is damaged, if one is.
    pub(super) fn damaged(&self) -> Option<StoreError> {
        self.0.iter().find_map(|here| match here {
            Here::Damaged(error) => Some(error.clone()),
            Here::Absent | Here::Has(_) => None,
        })
    }

    pub(super) fn is_absent(&self, at: usize) -> bool {
        self.0.get(at).is_none_or(Here::is_absent)
    }
}

/// What an error says of a copy; that the disk has no time for the question says nothing.
pub(super) fn damage(error: StoreError) -> Result<Here, StoreError> {
    match error {
        error if error.is_not_found() => Ok(Here::Absent),
        StoreError::Disk(e) if e.kind == DiskErrorKind::Busy => Err(StoreError::Disk(e)),
        error => Ok(Here::Damaged(error)),
    }
}
