//! Which buckets take new objects, as committers see it.
//!
//! A shard decides by the view under which a request came, and a body may take minutes. So the committer asks again,
//! by the view of now, right before a change is carried out: once a view without the bucket is published and what was
//! begun before is done, nothing more of it is acknowledged.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use weir_cluster::{ClusterError, ClusterView};
use weir_store::{Change, Request, StoreError};

/// The published views, once there are any: disks are in service before the control core is. Clones share them.
#[derive(Clone, Default)]
pub struct Closed(Arc<OnceLock<Arc<ArcSwap<ClusterView>>>>);

impl Closed {
    /// Heeds these views from now on; only the first call counts.
    pub fn heed(&self, views: Arc<ArcSwap<ClusterView>>) {
        // A second call would bring the same views.
        let _ = self.0.set(views);
    }

    /// The requests that may be carried out, in order; the others are answered here.
    pub(crate) fn admit<F>(&self, batch: Vec<Request<F>>) -> Vec<Request<F>> {
        let Some(views) = self.0.get() else { return batch };
        let view = views.load();
        if batch.iter().all(|request| refusal(&view, &request.change).is_none()) {
            return batch;
        }
        let admit = |request: Request<F>| match refusal(&view, &request.change) {
            None => Some(request),
            Some(error) => {
                (request.reply)(Err(error));
                None
            }
        };
        batch.into_iter().filter_map(admit).collect()
    }
}

/// Why the change makes nothing in its bucket. A copy of a remote object is no client's only one: flights end by
/// themselves when their bucket's data is removed.
fn refusal<F>(view: &ClusterView, change: &Change<F>) -> Option<StoreError> {
    let makes = match change {
        Change::Put(put) => put.flight.is_none(),
        Change::CreateUpload { .. } | Change::PutPart { .. } => true,
        _ => false,
    };
    let bucket = change.key().0;
    let error = makes.then(|| view.bmd.takes_objects(bucket).err()).flatten()?;
    let removing = matches!(error, ClusterError::BucketBeingRemoved(_));
    Some(StoreError::BucketClosed { bucket: bucket.clone(), removing })
}
