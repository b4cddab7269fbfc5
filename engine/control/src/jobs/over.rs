//! What the kinds that go over the objects of a bucket have in common.

use std::time::Duration;

use weir_cluster::ClusterView;
use weir_store::StoreError;
use weir_types::{Bucket, ObjectName};

use super::Progress;
use crate::core::Core;
use crate::{BackendError, runtime};

/// Objects of one page of a prefix.
pub(super) const PAGE: usize = 1000;
/// Names that are looked at before others have their turn on the thread.
const TURN: usize = 256;
/// Before an object is tried again that the disk, or the cluster, had no time for.
pub(super) const AGAIN: Duration = Duration::from_millis(200);

/// Names as many at a time as are looked at in one turn on the thread. No object has a name that none can have: it is left out.
pub(super) fn turns(mut names: impl Iterator<Item = String>) -> impl Iterator<Item = Vec<ObjectName>> {
    std::iter::from_fn(move || {
        let mut some = names.by_ref().take(TURN).peekable();
        some.peek()?;
        Some(some.filter_map(|name| ObjectName::new(name).ok()).collect())
    })
}

/// Whether a bucket is there and the one that a job was begun for; if not, the job knows.
pub(super) fn is_there(view: &ClusterView, bucket: &Bucket, bid: u64, progress: &Progress) -> bool {
    let is_there = view.bmd.get(bucket).is_some_and(|info| info.bid == bid);
    if !is_there {
        progress.fail(format!("bucket \"{bucket}\" was removed meanwhile"));
    }
    is_there
}

/// Whether no object is on its way to its owner: all are there, or a rebalance has ended that could not move the rest, whose
/// owners ask for it where it is.
pub(super) fn is_at_rest(view: &ClusterView) -> bool {
    let Some(moving) = &view.moving else { return true };
    let mut jobs = view.jobs.rebalances_to(moving.version).peekable();
    jobs.peek().is_some() && jobs.all(|job| !job.runs() && job.stopped.is_none())
}

/// Waits until no object is on its way to its owner, while the job goes on; the version of the map that says so.
pub(super) async fn at_rest(core: &Core, goes_on: impl Fn() -> bool) -> u64 {
    loop {
        let view = core.view();
        if !goes_on() || view.as_ref().is_ok_and(|view| is_at_rest(view)) {
            return view.map_or(0, |view| view.smap.version);
        }
        runtime::sleep(AGAIN).await;
    }
}

/// What became of a page that was asked for.
pub(super) enum Paged<P> {
    /// It came.
    Came(P),
    /// It may come shortly; the pause before is over.
    Again,
    /// It will not, and the job knows.
    Failed,
}

/// A page, as it came to a job.
pub(super) async fn paged<P>(asked: Result<P, BackendError>, progress: &Progress) -> Paged<P> {
    match asked {
        Ok(page) => Paged::Came(page),
        Err(error) if passes(&error) => {
            runtime::sleep(AGAIN).await;
            Paged::Again
        }
        Err(error) => {
            progress.fail(error.to_string());
            Paged::Failed
        }
    }
}

/// Whether the same may go well shortly: too much is under way, or the cluster does not count on this target at the moment.
pub(super) fn passes(error: &BackendError) -> bool {
    matches!(error, BackendError::Busy(_) | BackendError::Store(StoreError::NoLease | StoreError::NotOwner))
}
