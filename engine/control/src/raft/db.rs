//! The one file under a node's state directory: Raft's log, vote, snapshot, and this node's own identity.
//!
//! Every access runs on a blocking worker, so that Raft's thread never waits for a disk. A write transaction is
//! durable when its future resolves (redb syncs before it returns), except the hint of the last commit, which
//! Raft finds again by itself and which therefore rides on the next durable transaction.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ControlError, runtime};

/// Name of the file under the state directory.
pub(crate) const FILE_NAME: &str = "control.redb";
/// Raft log: index to postcard of the entry.
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
/// Single values, postcard: see the keys below.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Keys of [`META`].
pub(super) mod key {
    /// Version of this file's format.
    pub(crate) const FORMAT: &str = "format";
    /// [`super::super::node::Identity`]
    pub(crate) const IDENTITY: &str = "identity";
    /// Whether the node joins a cluster that was there before it; absent: it makes its own.
    pub(crate) const JOINS: &str = "joins";
    /// Whether a node that joins has been on the map: it does so once.
    pub(crate) const MEMBER: &str = "member";
    /// [`super::super::types::Vote`]
    pub(crate) const VOTE: &str = "vote";
    /// Last log ID known to be committed.
    pub(crate) const COMMITTED: &str = "committed";
    /// Last log ID that was purged.
    pub(crate) const PURGED: &str = "purged";
    /// Meta of the snapshot.
    pub(crate) const SNAPSHOT_META: &str = "snapshot_meta";
    /// The snapshot's bytes.
    pub(crate) const SNAPSHOT: &str = "snapshot";
}

/// The format written here; another one is refused.
const FORMAT: u32 = 1;
/// redb's page cache in bytes: the state is small and lives in memory anyway.
const CACHE_BYTES: usize = 8 << 20;

/// Anything that can go wrong with the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DbError {
    /// redb's own.
    #[error(transparent)]
    Redb(Box<redb::Error>),
    /// A value does not decode: the file is of another version or damaged.
    #[error("{what}: cannot decode: {error}")]
    Decode { what: String, error: postcard::Error },
    /// A value does not encode.
    #[error("{what}: cannot encode: {error}")]
    Encode { what: String, error: postcard::Error },
    /// The file was written by another version.
    #[error("format {got}, expected {FORMAT}")]
    Format { got: u32 },
    /// The worker died.
    #[error("storage worker failed: {0}")]
    Worker(String),
}

impl<E: Into<redb::Error>> From<E> for DbError {
    fn from(error: E) -> Self {
        Self::Redb(Box::new(error.into()))
    }
}

/// Postcard of `value`; `what` names it in the error.
pub(super) fn encode<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>, DbError> {
    postcard::to_stdvec(value).map_err(|error| DbError::Encode { what: what.into(), error })
}

/// Reads postcard; `what` names it in the error.
pub(super) fn decode<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, DbError> {
    postcard::from_bytes(bytes).map_err(|error| DbError::Decode { what: what.into(), error })
}

/// The open file, shared. redb holds a lock on it: a second process cannot open it.
#[derive(Clone)]
pub(crate) struct Db {
    database: Arc<Database>,
}

impl Db {
    /// Opens the file under `dir`, made with its directory if absent.
    pub(crate) fn open(dir: &Path) -> Result<Self, ControlError> {
        let path = dir.join(FILE_NAME);
        let wrap = |what: String| ControlError::State { path: path.clone(), what };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| wrap(e.to_string()))?;
        let fresh = !path.exists();
        let database =
            Database::builder().set_cache_size(CACHE_BYTES).create(&path).map_err(|e| match e {
                redb::DatabaseError::DatabaseAlreadyOpen => ControlError::Locked { path: path.clone() },
                e => wrap(e.to_string()),
            })?;
        let db = Self { database: Arc::new(database) };
        db.prepare().map_err(|e| wrap(e.to_string()))?;
        if fresh {
            // The name of a new file is durable only with its directory.
            let sync = |at: &Path| fs::File::open(at).and_then(|d| d.sync_all());
            sync(dir).map_err(|e| wrap(e.to_string()))?;
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync(parent).map_err(|e| wrap(e.to_string()))?;
            }
        }
        Ok(db)
    }

    /// Opens a file that is not the file system's.
    #[cfg(test)]
    pub(crate) fn over(file: impl redb::StorageBackend) -> Result<Self, DbError> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file)?;
        let db = Self { database: Arc::new(database) };
        db.prepare()?;
        Ok(db)
    }

    /// Makes the tables and checks the format, so that later reads find both.
    fn prepare(&self) -> Result<(), DbError> {
        let tx = self.database.begin_write()?;
        {
            tx.open_table(LOG)?;
            let mut meta = tx.open_table(META)?;
            let got = meta.get(key::FORMAT)?.map(|v| decode::<u32>(key::FORMAT, v.value())).transpose()?;
            match got {
                Some(FORMAT) => return Ok(()),
                Some(got) => return Err(DbError::Format { got }),
                None => meta.insert(key::FORMAT, encode(key::FORMAT, &FORMAT)?.as_slice())?,
            };
        }
        tx.commit()?;
        Ok(())
    }

    /// Runs `read` on a worker.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let database = self.database.clone();
        on_worker(move || read(&database.begin_read()?)).await
    }

    /// Runs `write` on a worker and makes it durable. An error leaves the file as it was.
    pub(super) async fn write(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), DbError> + Send + 'static,
    ) -> Result<(), DbError> {
        self.transact(Durability::Immediate, write).await
    }

    /// As [`Db::write`], but durable only together with a later write.
    pub(super) async fn write_lazily(
        &self,
        write: impl FnOnce(&WriteTransaction) -> Result<(), DbError> + Send + 'static,
    ) -> Result<(), DbError> {
        self.transact(Durability::None, write).await
    }

    /// Notes that this process has been on the map of the cluster it joined.
    pub(crate) async fn note_membership(&self) -> Result<(), DbError> {
        self.write(|tx| put(tx, key::MEMBER, &true)).await
    }

    async fn transact(
        &self,
        durability: Durability,
        write: impl FnOnce(&WriteTransaction) -> Result<(), DbError> + Send + 'static,
    ) -> Result<(), DbError> {
        let database = self.database.clone();
        on_worker(move || {
            let mut tx = database.begin_write()?;
            tx.set_durability(durability)?;
            write(&tx)?;
            tx.commit()?;
            Ok(())
        })
        .await
    }

    /// A single value, read where the caller stands: for start, before Raft runs.
    pub(super) fn value_now<T: DeserializeOwned>(&self, key: &'static str) -> Result<Option<T>, DbError> {
        value(&self.database.begin_read()?, key)
    }

    /// The snapshot's bytes, read where the caller stands: for start, before Raft runs.
    pub(super) fn snapshot_now(&self) -> Result<Option<Vec<u8>>, DbError> {
        let table = self.database.begin_read()?.open_table(META)?;
        Ok(table.get(key::SNAPSHOT)?.map(|v| v.value().to_vec()))
    }

    /// Writes a single value durably where the caller stands: for start, before Raft runs.
    pub(super) fn put_now<T: Serialize>(&self, key: &'static str, value: &T) -> Result<(), DbError> {
        let tx = self.database.begin_write()?;
        put(&tx, key, value)?;
        tx.commit()?;
        Ok(())
    }
}

async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DbError> + Send + 'static,
) -> Result<T, DbError> {
    runtime::on_worker(work).await.map_err(DbError::Worker)?
}

/// A single value of [`META`].
pub(super) fn value<T: DeserializeOwned>(tx: &ReadTransaction, key: &str) -> Result<Option<T>, DbError> {
    let table = tx.open_table(META)?;
    let found = table.get(key)?;
    found.map(|v| decode(key, v.value())).transpose()
}

/// Sets a single value of [`META`].
pub(super) fn put<T: Serialize>(tx: &WriteTransaction, key: &str, value: &T) -> Result<(), DbError> {
    tx.open_table(META)?.insert(key, encode(key, value)?.as_slice())?;
    Ok(())
}
