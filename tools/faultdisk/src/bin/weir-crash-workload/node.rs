//! One mountpath with its committer, as a node has it: the committer on a thread of its own, clients on another.

use crate::Failure;
use crate::skipping::{Skip, Skipping};
use futures_channel::oneshot;
use std::cell::Cell;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use weir_ring::{Handle, Reactor, ReactorConfig, Sender, mailbox};
use weir_shard::{Closed, RingDisk, RingFile, Role, serve_changes};
use weir_store::{
    Attach, BootId, Change, Committer, Mountpath, MountpathOptions, Outcome, Request, StoreError, Volume,
};
use weir_types::{Bucket, BucketName, Provider, limits};

/// Buffers of a reactor here: a few clients, one chunk each.
const BUFFERS: usize = 32;
/// Any time will do, as long as it goes on.
const EPOCH_NS: u64 = 1_700_000_000_000_000_000;

/// The bucket of all names.
pub(crate) fn bucket() -> Result<Bucket, Failure> {
    Ok(Bucket::global(Provider::Ais, BucketName::new("crash")?))
}

/// A life of the mountpath at a directory.
pub(crate) struct Life {
    pub(crate) root: PathBuf,
    /// Tells this life of the host from others.
    pub(crate) boot: u8,
    pub(crate) skip: Skip,
}

/// What clients use.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) volume: Rc<Volume<Skipping>>,
    pub(crate) handle: Handle,
    changes: Sender<Request<RingFile>>,
    now: Rc<AtomicU64>,
}

impl Node {
    /// Hands a change to the committer and waits until it is as durable as it asked to be.
    pub(crate) async fn change(&self, change: Change<RingFile>) -> Result<Outcome<RingFile>, Failure> {
        let (tell, outcome) = oneshot::channel();
        let reply = Box::new(move |result: Result<_, StoreError>| drop(tell.send(result)));
        let now_ns = EPOCH_NS + self.now.fetch_add(1, Ordering::Relaxed);
        let request = Request { change, together: None, now_ns, reply };
        self.changes.send(request).map_err(|_| "the committer's queue is full or closed")?;
        Ok(outcome.await.map_err(|_| "the committer ended")??)
    }
}

/// Attaches and recovers the mountpath, runs `clients` and ends.
pub(crate) fn live<F: Future<Output = Result<(), Failure>>>(
    life: &Life,
    clients: impl FnOnce(Node) -> F,
) -> Result<(), Failure> {
    let (tell, started) = sync_channel(1);
    let thread = committer(Life { root: life.root.clone(), ..*life }, tell);
    let (mountpath, changes) = started.recv().map_err(|_| "the committer's thread ended")??;
    let reactor = Reactor::new(&config())?;
    let handle = reactor.handle();
    let disk = disk(&handle, &life.root, Role::Shard { of: 1 }, life.skip)?;
    let volume = Rc::new(Volume::new(disk, mountpath));
    let node = Node { volume, handle, changes, now: Rc::default() };
    let result = reactor.block_on(clients(node));
    // The last sender is gone with the clients: the committer ends what it has and returns.
    drop(reactor);
    thread.join().map_err(|_| "the committer panicked")?;
    result
}

fn config() -> ReactorConfig {
    ReactorConfig { buffers: BUFFERS, spin: Duration::ZERO, ..ReactorConfig::default() }
}

fn disk(handle: &Handle, root: &Path, role: Role, skip: Skip) -> Result<Skipping, Failure> {
    let disk = RingDisk::open_root(handle.clone(), root, role, Arc::new(AtomicBool::new(false)))?;
    Ok(Skipping { disk, skip, active: Rc::new(Cell::new(matches!(role, Role::Shard { .. }))) })
}

type Started = Result<(Arc<Mountpath<RingFile>>, Sender<Request<RingFile>>), String>;

fn committer(life: Life, tell: SyncSender<Started>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let begun = Reactor::new(&config()).map_err(Failure::from).and_then(|reactor| {
            let disk = disk(&reactor.handle(), &life.root, Role::Committer, life.skip)?;
            Ok((reactor, disk))
        });
        let (reactor, disk) = match begun {
            Ok(begun) => begun,
            Err(e) => return drop(tell.send(Err(e.to_string()))),
        };
        let handle = reactor.handle();
        reactor.block_on(async {
            let active = disk.active.clone();
            let (sender, mailbox) = mailbox(limits::COMMIT_QUEUE_MAX);
            match attach(disk, life.boot).await {
                Err(e) => drop(tell.send(Err(e.to_string()))),
                Ok((committer, mountpath)) => {
                    active.set(true);
                    if tell.send(Ok((mountpath, sender))).is_ok() {
                        serve_changes(handle, committer, mailbox, &Closed::default()).await;
                    }
                }
            }
        });
    })
}

async fn attach(
    disk: Skipping,
    boot: u8,
) -> Result<(Committer<Skipping>, Arc<Mountpath<RingFile>>), StoreError> {
    let whose = Attach {
        cluster: "crash".into(),
        node: "crash".into(),
        mountpath: Some("crash".into()),
        epoch_min: 0,
        create: true,
    };
    let options = MountpathOptions { ready_files: 4, ..MountpathOptions::new(BootId([boot; 16])) };
    let mountpath = Mountpath::attach(&disk, &whose, options).await?;
    let mut committer = Committer::new(disk, mountpath.clone());
    committer.recover().await?;
    Ok((committer, mountpath))
}
