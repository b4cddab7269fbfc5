//! Copying and renaming of buckets: who may, and the job that does it.

use weir_ais::AisError;
use weir_cluster::{BucketInfo, CopyOrder, JobOrder};
use weir_types::{Access, Bucket};

use super::{Answer, error, jobs, on_bucket, on_cluster, on_mask};
use crate::api::Asked;
use crate::core::Core;

/// Begins the job; the answer is its ID. A destination that is not there is made.
pub(super) async fn begin(core: &Core, order: CopyOrder, asked: &Asked<'_>) -> Answer {
    jobs::bounded(&order.selection)?;
    if order.is_rename() {
        on_cluster(asked, Access::MOVE_BUCKET)?;
    }
    let needed = Access::GET | Access::LIST_OBJECTS;
    on_bucket(asked, needed, &order.from)?;
    on_bucket(asked, Access::PUT, &order.to)?;
    let from = core.bucket(&order.from, false).await.map_err(error::of)?;
    on_mask(asked, needed, &order.from, &from, "COPY-BUCKET")?;
    match destination(core, &order.to)? {
        Some(to) => on_mask(asked, Access::PUT, &order.to, &to, "COPY-BUCKET")?,
        None => on_cluster(asked, Access::CREATE_BUCKET)?,
    }
    jobs::start(core, JobOrder::CopyObjects(Box::new(order))).await
}

fn destination(core: &Core, bucket: &Bucket) -> Result<Option<BucketInfo>, AisError> {
    Ok(core.view().map_err(error::of)?.bmd.get(bucket).cloned())
}
