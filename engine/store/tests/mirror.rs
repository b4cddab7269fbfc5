//! Copies of objects on several mountpaths, of which one dies at every call in turn: nothing acknowledged is lost with any one
//! of them, what readers have seen is on all, nothing that was removed comes back, and copies become even by commit ID.

#[path = "mirror/after.rs"]
mod after;
mod common;
#[path = "mirror/damaged.rs"]
mod damaged;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use common::{F, Got, Node, bucket, bytes, committed, journaled, name, pairs};
use damaged::scrub;
use weir_store::sim::{Crash, Fault, Faulty, SimDisk, block_on};
use weir_store::{
    Attrs, Change, Condition, Copies, CopyHolder, CustomChange, Disk as _, DiskPath, Durability, Evened,
    Holder, MountpathOptions, Outcome, Put, Record, StoreError, Terms, Together, Volume,
};

/// What is wrong with a holder on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Bug {
    /// It answers a PUT when it is not durable.
    NotDurable,
    /// It answers before it has done anything; that follows when the first holder is done.
    FirstHolderFirst,
    /// It answers a removal and keeps its copy.
    KeepsRemoved,
}

/// A mountpath that may have copies.
struct End {
    node: RefCell<Node>,
    volume: Volume<Faulty>,
    bug: Option<Bug>,
    late: RefCell<Vec<(Change<F>, Together)>>,
    /// Whether copies that come are kept back: their sender gives up on them.
    keeps_back: Cell<bool>,
    kept_back: RefCell<Vec<Change<F>>>,
}

impl End {
    fn new(node: Node) -> Self {
        let volume = node.volume();
        Self {
            node: RefCell::new(node),
            volume,
            bug: None,
            late: RefCell::default(),
            keeps_back: Cell::new(false),
            kept_back: RefCell::default(),
        }
    }

    /// What was kept back comes before anything else, as in the committer's queue.
    fn catch_up(&self) {
        for change in self.kept_back.borrow_mut().drain(..) {
            self.node.borrow_mut().one(change).unwrap();
        }
    }

    fn part(&self, change: Change<F>, together: Together) -> Got<Outcome<F>> {
        self.catch_up();
        self.node.borrow_mut().execute_part(vec![change], Some(together)).remove(0)
    }

    fn record(&self, n: &str) -> Option<Record> {
        self.node.borrow().get("b", n).ok().map(|(_, record)| record)
    }
}

impl Holder<Faulty> for End {
    type Error = StoreError;

    fn volume(&self) -> &Volume<Faulty> {
        &self.volume
    }

    async fn change(&self, change: Change<F>) -> Got<Outcome<F>> {
        if self.keeps_back.get() && matches!(change, Change::Adopt { .. }) {
            self.kept_back.borrow_mut().push(change);
            return Err(StoreError::Abandoned("a copy that its sender gave up on"));
        }
        self.catch_up();
        self.node.borrow_mut().one(change)
    }

    fn refusal(error: &StoreError) -> Option<&StoreError> {
        Some(error)
    }
}

impl CopyHolder<Faulty> for End {
    async fn change_together(&self, change: Change<F>, together: Together, now_ns: u64) -> Got<Outcome<F>> {
        self.node.borrow_mut().now_ns = now_ns.max(1) - 1;
        match (self.bug, change) {
            (Some(Bug::NotDurable), Change::Put(mut put)) => {
                put.prepared.durability = Durability::Relaxed;
                self.part(Change::Put(put), together)
            }
            (Some(Bug::KeepsRemoved), Change::Delete { .. }) => Ok(Outcome::Deleted(None)),
            (Some(Bug::FirstHolderFirst), change) => {
                self.late.borrow_mut().push((change, together));
                Ok(Outcome::Settled)
            }
            (_, change) => self.part(change, together),
        }
    }

    fn is_refusal(error: &StoreError) -> bool {
        !error.is_io()
    }
}

/// The mountpaths of a node, in one order for all names.
struct Disks(Vec<End>);

/// What each name may be: of what was under way the old and the new state.
type Names = BTreeMap<&'static str, Vec<Option<Vec<u8>>>>;

/// What is done to a name.
#[derive(Clone, Copy, Debug)]
enum Op {
    Put(u64, usize),
    Custom,
    Delete,
    /// So many copies from now on.
    Count(usize),
}

const SCRIPT: [(&str, Op); 12] = [
    ("a", Op::Put(1, 100)),
    ("d/e", Op::Put(2, 30_000)),
    ("large", Op::Put(3, 300_000)),
    ("a", Op::Put(4, 200)),
    ("gone", Op::Put(5, 300)),
    ("d/e", Op::Custom),
    ("gone", Op::Delete),
    ("large", Op::Put(6, 20_000)),
    ("a", Op::Custom),
    ("a", Op::Count(1)),
    ("d/e", Op::Delete),
    ("a", Op::Count(2)),
];

impl Disks {
    fn fresh(faults: &[(u64, Fault)]) -> Self {
        let base = journaled(1);
        let end = |(at, fault): &(u64, Fault)| {
            let options = MountpathOptions { clock: base.clock.clone(), ..base.clone() };
            End::new(Node::start_with(Faulty::new(SimDisk::new(), *at, *fault), options).unwrap())
        };
        Self(faults.iter().map(end).collect())
    }

    fn healthy(count: usize) -> Self {
        Self::fresh(&vec![(0, Fault::NoSpace); count])
    }

    fn with<T>(&self, n: &str, wanted: usize, work: impl AsyncFnOnce(Copies<'_, End>) -> Got<T>) -> Got<T> {
        let (bucket, name) = (bucket("b"), name(n));
        let copies =
            Copies { bucket: &bucket, name: &name, holders: &self.0, wanted, anywhere: false, set: 1 };
        block_on(work(copies))
    }

    fn put(&self, n: &str, content: &[u8], terms: Terms, wanted: usize) -> Got<Outcome<F>> {
        let prepared = self.0[0].node.borrow().prepare(content, Durability::Durable)?;
        let (attrs, flight, upload) = (Attrs::default(), None, None);
        let put = Put { bucket: bucket("b"), name: name(n), prepared, terms, attrs, flight, upload };
        let done = self.with(n, wanted, async |copies| copies.put(put, 50_000).await);
        self.come_late();
        done
    }

    fn set_custom(&self, n: &str, wanted: usize) -> Got<Outcome<F>> {
        let change = CustomChange::Merge(pairs(&[("k", "v")]));
        let (terms, durable) = (Terms::default(), Durability::Durable);
        self.with(n, wanted, async |copies| copies.set_custom(change, terms, durable, 60_000).await)
    }

    fn delete(&self, n: &str, wanted: usize) -> Got<Outcome<F>> {
        let (terms, durable) = (Terms::default(), Durability::Durable);
        self.with(n, wanted, async |copies| copies.delete(terms, durable, 70_000).await)
    }

    fn even(&self, n: &str, wanted: usize) -> Got<Evened> {
        self.with(n, wanted, async |copies| copies.even().await)
    }

    fn come_late(&self) {
        for end in &self.0 {
            for (change, together) in end.late.borrow_mut().drain(..) {
                let _ = end.part(change, together);
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.0.iter().any(|end| end.node.borrow().disk.is_dead())
    }

    /// Whether a sync failed: what it was for has an open outcome.
    fn is_poisoned(&self) -> bool {
        self.0.iter().any(|end| end.node.borrow().mountpath.poisoned().is_some())
    }

    fn calls(&self) -> Vec<u64> {
        self.0.iter().map(|end| end.node.borrow().disk.calls()).collect()
    }

    /// The script, until a disk dies; what the names may be then.
    fn run(&self, wanted: usize) -> Names {
        let mut names = Names::new();
        for (i, (n, op)) in SCRIPT.into_iter().enumerate() {
            let allowed = names.entry(n).or_insert_with(|| vec![None]);
            let (done, now) = match op {
                Op::Put(seed, size) => {
                    let content = bytes(seed, size);
                    allowed.push(Some(content.clone()));
                    (self.put(n, &content, Terms::default(), wanted).map(drop), Some(content))
                }
                Op::Custom => (self.set_custom(n, wanted).map(drop), allowed.last().unwrap().clone()),
                Op::Count(count) => {
                    let now = allowed.last().unwrap().clone();
                    // Who has one copy may lose it.
                    allowed.push(None);
                    (self.even(n, count).map(drop), now)
                }
                Op::Delete => {
                    allowed.push(None);
                    (self.delete(n, wanted).map(drop), None)
                }
            };
            if let Err(error) = done {
                assert!(self.is_dead(), "{n} {op:?}: {error}");
                return names;
            }
            *allowed = vec![now];
            self.0.iter().for_each(|end| end.node.borrow_mut().pass_time(i));
        }
        names
    }

    /// The next life of all, after a crash that all see.
    fn crash(&self, crash: Crash, seed: u64) -> Self {
        let base = journaled(if crash.is_power_loss() { 2 } else { 1 });
        let next = |end: &End| {
            let disk = Faulty::new(end.node.borrow().disk.inner().crash(crash, seed), 0, Fault::NoSpace);
            let options = MountpathOptions { clock: base.clock.clone(), epoch_min: 3, ..base.clone() };
            End::new(Node::start_with(disk, options).unwrap())
        };
        Self(self.0.iter().map(next).collect())
    }

    /// What a reader finds: the first holder's, or, where that has lost it, the greatest of the others'.
    fn read(&self, n: &str, lost: Option<usize>) -> Option<(Vec<u8>, Record)> {
        let here = self.0.iter().enumerate().filter(|(at, _)| Some(*at) != lost);
        let mut found = here.filter_map(|(_, end)| end.node.borrow().get("b", n).ok());
        let first = found.next()?;
        match self.0[0].record(n).filter(|_| lost != Some(0)) {
            Some(_) => Some(first),
            None => [first].into_iter().chain(found).max_by_key(|(_, record)| record.commit),
        }
    }

    /// Every name is what it may be; with any one holder lost it still is, and as new as readers have seen it; and so it is when
    /// its copies are even.
    fn check(&self, names: &Names, wanted: usize) -> Result<(), String> {
        for (n, allowed) in names {
            let seen = self.0[0].record(n).map(|record| record.commit);
            for lost in [None].into_iter().chain((0..self.0.len()).map(Some)) {
                let found = self.read(n, lost);
                let commit = found.as_ref().map(|(_, record)| record.commit);
                // A removal that was under way takes the first holder's copy last.
                let removed = commit.is_none() && allowed.contains(&None);
                let copied = self.0[0].record(n).is_none_or(|record| usize::from(record.copies) >= wanted);
                if (copied || lost != Some(0)) && lost.is_some() && commit < seen && !removed {
                    return Err(format!("{n} is older without holder {lost:?}: {commit:?}, seen {seen:?}"));
                }
                let content = found.map(|(content, _)| content);
                if (copied || lost != Some(0)) && !allowed.contains(&content) {
                    return Err(format!("{n} without {lost:?} has {:?} bytes", content.map(|c| c.len())));
                }
            }
            self.even(n, wanted).map_err(|error| format!("{n}: {error}"))?;
            let first = self.0[0].node.borrow().content("b", n);
            for (at, end) in self.0.iter().enumerate() {
                let content = end.node.borrow().content("b", n);
                let want = if at < wanted { &first } else { &None };
                if content != *want || !allowed.contains(&first) {
                    return Err(format!("{n} is not even at {at}"));
                }
                if end.record(n).is_some_and(|r| usize::from(r.copies) != wanted) {
                    return Err(format!("{n} does not count its copies at {at}"));
                }
            }
        }
        Ok(())
    }
}

fn two_copies(disks: &Disks, n: &str) -> [Record; 2] {
    [0, 1].map(|at| disks.0[at].record(n).unwrap_or_else(|| panic!("{n} at {at}")))
}

#[test]
fn copies_are_the_same_in_everything() {
    let disks = Disks::healthy(3);
    for (n, size) in [("small", 100), ("middle", 30_000), ("large", 9 << 20)] {
        let first = committed(disks.put(n, &bytes(1, size), Terms::default(), 2)).unwrap();
        assert_eq!((first.record.version, first.record.copies), (1, 2));
        committed(disks.put(n, &bytes(2, size), Terms::default(), 2)).unwrap();
        committed(disks.set_custom(n, 2)).unwrap();
        let [a, b] = two_copies(&disks, n);
        assert_eq!((a.version, a.copies, &a.custom), (2, 2, &pairs(&[("k", "v")])));
        assert_eq!((a.blocks == b.blocks, a.boot), (true, b.boot), "{n}");
        assert_eq!(a, b, "{n}");
        assert!(disks.0[2].record(n).is_none());
        disks.delete(n, 2).unwrap();
        assert!(disks.delete(n, 2).is_err_and(|e| e.is_not_found()));
        assert!(disks.0.iter().all(|end| end.record(n).is_none()));
    }
}

#[test]
fn what_does_not_hold_changes_no_copy() {
    let disks = Disks::healthy(2);
    let absent = Terms { if_none_match: Some(Condition::Any), ..Terms::default() };
    disks.put("a", b"one", absent.clone(), 2).unwrap();
    assert!(matches!(disks.put("a", b"two", absent, 2), Err(StoreError::Precondition { .. })));
    let stale = Terms { if_match: Some(Condition::Etags(vec!["x".into()])), ..Terms::default() };
    let gone = disks.with("a", 2, async |c| c.delete(stale, Durability::Durable, 9).await);
    assert!(matches!(gone, Err(StoreError::Precondition { .. })));
    for end in &disks.0 {
        assert_eq!(end.node.borrow().content("b", "a").as_deref(), Some(&b"one"[..]));
    }
}

#[test]
fn one_copy_is_not_changed_alone() {
    let disks = Disks::healthy(2);
    disks.put("a", b"one", Terms::default(), 2).unwrap();
    disks.put("l", &bytes(1, 30_000), Terms::default(), 2).unwrap();
    let mut node = disks.0[0].node.borrow_mut();
    for n in ["a", "l"] {
        for content in [b"two".to_vec(), bytes(2, 40_000)] {
            let put = node.put_change("b", n, &content, Durability::Durable).unwrap();
            let Ok(Outcome::HasCopies(back)) = node.one(put) else { panic!("{n} was changed alone") };
            let Change::Put(put) = *back else { panic!() };
            assert_eq!(put.prepared.size, content.len() as u64);
        }
        let gone = node.one(common::delete("b", n, Durability::Durable));
        assert!(matches!(gone, Ok(Outcome::HasCopies(_))));
        let custom = node.one(common::set_custom("b", n, &[("x", "y")], Durability::Durable));
        assert!(matches!(custom, Ok(Outcome::HasCopies(_))));
    }
}

#[test]
fn a_lost_object_comes_back_from_its_copy_and_a_damaged_one_too() {
    for (n, size) in [("middle", 30_000), ("large", 9 << 20)] {
        for hurt in [0, 1] {
            let disks = Disks::healthy(2);
            disks.put(n, &bytes(1, size), Terms::default(), 2).unwrap();
            let disks = disks.crash(Crash::Dropped, 1);
            let whole = two_copies(&disks, n)[hurt].clone();
            let path = DiskPath::root().join_all(format!("@ais/b/%ob/{n}")).unwrap();
            assert!(disks.0[hurt].node.borrow().disk.inner().flip_bit(&path, size / 2));
            assert_eq!(disks.even(n, 2).unwrap(), Evened::default(), "it cannot be seen without reading");
            let done = scrub(&disks, n).unwrap();
            assert_eq!((done.damaged, done.copied, done.bytes), (1, 1, size as u64));
            let disks = disks.crash(Crash::Dropped, 2);
            assert_eq!(disks.0[hurt].node.borrow().content("b", n), Some(bytes(1, size)), "{n} at {hurt}");
            assert_eq!(disks.0[hurt].record(n).unwrap().commit, whole.commit);
            // It is gone altogether, as from a disk that was wiped.
            let disk = disks.0[hurt].node.borrow().disk.clone();
            block_on(disk.unlink(&path)).unwrap();
            assert_eq!(disks.with(n, 2, async |copies| copies.holder().await).unwrap(), Some(1 - hurt));
            assert_eq!(disks.even(n, 2).unwrap().copied, 1);
            assert_eq!(disks.0[hurt].node.borrow().content("b", n), Some(bytes(1, size)));
        }
    }
}

/// A second copy that was on its way when its sender gave up: its committer has it and carries it out in its turn.
fn with_a_copy_given_up_on() -> Disks {
    let disks = Disks::healthy(2);
    disks.put("a", b"one", Terms::default(), 1).unwrap();
    disks.0[1].keeps_back.set(true);
    disks.even("a", 2).unwrap_err();
    disks.0[1].keeps_back.set(false);
    assert!(disks.0[1].record("a").is_none());
    disks
}

#[test]
fn a_copy_that_was_given_up_on_is_not_in_the_way_of_the_next() {
    let disks = with_a_copy_given_up_on();
    disks.even("a", 2).unwrap();
    two_copies(&disks, "a");
}

#[test]
fn a_copy_that_was_given_up_on_does_not_outlive_its_object() {
    let disks = with_a_copy_given_up_on();
    disks.delete("a", 2).unwrap();
    disks.0[1].catch_up();
    assert_eq!(disks.0.iter().filter_map(|end| end.record("a")).count(), 0);
}

#[test]
fn a_refused_change_leaves_the_copies_as_they_were() {
    for at in [0, 1] {
        // One of the disks has no room, from some call on.
        let mut refused = 0;
        let begun = Disks::healthy(2).calls()[at];
        for call in (begun + 1..begun + 60).step_by(2) {
            let mut faults = [(0, Fault::NoSpace); 2];
            faults[at] = (call, Fault::NoSpace);
            let disks = Disks::fresh(&faults);
            let mut last = None;
            for seed in 0..4 {
                let content = bytes(seed, 30_000);
                match disks.put("a", &content, Terms::default(), 2) {
                    Ok(_) => last = Some(content),
                    Err(_) if disks.is_poisoned() => break,
                    Err(_) => refused += 1,
                }
                // The one call that fails may be one of the first read.
                let read = |lost| disks.read("a", lost).or_else(|| disks.read("a", lost));
                let seen = read(None).map(|(content, _)| content);
                assert_eq!(seen, last, "disk {at}, call {call}");
                let alone = read(Some(0)).map(|(content, _)| content);
                assert_eq!(alone, last, "disk {at}, call {call}, without the first");
            }
        }
        assert!(refused > 10, "{refused}");
    }
}

#[test]
fn either_disk_is_lost_after_each_acknowledgement() {
    const NAMES: usize = 40;
    let disks = Disks::healthy(2);
    let mut last = BTreeMap::new();
    for i in 0..1000_usize {
        let (n, content) =
            (format!("o{}", i % NAMES), bytes(i as u64, if i % 3 == 0 { 12_000 } else { 100 }));
        disks.put(&n, &content, Terms::default(), 2).unwrap();
        last.insert(n.clone(), content);
        disks.0.iter().for_each(|end| end.node.borrow_mut().pass_time(i));
        for lost in [0, 1] {
            // The power goes with the disk.
            let left = disks.0[1 - lost].node.borrow().restart(Crash::Dropped, 2);
            let looked = if i % 50 == 0 { last.iter().collect() } else { vec![(&n, &last[&n])] };
            for (n, content) in looked {
                assert_eq!(
                    left.content("b", n).as_ref(),
                    Some(content),
                    "{n} after PUT {i}, disk {lost} lost"
                );
            }
        }
    }
}

fn deaths(count: usize, wanted: usize, bug: Option<Bug>, step: usize) -> Result<u32, String> {
    let plan = Disks::healthy(count);
    let begun = plan.calls();
    plan.run(wanted);
    let ended = plan.calls();
    let mut deaths = 0;
    for side in 0..count {
        for at in (begun[side] + 1..=ended[side]).step_by(step) {
            let mut faults = vec![(0, Fault::NoSpace); count];
            faults[side] = (at, Fault::Die { applied: at % 3 == 0 });
            let mut disks = Disks::fresh(&faults);
            for end in disks.0.iter_mut().skip(1) {
                end.bug = bug;
            }
            let names = disks.run(wanted);
            for crash in Crash::ALL {
                let wrong = disks.crash(crash, at).check(&names, wanted);
                wrong.map_err(|wrong| format!("disk {side} died at call {at}, {crash:?}: {wrong}"))?;
                deaths += 1;
            }
        }
    }
    Ok(deaths)
}

#[test]
fn death_at_every_call_of_either_disk() {
    let deaths = deaths(2, 2, None, 1).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(deaths > 1000, "{deaths}");
}

#[test]
fn death_at_calls_of_three_disks() {
    let deaths = deaths(3, 2, None, 3).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(deaths > 300, "{deaths}");
}

#[test]
fn finds_copies_that_are_not_durable() {
    deaths(2, 2, Some(Bug::NotDurable), 1).unwrap_err();
}

#[test]
fn finds_the_first_holder_first() {
    deaths(2, 2, Some(Bug::FirstHolderFirst), 1).unwrap_err();
}

#[test]
fn finds_copies_kept_after_removal() {
    deaths(2, 2, Some(Bug::KeepsRemoved), 1).unwrap_err();
}
