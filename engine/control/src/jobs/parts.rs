use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use parking_lot::Mutex;
use weir_cluster::{ClusterView, CopyOrder, Done, Job, JobId, JobOrder, NodeId};

use super::begun::Begun;
use super::capacity::Capacity;
use super::{copy, evict, mirror, promote, rebalance, remove, resilver, tidy};
use crate::ControlError;
use crate::core::Core;
use crate::raft::command::Command;
use crate::runtime;

/// Between two looks for parts that are to be done.
const LOOK: Duration = Duration::from_millis(100);
/// After an end that was not agreed on.
const AGAIN: Duration = Duration::from_millis(500);

/// The parts of jobs that are under way in this process.
#[derive(Clone, Default)]
pub(crate) struct Parts(Arc<Mutex<BTreeMap<JobId, Arc<Progress>>>>);

/// What a part has done so far, and whether it is to stop.
#[derive(Default)]
pub(crate) struct Progress {
    objects: AtomicU64,
    bytes: AtomicU64,
    stop: AtomicBool,
    error: Mutex<Option<String>>,
    /// What it has not been able to do yet.
    left: Mutex<Option<String>>,
}

impl Progress {
    /// Counts an object.
    pub(crate) fn count(&self, bytes: u64) {
        self.add(1, bytes);
    }

    /// Counts objects.
    pub(crate) fn add(&self, objects: u64, bytes: u64) {
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes what went wrong; the first is kept.
    pub(crate) fn fail(&self, what: String) {
        self.error.lock().get_or_insert(what);
    }

    /// Notes how many names it has not been able to do yet, and why the first of them.
    pub(crate) fn leave(&self, names: u64, why: &str) {
        *self.left.lock() = (names > 0).then(|| format!("{names} left: {why}"));
    }

    /// Whether it is to stop.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// So far.
    pub(crate) fn done(&self) -> Done {
        Done {
            objects: self.objects.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            error: self.error.lock().clone(),
        }
    }
}

impl Parts {
    /// What a part has done so far, and what it has not been able to do yet, if it is under way here.
    pub(crate) fn progress(&self, job: &JobId) -> Option<(Done, Option<String>)> {
        self.0.lock().get(job).map(|progress| (progress.done(), progress.left.lock().clone()))
    }
}

/// The jobs that a target begins by itself.
#[derive(Default)]
struct OwnJobs {
    /// By the set of mountpaths.
    resilvers: Begun,
    evenings: Begun,
    room: Capacity,
}

/// Has a job of this target's own agreed on; its ID.
pub(super) async fn start(core: &Core, order: JobOrder) -> Result<JobId, ControlError> {
    let id = JobId::generate(runtime::random());
    start_as(core, id.clone(), order).await?;
    Ok(id)
}

/// The same under an ID that may have been asked for before: it is begun once.
pub(super) async fn start_as(core: &Core, id: JobId, order: JobOrder) -> Result<(), ControlError> {
    let order = Box::new(order);
    core.raft.propose(Command::StartJob { id, order, now_ns: crate::now_ns() }).await.map(drop)
}

impl Core {
    /// While this process is a target: does its parts of the jobs there are.
    pub(crate) async fn work_forever(self: Arc<Self>) {
        let Some(own) = self.raft.published().me().target.clone() else { return };
        // What waits to be agreed on keeps no part from its begin or its stop.
        join(self.begin_forever(&own), self.part_forever(&own)).await;
    }

    async fn begin_forever(&self, own: &NodeId) {
        let mut own_jobs = OwnJobs::default();
        loop {
            runtime::sleep(LOOK).await;
            if let Ok(view) = self.view() {
                self.begin_own(&view, own, &mut own_jobs).await;
            }
        }
    }

    async fn part_forever(self: &Arc<Self>, own: &NodeId) {
        let is_due = |job: &&Arc<Job>| job.parts.get(own).is_some_and(|part| part.ended_ns.is_none());
        loop {
            runtime::sleep(LOOK).await;
            let Ok(view) = self.view() else { continue };
            for job in view.jobs.iter().filter(is_due) {
                self.work_at(job, own);
            }
        }
    }

    /// Begins what this target's disks call for.
    async fn begin_own(&self, view: &ClusterView, own: &NodeId, jobs: &mut OwnJobs) {
        let OwnJobs { resilvers, evenings, room } = jobs;
        if let Some(set) = self.backend.wants_resilver() {
            let order = JobOrder::Resilver { target: own.clone() };
            resilvers.tend(self, view, set, set, order).await;
        }
        if let Some(mark) = self.backend.uneven().filter(|_| self.raft.lease().holds(runtime::now())) {
            match view.bmd.iter().any(|(_, info)| info.props.copies() > 1) {
                true => {
                    evenings.tend(self, view, 0, mark, JobOrder::EvenCopies { target: own.clone() }).await
                }
                false => self.backend.seen_to(mark),
            }
        }
        room.tend(self, view, own).await;
    }

    /// Begins this target's part if it is not under way; tells it to stop if the job is to.
    fn work_at(self: &Arc<Self>, job: &Arc<Job>, own: &NodeId) {
        let mut parts = self.parts.0.lock();
        let progress = match parts.get(&job.id) {
            Some(progress) => progress.clone(),
            None => {
                let progress = Arc::new(Progress::default());
                parts.insert(job.id.clone(), progress.clone());
                let (core, job, own) = (self.clone(), job.clone(), own.clone());
                let at_work = progress.clone();
                runtime::spawn(async move { core.work(&job, own, &at_work).await });
                progress
            }
        };
        progress.stop.store(job.stopped.is_some(), Ordering::Relaxed);
    }

    /// Carries out a part, then has its end agreed on.
    async fn work(&self, job: &Job, target: NodeId, progress: &Arc<Progress>) {
        let work = async {
            match &job.order {
                _ if job.stopped.is_some() => {}
                JobOrder::RemoveObjects { bucket, bid, selection } => {
                    remove::objects(self, job, bucket, *bid, selection, progress).await;
                }
                JobOrder::CopyObjects(order) => copy::objects(self, job, order, progress).await,
                JobOrder::Rebalance { version } => rebalance::objects(self, *version, progress).await,
                JobOrder::EvictCold { buckets } => evict::copies(self, buckets, progress).await,
                JobOrder::MakeRoom { .. } => evict::make_room(self, progress).await,
                JobOrder::CleanUp => tidy::clean(self, progress).await,
                JobOrder::Resilver { .. } => resilver::run(self, progress).await,
                JobOrder::Promote(order) => promote::files(self, order, &target, progress).await,
                JobOrder::MakeCopies { bucket, bid, thorough } => {
                    mirror::copies(self, bucket, *bid, *thorough, progress).await;
                }
                JobOrder::EvenCopies { .. } => mirror::even(self, progress).await,
            }
        };
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            progress.fail("it panicked".into());
        }
        loop {
            let end = Command::EndPart {
                job: job.id.clone(),
                target: target.clone(),
                done: progress.done(),
                now_ns: crate::now_ns(),
            };
            match self.raft.propose(end).await {
                Ok(_) => break,
                Err(error) => tracing::debug!("the end of {} is not agreed on yet: {error}", job.id),
            }
            runtime::sleep(AGAIN).await;
        }
        self.parts.0.lock().remove(&job.id);
        // A bucket may have gone with the job. In a cluster of several the leader sees to it.
        if job.order.copies().is_some_and(CopyOrder::is_rename)
            && self.raft.company().is_none()
            && let Err(error) = self.end_removals().await
        {
            tracing::warn!("what is kept of the renamed bucket is not removed yet: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_until_it_is_done() {
        let (parts, progress) = (Parts::default(), Arc::new(Progress::default()));
        let job = JobId::new("job000001").unwrap();
        assert_eq!(parts.progress(&job), None);
        parts.0.lock().insert(job.clone(), progress.clone());
        progress.leave(2, "b/x: busy");
        assert_eq!(parts.progress(&job), Some((Done::default(), Some("2 left: b/x: busy".into()))));
        progress.leave(0, "");
        assert_eq!(parts.progress(&job), Some((Done::default(), None)));
    }
}
