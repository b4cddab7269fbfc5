//! Objects move from one mountpath to another, and either disk dies at every call in turn: nothing acknowledged is lost,
//! nothing that was removed comes back, and what was moved is as it was.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;

use common::{F, Got, Node, bucket, bytes, journaled, name, set_custom};
use weir_store::sim::{Crash, Fault, Faulty, SimDisk, block_on};
use weir_store::{
    Change, Durability, Holder, MountpathOptions, Outcome, Planted, StoreError, Volume, move_object,
};

/// A mountpath as the end of a move.
struct End(RefCell<Node>, Volume<Faulty>);

impl End {
    fn new(node: Node) -> Self {
        let volume = node.volume();
        Self(RefCell::new(node), volume)
    }
}

impl Holder<Faulty> for End {
    type Error = StoreError;

    fn volume(&self) -> &Volume<Faulty> {
        &self.1
    }

    async fn change(&self, change: Change<F>) -> Got<Outcome<F>> {
        self.0.borrow_mut().one(change)
    }

    fn refusal(error: &StoreError) -> Option<&StoreError> {
        Some(error)
    }
}

/// Two mountpaths of one node; the second one is new, and names move to it.
struct Two {
    from: End,
    to: End,
}

/// What each name is; of what was under way both may be.
type Names = BTreeMap<&'static str, Vec<Option<Vec<u8>>>>;

const NAMES: [(&str, usize); 6] =
    [("a", 100), ("d/e", 5000), ("d/e/f", 700), ("large", 9 << 20), ("gone", 300), ("again", 50)];

impl Two {
    /// Objects at the first one; then the disks fail as they are told.
    fn make(faults: [(u64, Fault); 2]) -> (Self, Names) {
        let options = journaled(1);
        let later = MountpathOptions { clock: options.clock.clone(), epoch_min: 2, ..options.clone() };
        let mut from =
            Node::start_with(Faulty::new(SimDisk::new(), 0, Fault::NoSpace), options.clone()).unwrap();
        let mut names = Names::new();
        for (i, (n, size)) in NAMES.iter().enumerate() {
            let content = bytes(i as u64, *size);
            from.put("b", n, &content).unwrap();
            names.insert(n, vec![Some(content)]);
        }
        from.one(set_custom("b", "d/e", &[("k", "v")], Durability::Durable)).unwrap();
        // The next life: files, and a journal that begins anew.
        let disk = from.disk.inner().crash(Crash::Dropped, 3);
        let from = Node::start_with(Faulty::new(disk, faults[0].0, faults[0].1), later.clone());
        let to = Node::start_with(Faulty::new(SimDisk::new(), faults[1].0, faults[1].1), later);
        match (from, to) {
            (Ok(from), Ok(to)) => (Self { from: End::new(from), to: End::new(to) }, names),
            _ => panic!("the faults begin after the start"),
        }
    }

    fn is_dead(&self) -> bool {
        self.from.0.borrow().disk.is_dead() || self.to.0.borrow().disk.is_dead()
    }

    fn move_name(&self, n: &str) -> Got<Option<u64>> {
        block_on(move_object(&self.from, &self.to, &bucket("b"), &name(n)))
    }

    /// Moves all, and changes some, each after its move.
    fn run(&self, names: &mut Names) {
        for (n, _) in NAMES {
            if self.move_name(n).is_err() {
                assert!(self.is_dead());
                return;
            }
            let change = match n {
                "gone" => None,
                "again" => Some(bytes(77, 40)),
                _ => continue,
            };
            let allowed = names.get_mut(n).unwrap();
            allowed.push(change.clone());
            let mut to = self.to.0.borrow_mut();
            let done = match &change {
                None => to.delete("b", n),
                Some(content) => to.put("b", n, content).map(drop),
            };
            if done.is_err() {
                assert!(to.disk.is_dead());
                return;
            }
            *allowed = vec![change];
        }
    }

    fn calls(&self) -> [u64; 2] {
        [self.from.0.borrow().disk.calls(), self.to.0.borrow().disk.calls()]
    }

    /// The next life of both, after a crash that both see.
    fn crash(&self, crash: Crash, seed: u64) -> Self {
        let boot = if crash.is_power_loss() { 2 } else { 1 };
        let base = journaled(boot);
        let next = |end: &End| {
            let disk = Faulty::new(end.0.borrow().disk.inner().crash(crash, seed), 0, Fault::NoSpace);
            let options = MountpathOptions { clock: base.clock.clone(), epoch_min: 3, ..base.clone() };
            End::new(Node::start_with(disk, options).unwrap())
        };
        Self { from: next(&self.from), to: next(&self.to) }
    }

    /// Every name is what it may be, for a reader who asks where it belongs first; and so it is when all are moved, and
    /// then it is nowhere else.
    fn check(&self, names: &Names) -> Result<(), String> {
        for moved in [false, true] {
            for (n, allowed) in names {
                if moved {
                    self.move_name(n).map_err(|e| format!("{n}: {e}"))?;
                }
                let (to, from) = (self.to.0.borrow().content("b", n), self.from.0.borrow().content("b", n));
                if moved && from.is_some() {
                    return Err(format!("{n} is still where it was"));
                }
                let seen = to.or(from);
                if !allowed.contains(&seen) {
                    let bytes = seen.map(|content| content.len());
                    return Err(format!("{n} (moved: {moved}) has {bytes:?} bytes"));
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_moved_object_is_as_it_was() {
    let (two, mut names) = Two::make([(0, Fault::NoSpace); 2]);
    let before = two.from.0.borrow().get("b", "d/e").unwrap().1;
    two.run(&mut names);
    let after = two.to.0.borrow().get("b", "d/e").unwrap().1;
    assert_eq!((before.commit, before.version, &before.custom), (after.commit, after.version, &after.custom));
    assert_eq!((before.modified_ns, before.created_ns), (after.modified_ns, after.created_ns));
    assert_eq!((before.etag, before.checksums), (after.etag, after.checksums));
    two.check(&names).unwrap();
    two.to.0.borrow_mut().settle();
    assert_eq!(two.from.0.borrow().list_all("b"), Vec::<String>::new());
    assert_eq!(two.to.0.borrow().list_all("b"), ["a", "again", "d/e", "d/e/f", "large"]);
}

#[test]
fn death_at_every_call_of_either_disk() {
    let (two, _) = Two::make([(0, Fault::NoSpace); 2]);
    let begun = two.calls();
    let mut names =
        NAMES.iter().map(|(n, size)| (*n, *size)).map(|(n, _)| (n, Vec::new())).collect::<Names>();
    let (two, made) = Two::make([(0, Fault::NoSpace); 2]);
    names.extend(made);
    two.run(&mut names);
    let ended = two.calls();
    let mut deaths = 0;
    for side in 0..2 {
        for at in begun[side] + 1..=ended[side] {
            let mut faults = [(0, Fault::NoSpace); 2];
            faults[side] = (at, Fault::Die { applied: at % 3 == 0 });
            let (two, mut names) = Two::make(faults);
            two.run(&mut names);
            assert!(two.is_dead(), "call {at} of disk {side} was not reached");
            for crash in Crash::ALL {
                let wrong = two.crash(crash, at).check(&names);
                wrong.unwrap_or_else(|wrong| panic!("disk {side} died at call {at}, {crash:?}: {wrong}"));
                deaths += 1;
            }
        }
    }
    assert!(deaths > 400, "{deaths}");
}

/// An object that comes late, as it was before a change that was made where it belongs.
fn comes_late(bug: Option<Planted>) -> Option<Vec<u8>> {
    let (two, _) = Two::make([(0, Fault::NoSpace); 2]);
    if let Some(bug) = bug {
        two.to.0.borrow_mut().committer.plant(bug);
    }
    let object = block_on(two.from.volume().open(&bucket("b"), &name("a"))).unwrap();
    two.to.0.borrow_mut().put("b", "a", b"newer").unwrap();
    let prepared = block_on(two.to.volume().carry(&object)).unwrap();
    let record = Box::new(object.record().as_ref().clone());
    let adopted = two.to.0.borrow_mut().one(Change::Adopt {
        damaged: false,
        bucket: bucket("b"),
        name: name("a"),
        prepared,
        record,
    });
    assert_eq!(adopted.is_ok(), bug.is_some());
    two.to.0.borrow().content("b", "a")
}

#[test]
fn what_is_newer_stays() {
    assert_eq!(comes_late(None).as_deref(), Some(&b"newer"[..]));
    let planted = comes_late(Some(Planted::AdoptOverNewer));
    assert_ne!(planted.as_deref(), Some(&b"newer"[..]), "the planted bug was not found");
}

#[test]
fn what_comes_back_to_where_it_was_removed_from_is_there() {
    let (two, mut names) = Two::make([(0, Fault::NoSpace); 2]);
    two.run(&mut names);
    // Back again: the journal of the first one has the removal, younger than the object.
    let back = Two { from: two.to, to: two.from };
    for n in ["a", "d/e", "large", "again"] {
        assert!(back.move_name(n).unwrap().is_some(), "{n}");
        assert_eq!(back.to.0.borrow().content("b", n), names[n][0], "{n}");
    }
    for crash in Crash::ALL {
        back.crash(crash, 5).check(&names).unwrap_or_else(|wrong| panic!("{crash:?}: {wrong}"));
    }
}
