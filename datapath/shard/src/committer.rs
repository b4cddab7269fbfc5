//! The committer's thread: takes the changes of one mountpath from every shard and hands them to the store in batches.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use futures_channel::oneshot;
use weir_cluster::hrw;
use weir_ring::{Mailbox, Reactor, ReactorConfig, SendError, Sender, mailbox};
use weir_store::{
    Attach, Change, Committer, Mountpath, MountpathOptions, Outcome, Recovered, Request, StoreError, Together,
};
use weir_types::limits;

use crate::ShardError;
use crate::closed::Closed;
use crate::disk::{RingDisk, RingFile, Role};
use crate::disks::{Disk, DiskId, Duty};

/// Buffers of a committer's reactor: it moves sidecars and copies, no client's bytes.
const BUFFERS: usize = 16;

/// The way to one mountpath's committer; any thread may use it.
#[derive(Clone)]
pub struct CommitPort(Sender<Request<RingFile>>);

impl CommitPort {
    /// Hands a change over and waits for its outcome. A full queue answers at once.
    pub async fn change(&self, change: Change<RingFile>) -> Result<Outcome<RingFile>, CommitError> {
        self.send(change, None, now_ns()).await
    }

    /// The same, of one copy's part in a change of all.
    pub(crate) async fn change_together(
        &self,
        change: Change<RingFile>,
        together: Together,
        now_ns: u64,
    ) -> Result<Outcome<RingFile>, CommitError> {
        self.send(change, Some(together), now_ns).await
    }

    async fn send(
        &self,
        change: Change<RingFile>,
        together: Option<Together>,
        now_ns: u64,
    ) -> Result<Outcome<RingFile>, CommitError> {
        let (tell, outcome) = oneshot::channel();
        let reply = Box::new(move |result| drop(tell.send(result)));
        self.0.send(Request { change, together, now_ns, reply }).map_err(|e| match e {
            SendError::Full(_) => CommitError::Overloaded,
            SendError::Closed(_) => CommitError::Stopped,
        })?;
        outcome.await.map_err(|_| CommitError::Stopped)?.map_err(CommitError::Store)
    }
}

/// Why a change did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The queue is full: try again later.
    #[error("the disk's queue of changes is full")]
    Overloaded,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopped,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A running committer.
pub struct CommitterThread {
    /// The mountpath it owns.
    pub disk: Disk,
    /// What it found of an earlier process.
    pub recovered: Recovered,
    thread: JoinHandle<()>,
}

/// What a committer needs to begin.
pub struct CommitterConfig {
    /// The mountpath's directory.
    pub path: PathBuf,
    /// Whose it must be.
    pub attach: Attach,
    /// The store's options.
    pub options: MountpathOptions,
    /// CPU to pin to.
    pub cpu: Option<usize>,
    /// Which buckets take no new objects.
    pub closed: Closed,
}

impl CommitterThread {
    /// Starts the thread: attaches the mountpath, recovers it and takes changes. Blocks until that is done.
    pub fn start(config: CommitterConfig) -> Result<Self, ShardError> {
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let path = config.path.clone();
        let thread = std::thread::Builder::new()
            .name("committer".into())
            .spawn(move || run(config, &tell))
            .map_err(|error| ShardError::Io { what: "committer thread".into(), error })?;
        match started.recv() {
            Ok(Ok((disk, recovered))) => Ok(Self { disk, recovered, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ShardError::Mountpath {
                path: path.display().to_string(),
                error: Box::new(StoreError::Abandoned("its thread ended before it was ready")),
            }),
        }
    }

    /// The mountpath, and the thread, which ends when every port is gone and all changes are carried out.
    pub fn part(self) -> (Disk, JoinHandle<()>) {
        (self.disk, self.thread)
    }
}

type Started = std::sync::mpsc::SyncSender<Result<(Disk, Recovered), ShardError>>;

fn run(config: CommitterConfig, tell: &Started) {
    let reactor = ReactorConfig {
        buffers: BUFFERS,
        // It sleeps between batches: its core is shared with control.
        spin: Duration::ZERO,
        cpu: config.cpu,
        ..ReactorConfig::default()
    };
    let reactor = match Reactor::new(&reactor) {
        Ok(reactor) => reactor,
        Err(error) => return drop(tell.send(Err(error.into()))),
    };
    let handle = reactor.handle();
    reactor.block_on(async move {
        let (sender, mailbox) = mailbox(limits::COMMIT_QUEUE_MAX);
        match begin(&config, handle.clone(), CommitPort(sender)).await {
            Err(error) => drop(tell.send(Err(error))),
            Ok((committer, disk, recovered)) => {
                let closed = config.closed.of(disk.id);
                if tell.send(Ok((disk, recovered))).is_ok() {
                    serve_changes(handle, committer, mailbox, &closed).await;
                }
            }
        }
    });
}

async fn begin(
    config: &CommitterConfig,
    handle: weir_ring::Handle,
    commits: CommitPort,
) -> Result<(Committer<RingDisk>, Disk, Recovered), ShardError> {
    let failed =
        |error| ShardError::Mountpath { path: config.path.display().to_string(), error: Box::new(error) };
    let buffered_only = Arc::new(AtomicBool::new(false));
    let disk = open_disk(handle, &config.path, Role::Committer, &buffered_only)?;
    let mountpath = Mountpath::attach(&disk, &config.attach, config.options.clone()).await.map_err(failed)?;
    let mut committer = Committer::new(disk, mountpath.clone());
    #[cfg(all(debug_assertions, feature = "sim"))]
    if let Some(bug) = crate::planted::of_committer() {
        committer.plant(bug);
    }
    let recovered = committer.recover().await.map_err(failed)?;
    let digest = hrw::digest(config.path.as_os_str().as_encoded_bytes());
    let shared = Disk {
        id: DiskId::next(),
        path: Arc::new(config.path.clone()),
        digest,
        mountpath,
        buffered_only,
        commits,
        duty: Duty::Serving,
    };
    Ok((committer, shared, recovered))
}

/// Carries out the changes of a mailbox until its last sender is gone, all are done and all are in their files.
pub async fn serve_changes<D: weir_store::Disk<File = RingFile>>(
    handle: weir_ring::Handle,
    mut committer: Committer<D>,
    mut mailbox: Mailbox<Request<RingFile>>,
    closed: &Closed,
) {
    let mut batch = Vec::with_capacity(limits::COMMIT_BATCH_MAX);
    let mut clock = Clock { tick: None };
    loop {
        while batch.len() < limits::COMMIT_BATCH_MAX
            && let Some(request) = mailbox.try_recv()
        {
            batch.push(request);
        }
        if batch.is_empty() {
            match wait(&handle, &mut clock, &mut committer, &mut mailbox).await {
                Some(request) => batch.push(request),
                None => break,
            }
            continue;
        }
        let mountpath = committer.mountpath().clone();
        let admitted = closed.admit(std::mem::take(&mut batch), |version| mountpath.set_map_version(version));
        committer.execute(admitted).await;
        clock.start(&handle);
        if clock.is_due(&handle) {
            clock.tick(&handle, &mut committer).await;
        }
    }
    if let Err(error) = committer.close().await {
        tracing::warn!("what is acknowledged stays in the journal until the next start: {error}");
    }
}

/// When the committer is next told that time has passed.
struct Clock {
    tick: Option<Instant>,
}

/// Half of the age that a change in the journal may have: what one tick finds, the next one makes due.
const TICK: Duration = Duration::from_millis(limits::JOURNAL_AGE_MILLIS_MAX / 2);
const IDLE: Duration = Duration::from_millis(limits::JOURNAL_IDLE_MILLIS);
/// Between two looks at the disk's space while nothing changes.
const SPACE_LOOK: Duration = Duration::from_secs(limits::SPACE_LOOK_SECONDS);
/// Names filed in one turn while nobody waits.
const FILED_PER_TURN: usize = 2;

impl Clock {
    fn start(&mut self, handle: &weir_ring::Handle) {
        self.tick.get_or_insert_with(|| handle.now() + TICK);
    }

    fn is_due(&self, handle: &weir_ring::Handle) -> bool {
        self.tick.is_some_and(|tick| handle.now() >= tick)
    }

    async fn tick<D: weir_store::Disk>(&mut self, handle: &weir_ring::Handle, committer: &mut Committer<D>) {
        self.tick = committer.tick().await.then(|| handle.now() + TICK);
        committer.look_at_space().await;
    }
}

/// The next change; meanwhile housekeeping, one bounded step at a time, and after a pause the filing of what waits.
/// None: every sender is gone.
async fn wait<D: weir_store::Disk<File = RingFile>>(
    handle: &weir_ring::Handle,
    clock: &mut Clock,
    committer: &mut Committer<D>,
    mailbox: &mut Mailbox<Request<RingFile>>,
) -> Option<Request<RingFile>> {
    while committer.tend().await {
        if let Some(request) = mailbox.try_recv() {
            return Some(request);
        }
    }
    let idle = handle.now() + IDLE;
    loop {
        // What is due is filed in the gaps between changes.
        while committer.file_late(FILED_PER_TURN).await {
            if let Some(request) = mailbox.try_recv() {
                return Some(request);
            }
        }
        let until = match clock.tick {
            Some(tick) if committer.has_unfiled() => tick.min(idle),
            Some(tick) => tick,
            None => match handle.timeout(SPACE_LOOK, mailbox.recv()).await {
                Ok(came) => return came,
                Err(_) => {
                    committer.look_at_space().await;
                    continue;
                }
            },
        };
        if let Ok(came) = handle.timeout(until.saturating_duration_since(handle.now()), mailbox.recv()).await
        {
            return came;
        }
        while handle.now() >= idle && committer.file_some(FILED_PER_TURN).await {
            handle.yield_now().await;
            if let Some(request) = mailbox.try_recv() {
                return Some(request);
            }
        }
        if clock.is_due(handle) {
            clock.tick(handle, committer).await;
        }
    }
}

/// A thread's own way to a mountpath's disk.
pub(crate) fn open_disk(
    handle: weir_ring::Handle,
    path: &Path,
    role: Role,
    buffered_only: &Arc<AtomicBool>,
) -> Result<RingDisk, ShardError> {
    RingDisk::open_root(handle, path, role, buffered_only.clone())
        .map_err(|error| ShardError::Io { what: format!("mountpath {}", path.display()), error })
}

/// Wall clock, nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}
