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
use weir_auth::{Gate, Grant, Vouching};
use weir_cluster::{ClusterView, Lease, NodeId};
use weir_http::{DateText, OwnedHead, ResponseHead};
use weir_origin::OriginsHandle;
use weir_ring::{Fd, Handle, How, Mailbox, Reactor, ReactorConfig, Sender, sys};
use weir_s3::S3Op;
use weir_types::{Bucket, BucketName, limits};

use crate::answer::add_field;
use crate::committer::now_ns;
use crate::disk::Role;
use crate::disks::Disks;
use crate::moves::{self, Errand};
use crate::opened::{self, OpenCache};
use crate::promote::{self, PromoteDirs, PromoteTask};
use crate::relay::Links;
use crate::routes::Routes;
use crate::volumes::Volumes;
use crate::{CopyTask, Drain, Loads, ShardError, ShardMetrics, WalkerPort, copies};

/// How long nothing is under way before a draining shard ends.
const DRAIN_QUIET: Duration = Duration::from_millis(300);
/// How often connections to peers are looked at that idle.
const LINKS_SWEEP: Duration = Duration::from_secs(1);
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
pub struct NewConnection(Fd, SocketAddr, Side);

/// What is handed to a shard.
pub enum Inbound {
    /// A connection to serve.
    Connection(NewConnection),
    /// An object to copy.
    Copy(CopyTask),
    /// An object to have here.
    Errand(Errand),
    /// A file that is to become an object.
    Promote(PromoteTask),
}

/// Which listener a connection came over: nothing that comes over the public one is ever taken for a peer's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    /// Anybody's.
    Public,
    /// Peers', for data.
    Peers,
}

/// The field of an answer that may be stale: for how many milliseconds no majority has stood behind the node.
pub(crate) const STALE_HEADER: &str = "Weir-Stale";

/// What all shards of a node share.
pub struct Shared {
    /// The cluster as it is agreed.
    pub view: Arc<ArcSwap<ClusterView>>,
    /// Whether the cluster counts on this node: without it no change is taken, and what is read may be stale.
    pub lease: Lease,
    /// The gate; each shard clones it.
    pub gate: Gate,
    /// How this node and its peers vouch for what they pass on to each other; none in a cluster of one.
    pub vouching: Option<Vouching>,
    /// The way to the control core.
    pub control: Arc<dyn ControlPort>,
    /// The way to origins, where there are any.
    pub origins: Option<OriginsHandle>,
    /// The node's disks.
    pub disks: Disks,
    /// The way to the walker, for what reads directories.
    pub walker: WalkerPort,
    /// Connections of each shard.
    pub loads: Loads,
    /// Counters of each shard.
    pub metrics: Vec<Arc<ShardMetrics>>,
    /// The way to each shard.
    pub inbound: Vec<Sender<Inbound>>,
    /// The node's names.
    pub identity: Identity,
    /// Begun once: no new connections, the present ones close after the request under way.
    pub drain: Drain,
    /// Base domain of virtual-hosted S3 requests; empty: none.
    pub s3_domain: String,
    /// The directories whose files may become objects.
    pub promote: PromoteDirs,
}

/// What one shard is built from.
pub struct ShardConfig {
    /// Its number, from 0.
    pub index: usize,
    /// Address that all shards listen on.
    pub listen: SocketAddr,
    /// Address that all shards listen on for peers, if there may be any.
    pub listen_peers: Option<SocketAddr>,
    /// Its reactor.
    pub reactor: ReactorConfig,
    /// Its end of [`Shared::inbound`].
    pub inbound: Mailbox<Inbound>,
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
    pub(crate) volumes: Volumes,
    pub(crate) metrics: Arc<ShardMetrics>,
    pub(crate) opened: RefCell<OpenCache>,
    pub(crate) routes: RefCell<Routes>,
    pub(crate) links: Links,
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

    /// For how many milliseconds the cluster has not counted on this node; what it reads may be older than that. `None` while it
    /// does.
    pub(crate) fn stale_millis(&self) -> Option<u128> {
        self.shared.lease.stale_for(Instant::now()).map(|over| over.as_millis())
    }

    /// Says so in an answer.
    pub(crate) fn add_staleness(&self, head: &mut ResponseHead<'_>) {
        if let Some(millis) = self.stale_millis() {
            add_field(head, STALE_HEADER, millis);
        }
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

/// Runs a shard on this thread until the node drains and its requests are answered, or their time is over. Its memory and its
/// rings are there before it waits for what it shares; it ends where there will be nothing. `ready` hears once whether it listens.
pub fn run(
    config: ShardConfig,
    shared: impl FnOnce() -> Option<Arc<Shared>>,
    ready: impl FnOnce(Result<(), ShardError>),
) {
    let reactor = match Reactor::new(&config.reactor) {
        Ok(reactor) => reactor,
        Err(error) => return ready(Err(error.into())),
    };
    let Some(shared) = shared() else { return };
    let handle = reactor.handle();
    reactor.block_on(async move {
        let begun = begin(&config, &handle, shared).map(|(shard, listeners)| {
            let shard = Rc::new(shard);
            for (side, listener) in listeners {
                let accepting = handle.spawn(accept(shard.clone(), side, listener)).is_ok();
                assert!(accepting, "a fresh reactor has room for its first tasks");
            }
            let receiving = handle.spawn(receive(shard.clone(), config.inbound)).is_ok();
            assert!(receiving, "a fresh reactor has room for its first tasks");
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

/// A shard with what it listens on.
type Begun = (Shard, Vec<(Side, Fd)>);

fn begin(config: &ShardConfig, handle: &Handle, shared: Arc<Shared>) -> Result<Begun, ShardError> {
    let (index, reading) = (config.index, config.reading);
    let sides = [(Side::Public, Some(config.listen)), (Side::Peers, config.listen_peers)];
    let mut listeners = Vec::with_capacity(sides.len());
    for (side, address) in sides {
        if let Some(address) = address {
            let listener = handle
                .listen(address, limits::LISTEN_BACKLOG)
                .map_err(|error| ShardError::Io { what: format!("listen on {address}"), error })?;
            listeners.push((side, listener));
        }
    }
    let role = Role::Shard { of: shared.inbound.len() };
    let volumes = Volumes::new(handle.clone(), role, shared.disks.clone());
    for disk in &shared.disks.load().disks {
        volumes.of(disk)?;
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
        links: Links::default(),
        zero_copy: Cell::new(reading.zero_copy),
        promotion: crate::get::Promotion::new(reading.page_cache_bytes),
        scratch: RefCell::default(),
        date: RefCell::new(DateText::new()),
        requests: Cell::new(0),
        active: Cell::new(0),
    };
    Ok((shard, listeners))
}

/// Counts the steps that took longer than a shard's may; one that slept broke the rule that a shard never waits for a disk.
fn watch_stalls(handle: &Handle, index: usize, metrics: Arc<ShardMetrics>) {
    let told = Cell::new(None::<Instant>);
    handle.watch_stalls(STALL_MIN, move |stall| {
        let count = match stall.how {
            How::Slept => &metrics.stalls_slept,
            How::Paged => &metrics.stalls_paged,
            How::Ran => &metrics.stalls_ran,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if stall.how == How::Slept {
            metrics.stall_slept_longest.fetch_max(stall.took.as_micros() as u64, Ordering::Relaxed);
        }
        let now = Instant::now();
        if stall.how != How::Ran && told.get().is_none_or(|at| now - at >= STALL_TELL) {
            told.set(Some(now));
            tracing::warn!(shard = index, "{stall}");
        }
    });
}

/// Between two looks at what is kept open, for which a shard wakes even where nothing happens.
const HOUSEKEEPING_TICK: Duration = Duration::from_millis(100);
/// Steps of a shard that take longer are stalls.
const STALL_MIN: Duration = Duration::from_millis(2);
/// A stall is logged at most this often; all are counted.
const STALL_TELL: Duration = Duration::from_secs(10);

/// Accepts and hands each connection to the shard with the fewest. What already waits when the node begins to drain is
/// taken in as well: its clients may have sent their requests.
async fn accept(shard: Rc<Shard>, side: Side, listener: Fd) {
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
        // Clients cannot take the places of peers, which carry other clients' requests.
        let most = match side {
            Side::Public => limits::CONNECTIONS_MAX,
            Side::Peers => limits::CONNECTIONS_MAX + limits::RELAYED_CONNECTIONS_MAX,
        };
        match shard.shared.loads.assign(most) {
            Some(to) if to == shard.index => start(&shard, NewConnection(sock, peer, side)),
            Some(to) => {
                let connection = Inbound::Connection(NewConnection(sock, peer, side));
                if shard.shared.inbound[to].send(connection).is_err() {
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

async fn receive(shard: Rc<Shard>, mut inbound: Mailbox<Inbound>) {
    while let Some(came) = inbound.recv().await {
        match came {
            Inbound::Connection(connection) => start(&shard, connection),
            Inbound::Copy(task) => copies::start(&shard, task),
            Inbound::Promote(task) => promote::start(&shard, task),
            Inbound::Errand(errand) => {
                let own = shard.clone();
                // Refused, its teller is dropped: who asked tries again.
                let _ = shard.handle.spawn(async move { moves::run(&own, errand).await });
            }
        }
    }
}

fn start(shard: &Rc<Shard>, NewConnection(sock, peer, side): NewConnection) {
    let open = OpenConnection::new(shard.clone());
    // The last piece of an answer must not wait for the client's acknowledgement. Refused, it is only slower.
    if let Err(error) = sys::nodelay(&sock, true) {
        tracing::debug!("TCP_NODELAY: {error}");
    }
    let task = async move {
        let shard = open.0.clone();
        crate::serve::connection(&shard, sock, peer, side).await;
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

/// Closes all that is of disks which have left the set.
fn follow_disks(shard: &Shard) {
    if let Some(set) = shard.volumes.follow() {
        opened::close_others(shard, &set);
        shard.routes.borrow_mut().clear();
    }
}

/// Closes objects that were replaced and connections to peers that idle, waits for the drain and then for the end of all
/// requests. A client that was just answered may have sent its next request before it read that the connection closes:
/// the end is taken for the end only after a moment's quiet.
async fn until_drained(shard: &Shard) {
    let tick = Duration::from_millis(20);
    let mut swept = shard.handle.now();
    while !shard.is_draining() {
        shard.handle.sleep(HOUSEKEEPING_TICK).await;
        opened::sweep(shard);
        follow_disks(shard);
        let now = shard.handle.now();
        if now - swept >= LINKS_SWEEP {
            shard.links.sweep(now);
            swept = now;
        }
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
