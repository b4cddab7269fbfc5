//! Making room: copies of remote objects go, least recently read first, where a disk is fuller than it may be (`lru`), and what
//! was left over by work that came to nothing, appends that nobody flushed among it (`cleanup-store`).

use std::time::Duration;

use weir_cluster::ClusterView;
use weir_types::Bucket;

use super::Progress;
use super::over::is_at_rest;
use crate::core::Core;
use crate::{BackendError, MountpathFacts, now_ns, runtime};

/// Before an object is tried again that the disk had no time for.
const AGAIN: Duration = Duration::from_millis(200);
/// What housekeeping may take before one looks what it came to.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

/// Evicts copies of these remote buckets, or of all, from each mountpath that is filled above the high watermark, down to the
/// low one. What was read lately stays.
pub(super) async fn evict(core: &Core, buckets: &[Bucket], progress: &Progress) {
    let Ok(view) = core.view() else { return };
    let remote = view.bmd.iter().map(|(bucket, _)| bucket).filter(|bucket| bucket.provider.is_remote());
    let chosen = remote.filter(|bucket| buckets.is_empty() || buckets.contains(bucket));
    let buckets: Vec<Bucket> = chosen.cloned().collect();
    let mountpaths = match core.backend.mountpaths().await {
        Ok(mountpaths) => mountpaths,
        Err(error) => return progress.fail(error.to_string()),
    };
    for mountpath in mountpaths.iter().filter(|mountpath| mountpath.disabled.is_none()) {
        let goal = over(&view, mountpath);
        if goal > 0
            && !buckets.is_empty()
            && let Err(error) = free(core, &view, mountpath, &buckets, goal, progress).await
        {
            progress.fail(format!("{}: {error}", mountpath.path));
        }
    }
}

/// Bytes that are to go from a mountpath: down to the low watermark, once it is above the high one.
fn over(view: &ClusterView, mountpath: &MountpathFacts) -> u64 {
    let total = mountpath.used.saturating_add(mountpath.free);
    let share = |percent: i64| {
        let bytes = u128::from(total) * u128::from(percent.unsigned_abs()) / 100;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    };
    let space = &view.config.space;
    match mountpath.used > share(space.highwm) {
        true => mountpath.used.saturating_sub(share(space.lowwm)),
        false => 0,
    }
}

async fn free(
    core: &Core,
    view: &ClusterView,
    mountpath: &MountpathFacts,
    buckets: &[Bucket],
    goal: u64,
    progress: &Progress,
) -> Result<(), BackendError> {
    let unread_since_ns = now_ns().saturating_sub(nanos(view.config.lru.dont_evict_time));
    let mut freed = 0;
    while freed < goal && !progress.is_over() {
        let cold = core.backend.coldest(&mountpath.path, buckets, unread_since_ns).await?;
        let before = freed;
        for object in cold {
            if freed >= goal || progress.is_over() {
                return Ok(());
            }
            let evicted = loop {
                match core.backend.evict_object(&object.bucket, &object.name).await {
                    Err(BackendError::Busy(_)) if !progress.is_over() => runtime::sleep(AGAIN).await,
                    evicted => break evicted?,
                }
            };
            if evicted {
                freed += object.bytes;
                progress.count(object.bytes);
            }
        }
        if freed == before {
            // There is nothing that may go.
            return Ok(());
        }
    }
    Ok(())
}

/// Drops what was appended and not flushed, where that was left alone for longer.
async fn drop_appends(core: &Core, view: &ClusterView, older: Duration, progress: &Progress) {
    // What is on its way to its owner is another time's.
    if !is_at_rest(view) {
        return;
    }
    let since_ns = now_ns().saturating_sub(nanos(older));
    for (bucket, _) in view.bmd.iter().filter(|(bucket, _)| !bucket.provider.is_remote()) {
        if progress.is_over() {
            return;
        }
        match core.backend.drop_idle_appends(bucket, since_ns).await {
            Ok(dropped) => dropped.into_iter().for_each(|bytes| progress.count(bytes)),
            Err(error) => progress.fail(format!("{bucket}: {error}")),
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Removes what work that came to nothing has left and nobody uses any more.
pub(super) async fn clean(core: &Core, progress: &Progress) {
    let Ok(view) = core.view() else { return };
    let older = view.config.space.dont_cleanup_time;
    drop_appends(core, &view, older, progress).await;
    let removed = async {
        let before = core.backend.work_files(older).await?;
        core.backend.keep_house().await?;
        runtime::sleep(HOUSEKEEPING).await;
        let after = core.backend.work_files(older).await?;
        Ok::<_, BackendError>(before.into_iter().filter(move |(name, _)| !after.contains_key(name)))
    };
    match removed.await {
        Ok(removed) => removed.for_each(|(_, bytes)| progress.count(bytes)),
        Err(error) => progress.fail(error.to_string()),
    }
}
