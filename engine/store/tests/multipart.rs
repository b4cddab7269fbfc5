//! Multipart uploads and cold flights when nothing fails.

mod common;

use std::sync::Arc;

use common::*;
use weir_store::sim::{Crash, SimDisk, block_on};
use weir_store::{
    Attrs, Change, Durability, Expected, Flight, FlightError, FlightHead, Lead, Outcome, PartChoice,
    StoreError, WriteOptions,
};
use weir_types::{ChecksumKind, checksum};

/// Parts of these sizes become one object; whether the bytes were copied.
fn check(sizes: &[usize], shares: bool, copied: bool) {
    let mut n = Node::fresh();
    n.disk.inner().set_shares(shares);
    let id = n.create_upload("b", "dir/o").unwrap();
    let mut all = Vec::new();
    let mut md5s = Vec::new();
    for (i, size) in sizes.iter().enumerate() {
        let content = bytes(i as u64, *size);
        let part = n.put_part("b", "dir/o", &id, i as u32 + 1, &content).unwrap();
        md5s.extend(checksum::of(ChecksumKind::Md5, &content).value);
        assert_eq!(part.record.etag_text(), checksum::of(ChecksumKind::Md5, &content).hex());
        all.extend(content);
    }
    let numbers: Vec<u32> = (1..=sizes.len() as u32).collect();
    let done = n.complete("b", "dir/o", &id, &numbers).unwrap();
    let kind = if copied { ChecksumKind::XxHash2 } else { ChecksumKind::Crc32c };
    assert_eq!(done.record.checksum(), checksum::of(kind, &all), "{sizes:?}");
    let etag = format!("{}-{}", checksum::of(ChecksumKind::Md5, &md5s).hex(), sizes.len());
    assert_eq!(done.record.etag_text(), etag);
    assert!(n.content("b", "dir/o").as_ref() == Some(&all), "{sizes:?}");
    let object = block_on(n.volume().open(&bucket("b"), &name("dir/o"))).unwrap();
    let parts: Vec<u64> = sizes.iter().map(|s| *s as u64).collect();
    assert_eq!(block_on(object.parts()).unwrap(), parts);
    let gone = block_on(n.volume().parts(&bucket("b"), &name("dir/o"), &id));
    assert!(matches!(gone, Err(StoreError::NoSuchUpload { .. })));
    n.settle();
    let n = n.restart(Crash::Dropped, 2);
    assert!(n.content("b", "dir/o") == Some(all), "{sizes:?}");
    assert_eq!(block_on(n.volume().uploads(&bucket("b"))).unwrap(), []);
}

#[test]
fn parts_on_the_grid_are_shared_others_copied() {
    check(&[4096, 4096, 100], true, false);
    check(&[4096, 4096, 100], false, true);
    check(&[100], true, false);
    check(&[0], true, false);
    check(&[4096, 100, 4096], true, true);
    check(&[1 << 20, 1 << 20, 1 << 20, 77], true, false);
    check(&[4 << 20, 4 << 20, 4 << 20, 1], true, false);
    check(&[12_000, 300_000, 5], true, true);
    let many: Vec<usize> = (1..200).collect();
    check(&many, true, true);
}

#[test]
fn part_sizes_that_do_not_fit_the_record_come_back() {
    let sizes: Vec<usize> = (0..600).map(|i| 10 + i % 7).collect();
    check(&sizes, true, true);
}

#[test]
fn uploads_survive_and_end() {
    let mut n = Node::fresh();
    let ids: Vec<_> = ["y", "x", "x"].iter().map(|o| n.create_upload("b", o).unwrap()).collect();
    n.put_part("b", "x", &ids[1], 2, b"two").unwrap();
    n.put_part("b", "x", &ids[1], 1, b"one").unwrap();
    n.put_part("b", "x", &ids[1], 2, b"TWO!").unwrap();
    let mut n = n.restart(Crash::Dropped, 2);
    let uploads = block_on(n.volume().uploads(&bucket("b"))).unwrap();
    let found: Vec<_> = uploads.iter().map(|u| (u.name.as_str(), u.id.as_str())).collect();
    assert_eq!(found, [("x", ids[1].as_str()), ("x", &ids[2]), ("y", &ids[0])]);
    assert_eq!(uploads[0].record.custom, pairs(&[("up", "load")]));
    let parts = block_on(n.volume().parts(&bucket("b"), &name("x"), &ids[1])).unwrap();
    let sizes: Vec<_> = parts.iter().map(|p| (p.number, p.record.size)).collect();
    assert_eq!(sizes, [(1, 3), (2, 4)]);
    assert_eq!(n.list_all("b"), [""; 0]);

    let assemble = |n: &Node, o: &str, id: &str, number, etag: Option<&str>| {
        let choice = [PartChoice { number, etag: etag.map(str::to_owned) }];
        block_on(n.volume().assemble(&bucket("b"), &name(o), id, &choice, &WriteOptions::default())).err()
    };
    assert!(matches!(assemble(&n, "x", &ids[1], 3, None), Some(StoreError::Part { number: 3, .. })));
    assert!(matches!(assemble(&n, "x", &ids[1], 1, Some("bad")), Some(StoreError::Part { number: 1, .. })));
    assert!(matches!(assemble(&n, "z", &ids[1], 1, None), Some(StoreError::NoSuchUpload { .. })));
    for bad in ["", "..", "../../x", "nope", &"0".repeat(32)] {
        assert!(matches!(assemble(&n, "x", bad, 1, None), Some(StoreError::NoSuchUpload { .. })), "{bad:?}");
    }
    let abort = |id: &str| Change::AbortUpload {
        bucket: bucket("b"),
        name: name("x"),
        upload: id.to_owned(),
        durability: Durability::Durable,
    };
    assert!(matches!(n.one(abort(&ids[1])), Ok(Outcome::Aborted)));
    assert!(matches!(n.one(abort(&ids[1])), Err(StoreError::NoSuchUpload { .. })));
    assert!(matches!(n.put_part("b", "x", &ids[1], 1, b"late"), Err(StoreError::NoSuchUpload { .. })));
    let n = n.restart(Crash::Dropped, 3);
    assert_eq!(block_on(n.volume().uploads(&bucket("b"))).unwrap().len(), 2);
}

#[test]
fn a_duplicate_has_the_bytes_and_the_checksums() {
    for shares in [true, false] {
        let mut n = Node::fresh();
        n.disk.inner().set_shares(shares);
        for size in [0, 5000, 9 << 20] {
            let content = bytes(1, size);
            n.put("b", "from", &content).unwrap();
            let from = block_on(n.volume().open(&bucket("b"), &name("from"))).unwrap();
            let options = WriteOptions { kinds: &[ChecksumKind::XxHash2], ..WriteOptions::default() };
            let prepared = block_on(n.volume().duplicate(&from, &options)).unwrap();
            let done = committed(n.one(put("b", "to", prepared, Attrs::default()))).unwrap();
            assert_eq!(done.record.checksum(), from.record().checksum());
            n.put("b", "from", b"else").unwrap();
            assert!(n.content("b", "to") == Some(content));
        }
    }
}

fn begin(n: &mut Node) -> Result<Outcome<F>, StoreError> {
    n.one(Change::ColdBegin { bucket: bucket("r"), name: name("o") })
}

fn lead(n: &mut Node) -> Lead<F> {
    let Ok(Outcome::Lead(lead)) = begin(n) else { panic!("no lead") };
    lead
}

fn follow(n: &mut Node) -> Arc<Flight<F>> {
    let Ok(Outcome::Follow(flight)) = begin(n) else { panic!("no flight to follow") };
    flight
}

#[test]
fn one_leads_and_all_read_along() {
    let mut n = Node::fresh();
    let content = bytes(4, 1_000_000);
    let lead = lead(&mut n);
    let followers: Vec<_> = (0..8).map(|_| follow(&mut n)).collect();
    let threads: Vec<_> = followers
        .into_iter()
        .map(|flight| {
            let disk: SimDisk = n.disk.inner().clone();
            std::thread::spawn(move || block_on(read_along(&flight, &disk)))
        })
        .collect();
    let options = WriteOptions { durability: Durability::Relaxed, ..WriteOptions::default() };
    let prepared = block_on(async {
        let mut writer = n.volume().writer(&options).await.unwrap();
        lead.begin(FlightHead { size: Some(1_000_000), ..FlightHead::default() }, &writer);
        for piece in content.chunks(77_777) {
            writer.write(piece.to_vec()).await.1.unwrap();
            lead.advance(writer.written());
        }
        writer.finish(&Expected::default()).await.unwrap()
    });
    assert!(n.get("r", "o").unwrap_err().is_not_found(), "not visible before it is whole");
    let Change::Put(mut change) = put("r", "o", prepared, Attrs::default()) else { panic!() };
    change.flight = Some(lead);
    committed(n.one(Change::Put(change))).unwrap();
    for thread in threads {
        assert!(thread.join().unwrap() == Ok(content.clone()));
    }
    assert!(matches!(begin(&mut n), Ok(Outcome::Present(_))));
    n.one(Change::Evict { bucket: bucket("r"), name: name("o") }).unwrap();
    assert!(matches!(begin(&mut n), Ok(Outcome::Lead(_))));
}

async fn read_along(flight: &Flight<F>, disk: &SimDisk) -> Result<Vec<u8>, FlightError> {
    let size = flight.head().await?.size.unwrap();
    let mut got = Vec::new();
    while (got.len() as u64) < size {
        let progress = flight.wait(got.len() as u64).await?;
        let len = (progress.written - got.len() as u64) as usize;
        got.extend(flight.read(disk, got.len() as u64, len).await.unwrap());
    }
    flight.finished().await?;
    Ok(got)
}

#[test]
fn a_failed_flight_fails_for_all_and_leaves_nothing() {
    let mut n = Node::fresh();
    for how in 0..3 {
        let lead = lead(&mut n);
        let flight = follow(&mut n);
        let writer = block_on(n.volume().writer(&WriteOptions::default())).unwrap();
        lead.begin(FlightHead::default(), &writer);
        let want = match how {
            0 => {
                drop(lead);
                FlightError::Abandoned
            }
            1 => {
                lead.fail(FlightError::Origin("reset".into()));
                FlightError::Origin("reset".into())
            }
            _ => {
                n.one(Change::DestroyBucket { bucket: bucket("r") }).unwrap();
                FlightError::Abandoned
            }
        };
        assert_eq!(block_on(flight.wait(0)), Err(want.clone()));
        assert_eq!(block_on(flight.head()).err(), Some(want));
        drop(writer);
    }
    n.settle();
    assert_eq!(n.disk.inner().files().keys().filter(|p| p.starts_with("%wk")).count(), 2);
}

/// A node of another ID, on a fresh disk.
fn another() -> Node {
    let disk = weir_store::sim::Faulty::new(SimDisk::new(), 0, weir_store::sim::Fault::NoSpace);
    let who = weir_store::Attach { node: "another".into(), ..attach() };
    let mountpath = block_on(weir_store::Mountpath::attach(&disk, &who, options(1))).unwrap();
    let mut committer = weir_store::Committer::new(disk.clone(), mountpath.clone());
    block_on(committer.recover()).unwrap();
    Node { disk, mountpath, committer, now_ns: 1_000, refiled: 0 }
}

#[test]
fn an_upload_keeps_its_id_at_another_node() {
    let (mut here, mut there) = (Node::fresh(), another());
    let ids = [here.create_upload("b", "o").unwrap(), there.create_upload("b", "o").unwrap()];
    assert_ne!(ids[0], ids[1], "both are the first of their nodes");
    let adopt = |node: &mut Node, o: &str| {
        let change = Change::AdoptUpload {
            bucket: bucket("b"),
            name: name(o),
            upload: ids[0].clone(),
            attrs: Attrs::default(),
        };
        node.one(change)
    };
    adopt(&mut there, "o").unwrap();
    there.put_part("b", "o", &ids[0], 1, b"part").unwrap();
    there.complete("b", "o", &ids[0], &[1]).unwrap();
    assert_eq!(there.content("b", "o").as_deref(), Some(&b"part"[..]));
    // An ID that another name's upload has here is not taken from it.
    let refused = adopt(&mut here, "other");
    assert!(matches!(refused, Err(StoreError::NoSuchUpload { .. })), "it took the place of an upload");
    here.put_part("b", "o", &ids[0], 1, b"kept").unwrap();
}
