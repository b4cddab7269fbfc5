//! A store and an origin in memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use weir_cluster::Promotable;
use weir_store::{Etag, ListQuery, Page, Record, StoreError, Terms};
use weir_types::{Bucket, BucketName, Checksum, ChecksumKind, ObjectName, Provider};

use crate::{
    Backend, BackendError, BackendFuture, ColdObject, CopyCall, DiskCounters, LocalPage, MountpathFacts,
    Place, PromoteCall, RemoteEntry, RemoteOrigin, RemotePage, RemoteQuery, Upload,
};

type Objects<T> = Mutex<BTreeMap<Bucket, BTreeMap<String, T>>>;

#[derive(Default)]
pub(crate) struct Memory {
    objects: Objects<Record>,
    origin: Objects<RemoteEntry>,
    pub(crate) uploads: Mutex<Vec<Upload>>,
    /// Whether it has no time for deletions and copies.
    pub(crate) busy: AtomicBool,
    pub(crate) unready: AtomicBool,
    /// The origin answers nothing.
    pub(crate) origin_down: AtomicBool,
    pub(crate) list_calls: AtomicU64,
    pub(crate) removed: Mutex<Vec<Bucket>>,
    /// Work files; housekeeping leaves those whose names say that they are in use.
    pub(crate) work_files: Mutex<BTreeMap<String, u64>>,
    /// An object that arrives while a bucket is settled.
    pub(crate) under_way: Mutex<Option<String>>,
    /// What happens while the others are asked for an object, the next time.
    pub(crate) while_asked: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    /// The end of the process was asked for.
    pub(crate) stop_asked: AtomicBool,
    /// Removing data fails.
    pub(crate) stuck: AtomicBool,
    /// Of 1000 bytes so many are used beside 250.
    pub(crate) used: AtomicU64,
}

pub(crate) fn ais(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}
pub(crate) fn aws(name: &str) -> Bucket {
    Bucket::global(Provider::Aws, BucketName::new(name).unwrap())
}

impl Memory {
    /// Puts an object of `size` bytes.
    pub(crate) fn put(&self, bucket: &Bucket, name: &str, size: u64) {
        let record = Record {
            size,
            version: 1,
            modified_ns: 1_763_685_131_000_123_456,
            etag: Some(Etag::Md5([7; 16])),
            checksums: vec![Checksum::from_hex(ChecksumKind::XxHash2, "26c7827d889f6da3").unwrap()],
            ..Record::default()
        };
        self.objects.lock().entry(bucket.clone()).or_default().insert(name.into(), record);
    }

    /// The same, last read at a time.
    pub(crate) fn put_at(&self, bucket: &Bucket, name: &str, size: u64, read_ns: u64) {
        self.put(bucket, name, size);
        if let Some(record) = self.objects.lock().get_mut(bucket).and_then(|o| o.get_mut(name)) {
            record.modified_ns = read_ns;
        }
    }

    /// Makes a bucket at the origin with these objects.
    pub(crate) fn at_origin(&self, bucket: &Bucket, names: &[&str]) {
        let entry = |name: &&str| RemoteEntry {
            name: ObjectName::new(*name).unwrap(),
            size: 10,
            etag: Some("e1".into()),
            version: None,
            modified_ns: Some(1_763_685_131_000_000_000),
        };
        let objects = names.iter().map(|n| ((*n).to_owned(), entry(n))).collect();
        self.origin.lock().insert(bucket.clone(), objects);
    }

    pub(crate) fn names(&self, bucket: &Bucket) -> Vec<String> {
        self.objects.lock().get(bucket).map(|o| o.keys().cloned().collect()).unwrap_or_default()
    }

    fn origin_up(&self) -> Result<(), BackendError> {
        if self.origin_down.load(Ordering::Relaxed) {
            return Err(BackendError::Origin("http://o: connection refused".into()));
        }
        Ok(())
    }
}

struct Listed<T> {
    entries: Vec<(String, T)>,
    prefixes: Vec<String>,
    next: Option<String>,
}

/// A listing by the plainest means.
fn list<T: Clone>(objects: Option<&BTreeMap<String, T>>, query: &ListQuery) -> Listed<T> {
    let mut out = Listed { entries: Vec::new(), prefixes: Vec::new(), next: None };
    let mut last = None;
    for (name, object) in objects.into_iter().flatten() {
        let Some(rest) = name.strip_prefix(&query.prefix) else { continue };
        let rolled = (!query.delimiter.is_empty()).then(|| rest.find(&query.delimiter)).flatten();
        let shown = match rolled {
            Some(at) => name[..query.prefix.len() + at + query.delimiter.len()].to_owned(),
            None => name.clone(),
        };
        if shown <= query.start_after || out.prefixes.last() == Some(&shown) {
            continue;
        }
        if out.entries.len() + out.prefixes.len() == query.limit {
            out.next = last;
            return out;
        }
        last = Some(shown.clone());
        match rolled {
            Some(_) => out.prefixes.push(shown),
            None => out.entries.push((shown, object.clone())),
        }
    }
    out
}

fn ready<'a, T: Send + 'a>(result: Result<T, BackendError>) -> BackendFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

impl Backend for Memory {
    fn list_page<'a>(&'a self, bucket: &'a Bucket, query: &'a ListQuery) -> BackendFuture<'a, LocalPage> {
        self.list_calls.fetch_add(1, Ordering::Relaxed);
        let found = list(self.objects.lock().get(bucket), query);
        let mut page = Page { common_prefixes: found.prefixes, next: found.next, ..Page::default() };
        found.entries.iter().for_each(|(name, record)| page.rows.push_record(name, 0, record));
        let place = Place { mountpath: "/mp1".into(), target: "".into() };
        ready(Ok(LocalPage::at(place, page)))
    }

    fn object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, Option<Record>> {
        ready(Ok(self.objects.lock().get(bucket).and_then(|o| o.get(name.as_str()).cloned())))
    }

    fn delete_object<'a>(
        &'a self,
        bucket: &'a Bucket,
        name: &'a ObjectName,
        terms: &'a Terms,
    ) -> BackendFuture<'a, bool> {
        if name.as_str() == "panic" {
            panic!("planted");
        }
        if self.busy.load(Ordering::Relaxed) {
            return ready(Err(BackendError::Busy("planted".into())));
        }
        let mut objects = self.objects.lock();
        let objects = objects.entry(bucket.clone()).or_default();
        if let Err(e) = terms.check(bucket, name, objects.get(name.as_str())) {
            return ready(Err(e.into()));
        }
        match objects.remove(name.as_str()) {
            Some(_) => ready(Ok(true)),
            None => {
                let missing = StoreError::NotFound { bucket: bucket.clone(), name: name.clone() };
                ready(Err(missing.into()))
            }
        }
    }

    fn own_object<'a>(
        &'a self,
        _bucket: &'a Bucket,
        _name: &'a ObjectName,
    ) -> BackendFuture<'a, Option<u64>> {
        if let Some(happens) = self.while_asked.lock().take() {
            happens();
        }
        ready(Ok(None))
    }

    fn copy_object<'a>(&'a self, call: &'a CopyCall) -> BackendFuture<'a, Option<u64>> {
        if self.busy.load(Ordering::Relaxed) {
            return ready(Err(BackendError::Busy("planted".into())));
        }
        let mut objects = self.objects.lock();
        let Some(record) = objects.get(&call.from).and_then(|o| o.get(call.name.as_str())).cloned() else {
            return ready(Ok(None));
        };
        let size = record.size;
        let to = objects.entry(call.to.clone()).or_default().entry(call.as_name.to_string());
        match call.if_absent {
            true => drop(to.or_insert(record)),
            false => drop(to.insert_entry(record)),
        }
        ready(Ok(Some(size)))
    }

    fn promotable<'a>(&'a self, _path: &'a str) -> BackendFuture<'a, Promotable> {
        Box::pin(async { Ok(Promotable::File) })
    }

    fn promote<'a>(&'a self, call: &'a PromoteCall) -> BackendFuture<'a, Option<u64>> {
        Box::pin(async {
            self.put(&call.bucket, call.name.as_str(), 1);
            Ok(Some(1))
        })
    }

    fn evict_object<'a>(&'a self, bucket: &'a Bucket, name: &'a ObjectName) -> BackendFuture<'a, bool> {
        let gone = self.objects.lock().entry(bucket.clone()).or_default().remove(name.as_str()).is_some();
        ready(Ok(gone))
    }

    fn coldest<'a>(
        &'a self,
        _mountpath: &'a str,
        buckets: &'a [Bucket],
        unread_since_ns: u64,
    ) -> BackendFuture<'a, Vec<ColdObject>> {
        let objects = self.objects.lock();
        let of = |bucket: &Bucket| {
            let cold = |(name, record): (&String, &Record)| ColdObject {
                accessed_ns: record.modified_ns,
                bytes: record.size,
                bucket: bucket.clone(),
                name: ObjectName::new(name.clone()).unwrap(),
            };
            objects.get(bucket).into_iter().flatten().map(cold).collect::<Vec<_>>()
        };
        let mut all: Vec<ColdObject> = buckets.iter().flat_map(of).collect();
        all.retain(|object| object.accessed_ns < unread_since_ns);
        all.sort();
        ready(Ok(all))
    }

    fn work_files(&self, _older: Duration) -> BackendFuture<'_, BTreeMap<String, u64>> {
        ready(Ok(self.work_files.lock().clone()))
    }

    fn keep_house(&self) -> BackendFuture<'_, ()> {
        self.work_files.lock().retain(|name, _| name.contains("in use"));
        ready(Ok(()))
    }

    fn is_empty<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, bool> {
        ready(Ok(self.names(bucket).is_empty()))
    }

    fn settle<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        // What was under way when the bucket was marked.
        if let Some(name) = self.under_way.lock().take() {
            self.put(bucket, &name, 1);
        }
        ready(Ok(()))
    }

    fn remove_bucket_data<'a>(&'a self, bucket: &'a Bucket) -> BackendFuture<'a, ()> {
        if self.stuck.load(Ordering::Relaxed) {
            return ready(Err(BackendError::Busy("stuck".into())));
        }
        self.objects.lock().remove(bucket);
        self.removed.lock().push(bucket.clone());
        ready(Ok(()))
    }

    fn uploads<'a>(&'a self, _bucket: &'a Bucket) -> BackendFuture<'a, Vec<Upload>> {
        ready(Ok(self.uploads.lock().clone()))
    }

    fn mountpaths(&self) -> BackendFuture<'_, Vec<MountpathFacts>> {
        let used = self.used.load(Ordering::Relaxed);
        let facts = |path: &str, disabled: Option<&str>| MountpathFacts {
            path: path.into(),
            disks: vec!["nvme0n1".into()],
            fs_type: "xfs".into(),
            used: 250 + used,
            free: 750 - used,
            disabled: disabled.map(Into::into),
            ..MountpathFacts::default()
        };
        ready(Ok(vec![facts("/mp1", None), facts("/mp2", Some("EIO"))]))
    }

    fn remote_page<'a>(
        &'a self,
        bucket: &'a Bucket,
        query: &'a RemoteQuery,
    ) -> BackendFuture<'a, RemotePage> {
        if let Err(e) = self.origin_up() {
            return ready(Err(e));
        }
        let origin = self.origin.lock();
        let Some(objects) = origin.get(bucket) else {
            return ready(Err(BackendError::NoBucket(bucket.clone())));
        };
        let found = list(Some(objects), &query.list);
        ready(Ok(RemotePage {
            entries: found.entries.into_iter().map(|(_, e)| e).collect(),
            common_prefixes: found.prefixes,
            more: found.next.is_some(),
            continuation: None,
        }))
    }

    fn remote_head<'a>(&'a self, bucket: &'a Bucket, _origin: &'a RemoteOrigin) -> BackendFuture<'a, ()> {
        if bucket.provider != Provider::Aws {
            return ready(Err(BackendError::NotConfigured(bucket.provider)));
        }
        let found = self.origin_up().and_then(|()| match self.origin.lock().contains_key(bucket) {
            true => Ok(()),
            false => Err(BackendError::NoBucket(bucket.clone())),
        });
        ready(found)
    }

    fn remote_buckets(&self, _provider: Provider) -> BackendFuture<'_, Vec<Bucket>> {
        ready(self.origin_up().map(|()| self.origin.lock().keys().cloned().collect()))
    }

    fn remote_providers(&self) -> Vec<Provider> {
        vec![Provider::Aws]
    }

    fn counters(&self) -> BTreeMap<String, i64> {
        BTreeMap::from([("get.n".into(), 3), ("get.size".into(), 30)])
    }

    fn disk_counters(&self) -> BTreeMap<String, DiskCounters> {
        BTreeMap::from([("nvme0n1".into(), DiskCounters::default())])
    }

    fn metrics_text(&self) -> String {
        "weir_shard_connections 1".into()
    }

    fn request_stop(&self) {
        self.stop_asked.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        !self.unready.load(Ordering::Relaxed)
    }
}
