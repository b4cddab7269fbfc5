//! Counts and sizes of buckets. A summary is a job: the first request starts it and gets its ID, later ones come for
//! the result. Each target counts its own.

use std::sync::Arc;

use futures_util::FutureExt;
use weir_ais::headers::names;
use weir_ais::{AisError, BucketQuery, BucketSummary, HeadSummary, SummaryMsg};
use weir_store::ListQuery;
use weir_types::{Access, Bucket};

use super::{Answer, bucket, error, header_json, json, on_bucket, on_cluster};
use crate::api::Asked;
use crate::backend::percent;
use crate::core::Core;
use crate::sessions::{Outcome, job_id};
use crate::{ControlError, ControlResponse};

/// Entries of one page of an origin.
const REMOTE_PAGE: usize = 1000;

/// `summary-bck`: of one bucket, or of all that pass the filter.
pub(super) async fn answer(
    core: &Arc<Core>,
    query: &BucketQuery,
    msg: SummaryMsg,
    asked: &Asked<'_>,
) -> Answer {
    match query.bucket() {
        Some(bucket) => on_bucket(asked, Access::LIST_OBJECTS, &bucket)?,
        None => on_cluster(asked, Access::LIST_BUCKETS)?,
    }
    if !msg.uuid.is_empty() {
        return match result(core, &msg.uuid)? {
            None => Ok(ControlResponse::new(202)),
            Some(summaries) => Ok(json(&summaries)),
        };
    }
    let buckets = match query.bucket() {
        Some(bucket) => {
            bucket::seen(core, &bucket, false, msg.present).await?;
            vec![bucket]
        }
        None => {
            let view = core.view().map_err(error::of)?;
            let admitted = view.bmd.iter().map(|(b, _)| b).filter(|b| query.scope.admits(b));
            admitted.filter(|b| asked.grant.access_to(b).allows(Access::LIST_OBJECTS)).cloned().collect()
        }
    };
    let id = start(core, buckets, msg.prefix, !msg.cached);
    Ok(ControlResponse::new(202).body("text/plain; charset=utf-8", id))
}

/// HEAD of a bucket with its summary.
pub(super) async fn head(core: &Arc<Core>, bucket: &Bucket, query: HeadSummary, asked: &Asked<'_>) -> Answer {
    on_bucket(asked, Access::LIST_OBJECTS, bucket)?;
    let info = bucket::seen(core, bucket, false, false).await?;
    let (status, id, summary) = match query.uuid {
        None => (202, start(core, vec![bucket.clone()], query.prefix, query.remote), None),
        Some(id) => match result(core, &id)? {
            None => (202, id, None),
            Some(summaries) => (200, id, summaries.into_iter().next()),
        },
    };
    let mut response =
        bucket::with_props(ControlResponse::new(status), bucket, &info).with(names::JOB_ID, id);
    if let Some(summary) = summary {
        response = response.with(names::BUCKET_SUMMARY, header_json(&summary));
    }
    Ok(response)
}

/// A summary's result; none while it counts.
fn result(core: &Core, id: &str) -> Result<Option<Vec<BucketSummary>>, AisError> {
    match core.sessions.summaries.get(id) {
        None => Err(AisError::JobNotFound(format!(
            "\"summary-bck[{}]\"",
            id.chars().take(64).collect::<String>()
        ))),
        Some(Outcome::Running) => Ok(None),
        Some(Outcome::Done(summaries)) => Ok(Some(summaries)),
        Some(Outcome::Failed(failed)) => Err(error::of(failed)),
    }
}

/// Starts counting; gives the job's ID.
fn start(core: &Arc<Core>, buckets: Vec<Bucket>, prefix: String, remote: bool) -> String {
    let id = job_id();
    core.sessions.summaries.begin(&id);
    let (core, job) = (core.clone(), id.clone());
    tokio::spawn(async move {
        let counted =
            std::panic::AssertUnwindSafe(count_all(&core, &buckets, &prefix, remote)).catch_unwind().await;
        let outcome = match counted {
            Ok(Ok(summaries)) => Outcome::Done(summaries),
            Ok(Err(e)) => Outcome::Failed(e),
            Err(_) => Outcome::Failed(ControlError::Thread("the summary panicked".into())),
        };
        core.sessions.summaries.end(&job, outcome);
    });
    id
}

async fn count_all(
    core: &Core,
    buckets: &[Bucket],
    prefix: &str,
    remote: bool,
) -> Result<Vec<BucketSummary>, ControlError> {
    let mountpaths = core.all_mountpaths().await?;
    let disks = mountpaths.iter().map(|m| m.total()).sum();
    let mut summaries = Vec::new();
    for bucket in buckets {
        let mut summary = count(core, bucket, prefix, remote).await?;
        summary.total.disks = disks;
        summary.used_pct = percent(summary.total.on_disk, disks);
        summaries.push(summary);
    }
    Ok(summaries)
}

/// Counts what the cluster holds of a bucket and, if asked, what only its origin has.
async fn count(
    core: &Core,
    bucket: &Bucket,
    prefix: &str,
    remote: bool,
) -> Result<BucketSummary, ControlError> {
    let is_present = core.view()?.bmd.get(bucket).is_some();
    let mut summary = BucketSummary { bucket: bucket.into(), is_present, ..BucketSummary::default() };
    let held = core.count(bucket, prefix).await?;
    (summary.objects.present, summary.total.present) = (held.objects, held.bytes);
    summary.total.on_disk = held.on_disk;
    (summary.sizes.min, summary.sizes.max) = (held.min, held.max);
    if remote && bucket.provider.is_remote() {
        summary = count_remote(core, bucket, prefix, summary).await?;
    }
    let objects = summary.objects.present + summary.objects.remote;
    summary.sizes.avg = (summary.total.present + summary.total.remote) / objects.max(1);
    if objects == 0 {
        summary.sizes.min = 0;
    }
    Ok(summary)
}

/// Adds what the origin has beyond what the cluster holds.
async fn count_remote(
    core: &Core,
    bucket: &Bucket,
    prefix: &str,
    mut summary: BucketSummary,
) -> Result<BucketSummary, ControlError> {
    let list = ListQuery { prefix: prefix.to_owned(), limit: REMOTE_PAGE, ..ListQuery::default() };
    let mut query = core.remote_query(bucket, list)?;
    let (mut objects, mut bytes) = (0u64, 0u64);
    loop {
        let page = core.backend.remote_page(bucket, &query).await?;
        for entry in &page.entries {
            objects += 1;
            bytes += entry.size;
            summary.sizes.min = summary.sizes.min.min(entry.size);
            summary.sizes.max = summary.sizes.max.max(entry.size);
        }
        let last = page.entries.last().map(|e| e.name.as_str().to_owned());
        match (page.more, page.continuation, last) {
            (true, Some(token), _) => query.continuation = Some(token),
            (true, None, Some(last)) => query.list.start_after = last,
            _ => break,
        }
    }
    summary.objects.remote = objects.saturating_sub(summary.objects.present);
    summary.total.remote = bytes.saturating_sub(summary.total.present);
    Ok(summary)
}
