//! One mountpath on a simulated disk, driven from one thread.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part of this")]

pub mod crashes;
pub mod oracle;
pub mod script;

use std::sync::{Arc, Mutex};

use weir_store::sim::{Fault, Faulty, SimDisk, block_on};
use weir_store::{
    Attach, Attrs, BootId, Change, Committed, Committer, CustomChange, Disk as _, Durability, Expected,
    ListQuery, Mountpath, MountpathOptions, Outcome, PartChoice, PartInfo, Planted, Put, Record, Request,
    StoreError, Terms, Together, Volume, WriteOptions, sim,
};
use weir_types::{Bucket, BucketName, ChecksumKind, CustomMeta, ObjectName, Provider};

pub type F = u64;
pub type Got<T> = Result<T, StoreError>;

pub struct Node {
    pub disk: Faulty,
    pub mountpath: Arc<Mountpath<F>>,
    pub committer: Committer<Faulty>,
    pub now_ns: u64,
    /// What its recovery found in the journal.
    pub refiled: usize,
}

pub fn bucket(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}

pub fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

pub fn attach() -> Attach {
    Attach { cluster: "c".into(), node: "n".into(), mountpath: Some("m".into()), epoch_min: 0, create: true }
}

pub fn options(boot: u8) -> MountpathOptions {
    MountpathOptions { ready_files: 2, journal_bytes: 0, ..MountpathOptions::new(BootId([boot; 16])) }
}

/// With a journal so small that the tests go through many uses of its segments.
pub fn journaled(boot: u8) -> MountpathOptions {
    MountpathOptions { journal_bytes: JOURNAL_BYTES, ..options(boot) }
}

/// Objects up to a quarter of it go through the journal.
pub const JOURNAL_BYTES: u64 = 40 << 10;

pub fn pairs(list: &[(&str, &str)]) -> CustomMeta {
    let mut meta = CustomMeta::default();
    list.iter().for_each(|(k, v)| meta.set(*k, *v).unwrap());
    meta
}

/// Bytes that differ with their seed and place.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut random = sim::Random::new(seed);
    (0..size).map(|_| random.any() as u8).collect()
}

impl Node {
    pub fn start(disk: Faulty, boot: u8) -> Got<Self> {
        Self::start_with(disk, options(boot))
    }

    pub fn start_with(disk: Faulty, options: MountpathOptions) -> Got<Self> {
        Self::start_planted(disk, options, None)
    }

    /// Starts with a bug that its recovery has, too.
    pub fn start_planted(disk: Faulty, options: MountpathOptions, bug: Option<Planted>) -> Got<Self> {
        block_on(async {
            let mountpath = Mountpath::attach(&disk, &attach(), options).await?;
            let mut committer = Committer::new(disk.clone(), mountpath.clone());
            if let Some(bug) = bug {
                committer.plant(bug);
            }
            let refiled = committer.recover().await?.refiled;
            Ok(Self { disk, mountpath, committer, now_ns: 1_000, refiled })
        })
    }

    pub fn fresh_journaled() -> Self {
        Self::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), journaled(1)).unwrap()
    }

    pub fn fresh() -> Self {
        Self::start(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), 1).unwrap()
    }

    /// The next life on the same disk.
    pub fn restart(&self, crash: sim::Crash, boot: u8) -> Self {
        let options = MountpathOptions { boot: BootId([boot; 16]), ..self.mountpath.options().clone() };
        Self::start_with(Faulty::new(self.disk.inner().crash(crash, 7), 0, Fault::NoSpace), options).unwrap()
    }

    pub fn volume(&self) -> Volume<Faulty> {
        self.committer.volume().clone()
    }

    pub fn execute(&mut self, changes: Vec<Change<F>>) -> Vec<Got<Outcome<F>>> {
        self.execute_part(changes, None)
    }

    /// The same, of one copy's part in a change of all.
    pub fn execute_part(
        &mut self,
        changes: Vec<Change<F>>,
        together: Option<Together>,
    ) -> Vec<Got<Outcome<F>>> {
        self.now_ns += 1;
        let results: Arc<Mutex<Vec<_>>> = Arc::new(Mutex::new((0..changes.len()).map(|_| None).collect()));
        let batch = changes.into_iter().enumerate().map(|(i, change)| {
            let results = results.clone();
            let reply = Box::new(move |result| {
                let old = results.lock().unwrap()[i].replace(result);
                assert!(old.is_none(), "answered twice");
            });
            Request { change, together, now_ns: self.now_ns, reply }
        });
        block_on(self.committer.execute(batch.collect()));
        let mut results = results.lock().unwrap();
        results.drain(..).map(|r| r.expect("answered")).collect()
    }

    pub fn one(&mut self, change: Change<F>) -> Got<Outcome<F>> {
        self.execute(vec![change]).remove(0)
    }

    /// What the owner of a committer does between batches, after the i-th.
    pub fn pass_time(&mut self, i: usize) {
        match i % 4 {
            1 => drop(block_on(self.committer.file_some(2))),
            3 => {
                block_on(self.committer.tick());
                while block_on(self.committer.file_late(3)) {}
            }
            _ => {}
        }
    }

    /// Housekeeping to its end.
    pub fn settle(&mut self) {
        while block_on(self.committer.file_some(64)) {}
        for _ in 0..10_000 {
            if !block_on(self.committer.tend()) {
                return;
            }
        }
        panic!("housekeeping does not end");
    }

    pub fn prepare(&self, content: &[u8], durability: Durability) -> Got<weir_store::Prepared<F>> {
        self.prepare_as(
            content,
            &WriteOptions {
                size_hint: Some(content.len() as u64),
                durability,
                cached: false,
                small_in_memory: true,
                kinds: &[ChecksumKind::XxHash2],
            },
        )
    }

    pub fn prepare_as(&self, content: &[u8], options: &WriteOptions<'_>) -> Got<weir_store::Prepared<F>> {
        block_on(async {
            let mut writer = self.volume().writer(options).await?;
            for piece in content.chunks(100_000) {
                let mut buf = self.disk.buffer(piece.len()).await?;
                buf.extend_from_slice(piece);
                writer.write(buf).await.1?;
            }
            writer.finish(&Expected { size: Some(content.len() as u64), checksums: Vec::new() }).await
        })
    }

    pub fn put_change(&self, b: &str, n: &str, content: &[u8], durability: Durability) -> Got<Change<F>> {
        let prepared = self.prepare(content, durability)?;
        Ok(put(b, n, prepared, Attrs::default()))
    }

    pub fn put(&mut self, b: &str, n: &str, content: &[u8]) -> Got<Committed> {
        let change = self.put_change(b, n, content, Durability::Durable)?;
        committed(self.one(change))
    }

    pub fn put_relaxed(&mut self, b: &str, n: &str, content: &[u8]) -> Got<Committed> {
        let change = self.put_change(b, n, content, Durability::Relaxed)?;
        committed(self.one(change))
    }

    pub fn delete(&mut self, b: &str, n: &str) -> Got<()> {
        self.one(delete(b, n, Durability::Durable)).map(|_| ())
    }

    pub fn get(&self, b: &str, n: &str) -> Got<(Vec<u8>, Record)> {
        read(&self.volume(), b, n)
    }

    pub fn content(&self, b: &str, n: &str) -> Option<Vec<u8>> {
        match self.get(b, n) {
            Ok((content, _)) => Some(content),
            Err(e) if e.is_not_found() => None,
            Err(e) => panic!("{b}/{n}: {e}"),
        }
    }

    pub fn list(&self, b: &str, query: &ListQuery) -> Vec<String> {
        let page = block_on(self.volume().list(&bucket(b), query)).unwrap();
        let names = page.rows.iter().map(|row| row.name.to_owned());
        names.chain(page.common_prefixes).collect()
    }

    pub fn list_all(&self, b: &str) -> Vec<String> {
        self.list(b, &ListQuery { limit: 10_000, ..ListQuery::default() })
    }

    pub fn create_upload(&mut self, b: &str, n: &str) -> Got<String> {
        let attrs = Attrs { custom: pairs(&[("up", "load")]), ..Attrs::default() };
        let change =
            Change::CreateUpload { bucket: bucket(b), name: name(n), attrs, durability: Durability::Durable };
        match self.one(change)? {
            Outcome::Upload(id) => Ok(id),
            _ => panic!("not an upload"),
        }
    }

    pub fn put_part(&mut self, b: &str, n: &str, upload: &str, number: u32, content: &[u8]) -> Got<PartInfo> {
        let options = WriteOptions { kinds: &[ChecksumKind::Md5], ..WriteOptions::default() };
        let prepared = self.prepare_as(content, &options)?;
        let etag = prepared.md5_etag();
        let (bucket, name, upload) = (bucket(b), name(n), upload.to_owned());
        match self.one(Change::PutPart { bucket, name, upload, number, prepared, etag })? {
            Outcome::Part(part) => Ok(part),
            _ => panic!("not a part"),
        }
    }

    pub fn complete(&mut self, b: &str, n: &str, upload: &str, numbers: &[u32]) -> Got<Committed> {
        let choice: Vec<_> =
            numbers.iter().map(|number| PartChoice { number: *number, etag: None }).collect();
        let options = WriteOptions { kinds: &[ChecksumKind::XxHash2], ..WriteOptions::default() };
        let prepared = block_on(self.volume().assemble(&bucket(b), &name(n), upload, &choice, &options))?;
        let attrs = Attrs { etag: prepared.multipart_etag.clone(), ..Attrs::default() };
        let Change::Put(mut change) = put(b, n, prepared, attrs) else { unreachable!() };
        change.upload = Some(upload.to_owned());
        committed(self.one(Change::Put(change)))
    }
}

pub fn put(b: &str, n: &str, prepared: weir_store::Prepared<F>, attrs: Attrs) -> Change<F> {
    Change::Put(Box::new(Put {
        bucket: bucket(b),
        name: name(n),
        prepared,
        terms: Terms::default(),
        attrs,
        flight: None,
        upload: None,
    }))
}

pub fn delete(b: &str, n: &str, durability: Durability) -> Change<F> {
    Change::Delete { bucket: bucket(b), name: name(n), terms: Terms::default(), durability }
}

pub fn set_custom(b: &str, n: &str, list: &[(&str, &str)], durability: Durability) -> Change<F> {
    let change = CustomChange::Merge(pairs(list));
    Change::SetCustom { bucket: bucket(b), name: name(n), change, terms: Terms::default(), durability }
}

pub fn committed(outcome: Got<Outcome<F>>) -> Got<Committed> {
    match outcome? {
        Outcome::Committed(committed) => Ok(committed),
        _ => panic!("not a commit"),
    }
}

pub fn read(volume: &Volume<Faulty>, b: &str, n: &str) -> Got<(Vec<u8>, Record)> {
    block_on(async {
        let object = volume.open(&bucket(b), &name(n)).await?;
        let mut content = Vec::new();
        for chunk in object.chunks(object.all()) {
            content.extend_from_slice(object.read(chunk).await?.bytes());
        }
        Ok((content, Record::clone(object.record())))
    })
}
