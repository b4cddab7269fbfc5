//! PUTs that are answered with their first copy alone: that one is durable, the others follow by commit ID.

use super::*;

fn put_first(disks: &Disks, n: &str, content: &[u8]) -> Got<Outcome<F>> {
    let prepared = disks.0[0].node.borrow().prepare(content, Durability::Durable)?;
    let (terms, attrs, flight, upload) = (Terms::default(), Attrs::default(), None, None);
    let put = Put { bucket: bucket("b"), name: name(n), prepared, terms, attrs, flight, upload };
    disks.with(n, 2, async |copies| copies.put_first(put, 50_000).await)
}

fn content(disks: &Disks, n: &str, lost: Option<usize>) -> Option<Vec<u8>> {
    disks.read(n, lost).map(|(content, _)| content)
}

#[test]
fn the_first_copy_is_durable_and_the_others_follow() {
    for (size, crash) in [100, 30_000, 300_000].into_iter().flat_map(|size| Crash::ALL.map(|c| (size, c))) {
        let disks = Disks::healthy(2);
        let [old, new] = [bytes(1, size), bytes(2, size)];
        disks.put("a", &old, Terms::default(), 2).unwrap();
        let done = committed(put_first(&disks, "a", &new)).unwrap();
        assert_eq!((done.record.version, done.record.copies), (2, 2));
        committed(put_first(&disks, "b", &new)).unwrap();
        let disks = disks.crash(crash, 3);
        for n in ["a", "b"] {
            assert_eq!(content(&disks, n, None), Some(new.clone()), "{n} of {size} after {crash:?}");
        }
        // What the loss of the first disk leaves until then.
        assert_eq!(content(&disks, "a", Some(0)), Some(old.clone()));
        assert_eq!(content(&disks, "b", Some(0)), None);
        for n in ["a", "b"] {
            assert_eq!(disks.even(n, 2).unwrap().copied, 1);
            let [first, second] = two_copies(&disks, n);
            assert_eq!(first.commit, second.commit);
            assert_eq!(content(&disks, n, Some(0)), Some(new.clone()), "{n} of {size} after {crash:?}");
        }
    }
}

#[test]
fn a_removal_waits_for_no_copy() {
    let disks = Disks::healthy(2);
    disks.put("a", b"one", Terms::default(), 2).unwrap();
    put_first(&disks, "a", b"two").unwrap();
    disks.delete("a", 2).unwrap();
    disks.even("a", 2).unwrap();
    assert!(disks.0.iter().all(|end| end.record("a").is_none()));
}

/// An object, its successor with one copy, then the other copy, until a disk dies; what there may be then.
fn play(disks: &Disks) -> Vec<Option<Vec<u8>>> {
    let [old, new] = [bytes(1, 30_000), bytes(2, 20_000)];
    if disks.put("a", &old, Terms::default(), 2).is_err() {
        return vec![None, Some(old)];
    }
    if put_first(disks, "a", &new).is_err() {
        return vec![Some(old), Some(new)];
    }
    // It dies, or it does not.
    let _ = disks.even("a", 2);
    vec![Some(new)]
}

#[test]
fn death_at_every_call_keeps_what_was_answered() {
    let plan = Disks::healthy(2);
    let begun = plan.calls();
    play(&plan);
    let ended = plan.calls();
    let mut deaths = 0;
    for side in 0..2 {
        for at in begun[side] + 1..=ended[side] {
            let mut faults = [(0, Fault::NoSpace); 2];
            faults[side] = (at, Fault::Die { applied: at % 3 == 0 });
            let disks = Disks::fresh(&faults);
            let allowed = play(&disks);
            for crash in Crash::ALL {
                let after = disks.crash(crash, at);
                let read = content(&after, "a", None);
                assert!(allowed.contains(&read), "disk {side} died at call {at}, {crash:?}");
                after.even("a", 2).unwrap();
                let copies = [0, 1].map(|at| after.0[at].node.borrow().content("b", "a"));
                assert!(allowed.contains(&copies[0]) && copies[0] == copies[1], "{side} {at} {crash:?}");
                deaths += 1;
            }
        }
    }
    assert!(deaths > 100, "{deaths}");
}
