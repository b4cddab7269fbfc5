//! A mountpath on a real directory through the disk of production, driven from one thread.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_ring::{Reactor, ReactorConfig};
use weir_shard::{RingDisk, RingFile, Role};
use weir_store::{
    Access, Attach, Attrs, BootId, Buffer as _, Change, Committer, Disk as _, Durability, Expected,
    ListQuery, Mountpath, MountpathOptions, Outcome, Prepared, Put, Request, StoreError, Terms, Volume,
    WriteOptions,
};
use weir_types::{Bucket, BucketName, ByteRange, ChecksumKind, ObjectName, Provider, limits};

pub type Got<T> = Result<T, StoreError>;

/// A file system of its own on a file; unmounted when dropped. `None` where this machine does not let us.
pub struct Mounted {
    pub dir: PathBuf,
    keep: Option<tempfile::TempDir>,
}

impl Mounted {
    pub fn xfs(bytes: u64) -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let (image, dir) = (keep.path().join("image"), keep.path().join("mnt"));
        std::fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        std::fs::create_dir(&dir).unwrap();
        let made = ran(Command::new("mkfs.xfs").args(["-q", "-m", "reflink=1"]).arg(&image));
        let mounted = made && ran(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&dir));
        Self::given(mounted, "XFS on a loop device", keep, dir)
    }

    pub fn of_type(kind: &str) -> Option<Self> {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("mnt");
        std::fs::create_dir(&dir).unwrap();
        let mounted = ran(Command::new("mount").args(["-t", kind, kind]).arg(&dir));
        Self::given(mounted, kind, keep, dir)
    }

    fn given(mounted: bool, what: &str, keep: tempfile::TempDir, dir: PathBuf) -> Option<Self> {
        if !mounted {
            eprintln!("skipped: this machine does not let us mount {what}");
        }
        mounted.then_some(Self { dir, keep: Some(keep) })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Never remove a tree that something is still mounted on.
        if !ran(Command::new("umount").arg(&self.dir)) {
            self.keep.take().map(tempfile::TempDir::keep);
        }
    }
}

fn ran(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// A disk on `dir`, and its reactor.
pub struct Bench {
    pub reactor: Reactor,
    pub disk: RingDisk,
    pub buffered_only: Arc<AtomicBool>,
}

impl Bench {
    pub fn new(dir: &Path, role: Role) -> Self {
        let config = ReactorConfig { buffers: 16, spin: Duration::ZERO, ..ReactorConfig::default() };
        let reactor = Reactor::new(&config).unwrap();
        let buffered_only = Arc::new(AtomicBool::new(false));
        let disk = RingDisk::open_root(reactor.handle(), dir, role, buffered_only.clone()).unwrap();
        Self { reactor, disk, buffered_only }
    }

    pub fn refuses_direct(&self) -> bool {
        self.buffered_only.load(Ordering::Relaxed)
    }
}

pub struct Node {
    pub bench: Bench,
    pub mountpath: Arc<Mountpath<RingFile>>,
    pub committer: Committer<RingDisk>,
    now_ns: u64,
}

pub fn bucket() -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new("b").unwrap())
}

pub fn name(text: &str) -> ObjectName {
    ObjectName::new(text).unwrap()
}

/// Bytes that differ with their seed and place.
pub fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut out: Vec<u8> = (0..size.div_ceil(8)).flat_map(|_| next()).collect();
    out.truncate(size);
    out
}

/// How an object of `size` stated bytes is written, or one of unknown size.
pub fn written(size: Option<usize>) -> WriteOptions<'static> {
    WriteOptions {
        size_hint: size.map(|s| s as u64),
        kinds: &[ChecksumKind::XxHash2],
        small_in_memory: true,
        ..WriteOptions::default()
    }
}

impl Node {
    /// Attaches and recovers the mountpath in `dir`, in a life of the host named `boot`.
    pub fn start(dir: &Path, role: Role, boot: u8) -> Self {
        let bench = Bench::new(dir, role);
        let disk = bench.disk.clone();
        let (mountpath, committer) = bench.reactor.block_on(async {
            let whose = Attach {
                cluster: "c".into(),
                node: "n".into(),
                mountpath: Some("m".into()),
                epoch_min: 0,
                create: true,
            };
            let journal_bytes = 1 << 20;
            let options = MountpathOptions {
                ready_files: 2,
                journal_bytes,
                ..MountpathOptions::new(BootId([boot; 16]))
            };
            let mountpath = Mountpath::attach(&disk, &whose, options).await.unwrap();
            let mut committer = Committer::new(disk, mountpath.clone());
            committer.recover().await.unwrap();
            (mountpath, committer)
        });
        Self { bench, mountpath, committer, now_ns: 1_000 }
    }

    pub fn volume(&self) -> Volume<RingDisk> {
        self.committer.volume().clone()
    }

    pub fn one(&mut self, change: Change<RingFile>) -> Got<Outcome<RingFile>> {
        self.now_ns += 1;
        let answer = Arc::new(Mutex::new(None));
        let tell = answer.clone();
        let reply = Box::new(move |result| *tell.lock().unwrap() = Some(result));
        let batch = vec![Request { change, together: None, now_ns: self.now_ns, reply }];
        self.bench.reactor.block_on(self.committer.execute(batch));
        answer.lock().unwrap().take().expect("answered")
    }

    /// Housekeeping to its end.
    pub fn settle(&mut self) {
        self.bench
            .reactor
            .block_on(async { while self.committer.file_some(64).await || self.committer.tend().await {} });
    }

    pub fn prepare(&self, content: &[u8], options: &WriteOptions<'_>) -> Got<Prepared<RingFile>> {
        let volume = self.volume();
        self.bench.reactor.block_on(async {
            let mut writer = volume.writer(options).await?;
            for piece in content.chunks(limits::IO_BUFFER_BYTES) {
                let mut buf = volume.disk().buffer(piece.len()).await?;
                buf.set_len(piece.len());
                buf.copy_from_slice(piece);
                writer.write(buf).await.1?;
            }
            writer.finish(&Expected { size: Some(content.len() as u64), checksums: Vec::new() }).await
        })
    }

    pub fn commit(
        &mut self,
        n: &str,
        prepared: Prepared<RingFile>,
        upload: Option<String>,
    ) -> Got<Outcome<RingFile>> {
        self.one(Change::Put(Box::new(Put {
            bucket: bucket(),
            name: name(n),
            prepared,
            terms: Terms::default(),
            attrs: Attrs::default(),
            flight: None,
            upload,
        })))
    }

    pub fn put_as(&mut self, n: &str, content: &[u8], options: &WriteOptions<'_>) -> Got<()> {
        let prepared = self.prepare(content, options)?;
        self.commit(n, prepared, None).map(drop)
    }

    pub fn put(&mut self, n: &str, content: &[u8]) -> Got<()> {
        self.put_as(n, content, &written(Some(content.len())))
    }

    pub fn delete(&mut self, n: &str) -> Got<()> {
        let (bucket, name, terms) = (bucket(), name(n), Terms::default());
        self.one(Change::Delete { bucket, name, terms, durability: Durability::Durable }).map(drop)
    }

    pub fn range(&self, n: &str, access: Access, range: Option<ByteRange>) -> Got<Vec<u8>> {
        let volume = self.volume();
        self.bench.reactor.block_on(async {
            let object = volume.open_as(&bucket(), &name(n), access).await?;
            let mut content = Vec::new();
            for chunk in object.chunks(range.unwrap_or(object.all())) {
                content.extend_from_slice(object.read(chunk).await?.bytes());
            }
            Ok(content)
        })
    }

    pub fn get(&self, n: &str) -> Got<Vec<u8>> {
        self.range(n, Access::Buffered, None)
    }

    pub fn list(&self) -> Vec<String> {
        let query = ListQuery { limit: 10_000, ..ListQuery::default() };
        let page = self.bench.reactor.block_on(self.volume().list(&bucket(), &query)).unwrap();
        page.rows.iter().map(|row| row.name.to_owned()).collect()
    }
}

/// Paths of all files beneath `dir`, relative to it.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![dir.to_owned()];
    while let Some(next) = left.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                left.push(entry.path());
            } else {
                let path = entry.path();
                found.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
