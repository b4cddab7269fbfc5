//! What this node answers its peers.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use weir_types::limits::PEER_CALL_MILLIS_MAX;

use super::{PeerAnswer, PeerCall};
use crate::core::Core;
use crate::raft::node::RaftNode;
use crate::removal::Removals;
use crate::{Backend, BackendError, ControlError, gather};

/// What peers' requests are answered with.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) raft: RaftNode,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) removals: Removals,
    /// What answers for this process's nodes, once it is there.
    pub(crate) core: CoreLink,
}

/// The way to the core, which is made after the listener: what other nodes ask needs less than it, but for one thing.
#[derive(Clone, Default)]
pub(crate) struct CoreLink(Arc<OnceLock<Weak<Core>>>);

impl CoreLink {
    /// Ties it to the core, once.
    pub(crate) fn tie(&self, core: &Arc<Core>) {
        let _ = self.0.set(Arc::downgrade(core));
    }

    fn core(&self) -> Option<Arc<Core>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

impl Hub {
    /// Carries out what targets alone are asked; `None` if it is something else.
    pub(crate) async fn of_target(&self, call: &PeerCall) -> Option<Result<PeerAnswer, BackendError>> {
        let done = |result: Result<(), BackendError>| result.map(|()| PeerAnswer::Done);
        Some(match call {
            PeerCall::Settle(bucket) => done(self.backend.settle(bucket).await),
            PeerCall::IsEmpty(bucket) => self.backend.is_empty(bucket).await.map(PeerAnswer::Is),
            PeerCall::RemoveData(bucket) => {
                done(self.removals.remove(&self.raft, self.backend.as_ref(), bucket).await)
            }
            PeerCall::DropCopies(bucket) => done(self.backend.remove_bucket_data(bucket).await),
            _ => return None,
        })
    }

    /// Answers what another node asks of what this one holds.
    async fn of_holder(&self, call: PeerCall) -> Result<PeerAnswer, ControlError> {
        let backend = self.backend.as_ref();
        Ok(match call {
            PeerCall::List { bucket, part } => PeerAnswer::Page(gather::page(backend, &bucket, part).await?),
            PeerCall::Count { bucket, prefix, start_after } => {
                let (sums, next) = gather::counted(backend, &bucket, &prefix, start_after).await?;
                PeerAnswer::Counted(sums, next)
            }
            PeerCall::Uploads { bucket, after } => {
                let (uploads, more) = gather::uploads_after(backend, &bucket, after).await?;
                PeerAnswer::Uploads(uploads, more)
            }
            PeerCall::Remove { bucket, objects, index } => {
                self.applied(index).await?;
                PeerAnswer::Removed(gather::removed(backend, self.raft.views()?, &bucket, objects).await)
            }
            PeerCall::Space => PeerAnswer::Space(backend.mountpaths().await?),
            PeerCall::Own { bucket, name, index } => {
                self.applied(index).await?;
                if let (Some(bytes), Some(core)) =
                    (backend.own_object(&bucket, &name).await?, self.core.core())
                {
                    core.count_received(bytes);
                }
                PeerAnswer::Done
            }
            PeerCall::OwnUpload { bucket, name, upload, index } => {
                self.applied(index).await?;
                backend.own_upload(&bucket, &name, &upload).await?;
                PeerAnswer::Done
            }
            PeerCall::Promotable { path } => {
                PeerAnswer::Promotable(backend.promotable(&path).await.map_err(|e| e.to_string()))
            }
            PeerCall::Promote { call, index } => {
                self.applied(index).await?;
                PeerAnswer::Promoted(backend.promote(&call).await?)
            }
            other => return Err(BackendError::Unsupported(other.name().into()).into()),
        })
    }

    /// Waits until this node has applied the log up to an index.
    async fn applied(&self, index: u64) -> Result<(), ControlError> {
        let within = Duration::from_millis(PEER_CALL_MILLIS_MAX);
        let wait = self.raft.raft().wait(Some(within));
        let applied = wait.applied_index_at_least(Some(index), "for a peer").await;
        applied.map(drop).map_err(|e| ControlError::NoAgreement(e.to_string()))
    }

    /// Carries out a call of a proven peer.
    pub(crate) async fn answer(&self, call: PeerCall) -> PeerAnswer {
        let raft = self.raft.raft();
        match call {
            PeerCall::Who => PeerAnswer::Who(self.raft.identity().cluster.clone()),
            PeerCall::Append(rpc) => PeerAnswer::Append(raft.append_entries(*rpc).await),
            PeerCall::Vote(rpc) => PeerAnswer::Vote(raft.vote(rpc).await),
            PeerCall::Snapshot(rpc) => PeerAnswer::Snapshot(raft.install_snapshot(*rpc).await),
            PeerCall::Hello(hello) => PeerAnswer::Hello(self.raft.hear(*hello)),
            PeerCall::Propose(command) => PeerAnswer::Proposed(self.raft.propose_leading(*command).await),
            PeerCall::Applied { index } => match self.applied(index).await {
                Ok(()) => PeerAnswer::Done,
                Err(e) => PeerAnswer::Failed(e.to_string()),
            },
            PeerCall::Elect => match self.raft.stand().await {
                Ok(()) => PeerAnswer::Done,
                Err(e) => PeerAnswer::Failed(e.to_string()),
            },
            PeerCall::Lead { gateway } => match self.raft.hand_over(&gateway).await {
                Ok(()) => PeerAnswer::Done,
                Err(e) => PeerAnswer::Failed(e.to_string()),
            },
            PeerCall::Settle(_)
            | PeerCall::IsEmpty(_)
            | PeerCall::RemoveData(_)
            | PeerCall::DropCopies(_) => {
                let answer = self.of_target(&call).await;
                let missing = || Err(BackendError::Unsupported(call.name().into()));
                answer.unwrap_or_else(missing).unwrap_or_else(|e| PeerAnswer::Failed(e.to_string()))
            }
            PeerCall::Stop => {
                self.backend.request_stop();
                PeerAnswer::Done
            }
            PeerCall::About { node, what, body } => match self.core.core() {
                Some(core) => crate::api::told(&core, &node, what, &body).await,
                None => PeerAnswer::Failed("it is starting".into()),
            },
            PeerCall::ChangeMountpath(change) => match self.core.core() {
                Some(core) => crate::api::told_change(&core, &change).await,
                None => PeerAnswer::Failed("it is starting".into()),
            },
            PeerCall::List { .. }
            | PeerCall::Count { .. }
            | PeerCall::Uploads { .. }
            | PeerCall::Remove { .. }
            | PeerCall::Own { .. }
            | PeerCall::OwnUpload { .. }
            | PeerCall::Promotable { .. }
            | PeerCall::Promote { .. }
            | PeerCall::Space => {
                self.of_holder(call).await.unwrap_or_else(|e| PeerAnswer::Failed(e.to_string()))
            }
        }
    }
}
