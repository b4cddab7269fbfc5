//! What makes room on a node's disks: which copies have not been read for longest, and what is left over.

use std::collections::{BTreeMap, BinaryHeap};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use weir_control::{BackendError, ColdObject};
use weir_shard::{CommitError, Disk, RingDisk, WalkerPort, idle_appends};
use weir_store::{Change, ListQuery, StoreError, Volume};
use weir_types::{Bucket, BucketName, Provider, limits};

use crate::failures::commit_error;

/// Objects of one page of a walk.
const PAGE: usize = 1000;
/// The directory of work files on each disk.
const WORK_DIR: &str = "%wk";

/// Of a disk the copies that have not been read for longest, and not since then, the first first; a bounded number.
pub(crate) async fn coldest(
    walker: &WalkerPort,
    disk: &Disk,
    buckets: &[Bucket],
    unread_since_ns: u64,
) -> Result<Vec<ColdObject>, BackendError> {
    // The greatest is the one that was read last: it makes room for another.
    let mut kept: BinaryHeap<ColdObject> = BinaryHeap::new();
    for bucket in buckets {
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        loop {
            let (of, from) = (bucket.clone(), query.clone());
            let page = walker.call(disk, move |volume| async move { page(&volume, &of, &from).await });
            let (objects, next) = page.await.map_err(commit_error)??;
            for object in objects.into_iter().filter(|object| object.accessed_ns < unread_since_ns) {
                kept.push(object);
                if kept.len() > limits::EVICTIONS_MAX {
                    kept.pop();
                }
            }
            match next {
                Some(next) => query.start_after = next,
                None => break,
            }
        }
    }
    Ok(kept.into_sorted_vec())
}

async fn page(
    volume: &Volume<RingDisk>,
    bucket: &Bucket,
    query: &ListQuery,
) -> Result<(Vec<ColdObject>, Option<String>), BackendError> {
    let page = volume.list(bucket, query).await?;
    let mut objects = Vec::with_capacity(page.rows.len());
    for row in page.rows.iter() {
        let (name, listed) = (row.object_name()?, row.object()?);
        let file = match volume.open(bucket, &name).await {
            Ok(object) => object.file().and_then(|file| weir_ring::sys::fstat(file.fd()).ok()),
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error.into()),
        };
        // What has no file of its own yet was written a moment ago.
        let read = file.map(|stat| u64::try_from(stat.atime_ns).unwrap_or(0));
        objects.push(ColdObject {
            accessed_ns: read.map_or(u64::MAX, |read| read.max(listed.last_modified_ns())),
            bytes: listed.size,
            bucket: bucket.clone(),
            name,
        });
    }
    Ok((objects, page.next))
}

/// Drops what was appended to objects of a bucket and not flushed, where nobody has gone on with it since then; the bytes of
/// each. An append that comes in the same moment goes with it, and its flush is refused.
pub(crate) async fn drop_idle_appends(
    walker: &WalkerPort,
    disks: &[Disk],
    bucket: &Bucket,
    since_ns: u64,
) -> Result<Vec<u64>, BackendError> {
    let mut dropped = Vec::new();
    for disk in disks.iter().filter(|disk| disk.mountpath.poisoned().is_none()) {
        let of = bucket.clone();
        let idle = walker.call(disk, move |volume| async move { idle_appends(&volume, &of, since_ns).await });
        for append in idle.await.map_err(commit_error)?? {
            tracing::info!(%bucket, name = %append.name, upload = append.upload, "an append without a flush is dropped");
            let change = Change::DropUpload {
                bucket: bucket.clone(),
                name: append.name,
                upload: append.upload,
                map_version: None,
            };
            match disk.commits.change(change).await {
                Ok(_) => dropped.push(append.bytes),
                Err(CommitError::Store(StoreError::NoSuchUpload { .. })) => {}
                Err(error) => return Err(commit_error(error)),
            }
        }
    }
    Ok(dropped)
}

/// Has every committer begin its housekeeping: it follows a change, and there is no smaller one.
pub(crate) async fn keep_house(disks: &[Disk]) -> Result<(), BackendError> {
    let nobodys = BucketName::new("housekeeping").map_err(|e| BackendError::Failed(e.to_string()))?;
    let bucket = Bucket::global(Provider::Ais, nobodys);
    for disk in disks.iter().filter(|disk| disk.mountpath.poisoned().is_none()) {
        disk.commits.change(Change::Settle { bucket: bucket.clone() }).await.map_err(commit_error)?;
    }
    Ok(())
}

/// Work files of all disks that were last changed longer ago, with their bytes.
pub(crate) async fn work_files(
    walker: &WalkerPort,
    disks: &[Disk],
    older: Duration,
) -> Result<BTreeMap<String, u64>, BackendError> {
    let mut all = BTreeMap::new();
    for disk in disks {
        let dir = disk.path.join(WORK_DIR);
        let files = walker.call(disk, move |_| async move { old_files(&dir, older) });
        all.extend(files.await.map_err(commit_error)?);
    }
    Ok(all)
}

/// Files of a directory that were last changed longer ago, with their bytes. What goes while one looks is left out.
fn old_files(dir: &std::path::Path, older: Duration) -> Vec<(String, u64)> {
    let old = |entry: std::fs::DirEntry| {
        let found = entry.metadata().ok()?;
        let is_old = found.modified().ok()?.elapsed().is_ok_and(|age| age >= older);
        let bytes = found.blocks() * 512;
        (found.is_file() && is_old).then(|| (entry.path().display().to_string(), bytes))
    };
    std::fs::read_dir(dir).into_iter().flatten().flatten().filter_map(old).collect()
}
