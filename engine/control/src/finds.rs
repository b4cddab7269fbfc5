//! Remote buckets that are being asked for at their origin: everybody who asks meanwhile gets the one answer.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use weir_cluster::BucketInfo;
use weir_types::Bucket;

use crate::ControlError;

type Found = Result<BucketInfo, ControlError>;

/// The questions under way; bounded by the requests under way.
#[derive(Default)]
pub(crate) struct Finds(Mutex<HashMap<Bucket, Arc<OnceCell<Found>>>>);

impl Finds {
    /// The answer to a question about `bucket`: of the one under way, else of `find`.
    pub(crate) async fn join(&self, bucket: &Bucket, find: impl Future<Output = Found>) -> Found {
        let cell = self.0.lock().entry(bucket.clone()).or_default().clone();
        let found = cell.get_or_init(|| find).await.clone();
        // Whoever asks from now on asks anew.
        let mut cells = self.0.lock();
        if cells.get(bucket).is_some_and(|now| Arc::ptr_eq(now, &cell)) {
            cells.remove(bucket);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use weir_types::{BucketName, Provider};

    use super::*;
    use crate::Refused;

    #[tokio::test]
    async fn who_asks_at_the_same_time_shares_one_answer() {
        let bucket = Bucket::global(Provider::Aws, BucketName::new("many").unwrap());
        let (finds, asked) = (Finds::default(), AtomicUsize::new(0));
        let ask = || async {
            asked.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Err(Refused::BucketNotFound(bucket.clone()).into())
        };
        let answers = futures_util::future::join_all((0..100).map(|_| finds.join(&bucket, ask()))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert!(finds.join(&bucket, ask()).await.is_err());
        assert_eq!(asked.load(Ordering::Relaxed), 2, "an answer is not kept");
    }
}
