use openraft::testing::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::raft::db::Db;
use crate::raft::log::LogStore;
use crate::raft::machine::{Machine, Published};
use crate::raft::types::{StorageError, Types};

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError> {
        let dir = TempDir::new().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let machine = Machine::open(db.clone(), Published::default()).unwrap();
        Ok((dir, LogStore::new(db), machine))
    }
}

/// Each case opens a fresh file; the command default that openraft's entries need is blank.
#[test]
fn storage_keeps_what_raft_relies_on() {
    Suite::test_all(Builder).unwrap();
}
