//! The operations: puts of every size class, overwrites, deletes, metadata, multipart, names that collide as paths, and
//! relaxed objects, which promise nothing but never to be wrong.

use crate::content::{Value, bytes};
use crate::node::{Life, Node, bucket, live};
use crate::skipping::Skip;
use crate::{Failure, environment, say};
use futures_channel::oneshot;
use std::collections::BTreeMap;
use std::path::PathBuf;
use weir_faultdisk::history::ABSENT;
use weir_faultdisk::posix::read_seq;
use weir_faultdisk::rng::Rng;
use weir_shard::RingFile;
use weir_store::{
    Attrs, Buffer, Change, CustomChange, Disk, Durability, Expected, Outcome, PartChoice, Prepared, Put,
    Terms, WriteOptions,
};
use weir_types::{ChecksumKind, CustomMeta, ObjectName, limits};

/// A run.
pub(crate) struct Load {
    pub(crate) ops: u64,
    pub(crate) clients: u64,
    pub(crate) seed: u64,
    pub(crate) plant: Skip,
}

/// Sizes on both sides of every border: inline and not, buffered and direct, one chunk and several.
const SIZES: [u64; 10] = [0, 1, 511, 4096, 30_000, 65_536, 65_537, 262_144, 300_000, 900_001];
/// Marks the names of relaxed objects.
pub(crate) const RELAXED: &str = "-relaxed";
/// So large that its block checksums lie in a file beside it; one write in fifty.
const LARGE: u64 = 8 << 20;
/// Names of one client: few, so that most operations meet something.
const NAMES: u64 = 8;

pub(crate) fn run(load: &Load) -> Result<(), Failure> {
    let life = Life { root: environment("FAULTDISK_MNT")?, boot: 1, skip: load.plant };
    let seq = environment("FAULTDISK_SEQ")?;
    live(&life, |node| clients(node, load, seq))
}

async fn clients(node: Node, load: &Load, seq: PathBuf) -> Result<(), Failure> {
    let mut ends = Vec::new();
    for number in 0..load.clients {
        let (tell, end) = oneshot::channel();
        let rng = Rng::new(load.seed.wrapping_mul(1000) + number);
        let client =
            Client { number, node: node.clone(), seq: seq.clone(), rng, names: BTreeMap::new(), count: 0 };
        let ops = load.ops / load.clients;
        node.handle.spawn(async move {
            let result = client.work(ops).await;
            let _ = tell.send(result.map_err(|e| e.to_string()));
        })?;
        ends.push(end);
    }
    for end in ends {
        end.await.map_err(|_| "a client ended early")??;
    }
    Ok(())
}

/// One client; nobody else writes its names.
struct Client {
    number: u64,
    node: Node,
    seq: PathBuf,
    rng: Rng,
    /// What each name was given last, and how often it was written.
    names: BTreeMap<String, (Option<Value>, u64)>,
    count: u64,
}

impl Client {
    async fn work(mut self, ops: u64) -> Result<(), Failure> {
        for _ in 0..ops {
            let relaxed = self.rng.chance(10);
            let name = self.name(relaxed);
            let (present, version) = self.names.get(&name).copied().unwrap_or_default();
            let next = match present {
                Some(_) if self.rng.chance(20) => self.delete(&name, relaxed).await?,
                Some(value) if !relaxed && self.rng.chance(20) => self.set_custom(&name, value).await?,
                _ if !relaxed && self.rng.chance(12) => self.multipart(&name, version + 1).await?,
                _ => self.put(&name, version + 1, relaxed).await?,
            };
            let version = next.map_or(version, |v| v.version.max(version));
            self.names.insert(name, (next, version));
        }
        Ok(())
    }

    /// `n3`, `n3/below` and `d1/d2/n3` of this client, and names that no file system holds. As paths the first two
    /// exclude each other.
    fn name(&mut self, relaxed: bool) -> String {
        let n = self.rng.below(NAMES);
        let root = format!("c{}{}", self.number, if relaxed { RELAXED } else { "" });
        match self.rng.below(8) {
            0 | 1 => format!("{root}/n{n}"),
            2 | 3 => format!("{root}/n{n}/below"),
            4 => format!("{root}/../n{}//", n % 3),
            5 => format!("{root}/{}{}", "x".repeat(300), n % 3),
            _ => format!("{root}/d{}/d{}/n{n}", n % 2, n % 3),
        }
    }

    fn begin(&mut self, name: &str, value: Option<Value>) -> Result<String, Failure> {
        self.count += 1;
        let id = format!("{}-{}", self.number, self.count);
        let text = value.map_or_else(|| ABSENT.to_owned(), |v| v.to_string());
        say(&format!("begin {id} {} {name} {text}", read_seq(&self.seq)?));
        Ok(id)
    }

    /// A relaxed operation is never acknowledged as durable: it may have happened, or any before it.
    fn ack(&self, id: &str, relaxed: bool) -> Result<(), Failure> {
        if !relaxed {
            say(&format!("ack {id} {}", read_seq(&self.seq)?));
        }
        Ok(())
    }

    async fn put(&mut self, name: &str, version: u64, relaxed: bool) -> Result<Option<Value>, Failure> {
        let size = SIZES[self.rng.below(SIZES.len() as u64) as usize] + self.rng.below(2);
        let size = if self.rng.chance(2) { LARGE + 1 } else { size };
        let value = Value { version, size, custom: 0 };
        let id = self.begin(name, Some(value))?;
        let durability = if relaxed { Durability::Relaxed } else { Durability::Durable };
        let prepared = self.prepare(&bytes(name, version, size), durability).await?;
        self.commit(name, value, prepared, None).await?;
        self.ack(&id, relaxed)?;
        Ok(Some(value))
    }

    async fn delete(&mut self, name: &str, relaxed: bool) -> Result<Option<Value>, Failure> {
        let id = self.begin(name, None)?;
        let durability = if relaxed { Durability::Relaxed } else { Durability::Durable };
        let (bucket, name) = (bucket()?, ObjectName::new(name)?);
        self.node.change(Change::Delete { bucket, name, terms: Terms::default(), durability }).await?;
        self.ack(&id, relaxed)?;
        Ok(None)
    }

    async fn set_custom(&mut self, name: &str, value: Value) -> Result<Option<Value>, Failure> {
        let next = Value { custom: value.custom + 1, ..value };
        let id = self.begin(name, Some(next))?;
        let change = CustomChange::Merge(pairs(next)?);
        let (bucket, name, terms) = (bucket()?, ObjectName::new(name)?, Terms::default());
        let durability = Durability::Durable;
        self.node.change(Change::SetCustom { bucket, name, change, terms, durability }).await?;
        self.ack(&id, false)?;
        Ok(Some(next))
    }

    /// Two or three parts: aligned ones share their extents where the file system can, others are copied.
    async fn multipart(&mut self, name: &str, version: u64) -> Result<Option<Value>, Failure> {
        let unit = if self.rng.chance(50) { 262_144 } else { 70_001 };
        let parts = 2 + self.rng.below(2);
        let value = Value { version, size: unit * parts, custom: 0 };
        let id = self.begin(name, Some(value))?;
        let whole = bytes(name, version, value.size);
        let upload = self.create_upload(name, value).await?;
        let mut choice = Vec::new();
        for (number, part) in (1..).zip(whole.chunks(unit as usize)) {
            let prepared = self.prepare(part, Durability::Durable).await?;
            let (bucket, name, upload) = (self::bucket()?, ObjectName::new(name)?, upload.clone());
            self.node.change(Change::PutPart { bucket, name, upload, number, prepared, etag: None }).await?;
            choice.push(PartChoice { number, etag: None });
        }
        let (bucket, object) = (bucket()?, ObjectName::new(name)?);
        let options = options(None, Durability::Durable);
        let prepared = self.node.volume.assemble(&bucket, &object, &upload, &choice, &options).await?;
        self.commit(name, value, prepared, Some(upload)).await?;
        self.ack(&id, false)?;
        Ok(Some(value))
    }

    async fn create_upload(&self, name: &str, value: Value) -> Result<String, Failure> {
        let (bucket, name) = (bucket()?, ObjectName::new(name)?);
        let attrs = Attrs { custom: pairs(value)?, ..Attrs::default() };
        let durability = Durability::Durable;
        match self.node.change(Change::CreateUpload { bucket, name, attrs, durability }).await? {
            Outcome::Upload(id) => Ok(id),
            _ => Err("expected the ID of an upload".into()),
        }
    }

    async fn prepare(&self, content: &[u8], durability: Durability) -> Result<Prepared<RingFile>, Failure> {
        let size = content.len() as u64;
        let mut writer = self.node.volume.writer(&options(Some(size), durability)).await?;
        for chunk in content.chunks(limits::IO_BUFFER_BYTES) {
            let mut buf = self.node.volume.disk().buffer(chunk.len()).await?;
            buf.set_len(chunk.len());
            buf.copy_from_slice(chunk);
            writer.write(buf).await.1?;
        }
        Ok(writer.finish(&Expected { size: Some(size), checksums: Vec::new() }).await?)
    }

    async fn commit(
        &self,
        name: &str,
        value: Value,
        prepared: Prepared<RingFile>,
        upload: Option<String>,
    ) -> Result<(), Failure> {
        let (bucket, name, terms) = (bucket()?, ObjectName::new(name)?, Terms::default());
        let attrs = Attrs { custom: pairs(value)?, ..Attrs::default() };
        let put = Put { bucket, name, prepared, terms, attrs, flight: None, upload };
        self.node.change(Change::Put(Box::new(put))).await.map(drop)
    }
}

fn options(size_hint: Option<u64>, durability: Durability) -> WriteOptions<'static> {
    let kinds = &[ChecksumKind::XxHash2];
    WriteOptions { size_hint, durability, small_in_memory: true, kinds, ..WriteOptions::default() }
}

/// The value as custom metadata, so that what is found tells what it is.
fn pairs(value: Value) -> Result<CustomMeta, Failure> {
    let mut meta = CustomMeta::default();
    meta.set("version", value.version.to_string())?;
    meta.set("custom", value.custom.to_string())?;
    Ok(meta)
}
