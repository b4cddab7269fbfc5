//! The walker: one thread for work that reads whole directories or copies files, which no shard may wait for.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_channel::oneshot;
use weir_cluster::hrw;
use weir_ring::{Reactor, ReactorConfig, Sender, mailbox};
use weir_store::{Change, Outcome, Record, StoreError, Volume, Watch};
use weir_types::{Bucket, ObjectName, limits};

use crate::ShardError;
use crate::committer::CommitError;
use crate::disk::{RingDisk, RingFile, Role};
use crate::disks::{Disk, DiskSet, Disks};
use crate::evening;
use crate::later;
use crate::mirror;
use crate::resilver::{self, Pass};
use crate::shifts::{self, Moves, TICK, What};
use crate::volumes::Volumes;

/// Buffers of its reactor: copies use two each.
const BUFFERS: usize = 64;

type Work = Box<dyn FnOnce(Rc<Volumes>) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The way to the walker; any thread may use it.
#[derive(Clone)]
pub struct WalkerPort {
    jobs: Sender<Work>,
    moves: Moves,
}

impl WalkerPort {
    /// Runs `work` on the walker with its volume of a disk and gives what it made. A disk that has left the node, or cannot
    /// be opened, is as one that is stopped.
    pub async fn call<T, F>(
        &self,
        disk: &Disk,
        work: impl FnOnce(Volume<RingDisk>) -> F + Send + 'static,
    ) -> Result<T, CommitError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let disk = disk.clone();
        let run = move |volumes: Rc<Volumes>| async move {
            if !volumes.disks().load().has(disk.id) {
                return None;
            }
            let opened = volumes.of(&disk).inspect_err(|error| tracing::error!("{error}"));
            drop(disk);
            Some(work(opened.ok()?).await)
        };
        self.run(run).await?.ok_or(CommitError::Stopped)
    }

    /// Opens an object wherever it is among the node's disks, for its metadata.
    pub async fn head(&self, bucket: &Bucket, name: &ObjectName) -> Result<Arc<Record>, CommitError> {
        let (bucket, name, moves) = (bucket.clone(), name.clone(), self.moves.clone());
        let find = move |volumes: Rc<Volumes>| async move {
            let found = shifts::find(&volumes, &moves, &bucket, &name, weir_store::Access::Buffered).await;
            found.map(|object| object.record().clone())
        };
        Ok(self.run(find).await??)
    }

    /// Has a change of a name carried out by the disk that it belongs to, where it is moved first.
    pub async fn change(&self, mut change: Change<RingFile>) -> Result<Outcome<RingFile>, CommitError> {
        let (bucket, name) = match change.key() {
            (bucket, Some(name)) => (bucket.clone(), name.clone()),
            (_, None) => return Err(StoreError::Abandoned("a change of no name").into()),
        };
        let digest = hrw::object_digest(&bucket, name.as_str());
        let removes = matches!(change, Change::Delete { .. });
        let mut has_copies = false;
        loop {
            let set = self.settle(&bucket, &name).await?;
            if removes && !bucket.provider.is_remote() && set.away_of(digest).is_some() {
                return Err(shifts::absent(&set, &bucket, &name, digest).into());
            }
            let disk = set.placed(digest).and_then(|at| set.disks.get(at));
            let disk = disk.ok_or(CommitError::Store(StoreError::Abandoned("no disk is in service")))?;
            let copies = self.moves.copies(&bucket);
            let done = match copies {
                1 if !has_copies => disk.commits.change(change).await?,
                _ => self.change_copies(set, copies, change).await?,
            };
            match done {
                Outcome::Misplaced(back) => {
                    change = *back;
                    self.pause().await?;
                }
                Outcome::HasCopies(back) => {
                    change = *back;
                    has_copies = true;
                }
                other => return Ok(other),
            }
        }
    }

    async fn change_copies(
        &self,
        set: Arc<DiskSet>,
        copies: usize,
        change: Change<RingFile>,
    ) -> Result<Outcome<RingFile>, CommitError> {
        let moves = self.moves.clone();
        let work = move |volumes: Rc<Volumes>| async move {
            mirror::change(&volumes, &moves, &set, copies, change).await
        };
        self.run(work).await?
    }

    /// Has the copies of a name looked after soon, if there is room for that.
    pub(crate) fn mend(&self, bucket: &Bucket, name: &ObjectName) {
        let digest = hrw::object_digest(bucket, name.as_str());
        if let Some(mended) = self.moves.mending.begin(digest, self.moves.uneven()) {
            let (moves, bucket, name) = (self.moves.clone(), bucket.clone(), name.clone());
            // What comes to nothing on the way gives its place back.
            let job: Work = Box::new(move |volumes| Box::pin(mended.run(volumes, moves, bucket, name)));
            if self.jobs.send(job).is_err() {
                tracing::debug!("the walker has too much under way to mend an object");
            }
        }
    }

    async fn settle(&self, bucket: &Bucket, name: &ObjectName) -> Result<Arc<DiskSet>, CommitError> {
        let (bucket, name, moves) = (bucket.clone(), name.clone(), self.moves.clone());
        let settle = move |volumes: Rc<Volumes>| async move {
            moves.settle(&volumes, &bucket, &name, What::Object).await.map(|(set, _)| set)
        };
        self.run(settle).await?
    }

    /// Waits a little, while a set of disks is being published.
    async fn pause(&self) -> Result<(), CommitError> {
        self.run(|volumes| async move { volumes.handle().sleep(TICK).await }).await
    }

    /// Moves every name to the disk that it belongs to: one pass.
    pub async fn resilver(&self, watch: Arc<dyn Watch>) -> Result<Pass, CommitError> {
        let moves = self.moves.clone();
        self.run(move |volumes| resilver::pass(volumes, moves, watch)).await
    }

    /// Makes the copies of a bucket's objects even; every byte is read and checked if `thorough`. Whether all that can be even is.
    pub async fn even_copies(
        &self,
        bucket: &Bucket,
        thorough: bool,
        watch: Arc<dyn Watch>,
    ) -> Result<bool, CommitError> {
        let (bucket, moves) = (bucket.clone(), self.moves.clone());
        self.run(move |volumes| evening::pass(volumes, moves, bucket, thorough, watch)).await
    }

    /// What is wrong with an object of this node that cannot be read whole, from none of its copies; those that can be made again
    /// from a good one are. None: nothing, or there is no object.
    pub async fn damage(
        &self,
        bucket: &Bucket,
        name: &ObjectName,
    ) -> Result<Option<StoreError>, CommitError> {
        let (bucket, name, moves) = (bucket.clone(), name.clone(), self.moves.clone());
        let look = move |volumes: Rc<Volumes>| async move {
            if moves.copies(&bucket) > 1 {
                return mirror::mend(&volumes, &moves, (&bucket, &name), true).await.map(drop);
            }
            let found = shifts::find(&volumes, &moves, &bucket, &name, weir_store::Access::Direct).await;
            found?.verify().await.map_err(CommitError::Store)
        };
        match self.run(look).await? {
            Err(CommitError::Store(error)) if error.is_damage() || error.is_io() => Ok(Some(error)),
            Err(CommitError::Store(error)) if error.is_not_found() => Ok(None),
            looked => looked.map(|()| None),
        }
    }

    /// Closes what has left the set of disks.
    pub async fn follow(&self) -> Result<(), CommitError> {
        self.run(|volumes| async move { drop(volumes.follow()) }).await
    }

    /// Who moves which name: the walker and the shards move by the same.
    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    async fn run<T, F>(&self, work: impl FnOnce(Rc<Volumes>) -> F + Send + 'static) -> Result<T, CommitError>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (tell, result) = oneshot::channel();
        let job: Work =
            Box::new(move |volumes| Box::pin(async move { drop(tell.send(work(volumes).await)) }));
        self.jobs.send(job).map_err(|e| match e {
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
    pub fn start(disks: Disks) -> Result<Self, ShardError> {
        let (sender, mut inbound) = mailbox::<Work>(limits::WALKER_QUEUE_MAX);
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let (moves, waiting) = Moves::new();
        let own = moves.clone();
        let body = move || {
            let config = ReactorConfig { buffers: BUFFERS, spin: Duration::ZERO, ..ReactorConfig::default() };
            let reactor = match Reactor::new(&config) {
                Ok(reactor) => reactor,
                Err(error) => return drop(tell.send(Err(error.into()))),
            };
            let handle = reactor.handle();
            handle.on_task_panic(|text| tracing::error!("the walker panicked: {text}"));
            reactor.block_on(async move {
                let volumes = Rc::new(Volumes::new(handle.clone(), Role::Background, disks));
                let copies = later::run(waiting, volumes.clone(), own);
                let begun = handle.spawn(copies).map_err(|_| ShardError::Io {
                    what: "walker".into(),
                    error: std::io::Error::other("no room for a task"),
                });
                if tell.send(begun).is_err() {
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
            Ok(Ok(())) => Ok(Self { port: WalkerPort { jobs: sender, moves }, thread }),
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

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    #[test]
    fn a_mending_that_is_refused_keeps_no_place() {
        let (jobs, inbound) = mailbox::<Work>(1);
        drop(inbound);
        let (moves, _waiting) = Moves::new();
        let port = WalkerPort { jobs, moves };
        let bucket = Bucket::global(Provider::Ais, BucketName::new("b").unwrap());
        for n in 0..=limits::MENDED_AT_ONCE_MAX {
            port.mend(&bucket, &ObjectName::new(format!("o{n}")).unwrap());
        }
        assert!(port.moves.mending.begin(7, port.moves.uneven()).is_some(), "no place is left");
        assert!(!port.moves.are_even(), "nobody was told that copies may be uneven");
    }
}
