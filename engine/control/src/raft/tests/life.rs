use std::path::Path;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt, RaftStateMachine};
use openraft::{CommittedLeaderId, EntryPayload, RaftLogReader, RaftSnapshotBuilder};
use proptest::prelude::*;
use weir_cluster::{BucketPropsPatch, ClusterView, ConfigPatch, NetInfo, Node, NodeId, Role};
use weir_types::{Bucket, BucketName, Provider};

use crate::raft::command::{Command, Refused};
use crate::raft::db::Db;
use crate::raft::log::LogStore;
use crate::raft::machine::{Machine, Published};
use crate::raft::node::{RaftNode, identity};
use crate::raft::state::State;
use crate::raft::types::{Entry, LogId, SnapshotMeta};
use crate::{ControlConfig, ControlError};

fn config(dir: &Path) -> ControlConfig {
    ControlConfig::new(dir, NetInfo::new("127.0.0.1", 8080))
}

async fn start(config: &ControlConfig) -> RaftNode {
    let db = Db::open(&config.state_dir).unwrap();
    let identity = identity(&db, config).await.unwrap();
    let node = RaftNode::begin(db, identity, config).await.unwrap();
    node.settle(config, 77).await.unwrap();
    node
}

fn bucket(name: &str) -> Bucket {
    Bucket::global(Provider::Ais, BucketName::new(name).unwrap())
}

fn create(name: &str) -> Command {
    Command::CreateBucket { bucket: bucket(name), props: patch(&[]), now_ns: 5 }
}

fn patch(pairs: &[(&str, &str)]) -> BucketPropsPatch {
    BucketPropsPatch::new(pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())), false).unwrap()
}

fn names(view: &ClusterView) -> Vec<String> {
    view.bmd.iter().map(|(b, _)| b.to_string()).collect()
}

#[tokio::test]
async fn restart_keeps_identity_term_and_state() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let node = start(&config).await;
    let applied = node.propose(create("b1")).await.unwrap();
    assert_eq!(applied.bucket.unwrap().created_ns, 5);
    let set = ConfigPatch::new([("checksum.type".into(), "md5".into())], false).unwrap();
    node.propose(Command::SetConfig { config: set, now_ns: 9 }).await.unwrap();
    let (before, progress, id) = (node.view().unwrap(), node.progress(), node.identity().clone());
    assert!(before.index >= applied.index && progress.leads);
    assert_eq!((before.config_version, before.config_updated_ns), (2, 9));
    assert_eq!(before.smap.created_ns, 77);
    node.shutdown().await;
    drop(node);

    let node = start(&config).await;
    let after = node.view().unwrap();
    assert_eq!(node.identity(), &id);
    assert_eq!(node.progress().term, progress.term);
    assert_eq!((&after.smap, &after.bmd, &after.config), (&before.smap, &before.bmd, &before.config));
    assert!(after.index >= before.index);
    assert_eq!(after.smap.uuid, id.cluster);
    assert_eq!(after.smap.owner(1).unwrap().id, id.target);
    // The next command goes on where the last one ended.
    assert!(node.propose(create("b2")).await.unwrap().index > applied.index);
    node.shutdown().await;
}

#[tokio::test]
async fn a_changed_address_is_on_the_map_after_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    start(&config).await.shutdown().await;
    config.public = NetInfo::new("10.0.0.1", 9);
    let node = start(&config).await;
    let view = node.view().unwrap();
    assert_eq!(view.smap.primary_node().unwrap().public.to_string(), "http://10.0.0.1:9");
    assert_eq!(view.smap.targets.len(), 1);
    node.shutdown().await;
}

#[tokio::test]
async fn one_file_one_process_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let node = start(&config).await;
    assert!(matches!(Db::open(dir.path()), Err(ControlError::Locked { .. })));
    node.shutdown().await;
    drop(node);
    config.gateway = Some(NodeId::new("otherone1").unwrap());
    let db = Db::open(dir.path()).unwrap();
    let refused = identity(&db, &config).await.unwrap_err();
    assert!(matches!(refused, ControlError::Identity { role: "gateway", .. }), "{refused}");
}

/// The process dies after the entry is on disk and before it is applied: the next start applies it.
#[tokio::test]
async fn an_appended_entry_survives_death_before_its_application() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let node = start(&config).await;
    node.propose(create("b1")).await.unwrap();
    node.shutdown().await;
    drop(node);

    let db = Db::open(dir.path()).unwrap();
    let mut log = LogStore::new(db);
    let state = log.get_log_state().await.unwrap();
    let last = state.last_log_id.unwrap();
    let log_id = LogId::new(last.leader_id, last.index + 1);
    log.blocking_append([Entry { log_id, payload: EntryPayload::Normal(create("late")) }]).await.unwrap();
    drop(log);

    let node = start(&config).await;
    assert_eq!(names(&node.view().unwrap()), ["ais://b1", "ais://late"]);
    node.shutdown().await;
}

/// The state file as it is at every moment of a run is a whole state: what was acknowledged by then is in it.
#[tokio::test]
async fn a_copy_of_the_file_at_any_ack_has_every_ack() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.snapshot_entries = 4;
    let node = start(&config).await;
    let id = node.identity().clone();
    let file = |dir: &Path| dir.join(crate::raft::db::FILE_NAME);
    for i in 0..12 {
        node.propose(create(&format!("b{i:02}"))).await.unwrap();
        // What a kill -9 leaves is what the page cache has: the file as it reads now.
        let killed = tempfile::tempdir().unwrap();
        std::fs::copy(file(dir.path()), file(killed.path())).unwrap();
        let config = ControlConfig { state_dir: killed.path().into(), ..config.clone() };
        let again = start(&config).await;
        let expected: Vec<String> = (0..=i).map(|i| format!("ais://b{i:02}")).collect();
        assert_eq!(names(&again.view().unwrap()), expected);
        assert_eq!(again.identity(), &id);
        again.shutdown().await;
    }
    node.shutdown().await;
}

#[tokio::test]
async fn concurrent_commands_are_all_answered_and_seen_by_who_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(&config(dir.path())).await;
    let run = |i: usize| {
        let node = node.clone();
        async move {
            let name = format!("b{}", i % 20);
            let result = node.propose(create(&name)).await;
            let view = node.view().unwrap();
            assert!(view.bmd.get(&bucket(&name)).is_some(), "answered before it was published");
            if let Ok(applied) = &result {
                assert!(view.index >= applied.index);
            }
            result
        }
    };
    let results = futures_util::future::join_all((0..60).map(run)).await;
    let refused =
        results.iter().filter(|r| matches!(r, Err(ControlError::Refused(Refused::BucketExists(_)))));
    assert_eq!((results.iter().filter(|r| r.is_ok()).count(), refused.count()), (20, 40));
    let bids: std::collections::BTreeSet<u64> = node.view().unwrap().bmd.iter().map(|(_, i)| i.bid).collect();
    assert_eq!(bids.len(), 20);
    node.shutdown().await;
}

#[tokio::test]
async fn compaction_drops_the_log_and_keeps_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let config = ControlConfig { snapshot_entries: 8, ..config(dir.path()) };
    let node = start(&config).await;
    for i in 0..40 {
        node.propose(create(&format!("b{i:02}"))).await.unwrap();
    }
    node.raft().wait(None).metrics(|m| m.purged.is_some_and(|p| p.index > 10), "purged").await.unwrap();
    let before = node.view().unwrap();
    node.shutdown().await;
    drop(node);

    let db = Db::open(dir.path()).unwrap();
    let first = LogStore::new(db.clone()).try_get_log_entries(0..).await.unwrap()[0].log_id.index;
    assert!(first > 10, "{first}");
    drop(db);
    let node = start(&config).await;
    assert_eq!(node.view().unwrap().bmd, before.bmd);
    node.shutdown().await;
}

#[tokio::test]
async fn a_snapshot_installs_elsewhere_and_survives_reopening() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(&config(from.path())).await;
    node.propose(create("b1")).await.unwrap();
    node.raft().trigger().snapshot().await.unwrap();
    node.raft().wait(None).metrics(|m| m.snapshot.is_some(), "snapshot").await.unwrap();
    let snapshot = node.raft().get_snapshot().await.unwrap().unwrap();
    let original = node.view().unwrap();
    node.shutdown().await;

    let published = Published::new(weir_cluster::Me::clone(&original.me));
    let mut machine = Machine::open(Db::open(to.path()).unwrap(), published.clone()).unwrap();
    assert!(published.views().is_none());
    machine.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
    assert_eq!(*published.views().unwrap().load_full(), *original);
    // Damaged bytes are refused and change nothing.
    let meta = SnapshotMeta { snapshot_id: "bad".into(), ..snapshot.meta.clone() };
    assert!(machine.install_snapshot(&meta, Box::new(std::io::Cursor::new(vec![1, 255]))).await.is_err());
    assert_eq!(*published.views().unwrap().load_full(), *original);
    drop(machine);

    let published = Published::new(weir_cluster::Me::clone(&original.me));
    let mut machine = Machine::open(Db::open(to.path()).unwrap(), published.clone()).unwrap();
    assert_eq!(*published.views().unwrap().load_full(), *original);
    assert_eq!(machine.applied_state().await.unwrap().0, snapshot.meta.last_log_id);
    let again = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    assert_eq!(again.meta.last_log_id, snapshot.meta.last_log_id);
}

#[tokio::test]
async fn a_change_that_no_request_could_carry_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(&config(dir.path())).await;
    let host = "x".repeat(weir_types::limits::COMMAND_BYTES_MAX);
    let big = Node::new(NodeId::new("target99").unwrap(), Role::Target, NetInfo::new(host, 1));
    let before = node.progress().last_log;
    let refused = node.propose(Command::PutNode(Box::new(big))).await.map(drop);
    assert!(matches!(refused, Err(ControlError::Refused(Refused::Invalid(_)))), "{refused:?}");
    assert_eq!(node.progress().last_log, before);
    node.shutdown().await;
}

#[tokio::test]
async fn a_vote_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let vote = openraft::Vote::new(3, 7);
    let mut log = LogStore::new(Db::open(dir.path()).unwrap());
    log.save_vote(&vote).await.unwrap();
    drop(log);
    let mut log = LogStore::new(Db::open(dir.path()).unwrap());
    assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    let id = LogId::new(CommittedLeaderId::new(3, 7), 0);
    log.blocking_append([Entry { log_id: id, payload: EntryPayload::Blank }]).await.unwrap();
    assert_eq!(log.get_log_state().await.unwrap().last_log_id, Some(id));
}

#[tokio::test]
async fn what_was_purged_leaves_no_hole_in_what_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::new(Db::open(dir.path()).unwrap());
    let id = |index| LogId::new(CommittedLeaderId::new(3, 7), index);
    let entries = (0..6).map(|index| Entry { log_id: id(index), payload: EntryPayload::Blank });
    log.blocking_append(entries).await.unwrap();
    log.purge(id(2)).await.unwrap();
    assert!(
        log.limited_get_log_entries(2, 6).await.unwrap().is_empty(),
        "it would begin after what it follows"
    );
    let indexes = |all: Vec<Entry>| -> Vec<u64> { all.iter().map(|entry| entry.log_id.index).collect() };
    assert_eq!(indexes(log.limited_get_log_entries(3, 6).await.unwrap()), [3, 4, 5]);
}

/// A command on one of few buckets, or on the configuration.
fn command() -> impl Strategy<Value = Command> {
    let props = prop_oneof![
        Just(patch(&[])),
        Just(patch(&[("versioning.enabled", "false")])),
        Just(patch(&[("mirror.enabled", "true"), ("mirror.copies", "1")])),
    ];
    let of = prop_oneof![
        Just(bucket("a")),
        Just(bucket("b")),
        Just(Bucket { provider: Provider::Aws, ..bucket("c") })
    ];
    (of, props, 0..10u8, 0..1000u64).prop_map(|(bucket, props, kind, now_ns)| match kind {
        0 => Command::CreateBucket { bucket, props, now_ns },
        1 => Command::AddRemoteBucket { bucket, now_ns },
        2 => Command::DestroyBucket { bucket, bid: None },
        3 => Command::DestroyBucket { bucket, bid: Some(now_ns % 4) },
        4 => Command::SetBucketProps { bucket, props },
        5 => Command::ResetBucketProps { bucket },
        6 => Command::BeginRemoval { bucket, bid: None },
        7 => Command::BeginRemoval { bucket, bid: Some(now_ns % 4) },
        8 => Command::EndRemoval { bucket },
        _ => Command::ResetConfig { now_ns },
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Versions never go down, a version stands for one content, refusals change nothing, and a snapshot taken
    /// anywhere goes on to the same state.
    #[test]
    fn versions_only_grow(commands in proptest::collection::vec(command(), 1..60), cut in 0..60usize) {
        let gateway = NodeId::new("gateway1").unwrap();
        let form = Command::Form {
            uuid: weir_cluster::ClusterUuid::new("Yx3l2Jk9p").unwrap(),
            now_ns: 1,
            primary: Box::new(weir_cluster::Node::new(gateway, weir_cluster::Role::Gateway, NetInfo::new("h", 1))),
            config: Box::default(),
        };
        let mut state = State::default();
        prop_assert_eq!(state.apply(0, create("x")), Err(Refused::NotFormed));
        state.apply(1, form.clone()).unwrap();
        prop_assert!(matches!(state.apply(2, form), Err(Refused::Formed(_))));
        let mut other = None;
        for (i, command) in commands.into_iter().enumerate() {
            if i == cut {
                other = Some(State::decode(&state.encode().unwrap()).unwrap());
                prop_assert_eq!(other.as_ref(), Some(&state));
            }
            let before = state.view().unwrap().clone();
            let index = i as u64 + 3;
            let answer = state.apply(index, command.clone());
            if let Some(other) = &mut other {
                prop_assert_eq!(&other.apply(index, command), &answer);
            }
            let after = state.view().unwrap();
            prop_assert_eq!(after.index, index);
            prop_assert!(after.bmd.version >= before.bmd.version);
            prop_assert!(after.config_version >= before.config_version);
            if after.bmd.version == before.bmd.version {
                prop_assert_eq!(&after.bmd, &before.bmd);
            }
            if answer.is_err() {
                prop_assert_eq!((&after.bmd, &after.config), (&before.bmd, &before.config));
            }
        }
        if let Some(other) = other {
            prop_assert_eq!(other, state);
        }
    }
}
