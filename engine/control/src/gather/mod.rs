//! What several holders know of a bucket, joined: pages of listings, counts, uploads, space. In a cluster of one process it is
//! what this one knows. A target that does not answer makes the answer an error: a listing that misses names says so.

mod count;
mod merge;
mod remove;
mod union;
mod wire;

use std::sync::Arc;

use futures_util::future::try_join_all;
use weir_cluster::{ClusterView, Node};
use weir_store::ListQuery;
use weir_types::Bucket;
use weir_types::limits::PEER_UPLOADS_MAX;

use crate::core::Core;
use crate::peers::{Part, PeerAnswer, PeerCall};
use crate::{Backend, BackendError, ControlError, LocalPage, MountpathFacts, Upload};

pub(crate) use count::{Sums, counted};
pub use merge::Merge;
pub(crate) use remove::{Removed, WireTerms, own, removed};
pub use union::union;

impl Core {
    /// One page of what the cluster holds of a bucket, in the byte order of whole names.
    pub(crate) async fn list_page(
        &self,
        bucket: &Bucket,
        query: &ListQuery,
    ) -> Result<LocalPage, ControlError> {
        if self.raft.company().is_none() {
            return Ok(self.backend.list_page(bucket, query).await?);
        }
        let view = self.view()?;
        if view.moving.is_none() {
            let page = self.merged(&view, bucket, query).await?;
            let now = self.view()?;
            if now.smap.version == view.smap.version || Arc::ptr_eq(&now.smap, &view.smap) {
                return Ok(page);
            }
            // Objects may have moved between two answers.
        }
        self.united(bucket, query).await
    }

    /// The page while objects move.
    async fn united(&self, bucket: &Bucket, query: &ListQuery) -> Result<LocalPage, ControlError> {
        let mut pages = Vec::new();
        for _ in 0..2 {
            let view = self.view()?;
            let asked = view.smap.targets.values().map(|target| self.page_of(target, bucket, query.clone()));
            pages.extend(try_join_all(asked).await?);
        }
        Ok(union(&pages, query.limit).map_err(BackendError::from)?)
    }

    /// The page while none does.
    async fn merged(
        &self,
        view: &ClusterView,
        bucket: &Bucket,
        query: &ListQuery,
    ) -> Result<LocalPage, ControlError> {
        let targets: Vec<&Node> = view.smap.targets.values().collect();
        let mut merge = Merge::new(query.clone(), targets.len());
        loop {
            let questions = merge.questions();
            if questions.is_empty() {
                return Ok(merge.finish());
            }
            let asked =
                questions.into_iter().filter_map(|(holder, query)| {
                    let target = targets.get(holder)?;
                    Some(async move {
                        Ok::<_, ControlError>((holder, self.page_of(target, bucket, query).await?))
                    })
                });
            for (holder, page) in try_join_all(asked).await? {
                merge.answer(holder, page);
            }
        }
    }

    async fn page_of(
        &self,
        target: &Node,
        bucket: &Bucket,
        query: ListQuery,
    ) -> Result<LocalPage, ControlError> {
        if self.raft.published().me().is(target) {
            return Ok(self.backend.list_page(bucket, &query).await?);
        }
        let ListQuery { prefix, start_after, delimiter, limit } = query;
        let part = Part { prefix, start_after, delimiter, limit: u32::try_from(limit).unwrap_or(u32::MAX) };
        let call = PeerCall::List { bucket: bucket.clone(), part };
        let PeerAnswer::Page(bytes) = self.at_target(target, call).await? else {
            return Err(unexpected(target));
        };
        let id: Arc<str> = Arc::from(target.id.as_str());
        let page = on_worker(move || wire::decode(&bytes, &id)).await?;
        page.map_err(|e| ControlError::Elsewhere(format!("a page of {target}: {e}")))
    }

    /// Open uploads of a bucket at all targets, in no order. While names have other owners everybody is asked again after all
    /// have answered: an upload that moved from one asked late to one asked early is seen then.
    pub(crate) async fn uploads(&self, bucket: &Bucket) -> Result<Vec<Upload>, ControlError> {
        if self.raft.company().is_none() {
            return Ok(self.backend.uploads(bucket).await?);
        }
        let mut all = Vec::new();
        loop {
            let view = self.view()?;
            let asked = view.smap.targets.values().map(|target| self.uploads_of(target, bucket));
            let is_first = all.is_empty();
            all.push(try_join_all(asked).await?.concat());
            let settled = view.moving.is_none() && self.view()?.moving.is_none();
            if settled || !is_first {
                break;
            }
        }
        let mut uploads = all.concat();
        uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        uploads.dedup_by(|a, b| (&a.key, &a.id) == (&b.key, &b.id));
        Ok(uploads)
    }

    async fn uploads_of(&self, target: &Node, bucket: &Bucket) -> Result<Vec<Upload>, ControlError> {
        if self.raft.published().me().is(target) {
            return Ok(self.backend.uploads(bucket).await?);
        }
        let (mut all, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let call = PeerCall::Uploads { bucket: bucket.clone(), after: after.clone() };
            let PeerAnswer::Uploads(page, more) = self.at_target(target, call).await? else {
                return Err(unexpected(target));
            };
            all.extend(page);
            match all.last() {
                Some(last) if more => after = (last.key.as_str().to_owned(), last.id.clone()),
                _ => return Ok(all),
            }
        }
    }

    /// The mountpaths of all targets.
    pub(crate) async fn all_mountpaths(&self) -> Result<Vec<MountpathFacts>, ControlError> {
        if self.raft.company().is_none() {
            return Ok(self.backend.mountpaths().await?);
        }
        let view = self.view()?;
        let asked = view.smap.targets.values().map(async |target| {
            if self.raft.published().me().is(target) {
                return Ok(self.backend.mountpaths().await?);
            }
            match self.at_target(target, PeerCall::Space).await? {
                PeerAnswer::Space(mountpaths) => Ok(mountpaths),
                _ => Err(unexpected(target)),
            }
        });
        Ok(try_join_all(asked).await?.concat())
    }
}

/// This target's page for another node.
pub(crate) async fn page(
    backend: &dyn Backend,
    bucket: &Bucket,
    part: Part,
) -> Result<Vec<u8>, ControlError> {
    let Part { prefix, start_after, delimiter, limit } = part;
    let query = ListQuery { prefix, start_after, delimiter, limit: limit as usize };
    let page = backend.list_page(bucket, &query).await?;
    let encoded = on_worker(move || wire::encode(page)).await?;
    encoded.map_err(|e| ControlError::Elsewhere(format!("a page: {e}")))
}

/// This target's uploads after one of them, and whether more follow.
pub(crate) async fn uploads_after(
    backend: &dyn Backend,
    bucket: &Bucket,
    after: (String, String),
) -> Result<(Vec<Upload>, bool), ControlError> {
    let mut uploads = backend.uploads(bucket).await?;
    uploads.retain(|u| (u.key.as_str(), u.id.as_str()) > (after.0.as_str(), after.1.as_str()));
    uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
    let more = uploads.len() > PEER_UPLOADS_MAX;
    uploads.truncate(PEER_UPLOADS_MAX);
    Ok((uploads, more))
}

async fn on_worker<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ControlError::Thread(format!("control worker: {e}")))
}

fn unexpected(target: &Node) -> ControlError {
    ControlError::Elsewhere(format!("{target} answers something else than it was asked"))
}
