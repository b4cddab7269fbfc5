//! The control thread: starts Raft, serves what the shards hand over, and stops in order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use weir_auth::PeerVerifier;
use weir_types::limits::CONTROL_QUEUE_MAX;

use crate::core::Core;
use crate::handle::{Call, Message, Shared};
use crate::raft::db::Db;
use crate::raft::node::{RaftNode, identity};
use crate::removal::Removals;
use crate::{
    Backend, ControlConfig, ControlError, ControlHandle, ControlOp, ControlRequest, Identity, api, peers,
};

/// Worker threads of the control core: redb, listing merges, encodings.
const WORKERS_MAX: usize = 8;
/// Seconds that a stop waits for answers under way.
const STOP_SECONDS_MAX: u64 = 10;

/// The control core of a node.
pub struct Control;

impl Control {
    /// Who a node with this configuration is, made and stored at first use: for parts of the node that need its
    /// IDs before the control core runs. Fails while a control core runs on the same directory.
    pub fn identity(config: &ControlConfig) -> Result<Identity, ControlError> {
        let db = Db::open(&config.state_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| ControlError::Thread(e.to_string()))?.block_on(identity(&db, config))
    }

    /// Starts the control thread and waits until this node leads, has applied its whole log and has published a
    /// view. `backend` is asked nothing before that.
    pub fn start(config: ControlConfig, backend: Arc<dyn Backend>) -> Result<ControlHandle, ControlError> {
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let (messages, incoming) = mpsc::unbounded_channel();
        let under_way = Arc::new(Semaphore::new(CONTROL_QUEUE_MAX));
        let everywhere = sched_getaffinity(Pid::from_raw(0)).ok();
        let permits = under_way.clone();
        let program = move || {
            let result = pin(config.cpu).and_then(|()| runtime(everywhere)).and_then(|runtime| {
                let core = runtime.block_on(prepare(config, backend))?;
                Ok((runtime, core))
            });
            match result {
                Ok((runtime, core)) => {
                    let first = (core.raft.published().views().cloned(), core.raft.lease().clone());
                    // The starter waits; if it went away, the messages' sender did too, and the loop ends at once.
                    let _ = ready.send(Ok((core.identity().clone(), first)));
                    runtime.block_on(serve(core, incoming, permits));
                    runtime.shutdown_timeout(Duration::from_secs(STOP_SECONDS_MAX));
                }
                Err(e) => {
                    let _ = ready.send(Err(e));
                }
            }
        };
        let thread = thread::Builder::new()
            .name("control".into())
            .spawn(program)
            .map_err(|e| ControlError::Thread(e.to_string()))?;
        let died = |_| ControlError::Thread("it ended while starting".into());
        let (identity, (views, lease)) = started.recv().map_err(died)??;
        let views = views.ok_or_else(|| ControlError::NoAgreement("no view after start".into()))?;
        let thread = Mutex::new(Some(thread));
        Ok(ControlHandle { shared: Arc::new(Shared { messages, under_way, views, lease, identity, thread }) })
    }
}

fn pin(cpu: Option<usize>) -> Result<(), ControlError> {
    let Some(cpu) = cpu else { return Ok(()) };
    let failed = |e: nix::Error| ControlError::Thread(format!("pinning to CPU {cpu}: {e}"));
    let mut set = CpuSet::new();
    set.set(cpu).map_err(failed)?;
    sched_setaffinity(Pid::from_raw(0), &set).map_err(failed)
}

/// The runtime. Its workers inherit this thread's one CPU unless they are told otherwise: `everywhere` is where
/// the process may run.
fn runtime(everywhere: Option<CpuSet>) -> Result<tokio::runtime::Runtime, ControlError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(WORKERS_MAX)
        .thread_name("control-worker")
        .on_thread_start(move || {
            if let Some(set) = &everywhere {
                // A worker that stays on one CPU is slow, not wrong.
                let _ = sched_setaffinity(Pid::from_raw(0), set);
            }
        })
        .build()
        .map_err(|e| ControlError::Thread(e.to_string()))
}

async fn prepare(config: ControlConfig, backend: Arc<dyn Backend>) -> Result<Arc<Core>, ControlError> {
    let db = Db::open(&config.state_dir)?;
    let identity = identity(&db, &config).await?;
    let raft = RaftNode::begin(db, identity, &config).await?;
    let removals = Removals::default();
    let link = peers::CoreLink::default();
    let hub = peers::Hub {
        raft: raft.clone(),
        backend: backend.clone(),
        removals: removals.clone(),
        core: link.clone(),
    };
    let settled = match begin_company(&raft, &config, hub).await {
        Ok(()) => raft.settle(&config, crate::now_ns()).await,
        failed => failed,
    };
    if let Err(error) = settled {
        raft.shutdown().await;
        return Err(error);
    }
    let core = Core::begin(raft, backend, removals, link, config);
    if core.raft.company().is_none() {
        core.end_removals().await?;
    }
    Ok(core)
}

/// Opens the listener for other nodes, and begins what this process owes them: it ends with the runtime.
async fn begin_company(raft: &RaftNode, config: &ControlConfig, hub: peers::Hub) -> Result<(), ControlError> {
    let Some(peers_config) = &config.peers else { return Ok(()) };
    let identity = raft.identity();
    let ids: Vec<String> = identity.me(config.roles).ids().map(ToString::to_string).collect();
    let verifier = PeerVerifier::new(peers_config.key.clone(), identity.cluster.as_str(), ids);
    let listener = peers::listen(peers_config.listen).await?;
    tokio::spawn(peers::serve(listener, verifier, hub));
    raft.take_turns();
    Ok(())
}

/// Takes messages until told to stop, then lets what is under way finish.
async fn serve(core: Arc<Core>, mut incoming: mpsc::UnboundedReceiver<Message>, permits: Arc<Semaphore>) {
    let mut tasks = JoinSet::new();
    loop {
        tokio::select! {
            message = incoming.recv() => match message {
                Some(Message::Stop) | None => break,
                Some(message) => begin(&mut tasks, &core, message, &permits),
            },
            Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
        }
    }
    // Whoever was let in just before the stop is answered too.
    incoming.close();
    while let Some(message) = incoming.recv().await {
        begin(&mut tasks, &core, message, &permits);
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(STOP_SECONDS_MAX), all).await.is_err() {
        tracing::warn!("control requests were cut off after {STOP_SECONDS_MAX} s of stopping");
    }
    core.raft.shutdown().await;
}

fn begin(tasks: &mut JoinSet<()>, core: &Arc<Core>, message: Message, permits: &Arc<Semaphore>) {
    match message {
        Message::Request(request, permit) => {
            tasks.spawn(answer(core.clone(), request, permit, permits.clone()));
        }
        Message::Call(call, permit) => {
            tasks.spawn(carry_out(core.clone(), call, permit));
        }
        Message::Stop => {}
    }
}

/// Answers one request; a panic in it is an answer too.
async fn answer(
    core: Arc<Core>,
    request: ControlRequest,
    permit: OwnedSemaphorePermit,
    permits: Arc<Semaphore>,
) {
    let begun = Instant::now();
    let ControlRequest { op, head, body, grant, peer, request_id, reply } = request;
    let dialect = match &op {
        ControlOp::Ais(_) => "ais",
        ControlOp::S3(_) => "s3",
    };
    let under_way = CONTROL_QUEUE_MAX - permits.available_permits().min(CONTROL_QUEUE_MAX);
    let asked = api::Asked { head: head.head(), body, grant, peer, request_id: &request_id, under_way };
    let answered = AssertUnwindSafe(api::answer(&core, op, asked)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| {
        tracing::error!(request_id, "a control request panicked: {:?}", head.head());
        crate::ControlResponse::new(500)
    });
    core.figures.answered(dialect, response.status, begun.elapsed());
    drop(permit);
    // A client that went away needs no answer.
    let _ = reply.send(response);
}

async fn carry_out(core: Arc<Core>, call: Call, permit: OwnedSemaphorePermit) {
    // A caller that went away needs no answer.
    match call {
        Call::Propose(command, reply) => {
            let _ = reply.send(core.raft.propose(command).await);
        }
        Call::SetPrimary(gateway, reply) => {
            let _ = reply.send(core.raft.set_primary(&gateway).await);
        }
        Call::FindRemote(bucket, reply) => {
            let _ = reply.send(core.bucket(&bucket, false).await);
        }
        Call::FindName(name, reply) => {
            let _ = reply.send(core.bucket_by_name(&name).await);
        }
    }
    drop(permit);
}
