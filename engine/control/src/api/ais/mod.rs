//! AIS requests: cluster, nodes, buckets, listings.

mod bucket;
mod cluster;
mod copy;
mod error;
mod jobs;
mod list;
mod members;
mod mirror;
mod mountpaths;
mod node;
mod others;
mod promote;
mod summary;

use std::sync::Arc;

use weir_ais::headers::names;
use weir_ais::{AisError, AisOp, BucketGet, BucketPost, CONTENT_JSON, ObjectsPost, Where};
use weir_cluster::BucketInfo;
use weir_http::{Method, percent_decode};
use weir_types::{Access, Bucket};

use super::{Asked, mask_allows, metrics};
use crate::ControlResponse;
use crate::core::Core;

#[cfg(test)]
pub(crate) use members::act;
pub(crate) use mountpaths::told_change;
pub(crate) use others::told;

/// What every answer here can fail with.
type Answer = Result<ControlResponse, AisError>;

/// Answers one request.
pub(crate) async fn answer(core: &Arc<Core>, op: AisOp, asked: &Asked<'_>) -> ControlResponse {
    served(core, op, asked).await.unwrap_or_else(|e| error_response(core, &e, asked))
}

async fn served(core: &Arc<Core>, op: AisOp, asked: &Asked<'_>) -> Answer {
    match op {
        AisOp::Health(query) => cluster::health(core, query).await,
        AisOp::TokenCheck => Ok(ControlResponse::new(200)),
        AisOp::Metrics => {
            on_cluster(asked, Access::SHOW_CLUSTER)?;
            Ok(metrics::answer(core, asked.under_way).await)
        }
        AisOp::Daemon(what) => {
            on_cluster(asked, Access::SHOW_CLUSTER)?;
            node::about(core, &node::own(core)?, what, &asked.body).await
        }
        AisOp::Reverse(what) => {
            on_cluster(asked, Access::SHOW_CLUSTER)?;
            others::about(core, &others::addressed(core, asked)?, what, &asked.body).await
        }
        AisOp::Cluster(what) => {
            on_cluster(asked, Access::SHOW_CLUSTER)?;
            cluster::about(core, what, asked).await
        }
        AisOp::DaemonPut { assignments } => {
            on_cluster(asked, Access::ADMIN)?;
            node::change(assignments, asked)
        }
        AisOp::ReversePut { assignments } => {
            on_cluster(asked, Access::ADMIN)?;
            others::addressed(core, asked)?;
            node::change(assignments, asked)
        }
        AisOp::Mountpaths { reverse, no_resilver, label } => {
            on_cluster(asked, Access::ADMIN)?;
            mountpaths::change(core, reverse, no_resilver, label, asked).await
        }
        AisOp::ClusterPut { assignments, transient } => {
            on_cluster(asked, Access::ADMIN)?;
            cluster::change(core, assignments, transient, asked).await
        }
        AisOp::SetPrimary { gateway } => {
            on_cluster(asked, Access::ADMIN)?;
            members::set_primary(core, &gateway).await
        }
        AisOp::BucketGet(query) => match BucketGet::read(&asked.body, query.name.is_some())? {
            BucketGet::ListBuckets => bucket::list(core, &query, asked).await,
            BucketGet::ListObjects(msg) => list::objects(core, &query, msg, asked).await,
            BucketGet::Summary(msg) => summary::answer(core, &query, msg, asked).await,
            BucketGet::Unsupported(what) => Err(what.into()),
        },
        AisOp::BucketHead { bucket, dont_add, presence, summary } => match summary {
            None => bucket::head(core, &bucket, dont_add, presence, asked).await,
            Some(query) => summary::head(core, &bucket, query, asked).await,
        },
        AisOp::BucketPost { bucket, to, presence, dont_head_remote } => {
            match BucketPost::read(&asked.body, &bucket, to.as_ref(), presence)? {
                BucketPost::Create(props) => {
                    bucket::create(core, bucket, props, dont_head_remote, asked).await
                }
                BucketPost::Copy(order) => copy::begin(core, *order, asked).await,
                BucketPost::MakeCopies(copies) => mirror::make_copies(core, bucket, copies, asked).await,
                BucketPost::Unsupported(what) => Err(what.into()),
            }
        }
        AisOp::ObjectsPost { bucket } => match ObjectsPost::read(&asked.body)? {
            ObjectsPost::Promote(msg) => promote::begin(core, bucket, msg, asked).await,
            ObjectsPost::Unsupported(what) => Err(what.into()),
        },
        AisOp::BucketPatch { bucket } => bucket::patch(core, bucket, asked).await,
        AisOp::BucketDelete { bucket, keep_md } => bucket::delete(core, bucket, keep_md, asked).await,
        AisOp::Unsupported(what) => Err(what.into()),
        AisOp::Object { .. } => {
            Err(AisError::Internal("an object operation came to the control core".into()))
        }
    }
}

/// Asks the grant for a right of the cluster as a whole.
fn on_cluster(asked: &Asked<'_>, access: Access) -> Result<(), AisError> {
    let _permit = asked.grant.require_cluster(access).map_err(error::denied)?;
    Ok(())
}

/// Asks the grant for a right on one bucket.
fn on_bucket(asked: &Asked<'_>, access: Access, bucket: &Bucket) -> Result<(), AisError> {
    let _permit = asked.grant.require(access, bucket).map_err(error::denied)?;
    Ok(())
}

/// Asks the bucket itself, which may allow less than the grant.
fn on_mask(
    asked: &Asked<'_>,
    access: Access,
    bucket: &Bucket,
    info: &BucketInfo,
    action: &'static str,
) -> Result<(), AisError> {
    if mask_allows(&info.props, access, &asked.grant) {
        return Ok(());
    }
    Err(AisError::AccessDenied { bucket: bucket.clone(), action })
}

/// A JSON value.
fn json<T: serde::Serialize>(value: &T) -> ControlResponse {
    ControlResponse::new(200).body(CONTENT_JSON, weir_ais::json(value))
}

/// JSON that a header can hold: characters outside ASCII escaped.
fn header_json<T: serde::Serialize>(value: &T) -> String {
    let mut out = String::new();
    for c in String::from_utf8_lossy(&weir_ais::json(value)).chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

fn error_response(core: &Core, error: &AisError, asked: &Asked<'_>) -> ControlResponse {
    let path = percent_decode(asked.head.path).unwrap_or(asked.head.path.into());
    let (node, remote) = (node_name(core), asked.peer.to_string());
    let at = Where { method: asked.head.method.as_str(), path: &path, remote: &remote, node: &node };
    let mut response = ControlResponse::new(error.status());
    if let Some(seconds) = error.retry_after_s() {
        response = response.with("Retry-After", seconds.to_string());
    }
    if let Some(allow) = error.allow() {
        response = response.with("Allow", allow);
    }
    if let Some(range) = error.content_range() {
        response = response.with("Content-Range", range);
    }
    if asked.head.method == Method::Head {
        return response.with(names::ERROR, error.hdr_error(&at));
    }
    let (content_type, body) = error.body(&at);
    response.with("X-Content-Type-Options", "nosniff").body(content_type, body)
}

/// This node as AIS names it in messages: it answers as the gateway, if it is one.
fn node_name(core: &Core) -> String {
    let me = core.raft.published().me();
    match (&me.gateway, &me.target) {
        (Some(gateway), _) => format!("p[{gateway}]"),
        (None, target) => format!("t[{}]", target.as_ref().map_or("", |id| id.as_str())),
    }
}
