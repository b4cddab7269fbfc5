//! What was left over by work that came to nothing, appends that nobody flushed among it, is removed (`cleanup-store`).

use std::time::Duration;

use weir_cluster::ClusterView;

use super::Progress;
use super::over::is_at_rest;
use crate::core::Core;
use crate::{BackendError, now_ns, runtime};

/// What housekeeping may take before one looks what it came to.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

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

pub(super) fn nanos(time: Duration) -> u64 {
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
