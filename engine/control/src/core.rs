//! What the control thread works with, shared by everything that runs on it.

use std::sync::Arc;
use std::time::Instant;

use weir_cluster::{BucketInfo, BucketPropsPatch, ClusterView};
use weir_store::ListQuery;
use weir_types::{Bucket, BucketName, Provider};

use crate::disks::DiskRates;
use crate::figures::Figures;
use crate::finds::Finds;
use crate::handle::of_bucket;
use crate::jobs::{Parts, Received};
use crate::peers::{CoreLink, Hub};
use crate::raft::command::Command;
use crate::raft::node::RaftNode;
use crate::removal::Removals;
use crate::sessions::Sessions;
use crate::{Backend, BackendError, ControlError, Identity, Refused, RemoteOrigin, RemoteQuery, runtime};

/// The control core.
pub(crate) struct Core {
    pub(crate) raft: RaftNode,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) removals: Removals,
    /// What other nodes reach this core by.
    pub(crate) link: CoreLink,
    /// Where the local part of a node's configuration comes from.
    pub(crate) config: crate::ControlConfig,
    /// Listing sessions and summary jobs.
    pub(crate) sessions: Sessions,
    pub(crate) figures: Figures,
    /// Remote buckets that are being asked for.
    pub(crate) finds: Finds,
    pub(crate) disks: DiskRates,
    /// Parts of jobs that are under way here.
    pub(crate) parts: Parts,
    /// What rebalances brought here.
    pub(crate) received: Received,
    /// Held by the one job that makes room.
    pub(crate) evicting: tokio::sync::Mutex<()>,
    /// When this process's control core was ready.
    pub(crate) started: Instant,
}

impl Core {
    /// The core of a process that has settled; its work begins.
    pub(crate) fn begin(
        raft: RaftNode,
        backend: Arc<dyn Backend>,
        removals: Removals,
        link: CoreLink,
        config: crate::ControlConfig,
    ) -> Arc<Self> {
        let core = Arc::new(Self {
            raft,
            backend,
            removals,
            link,
            config,
            sessions: Sessions::default(),
            figures: Figures::default(),
            finds: Finds::default(),
            disks: DiskRates::default(),
            parts: Parts::default(),
            received: Received::default(),
            evicting: tokio::sync::Mutex::default(),
            started: Instant::now(),
        });
        core.link.tie(&core);
        runtime::spawn(core.clone().work_forever());
        if core.raft.company().is_some() {
            runtime::spawn(core.clone().remove_forever());
        }
        core
    }

    /// The view of now. There always is one: the core runs only once the cluster is made.
    pub(crate) fn view(&self) -> Result<Arc<ClusterView>, ControlError> {
        self.raft.view()
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.raft.identity()
    }

    /// What answers other nodes, and this one where it is one of those asked.
    pub(crate) fn hub(&self) -> Hub {
        Hub {
            raft: self.raft.clone(),
            backend: self.backend.clone(),
            removals: self.removals.clone(),
            core: self.link.clone(),
        }
    }

    /// Makes a bucket.
    pub(crate) async fn create_bucket(
        &self,
        bucket: Bucket,
        props: BucketPropsPatch,
    ) -> Result<BucketInfo, ControlError> {
        let now_ns = crate::now_ns();
        of_bucket(self.raft.propose(Command::CreateBucket { bucket, props, now_ns }).await?)
    }

    /// Forgets a bucket, then removes what the node keeps of it. Shards serve nothing of it from the moment the
    /// view is out, so a removal that fails leaves garbage, never a visible object; and its name is not free until
    /// the garbage is gone, so that a bucket made anew neither shows it nor loses its own to a late removal.
    pub(crate) async fn destroy_bucket(&self, bucket: Bucket, bid: Option<u64>) -> Result<(), ControlError> {
        self.raft.propose(Command::BeginRemoval { bucket: bucket.clone(), bid }).await?;
        self.destroy_marked(bucket, bid).await
    }

    async fn destroy_marked(&self, bucket: Bucket, bid: Option<u64>) -> Result<(), ControlError> {
        self.raft.propose(Command::DestroyMarked { bucket: bucket.clone(), bid }).await?;
        if self.raft.company().is_some() {
            return self.await_removal(&bucket).await;
        }
        self.backend.remove_bucket_data(&bucket).await?;
        self.raft.propose(Command::EndRemoval { bucket }).await?;
        Ok(())
    }

    /// Destroys a bucket if it is empty; `false` if it is not. No object is acknowledged that goes with it:
    ///
    /// | step | an object that arrives |
    /// |---|---|
    /// | 1. it is empty as far as one sees | is kept, and found by 3 |
    /// | 2. it is marked, and what was under way is waited for | is refused by the committers, who heed the mark |
    /// | 3. looked at again: objects, then the mark goes | is taken again once the mark is gone |
    /// | 4. none: destroyed | is refused: there is no such bucket |
    pub(crate) async fn destroy_if_empty(&self, bucket: Bucket, bid: u64) -> Result<bool, ControlError> {
        if !self.is_empty(&bucket).await? {
            return Ok(false);
        }
        self.raft.propose(Command::BeginRemoval { bucket: bucket.clone(), bid: Some(bid) }).await?;
        let settled = self.settle(&bucket).await;
        let empty = match settled {
            Ok(()) => self.is_empty(&bucket).await,
            Err(error) => Err(error),
        };
        if matches!(empty, Ok(true)) {
            self.destroy_marked(bucket, Some(bid)).await?;
            return Ok(true);
        }
        self.raft.propose(Command::EndRemoval { bucket }).await?;
        empty
    }

    /// Of a process that is a cluster by itself: ends what an earlier life began: a marked bucket that is still there stays, and what is kept of one that is
    /// not goes. One that is being renamed keeps its mark.
    pub(crate) async fn end_removals(&self) -> Result<(), ControlError> {
        let view = self.view()?;
        for bucket in view.bmd.removing().iter().filter(|bucket| view.jobs.renaming(bucket).is_none()) {
            if view.bmd.get(bucket).is_none()
                && let Err(error) = self.backend.remove_bucket_data(bucket).await
            {
                tracing::warn!("what is kept of the removed bucket {bucket} is not removed yet: {error}");
                continue;
            }
            self.raft.propose(Command::EndRemoval { bucket: bucket.clone() }).await?;
        }
        Ok(())
    }

    /// A bucket of the cluster; a remote one that only its origin has is taken in, unless `dont_add`.
    pub(crate) async fn bucket(&self, bucket: &Bucket, dont_add: bool) -> Result<BucketInfo, ControlError> {
        if let Some(info) = self.view()?.bmd.get(bucket) {
            return Ok(info.clone());
        }
        if dont_add || !bucket.provider.is_remote() {
            return Err(Refused::BucketNotFound(bucket.clone()).into());
        }
        self.find_remote(bucket).await
    }

    /// What to ask the origin of a remote bucket for: the bucket's own origin, if its properties name one.
    pub(crate) fn remote_query(&self, bucket: &Bucket, list: ListQuery) -> Result<RemoteQuery, ControlError> {
        let origin = self.view()?.bmd.get(bucket).map(|info| RemoteOrigin::of(&info.props));
        Ok(RemoteQuery { origin: origin.unwrap_or_default(), list, continuation: None })
    }

    /// Asks the origins of the node's settings for a bucket that the cluster does not know, and takes it in.
    pub(crate) async fn find_remote(&self, bucket: &Bucket) -> Result<BucketInfo, ControlError> {
        if !bucket.namespace.is_global() {
            return Err(Refused::BucketNotFound(bucket.clone()).into());
        }
        let find = async {
            self.backend.remote_head(bucket, &RemoteOrigin::default()).await?;
            self.add_remote(bucket).await
        };
        self.finds.join(bucket, find).await
    }

    /// Takes in a remote bucket without asking its origin.
    pub(crate) async fn add_remote(&self, bucket: &Bucket) -> Result<BucketInfo, ControlError> {
        let now_ns = crate::now_ns();
        of_bucket(self.raft.propose(Command::AddRemoteBucket { bucket: bucket.clone(), now_ns }).await?)
    }

    /// The one bucket of this name, as the S3 API names buckets; one that only an origin has is taken in.
    pub(crate) async fn bucket_by_name(
        &self,
        name: &BucketName,
    ) -> Result<Option<(Bucket, BucketInfo)>, ControlError> {
        if let Some((bucket, info)) = self.view()?.bmd.by_name(name)? {
            return Ok(Some((bucket.clone(), info.clone())));
        }
        for provider in self.backend.remote_providers() {
            let bucket = Bucket::global(provider, name.clone());
            match self.find_remote(&bucket).await {
                Ok(info) => return Ok(Some((bucket, info))),
                Err(e) if is_absence(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// Buckets that the origins of `provider` (all if none) have and the cluster does not, in order.
    /// An origin that fails hides only its own.
    pub(crate) async fn unknown_remote_buckets(&self, provider: Option<Provider>) -> Vec<Bucket> {
        let mut found = Vec::new();
        for p in self.backend.remote_providers() {
            if provider.is_some_and(|only| only != p) {
                continue;
            }
            match self.backend.remote_buckets(p).await {
                Ok(buckets) => found.extend(buckets),
                Err(e) => tracing::warn!("buckets of {} are not listed: {e}", p.as_str()),
            }
        }
        if let Ok(view) = self.view() {
            found.retain(|b| view.bmd.get(b).is_none());
        }
        found.sort();
        found.dedup();
        found
    }
}

/// Whether the origin says that it has no such bucket, or may not tell.
fn is_absence(error: &ControlError) -> bool {
    matches!(
        error,
        ControlError::Backend(
            BackendError::NoBucket(_) | BackendError::NotConfigured(_) | BackendError::Denied { .. }
        )
    )
}
