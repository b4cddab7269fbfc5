//! Keeps the node's disks: takes them in and out while it serves, and out when they fail. One thread does it, one change at a
//! time; what belongs to the node is written down before it is in force.
//!
//! A change of the set goes in three steps. Names that are about to belong to another disk take no changes; what is under way
//! at the committers is waited for; the new set is published, for all threads at one moment. What has to move is moved
//! afterwards, by a resilver.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use parking_lot::Mutex;
use weir_cluster::hrw;
use weir_control::{BY_COMMAND, BackendError, MountpathAction, MountpathChange};
use weir_shard::{
    Away, Closed, CommitterConfig, CommitterThread, Disk, DiskId, DiskSet, Disks, Duty, RingFile, WalkerPort,
};
use weir_store::{BootId, Change, CommitClock, Mountpath, MountpathOptions};
use weir_types::{Bucket, BucketName, Provider, limits};

mod changes;

use crate::NodeError;
use crate::node::shard_error;
use crate::registry::{Registry, Standing};

/// Between two looks at the health of disks.
const LOOK: Duration = Duration::from_millis(100);
/// Changes that may wait.
const ASKS_MAX: usize = 64;
/// How long what is under way at the committers is waited for. A disk that takes longer is not waited for: it has failed.
const SETTLE_MAX: Duration = Duration::from_secs(limits::DISK_CHANGE_SECONDS_MAX / 2);
/// How long requests may go on with a disk that leaves, before they are broken off.
const LINGER: Duration = Duration::from_millis(500);
/// How long the end of all that uses a disk is waited for after that: a stalled client is dropped within it.
const CLOSE_MAX: Duration = Duration::from_secs(limits::STALL_SECONDS_MAX + 5);
const TICK: Duration = Duration::from_millis(5);

/// What the keeper needs to know of the node.
pub(crate) struct KeeperConfig {
    /// Where the registry is.
    pub(crate) dir: PathBuf,
    /// UUID of the cluster.
    pub(crate) cluster: String,
    /// ID of the target.
    pub(crate) node: String,
    /// Whether the node is one of several.
    pub(crate) of_several: bool,
    /// CPU of the committers.
    pub(crate) cpu: Option<usize>,
    /// This life of the host.
    pub(crate) boot: BootId,
    /// What committers refuse.
    pub(crate) closed: Closed,
}

/// The keeper's state.
pub(crate) struct Keeper {
    config: KeeperConfig,
    registry: Registry,
    /// Whether the copies of all objects were even when the node stopped last.
    was_even: bool,
    disks: Disks,
    clock: Arc<CommitClock>,
    /// What one disk may have of the memory of listing indexes, and what none has.
    index_share: usize,
    index_left: usize,
    threads: BTreeMap<DiskId, Kept>,
    labels: Labels,
}

/// The operator's labels, by the roots of their mountpaths.
pub(crate) type Labels = Arc<Mutex<BTreeMap<PathBuf, String>>>;

struct Kept {
    path: PathBuf,
    thread: JoinHandle<()>,
    mountpath: Weak<Mountpath<RingFile>>,
    index_bytes: usize,
}

enum Ask {
    Change(MountpathChange, oneshot::Sender<Result<(), BackendError>>),
    Settled(u64, oneshot::Sender<Result<bool, BackendError>>),
    Failed(PathBuf, String),
    Stop,
}

/// The way to the keeper.
#[derive(Clone)]
pub(crate) struct KeeperPort(SyncSender<Ask>);

/// The running keeper.
pub(crate) struct KeeperThread {
    pub(crate) port: KeeperPort,
    thread: JoinHandle<()>,
}

impl KeeperPort {
    /// Changes what belongs to the node.
    pub(crate) async fn change(&self, change: MountpathChange) -> Result<(), BackendError> {
        let (tell, done) = oneshot::channel();
        self.ask(Ask::Change(change, tell))?;
        done.await.map_err(|_| stopped())?
    }

    /// Says that every name is where it belongs under the set of this version: what leaves may leave, what returns may
    /// return. Whether there is more to move.
    pub(crate) async fn settled(&self, version: u64) -> Result<bool, BackendError> {
        let (tell, done) = oneshot::channel();
        self.ask(Ask::Settled(version, tell))?;
        done.await.map_err(|_| stopped())?
    }

    /// Says that a disk has failed.
    pub(crate) fn failed(&self, path: PathBuf, why: String) {
        tracing::error!("{}: {why}", path.display());
        if let Err(error) = self.ask(Ask::Failed(path, why)) {
            tracing::error!("it stays in service: {error}");
        }
    }

    fn ask(&self, ask: Ask) -> Result<(), BackendError> {
        self.0.try_send(ask).map_err(|e| match e {
            TrySendError::Full(_) => BackendError::Busy("too many changes of mountpaths wait".into()),
            TrySendError::Disconnected(_) => stopped(),
        })
    }
}

fn stopped() -> BackendError {
    BackendError::Busy("the node is stopping".into())
}

impl KeeperThread {
    /// Lets go of all disks, and waits until they are closed in order. Nobody else uses them any more.
    pub(crate) fn join(self) -> std::thread::Result<()> {
        // Full or gone: the thread ends with its last port.
        let _ = self.port.0.try_send(Ask::Stop);
        drop(self.port);
        self.thread.join()
    }
}

impl Keeper {
    /// Opens the disks that are the node's. One that does not come, while others do, is out of service; one that is not
    /// what it should be is refused.
    pub(crate) fn open(config: KeeperConfig, configured: &[PathBuf]) -> Result<Self, NodeError> {
        let mut registry = Registry::read(&config.dir)?;
        if config.of_several {
            registry.refuse_earlier_membership(configured)?;
        }
        let open = registry.begin(configured);
        // Whoever dies from here on has not said otherwise.
        let was_even = std::mem::take(&mut registry.even);
        let shares = (2 * open.len()).max(4);
        let index_share = limits::LIST_INDEX_BYTES_MAX / shares;
        let mut this = Self {
            config,
            registry,
            was_even,
            disks: Disks::default(),
            clock: Arc::default(),
            index_share,
            index_left: limits::LIST_INDEX_BYTES_MAX,
            threads: BTreeMap::new(),
            labels: Labels::default(),
        };
        let epoch = this.registry.next_epoch();
        this.clock.begin(epoch);
        this.write()?;
        let (mut disks, mut failed) = (Vec::new(), Vec::new());
        for (path, standing) in open {
            match this.start(&path, epoch) {
                Ok(disk) => {
                    let given = configured.contains(&path);
                    this.registry.note(&path, disk.mountpath.identity(), standing, given);
                    disks.push(Disk { duty: duty(standing), ..disk });
                }
                Err(error) if this.registry.knows(&path) && is_absent(&error) => failed.push((path, error)),
                Err(error) => return Err(shard_error(error)),
            }
        }
        let last = disks.is_empty().then(|| failed.pop()).flatten();
        if let Some((_, error)) = last {
            return Err(shard_error(error));
        }
        for (path, error) in failed {
            tracing::error!("{} is out of service, its names answer 503: {error}", path.display());
            this.registry.disable(&path, &error.to_string(), !this.registry.settled);
        }
        this.write()?;
        *this.labels.lock() = this.registry.labels();
        let set = this.set_of(1, disks);
        this.disks.publish(set);
        Ok(this)
    }

    /// Where the set is published.
    pub(crate) fn disks(&self) -> Disks {
        self.disks.clone()
    }

    /// Where the operator's labels of them are.
    pub(crate) fn labels(&self) -> Labels {
        self.labels.clone()
    }

    /// Begins to take changes.
    pub(crate) fn run(self, walker: WalkerPort) -> Result<KeeperThread, NodeError> {
        let (sender, asks) = sync_channel(ASKS_MAX);
        let work = move || self.serve(&asks, &walker);
        let thread = std::thread::Builder::new().name("disks".into()).spawn(work);
        let thread = thread.map_err(|error| NodeError::Io { what: "thread of the disks".into(), error })?;
        Ok(KeeperThread { port: KeeperPort(sender), thread })
    }

    fn serve(mut self, asks: &Receiver<Ask>, walker: &WalkerPort) {
        if !self.was_even {
            walker.moves().uneven().mark();
        }
        loop {
            match asks.recv_timeout(LOOK) {
                Ok(Ask::Change(change, tell)) => {
                    let done = self.change(&change, walker);
                    if let Err(error) = &done {
                        tracing::warn!("{} {}: {error}", change.action.as_str(), change.path);
                    }
                    drop(tell.send(done));
                }
                Ok(Ask::Settled(version, tell)) => drop(tell.send(self.settled(version, walker))),
                Ok(Ask::Failed(path, why)) => self.fail(&path, &why, walker),
                Ok(Ask::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.look(walker);
        }
        // Nobody changes anything any more.
        let even = walker.moves().are_even();
        self.forget();
        let mut well = true;
        for (_, kept) in std::mem::take(&mut self.threads) {
            if kept.thread.join().is_err() {
                tracing::error!("the committer of {} ended by a panic", kept.path.display());
                well = false;
            }
        }
        self.registry.even = even && well;
        if let Err(error) = self.write() {
            tracing::warn!("the next start takes this one for one that died: {error}");
        }
    }

    /// Lets go of all disks.
    fn forget(&self) {
        self.disks.publish(DiskSet::new(u64::MAX, Vec::new(), Vec::new(), true));
    }

    fn change(&mut self, change: &MountpathChange, walker: &WalkerPort) -> Result<(), BackendError> {
        let path = Path::new(&change.path);
        match change.action {
            MountpathAction::Attach => self.attach(path, &change.label),
            MountpathAction::Enable => self.enable(path),
            MountpathAction::Disable => self.take_out(path, change.resilver, Standing::Disabled, walker),
            MountpathAction::Detach => self.take_out(path, change.resilver, Standing::Detached, walker),
            MountpathAction::Rescan | MountpathAction::Check => Ok(()),
        }
    }

    /// Takes a disk out of the set and waits until nothing uses it.
    fn close(
        &mut self,
        path: &Path,
        to: Standing,
        why: &str,
        walker: &WalkerPort,
    ) -> Result<(), BackendError> {
        self.note_out(path, to, why);
        self.part(&[path], walker)
    }

    fn note_out(&mut self, path: &Path, to: Standing, why: &str) {
        match to {
            Standing::Disabled => self.registry.disable(path, why, !self.registry.settled),
            other => self.registry.set(path, other),
        }
    }

    /// Publishes the set without some disks and waits until nothing uses them: what was removed from them is then gone from
    /// their files as well.
    fn part(&mut self, paths: &[&Path], walker: &WalkerPort) -> Result<(), BackendError> {
        let now = self.disks.now();
        let (gone, stay): (Vec<_>, Vec<_>) =
            now.disks.iter().cloned().partition(|disk| paths.contains(&disk.path.as_path()));
        drop(now);
        self.publish(stay)?;
        // What is closed must not be waited for while it is held here.
        let ids: Vec<DiskId> = gone.iter().map(|disk| disk.id).collect();
        drop(gone);
        drop(wait(walker.follow(), SETTLE_MAX));
        ids.into_iter().for_each(|id| self.let_go(id));
        paths.iter().for_each(|path| tracing::info!("{} is closed", path.display()));
        Ok(())
    }

    /// Waits until nothing uses a disk that is not in the set any more.
    fn let_go(&mut self, id: DiskId) {
        let Some(kept) = self.threads.remove(&id) else { return };
        self.index_left += kept.index_bytes;
        let begun = Instant::now();
        while kept.mountpath.strong_count() > 0 || !kept.thread.is_finished() {
            if begun.elapsed() >= LINGER
                && let Some(mountpath) = kept.mountpath.upgrade()
            {
                mountpath.close();
            }
            if begun.elapsed() >= CLOSE_MAX {
                tracing::error!("{} is still in use", kept.path.display());
                return;
            }
            std::thread::sleep(TICK);
        }
        if kept.thread.join().is_err() {
            tracing::error!("the committer of {} ended by a panic", kept.path.display());
        }
    }

    /// Every name is where it belongs: what leaves leaves, what returns serves. Whether there is more to move.
    fn settled(&mut self, version: u64, walker: &WalkerPort) -> Result<bool, BackendError> {
        let now = self.disks.now();
        if now.version != version {
            return Ok(true);
        }
        let returning = now.disks.iter().any(|disk| disk.duty == Duty::Returning);
        let leaving: Vec<_> =
            now.disks.iter().filter(|d| d.duty == Duty::Leaving).map(|d| d.path.clone()).collect();
        drop(now);
        if !leaving.is_empty() {
            // They count as the node's until they are closed in order: a start after a death in between has their journals
            // applied, or what was moved from them would still stand there.
            let paths: Vec<&Path> = leaving.iter().map(|path| path.as_path()).collect();
            self.part(&paths, walker)?;
        }
        self.registry.settled = !returning;
        for path in leaving {
            let to = match self.registry.standing(&path) {
                Some(Standing::Disabling) => Standing::Disabled,
                _ => Standing::Detached,
            };
            self.note_out(&path, to, BY_COMMAND);
        }
        let mut disks = self.disks.now().disks.clone();
        for disk in disks.iter_mut().filter(|disk| disk.duty == Duty::Returning) {
            self.registry.set(&disk.path, Standing::Attached);
            disk.duty = Duty::Serving;
        }
        self.publish(disks)?;
        Ok(returning)
    }

    /// Takes out what has failed.
    fn look(&mut self, walker: &WalkerPort) {
        let now = self.disks.now();
        let failed = |disk: &Disk| {
            let errors = disk.mountpath.stats().read_errors;
            let reads = || (errors >= limits::DISK_READ_ERRORS_MAX).then(|| format!("{errors} reads failed"));
            let why = disk.mountpath.poisoned().map(str::to_owned).or_else(reads)?;
            Some((disk.path.clone(), why))
        };
        let failed: Vec<_> = now.disks.iter().filter_map(failed).collect();
        drop(now);
        failed.into_iter().for_each(|(path, why)| self.fail(&path, &why, walker));
    }

    /// Writes down what is the node's, and puts it in force.
    fn publish(&mut self, disks: Vec<Disk>) -> Result<(), BackendError> {
        self.write().map_err(failed)?;
        *self.labels.lock() = self.registry.labels();
        let now = self.disks.now();
        let next = self.set_of(now.version + 2, disks);
        self.disks.publish(now.closing(&next));
        for disk in now.disks.iter().filter(|disk| disk.mountpath.poisoned().is_none()) {
            // Any bucket will do: a batch is answered when all before it is.
            let bucket = Bucket::global(Provider::Ais, settling());
            if wait(disk.commits.change(Change::Settle { bucket }), SETTLE_MAX).is_none() {
                tracing::error!("{} does not answer", disk.path.display());
            }
        }
        self.disks.publish(next);
        Ok(())
    }

    fn set_of(&self, version: u64, disks: Vec<Disk>) -> DiskSet {
        let away = |out: crate::registry::Out| Away {
            digest: hrw::digest(out.path.as_os_str().as_encoded_bytes()),
            path: Arc::new(out.path),
            why: out.why,
            any: out.any,
        };
        let away = self.registry.out().into_iter().map(away).collect();
        DiskSet::new(version, disks, away, self.registry.settled)
    }

    /// Starts a disk's committer.
    fn start(&mut self, path: &Path, epoch: u64) -> Result<Disk, weir_shard::ShardError> {
        let mut options = MountpathOptions::new(self.config.boot);
        let index_bytes = self.index_share.min(self.index_left);
        options.index_bytes_max = index_bytes;
        (options.clock, options.epoch_min) = (self.clock.clone(), epoch);
        let started = CommitterThread::start(CommitterConfig {
            attach: self.registry.expect(path, &self.config.cluster, &self.config.node),
            path: path.to_owned(),
            options,
            cpu: self.config.cpu,
            closed: self.config.closed.clone(),
        })?;
        let recovered = started.recovered;
        if recovered.work_files > 0 {
            tracing::info!("{}: {} leftovers removed", path.display(), recovered.work_files);
        }
        if recovered.refiled > 0 {
            tracing::info!("{}: {} names filed from the journal", path.display(), recovered.refiled);
        }
        self.index_left -= index_bytes;
        let (disk, thread) = started.part();
        let mountpath = Arc::downgrade(&disk.mountpath);
        self.threads.insert(disk.id, Kept { path: path.to_owned(), thread, mountpath, index_bytes });
        Ok(disk)
    }

    fn write(&self) -> Result<(), NodeError> {
        self.registry.write(&self.config.dir)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Committers look at the set, and the set leads to them.
        self.forget();
    }
}

/// A name that no bucket can be in the way of: nothing is done in it.
fn settling() -> BucketName {
    BucketName::new("settling").expect("a plain name")
}

fn duty(standing: Standing) -> Duty {
    match standing {
        Standing::Attached => Duty::Serving,
        Standing::Returning => Duty::Returning,
        _ => Duty::Leaving,
    }
}

fn failed(error: NodeError) -> BackendError {
    BackendError::Mountpath(error.to_string())
}

/// Whether the disk is not there or cannot be read, rather than another one than expected.
fn is_absent(error: &weir_shard::ShardError) -> bool {
    use weir_store::{IdentityError, StoreError};
    match error {
        weir_shard::ShardError::Mountpath { error, .. } => {
            matches!(**error, StoreError::Disk(_) | StoreError::Identity(IdentityError::Missing { .. }))
        }
        weir_shard::ShardError::Io { .. } => true,
        weir_shard::ShardError::Ring(_) => false,
    }
}

/// Waits on this thread; none when it takes too long.
fn wait<T>(future: impl Future<Output = T>, within: Duration) -> Option<T> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let (mut context, begun) = (Context::from_waker(&waker), Instant::now());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        let left = within.checked_sub(begun.elapsed())?;
        std::thread::park_timeout(left);
    }
}
