//! The removal of a bucket from every target, and what is asked of all of them before.
//!
//! | step | who | an object that arrives |
//! |---|---|---|
//! | the bucket is marked, then gone from the view | whoever was asked | is refused |
//! | what each target keeps of it is removed, again until it is done everywhere | the leader | - |
//! | the mark goes, and the name is free | the leader | is of another bucket |
//!
//! A target carries out one removal at a time, and looks at the mark again first: a removal that was asked for before the mark
//! went is over when a later one ends, so that nothing of a bucket made anew is lost to it. A target that is away keeps the
//! name from being free; a bucket of that name cannot be made until it is back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use weir_cluster::Node;
use weir_types::Bucket;

use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};
use crate::raft::command::Command;
use crate::raft::node::RaftNode;
use crate::{Backend, BackendError, ControlError, runtime};

/// How long a target may take to remove a bucket's data, or to look at it; a removal is asked for again.
const TARGET_MAX: Duration = Duration::from_secs(120);
/// Between two looks of the leader at what is to be removed.
const LOOK: Duration = Duration::from_millis(100);
/// After a removal that failed.
const AGAIN: Duration = Duration::from_secs(2);
/// How long a request waits for the removal of the data. After that it goes on behind the answer.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A bucket that is marked for this long and still there has lost who was to remove it: it stays.
const MARKED_MAX: Duration = Duration::from_secs(300);

/// One removal at a time.
#[derive(Clone, Default)]
pub(crate) struct Removals(Arc<Mutex<()>>);

impl Removals {
    /// Removes what this process keeps of a bucket that is gone and marked.
    pub(crate) async fn remove(
        &self,
        raft: &RaftNode,
        backend: &dyn Backend,
        bucket: &Bucket,
    ) -> Result<(), BackendError> {
        let _alone = self.0.lock().await;
        let is_due = raft
            .view()
            .is_ok_and(|view| view.bmd.get(bucket).is_none() && view.bmd.removing().contains(bucket));
        if !is_due {
            return Err(BackendError::Busy(format!("bucket \"{bucket}\" is not on its way out here")));
        }
        backend.remove_bucket_data(bucket).await
    }
}

impl Core {
    /// Whether no target holds an object of the bucket.
    pub(crate) async fn is_empty(&self, bucket: &Bucket) -> Result<bool, ControlError> {
        // An object on its way may be past one holder when it is asked and not yet at the other: the second look finds it there.
        let looks = if self.view()?.moving.is_some() { 2 } else { 1 };
        for _ in 0..looks {
            let answers = self.at_targets(|| PeerCall::IsEmpty(bucket.clone())).await?;
            if !answers.iter().all(|answer| matches!(answer, PeerAnswer::Is(true))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for every change of the bucket that was begun on any target.
    pub(crate) async fn settle(&self, bucket: &Bucket) -> Result<(), ControlError> {
        self.at_targets(|| PeerCall::Settle(bucket.clone())).await.map(drop)
    }

    /// Removes the copies of a remote bucket that stays.
    pub(crate) async fn drop_copies(&self, bucket: &Bucket) -> Result<(), ControlError> {
        self.at_targets(|| PeerCall::DropCopies(bucket.clone())).await.map(drop)
    }

    /// Waits, for a bounded time, until what is kept of a bucket that is gone is removed. Meanwhile and after nobody sees it.
    pub(crate) async fn await_removal(&self, bucket: &Bucket) -> Result<(), ControlError> {
        let begin = runtime::now();
        loop {
            let view = self.view()?;
            let all_here = view.smap.targets.values().all(Node::is_here);
            if !view.bmd.removing().contains(bucket) || !all_here || runtime::since(begin) > WAIT_MAX {
                return Ok(());
            }
            runtime::sleep(LOOK / 10).await;
        }
    }

    /// While this process leads: ends removals, each in its turn.
    pub(crate) async fn remove_forever(self: Arc<Self>) {
        let mut marked: BTreeMap<Bucket, Instant> = BTreeMap::new();
        let mut not_before = runtime::now();
        loop {
            runtime::sleep(LOOK).await;
            let Ok(view) = self.view() else { continue };
            if !self.raft.surely_leads() || view.bmd.removing().is_empty() || runtime::now() < not_before {
                continue;
            }
            marked.retain(|bucket, _| view.bmd.removing().contains(bucket));
            for bucket in view.bmd.removing() {
                let since = *marked.entry(bucket.clone()).or_insert_with(runtime::now);
                let is_over = match view.bmd.get(bucket) {
                    Some(_) if view.jobs.renaming(bucket).is_some() => false,
                    Some(_) => runtime::since(since) > MARKED_MAX,
                    None => match self.at_targets(|| PeerCall::RemoveData(bucket.clone())).await {
                        Ok(_) => true,
                        Err(error) => {
                            tracing::warn!("what is kept of {bucket} is not removed yet: {error}");
                            not_before = runtime::now() + AGAIN;
                            false
                        }
                    },
                };
                if is_over
                    && let Err(error) =
                        self.raft.propose(Command::EndRemoval { bucket: bucket.clone() }).await
                {
                    tracing::warn!("{bucket} is removed, and its name is not free yet: {error}");
                }
            }
        }
    }

    /// Asks all targets, this process included; an error if one does not answer.
    async fn at_targets(&self, call: impl Fn() -> PeerCall) -> Result<Vec<PeerAnswer>, ControlError> {
        let view = self.view()?;
        let asked = view.smap.targets.values().map(|target| self.at_target(target, call()));
        try_join_all(asked).await
    }

    /// Asks one target, which may be this process.
    pub(crate) async fn at_target(&self, target: &Node, call: PeerCall) -> Result<PeerAnswer, ControlError> {
        self.ask(target, call, TARGET_MAX).await
    }

    /// Asks one node, which may be this process.
    pub(crate) async fn ask(
        &self,
        target: &Node,
        call: PeerCall,
        within: Duration,
    ) -> Result<PeerAnswer, ControlError> {
        let name = call.name();
        let answer = match self.raft.company() {
            Some(company) if !self.raft.published().me().is(target) => {
                let endpoint = target.intra_control.authority();
                let answer = company.peers.call(&endpoint, target.id.as_str(), &call, within).await;
                answer.map_err(|e| ControlError::NoAgreement(format!("{target} is asked in vain: {e}")))?
            }
            _ => match self.hub().of_target(&call).await {
                Some(answer) => answer?,
                None => self.hub().answer(call).await,
            },
        };
        match answer {
            PeerAnswer::Failed(why) => Err(ControlError::NoAgreement(format!("{name} at {target}: {why}"))),
            answer => Ok(answer),
        }
    }
}
