//! A target as the control core's jobs see it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use weir_store::{ListQuery, Page, Record, Terms};
use weir_types::{Bucket, ObjectName, Provider};

use super::shard::{Failed, Shard};
use super::store::{Object, is_own};
use crate::{
    Backend, BackendError, BackendFuture, ColdObject, CopyCall, DiskCounters, LocalPage, MountpathFacts,
    Place, RemoteOrigin, RemotePage, RemoteQuery, Upload,
};

fn record(object: Object) -> Record {
    Record { size: 1, commit: object.commit, modified_ns: object.written_ns, ..Record::default() }
}

impl Backend for Shard {
    fn list_page<'a>(&'a self, bucket: &'a Bucket, query: &'a ListQuery) -> BackendFuture<'a, LocalPage> {
        let all = self.disks.all().into_iter().filter(|((of, _), _)| of == bucket);
        let after = |name: &ObjectName| {
            name.as_str().starts_with(&query.prefix) && name.as_str() > query.start_after.as_str()
        };
        let mut page = LocalPage::at(Place::default(), Page::default());
        let mut more = false;
        for ((_, name), object) in all.filter(|((_, name), _)| after(name)) {
            more = page.rows.len() == query.limit;
            if more {
                break;
            }
            page.rows.push_record(name.as_str(), 0, &record(object));
        }
        page.next = page.rows.last().filter(|_| more).map(|row| row.name.to_owned());
        Box::pin(async { Ok(page) })
    }

    fn object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<Record>> {
        let found = self.disks.object(&(bucket.clone(), name.clone()));
        Box::pin(async move { Ok(found.map(record)) })
    }

    fn delete_object<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        _terms: &'a Terms,
    ) -> BackendFuture<'a, bool> {
        Box::pin(async {
            match self.remove(&(bucket.clone(), name.clone())).await {
                Ok(()) => Ok(true),
                Err(Failed::NotThere) => Ok(false),
                Err(failed) => Err(BackendError::Busy(failed.into())),
            }
        })
    }

    fn own_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<u64>> {
        Box::pin(async {
            let (view, key) = (self.view().map_err(BackendError::Busy)?, (bucket.clone(), name.clone()));
            if !is_own(&view, &key) {
                return Err(BackendError::Busy("the name belongs to another target".into()));
            }
            self.gather(&view, &key).await.map_err(BackendError::Busy)?;
            Ok(None)
        })
    }

    fn copy_object<'a>(&'a self, call: &'a CopyCall) -> BackendFuture<'a, Option<u64>> {
        let (from, to) = ((call.from.clone(), call.name.clone()), (call.to.clone(), call.as_name.clone()));
        Box::pin(async move {
            let copied = self.copy(&from, &to).await.map_err(BackendError::Busy)?;
            Ok(copied.then_some(1))
        })
    }

    fn is_empty<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, bool> {
        let is_empty = !self.disks.all().iter().any(|((of, _), _)| of == bucket);
        Box::pin(async move { Ok(is_empty) })
    }

    fn settle<'a>(&'a self, _bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async {
            Shard::settle(self).await;
            Ok(())
        })
    }

    fn remove_bucket_data<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        Box::pin(async {
            self.disks.remove_bucket(bucket);
            Ok(())
        })
    }

    fn uploads<'a>(&'a self, _bucket: &'a Bucket) -> BackendFuture<'a, Vec<Upload>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn request_stop(&self) {
        self.stop_asked.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.is_open()
    }

    // What has no part in it.

    fn evict_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, bool> {
        self.memory.evict_object(bucket, name)
    }

    fn coldest<'a>(
        &'a self,
        mountpath: &'a str,
        buckets: &'a [Bucket],
        unread_since_ns: u64,
    ) -> BackendFuture<'a, Vec<ColdObject>> {
        self.memory.coldest(mountpath, buckets, unread_since_ns)
    }

    fn work_files(&self, older: Duration) -> BackendFuture<'_, BTreeMap<String, u64>> {
        self.memory.work_files(older)
    }

    fn keep_house(&self) -> BackendFuture<'_, ()> {
        self.memory.keep_house()
    }

    fn mountpaths(&self) -> BackendFuture<'_, Vec<MountpathFacts>> {
        self.memory.mountpaths()
    }

    fn remote_page<'a>(
        &'a self,
        bucket: &'a Bucket,
        query: &'a RemoteQuery,
    ) -> BackendFuture<'a, RemotePage> {
        self.memory.remote_page(bucket, query)
    }

    fn remote_head<'a>(&'a self, bucket: &'a Bucket, origin: &'a RemoteOrigin) -> BackendFuture<'a, ()> {
        self.memory.remote_head(bucket, origin)
    }

    fn remote_buckets(&self, provider: Provider) -> BackendFuture<'_, Vec<Bucket>> {
        self.memory.remote_buckets(provider)
    }

    fn remote_providers(&self) -> Vec<Provider> {
        self.memory.remote_providers()
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        self.memory.counters()
    }

    fn disk_counters(&self) -> BTreeMap<String, DiskCounters> {
        self.memory.disk_counters()
    }

    fn metrics_text(&self) -> String {
        self.memory.metrics_text()
    }
}
