//! Raft's log and vote in redb.
//!
//! Promise: when a method resolves (and before its callback says so), what it wrote is durable. Raft calls them
//! one after the other, and each is awaited, so that a vote never overtakes an append.
//! Crash argument: each method is one redb transaction; after a crash it happened or did not.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader, StorageIOError};
use redb::ReadableTable;

use super::db::{self, Db, DbError, LOG, key};
use super::types::{Entry, LogId, StorageError, Types, Vote};
use crate::runtime::{Bug, planted};

/// The log; clones share the file.
#[derive(Clone)]
pub(crate) struct LogStore {
    db: Db,
}

impl LogStore {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }
}

/// openraft's error for a failed read or write of the log.
fn read_error(e: DbError) -> StorageError {
    StorageIOError::read_logs(&e).into()
}
fn write_error(e: DbError) -> StorageError {
    StorageIOError::write_logs(&e).into()
}

fn decode_entry(index: u64, bytes: &[u8]) -> Result<Entry, DbError> {
    db::decode(&format!("log entry {index}"), bytes)
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        let range: (Bound<u64>, Bound<u64>) = (range.start_bound().cloned(), range.end_bound().cloned());
        self.db
            .read(move |tx| {
                let table = tx.open_table(LOG)?;
                table
                    .range(range)?
                    .map(|row| {
                        let (index, bytes) = row?;
                        decode_entry(index.value(), bytes.value())
                    })
                    .collect()
            })
            .await
            .map_err(read_error)
    }

    /// Nothing where the first of them was purged: whoever led before may still be at sending it to somebody who knows of no other
    /// leader, and would take what is left as what follows. Who leads sends a snapshot instead.
    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let entries = self.try_get_log_entries(start..end).await?;
        let is_whole = entries.first().is_some_and(|first| first.log_id.index == start);
        Ok(if is_whole { entries } else { Vec::new() })
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        self.db
            .read(|tx| {
                let purged: Option<LogId> = db::value(tx, key::PURGED)?;
                let table = tx.open_table(LOG)?;
                let last = match table.last()? {
                    Some((index, bytes)) => Some(decode_entry(index.value(), bytes.value())?.log_id),
                    None => purged,
                };
                Ok(LogState { last_purged_log_id: purged, last_log_id: last })
            })
            .await
            .map_err(read_error)
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let vote = *vote;
        if planted(Bug::VoteNotSynced) {
            let written = self.db.write_lazily(move |tx| db::put(tx, key::VOTE, &vote)).await;
            return written.map_err(|e| StorageIOError::write_vote(&e).into());
        }
        self.db
            .write(move |tx| db::put(tx, key::VOTE, &vote))
            .await
            .map_err(|e| StorageIOError::write_vote(&e).into())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.db.read(|tx| db::value(tx, key::VOTE)).await.map_err(|e| StorageIOError::read_vote(&e).into())
    }

    /// A hint: Raft commits again what it finds in the log, so this need not be durable by itself.
    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.db.write_lazily(move |tx| db::put(tx, key::COMMITTED, &committed)).await.map_err(write_error)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let read = self.db.read(|tx| db::value::<Option<LogId>>(tx, key::COMMITTED)).await;
        read.map(Option::flatten).map_err(read_error)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let written = self
            .db
            .write(move |tx| {
                let mut table = tx.open_table(LOG)?;
                for entry in &entries {
                    let index = entry.log_id.index;
                    table.insert(index, db::encode("log entry", entry)?.as_slice())?;
                }
                Ok(())
            })
            .await;
        match written {
            Ok(()) => {
                callback.log_io_completed(Ok(()));
                Ok(())
            }
            Err(e) => {
                callback.log_io_completed(Err(std::io::Error::other(e.to_string())));
                Err(write_error(e))
            }
        }
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.db
            .write(move |tx| {
                tx.open_table(LOG)?.retain_in(log_id.index.., |_, _| false)?;
                Ok(())
            })
            .await
            .map_err(write_error)
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.db
            .write(move |tx| {
                db::put(tx, key::PURGED, &log_id)?;
                tx.open_table(LOG)?.retain_in(..=log_id.index, |_, _| false)?;
                Ok(())
            })
            .await
            .map_err(write_error)
    }
}
