use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::join;
use parking_lot::Mutex;
use weir_cluster::{ClusterView, CopyOrder, Done, Job, JobId, JobOrder, Jobs, NodeId};

use super::{copy, mirror, promote, rebalance, remove, resilver, tidy};
use crate::ControlError;
use crate::core::Core;
use crate::raft::command::Command;
use crate::runtime;

/// Between two looks for parts that are to be done.
const LOOK: Duration = Duration::from_millis(100);
/// After the end of what could not do everything, before it is begun again; each time twice as long, up to the second.
const BEGIN_AGAIN: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];
/// After a begin that was refused or not agreed on.
const ASK_AGAIN: Duration = Duration::from_secs(5);
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
}

/// What a target begins by itself, and begins again while something is left to do.
#[derive(Default)]
struct Begun {
    /// What for.
    of: Option<u64>,
    /// The last mark that it was to see to: nobody who stopped it meant those that came after.
    mark: u64,
    /// When it was last seen at work.
    at: Option<Instant>,
    /// Before it is begun again for the same.
    rest: Duration,
    /// The job that was asked for last and for what, until it is known to be agreed on: it may be all the same.
    asked: Option<(JobId, u64)>,
    /// Nothing is asked for before.
    not_before: Option<Instant>,
}

impl Begun {
    /// Begins a job where none like it runs, nobody has stopped the last one, and it has rested.
    async fn tend(&mut self, core: &Core, view: &ClusterView, of: u64, mark: u64, order: JobOrder) {
        let Some(id) = self.next(&view.jobs, of, mark, &order) else { return };
        match start_as(core, id, order).await {
            Ok(()) => self.begin(of),
            Err(error) => {
                tracing::debug!("a job of this target's own is not agreed on yet: {error}");
                self.not_before = Some(runtime::now() + ASK_AGAIN);
            }
        }
    }

    /// The ID of the job that is to begin now, if one is. What is asked for again keeps its ID: of one that was agreed on
    /// without a word of it, a second is not begun.
    fn next(&mut self, jobs: &Jobs, of: u64, mark: u64, order: &JobOrder) -> Option<JobId> {
        if let Some((_, asked_of)) = self.asked.take_if(|(id, _)| jobs.get(id.as_str()).is_some()) {
            self.begin(asked_of);
        }
        let like = || jobs.iter().filter(|job| job.order == *order);
        if like().any(|job| job.runs()) {
            self.mark = mark;
            self.goes_on();
            return None;
        }
        let last = like().max_by_key(|job| job.started_ns);
        let is_same = self.of == Some(of) && self.mark == mark;
        let was_stopped = is_same && last.is_some_and(|job| job.stopped.is_some());
        let waits = self.not_before.is_some_and(|then| runtime::now() < then);
        if was_stopped || waits || !self.is_due(of) {
            return None;
        }
        let again = self.asked.take().filter(|(_, asked_of)| *asked_of == of);
        let id = again.map_or_else(|| JobId::generate(runtime::random()), |(id, _)| id);
        self.asked = Some((id.clone(), of));
        self.mark = mark;
        Some(id)
    }

    fn is_due(&self, of: u64) -> bool {
        self.of != Some(of) || self.at.is_none_or(|at| runtime::since(at) >= self.rest)
    }

    fn goes_on(&mut self) {
        self.at = Some(runtime::now());
    }

    fn begin(&mut self, of: u64) {
        let [first, most] = BEGIN_AGAIN;
        self.rest = if self.of == Some(of) { (self.rest * 2).min(most) } else { first };
        self.of = Some(of);
        (self.asked, self.not_before) = (None, None);
        self.goes_on();
    }
}

/// Has a job of this target's own agreed on; its ID.
pub(super) async fn start(core: &Core, order: JobOrder) -> Result<JobId, ControlError> {
    let id = JobId::generate(runtime::random());
    start_as(core, id.clone(), order).await?;
    Ok(id)
}

/// The same under an ID that may have been asked for before: it is begun once.
async fn start_as(core: &Core, id: JobId, order: JobOrder) -> Result<(), ControlError> {
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
        let OwnJobs { resilvers, evenings } = jobs;
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
                JobOrder::EvictCold { buckets } => tidy::evict(self, buckets, progress).await,
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
    fn what_is_left_is_begun_again_later_each_time() {
        let mut begun = Begun::default();
        assert!(begun.is_due(1));
        let [first, most] = BEGIN_AGAIN;
        for rest in [first, first * 2, first * 4, first * 8, most, most] {
            begun.begin(1);
            assert!(!begun.is_due(1) && begun.is_due(2), "at once for another set");
            assert_eq!(begun.rest, rest);
            begun.at = begun.at.and_then(|at| at.checked_sub(rest));
            assert!(begun.is_due(1));
        }
        begun.begin(2);
        assert_eq!(begun.rest, first);
    }

    fn resilver() -> (NodeId, JobOrder) {
        let target = NodeId::new("target01").unwrap();
        (target.clone(), JobOrder::Resilver { target })
    }

    #[test]
    fn what_was_refused_is_asked_for_later_and_as_the_same_job() {
        let ((_, order), jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let first = begun.next(&jobs, 1, 1, &order).unwrap();
        begun.not_before = Some(runtime::now() + ASK_AGAIN);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None);
        begun.not_before = begun.not_before.and_then(|then| then.checked_sub(ASK_AGAIN));
        assert_eq!(begun.next(&jobs, 1, 1, &order), Some(first.clone()));
        assert!(begun.next(&jobs, 2, 2, &order).is_some_and(|id| id != first), "another set is another job");
        begun.begin(2);
        assert!(begun.not_before.is_none() && begun.asked.is_none());
    }

    #[test]
    fn what_was_agreed_on_without_a_word_of_it_counts_as_begun() {
        let ((target, order), mut jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let id = begun.next(&jobs, 1, 1, &order).unwrap();
        begun.not_before = Some(runtime::now() + ASK_AGAIN);
        jobs.start(id.clone(), order.clone(), 5, vec![target.clone()]);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None, "it runs");
        jobs.end_part(&id, &target, Done::default(), 6);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None, "it rests");
        assert_eq!((begun.of, begun.rest), (Some(1), BEGIN_AGAIN[0]));
        assert!(begun.next(&jobs, 2, 2, &order).is_some_and(|next| next != id));
    }

    #[test]
    fn who_stops_a_job_stops_what_it_was_for_then() {
        let ((target, order), mut jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let id = begun.next(&jobs, 0, 3, &order).unwrap();
        begun.begin(0);
        jobs.start(id.clone(), order.clone(), 5, vec![target.clone()]);
        assert_eq!(begun.next(&jobs, 0, 4, &order), None, "it runs, and sees to what came meanwhile");
        jobs.stop(&id, "asked to");
        jobs.end_part(&id, &target, Done::default(), 6);
        begun.at = begun.at.and_then(|at| at.checked_sub(begun.rest));
        assert_eq!(begun.next(&jobs, 0, 4, &order), None, "it was stopped");
        assert!(begun.next(&jobs, 0, 5, &order).is_some_and(|next| next != id));
    }

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
