//! The walker: one thread for work that reads whole directories or copies files, which no shard may wait for.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_channel::oneshot;
use weir_ring::{Reactor, ReactorConfig, Sender, mailbox};
use weir_store::Volume;
use weir_types::limits;

use crate::ShardError;
use crate::committer::{CommitError, Disk, open_disk};
use crate::disk::{RingDisk, Role};

/// Buffers of its reactor: copies use two each.
const BUFFERS: usize = 64;

type Volumes = Rc<[Volume<RingDisk>]>;
type Work = Box<dyn FnOnce(Volumes) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The way to the walker; any thread may use it.
#[derive(Clone)]
pub struct WalkerPort(Sender<Work>);

impl WalkerPort {
    /// Runs `work` on the walker with its volume of disk `disk` and gives what it made.
    pub async fn call<T, F>(
        &self,
        disk: usize,
        work: impl FnOnce(Volume<RingDisk>) -> F + Send + 'static,
    ) -> Result<T, CommitError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (tell, result) = oneshot::channel();
        let job: Work = Box::new(move |volumes| {
            Box::pin(async move {
                if let Some(volume) = volumes.get(disk) {
                    drop(tell.send(work(volume.clone()).await));
                }
            })
        });
        self.0.send(job).map_err(|e| match e {
            weir_ring::SendError::Full(_) => CommitError::Overloaded,
            weir_ring::SendError::Closed(_) => CommitError::Stopped,
        })?;
        result.await.map_err(|_| CommitError::Stopped)
    }
}

/// The running walker.
pub struct WalkerThread {
    /// The way to it.
    pub port: WalkerPort,
    thread: JoinHandle<()>,
}

impl WalkerThread {
    /// Starts the thread over a node's disks.
    pub fn start(disks: Vec<Disk>) -> Result<Self, ShardError> {
        let (sender, mut inbound) = mailbox::<Work>(limits::WALKER_QUEUE_MAX);
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let config = ReactorConfig { buffers: BUFFERS, spin: Duration::ZERO, ..ReactorConfig::default() };
            let reactor = match Reactor::new(&config) {
                Ok(reactor) => reactor,
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            let handle = reactor.handle();
            handle.on_task_panic(|text| tracing::error!("the walker panicked: {text}"));
            reactor.block_on(async move {
                let open = |d: &Disk| {
                    let disk = open_disk(handle.clone(), &d.path, Role::Background, &d.buffered_only)?;
                    Ok::<_, ShardError>(Volume::new(disk, d.mountpath.clone()))
                };
                let volumes: Result<Vec<_>, _> = disks.iter().map(open).collect();
                let volumes: Volumes = match volumes {
                    Ok(volumes) => volumes.into(),
                    Err(error) => return drop(tell.send(Err(error))),
                };
                // The ports to the committers must not outlive the shards' own.
                drop(disks);
                if tell.send(Ok(())).is_err() {
                    return;
                }
                while let Some(job) = inbound.recv().await {
                    if handle.spawn(job(volumes.clone())).is_err() {
                        // The refused job drops its answer's sender, which its caller sees.
                        tracing::warn!("the walker has too much under way");
                    }
                }
            });
        };
        let io = |error| ShardError::Io { what: "walker thread".into(), error };
        let thread = std::thread::Builder::new().name("walker".into()).spawn(body).map_err(io)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Self { port: WalkerPort(sender), thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io(std::io::Error::other("ended before it was ready"))),
        }
    }

    /// Waits until every port is gone and its work is done.
    pub fn join(self) -> std::thread::Result<()> {
        drop(self.port);
        self.thread.join()
    }
}
