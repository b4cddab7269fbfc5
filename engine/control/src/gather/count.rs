//! Counts of what targets hold of a bucket: each counts its own, a bounded number of names a question.

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use weir_cluster::Node;
use weir_store::{ListQuery, StoreError};
use weir_types::Bucket;
use weir_types::limits::{LIST_PAGE_MAX, PEER_COUNT_MAX};

use super::{on_worker, unexpected};
use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};
use crate::{Backend, BackendError, ControlError};

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// Objects.
    pub(crate) objects: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes of all their copies.
    pub(crate) on_disk: u64,
    /// Size of the smallest; `u64::MAX` of none.
    pub(crate) min: u64,
    /// Size of the largest.
    pub(crate) max: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self { objects: 0, bytes: 0, on_disk: 0, min: u64::MAX, max: 0 }
    }
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.objects += other.objects;
        self.bytes += other.bytes;
        self.on_disk += other.on_disk;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Core {
    /// Counts what the cluster holds of a bucket below a prefix.
    pub(crate) async fn count(&self, bucket: &Bucket, prefix: &str) -> Result<Sums, ControlError> {
        let mut all = Sums::default();
        if self.raft.company().is_none() {
            all.add(&count_of(self.backend.as_ref(), bucket, prefix).await?);
            return Ok(all);
        }
        let view = self.view()?;
        let counts = view.smap.targets.values().map(|target| self.count_at(target, bucket, prefix));
        try_join_all(counts).await?.iter().for_each(|one| all.add(one));
        Ok(all)
    }

    async fn count_at(&self, target: &Node, bucket: &Bucket, prefix: &str) -> Result<Sums, ControlError> {
        if self.raft.published().me().is(target) {
            return count_of(self.backend.as_ref(), bucket, prefix).await;
        }
        let (mut all, mut start_after) = (Sums::default(), String::new());
        loop {
            let call = PeerCall::Count { bucket: bucket.clone(), prefix: prefix.to_owned(), start_after };
            let PeerAnswer::Counted(sums, next) = self.at_target(target, call).await? else {
                return Err(unexpected(target));
            };
            all.add(&sums);
            match next {
                Some(next) => start_after = next,
                None => return Ok(all),
            }
        }
    }
}

async fn count_of(backend: &dyn Backend, bucket: &Bucket, prefix: &str) -> Result<Sums, ControlError> {
    let (mut all, mut start_after) = (Sums::default(), String::new());
    loop {
        let (sums, next) = counted(backend, bucket, prefix, start_after).await?;
        all.add(&sums);
        match next {
            Some(next) => start_after = next,
            None => return Ok(all),
        }
    }
}

/// Counts a bounded number of this target's names; after which one to go on, if more follow.
pub(crate) async fn counted(
    backend: &dyn Backend,
    bucket: &Bucket,
    prefix: &str,
    start_after: String,
) -> Result<(Sums, Option<String>), ControlError> {
    let mut sums = Sums::default();
    let mut query =
        ListQuery { prefix: prefix.to_owned(), start_after, limit: LIST_PAGE_MAX, ..ListQuery::default() };
    while sums.objects < PEER_COUNT_MAX {
        let page = backend.list_page(bucket, &query).await?;
        let next = page.next.clone();
        let counted = on_worker(move || {
            for row in page.rows.iter() {
                let object = row.object()?;
                let (size, copies) = (object.size, u64::from(object.copies.max(1)));
                sums.add(&Sums { objects: 1, bytes: size, on_disk: size * copies, min: size, max: size });
            }
            Ok::<_, StoreError>(sums)
        });
        sums = counted.await?.map_err(BackendError::from)?;
        match next {
            Some(next) => query.start_after = next,
            None => return Ok((sums, None)),
        }
    }
    Ok((sums, Some(query.start_after)))
}
