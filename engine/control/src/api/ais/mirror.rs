//! Copies of a bucket's objects: the properties that say how many, and the jobs that make them.

use weir_ais::{AisError, Unsupported};
use weir_cluster::{BucketProps, BucketPropsPatch, JobOrder};
use weir_types::{Access, Bucket};

use super::{Answer, cluster, error, jobs, on_bucket};
use crate::ControlResponse;
use crate::api::Asked;
use crate::core::Core;
use crate::raft::command::Command;

/// The property that says whether objects have copies.
pub(super) const SWITCH: &str = "mirror.enabled";

/// Refuses properties that would not hold: copies of what has its copy at an origin, and more copies than mountpaths.
pub(super) async fn settable(core: &Core, bucket: &Bucket, props: &BucketPropsPatch) -> Result<(), AisError> {
    if bucket.provider.is_remote() {
        return cluster::settable(props.iter());
    }
    cluster::settable(props.iter().filter(|(name, _)| !name.eq_ignore_ascii_case(SWITCH)))?;
    let view = core.view().map_err(error::of)?;
    let before = match view.bmd.get(bucket) {
        Some(info) => info.props.clone(),
        None => BucketProps::inherit(&view.config, bucket),
    };
    let after = before.patched(props, bucket, usize::MAX)?.copies();
    match after > before.copies().max(1) {
        true => refuse_too_many(core, after).await,
        false => Ok(()),
    }
}

/// Where this node is a target, it says how many mountpaths there are.
async fn refuse_too_many(core: &Core, copies: usize) -> Result<(), AisError> {
    if core.raft.published().me().target.is_none() {
        return Ok(());
    }
    let have = core.backend.mountpaths().await.map_err(error::of)?;
    let have = have.iter().filter(|mountpath| mountpath.disabled.is_none()).count();
    match copies > have {
        true => Err(AisError::Bad(format!(
            "number of copies ({copies}) exceeds the number of mountpaths ({have})"
        ))),
        false => Ok(()),
    }
}

/// Changes a bucket's properties; the answer is the ID of the job that follows from it, if one does.
pub(super) async fn follow(core: &Core, bucket: &Bucket, command: Command) -> Answer {
    let copies =
        || Ok::<_, AisError>(core.view().map_err(error::of)?.bmd.get(bucket).map(|i| i.props.copies()));
    let before = copies()?;
    core.raft.propose(command).await.map_err(error::of)?;
    if copies()? == before {
        // No body: no job was started.
        return Ok(ControlResponse::new(200));
    }
    start(core, std::slice::from_ref(bucket), false).await
}

/// Keeps so many copies of each object from now on, and begins the job that makes or removes those of what is there; the answer
/// is its ID.
pub(super) async fn make_copies(core: &Core, bucket: Bucket, copies: u8, asked: &Asked<'_>) -> Answer {
    on_bucket(asked, Access::PATCH, &bucket)?;
    core.bucket(&bucket, false).await.map_err(error::of)?;
    let set = [(SWITCH, (copies > 1).to_string()), ("mirror.copies", copies.to_string())];
    let set = set.into_iter().map(|(name, value)| (name.to_owned(), value));
    let props = BucketPropsPatch::new(set, false)?;
    settable(core, &bucket, &props).await?;
    let command = Command::SetBucketProps { bucket: bucket.clone(), props };
    core.raft.propose(command).await.map_err(error::of)?;
    start(core, &[bucket], false).await
}

/// Begins a job that makes the copies of a bucket's objects even, and checks every byte of them if `thorough`; the answer is its ID.
pub(super) async fn start(core: &Core, buckets: &[Bucket], thorough: bool) -> Answer {
    let [bucket] = buckets else {
        return Err(AisError::Bad("expected the one bucket whose copies are meant".into()));
    };
    if bucket.provider.is_remote() {
        return Err(Unsupported::new("mirror", bucket.to_string()).into());
    }
    let bid = core.view().map_err(error::of)?.bmd.expect(bucket)?.bid;
    jobs::start(core, JobOrder::MakeCopies { bucket: bucket.clone(), bid, thorough }).await
}
