use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_types::Bucket;
use weir_types::limits::{JOBS_KEPT_MAX, JOBS_RUNNING_MAX};

use crate::{ClusterError, CopyOrder, JobId, NodeId, PromoteOrder, Smap};

/// What a job does. Variants and fields are only ever added at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum JobOrder {
    /// Remove objects of a bucket; of a remote one the cluster's copies of them.
    RemoveObjects {
        /// The bucket.
        bucket: Bucket,
        /// Its ID: one made anew under the name is another.
        bid: u64,
        /// Which.
        selection: Selection,
    },
    /// Copy objects into another bucket.
    CopyObjects(Box<CopyOrder>),
    /// Move every object to its owner by the map with this version; over as soon as the owners change again.
    Rebalance {
        /// The version.
        version: u64,
    },
    /// Evict copies of remote objects from disks that are filled above the high watermark.
    EvictCold {
        /// Of these buckets; of all if there is none.
        buckets: Vec<Bucket>,
    },
    /// Remove what is left over.
    CleanUp,
    /// Move what a target holds to the mountpaths that it belongs to.
    Resilver {
        /// The target.
        target: NodeId,
    },
    /// Make objects of files in directories of targets.
    Promote(Box<PromoteOrder>),
    /// Make copies of a bucket's objects, or remove them, until each has as many as the bucket's properties say.
    MakeCopies {
        /// The bucket.
        bucket: Bucket,
        /// Its ID.
        bid: u64,
        /// Every byte of every copy is read and checked, too.
        thorough: bool,
    },
    /// Make the copies even that a target has, or may have, left uneven.
    EvenCopies {
        /// The target.
        target: NodeId,
    },
    /// Evict what may go from a target's disks that are filled above the high watermark: objects of buckets with `lru.enabled`.
    MakeRoom {
        /// The target.
        target: NodeId,
    },
}

impl JobOrder {
    /// Its kind, as AIS names it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RemoveObjects { bucket, .. } if bucket.provider.is_remote() => "evict-listrange",
            Self::RemoveObjects { .. } => "delete-listrange",
            Self::CopyObjects(order) => order.kind(),
            Self::Rebalance { .. } => "rebalance",
            Self::EvictCold { .. } | Self::MakeRoom { .. } => "lru",
            Self::CleanUp => "cleanup-store",
            Self::Resilver { .. } => "resilver",
            Self::Promote(_) => "promote",
            Self::MakeCopies { thorough: false, .. } => "make-n-copies",
            Self::MakeCopies { thorough: true, .. } => "scrub",
            Self::EvenCopies { .. } => "put-copies",
        }
    }

    fn forget_names(&mut self) {
        let selection = match self {
            Self::RemoveObjects { selection, .. } => selection,
            Self::CopyObjects(order) => &mut order.selection,
            _ => return,
        };
        if let Selection::Names(names) = selection {
            *names = Vec::new();
        }
    }

    /// The version of the map by which it moves objects, if it does.
    pub fn rebalances(&self) -> Option<u64> {
        match self {
            Self::Rebalance { version } => Some(*version),
            _ => None,
        }
    }

    /// The copying that it is, if it is.
    pub fn copies(&self) -> Option<&CopyOrder> {
        match self {
            Self::CopyObjects(order) => Some(order),
            _ => None,
        }
    }

    /// The bucket that it is about.
    pub fn bucket(&self) -> Option<&Bucket> {
        match self {
            Self::RemoveObjects { bucket, .. } | Self::MakeCopies { bucket, .. } => Some(bucket),
            Self::CopyObjects(order) => Some(&order.from),
            Self::Promote(order) => Some(&order.bucket),
            _ => None,
        }
    }

    /// The one target that has a part of it; none: every target has.
    pub fn target(&self) -> Option<&NodeId> {
        match self {
            Self::Resilver { target } | Self::EvenCopies { target } | Self::MakeRoom { target } => {
                Some(target)
            }
            Self::Promote(order) => order.target.as_ref(),
            _ => None,
        }
    }
}

/// Which objects.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Selection {
    /// These names.
    Names(Vec<String>),
    /// Names by number, in braces.
    Template(String),
    /// All that begin so.
    Prefix(String),
}

/// A job that the cluster has agreed on. Each target does its part, and goes on with it after a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its ID.
    pub id: JobId,
    /// What it does.
    pub order: JobOrder,
    /// When it was begun, nanoseconds since 1970.
    pub started_ns: u64,
    /// The parts of the targets.
    pub parts: BTreeMap<NodeId, Part>,
    /// Why it is to stop, if somebody said so.
    pub stopped: Option<String>,
    /// When its last part ended.
    pub ended_ns: Option<u64>,
}

/// A target's part.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// When it ended, nanoseconds since 1970.
    pub ended_ns: Option<u64>,
    /// What it came to.
    pub done: Done,
}

/// What a part has done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Done {
    /// Objects.
    pub objects: u64,
    /// Their bytes, where they are known.
    pub bytes: u64,
    /// What went wrong, the first of it.
    pub error: Option<String>,
}

impl Job {
    /// Whether a part of it goes on.
    pub fn runs(&self) -> bool {
        self.ended_ns.is_none()
    }

    /// Whether objects belong to those who have a part of it: to whom they did when it began.
    pub fn has_owners_of(&self, smap: &Smap) -> bool {
        smap.active_targets().map(|target| &target.id).eq(self.parts.keys())
    }

    /// The first error of a part.
    pub fn error(&self) -> Option<&str> {
        self.parts.values().find_map(|part| part.done.error.as_deref())
    }

    fn settle(&mut self, now_ns: u64) {
        if self.ended_ns.is_none() && self.parts.values().all(|part| part.ended_ns.is_some()) {
            self.ended_ns = Some(now_ns);
            // What is kept of it is for those who ask how it went.
            self.order.forget_names();
        }
    }
}

/// All jobs that run, and the last that ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(from = "Vec<Job>")]
pub struct Jobs {
    jobs: BTreeMap<JobId, Arc<Job>>,
}

impl From<Vec<Job>> for Jobs {
    fn from(jobs: Vec<Job>) -> Self {
        Self { jobs: jobs.into_iter().map(|job| (job.id.clone(), Arc::new(job))).collect() }
    }
}

impl Serialize for Jobs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.jobs.values().map(Arc::as_ref))
    }
}

impl Jobs {
    /// A job by its ID.
    pub fn get(&self, id: &str) -> Option<&Arc<Job>> {
        let id = JobId::new(id).ok()?;
        self.jobs.get(&id)
    }

    /// All, in the order of their IDs.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Job>> {
        self.jobs.values()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The renaming of a bucket that runs, if one does.
    pub fn renaming(&self, bucket: &Bucket) -> Option<&Arc<Job>> {
        let renames =
            |job: &&Arc<Job>| job.order.copies().is_some_and(|c| c.is_rename() && c.from == *bucket);
        self.iter().filter(|job| job.runs()).find(renames)
    }

    /// The ID for the next rebalance: `g` and a number greater than those that are known.
    pub fn next_rebalance(&self) -> Result<JobId, ClusterError> {
        let number = |id: &JobId| id.as_str().strip_prefix('g')?.parse::<u64>().ok();
        let last = self.jobs.iter().filter(|(_, job)| job.order.rebalances().is_some());
        let last = last.filter_map(|(id, _)| number(id)).max().unwrap_or(0);
        JobId::new(format!("g{}", last.saturating_add(1)))
    }

    /// The rebalances to the owners by a version of the map, as far as they are known.
    pub fn rebalances_to(&self, version: u64) -> impl Iterator<Item = &Arc<Job>> {
        self.iter().filter(move |job| job.order.rebalances() == Some(version))
    }

    /// Whether one more may run.
    pub fn has_room(&self) -> bool {
        self.iter().filter(|job| job.runs()).count() < JOBS_RUNNING_MAX
    }

    /// Begins a job at these targets. One of its ID stays as it is.
    pub fn start(&mut self, id: JobId, order: JobOrder, started_ns: u64, targets: Vec<NodeId>) {
        let parts = targets.into_iter().map(|target| (target, Part::default())).collect();
        let mut job = Job { id: id.clone(), order, started_ns, parts, stopped: None, ended_ns: None };
        job.settle(started_ns);
        self.jobs.entry(id).or_insert_with(|| Arc::new(job));
        self.forget();
    }

    /// Says that a job is to stop; `false` if none of the ID runs.
    pub fn stop(&mut self, id: &JobId, why: &str) -> bool {
        let running = self.jobs.get_mut(id).filter(|job| job.runs());
        running.map(|job| Arc::make_mut(job).stopped.get_or_insert_with(|| why.to_owned())).is_some()
    }

    /// A target's part has ended. An end that is said twice counts once.
    pub fn end_part(&mut self, id: &JobId, target: &NodeId, done: Done, now_ns: u64) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let job = Arc::make_mut(job);
        if let Some(part) = job.parts.get_mut(target).filter(|part| part.ended_ns.is_none()) {
            *part = Part { ended_ns: Some(now_ns), done };
        }
        job.settle(now_ns);
    }

    /// A target has left: its parts end with it, right after what last happened to their jobs.
    pub fn leave(&mut self, target: &NodeId) {
        let ends = |job: &Arc<Job>| {
            let last = job.parts.values().filter_map(|part| part.ended_ns).max().unwrap_or(job.started_ns);
            let runs = job.parts.get(target).is_some_and(|part| part.ended_ns.is_none());
            runs.then(|| (job.id.clone(), last + 1))
        };
        let concerned: Vec<(JobId, u64)> = self.iter().filter_map(ends).collect();
        for (id, now_ns) in concerned {
            let error = Some(format!("t[{target}] left the cluster"));
            self.end_part(&id, target, Done { error, ..Done::default() }, now_ns);
        }
    }

    /// Forgets what ended first, where more is kept than may be.
    fn forget(&mut self) {
        let mut ended: Vec<(u64, JobId)> =
            self.iter().filter_map(|job| Some((job.ended_ns?, job.id.clone()))).collect();
        if ended.len() > JOBS_KEPT_MAX {
            ended.sort();
            let over = ended.len() - JOBS_KEPT_MAX;
            ended.drain(..over).for_each(|(_, id)| drop(self.jobs.remove(&id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, Provider};

    use super::*;

    fn order(provider: Provider) -> JobOrder {
        let bucket = Bucket::global(provider, BucketName::new("b").unwrap());
        JobOrder::RemoveObjects { bucket, bid: 1, selection: Selection::Prefix("a/".into()) }
    }

    fn job_id(n: usize) -> JobId {
        JobId::new(format!("job{n:06}")).unwrap()
    }

    fn target(n: usize) -> NodeId {
        NodeId::new(format!("target{n:02}")).unwrap()
    }

    #[test]
    fn a_job_ends_with_its_last_part() {
        let mut jobs = Jobs::default();
        assert_eq!(order(Provider::Ais).kind(), "delete-listrange");
        assert_eq!(order(Provider::Aws).kind(), "evict-listrange");
        jobs.start(job_id(1), order(Provider::Ais), 5, vec![target(1), target(2), target(3)]);
        let done = |objects| Done { objects, ..Done::default() };
        jobs.end_part(&job_id(1), &target(1), done(2), 7);
        jobs.end_part(&job_id(1), &target(1), done(9), 8);
        assert!(jobs.get("job000001").unwrap().runs());
        assert!(jobs.stop(&job_id(1), "user abort") && jobs.stop(&job_id(1), "again"));
        jobs.leave(&target(3));
        jobs.end_part(&job_id(1), &target(2), done(1), 10);
        let job = jobs.get("job000001").unwrap();
        assert_eq!((job.ended_ns, job.stopped.as_deref()), (Some(10), Some("user abort")));
        assert_eq!(job.parts[&target(1)], Part { ended_ns: Some(7), done: done(2) });
        assert_eq!(job.error(), Some("t[target03] left the cluster"));
        assert!(!jobs.stop(&job_id(1), "too late") && !jobs.stop(&job_id(2), "unknown"));
        jobs.start(job_id(2), order(Provider::Ais), 11, Vec::new());
        assert!(!jobs.get("job000002").unwrap().runs(), "nobody has anything to do");
    }

    #[test]
    fn no_more_run_or_are_kept_than_may_be() {
        let mut jobs = Jobs::default();
        for n in 0..JOBS_RUNNING_MAX {
            assert!(jobs.has_room());
            jobs.start(job_id(n), order(Provider::Ais), 1, vec![target(1)]);
        }
        assert!(!jobs.has_room());
        for n in 0..JOBS_KEPT_MAX + 10 {
            jobs.start(job_id(1000 + n), order(Provider::Ais), 10 + n as u64, Vec::new());
        }
        assert_eq!(jobs.iter().count(), JOBS_RUNNING_MAX + JOBS_KEPT_MAX);
        assert!(jobs.get("job001009").is_none() && jobs.get("job001010").is_some());
        assert!(jobs.get("job000000").is_some(), "what runs is kept");
    }
}
