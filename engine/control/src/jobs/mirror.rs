//! Copies of a bucket's objects: made, or removed, until each has as many as the bucket's properties say (`make-n-copies`); or all
//! read and checked as well, so that damaged ones are made again from good ones (`scrub`); or those of all buckets of one target,
//! after it died (`put-copies`).

use std::sync::Arc;

use weir_types::Bucket;

use super::Progress;
use super::over::is_there;
use crate::core::Core;

/// Does this target's part.
pub(super) async fn copies(core: &Core, bucket: &Bucket, bid: u64, thorough: bool, progress: &Arc<Progress>) {
    let view = match core.view() {
        Ok(view) => view,
        Err(error) => return progress.fail(error.to_string()),
    };
    if !is_there(&view, bucket, bid, progress) {
        return;
    }
    let copies = view.bmd.get(bucket).map_or(1, |info| info.props.copies());
    if let Err(error) = expect_mountpaths(core, copies).await {
        progress.fail(error);
    }
    // What was begun before the bucket had its properties of now is done first.
    let settled = core.backend.settle(bucket).await;
    let done = match settled {
        Ok(()) => core.backend.even_copies(bucket, thorough, progress.clone()).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        progress.fail(error.to_string());
    }
}

/// Makes even what a process of this target that died, or a disk that failed, may have left uneven, in all buckets with copies.
pub(super) async fn even(core: &Core, progress: &Arc<Progress>) {
    let (Some(mark), Ok(view)) = (core.backend.uneven(), core.view()) else { return };
    let mut all = true;
    for (bucket, _) in view.bmd.iter().filter(|(_, info)| info.props.copies() > 1) {
        match core.backend.even_copies(bucket, false, progress.clone()).await {
            Ok(is_even) => all &= is_even,
            Err(error) => {
                all = false;
                progress.fail(format!("{bucket}: {error}"));
            }
        }
    }
    if all && !progress.is_over() {
        core.backend.seen_to(mark);
    }
}

/// There are as many mountpaths in service as copies are wanted; otherwise there are as many copies as mountpaths.
async fn expect_mountpaths(core: &Core, copies: usize) -> Result<(), String> {
    let mountpaths = core.backend.mountpaths().await.map_err(|error| error.to_string())?;
    let have = mountpaths.iter().filter(|m| m.disabled.is_none() && !m.leaving).count();
    match copies > have.max(1) {
        true => Err(format!("expected {copies} mountpaths in service for {copies} copies, have {have}")),
        false => Ok(()),
    }
}
