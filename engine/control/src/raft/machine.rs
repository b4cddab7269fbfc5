//! The state machine: applies committed entries in memory, publishes each new view, and keeps a snapshot in redb.
//!
//! The state itself is not stored: after a start it is the snapshot plus the log behind it. A snapshot is one redb
//! transaction, and Raft purges only entries that a stored snapshot has; so a crash anywhere loses nothing.
//! Applying and encoding run on a worker: with thousands of buckets both take longer than Raft's thread may wait.

use std::io::Cursor;
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError};
use parking_lot::Mutex;
use weir_cluster::{ClusterView, Me};

use super::command::Answer;
use super::db::{self, Db, DbError, META, key};
use super::state::State;
use super::types::{Entry, LogId, SnapshotMeta, StorageError, StoredMembership, Types};
use crate::runtime;

/// Where views are published. Holds nothing until the cluster is made.
#[derive(Clone, Default)]
pub(crate) struct Published {
    views: Arc<OnceLock<Arc<ArcSwap<ClusterView>>>>,
    me: Arc<Me>,
}

impl Published {
    /// A place for the views of the process that is `me`.
    pub(crate) fn new(me: Me) -> Self {
        Self { views: Arc::default(), me: Arc::new(me) }
    }

    /// Whose views these are.
    pub(crate) fn me(&self) -> &Me {
        &self.me
    }

    /// The place that readers load views from, once there is a first one.
    pub(crate) fn views(&self) -> Option<&Arc<ArcSwap<ClusterView>>> {
        self.views.get()
    }

    fn publish(&self, view: &ClusterView) {
        let view = Arc::new(ClusterView { me: self.me.clone(), ..view.clone() });
        match self.views.get() {
            #[cfg(debug_assertions)]
            Some(views) if self.lateness().is_some() => {
                let (views, late) = (views.clone(), self.lateness().unwrap_or_default());
                std::thread::spawn(move || {
                    std::thread::sleep(late);
                    if views.load().index < view.index {
                        views.store(view);
                    }
                });
            }
            Some(views) => views.store(view),
            None => {
                // Only the state machine publishes, so nobody can have been faster.
                let _ = self.views.set(Arc::new(ArcSwap::new(view)));
            }
        }
    }

    /// By how much a planted bug delays views here.
    #[cfg(debug_assertions)]
    fn lateness(&self) -> Option<std::time::Duration> {
        let id = self.me.gateway.as_ref().or(self.me.target.as_ref())?;
        crate::runtime::lateness(id.as_str())
    }
}

/// The state with what Raft must know of it.
#[derive(Clone, Default)]
struct Current {
    state: State,
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl Current {
    /// Applies one committed entry.
    fn apply(&mut self, entry: Entry) -> Answer {
        self.applied = Some(entry.log_id);
        let index = entry.log_id.index;
        match entry.payload {
            EntryPayload::Normal(command) => match self.state.apply(index, command) {
                Ok(applied) => Answer::Applied(applied),
                Err(refused) => Answer::Refused(refused),
            },
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                self.state.advance(index);
                Answer::None
            }
            EntryPayload::Blank => {
                self.state.advance(index);
                Answer::None
            }
        }
    }

    fn snapshot_meta(&self) -> SnapshotMeta {
        let snapshot_id = match self.applied {
            Some(id) => format!("{}-{}", id.leader_id, id.index),
            None => "empty".into(),
        };
        SnapshotMeta { last_log_id: self.applied, last_membership: self.membership.clone(), snapshot_id }
    }
}

/// The state machine of this node.
pub(crate) struct Machine {
    db: Db,
    current: Arc<Mutex<Current>>,
    published: Published,
}

impl Machine {
    /// The state of the stored snapshot, or the empty one.
    pub(crate) fn open(db: Db, published: Published) -> Result<Self, DbError> {
        let mut current = Current::default();
        if let Some(meta) = db.value_now::<SnapshotMeta>(key::SNAPSHOT_META)? {
            let bytes = db.snapshot_now()?.unwrap_or_default();
            current = restored(&meta, &bytes)?;
        }
        if let Some(view) = current.state.view() {
            published.publish(view);
        }
        Ok(Self { db, current: Arc::new(Mutex::new(current)), published })
    }
}

fn restored(meta: &SnapshotMeta, bytes: &[u8]) -> Result<Current, DbError> {
    let state = State::decode(bytes).map_err(|error| DbError::Decode { what: "snapshot".into(), error })?;
    Ok(Current { state, applied: meta.last_log_id, membership: meta.last_membership.clone() })
}

/// Stores a snapshot, meta and bytes in one transaction.
async fn store(db: &Db, meta: SnapshotMeta, bytes: Vec<u8>) -> Result<(), DbError> {
    db.write(move |tx| {
        db::put(tx, key::SNAPSHOT_META, &meta)?;
        tx.open_table(META)?.insert(key::SNAPSHOT, bytes.as_slice())?;
        Ok(())
    })
    .await
}

async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    runtime::on_worker(work).await.map_err(DbError::Worker)?
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let current = self.current.lock();
        Ok((current.applied, current.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Answer>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let (current, published) = (self.current.clone(), self.published.clone());
        let answers = on_worker(move || {
            let mut current = current.lock();
            let answers: Vec<Answer> = entries.into_iter().map(|entry| current.apply(entry)).collect();
            // Before anybody is answered: who is told that it happened must find it.
            if let Some(view) = current.state.view() {
                published.publish(view);
            }
            Ok(answers)
        });
        answers.await.map_err(|e| StorageIOError::write_state_machine(&e).into())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { db: self.db.clone(), current: self.current.lock().clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Cursor<Vec<u8>>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Cursor<Vec<u8>>>,
    ) -> Result<(), StorageError> {
        let failed = |e: DbError| -> StorageError {
            StorageIOError::write_snapshot(Some(meta.signature()), &e).into()
        };
        let (bytes, of) = (snapshot.into_inner(), meta.clone());
        let (next, bytes) = on_worker(move || Ok((restored(&of, &bytes)?, bytes))).await.map_err(failed)?;
        store(&self.db, meta.clone(), bytes).await.map_err(failed)?;
        if let Some(view) = next.state.view() {
            self.published.publish(view);
        }
        *self.current.lock() = next;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        let read = self.db.read(|tx| {
            let Some(meta) = db::value::<SnapshotMeta>(tx, key::SNAPSHOT_META)? else {
                return Ok(None);
            };
            let bytes =
                tx.open_table(META)?.get(key::SNAPSHOT)?.map(|v| v.value().to_vec()).unwrap_or_default();
            Ok(Some(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) }))
        });
        read.await.map_err(|e| StorageIOError::read_snapshot(None, &e).into())
    }
}

/// Makes a snapshot of the state as it was when asked for.
pub(crate) struct Builder {
    db: Db,
    current: Current,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let meta = self.current.snapshot_meta();
        let failed = |e: DbError| -> StorageError {
            StorageIOError::write_snapshot(Some(meta.signature()), &e).into()
        };
        let state = self.current.state.clone();
        let encode =
            move || state.encode().map_err(|error| DbError::Encode { what: "snapshot".into(), error });
        let bytes = on_worker(encode).await.map_err(failed)?;
        store(&self.db, meta.clone(), bytes.clone()).await.map_err(failed)?;
        Ok(Snapshot { meta, snapshot: Box::new(Cursor::new(bytes)) })
    }
}
