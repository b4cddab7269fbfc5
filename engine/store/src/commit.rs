use std::sync::Arc;

use crate::{Disk, Mountpath, Recovered, Request, StoreError, Volume};

/// A bug put in on purpose, so that the crash tests show that they would find it.
#[cfg(any(test, feature = "sim"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// Work files are not synced.
    NoFileSync,
}

/// The one writer of a mountpath's names.
pub struct Committer<D: Disk> {
    volume: Volume<D>,
}

impl<D: Disk> Committer<D> {
    /// The committer of a mountpath; there must be one only.
    pub fn new(disk: D, mountpath: Arc<Mountpath<D::File>>) -> Self {
        Self { volume: Volume::new(disk, mountpath) }
    }

    /// Its own view of the mountpath.
    pub fn volume(&self) -> &Volume<D> {
        &self.volume
    }

    /// Clears what an earlier process left. Called once, before the first change. It walks no objects.
    pub async fn recover(&mut self) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    /// Carries out a batch (at most [`weir_types::limits::COMMIT_BATCH_MAX`] is best) and answers each request once,
    /// when its change is as durable as asked. Changes of one name happen in the batch's order; syncs run together.
    pub async fn execute(&mut self, batch: Vec<Request<D::File>>) {
        for request in batch {
            (request.reply)(Err(StoreError::Abandoned("not carried out")));
        }
    }

    /// Housekeeping, a bounded step of it: removes abandoned work files, makes ready ones, looks for orphans.
    /// Whether there is more to do. Called by the owner after batches and when idle.
    pub async fn tend(&mut self) -> bool {
        false
    }
}
