//! A shard's life: its listener, its share of the node's connections, and what its requests reach.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use weir_ais::AisOp;
use weir_auth::{Gate, Grant};
use weir_cluster::{ClusterView, NodeId};
use weir_http::{DateText, OwnedHead};
use weir_origin::OriginsHandle;
use weir_ring::{Fd, Handle, Mailbox, Reactor, ReactorConfig, Sender, sys};
use weir_s3::S3Op;
use weir_store::Volume;
use weir_types::{Bucket, BucketName, limits};

use crate::committer::{Disk, now_ns, open_disk};
use crate::disk::{RingDisk, Role};
use crate::opened::{self, OpenCache};
use crate::routes::Routes;
use crate::{Drain, Loads, ShardError, ShardMetrics, WalkerPort};

/// How long nothing is under way before a draining shard ends.
const DRAIN_QUIET: Duration = Duration::from_millis(300);
/// How often a shard that waits for a connection looks whether the node drains.
const ACCEPT_TICK: Duration = Duration::from_millis(100);

/// What a control request asks for, as its dialect's router read it.
#[derive(Debug)]
pub enum ControlOp {
    /// AIS API.
    Ais(Box<AisOp>),
    /// S3 API.
    S3(Box<S3Op>),
}

/// A request for the control core: whole, admitted and bounded.
pub struct ControlCall {
    /// What it asks for.
    pub op: ControlOp,
    /// Its head.
    pub head: OwnedHead,
    /// Its body, at most `CONTROL_BODY_BYTES_MAX`, S3's chunks and checksums already taken off and checked.
    pub body: Vec<u8>,
    /// What its sender may do.
    pub grant: Grant,
    /// Where it came from.
    pub peer: SocketAddr,
    /// Its number, as in logs and `x-amz-request-id`.
    pub request_id: String,
}

/// The control core's answer.
#[derive(Debug, Default)]
pub struct ControlReply {
    /// HTTP status.
    pub status: u16,
    /// Fields but those of framing.
    pub headers: Vec<(String, String)>,
    /// Body; not sent in answer to HEAD.
    pub body: Bytes,
}

/// How shards reach the control core.
pub trait ControlPort: Send + Sync {
    /// Hands a request over, never waits; `None` when its queue is full. The answer is `None` when the core stopped.
    fn submit(&self, call: ControlCall) -> Option<BoxFuture<'static, Option<ControlReply>>>;
    /// Makes a bucket known that exists at its origin; `false` if it does not.
    fn adopt_bucket(&self, bucket: Bucket) -> BoxFuture<'static, Result<bool, String>>;
    /// The bucket that S3 means by a name, asked for at the origins where the cluster has none.
    fn find_bucket(&self, name: BucketName) -> BoxFuture<'static, Result<Option<Bucket>, String>>;
}

/// The node's names in the cluster map.
#[derive(Clone, Debug)]
pub struct Identity {
    /// As a gateway.
    pub gateway: NodeId,
    /// As a target.
    pub target: NodeId,
}

/// A connection on its way to the shard it was given to.
pub struct NewConnection(Fd, SocketAddr);

/// What all shards of a node share.
pub struct Shared {
    /// The cluster as it is agreed.
    pub view: Arc<ArcSwap<ClusterView>>,
    /// The gate; each shard clones it.
    pub gate: Gate,
    /// The way to the control core.
    pub control: Arc<dyn ControlPort>,
    /// The way to origins, where there are any.
    pub origins: Option<OriginsHandle>,
    /// The node's disks.
    pub disks: Vec<Disk>,
    /// The way to the walker, for what reads directories.
    pub walker: WalkerPort,
    /// Connections of each shard.
    pub loads: Loads,
    /// Counters of each shard.
    pub metrics: Vec<Arc<ShardMetrics>>,
    /// The way to each shard, for connections.
    pub inbound: Vec<Sender<NewConnection>>,
    /// The node's names.
    pub identity: Identity,
    /// Begun once: no new connections, the present ones close after the request under way.
    pub drain: Drain,
    /// Base domain of virtual-hosted S3 requests; empty: none.
    pub s3_domain: String,
}

/// What one shard is built from.
pub struct ShardConfig {
    /// Its number, from 0.
    pub index: usize,
    /// Address that all shards listen on.
    pub listen: SocketAddr,
    /// Its reactor.
    pub reactor: ReactorConfig,
    /// Its end of [`Shared::inbound`].
    pub inbound: Mailbox<NewConnection>,
    /// How it reads objects.
    pub reading: Reading,
}

/// How a shard reads objects.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// Objects whose files it may keep open.
    pub open_files: usize,
    /// Bytes of small objects that it may keep in memory.
    pub hot_bytes: usize,
    /// Whether large bodies are sent without copying, for as long as the kernel does not copy all the same.
    pub zero_copy: bool,
    /// Bytes that the page cache can have of this shard's objects at most.
    pub page_cache_bytes: u64,
}

/// A shard as its tasks see it.
pub(crate) struct Shard {
    pub(crate) index: usize,
    pub(crate) handle: Handle,
    pub(crate) shared: Arc<Shared>,
    pub(crate) gate: Gate,
    pub(crate) volumes: Vec<Volume<RingDisk>>,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) opened: RefCell<OpenCache>,
    pub(crate) routes: RefCell<Routes>,
    pub(crate) zero_copy: Cell<bool>,
    /// Whether bringing objects into the page cache pays.
    pub(crate) promotion: crate::get::Promotion,
    /// Where heads are written that leave at once.
    pub(crate) scratch: RefCell<Vec<u8>>,
    date: RefCell<DateText>,
    requests: Cell<u64>,
    active: Cell<usize>,
}

/// Something under way that a stop waits for: a request, or the accepting of connections.
pub(crate) struct Busy<'s>(&'s Cell<usize>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Shard {
    /// Counts a request while it is served.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.active.set(self.active.get() + 1);
        Busy(&self.active)
    }

    /// The date for a response's head.
    pub(crate) fn date(&self) -> String {
        self.date.borrow_mut().at(now_ns() / 1_000_000_000).to_owned()
    }

    /// Lends the same date.
    pub(crate) fn with_date<T>(&self, use_it: impl FnOnce(&str) -> T) -> T {
        use_it(self.date.borrow_mut().at(now_ns() / 1_000_000_000))
    }

    /// A number that no other request of this node's life has.
    pub(crate) fn next_request(&self) -> u64 {
        let n = self.requests.get() + 1;
        self.requests.set(n);
        (self.index as u64) << 48 | n
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.drain.has_begun()
    }
}

/// Runs a shard on this thread until the node drains and its requests are answered, or their time is over.
/// `ready` hears once whether it listens.
pub fn run(config: ShardConfig, shared: Arc<Shared>, ready: impl FnOnce(Result<(), ShardError>)) {
    let reactor = match Reactor::new(&config.reactor) {
        Ok(reactor) => reactor,
        Err(error) => return ready(Err(error.into())),
    };
    let handle = reactor.handle();
    reactor.block_on(async move {
        let (index, listen, inbound) = (config.index, config.listen, config.inbound);
        let begun = begin(index, listen, &handle, config.reading, shared).map(|(shard, listener)| {
            let shard = Rc::new(shard);
            let accepting = handle.spawn(accept(shard.clone(), listener)).is_ok();
            let receiving = handle.spawn(receive(shard.clone(), inbound)).is_ok();
            assert!(accepting && receiving, "a fresh reactor has room for two tasks");
            shard
        });
        match begun {
            Err(error) => ready(Err(error)),
            Ok(shard) => {
                ready(Ok(()));
                until_drained(&shard).await;
            }
        }
    });
}

fn begin(
    index: usize,
    listen: SocketAddr,
    handle: &Handle,
    reading: Reading,
    shared: Arc<Shared>,
) -> Result<(Shard, Fd), ShardError> {
    let listener = handle
        .listen(listen, limits::LISTEN_BACKLOG)
        .map_err(|error| ShardError::Io { what: format!("listen on {listen}"), error })?;
    let mut volumes = Vec::with_capacity(shared.disks.len());
    for disk in &shared.disks {
        let own = open_disk(
            handle.clone(),
            &disk.path,
            Role::Shard { of: shared.inbound.len() },
            &disk.buffered_only,
        )?;
        volumes.push(Volume::new(own, disk.mountpath.clone()));
    }
    let metrics = shared.metrics[index].clone();
    let counted = metrics.clone();
    handle.on_task_panic(move |text| {
        counted.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!(shard = index, "a request panicked: {text}");
    });
    watch_stalls(handle, index, metrics.clone());
    let shard = Shard {
        index,
        handle: handle.clone(),
        gate: shared.gate.clone(),
        shared,
        volumes,
        metrics,
        opened: RefCell::new(OpenCache::new(reading.open_files, reading.hot_bytes)),
        routes: RefCell::new(Routes::new()),
        zero_copy: Cell::new(reading.zero_copy),
        promotion: crate::get::Promotion::new(reading.page_cache_bytes),
        scratch: RefCell::default(),
        date: RefCell::new(DateText::new()),
        requests: Cell::new(0),
        active: Cell::new(0),
    };
    Ok((shard, listener))
}

/// Counts the steps that took longer than a shard's may; one that slept broke the rule that a shard never waits for a disk.
fn watch_stalls(handle: &Handle, index: usize, metrics: Arc<ShardMetrics>) {
    let told = Cell::new(None::<Instant>);
    handle.watch_stalls(STALL_MIN, move |stall| {
        let count = if stall.slept { &metrics.stalls_slept } else { &metrics.stalls_ran };
        count.fetch_add(1, Ordering::Relaxed);
        if stall.slept {
            metrics.stall_slept_longest.fetch_max(stall.took.as_micros() as u64, Ordering::Relaxed);
        }
        let now = Instant::now();
        if stall.slept && told.get().is_none_or(|at| now - at >= STALL_TELL) {
            told.set(Some(now));
            tracing::warn!(shard = index, "{stall}");
        }
    });
}

/// Steps of a shard that take longer are stalls.
const STALL_MIN: Duration = Duration::from_millis(2);
/// A stall is logged at most this often; all are counted.
const STALL_TELL: Duration = Duration::from_secs(10);

/// Accepts and hands each connection to the shard with the fewest. What already waits when the node begins to drain is
/// taken in as well: its clients may have sent their requests.
async fn accept(shard: Rc<Shard>, listener: Fd) {
    let _busy = shard.busy();
    let mut close_at = None;
    loop {
        let now = shard.handle.now();
        if shard.is_draining() && now >= *close_at.get_or_insert(now + ACCEPT_TICK) {
            return;
        }
        // Only the look is given up at the tick: an accept that is given up may have taken a connection already, which
        // its client would see closed without an answer.
        let waiting = shard.handle.poll_readable(&listener);
        if shard.handle.timeout(ACCEPT_TICK, waiting).await.is_err() {
            continue;
        }
        let (sock, peer) = match shard.handle.accept(&listener).await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, as a rule: connections end, then there are some again.
                tracing::warn!(shard = shard.index, "accept: {error}");
                shard.handle.sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        shard.metrics.accepted.fetch_add(1, Ordering::Relaxed);
        match shard.shared.loads.assign(limits::CONNECTIONS_MAX) {
            Some(to) if to == shard.index => start(&shard, sock, peer),
            Some(to) => {
                if shard.shared.inbound[to].send(NewConnection(sock, peer)).is_err() {
                    shard.shared.loads.release(to);
                }
            }
            None => {
                // Every shard is full: the client sees a closed connection rather than a queue without end.
                shard.metrics.overloaded.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

async fn receive(shard: Rc<Shard>, mut inbound: Mailbox<NewConnection>) {
    while let Some(NewConnection(sock, peer)) = inbound.recv().await {
        start(&shard, sock, peer);
    }
}

fn start(shard: &Rc<Shard>, sock: Fd, peer: SocketAddr) {
    let open = OpenConnection::new(shard.clone());
    // The last piece of an answer must not wait for the client's acknowledgement. Refused, it is only slower.
    if let Err(error) = sys::nodelay(&sock, true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let task = async move {
        let shard = open.0.clone();
        crate::serve::connection(&shard, sock, peer).await;
        drop(open);
    };
    debug_assert!(
        size_of_val(&task) <= IDLE_BYTES_MAX,
        "a connection's task has {} bytes",
        size_of_val(&task)
    );
    if shard.handle.spawn(task).is_err() {
        shard.metrics.overloaded.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the task of a connection may hold while it idles; what a request needs is boxed for its time.
const IDLE_BYTES_MAX: usize = 4 << 10;

/// Counts a connection while it lives, also when its task panics or is never started.
struct OpenConnection(Rc<Shard>);

impl OpenConnection {
    fn new(shard: Rc<Shard>) -> Self {
        shard.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Self(shard)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
        self.0.shared.loads.release(self.0.index);
    }
}

/// Closes objects that were replaced, waits for the drain and then for the end of all requests. A client that was just answered may have sent its next
/// request before it read that the connection closes: the end is taken for the end only after a moment's quiet.
async fn until_drained(shard: &Shard) {
    let tick = Duration::from_millis(20);
    while !shard.is_draining() {
        shard.handle.sleep(tick).await;
        opened::sweep(shard);
    }
    let begun = shard.handle.now();
    let mut quiet_since = begun;
    loop {
        shard.handle.sleep(tick).await;
        let now = shard.handle.now();
        if shard.active.get() > 0 {
            quiet_since = now;
        }
        if now - quiet_since >= DRAIN_QUIET || now - begun >= shard.shared.drain.most() {
            return;
        }
    }
}
