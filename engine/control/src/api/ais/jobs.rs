//! Jobs (AIS: xactions): how they are begun, stopped and asked about.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_ais::{
    AisError, BckJson, JobMsg, JobQuery, JobStatus, Snap, StartMsg, Unsupported, What, running_name,
};
use weir_cluster::{ClusterView, Done, Job, JobId, JobOrder, Jobs, NodeId, Part, Role, Selection, Smap};
use weir_types::limits::TEMPLATE_NAMES_MAX;
use weir_types::{Bucket, Template};

use super::{Answer, error, json, mirror, others};
use crate::ControlResponse;
use crate::core::Core;
use crate::jobs::resilver;
use crate::raft::command::Command;

/// Kinds of jobs and their other names, as AIS has them: a question about any other kind is an error.
const JOB_KINDS: [&str; 54] = [
    "election",
    "elect-primary",
    "rebalance",
    "etl-inline",
    "lru",
    "lru-eviction",
    "cleanup-store",
    "cleanup",
    "summary-bck",
    "summary",
    "summary-shard",
    "shard-summary",
    "resilver",
    "rechunk",
    "index-shard",
    "shard-index",
    "ec-get",
    "ec-put",
    "ec-resp",
    "put-copies",
    "archive",
    "copy-listrange",
    "copy-objects",
    "etl-listrange",
    "etl-objects",
    "blob-download",
    "download",
    "dsort",
    "promote",
    "promote-files",
    "evict-listrange",
    "evict-objects",
    "evict-remote-bck",
    "evict-remote-bucket",
    "delete-listrange",
    "delete-objects",
    "prefetch-listrange",
    "prefetch-objects",
    "ec-encode",
    "ec-bucket",
    "make-n-copies",
    "mirror",
    "scrub",
    "move-bck",
    "rename-bucket",
    "copy-bck",
    "copy-bucket",
    "etl-bck",
    "etl-bucket",
    "list",
    "get-batch",
    "create-inventory",
    "load-lom-cache",
    "warm-up-metadata",
];

/// For how long a job of a kind that idles is shown as running after its end, nanoseconds.
const IDLE_NS: u64 = 10_000_000_000;
/// Where AIS has the number of workers in a snapshot's packed number.
const WORKERS_SHIFT: u32 = 10;

/// Begins a job that removes objects; the answer is its ID.
pub(super) async fn remove_objects(core: &Core, bucket: Bucket, bid: u64, selection: Selection) -> Answer {
    bounded(&selection)?;
    start(core, JobOrder::RemoveObjects { bucket, bid, selection }).await
}

/// Refuses a template that stands for more names than may be.
pub(super) fn bounded(selection: &Selection) -> Result<(), AisError> {
    if let Selection::Template(text) = selection {
        let count = Template::parse(text).map_or(0, |template| template.count());
        if count > TEMPLATE_NAMES_MAX {
            let what = format!("{text:?} stands for {count} names: expected at most {TEMPLATE_NAMES_MAX}");
            return Err(AisError::Bad(what));
        }
    }
    Ok(())
}

/// Has a job begun; the answer is its ID.
pub(super) async fn start(core: &Core, order: JobOrder) -> Answer {
    let id = JobId::generate(crate::runtime::random());
    let start = Command::StartJob { id: id.clone(), order: Box::new(order), now_ns: crate::now_ns() };
    core.raft.propose(start).await.map_err(error::of)?;
    Ok(ControlResponse::new(200).body("text/plain; charset=utf-8", id.to_string()))
}

/// Begins a rebalance where objects may be elsewhere than at their owner and none runs; the answer is the ID of the one that
/// runs, or nothing where there is nothing to do.
async fn start_rebalance(core: &Core) -> Answer {
    let view = core.view().map_err(error::of)?;
    let id = match &view.moving {
        None => None,
        Some(moving) => match view.jobs.rebalances_to(moving.version).find(|job| job.runs()) {
            Some(job) => Some(job.id.clone()),
            None => {
                let id = view.jobs.next_rebalance()?;
                let order = Box::new(JobOrder::Rebalance { version: moving.version });
                let start = Command::StartJob { id: id.clone(), order, now_ns: crate::now_ns() };
                core.raft.propose(start).await.map_err(error::of)?;
                Some(id)
            }
        },
    };
    let id = id.map(|id| id.to_string()).unwrap_or_default();
    Ok(ControlResponse::new(200).body("text/plain; charset=utf-8", id))
}

/// Begins a job of a kind that may be begun so; the answer is its ID.
pub(super) async fn start_kind(core: &Core, msg: StartMsg) -> Answer {
    let order = match msg.kind.as_str() {
        "lru" | "lru-eviction" => {
            if let Some(bucket) = msg.buckets.iter().find(|bucket| !bucket.provider.is_remote()) {
                return Err(AisError::NotRemote { action: "lru", bucket: bucket.clone() });
            }
            JobOrder::EvictCold { buckets: msg.buckets }
        }
        "cleanup" | "cleanup-store" => JobOrder::CleanUp,
        "make-n-copies" | "mirror" => return mirror::start(core, &msg.buckets, false).await,
        "scrub" => return mirror::start(core, &msg.buckets, true).await,
        "rebalance" => return start_rebalance(core).await,
        "resilver" => return start_resilvers(core, &msg.node).await,
        kind => return Err(Unsupported::new("start", format!("{kind:?}")).into()),
    };
    start(core, order).await
}

/// Begins a resilver at one target or at all; the answer is the ID of the first.
async fn start_resilvers(core: &Core, node: &str) -> Answer {
    let view = core.view().map_err(error::of)?;
    let targets = view.smap.targets.keys().filter(|id| node.is_empty() || node == id.as_str());
    let mut first = None;
    for target in targets {
        let id = resilver::start(core, target).await.map_err(error::of)?;
        first.get_or_insert(id);
    }
    let id = first.ok_or_else(|| AisError::NodeNotFound(node.to_owned()))?;
    Ok(ControlResponse::new(200).body("text/plain; charset=utf-8", id.to_string()))
}

/// Tells every job that runs and fits to stop. None is no error.
pub(super) async fn stop(core: &Core, msg: &JobMsg) -> Answer {
    let view = core.view().map_err(error::of)?;
    let query = JobQuery { id: msg.id.clone(), kind: msg.kind.clone(), ..JobQuery::default() };
    for job in view.jobs.iter().filter(|job| job.runs() && fits(job, &query)) {
        let stop = Command::StopJob { id: job.id.clone(), why: "user abort".into() };
        core.raft.propose(stop).await.map_err(error::of)?;
    }
    Ok(ControlResponse::new(200))
}

/// Questions to one node: what it says of its own parts.
pub(super) fn of_node(core: &Core, what: &What, body: &[u8]) -> Answer {
    let query = known(body)?;
    let view = core.view().map_err(error::of)?;
    if *what != What::JobSnaps {
        return of_records(&view, what, &query);
    }
    let own = core.raft.published().me().target.clone();
    let snaps = own.map(|target| {
        // A target may have received something of a job that it has no part of.
        let of_any = JobQuery { node: String::new(), ..query.clone() };
        let parts = view.jobs.iter().filter(|job| fits(job, &of_any));
        let snaps: Vec<Snap> = parts.filter_map(|job| snap(core, job, &target)).collect();
        (target.to_string(), snaps)
    });
    let snaps: BTreeMap<String, Vec<Snap>> = snaps.into_iter().collect();
    if !query.id.is_empty() && snaps.values().all(Vec::is_empty) {
        return Err(query.not_found());
    }
    Ok(json(&snaps))
}

/// Questions to the cluster.
pub(super) async fn of_cluster(core: &Core, what: &What, body: &[u8]) -> Answer {
    let query = known(body)?;
    let view = core.view().map_err(error::of)?;
    if *what != What::JobSnaps {
        return of_records(&view, what, &query);
    }
    let mut all = BTreeMap::new();
    for target in others::here(core, Role::Target)?.iter().filter(|id| asks(&query, id)) {
        match others::about(core, target, What::JobSnaps, body).await {
            Ok(answer) if answer.status == 200 => {
                let of_target: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&answer.body)
                    .map_err(|e| AisError::Internal(format!("{target} speaks no JSON: {e}")))?;
                all.extend(of_target);
            }
            // It does not know the job.
            Ok(_) | Err(AisError::JobNotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    for (target, snaps) in of_the_gone(&view.jobs, &view.smap, &query) {
        all.insert(target, serde_json::json!(snaps));
    }
    if !query.id.is_empty() && all.is_empty() {
        return Err(query.not_found());
    }
    Ok(json(&all))
}

/// What the records keep of parts whose targets are off the map: there is nobody to ask about them.
fn of_the_gone(jobs: &Jobs, smap: &Smap, query: &JobQuery) -> BTreeMap<String, Vec<Snap>> {
    let mut gone: BTreeMap<String, Vec<Snap>> = BTreeMap::new();
    for job in jobs.iter().filter(|job| fits(job, query)) {
        let parts = job.parts.iter().filter(|(id, _)| !smap.targets.contains_key(id.as_str()));
        for (target, part) in parts.filter(|(id, _)| asks(query, id)) {
            gone.entry(target.to_string()).or_default().push(snap_of(job, part, part.done.clone()));
        }
    }
    gone
}

/// What the records alone answer, the same everywhere.
fn of_records(view: &ClusterView, what: &What, query: &JobQuery) -> Answer {
    let mut jobs: Vec<&Arc<Job>> = view.jobs.iter().filter(|job| fits(job, query)).collect();
    jobs.sort_by_key(|job| (job.runs(), job.started_ns));
    match what {
        What::JobStatusAll => Ok(json(&jobs.into_iter().map(|job| status(job)).collect::<Vec<_>>())),
        What::JobsRunning => {
            let running = jobs.into_iter().filter(|job| job.runs() || idles(job));
            let names = running.map(|job| running_name(job.order.kind(), job.id.as_str()));
            Ok(json(&names.collect::<Vec<_>>()))
        }
        // One: of several of a kind the last.
        _ => jobs.last().map(|job| json(&status(job))).ok_or_else(|| query.not_found()),
    }
}

/// Whether a job is over and still shown as running: of a kind that, in AIS, waits for more to do before it ends.
fn idles(job: &Job) -> bool {
    job.order.kind() == "copy-listrange"
        && job.ended_ns.is_some_and(|ended_ns| crate::now_ns().saturating_sub(ended_ns) < IDLE_NS)
}

fn known(body: &[u8]) -> Result<JobQuery, AisError> {
    let query = JobQuery::read(body)?;
    match query.kind.is_empty() || JOB_KINDS.contains(&query.kind.as_str()) {
        true => Ok(query),
        false => Err(query.not_found()),
    }
}

fn asks(query: &JobQuery, target: &NodeId) -> bool {
    query.node.is_empty() || query.node == target.as_str()
}

fn fits(job: &Job, query: &JobQuery) -> bool {
    let kind = job.order.kind();
    (query.id.is_empty() || query.id == job.id.as_str())
        && (query.kind.is_empty() || query.kind == kind || query.kind == display_name(kind))
        && (!query.active_only || job.runs() || idles(job))
        && (query.node.is_empty() || job.parts.contains_key(query.node.as_str()))
}

/// The other name of a kind that runs here.
fn display_name(kind: &str) -> &str {
    match kind {
        "delete-listrange" => "delete-objects",
        "evict-listrange" => "evict-objects",
        "copy-listrange" => "copy-objects",
        "copy-bck" => "copy-bucket",
        "promote" => "promote-files",
        "move-bck" => "rename-bucket",
        "lru" => "lru-eviction",
        "cleanup-store" => "cleanup",
        kind => kind,
    }
}

fn status(job: &Job) -> JobStatus {
    let aborted = job.stopped.as_deref().filter(|_| !job.runs());
    JobStatus {
        kind: job.order.kind().into(),
        uuid: job.id.to_string(),
        err: aborted.or(job.error()).unwrap_or_default().to_owned(),
        end_time: job.ended_ns.unwrap_or(0),
        aborted: aborted.is_some(),
    }
}

/// This target's part of the rebalance that runs.
pub(super) fn running_rebalance(core: &Core, view: &ClusterView, target: &NodeId) -> Option<Snap> {
    let mut running = view.jobs.iter().filter(|job| job.runs() && job.order.rebalances().is_some());
    running.find_map(|job| snap(core, job, target))
}

/// This target's part of a job.
fn snap(core: &Core, job: &Job, target: &NodeId) -> Option<Snap> {
    let received = core.received.of(&job.id);
    let mut snap = match job.parts.get(target) {
        Some(part) if part.ended_ns.is_some() => snap_of(job, part, part.done.clone()),
        Some(part) => {
            let (done, left) = core.parts.progress(&job.id).unwrap_or_default();
            Snap { ctlmsg: left.unwrap_or_default(), ..snap_of(job, part, done) }
        }
        // Who has nothing to send has no part of a rebalance, and what others send it.
        None if received.0 > 0 => {
            snap_of(job, &Part { ended_ns: job.ended_ns, ..Part::default() }, Done::default())
        }
        None => return None,
    };
    (snap.stats.in_objs, snap.stats.in_bytes) = received;
    Some(snap)
}

/// A part of a job that has come so far.
fn snap_of(job: &Job, part: &Part, done: Done) -> Snap {
    let mut snap = Snap::new(job.id.as_str(), job.order.kind(), job.started_ns, part.ended_ns);
    snap.bck = job.order.bucket().map(BckJson::from).unwrap_or_default();
    if let Some(copy) = job.order.copies() {
        (snap.src_bck, snap.dst_bck) = ((&copy.from).into(), (&copy.to).into());
        snap.packed = u64::from(copy.workers) << WORKERS_SHIFT;
    }
    match job.order.rebalances() {
        Some(_) => (snap.stats.out_objs, snap.stats.out_bytes) = (done.objects, done.bytes),
        None => (snap.stats.loc_objs, snap.stats.loc_bytes) = (done.objects, done.bytes),
    }
    snap.err = done.error.unwrap_or_default();
    if let Some(why) = job.stopped.as_ref().filter(|_| part.ended_ns.is_some()) {
        (snap.aborted, snap.abort_err) = (true, why.clone());
    }
    snap
}

#[cfg(test)]
mod tests {
    use weir_cluster::{ClusterUuid, NetInfo, Node};

    use super::*;

    #[test]
    fn parts_of_targets_that_have_left_are_shown() {
        let target = |id: &str| NodeId::new(id).unwrap();
        let (job, other) = (JobId::new("g7").unwrap(), JobId::new("g8").unwrap());
        let mut jobs = Jobs::default();
        let gateway = Node::new(target("gateway1"), Role::Gateway, NetInfo::new("127.0.0.1", 1));
        let smap = Smap::new(ClusterUuid::new("cluster01").unwrap(), 0, gateway);
        for id in [&job, &other] {
            let order = JobOrder::Rebalance { version: 3 };
            jobs.start(id.clone(), order, 1, vec![target("left0001"), target("left0002")]);
        }
        let done = Done { objects: 5, bytes: 50, error: None };
        jobs.end_part(&job, &target("left0001"), done, 2);
        jobs.leave(&target("left0002"));
        let query = JobQuery { id: "g7".into(), ..JobQuery::default() };
        let gone = of_the_gone(&jobs, &smap, &query);
        let sent = |id: &str| (gone[id].len(), gone[id][0].stats.out_objs, gone[id][0].stats.out_bytes);
        assert_eq!((sent("left0001"), sent("left0002")), ((1, 5, 50), (1, 0, 0)));
        assert!(gone["left0002"][0].err.contains("left the cluster"));
        let query = JobQuery { node: "left0001".into(), ..JobQuery::default() };
        let gone = of_the_gone(&jobs, &smap, &query);
        assert_eq!((gone.len(), gone["left0001"].len()), (1, 2));
        assert!(of_the_gone(&jobs, &smap, &JobQuery { id: "g9".into(), ..JobQuery::default() }).is_empty());
    }
}
