//! Making room: where a disk is fuller than it may be, objects go, least recently read first (`lru`). At somebody's command
//! these are copies of remote objects; what a target begins by itself takes the objects of buckets with `lru.enabled`, which are
//! the only ones there are where the bucket is no remote one.

use std::collections::BTreeMap;

use weir_cluster::ClusterView;
use weir_store::{StoreError, Terms};
use weir_types::{Access, Bucket};

use super::Progress;
use super::over::{AGAIN, passes};
use super::tidy::nanos;
use crate::core::Core;
use crate::{BackendError, ColdObject, MountpathFacts, gather, now_ns, runtime};

/// Evicts copies of these remote buckets, or of all, from each mountpath that is filled above the high watermark, down to the
/// low one. What was read lately stays.
pub(super) async fn copies(core: &Core, buckets: &[Bucket], progress: &Progress) {
    let Ok(view) = core.view() else { return };
    let remote = view.bmd.iter().map(|(bucket, _)| bucket).filter(|bucket| bucket.provider.is_remote());
    let chosen = remote.filter(|bucket| buckets.is_empty() || buckets.contains(bucket));
    evict(core, &view, chosen.cloned().collect(), progress).await;
}

/// The same of all buckets that are switched on for it.
pub(super) async fn make_room(core: &Core, progress: &Progress) {
    let Ok(view) = core.view() else { return };
    evict(core, &view, switched_on(&view), progress).await;
}

/// The buckets from which objects go by themselves.
pub(super) fn switched_on(view: &ClusterView) -> Vec<Bucket> {
    // Nothing changes in a bucket that is about to go, or to have another name.
    let stays =
        |bucket: &Bucket| !view.bmd.removing().contains(bucket) && view.jobs.renaming(bucket).is_none();
    let on = view.bmd.iter().filter(|(bucket, info)| {
        info.props.lru.enabled && info.props.access.allows(Access::DELETE_OBJECT) && stays(bucket)
    });
    on.map(|(bucket, _)| bucket.clone()).collect()
}

async fn evict(core: &Core, view: &ClusterView, buckets: Vec<Bucket>, progress: &Progress) {
    // One at a time: two would each free as much as there is too much.
    let _turn = loop {
        match core.evicting.try_lock() {
            Ok(turn) => break turn,
            Err(_) if progress.is_over() => return,
            Err(_) => runtime::sleep(AGAIN).await,
        }
    };
    let mountpaths = match core.backend.mountpaths().await {
        Ok(mountpaths) => mountpaths,
        Err(error) => return progress.fail(error.to_string()),
    };
    let mut freed: BTreeMap<(&str, [i32; 2]), u64> = BTreeMap::new();
    for mountpath in mountpaths.iter().filter(|mountpath| mountpath.disabled.is_none()) {
        let excess = view.config.space.excess(mountpath.used, mountpath.total());
        // Mountpaths of one file system have their excess in common.
        let before = freed.entry((mountpath.device.as_str(), mountpath.fs_id)).or_default();
        let goal = excess.saturating_sub(*before);
        if goal == 0 || buckets.is_empty() {
            continue;
        }
        match free(core, view, mountpath, &buckets, goal, progress).await {
            Ok(bytes) => *before = before.saturating_add(bytes),
            Err(error) => progress.fail(format!("{}: {error}", mountpath.path)),
        }
    }
}

/// Frees so many bytes, as far as there is something that may go; how many it were.
async fn free(
    core: &Core,
    view: &ClusterView,
    mountpath: &MountpathFacts,
    buckets: &[Bucket],
    goal: u64,
    progress: &Progress,
) -> Result<u64, BackendError> {
    let unread_since_ns = now_ns().saturating_sub(nanos(view.config.lru.dont_evict_time));
    let mut freed = 0;
    loop {
        let cold = core.backend.coldest(&mountpath.path, buckets, unread_since_ns).await?;
        let before = freed;
        for object in cold {
            if freed >= goal || progress.is_over() {
                return Ok(freed);
            }
            let evicted = loop {
                match evict_one(core, &object).await {
                    Err(error) if passes(&error) && !progress.is_over() => runtime::sleep(AGAIN).await,
                    evicted => break evicted?,
                }
            };
            if evicted {
                freed += object.bytes;
                progress.count(object.bytes);
            }
        }
        if freed == before || freed >= goal {
            // There is nothing else that may go, or it is enough.
            return Ok(freed);
        }
    }
}

async fn evict_one(core: &Core, object: &ColdObject) -> Result<bool, BackendError> {
    let ColdObject { bucket, name, .. } = object;
    if bucket.provider.is_remote() {
        return core.backend.evict_object(bucket, name).await;
    }
    // Nothing brings it back: it goes as it was seen, by its owner's hand, and from everywhere.
    let Ok(views) = core.raft.views() else { return Ok(false) };
    if !views.load().is_own(bucket, name.as_str()) {
        return Ok(false);
    }
    gather::own(core.backend.as_ref(), views, bucket, name).await?;
    let terms = Terms { if_unmodified_since_ns: Some(object.accessed_ns), ..Terms::default() };
    match core.backend.delete_object(bucket, name, &terms).await {
        Err(BackendError::Store(StoreError::Precondition { .. })) => Ok(false),
        Err(BackendError::Store(error)) if error.is_not_found() => Ok(false),
        removed => removed,
    }
}
