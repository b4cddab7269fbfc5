//! The node as its control core sees it: disks through the walker and the committers, origins through their handle.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_channel::oneshot;
use weir_cluster::{FileState, Promotable, hrw};
use weir_control::{
    Backend, BackendError, BackendFuture, ColdObject, CopyCall, DiskCounters, LocalPage, Merge,
    MountpathChange, MountpathFacts, Place, PromoteCall, RemoteEntry, RemoteOrigin, RemotePage, RemoteQuery,
    Upload, union,
};
use weir_origin::{OriginsHandle, RemoteBucket};
use weir_ring::Sender;
use weir_shard::{
    CommitError, CopyTask, Disk, DiskSet, Disks, Errand, HealthBounds, Inbound, Pass, PromoteDirs,
    PromoteError, PromoteTask, RingFile, ShardMetrics, WalkerPort,
};
use weir_store::{Change, Durability, ListQuery, Page, Record, Terms, Watch};
use weir_types::{Bucket, ObjectName, Provider};

use crate::failures::{commit_error, no_room, origin_error, outcome};
use crate::health::HealthChecks;
use crate::keeper::{KeeperPort, Labels};
use crate::{figures, mounts, tidy};

/// Disks, walker and origins of this node.
pub(crate) struct NodeBackend {
    pub(crate) disks: Disks,
    pub(crate) walker: WalkerPort,
    pub(crate) keeper: KeeperPort,
    pub(crate) origins: Option<OriginsHandle>,
    pub(crate) metrics: Vec<Arc<ShardMetrics>>,
    pub(crate) ready: Arc<AtomicBool>,
    /// The way to the shards, and whose turn it is.
    pub(crate) shards: Vec<Sender<Inbound>>,
    pub(crate) turn: AtomicUsize,
    /// The directories whose files may become objects.
    pub(crate) promote: PromoteDirs,
    /// What the operator calls the mountpaths.
    pub(crate) labels: Labels,
    pub(crate) health: HealthChecks,
}

impl NodeBackend {
    async fn page_of(&self, disk: &Disk, bucket: &Bucket, query: &ListQuery) -> Result<Page, BackendError> {
        let (bucket, query) = (bucket.clone(), query.clone());
        let page = self.walker.call(disk, move |volume| async move { volume.list(&bucket, &query).await });
        Ok(page.await.map_err(commit_error)??)
    }

    /// One page of the disks of a set.
    async fn page(
        &self,
        set: &DiskSet,
        bucket: &Bucket,
        query: &ListQuery,
    ) -> Result<LocalPage, BackendError> {
        let mut merge = Merge::new(query.clone(), set.disks.len());
        loop {
            let questions = merge.questions();
            if questions.is_empty() {
                return Ok(merge.finish());
            }
            let asked = questions.iter().map(|(at, query)| self.page_of(&set.disks[*at], bucket, query));
            let pages = futures_util::future::try_join_all(asked).await?;
            for ((at, _), page) in questions.into_iter().zip(pages) {
                let mountpath = set.disks[at].path.display().to_string().into();
                merge.answer(at, LocalPage::at(Place { mountpath, target: Arc::default() }, page));
            }
        }
    }

    /// What a disk that is out of service forbids, since it cannot be done there.
    fn refuse_away(&self, bucket: &Bucket) -> Result<(), BackendError> {
        match self.disks.load().away.first().filter(|_| !bucket.provider.is_remote()) {
            Some(away) => Err(BackendError::Busy(format!(
                "mountpath {} is out of service: enable it, or detach it to give up what it holds",
                away.path.display()
            ))),
            None => Ok(()),
        }
    }

    /// Does something at every disk that there is, until it was done at all of one set.
    async fn at_all(&self, change: impl Fn() -> Change<RingFile>) -> Result<(), BackendError> {
        loop {
            let set = self.disks.now();
            let done = set.disks.iter().map(|disk| disk.commits.change(change()));
            futures_util::future::try_join_all(done).await.map_err(commit_error)?;
            if self.disks.load().version == set.version {
                return Ok(());
            }
        }
    }

    /// Has the walker do what may wait for a disk, with the directories whose files may become objects.
    async fn in_promote_dirs<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&PromoteDirs, &str) -> Result<T, PromoteError> + Send + 'static,
    ) -> Result<T, BackendError> {
        let set = self.disks.now();
        let disk = set.disks.first().ok_or_else(|| BackendError::Busy("no disk is in service".into()))?;
        let (dirs, path) = (self.promote.clone(), path.to_owned());
        let done = self.walker.call(disk, move |_| async move { work(&dirs, &path) });
        done.await.map_err(commit_error)?.map_err(|error| BackendError::Failed(error.to_string()))
    }

    /// Has an object, or an upload of it, here that is this node's; the bytes of an object that another one gave up.
    async fn own(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
        upload: Option<String>,
    ) -> Result<Option<u64>, BackendError> {
        let busy = |what: &str| BackendError::Busy(what.into());
        let digest = hrw::object_digest(bucket, name.as_str());
        let shard = self.shards.get((digest % self.shards.len().max(1) as u64) as usize);
        let shard = shard.ok_or_else(|| busy("no shard is in service"))?;
        let (tell, told) = oneshot::channel();
        let errand = Errand { bucket: bucket.clone(), name: name.clone(), upload, tell };
        shard.send(Inbound::Errand(errand)).map_err(|_| busy("too much waits for the shard"))?;
        told.await.map_err(|_| busy("too much waits for the shard"))?.map_err(BackendError::Busy)
    }

    /// Gives work to the shard whose turn it is.
    fn give(&self, work: Inbound) -> Result<(), BackendError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.shards.len().max(1);
        let shard = self.shards.get(turn).ok_or_else(no_room)?;
        shard.send(work).map_err(|_| no_room())
    }

    fn origin(&self, provider: Provider) -> Result<&OriginsHandle, BackendError> {
        let serving = self.origins.as_ref().filter(|o| o.serves(provider));
        serving.ok_or(BackendError::NotConfigured(provider))
    }
}

impl Backend for NodeBackend {
    fn list_page<'a>(&'a self, bucket: &'a Bucket, query: &'a ListQuery) -> BackendFuture<'a, LocalPage> {
        Box::pin(async move {
            self.refuse_away(bucket)?;
            loop {
                let set = self.disks.now();
                let mut page = self.page(&set, bucket, query).await;
                if !set.settled && page.is_ok() {
                    // A name may have gone, between the questions, from a disk not asked yet to one that was: then the
                    // second time finds it.
                    let again = self.page(&set, bucket, query).await;
                    page = page.and_then(|page| Ok(union(&[page, again?], query.limit)?));
                }
                if self.disks.load().version == set.version {
                    return page;
                }
            }
        })
    }

    fn object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<Record>> {
        Box::pin(async move {
            match self.walker.head(bucket, name).await {
                Ok(record) => Ok(Some(Record::clone(&record))),
                Err(CommitError::Store(error)) if error.is_not_found() => Ok(None),
                Err(error) => Err(commit_error(error)),
            }
        })
    }

    fn delete_object<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        terms: &'a Terms,
    ) -> BackendFuture<'a, bool> {
        Box::pin(async move {
            if bucket.provider.is_remote() {
                return Err(BackendError::Unsupported("deleting from a remote bucket".into()));
            }
            let change = Change::Delete {
                bucket: bucket.clone(),
                name: name.clone(),
                terms: terms.clone(),
                durability: Durability::Durable,
            };
            match self.walker.change(change).await {
                Ok(_) => Ok(true),
                Err(CommitError::Store(error)) if error.is_not_found() && terms.is_empty() => Ok(false),
                Err(error) => Err(commit_error(error)),
            }
        })
    }

    fn copy_object<'a>(&'a self, call: &'a CopyCall) -> BackendFuture<'a, Option<u64>> {
        Box::pin(async move {
            let (done, copied) = oneshot::channel();
            let task = CopyTask {
                from: call.from.clone(),
                name: call.name.clone(),
                to: call.to.clone(),
                as_name: call.as_name.clone(),
                if_absent: call.if_absent,
                done,
            };
            self.give(Inbound::Copy(task))?;
            outcome(copied.await)
        })
    }

    fn promotable<'a>(&'a self, path: &'a str) -> BackendFuture<'a, Promotable> {
        Box::pin(self.in_promote_dirs(path, |dirs, path| dirs.look(path)))
    }

    fn promotable_dir<'a>(&'a self, path: &'a str) -> BackendFuture<'a, (Vec<String>, Vec<String>)> {
        Box::pin(async move {
            let found = self.in_promote_dirs(path, |dirs, path| dirs.list(path)).await?;
            Ok((found.files, found.dirs))
        })
    }

    fn file_state<'a>(&'a self, path: &'a str) -> BackendFuture<'a, FileState> {
        Box::pin(self.in_promote_dirs(path, |dirs, path| dirs.state(path)))
    }

    fn remove_promoted<'a>(&'a self, path: &'a str, was: FileState) -> BackendFuture<'a, ()> {
        Box::pin(self.in_promote_dirs(path, move |dirs, path| dirs.remove(path, was)))
    }

    fn promote<'a>(&'a self, call: &'a PromoteCall) -> BackendFuture<'a, Option<u64>> {
        Box::pin(async move {
            let (done, promoted) = oneshot::channel();
            let PromoteCall { bucket, name, file, from, overwrite } = call.clone();
            let task = PromoteTask { bucket, name, file, from, overwrite, done };
            self.give(Inbound::Promote(task))?;
            outcome(promoted.await)
        })
    }

    fn own_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<u64>> {
        Box::pin(self.own(bucket, name, None))
    }

    fn own_upload<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        id: &'a str,
    ) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.own(bucket, name, Some(id.to_owned())).await.map(drop) })
    }

    fn evict_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, bool> {
        Box::pin(async move {
            let change = Change::Evict { bucket: bucket.clone(), name: name.clone() };
            match self.walker.change(change).await {
                Ok(_) => Ok(true),
                Err(CommitError::Store(error)) if error.is_not_found() => Ok(false),
                Err(error) => Err(commit_error(error)),
            }
        })
    }

    fn coldest<'a>(
        &'a self,
        mountpath: &'a str,
        buckets: &'a [Bucket],
        unread_since_ns: u64,
    ) -> BackendFuture<'a, Vec<ColdObject>> {
        Box::pin(async move {
            let set = self.disks.now();
            let disk = set.find(Path::new(mountpath));
            let gone = || BackendError::Busy(format!("mountpath {mountpath} is not in service"));
            tidy::coldest(&self.walker, disk.ok_or_else(gone)?, buckets, unread_since_ns).await
        })
    }

    fn work_files(&self, older: Duration) -> BackendFuture<'_, BTreeMap<String, u64>> {
        Box::pin(async move { tidy::work_files(&self.walker, &self.disks.now().disks, older).await })
    }

    fn keep_house(&self) -> BackendFuture<'_, ()> {
        Box::pin(async move { tidy::keep_house(&self.disks.now().disks).await })
    }

    fn drop_idle_appends<'a>(&'a self, bucket: &'a Bucket, since_ns: u64) -> BackendFuture<'a, Vec<u64>> {
        let set = self.disks.now();
        Box::pin(async move { tidy::drop_idle_appends(&self.walker, &set.disks, bucket, since_ns).await })
    }

    fn is_empty<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, bool> {
        Box::pin(async move {
            let one = ListQuery { limit: 1, ..ListQuery::default() };
            Ok(self.list_page(bucket, &one).await?.rows.is_empty())
        })
    }

    fn settle<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async move { self.at_all(|| Change::Settle { bucket: bucket.clone() }).await })
    }

    fn remove_bucket_data<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            self.refuse_away(bucket)?;
            self.at_all(|| Change::DestroyBucket { bucket: bucket.clone() }).await
        })
    }

    fn uploads<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, Vec<Upload>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for disk in &self.disks.now().disks {
                let bucket = bucket.clone();
                let found =
                    self.walker.call(disk, move |volume| async move { volume.uploads(&bucket).await });
                let found = found.await.map_err(commit_error)??;
                all.extend(found.into_iter().map(|u| Upload {
                    key: u.name,
                    id: u.id,
                    initiated_ns: u.record.created_ns,
                }));
            }
            all.sort_by(|a, b| (&a.key, a.initiated_ns, &a.id).cmp(&(&b.key, b.initiated_ns, &b.id)));
            // One on its way from disk to disk may be on both.
            all.dedup_by(|a, b| a.id == b.id);
            Ok(all)
        })
    }

    fn mountpaths(&self) -> BackendFuture<'_, Vec<MountpathFacts>> {
        Box::pin(async move { Ok(mounts::all(&self.disks.now(), &self.labels.lock())) })
    }

    fn change_mountpath<'a>(&'a self, change: &'a MountpathChange) -> BackendFuture<'a, ()> {
        Box::pin(self.keeper.change(change.clone()))
    }

    fn check_mountpath<'a>(&'a self, path: &'a str, files: usize, errors: usize) -> BackendFuture<'a, ()> {
        let set = self.disks.now();
        Box::pin(async move {
            let not_there = || BackendError::Mountpath(format!("mountpath {path} is not in service"));
            let disk = set.find(Path::new(path)).ok_or_else(not_there)?;
            self.health.begin(disk, HealthBounds { files, errors }, self.keeper.clone())
        })
    }

    fn wants_resilver(&self) -> Option<u64> {
        let set = self.disks.load();
        (!set.settled && !set.disks.is_empty()).then_some(set.version)
    }

    fn resilver(&self, watch: Arc<dyn Watch>) -> BackendFuture<'_, ()> {
        Box::pin(async move {
            loop {
                match self.walker.resilver(watch.clone()).await.map_err(commit_error)? {
                    Pass::Settled(version) if self.keeper.settled(version).await? => {}
                    Pass::Changed => {}
                    Pass::Settled(_) | Pass::Ended => return Ok(()),
                }
            }
        })
    }

    fn even_copies<'a>(
        &'a self,
        bucket: &'a Bucket,
        thorough: bool,
        watch: Arc<dyn Watch>,
    ) -> BackendFuture<'a, bool> {
        Box::pin(async move { self.walker.even_copies(bucket, thorough, watch).await.map_err(commit_error) })
    }

    fn uneven(&self) -> Option<u64> {
        self.walker.moves().uneven().due()
    }

    fn seen_to(&self, mark: u64) {
        self.walker.moves().uneven().seen_to(mark);
    }

    fn damage<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<String>> {
        Box::pin(async move {
            let found = self.walker.damage(bucket, name).await.map_err(commit_error)?;
            Ok(found.map(|error| error.to_string()))
        })
    }

    fn remote_page<'a>(
        &'a self,
        bucket: &'a Bucket,
        query: &'a RemoteQuery,
    ) -> BackendFuture<'a, RemotePage> {
        Box::pin(async move {
            let list = weir_origin::ListQuery {
                prefix: query.list.prefix.clone(),
                start_after: query.list.start_after.clone(),
                delimiter: Some(query.list.delimiter.clone()).filter(|d| !d.is_empty()),
                limit: query.list.limit,
                continuation: query.continuation.clone(),
            };
            let page =
                self.origin(bucket.provider)?.list_page(&remote_bucket(bucket, &query.origin), list).await;
            let page = page.map_err(|e| origin_error(bucket, e))?;
            let entry = |e: weir_origin::ListEntry| RemoteEntry {
                name: e.name,
                size: e.size,
                etag: e.etag,
                version: None,
                modified_ns: e.last_modified.and_then(since_1970),
            };
            Ok(RemotePage {
                entries: page.entries.into_iter().map(entry).collect(),
                common_prefixes: page.common_prefixes,
                more: page.more,
                continuation: page.continuation,
            })
        })
    }

    fn remote_head<'a>(&'a self, bucket: &'a Bucket, origin: &'a RemoteOrigin) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let remote = remote_bucket(bucket, origin);
            let found = self.origin(bucket.provider)?.head_bucket(&remote).await;
            found.map(drop).map_err(|e| origin_error(bucket, e))
        })
    }

    fn remote_buckets(&self, provider: Provider) -> BackendFuture<'_, Vec<Bucket>> {
        Box::pin(async move {
            let found = self.origin(provider)?.list_buckets(provider).await;
            let found = found.map_err(|e| BackendError::Origin(e.to_string()))?;
            Ok(found.into_iter().map(|b| Bucket::global(provider, b.name)).collect())
        })
    }

    fn remote_providers(&self) -> Vec<Provider> {
        let all = [Provider::Aws, Provider::Gcp, Provider::Azure, Provider::Oci];
        all.into_iter().filter(|p| self.origin(*p).is_ok()).collect()
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        figures::counters(&self.metrics)
    }

    fn disk_counters(&self) -> BTreeMap<String, DiskCounters> {
        self.disks.load().disks.iter().filter_map(|disk| mounts::disk(&disk.path)).collect()
    }

    fn metrics_text(&self) -> String {
        figures::text(&self.metrics, &self.disks.now())
    }

    fn request_stop(&self) {
        crate::signals::ask_to_stop();
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

fn remote_bucket(bucket: &Bucket, origin: &RemoteOrigin) -> RemoteBucket {
    let (endpoint, region) = (origin.endpoint.as_deref(), origin.region.as_deref());
    RemoteBucket::of(bucket).at(endpoint.unwrap_or_default()).in_region(region.unwrap_or_default())
}

fn since_1970(time: std::time::SystemTime) -> Option<u64> {
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_nanos() as u64)
}
