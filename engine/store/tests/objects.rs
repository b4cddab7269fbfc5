//! What a mountpath does with objects when nothing fails.

mod common;

use common::*;
use weir_store::sim::{Crash, block_on};
use weir_store::{
    Attach, Attrs, Blocks, Change, CommitId, Condition, Durability, Etag, IdentityError, Mountpath, Outcome,
    Record, Slot, StoreError, Terms, VersionRule, WriteOptions,
};
use weir_types::{ByteRange, Checksum, ChecksumKind, checksum};

#[test]
fn versions_grow_and_overwrites_replace() {
    let mut n = Node::fresh();
    for version in 1..=3u64 {
        let content = bytes(version, 10_000 * version as usize);
        let done = n.put("b", "dir/o", &content).unwrap();
        assert_eq!(done.record.version, version);
        assert_eq!(done.replaced_bytes, (version > 1).then_some(10_000 * (version - 1)));
        let (got, record) = n.get("b", "dir/o").unwrap();
        assert_eq!(got, content);
        assert_eq!(record, *done.record);
        assert_eq!(record.checksum(), checksum::of(ChecksumKind::XxHash2, &content));
    }
    n.delete("b", "dir/o").unwrap();
    assert!(n.get("b", "dir/o").unwrap_err().is_not_found());
    assert!(n.delete("b", "dir/o").unwrap_err().is_not_found());
    assert_eq!(n.put("b", "dir/o", b"again").unwrap().record.version, 1);
}

#[test]
fn every_size_around_the_edges_comes_back_in_any_range() {
    let mut n = Node::fresh();
    let all = bytes(9, 9 << 20);
    for size in [0usize, 1, 4095, 4096, 4097, 65_536, 262_143, 262_145, 1 << 20, (8 << 20) + 1, 9 << 20] {
        n.put("b", "o", &all[..size]).unwrap();
        assert!(n.content("b", "o").unwrap() == all[..size], "{size}");
        let object = block_on(n.volume().open(&bucket("b"), &name("o"))).unwrap();
        for (start, len) in [(0, 1), (size / 2, 5000), (size.saturating_sub(3), 3), (4096, 4096)] {
            if start >= size {
                continue;
            }
            let end = (start + len).min(size);
            let mut got = Vec::new();
            for chunk in object.chunks(ByteRange { start: start as u64, len: len as u64 }) {
                got.extend_from_slice(block_on(object.read(chunk)).unwrap().bytes());
            }
            assert!(got == all[start..end], "{size} {start} {len}");
        }
    }
    n.settle();
    let beside: Vec<_> = n.disk.inner().files().into_keys().filter(|p| p.contains("%ck")).collect();
    assert_eq!(beside.len(), 1, "one large object is left: {beside:?}");
}

#[test]
fn hostile_names_are_kept_exactly() {
    let mut n = Node::fresh();
    let long = "x".repeat(300);
    let names = [
        "a",
        "a/b",
        "a/b/c",
        "/",
        "//",
        ".",
        "..",
        "../../etc/passwd",
        "a//b",
        "a/",
        "/a",
        "a/./b",
        "%wk",
        "%ob/x",
        "\u{1}\n",
        "ж/я",
        &long,
        "\\..\\x",
        "%2e%2e",
        "a\u{202e}b",
        "d/..",
        &"y/".repeat(512),
    ];
    for (i, text) in names.iter().enumerate() {
        n.put("b", text, &bytes(i as u64, 100)).unwrap();
    }
    let check = |n: &Node| {
        for (i, text) in names.iter().enumerate() {
            assert_eq!(n.content("b", text), Some(bytes(i as u64, 100)), "{text:?}");
        }
        let mut sorted: Vec<_> = names.iter().map(ToString::to_string).collect();
        sorted.sort_unstable();
        assert_eq!(n.list_all("b"), sorted);
    };
    check(&n);
    let mut n = n.restart(Crash::Dropped, 2);
    check(&n);
    assert!(
        n.disk
            .inner()
            .files()
            .keys()
            .all(|p| p.starts_with("@ais/b/%") || p.starts_with("%wk/") || p.starts_with(".weir/"))
    );
    for text in names {
        n.delete("b", text).unwrap();
    }
    assert_eq!(n.list_all("b"), [""; 0]);
    n.settle();
    assert!(n.disk.inner().files().keys().all(|p| p.starts_with("%wk/") || p.starts_with(".weir/")));
}

#[test]
fn a_name_stays_where_it_is_until_it_is_deleted() {
    let mut n = Node::fresh();
    n.put("b", "a/b", b"1").unwrap();
    n.put("b", "a", b"2").unwrap();
    n.delete("b", "a/b").unwrap();
    n.put("b", "a", b"3").unwrap();
    assert_eq!(n.content("b", "a").unwrap(), b"3");
    assert!(n.disk.inner().files().keys().any(|p| p.contains("%nm")));
    n.delete("b", "a").unwrap();
    n.put("b", "a", b"4").unwrap();
    assert!(n.disk.inner().files().contains_key("@ais/b/%ob/a"));
    n.put("b", "a/b", b"5").unwrap();
    assert_eq!(
        (n.content("b", "a").unwrap(), n.content("b", "a/b").unwrap()),
        (b"4".to_vec(), b"5".to_vec())
    );
}

#[test]
fn preconditions() {
    let mut n = Node::fresh();
    let try_put = |n: &mut Node, terms: Terms| {
        let Change::Put(mut change) = n.put_change("b", "o", b"x", Durability::Durable).unwrap() else {
            panic!()
        };
        change.terms = terms;
        committed(n.one(Change::Put(change))).map(|c| c.record.version)
    };
    let any = Some(Condition::Any);
    let fresh = Terms { if_none_match: any.clone(), ..Terms::default() };
    assert!(try_put(&mut n, Terms { if_match: any.clone(), ..Terms::default() }).unwrap_err().is_not_found());
    assert_eq!(try_put(&mut n, fresh.clone()), Ok(1));
    assert!(matches!(try_put(&mut n, fresh), Err(StoreError::Precondition { what: "If-None-Match", .. })));
    let etag = n.get("b", "o").unwrap().1.etag_text();
    let same = Terms { if_match: Some(Condition::Etags(vec![etag])), ..Terms::default() };
    assert_eq!(try_put(&mut n, same.clone()), Ok(2));
    assert!(matches!(try_put(&mut n, same.clone()), Err(StoreError::Precondition { what: "If-Match", .. })));
    let old = Terms { if_unmodified_since_ns: Some(1), ..Terms::default() };
    assert!(matches!(try_put(&mut n, old), Err(StoreError::Precondition { .. })));
    let refused = n.one(Change::Delete {
        bucket: bucket("b"),
        name: name("o"),
        terms: same,
        durability: Durability::Durable,
    });
    assert!(matches!(refused, Err(StoreError::Precondition { .. })));
    n.settle();
    assert_eq!(
        n.disk.inner().files().keys().filter(|p| p.starts_with("%wk")).count(),
        2,
        "refused bytes are removed"
    );
}

#[test]
fn one_batch_keeps_the_order_of_a_name() {
    let mut n = Node::fresh();
    let mut batch = Vec::new();
    for i in 0..10 {
        batch.push(n.put_change("b", "o", &bytes(i, 10), Durability::Durable).unwrap());
        batch.push(n.put_change("b", &format!("o/{i}"), &bytes(i, 10), Durability::Durable).unwrap());
    }
    batch.push(set_custom("b", "o", &[("k", "v")], Durability::Durable));
    batch.push(delete("b", "o/3", Durability::Durable));
    let versions: Vec<_> = n
        .execute(batch)
        .into_iter()
        .map(|r| match r.unwrap() {
            Outcome::Committed(c) => c.record.version,
            _ => 0,
        })
        .collect();
    assert_eq!(versions.iter().step_by(2).copied().collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 10]);
    let (content, record) = n.get("b", "o").unwrap();
    assert_eq!((content, record.custom.get("k")), (bytes(9, 10), Some("v")));
    assert_eq!(n.list_all("b").len(), 10);
}

#[test]
fn stated_lengths_and_checksums_are_verified() {
    let mut n = Node::fresh();
    let finish = |n: &Node, expected: weir_store::Expected| {
        block_on(async {
            let options = WriteOptions { kinds: &[ChecksumKind::Md5], ..WriteOptions::default() };
            let mut w = n.volume().writer(&options).await.unwrap();
            w.write(b"hello".to_vec()).await.1.unwrap();
            w.finish(&expected).await.map(|p| p.md5_etag().unwrap().to_string())
        })
    };
    let md5 = |hex: &str| Checksum::from_hex(ChecksumKind::Md5, hex).unwrap();
    let good = md5("5d41402abc4b2a76b9719d911017c592");
    let expect = |size, sums: Vec<Checksum>| weir_store::Expected { size, checksums: sums };
    assert_eq!(finish(&n, expect(Some(5), vec![good.clone()])).unwrap(), good.hex());
    let wrong = finish(&n, expect(Some(6), vec![]));
    assert_eq!(wrong, Err(StoreError::SizeMismatch { expected: 6, got: 5 }));
    let wrong = finish(&n, expect(None, vec![md5(&"0".repeat(32))]));
    assert!(matches!(wrong, Err(StoreError::ChecksumMismatch { kind: ChecksumKind::Md5, .. })));
    let unknown = finish(&n, expect(None, vec![checksum::of(ChecksumKind::Sha1, b"hello")]));
    assert!(matches!(unknown, Err(StoreError::ChecksumMismatch { kind: ChecksumKind::Sha1, .. })));
    n.settle();
    assert_eq!(n.disk.inner().files().keys().filter(|p| p.starts_with("%wk")).count(), 2);
}

#[test]
fn metadata_comes_and_changes() {
    let mut n = Node::fresh();
    let prepared = n.prepare(b"x", Durability::Durable).unwrap();
    let attrs = Attrs {
        custom: pairs(&[("a", "1"), ("b", "2")]),
        etag: Some(Etag::Text("e".into())),
        version: VersionRule::Set(41),
        modified_ns: Some(5),
        ..Attrs::default()
    };
    n.one(put("b", "o", prepared, attrs)).unwrap();
    n.one(set_custom("b", "o", &[("b", "3"), ("c", "4")], Durability::Durable)).unwrap();
    let record = n.restart(Crash::Dropped, 2).get("b", "o").unwrap().1;
    assert_eq!(record.custom, pairs(&[("a", "1"), ("b", "3"), ("c", "4")]));
    assert_eq!((record.version, record.modified_ns, record.etag_text()), (41, 5, "e".to_owned()));
    assert!(n.one(set_custom("b", "none", &[], Durability::Durable)).err().unwrap().is_not_found());
    let large = "v".repeat(2000);
    let refused = n.one(set_custom("b", "o", &[("x", &large)], Durability::Durable));
    assert!(refused.is_ok());
    assert!(matches!(
        n.one(set_custom("b", "o", &[("z", &large)], Durability::Durable)),
        Err(StoreError::Custom(_))
    ));
}

#[test]
fn flipped_bits_are_an_error_and_no_bytes() {
    let mut n = Node::fresh();
    for (o, size) in [("small", 5000), ("large", 9 << 20)] {
        n.put("b", o, &bytes(1, size)).unwrap();
        let path = weir_store::DiskPath::root().join_all(format!("@ais/b/%ob/{o}")).unwrap();
        for byte in [0, size / 2, size - 1] {
            assert!(n.disk.inner().flip_bit(&path, byte));
            assert!(matches!(n.get("b", o), Err(StoreError::Corrupt { .. })), "{o} {byte}");
            assert!(n.disk.inner().flip_bit(&path, byte));
        }
        assert!(n.content("b", o) == Some(bytes(1, size)));
    }
    assert_eq!(n.mountpath.stats().corrupt_blocks, 6);
    let beside = n.disk.inner().files().into_keys().find(|p| p.contains("%ck")).unwrap();
    let beside = weir_store::DiskPath::root().join_all(&beside).unwrap();
    assert!(n.disk.inner().flip_bit(&beside, 4100));
    assert!(matches!(n.get("b", "large"), Err(StoreError::Record { .. })));
}

#[test]
fn relaxed_objects_live_in_their_boot_and_are_checked_in_the_next() {
    let mut n = Node::fresh();
    let (small, large) = (bytes(1, 100_000), bytes(2, 9 << 20));
    n.put_relaxed("b", "d/small", &small).unwrap();
    n.put_relaxed("b", "d/large", &large).unwrap();
    // Process death, the same boot, and a power loss after all was written back.
    for (crash, boot) in [(Crash::Kept, 1), (Crash::Flushed, 2)] {
        let n = n.restart(crash, boot);
        assert!(
            n.content("b", "d/small").as_ref() == Some(&small)
                && n.content("b", "d/large").as_ref() == Some(&large)
        );
    }
    // Written back, but for one sector.
    for o in ["small", "large"] {
        let path = weir_store::DiskPath::root().join_all(format!("@ais/b/%ob/d/{o}")).unwrap();
        n.disk.inner().flip_bit(&path, 77_777);
    }
    let mut n = n.restart(Crash::Flushed, 2);
    assert!(n.content("b", "d/small").is_none() && n.content("b", "d/large").is_none());
    assert!(
        n.one(set_custom("b", "d/small", &[("k", "v")], Durability::Durable)).err().unwrap().is_not_found()
    );
    assert_eq!(n.put("b", "d/small", &small).unwrap().record.size, 100_000);
    let n = n.restart(Crash::Dropped, 3);
    assert!(n.content("b", "d/small") == Some(small));
}

#[test]
fn buckets_are_destroyed_whole() {
    let mut n = Node::fresh();
    for i in 0..20 {
        n.put("b", &format!("d{}/o{i}", i % 3), b"x").unwrap();
        n.put("c", &format!("o{i}"), b"y").unwrap();
    }
    n.put("b", "..", b"z").unwrap();
    n.create_upload("b", "u").unwrap();
    assert_eq!(n.list_all("b").len(), 21);
    assert!(matches!(n.one(Change::DestroyBucket { bucket: bucket("b") }), Ok(Outcome::Destroyed)));
    assert_eq!(n.list_all("b").len(), 0);
    assert!(n.get("b", "d0/o0").unwrap_err().is_not_found());
    let mut n = n.restart(Crash::Dropped, 2);
    n.settle();
    assert!(!n.disk.inner().files().keys().any(|p| p.starts_with("@ais/b/") || p.contains("d0")));
    assert_eq!((n.list_all("b").len(), n.list_all("c").len()), (0, 20));
    assert_eq!(block_on(n.volume().buckets()).unwrap(), [bucket("c")]);
    assert!(n.one(Change::DestroyBucket { bucket: bucket("b") }).is_ok());
    assert_eq!(n.put("b", "o", b"new").unwrap().record.version, 1);
}

/// What comes from another target is as it was there, and goes only as what it is.
#[test]
fn an_object_that_moves_keeps_its_commit() {
    for (mut n, size) in [(Node::fresh(), 100), (Node::fresh(), 9 << 20), (Node::fresh_journaled(), 100)] {
        n.mountpath.set_map_version(9);
        let content = bytes(3, size);
        let commit = |sequence| CommitId { map_version: 7, sequence };
        let of = |sequence| Record {
            version: 5,
            modified_ns: 50,
            created_ns: 20,
            etag: Some(Etag::Commit(sequence)),
            commit: commit(sequence),
            ..Record::default()
        };
        let moved = |n: &Node, sequence| {
            let prepared = n.prepare(&content, Durability::Durable).unwrap();
            put("b", "o", prepared, Attrs::moved(&of(sequence)))
        };
        let change = moved(&n, 4);
        committed(n.one(change)).unwrap();
        n.settle();
        let (got, record) = n.get("b", "o").unwrap();
        assert!(got == content);
        let kept =
            (record.version, record.modified_ns, record.created_ns, record.commit, record.etag.clone());
        assert_eq!(kept, (5, 50, 20, commit(4), Some(Etag::Commit(4))));
        if let Blocks::Beside { file, .. } = record.blocks {
            assert_ne!(file, commit(4), "sequences of two targets may be the same");
        }
        // What is as old, or older, is not taken; what is newer is.
        for old in [4, 3] {
            let change = moved(&n, old);
            assert!(matches!(n.one(change), Err(StoreError::Outdated { .. })), "{old}");
        }
        let change = moved(&n, 6);
        committed(n.one(change)).unwrap();
        // It goes only if it is what its owner has.
        let release =
            |commit| Change::Release { bucket: bucket("b"), name: name("o"), commit, map_version: 1 };
        assert!(matches!(n.one(release(commit(4))), Err(StoreError::Precondition { .. })));
        let own = n.put("b", "o", b"own").unwrap().record;
        assert!(own.commit > commit(6) && own.version == 6);
        assert!(matches!(n.one(release(commit(6))), Err(StoreError::Precondition { .. })));
        assert!(matches!(n.one(release(own.commit)), Ok(Outcome::Deleted(_))));
        assert!(n.one(release(own.commit)).is_err_and(|e| e.is_not_found()));
        let mut n = n.restart(Crash::Dropped, 2);
        assert!(n.get("b", "o").unwrap_err().is_not_found());
        assert_eq!(n.put("b", "o", b"anew").unwrap().record.version, 1);
    }
}

#[test]
fn commit_ids_grow_over_restarts_and_generations_move() {
    let mut n = Node::fresh();
    let first = n.put("b", "o", b"1").unwrap().record.commit;
    let (slot, other) = (Slot::of(&bucket("b"), &name("o")), Slot::of(&bucket("b"), &name("other")));
    let generations =
        |n: &Node| (n.mountpath.generation(slot).unwrap(), n.mountpath.generation(other).unwrap());
    let before = generations(&n);
    n.mountpath.set_map_version(9);
    let second = n.put("b", "o", b"2").unwrap().record.commit;
    let after = generations(&n);
    assert!(second > first && second.map_version == 9);
    assert!(after.0 > before.0 && after.1 == before.1);
    n.one(Change::DestroyBucket { bucket: bucket("b") }).unwrap();
    let gone = generations(&n);
    assert!(gone.0 > after.0 && gone.1 > after.1, "all names of a bucket that goes");
    let mut n = n.restart(Crash::Dropped, 2);
    n.mountpath.set_map_version(9);
    assert!(n.put("b", "o", b"3").unwrap().record.commit > second);
}

#[test]
fn wrong_disks_are_refused() {
    let n = Node::fresh();
    let try_attach = |disk: &weir_store::sim::SimDisk, attach: &Attach| match block_on(Mountpath::attach(
        disk,
        attach,
        options(1),
    )) {
        Ok(m) => Ok(m.identity().epoch),
        Err(StoreError::Identity(e)) => Err(e),
        Err(e) => panic!("{e}"),
    };
    let disk = n.disk.inner().crash(Crash::Dropped, 1);
    assert_eq!(try_attach(&disk, &attach()), Ok(2));
    let stale = n.disk.inner().crash(Crash::Dropped, 1);
    let known = Attach { epoch_min: 2, create: false, ..attach() };
    assert_eq!(try_attach(&disk, &known), Ok(3));
    assert_eq!(try_attach(&stale, &known), Err(IdentityError::Stale { expected: 2, got: 1 }));
    let other = Attach { mountpath: Some("other".into()), ..attach() };
    assert!(matches!(try_attach(&disk, &other), Err(IdentityError::Swapped { .. })));
    let foreign = Attach { node: "other".into(), ..attach() };
    assert!(matches!(try_attach(&disk, &foreign), Err(IdentityError::Foreign { what: "node", .. })));
    let empty = weir_store::sim::SimDisk::new();
    assert!(matches!(
        try_attach(&empty, &Attach { create: false, ..attach() }),
        Err(IdentityError::Missing { .. })
    ));
    assert!(matches!(try_attach(&empty, &known), Err(IdentityError::Missing { .. })));
    let used = weir_store::sim::SimDisk::new();
    use weir_store::Disk as _;
    block_on(used.mkdir(&weir_store::DiskPath::root().join("photos").unwrap())).unwrap();
    assert_eq!(try_attach(&used, &attach()), Err(IdentityError::NotEmpty { entry: "photos".into() }));
}

#[test]
fn the_unfiled_are_asked_first() {
    let mut n = Node::fresh();
    n.put("b", "deleted", b"old").unwrap();
    n.put("b", "kept", b"k").unwrap();
    let record = std::sync::Arc::new(weir_store::Record {
        size: 3,
        blocks: weir_store::Blocks::Inline { block_bytes: 4096, sums: vec![crc_of(b"new")] },
        ..Default::default()
    });
    let unfiled = n.mountpath.acknowledged();
    unfiled.insert(&bucket("b"), &name("deleted"), weir_store::Unfiled::Deleted);
    unfiled.insert(
        &bucket("b"),
        &name("new"),
        weir_store::Unfiled::Put { record, content: b"new"[..].into() },
    );
    assert_eq!((n.content("b", "deleted"), n.content("b", "new")), (None, Some(b"new".to_vec())));
    assert_eq!(n.list_all("b"), ["kept", "new"]);
    unfiled.remove(&bucket("b"), &name("deleted"));
    unfiled.remove(&bucket("b"), &name("new"));
    assert_eq!(n.list_all("b"), ["deleted", "kept"]);
}

fn crc_of(bytes: &[u8]) -> u32 {
    let sum = checksum::of(ChecksumKind::Crc32c, bytes).value;
    u32::from_be_bytes(sum.try_into().unwrap())
}

#[test]
fn recovery_does_not_look_at_objects() {
    let calls_with = |objects: usize| {
        let mut n = Node::fresh();
        for i in 0..objects {
            n.put_relaxed("b", &format!("d{}/o{i}", i % 10), b"x").unwrap();
        }
        n.restart(Crash::Flushed, 2).disk.calls()
    };
    assert_eq!(calls_with(1), calls_with(500));
}
