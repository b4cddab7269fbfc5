//! Random sequences of operations against a map.

mod common;

use std::collections::BTreeMap;

use common::*;
use proptest::prelude::*;
use weir_store::sim::{self, Crash};
use weir_store::{Condition, Durability, Outcome, StoreError, Terms};

#[derive(Clone, Debug)]
enum Op {
    Put(usize, usize, bool),
    PutNew(usize, usize),
    Delete(usize),
    Custom(usize, u8),
    Multipart(usize, Vec<usize>),
    Batch(Vec<Op>),
    Kill,
    PowerLoss,
    Settle,
}

/// Names that are in each other's way, and some that need the escape.
const NAMES: [&str; 12] = ["a", "a/b", "a/b/c", "a/c", "b", "b/", "/", "b//a", "c/d/e", "c/d", "c", ".."];

#[derive(Clone, Debug, PartialEq)]
struct Value {
    content: Vec<u8>,
    version: u64,
    custom: Option<String>,
}

fn simple() -> impl Strategy<Value = Op> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), 0usize..9000, any::<bool>()).prop_map(|(n, s, d)| Op::Put(n, s, d)),
        1 => (name.clone(), 0usize..100).prop_map(|(n, s)| Op::PutNew(n, s)),
        3 => name.clone().prop_map(Op::Delete),
        1 => (name, any::<u8>()).prop_map(|(n, v)| Op::Custom(n, v)),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => simple(),
        3 => proptest::collection::vec(simple(), 2..12).prop_map(Op::Batch),
        1 => (0..NAMES.len(), proptest::collection::vec(1usize..9000, 1..24)).prop_map(|(n, p)| Op::Multipart(n, p)),
        1 => Just(Op::Kill),
        1 => Just(Op::PowerLoss),
        1 => Just(Op::Settle),
    ]
}

struct Run {
    node: Node,
    map: BTreeMap<&'static str, Value>,
    seed: u64,
    boot: u8,
}

impl Run {
    /// The change of a simple operation, and what it does to the map: `None` where it must be refused.
    fn change(&mut self, op: &Op) -> (weir_store::Change<F>, bool) {
        self.seed += 1;
        let durability = |d| if d { Durability::Durable } else { Durability::Relaxed };
        match op {
            Op::Put(n, size, durable) => {
                let content = bytes(self.seed, *size);
                let change = self.node.put_change("b", NAMES[*n], &content, durability(*durable)).unwrap();
                self.insert(NAMES[*n], content);
                (change, true)
            }
            Op::PutNew(n, size) => {
                let content = bytes(self.seed, *size);
                let change = self.node.put_change("b", NAMES[*n], &content, Durability::Durable).unwrap();
                let weir_store::Change::Put(mut put) = change else { unreachable!() };
                put.terms = Terms { if_none_match: Some(Condition::Any), ..Terms::default() };
                let new = !self.map.contains_key(NAMES[*n]);
                if new {
                    self.insert(NAMES[*n], content);
                }
                (weir_store::Change::Put(put), new)
            }
            Op::Delete(n) => {
                (delete("b", NAMES[*n], Durability::Durable), self.map.remove(NAMES[*n]).is_some())
            }
            Op::Custom(n, v) => {
                let value = v.to_string();
                let change = set_custom("b", NAMES[*n], &[("k", &value)], Durability::Durable);
                let there = self.map.get_mut(NAMES[*n]).map(|v| v.custom = Some(value)).is_some();
                (change, there)
            }
            _ => unreachable!(),
        }
    }

    fn insert(&mut self, name: &'static str, content: Vec<u8>) {
        let version = self.map.get(name).map_or(0, |v| v.version) + 1;
        self.map.insert(name, Value { content, version, custom: None });
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Batch(ops) => self.batch(ops),
            Op::Multipart(n, sizes) => {
                let id = self.node.create_upload("b", NAMES[*n]).unwrap();
                let mut all = Vec::new();
                for (i, size) in sizes.iter().enumerate() {
                    self.seed += 1;
                    let content = bytes(self.seed, *size);
                    self.node.put_part("b", NAMES[*n], &id, i as u32 + 1, &content).unwrap();
                    all.extend(content);
                }
                let numbers: Vec<u32> = (1..=sizes.len() as u32).collect();
                self.node.complete("b", NAMES[*n], &id, &numbers).unwrap();
                self.insert(NAMES[*n], all);
            }
            Op::Kill => self.node = self.node.restart(Crash::Kept, self.boot),
            Op::PowerLoss => {
                // All was written back: relaxed objects are read and checked, and are there.
                self.boot = self.boot.wrapping_add(1);
                self.node = self.node.restart(Crash::Flushed, self.boot);
            }
            Op::Settle => self.node.settle(),
            simple => self.batch(std::slice::from_ref(simple)),
        }
    }

    fn batch(&mut self, ops: &[Op]) {
        let (changes, expected): (Vec<_>, Vec<_>) = ops.iter().map(|op| self.change(op)).unzip();
        for (answer, expected) in self.node.execute(changes).into_iter().zip(expected) {
            match answer {
                Ok(Outcome::Committed(_) | Outcome::Deleted(_)) => assert!(expected),
                Err(StoreError::NotFound { .. } | StoreError::Precondition { .. }) => assert!(!expected),
                Err(e) => panic!("{e}"),
                Ok(_) => panic!("another outcome"),
            }
        }
    }

    fn check(&self) {
        for name in NAMES {
            let got = match self.node.get("b", name) {
                Ok((content, record)) => {
                    let custom = record.custom.get("k").map(str::to_owned);
                    Some(Value { content, version: record.version, custom })
                }
                Err(e) if e.is_not_found() => None,
                Err(e) => panic!("{name}: {e}"),
            };
            assert!(
                got.as_ref() == self.map.get(name),
                "{name}: {:?}",
                got.map(|g| (g.content.len(), g.version))
            );
        }
        assert_eq!(self.node.list_all("b"), self.map.keys().map(ToString::to_string).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_leaves_what_the_map_says(ops in proptest::collection::vec(op(), 1..40)) {
        follow(Node::fresh(), &ops);
    }

    #[test]
    fn any_sequence_through_the_journal_leaves_what_the_map_says(ops in proptest::collection::vec(op(), 1..60)) {
        let mut run = follow(Node::fresh_journaled(), &ops);
        sim::block_on(run.node.committer.close()).unwrap();
        // After a clean stop everything is durable, and the journal is empty.
        run.node = run.node.restart(Crash::Dropped, 99);
        assert_eq!(run.node.refiled, 0);
        run.check();
    }
}

fn follow(node: Node, ops: &[Op]) -> Run {
    let mut run = Run { node, map: BTreeMap::new(), seed: 0, boot: 1 };
    for (i, op) in ops.iter().enumerate() {
        run.apply(op);
        run.check();
        run.node.pass_time(i);
    }
    run.node.settle();
    run.check();
    let beside = run.node.disk.inner().paths().iter().filter(|p| p.contains("/%ck/")).count();
    let with_many_parts = run
        .map
        .keys()
        .filter(|n| {
            let record = run.node.get("b", n).unwrap().1;
            matches!(record.blocks, weir_store::Blocks::Beside { .. })
        })
        .count();
    assert_eq!(beside, with_many_parts);
    run
}
