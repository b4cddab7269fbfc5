//! Buckets as such: listing, making, removing.

use weir_cluster::{BucketInfo, BucketPropsPatch};
use weir_s3::uploads::{BucketEntry, ListBuckets};
use weir_s3::{S3Code, S3Error, check_new_bucket, documents};
use weir_types::{Access, Bucket, BucketName, Provider};

use super::{Answer, Asked, error, rendered};
use crate::core::Core;
use crate::{ControlError, ControlResponse, Refused};

/// The buckets of the cluster that the caller may list, and those that its origins offer.
pub(super) async fn list_buckets(core: &Core, query: &ListBuckets, asked: &Asked<'_>) -> Answer {
    let _permit = asked.grant.require_cluster(Access::LIST_BUCKETS).map_err(error::denied)?;
    let view = core.view().map_err(error::of)?;
    let unknown = core.unknown_remote_buckets(None).await;
    let (query, grant, owner) = (query.clone(), asked.grant.clone(), core.config.s3.owner.clone());
    rendered(move || {
        let known = view.bmd.iter().map(|(bucket, info)| (bucket, info.created_ns));
        let mut all: Vec<(&Bucket, u64)> = known
            .chain(unknown.iter().map(|bucket| (bucket, 0)))
            .filter(|(bucket, _)| bucket.namespace.is_global())
            .filter(|(bucket, _)| grant.access_to(bucket).allows(Access::LIST_OBJECTS))
            .collect();
        // By name alone, as this API names them; of several providers' buckets of one name the cluster's come first.
        all.sort_by(|a, b| a.0.name.cmp(&b.0.name));
        all.dedup_by(|later, first| later.0.name == first.0.name);
        let entries: Vec<BucketEntry<'_>> = all
            .iter()
            .map(|(bucket, created_ns)| BucketEntry { name: bucket.name.as_str(), created_ns: *created_ns })
            .collect();
        query.render(&entries, &owner)
    })
    .await
}

/// Makes an `ais://` bucket. Making one again succeeds and changes nothing, as in the region that is answered here.
pub(super) async fn create(core: &Core, name: BucketName, asked: &Asked<'_>) -> Answer {
    let _permit = asked.grant.require_cluster(Access::CREATE_BUCKET).map_err(error::denied)?;
    check_new_bucket(name.as_str())?;
    // One region: whatever constraint the client was configured with is accepted and means nothing.
    let _constraint = documents::parse_create_bucket(&asked.body)?;
    let view = core.view().map_err(error::of)?;
    let made = Ok(ControlResponse::new(200).with("Location", format!("/{name}")));
    match view.bmd.by_name(&name).map_err(error::of)? {
        None => {}
        Some((bucket, _)) if bucket.provider == Provider::Ais => return made,
        Some(_) => {
            return Err(S3Error::from(S3Code::BucketAlreadyOwnedByYou).with("BucketName", name.as_str()));
        }
    }
    let defaults = BucketPropsPatch::new([], false).map_err(error::of)?;
    match core.create_bucket(Bucket::global(Provider::Ais, name), defaults).await {
        // Another request made it meanwhile.
        Ok(_) | Err(ControlError::Refused(Refused::BucketExists(_))) => made,
        Err(e) => Err(error::of(e)),
    }
}

/// Removes an empty bucket.
pub(super) async fn delete(core: &Core, bucket: Bucket, info: &BucketInfo) -> Answer {
    if bucket.provider.is_remote() {
        return Err(S3Error::not_implemented("deleting a bucket of an origin"));
    }
    let name = bucket.name.clone();
    match core.destroy_if_empty(bucket, info.bid).await.map_err(error::of)? {
        true => Ok(ControlResponse::new(204)),
        false => Err(S3Error::from(S3Code::BucketNotEmpty).with("BucketName", name.as_str())),
    }
}

/// Objects have one version. Saying that it stays so is accepted; asking for old versions to be kept is not,
/// for then an overwrite would lose what the client believes is kept.
pub(super) fn put_versioning(body: &[u8]) -> Answer {
    match documents::parse_versioning(body)? {
        true => Err(S3Error::not_implemented("keeping old versions of objects")),
        false => Ok(ControlResponse::new(200)),
    }
}
