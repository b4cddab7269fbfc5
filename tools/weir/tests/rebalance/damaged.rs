//! What is damaged stays where it is, and holds no rebalance up.

use std::io::{Seek, SeekFrom, Write};

use super::*;

/// Spoils as many objects of the second target; of those that are written to their files at once.
fn spoil(world: &World, count: usize) -> Vec<usize> {
    let large = (0..world.objects).step_by(10);
    let spoilt: Vec<usize> =
        large.filter(|o| world.cluster.owner(BUCKET, &name(*o)) == 2).take(count).collect();
    assert_eq!(spoilt.len(), count, "a third of so many are a target's");
    for object in &spoilt {
        let file = world.dir.path().join(format!("n2/mp1/@ais/{BUCKET}/%ob/{}", name(*object)));
        let mut file = std::fs::File::options().write(true).open(file).unwrap();
        file.seek(SeekFrom::Start(200_000)).unwrap();
        file.write_all(b"!spoilt!").unwrap();
        file.sync_all().unwrap();
    }
    spoilt
}

/// The second target rests, and the rebalance ends with these left.
pub(super) fn rest(world: &World, left: &[usize]) -> String {
    let resting = world.target(2, 0);
    let answer = world.act("start-maintenance", &resting);
    assert_eq!(answer.status, 200, "{answer:?}");
    until("the rebalance ends and says why it is not whole", || {
        let all = world.json("GET /v1/cluster?what=status_all", br#"{"kind":"rebalance"}"#)?;
        let says = |job: &Value| {
            let error = job["err"].as_str().unwrap_or_default();
            job["end_time"] != 0
                && error.contains(&format!("{} damaged and not moved", left.len()))
                && left.iter().any(|object| error.contains(&name(*object)))
        };
        all.as_array()?.iter().any(says).then_some(())
    });
    until("it holds nothing else", || (world.files(2) == left.len()).then_some(()));
    world.target(2, 4);
    resting
}

fn remove(world: &World, object: usize) {
    until("it is removed", || {
        let gone = world.cluster.ask(0, &format!("DELETE {}", path(object)), &[], b"")?;
        assert!([204, 503].contains(&gone.status), "{gone:?}");
        (gone.status == 204).then_some(())
    });
}

#[test]
fn a_damaged_object_holds_no_rebalance_up() {
    let world = World::new(3, 200);
    let damaged = spoil(&world, 1)[0];
    let resting = rest(&world, &[damaged]);
    let (away, port) = (AtomicUsize::new(0), world.cluster.nodes[0].port);
    for object in (0..world.objects).filter(|o| *o != damaged) {
        assert!(read(port, object, &away) == Some(body(object, 1)), "{object}");
    }
    for through in 0..4 {
        let line = format!("GET {}", path(damaged));
        if let Some(answer) = world.cluster.ask(through, &line, &[], b"") {
            assert!(answer.status != 404 && !(answer.status == 200 && answer.is_whole()), "{}", answer.head);
        }
    }
    // Its target is its owner again.
    let answer = world.act("stop-maintenance", &resting);
    assert_eq!(answer.status, 200, "{answer:?}");
    world.rebalanced(1);
    remove(&world, damaged);
    assert_eq!(read(port, damaged, &away), None);
    assert_eq!(world.listed(0).len(), world.objects - 1);
}

#[test]
fn damaged_objects_are_replaced_and_removed_where_they_are() {
    let world = World::new(3, 200);
    let damaged = spoil(&world, 2);
    rest(&world, &damaged);
    put(world.cluster.nodes[0].port, damaged[0], 2);
    remove(&world, damaged[1]);
    let (away, port) = (AtomicUsize::new(0), world.cluster.nodes[0].port);
    assert!(read(port, damaged[0], &away) == Some(body(damaged[0], 2)));
    assert_eq!(read(port, damaged[1], &away), None);
    go_on(&world);
    // It rests with nothing on it.
    world.target(2, 4 + 16);
    until("it holds nothing", || (world.files(2) == 0).then_some(()));
    assert!(read(port, damaged[0], &away) == Some(body(damaged[0], 2)));
    assert_eq!(read(port, damaged[1], &away), None);
    assert_eq!(world.listed(0).len(), world.objects - 1);
}
