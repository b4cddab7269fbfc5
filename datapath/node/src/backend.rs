//! The node as its control core sees it: disks through the walker and the committers, origins through their handle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_control::{
    Backend, BackendError, BackendFuture, DiskCounters, LocalEntry, LocalPage, Merge, MountpathFacts,
    RemoteEntry, RemoteOrigin, RemotePage, RemoteQuery, Upload,
};
use weir_origin::{OriginError, OriginsHandle, RemoteBucket};
use weir_shard::{CommitError, Disk, Op, ShardMetrics, WalkerPort, disk_of, render_metrics};
use weir_store::{Change, Durability, ListQuery, Record, Terms};
use weir_types::{Bucket, ObjectName, Provider};

use crate::mounts;

/// Disks, walker and origins of this node.
pub(crate) struct NodeBackend {
    pub(crate) disks: Vec<Disk>,
    pub(crate) walker: WalkerPort,
    pub(crate) origins: Option<OriginsHandle>,
    pub(crate) metrics: Vec<Arc<ShardMetrics>>,
    pub(crate) ready: Arc<AtomicBool>,
}

impl NodeBackend {
    fn disk_of(&self, bucket: &Bucket, name: &ObjectName) -> Result<usize, BackendError> {
        disk_of(&self.disks, bucket, name).ok_or_else(|| BackendError::Busy("no disk is in service".into()))
    }

    async fn page_of(
        &self,
        disk: usize,
        bucket: &Bucket,
        query: &ListQuery,
    ) -> Result<weir_store::Page, BackendError> {
        let (bucket, query) = (bucket.clone(), query.clone());
        let page = self.walker.call(disk, move |volume| async move { volume.list(&bucket, &query).await });
        Ok(page.await.map_err(commit_error)??)
    }

    fn origin(&self, provider: Provider) -> Result<&OriginsHandle, BackendError> {
        let serving = self.origins.as_ref().filter(|o| o.serves(provider));
        serving.ok_or(BackendError::NotConfigured(provider))
    }
}

impl Backend for NodeBackend {
    fn list_page<'a>(&'a self, bucket: &'a Bucket, query: &'a ListQuery) -> BackendFuture<'a, LocalPage> {
        Box::pin(async move {
            let mut merge = Merge::new(query.clone(), self.disks.len());
            loop {
                let questions = merge.questions();
                if questions.is_empty() {
                    return Ok(merge.finish());
                }
                let asked = questions.iter().map(|(disk, query)| self.page_of(*disk, bucket, query));
                let pages = futures_util::future::try_join_all(asked).await?;
                for ((disk, _), page) in questions.into_iter().zip(pages) {
                    merge.answer(disk, local_page(page, &self.disks[disk]));
                }
            }
        })
    }

    fn object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<Record>> {
        Box::pin(async move {
            let disk = self.disk_of(bucket, name)?;
            let (bucket, name) = (bucket.clone(), name.clone());
            let found = self.walker.call(disk, move |volume| async move {
                match volume.head(&bucket, &name).await {
                    Ok(record) => Ok(Some((*record).clone())),
                    Err(error) if error.is_not_found() => Ok(None),
                    Err(error) => Err(error),
                }
            });
            Ok(found.await.map_err(commit_error)??)
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
            let disk = self.disk_of(bucket, name)?;
            let change = Change::Delete {
                bucket: bucket.clone(),
                name: name.clone(),
                terms: terms.clone(),
                durability: Durability::Durable,
            };
            match self.disks[disk].commits.change(change).await {
                Ok(_) => Ok(true),
                Err(CommitError::Store(error)) if error.is_not_found() && terms.is_empty() => Ok(false),
                Err(error) => Err(commit_error(error)),
            }
        })
    }

    fn is_empty<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, bool> {
        Box::pin(async move {
            let one = ListQuery { limit: 1, ..ListQuery::default() };
            Ok(self.list_page(bucket, &one).await?.entries.is_empty())
        })
    }

    fn settle<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let settle = |disk: &'a Disk| disk.commits.change(Change::Settle { bucket: bucket.clone() });
            futures_util::future::try_join_all(self.disks.iter().map(settle)).await.map_err(commit_error)?;
            Ok(())
        })
    }

    fn remove_bucket_data<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async move {
            let destroy =
                |disk: &'a Disk| disk.commits.change(Change::DestroyBucket { bucket: bucket.clone() });
            futures_util::future::try_join_all(self.disks.iter().map(destroy)).await.map_err(commit_error)?;
            Ok(())
        })
    }

    fn uploads<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, Vec<Upload>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for disk in 0..self.disks.len() {
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
            Ok(all)
        })
    }

    fn mountpaths(&self) -> BackendFuture<'_, Vec<MountpathFacts>> {
        Box::pin(async move {
            let facts = |disk: &Disk| {
                let space = disk.mountpath.space();
                let mount = mounts::of(&disk.path).unwrap_or_default();
                let by_device = || mount.device.rsplit('/').next().map(str::to_owned);
                let name = mounts::disk(&disk.path).map(|(name, _)| name).or_else(by_device);
                MountpathFacts {
                    path: disk.path.display().to_string(),
                    disks: name.into_iter().collect(),
                    device: mount.device,
                    fs_type: mount.fs_type,
                    used: space.total.saturating_sub(space.free),
                    free: space.free,
                    disabled: disk.mountpath.poisoned().map(str::to_owned),
                    ..MountpathFacts::default()
                }
            };
            Ok(self.disks.iter().map(facts).collect())
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
        let sum = |of: &dyn Fn(&ShardMetrics) -> u64| self.metrics.iter().map(|m| of(m)).sum::<u64>() as i64;
        let op = |op: Op| sum(&|m| m.requests(op));
        let failed = |op: Op| sum(&|m| m.errors(op));
        BTreeMap::from([
            ("get.n".into(), op(Op::Get) + op(Op::ColdGet)),
            ("put.n".into(), op(Op::Put)),
            ("head.n".into(), op(Op::Head)),
            ("del.n".into(), op(Op::Delete)),
            ("err.get.n".into(), failed(Op::Get) + failed(Op::ColdGet)),
            ("err.put.n".into(), failed(Op::Put)),
            ("err.head.n".into(), failed(Op::Head)),
            ("err.del.n".into(), failed(Op::Delete)),
            ("get.size".into(), sum(&|m| m.bytes_out.load(Ordering::Relaxed))),
            ("put.size".into(), sum(&|m| m.bytes_in.load(Ordering::Relaxed))),
        ])
    }

    fn disk_counters(&self) -> BTreeMap<String, DiskCounters> {
        self.disks.iter().filter_map(|disk| mounts::disk(&disk.path)).collect()
    }

    fn metrics_text(&self) -> String {
        let mut out = render_metrics(&self.metrics);
        type Figure = (&'static str, &'static str, &'static str, fn(&Disk) -> u64);
        let figures: [Figure; 6] = [
            ("weir_disk_bytes_total", "gauge", "Capacity of the disk.", |d| d.mountpath.space().total),
            ("weir_disk_bytes_free", "gauge", "Free bytes of the disk.", |d| d.mountpath.space().free),
            ("weir_disk_commits_total", "counter", "Changes committed.", |d| d.mountpath.stats().commits),
            ("weir_disk_batches_total", "counter", "Batches they came in.", |d| d.mountpath.stats().batches),
            ("weir_disk_corrupt_blocks_total", "counter", "Blocks that did not fit their checksum.", |d| {
                d.mountpath.stats().corrupt_blocks
            }),
            ("weir_disk_poisoned", "gauge", "1: the disk takes no more changes.", |d| {
                u64::from(d.mountpath.poisoned().is_some())
            }),
        ];
        for (name, kind, help, value) in figures {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for disk in &self.disks {
                let _ = writeln!(
                    out,
                    "{name}{{mountpath={:?}}} {}",
                    disk.path.display().to_string(),
                    value(disk)
                );
            }
        }
        out
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}

/// A disk's page as the control core takes it.
fn local_page(page: weir_store::Page, disk: &Disk) -> LocalPage {
    let mountpath: Arc<str> = disk.path.display().to_string().into();
    let entry = |e: weir_store::Entry| LocalEntry {
        name: e.name,
        record: e.record,
        mountpath: mountpath.clone(),
        target: Arc::default(),
    };
    LocalPage {
        entries: page.entries.into_iter().map(entry).collect(),
        common_prefixes: page.common_prefixes,
        next: page.next,
    }
}

fn remote_bucket(bucket: &Bucket, origin: &RemoteOrigin) -> RemoteBucket {
    let (endpoint, region) = (origin.endpoint.as_deref(), origin.region.as_deref());
    RemoteBucket::of(bucket).at(endpoint.unwrap_or_default()).in_region(region.unwrap_or_default())
}

fn commit_error(error: CommitError) -> BackendError {
    match error {
        CommitError::Store(error) => BackendError::Store(error),
        other => BackendError::Busy(other.to_string()),
    }
}

fn origin_error(bucket: &Bucket, error: OriginError) -> BackendError {
    match error {
        OriginError::BucketNotFound { .. } => BackendError::NoBucket(bucket.clone()),
        OriginError::NotConfigured { .. } => BackendError::NotConfigured(bucket.provider),
        OriginError::Denied { got, .. } => BackendError::Denied { bucket: bucket.clone(), what: got },
        OriginError::Busy { .. } => BackendError::Busy(error.to_string()),
        other => BackendError::Origin(other.to_string()),
    }
}

fn since_1970(time: std::time::SystemTime) -> Option<u64> {
    time.duration_since(std::time::UNIX_EPOCH).ok().map(|d| d.as_nanos() as u64)
}
