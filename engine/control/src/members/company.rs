use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use weir_cluster::Node;

use super::Leading;
use crate::peers::Peers;
use crate::raft::db::Db;
use crate::runtime;

/// What a process that is one of several needs of the others.
pub(crate) struct Company {
    pub(crate) peers: Arc<Peers>,
    /// `host:port` of control listeners to try when the leader is not known.
    pub(super) seeds: Vec<String>,
    /// This process's nodes as they are to be on the map, the gateway first.
    pub(crate) nodes: Vec<Node>,
    /// Chosen by chance at the start, to tell it from an earlier one.
    pub(super) life: u64,
    /// Whether it has never been on the map.
    pub(super) fresh: AtomicBool,
    /// What the leader challenged it with while it was new.
    pub(super) nonce: Mutex<Option<u64>>,
    /// While it leads.
    pub(crate) leading: Mutex<Option<Leading>>,
    /// Processes that are being taken in.
    pub(super) admitting: Mutex<HashSet<String>>,
    /// Held by who is being added to the members of Raft: it takes one at a time.
    pub(super) adding: tokio::sync::Mutex<()>,
    /// Whether the set of voters is being changed.
    pub(super) voting: AtomicBool,
    /// Told when a lease came.
    pub(crate) lent: Notify,
    /// Why the cluster does not take this process, if it said so.
    pub(crate) refused: Mutex<Option<String>>,
    pub(super) db: Db,
}

impl Company {
    pub(crate) fn new(peers: Arc<Peers>, seeds: Vec<String>, nodes: Vec<Node>, fresh: bool, db: Db) -> Self {
        Self {
            peers,
            seeds,
            nodes,
            life: u64::from_le_bytes(runtime::random()),
            fresh: AtomicBool::new(fresh),
            nonce: Mutex::default(),
            leading: Mutex::default(),
            admitting: Mutex::default(),
            adding: tokio::sync::Mutex::default(),
            voting: AtomicBool::new(false),
            lent: Notify::new(),
            refused: Mutex::default(),
            db,
        }
    }

    /// Whether it has still to be taken in by the cluster.
    pub(crate) fn joins(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
    }
}
