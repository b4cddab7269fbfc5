//! Buckets: list, head, create, properties, destroy, evict.

use weir_ais::headers::names;
use weir_ais::{
    AisError, BckJson, BucketDelete, BucketPatch, BucketQuery, Presence, Unsupported, bprops_json,
};
use weir_cluster::{BucketInfo, BucketProps, BucketPropsPatch, ClusterError};
use weir_types::{Access, Bucket, Provider};

use super::node::on_worker;
use super::{Answer, error, header_json, jobs, json, mirror, on_bucket, on_cluster, on_mask};
use crate::api::Asked;
use crate::core::Core;
use crate::raft::command::Command;
use crate::{ControlResponse, RemoteOrigin};

/// The buckets that pass the filter.
pub(super) async fn list(core: &Core, query: &BucketQuery, asked: &Asked<'_>) -> Answer {
    on_cluster(asked, Access::LIST_BUCKETS)?;
    let view = core.view().map_err(error::of)?;
    let mut unknown = Vec::new();
    if !query.presence.in_cluster_only() && query.scope.provider != Some(Provider::Ais) {
        unknown = core.unknown_remote_buckets(query.scope.provider).await;
    }
    let query = query.clone();
    on_worker(move || {
        let known = view.bmd.iter().map(|(b, _)| b).filter(|_| query.presence != Presence::ExistsOutside);
        let admits = |b: &&Bucket| query.scope.admits(b) && query.name.as_ref().is_none_or(|n| *n == b.name);
        json(&known.chain(&unknown).filter(admits).map(BckJson::from).collect::<Vec<_>>())
    })
    .await
}

/// A bucket's properties.
pub(super) async fn head(
    core: &Core,
    bucket: &Bucket,
    dont_add: bool,
    presence: Presence,
    asked: &Asked<'_>,
) -> Answer {
    on_bucket(asked, Access::HEAD_BUCKET, bucket)?;
    let info = seen(core, bucket, dont_add, presence.in_cluster_only()).await?;
    on_mask(asked, Access::HEAD_BUCKET, bucket, &info, "HEAD-BUCKET")?;
    Ok(with_props(ControlResponse::new(200), bucket, &info))
}

/// Adds the properties to an answer.
pub(super) fn with_props(response: ControlResponse, bucket: &Bucket, info: &BucketInfo) -> ControlResponse {
    response.with(names::BUCKET_PROPS, header_json(&bprops_json(bucket, info)))
}

/// The bucket as the cluster has it, or as it would be taken in. A remote one that only its origin has is taken in
/// unless `dont_add`, and is missing if only what the cluster has counts.
pub(super) async fn seen(
    core: &Core,
    bucket: &Bucket,
    dont_add: bool,
    cluster_only: bool,
) -> Result<BucketInfo, AisError> {
    let view = core.view().map_err(error::of)?;
    if let Some(info) = view.bmd.get(bucket) {
        return Ok(info.clone());
    }
    if !bucket.provider.is_remote() || cluster_only {
        return Err(ClusterError::BucketNotFound(bucket.clone()).into());
    }
    if !dont_add {
        return core.bucket(bucket, false).await.map_err(error::of);
    }
    core.backend.remote_head(bucket, &RemoteOrigin::default()).await.map_err(error::of)?;
    Ok(BucketInfo { bid: 0, created_ns: 0, props: BucketProps::inherit(&view.config, bucket) })
}

/// Makes a bucket.
pub(super) async fn create(
    core: &Core,
    bucket: Bucket,
    props: BucketPropsPatch,
    dont_head: bool,
    asked: &Asked<'_>,
) -> Answer {
    on_cluster(asked, Access::CREATE_BUCKET)?;
    mirror::settable(core, &bucket, &props).await?;
    if !bucket.namespace.uuid.is_empty() {
        return Err(Unsupported::new("create", format!("{bucket}: other clusters are not attached")).into());
    }
    if bucket.provider == Provider::Ais {
        core.create_bucket(bucket, props).await.map_err(error::of)?;
        return Ok(ControlResponse::new(200));
    }
    if core.view().map_err(error::of)?.bmd.get(&bucket).is_some() {
        return Err(ClusterError::BucketExists(bucket).into());
    }
    if !dont_head {
        let set = |name: &str| {
            props.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let origin =
            RemoteOrigin { endpoint: set("extra.aws.endpoint"), region: set("extra.aws.cloud_region") };
        match core.backend.remote_head(&bucket, &origin).await {
            Err(crate::BackendError::NoBucket(_)) => {
                return Err(Unsupported::new("create", format!("{bucket} at its origin")).into());
            }
            found => found.map_err(error::of)?,
        }
    }
    core.add_remote(&bucket).await.map_err(error::of)?;
    if !props.is_empty() {
        let set = Command::SetBucketProps { bucket, props };
        core.raft.propose(set).await.map_err(error::of)?;
    }
    Ok(ControlResponse::new(200))
}

/// PATCH: properties.
pub(super) async fn patch(core: &Core, bucket: Bucket, asked: &Asked<'_>) -> Answer {
    on_bucket(asked, Access::PATCH, &bucket)?;
    core.bucket(&bucket, false).await.map_err(error::of)?;
    let command = match BucketPatch::read(&asked.body)? {
        BucketPatch::Set(props) => {
            if props.iter().any(|(name, _)| name.eq_ignore_ascii_case("access")) {
                on_bucket(asked, Access::SET_BUCKET_ACL, &bucket)?;
            }
            mirror::settable(core, &bucket, &props).await?;
            Command::SetBucketProps { bucket: bucket.clone(), props }
        }
        BucketPatch::Reset => {
            on_bucket(asked, Access::SET_BUCKET_ACL, &bucket)?;
            Command::ResetBucketProps { bucket: bucket.clone() }
        }
    };
    mirror::follow(core, &bucket, command).await
}

/// DELETE: destroy or evict, the bucket or some of its objects.
pub(super) async fn delete(core: &Core, bucket: Bucket, keep_md: bool, asked: &Asked<'_>) -> Answer {
    let action = BucketDelete::read(&asked.body, &bucket);
    if let Ok(BucketDelete::Objects(selection)) = action {
        on_bucket(asked, Access::DELETE_OBJECT, &bucket)?;
        let info = core.view().map_err(error::of)?.bmd.expect(&bucket)?.clone();
        on_mask(asked, Access::DELETE_OBJECT, &bucket, &info, "DELETE-OBJECT")?;
        return jobs::remove_objects(core, bucket, info.bid, selection).await;
    }
    on_cluster(asked, Access::DESTROY_BUCKET)?;
    let action = action?;
    let info = core.view().map_err(error::of)?.bmd.expect(&bucket)?.clone();
    on_mask(asked, Access::DESTROY_BUCKET, &bucket, &info, "DESTROY-BUCKET")?;
    match action {
        BucketDelete::Destroy if bucket.provider.is_remote() => {
            return Err(
                Unsupported::new("destroy", format!("{bucket} at its origin (evict it instead)")).into()
            );
        }
        BucketDelete::Evict if keep_md => core.drop_copies(&bucket).await.map_err(error::of)?,
        BucketDelete::Destroy | BucketDelete::Evict => {
            core.destroy_bucket(bucket, Some(info.bid)).await.map_err(error::of)?;
        }
        BucketDelete::Objects(_) => {}
        BucketDelete::Unsupported(what) => return Err(what.into()),
    }
    Ok(ControlResponse::new(200))
}
