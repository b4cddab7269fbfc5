use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;

use arc_swap::ArcSwap;
use futures_channel::oneshot;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use weir_cluster::{BucketInfo, BucketPropsPatch, ClusterView, ConfigPatch, Lease, Node, NodeId};
use weir_types::{Bucket, BucketName};

use crate::raft::command::{Applied, Command};
use crate::{ControlError, ControlRequest, Identity, Overloaded};

/// What goes to the control thread. The permit bounds what is under way until the answer is out.
pub(crate) enum Message {
    Request(ControlRequest, OwnedSemaphorePermit),
    Call(Call, OwnedSemaphorePermit),
    Stop,
}

/// A typed call.
pub(crate) enum Call {
    Propose(Command, oneshot::Sender<Result<Applied, ControlError>>),
    FindRemote(Bucket, oneshot::Sender<Result<BucketInfo, ControlError>>),
    SetPrimary(NodeId, oneshot::Sender<Result<(), ControlError>>),
    FindName(BucketName, oneshot::Sender<Result<Option<(Bucket, BucketInfo)>, ControlError>>),
}

/// The way to the control core from any thread and any executor. Clones are cheap.
#[derive(Clone)]
pub struct ControlHandle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) messages: mpsc::UnboundedSender<Message>,
    pub(crate) under_way: Arc<Semaphore>,
    pub(crate) views: Arc<ArcSwap<ClusterView>>,
    pub(crate) lease: Lease,
    pub(crate) identity: Identity,
    pub(crate) thread: Mutex<Option<JoinHandle<()>>>,
}

impl ControlHandle {
    /// Hands a request over; its answer comes on its own channel. Gives it back when
    /// [`weir_types::limits::CONTROL_QUEUE_MAX`] are under way or the core is stopped.
    pub fn try_submit(&self, request: ControlRequest) -> Result<(), Overloaded> {
        let Ok(permit) = self.shared.under_way.clone().try_acquire_owned() else {
            return Err(Overloaded(Box::new(request)));
        };
        self.shared.messages.send(Message::Request(request, permit)).map_err(|unsent| match unsent.0 {
            Message::Request(request, _) => Overloaded(Box::new(request)),
            _ => unreachable!("the message that was not sent is the one given"),
        })
    }

    /// The view of now.
    pub fn view(&self) -> Arc<ClusterView> {
        self.shared.views.load_full()
    }

    /// Where views are published, for readers that load one per request.
    pub fn views(&self) -> Arc<ArcSwap<ClusterView>> {
        self.shared.views.clone()
    }

    /// Whether the cluster counts on this node.
    pub fn lease(&self) -> Lease {
        self.shared.lease.clone()
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// Has a command agreed on, stored and applied. When this resolves, [`ControlHandle::view`] has it.
    pub fn propose(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<Applied, ControlError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::Propose(command, reply), answer)
    }

    /// Makes a bucket with the cluster's defaults and `props` on top.
    pub async fn create_bucket(
        &self,
        bucket: Bucket,
        props: BucketPropsPatch,
    ) -> Result<BucketInfo, ControlError> {
        let now_ns = crate::now_ns();
        of_bucket(self.propose(Command::CreateBucket { bucket, props, now_ns }).await?)
    }

    /// Takes in a remote bucket after a HEAD at its origin; one that is known already is answered at once.
    pub async fn add_remote_bucket(&self, bucket: Bucket) -> Result<BucketInfo, ControlError> {
        if let Some(info) = self.view().bmd.get(&bucket) {
            return Ok(info.clone());
        }
        let (reply, answer) = oneshot::channel();
        self.call(Call::FindRemote(bucket, reply), answer).await
    }

    /// The one bucket of this name, of whatever provider, as the S3 API names buckets; one that only an origin has is
    /// taken in. `None` if neither the cluster nor an origin has it.
    pub async fn bucket_by_name(
        &self,
        name: BucketName,
    ) -> Result<Option<(Bucket, BucketInfo)>, ControlError> {
        if let Some((bucket, info)) = self.view().bmd.by_name(&name)? {
            return Ok(Some((bucket.clone(), info.clone())));
        }
        let (reply, answer) = oneshot::channel();
        self.call(Call::FindName(name, reply), answer).await
    }

    /// Forgets a bucket. Its data is the caller's to remove.
    pub async fn destroy_bucket(&self, bucket: Bucket) -> Result<BucketInfo, ControlError> {
        of_bucket(self.propose(Command::DestroyBucket { bucket, bid: None }).await?)
    }

    /// Changes some properties of a bucket; gives it as it then is.
    pub async fn set_bucket_props(
        &self,
        bucket: Bucket,
        props: BucketPropsPatch,
    ) -> Result<BucketInfo, ControlError> {
        of_bucket(self.propose(Command::SetBucketProps { bucket, props }).await?)
    }

    /// Changes some of the cluster's configuration.
    pub async fn set_config(&self, config: ConfigPatch) -> Result<(), ControlError> {
        let now_ns = crate::now_ns();
        self.propose(Command::SetConfig { config, now_ns }).await.map(|_| ())
    }

    /// Adds a node to the map, or replaces the one of its ID and role.
    pub async fn put_node(&self, node: Node) -> Result<(), ControlError> {
        self.propose(Command::PutNode(Box::new(node))).await.map(|_| ())
    }

    /// Makes a gateway the leading one. Resolves when it leads.
    pub fn set_primary(
        &self,
        gateway: NodeId,
    ) -> impl Future<Output = Result<(), ControlError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.call(Call::SetPrimary(gateway, reply), answer)
    }

    /// Asks the core to stop: what is under way is answered, for a bounded time, and nothing new is taken.
    pub fn stop(&self) {
        self.shared.under_way.close();
        // Already stopped is stopped.
        let _ = self.shared.messages.send(Message::Stop);
    }

    /// Stops the core and waits for its thread. Not to be called on that thread.
    pub fn join(&self) {
        self.stop();
        let thread = self.shared.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the control thread ended by a panic");
        }
    }

    /// Sends a call and waits for its answer.
    fn call<T: Send + 'static>(
        &self,
        call: Call,
        answer: oneshot::Receiver<Result<T, ControlError>>,
    ) -> impl Future<Output = Result<T, ControlError>> + Send + use<T> {
        let sent = match self.shared.under_way.clone().try_acquire_owned() {
            Ok(permit) => {
                self.shared.messages.send(Message::Call(call, permit)).map_err(|_| ControlError::Stopped)
            }
            Err(TryAcquireError::NoPermits) => Err(ControlError::Overloaded),
            Err(TryAcquireError::Closed) => Err(ControlError::Stopped),
        };
        async move {
            sent?;
            answer.await.map_err(|_| ControlError::Stopped)?
        }
    }
}

impl std::fmt::Debug for ControlHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlHandle({})", self.shared.identity.gateway)
    }
}

/// The bucket that a command answered with.
pub(crate) fn of_bucket(applied: Applied) -> Result<BucketInfo, ControlError> {
    let bucket = applied.bucket.map(|b| *b);
    bucket.ok_or_else(|| ControlError::NoAgreement("the command answered without its bucket".into()))
}
