//! A node's life.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_cluster::{NetInfo, NodeId};
use weir_control::{Control, ControlConfig, ControlHandle, PeersConfig};
use weir_origin::{Credentials, Origins, OriginsConfig};
use weir_ring::{ReactorConfig, mailbox, sys};
use weir_shard::{
    Closed, Drain, Identity, Loads, PromoteDirs, Reading, ShardConfig, ShardError, ShardMetrics, Shared,
    WalkerThread,
};
use weir_store::BootId;
use weir_types::{Provider, limits};

use crate::backend::NodeBackend;
use crate::bounds::MemoryBounds;
use crate::health::HealthChecks;
use crate::keeper::{Keeper, KeeperConfig, KeeperThread};
use crate::lock::Locks;
use crate::port::Port;
use crate::signals::StopSignals;
use crate::{NodeConfig, NodeError, keys, memory};

/// Files that one shard may keep open beside its connections.
const FILES_PER_SHARD: u64 = 512;

/// The limit of open files to reckon with where it cannot be learnt.
const FILES_MIN: u64 = 1024;

/// The part of the node's memory that small objects in demand may take, at most: one in so many.
const HOT_SHARE: u64 = 16;

/// A running node.
pub struct Node {
    config: NodeConfig,
    shared: Option<Arc<Shared>>,
    shards: Vec<JoinHandle<()>>,
    control: ControlHandle,
    keeper: Option<KeeperThread>,
    walker: Option<WalkerThread>,
    origins: Option<Origins>,
    ready: Arc<AtomicBool>,
    stop_signals: StopSignals,
    _locks: Locks,
}

impl Node {
    /// Starts every part; when this returns the node listens and is ready.
    pub fn start(config: NodeConfig) -> Result<Self, NodeError> {
        config.check()?;
        let stop_signals = StopSignals::listen()?;
        make_dir(&config.dir)?;
        for path in &config.mountpaths {
            make_dir(path)?;
        }
        let locks = Locks::take(&config.dir, config.listeners().map(|(_, address)| address))?;
        let cpus = Cpus::of(&config);
        let open_files = raise_limits(&config);
        let control_config = control_config(&config, &cpus)?;
        let identity = Control::identity(&control_config).map_err(control_error)?;
        let closed = Closed::until_heeded();
        let boot = sys::boot_id().map_err(|error| NodeError::Io { what: "boot ID".into(), error })?;
        let keeper_config = KeeperConfig {
            dir: config.dir.clone(),
            cluster: identity.cluster.to_string(),
            node: identity.target.to_string(),
            of_several: config.intra_control.is_some(),
            cpu: cpus.control,
            boot: BootId(boot),
            closed: closed.clone(),
        };
        let keeper = Keeper::open(keeper_config, &config.mountpaths)?;
        let (disks, labels) = (keeper.disks(), keeper.labels());
        let walker = WalkerThread::start(disks.clone()).map_err(shard_error)?;
        let keeper = keeper.run(walker.port.clone())?;
        let origins = origins(&config)?;
        let promote = PromoteDirs::new(&config.promote_dirs);
        let metrics: Vec<_> = (0..config.shard_count()).map(|_| Arc::new(ShardMetrics::default())).collect();
        let ready = Arc::new(AtomicBool::new(false));
        let (senders, inbound): (Vec<_>, Vec<_>) =
            metrics.iter().map(|_| mailbox(limits::HANDOVER_QUEUE_MAX)).unzip();
        let backend = NodeBackend {
            disks: disks.clone(),
            walker: walker.port.clone(),
            keeper: keeper.port.clone(),
            origins: origins.as_ref().map(Origins::handle),
            metrics: metrics.clone(),
            ready: ready.clone(),
            shards: senders.clone(),
            turn: AtomicUsize::default(),
            promote: promote.clone(),
            labels,
            health: HealthChecks::default(),
        };
        // Before the cluster counts on this node: names are its own from then on.
        let mut starting = Vec::with_capacity(inbound.len());
        for (index, inbound) in inbound.into_iter().enumerate() {
            starting.push(StartingShard::spawn(ShardConfig {
                index,
                listen: config.listen,
                listen_peers: config.intra_data,
                reactor: reactor(&config, &cpus, index),
                inbound,
                reading: reading(&config, open_files),
            })?);
        }
        let control = Control::start(control_config, Arc::new(backend)).map_err(control_error)?;
        closed.heed(control.views(), control.lease(), disks.clone());
        walker.port.moves().heed(control.views());
        let shared = Arc::new(Shared {
            view: control.views(),
            lease: control.lease(),
            gate: keys::gate(&config, identity.cluster.as_str())?,
            vouching: keys::vouching(&config, &identity)?,
            control: Arc::new(Port(control.clone())),
            origins: origins.as_ref().map(Origins::handle),
            disks,
            walker: walker.port.clone(),
            loads: Loads::new(metrics.len()),
            metrics,
            inbound: senders,
            identity: Identity { gateway: identity.gateway, target: identity.target },
            drain: Drain::default(),
            s3_domain: config.s3_domain.clone(),
            promote,
        });
        let mut node = Self {
            shared: Some(shared.clone()),
            shards: Vec::new(),
            control,
            keeper: Some(keeper),
            walker: Some(walker),
            origins,
            ready,
            stop_signals,
            _locks: locks,
            config,
        };
        for shard in starting {
            match shard.begin(shared.clone()) {
                Ok(thread) => node.shards.push(thread),
                Err(error) => {
                    drop(shared);
                    node.stop(Duration::ZERO);
                    return Err(error);
                }
            }
        }
        node.ready.store(true, Ordering::Relaxed);
        node.print_limits();
        Ok(node)
    }

    /// URLs to reach it by.
    pub fn endpoints(&self) -> Vec<String> {
        vec![format!("http://{}", self.config.listen)]
    }

    /// Waits for SIGINT or SIGTERM; returns at once when one came since the start.
    pub fn wait(&mut self) {
        self.stop_signals.wait();
    }

    /// Accepts no more, lets requests under way end for at most `drain`, and takes everything down.
    pub fn stop(mut self, drain: Duration) {
        self.ready.store(false, Ordering::Relaxed);
        if let Some(shared) = self.shared.take() {
            shared.drain.begin(drain);
        }
        for shard in self.shards.drain(..) {
            joined("shard", shard.join());
        }
        self.control.join();
        let Self { control, keeper, walker, origins, .. } = self;
        // The last way to the walker goes with the control core's backend and the keeper, which waits for the committers.
        drop(control);
        drop(origins);
        if let Some(keeper) = keeper {
            joined("disks", keeper.join());
        }
        if let Some(walker) = walker {
            joined("walker", walker.join());
        }
    }

    fn print_limits(&self) {
        let shards = self.config.shard_count();
        let mountpaths = self.config.mountpaths.len();
        tracing::info!(
            "listening on {}: {shards} shards, {mountpaths} disks; journals: 2 x {} MiB a disk for changes of up to {} KiB, in their \
             files {} ms after the last change and {} ms after their own at most; memory bounds: {}; up to {} objects kept open, {} \
             whose copies are made after the answer",
            self.config.listen,
            limits::JOURNAL_SEGMENT_BYTES >> 20,
            limits::JOURNAL_OBJECT_BYTES_MAX >> 10,
            limits::JOURNAL_IDLE_MILLIS,
            limits::JOURNAL_AGE_MILLIS_MAX,
            MemoryBounds::of(shards, self.config.buffers, mountpaths, hot_bytes()),
            limits::OPEN_OBJECTS_MAX,
            limits::COPIES_AFTER_MAX,
        );
        if let Some(address) = self.config.intra_control {
            tracing::info!(
                "nodes are answered on {address}: {} connections, requests of up to {} MiB; a lease lasts {} ms",
                limits::PEER_CONNECTIONS_MAX,
                limits::PEER_BODY_BYTES_MAX >> 20,
                limits::LEASE_MILLIS,
            );
        }
        if let Some(address) = self.config.intra_data {
            tracing::info!(
                "nodes pass requests on to {address}: {} connections beyond those of clients; up to {} requests are passed on at \
                 once, {} to one node, {} KiB each; pages of listings of up to {} MiB",
                shards * limits::RELAYED_CONNECTIONS_MAX,
                shards * limits::RELAYS_MAX,
                shards * limits::RELAYS_TO_ONE_MAX,
                limits::RELAY_BUFFER_BYTES >> 10,
                limits::PEER_PAGE_BYTES_MAX >> 20,
            );
        }
    }
}

/// Memory for small objects in demand: less where there is little.
fn hot_bytes() -> usize {
    let share = memory::bytes_max().map_or(u64::MAX, |bytes| bytes / HOT_SHARE);
    usize::try_from(share).unwrap_or(usize::MAX).min(limits::HOT_BYTES_MAX)
}

/// Which CPU each thread gets.
struct Cpus {
    shards: Vec<usize>,
    control: Option<usize>,
    /// Shards share cores with each other, with control, or with other processes: nobody may spin.
    shared: bool,
}

impl Cpus {
    fn of(config: &NodeConfig) -> Self {
        let all = sys::cpus_allowed().unwrap_or_default();
        let shards = config.shard_count();
        let shared = !config.pin || shards >= all.len();
        if !config.pin || all.is_empty() {
            return Self { shards: Vec::new(), control: None, shared };
        }
        let control = all.last().copied();
        Self { shards: all.into_iter().take(shards).collect(), control, shared }
    }

    fn shard(&self, index: usize) -> Option<usize> {
        self.shards.get(index % self.shards.len().max(1)).copied()
    }
}

fn make_dir(path: &PathBuf) -> Result<(), NodeError> {
    std::fs::create_dir_all(path)
        .map_err(|error| NodeError::Io { what: format!("directory {}", path.display()), error })
}

/// Raises what can be raised; the limit of open files then in force.
fn raise_limits(config: &NodeConfig) -> u64 {
    match sys::raise_limits() {
        Ok(limits) => {
            let wanted = config.shard_count() as u64 * FILES_PER_SHARD;
            if limits.open_files < wanted {
                tracing::warn!(
                    "only {} files may be open: connections beyond that are refused (ulimit -n)",
                    limits.open_files
                );
            }
            limits.open_files
        }
        Err(error) => {
            tracing::warn!("limits of open files and locked memory not raised: {error}");
            FILES_MIN
        }
    }
}

fn control_config(config: &NodeConfig, cpus: &Cpus) -> Result<ControlConfig, NodeError> {
    let net = |host: &str, listen: SocketAddr| match host {
        "" => NetInfo::new(listen.ip().to_string(), listen.port()),
        host => NetInfo::new(host, listen.port()),
    };
    let id = |place: &str, id: &str| {
        let bad =
            |e: weir_cluster::ClusterError| NodeError::Config { place: place.into(), got: e.to_string() };
        (!id.is_empty()).then(|| NodeId::new(id).map_err(bad)).transpose()
    };
    let public = net(&config.advertise.public, config.listen);
    let intra =
        |host: &str, listen: Option<SocketAddr>| listen.map_or_else(|| public.clone(), |l| net(host, l));
    let peers = match config.intra_control {
        None => None,
        Some(listen) => {
            Some(PeersConfig { listen, seeds: config.seeds.clone(), key: keys::peer_key(config)? })
        }
    };
    Ok(ControlConfig {
        roles: config.role,
        peers,
        gateway: id("gateway_id", &config.gateway_id)?,
        target: id("target_id", &config.target_id)?,
        intra_control: intra(&config.advertise.intra_control, config.intra_control),
        intra_data: intra(&config.advertise.intra_data, config.intra_data),
        cpu: cpus.control,
        ..ControlConfig::new(config.dir.join("control"), public.clone())
    })
}

fn origins(config: &NodeConfig) -> Result<Option<Origins>, NodeError> {
    if config.origins.is_empty() && !config.bucket_endpoints {
        return Ok(None);
    }
    let mut all = Vec::with_capacity(config.origins.len());
    for o in &config.origins {
        let provider = Provider::parse(&o.provider).filter(|p| *p == Provider::Aws).ok_or_else(|| {
            NodeError::Config {
                place: "origins.provider".into(),
                got: format!("{:?}; expected s3", o.provider),
            }
        })?;
        let credentials = if o.access_key.is_empty() {
            Credentials::from_env()
        } else {
            Credentials::key(o.access_key.clone(), o.secret_key.clone())
        };
        all.push(weir_origin::OriginConfig {
            provider,
            region: o.region.clone(),
            credentials,
            ..weir_origin::OriginConfig::s3(o.endpoint.clone())
        });
    }
    let started = Origins::start(OriginsConfig {
        origins: all,
        bucket_endpoints: config.bucket_endpoints,
        ..OriginsConfig::default()
    });
    Ok(Some(started.map_err(|e| NodeError::Origin(e.to_string()))?))
}

fn reactor(config: &NodeConfig, cpus: &Cpus, index: usize) -> ReactorConfig {
    ReactorConfig {
        spin: Duration::from_micros(if cpus.shared { 0 } else { config.spin_us }),
        buffers: config.buffers,
        cpu: cpus.shard(index),
        ..ReactorConfig::default()
    }
}

/// A shard's share of what the node's shards may keep of objects.
fn reading(config: &NodeConfig, open_files: u64) -> Reading {
    let shards = config.shard_count();
    let files = usize::try_from(open_files / 4).unwrap_or(usize::MAX);
    Reading {
        open_files: files.min(limits::OPEN_OBJECTS_MAX) / shards,
        hot_bytes: hot_bytes() / shards,
        zero_copy: config.zero_copy,
        page_cache_bytes: memory::bytes_max().unwrap_or(u64::MAX) / shards as u64,
    }
}

/// A shard whose memory and rings are being set up, and which waits for what it shares with others. It ends when this is dropped.
struct StartingShard {
    thread: JoinHandle<()>,
    shared: mpsc::SyncSender<Arc<Shared>>,
    started: mpsc::Receiver<Result<(), ShardError>>,
}

impl StartingShard {
    fn spawn(config: ShardConfig) -> Result<Self, NodeError> {
        let (tell, started) = mpsc::sync_channel(1);
        let (shared, shares) = mpsc::sync_channel(1);
        let name = format!("shard-{}", config.index);
        let ready = move |result| drop(tell.send(result));
        let thread = std::thread::Builder::new()
            .name(name.clone())
            .spawn(move || weir_shard::run(config, || shares.recv().ok(), ready))
            .map_err(|error| NodeError::Io { what: name, error })?;
        Ok(Self { thread, shared, started })
    }

    /// Has it serve; returns when it listens.
    fn begin(self, shared: Arc<Shared>) -> Result<JoinHandle<()>, NodeError> {
        // Where it has ended already it says why.
        let _ = self.shared.send(shared);
        match self.started.recv() {
            Ok(Ok(())) => Ok(self.thread),
            Ok(Err(error)) => Err(shard_error(error)),
            Err(_) => {
                let name = self.thread.thread().name().unwrap_or("a shard");
                Err(NodeError::Ring(format!("{name} ended before it was ready")))
            }
        }
    }
}

fn joined(what: &str, result: std::thread::Result<()>) {
    if result.is_err() {
        tracing::error!("a {what} thread had panicked");
    }
}

fn control_error(error: weir_control::ControlError) -> NodeError {
    NodeError::Control(error.to_string())
}

pub(crate) fn shard_error(error: weir_shard::ShardError) -> NodeError {
    match error {
        weir_shard::ShardError::Ring(error) => NodeError::Ring(error.to_string()),
        weir_shard::ShardError::Io { what, error } => NodeError::Io { what, error },
        weir_shard::ShardError::Mountpath { path, error } => {
            NodeError::Mountpath { path, why: error.to_string() }
        }
    }
}
