//! S3 requests on buckets.

mod bucket;
mod delete;
mod error;
mod list;

use weir_cluster::BucketInfo;
use weir_s3::render::CONTENT_TYPE;
use weir_s3::{BucketOp, S3Code, S3Error, S3Op, documents, render};
use weir_types::{Access, Bucket, BucketName};

use super::{Asked, mask_allows};
use crate::core::Core;
use crate::{ControlError, ControlResponse};

/// What every answer here can fail with.
type Answer = Result<ControlResponse, S3Error>;

/// Answers one request.
pub(crate) async fn answer(core: &Core, op: S3Op, asked: &Asked<'_>) -> ControlResponse {
    let answered = match op {
        S3Op::ListBuckets(query) => bucket::list_buckets(core, &query, asked).await,
        S3Op::Bucket { bucket, op } => on_bucket(core, bucket, op, asked).await,
        S3Op::Object { .. } => {
            Err(S3Error::new(S3Code::InternalError, "an object operation came to the control core"))
        }
    };
    let id = asked.request_id;
    answered.unwrap_or_else(|e| error_response(&e, asked)).with("x-amz-request-id", id)
}

fn error_response(error: &S3Error, asked: &Asked<'_>) -> ControlResponse {
    let mut response = ControlResponse::new(error.status());
    for (name, value) in &error.headers {
        response = response.with(name, value.as_str());
    }
    if error.status() == 503 {
        response = response.with("Retry-After", "1");
    }
    if !render::error_has_body(error, asked.head.method.as_str()) {
        return response;
    }
    response.body(CONTENT_TYPE, render::error(error, asked.head.path, asked.request_id, "weir"))
}

/// An XML document.
fn document(xml: Vec<u8>) -> ControlResponse {
    ControlResponse::new(200).body(CONTENT_TYPE, xml)
}

/// A document that takes long to write: by a worker.
async fn rendered(render: impl FnOnce() -> Vec<u8> + Send + 'static) -> Answer {
    let xml = tokio::task::spawn_blocking(render).await;
    xml.map(document).map_err(|e| error::of(ControlError::Thread(format!("listing worker: {e}"))))
}

async fn on_bucket(core: &Core, name: BucketName, op: BucketOp, asked: &Asked<'_>) -> Answer {
    let access = op.access();
    if let BucketOp::Create(_) = op {
        return bucket::create(core, name, asked).await;
    }
    let (bucket, info) = find(core, &name, access, asked).await?;
    match op {
        BucketOp::Create(_) => Err(S3Code::InternalError.into()),
        BucketOp::Delete => bucket::delete(core, bucket, &info).await,
        BucketOp::Head => {
            Ok(ControlResponse::new(200).with("x-amz-bucket-region", core.config.s3.region.as_str()))
        }
        BucketOp::GetLocation => Ok(document(render::location(&core.config.s3.region))),
        BucketOp::GetVersioning => Ok(document(render::versioning(None))),
        BucketOp::PutVersioning(_) => bucket::put_versioning(&asked.body),
        BucketOp::ListObjects(query) => list::objects(core, &bucket, &query).await,
        BucketOp::ListVersions(query) => list::versions(core, &bucket, &query).await,
        BucketOp::ListUploads(query) => list::uploads(core, &bucket, &query).await,
        BucketOp::DeleteObjects(_) => delete::objects(core, &bucket, &asked.body).await,
        BucketOp::GetAcl => Ok(document(render::private_acl(&core.config.s3.owner))),
        BucketOp::PutAcl(..) => {
            documents::parse_acl(&asked.body, &core.config.s3.owner)?;
            Ok(ControlResponse::new(200))
        }
        BucketOp::GetTagging => Err(S3Code::NoSuchTagSet.into()),
        BucketOp::PutTagging(_) => Err(S3Error::not_implemented("PutBucketTagging")),
        BucketOp::DeleteTagging | BucketOp::DeleteAbsent(_) => Ok(ControlResponse::new(204)),
        BucketOp::Absent(absent) => Ok(document(absent.answer()?.into())),
    }
}

/// The bucket of this name, whatever its provider, if the caller and the bucket itself allow `access`.
async fn find(
    core: &Core,
    name: &BucketName,
    access: Access,
    asked: &Asked<'_>,
) -> Result<(Bucket, BucketInfo), S3Error> {
    let missing = || S3Error::no_such_bucket(name.as_str());
    let known = core.view().map_err(error::of)?.bmd.by_name(name).map_err(error::of)?.is_some();
    if !known {
        // Who may do nothing with a bucket of this name must not make us ask an origin, nor learn its answer.
        let here = Bucket::global(weir_types::Provider::Ais, name.clone());
        let _permit = asked.grant.require(access, &here).map_err(error::denied)?;
    }
    let (bucket, info) = core.bucket_by_name(name).await.map_err(error::of)?.ok_or_else(missing)?;
    permitted(&bucket, &info, access, asked)?;
    Ok((bucket, info))
}

fn permitted(bucket: &Bucket, info: &BucketInfo, access: Access, asked: &Asked<'_>) -> Result<(), S3Error> {
    let _permit = match access {
        // A right of the cluster, whatever the bucket.
        Access::DESTROY_BUCKET => asked.grant.require_cluster(access),
        _ => asked.grant.require(access, bucket),
    }
    .map_err(error::denied)?;
    if mask_allows(&info.props, access, &asked.grant) {
        return Ok(());
    }
    let text = format!("the access mask of bucket {bucket} does not allow this");
    Err(S3Error::new(S3Code::AccessDenied, text))
}
