use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use weir_types::limits::{JOURNAL_SEGMENT_BYTES, LIST_INDEX_BYTES_MAX};
use weir_types::{Bucket, ChecksumKind, ObjectName};

use crate::generation::{Generations, Slot};
use crate::list::Index;
use crate::{Acknowledged, Attach, BootId, CommitId, Disk, DiskPath, Identity, Space, StoreError, identity};

/// Relaxed objects of earlier boots remembered as verified; when full, all are forgotten and verified again on use.
const VERIFIED_MAX: usize = 100_000;
/// Bits of a sequence that count within an epoch.
const SEQUENCE_BITS: u32 = 40;

/// Where commit IDs come from. The mountpaths of a node share one, so that of two copies of a name, on whatever disks, the
/// later change has the greater ID.
#[derive(Debug)]
pub struct CommitClock {
    map_version: AtomicU64,
    sequence: AtomicU64,
}

impl Default for CommitClock {
    fn default() -> Self {
        Self { map_version: AtomicU64::new(1), sequence: AtomicU64::new(0) }
    }
}

impl CommitClock {
    /// From now on every ID is of this epoch or a later one. The epoch is durable before.
    pub fn begin(&self, epoch: u64) {
        self.sequence.fetch_max(epoch << SEQUENCE_BITS, Ordering::Relaxed);
    }

    /// Notes the cluster map's version for the commits to come; it never goes back.
    pub fn set_map_version(&self, version: u64) {
        self.map_version.fetch_max(version, Ordering::Relaxed);
    }

    fn next(&self) -> CommitId {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) + 1;
        assert_ne!(sequence & ((1 << SEQUENCE_BITS) - 1), 0, "2^40 commits in one epoch");
        CommitId { map_version: self.map_version.load(Ordering::Relaxed), sequence }
    }
}

/// What the owner of a mountpath decides.
#[derive(Clone, Debug)]
pub struct MountpathOptions {
    /// This life of the host (`/proc/sys/kernel/random/boot_id`).
    pub boot: BootId,
    /// Work files kept ready; 0 for none.
    pub ready_files: usize,
    /// Memory of this mountpath's listing indexes, in bytes.
    pub index_bytes_max: usize,
    /// One of the journal's two segments, in bytes; 0: small changes take the way of large ones.
    pub journal_bytes: u64,
    /// Where its commit IDs come from.
    pub clock: Arc<CommitClock>,
    /// The least epoch that this attachment gets.
    pub epoch_min: u64,
}

impl MountpathOptions {
    /// The defaults for a node with one mountpath.
    pub fn new(boot: BootId) -> Self {
        Self {
            boot,
            ready_files: 32,
            index_bytes_max: LIST_INDEX_BYTES_MAX,
            journal_bytes: JOURNAL_SEGMENT_BYTES,
            clock: Arc::default(),
            epoch_min: 0,
        }
    }
}

/// Counts of a mountpath since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Changes made durable or (relaxed) visible.
    pub commits: u64,
    /// Batches they came in.
    pub batches: u64,
    /// Blocks that did not fit their checksum.
    pub corrupt_blocks: u64,
    /// Reads that the disk failed.
    pub read_errors: u64,
    /// Work files open or waiting to be named.
    pub work_files: usize,
    /// Bytes of the listing indexes.
    pub index_bytes: usize,
    /// Names whose state is in the journal and not yet in their file.
    pub unfiled: usize,
    /// Bytes of the objects among them.
    pub unfiled_bytes: usize,
}

/// The state of one mountpath that its threads share. `F` is the open file of its disks: a shard's disk and the
/// committer's may be different types with the same files.
pub struct Mountpath<F> {
    identity: Identity,
    options: MountpathOptions,
    poison: OnceLock<String>,
    closed: AtomicBool,
    verified: Mutex<HashSet<CommitId>>,
    acknowledged: Acknowledged,
    used: AtomicU64,
    free: AtomicU64,
    /// Objects up to one byte less than this go through the journal.
    small_below: AtomicU64,
    pub(crate) generations: Generations,
    pub(crate) index: Index,
    pub(crate) ready: Mutex<VecDeque<(DiskPath, F)>>,
    pub(crate) abandoned: Mutex<Vec<DiskPath>>,
    pub(crate) work_count: AtomicU64,
    pub(crate) work_open: AtomicUsize,
    pub(crate) commits: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) corrupt_blocks: AtomicU64,
    pub(crate) read_errors: AtomicU64,
}

impl<F: Clone + Send + Sync + 'static> Mountpath<F> {
    /// Checks (or, where asked, writes) the identity of the mountpath on `disk`, begins a new epoch on it and gives its state.
    /// A swapped, foreign, stale, or unidentified but not empty one is refused.
    pub async fn attach<D: Disk<File = F>>(
        disk: &D,
        attach: &Attach,
        options: MountpathOptions,
    ) -> Result<Arc<Self>, StoreError> {
        let identity = identity::attach(disk, attach, options.epoch_min).await?;
        options.clock.begin(identity.epoch);
        let space = disk.space().await?;
        let mountpath = Self {
            index: Index::new(options.index_bytes_max),
            identity,
            options,
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            verified: Mutex::new(HashSet::new()),
            acknowledged: Acknowledged::default(),
            used: AtomicU64::new(space.used),
            free: AtomicU64::new(space.free),
            small_below: AtomicU64::new(0),
            generations: Generations::new(),
            ready: Mutex::new(VecDeque::new()),
            abandoned: Mutex::new(Vec::new()),
            work_count: AtomicU64::new(0),
            work_open: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            corrupt_blocks: AtomicU64::new(0),
            read_errors: AtomicU64::new(0),
        };
        Ok(Arc::new(mountpath))
    }
}

impl<F> Mountpath<F> {
    /// Who it is, and its epoch now.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The options it was attached with.
    pub fn options(&self) -> &MountpathOptions {
        &self.options
    }

    /// What is acknowledged and not yet filed.
    pub fn acknowledged(&self) -> &Acknowledged {
        &self.acknowledged
    }

    /// Notes the cluster map's version for the commits to come; it never goes back.
    pub fn set_map_version(&self, version: u64) {
        self.options.clock.set_map_version(version);
    }

    /// Whether an object of this size goes through the journal.
    pub(crate) fn is_small(&self, bytes: u64) -> bool {
        bytes < self.small_below.load(Ordering::Relaxed)
    }

    /// Objects up to this size go through the journal from now on; none: no object does.
    pub(crate) fn set_small(&self, bytes_max: Option<u64>) {
        self.small_below.store(bytes_max.map_or(0, |max| max + 1), Ordering::Relaxed);
    }

    /// Why changes are refused, if they are.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// Breaks off what still reads or writes: the mountpath leaves the node.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn refuse_closed(&self) -> Result<(), StoreError> {
        match self.closed.load(Ordering::Relaxed) {
            true => Err(StoreError::Abandoned("its mountpath leaves the node")),
            false => Ok(()),
        }
    }

    /// Room when it was last asked.
    pub fn space(&self) -> Space {
        Space { used: self.used.load(Ordering::Relaxed), free: self.free.load(Ordering::Relaxed) }
    }

    /// The generation of a slot's names for caches of open objects: read it **before** opening; what was opened may be
    /// used later only while the value is the same. `None`: a change is under way, so nothing may be relied on.
    pub fn generation(&self, slot: Slot) -> Option<u64> {
        self.generations.load(slot)
    }

    /// Counts since the start.
    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.commits.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
            corrupt_blocks: self.corrupt_blocks.load(Ordering::Relaxed),
            read_errors: self.read_errors.load(Ordering::Relaxed),
            work_files: self.work_open.load(Ordering::Relaxed),
            index_bytes: self.index.bytes(),
            unfiled: self.acknowledged.len(),
            unfiled_bytes: self.acknowledged.bytes(),
        }
    }

    pub(crate) fn note_space(&self, space: Space) {
        self.used.store(space.used, Ordering::Relaxed);
        self.free.store(space.free, Ordering::Relaxed);
    }

    pub(crate) fn poison(&self, why: &StoreError) {
        let _ = self.poison.set(why.to_string());
    }

    /// Passes a write's result on; after an I/O error the mountpath takes no more changes.
    pub(crate) fn written<T>(&self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done
            && error.is_io()
        {
            self.poison(error);
        }
        done
    }

    pub(crate) fn refuse_poisoned(&self) -> Result<(), StoreError> {
        self.poisoned().map_or(Ok(()), |why| Err(StoreError::Poisoned(why.to_owned())))
    }

    /// The next commit ID: greater than every one before it, over restarts too, since the epoch is durable before.
    pub(crate) fn next_commit(&self) -> CommitId {
        self.options.clock.next()
    }

    /// The ID of an upload that begins with a commit. Other nodes have commits of the same numbers: with the digest of this
    /// node's ID before it no other one makes the same, and it keeps its ID wherever it goes.
    pub(crate) fn upload_id(&self, commit: CommitId) -> String {
        let digest = weir_types::checksum::of(ChecksumKind::XxHash2, self.identity.node.as_bytes()).value;
        let node = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        CommitId { map_version: node, ..commit }.to_string()
    }

    /// Notes that a name was looked for on the disk and is not there, whatever was listed: somebody removed it without Weir.
    pub(crate) fn note_absent(&self, bucket: &Bucket, name: &ObjectName) {
        self.index.set(bucket, name, None);
    }

    pub(crate) fn is_verified(&self, commit: CommitId) -> bool {
        self.verified.lock().contains(&commit)
    }

    pub(crate) fn note_verified(&self, commit: CommitId) {
        let mut verified = self.verified.lock();
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(commit);
    }
}
