//! The store on real file systems through the disk of production: what it does with objects, and what only a real file
//! system refuses, runs out of or can share.

#![allow(unreachable_pub, reason = "the module beside is shared by tests")]

mod real;

use std::path::Path;
use std::time::Instant;

use real::*;
use weir_shard::Role;
use weir_store::{
    Access, Attrs, Buffer as _, Change, Disk as _, DiskErrorKind, DiskPath, Durability, EntryKind, Outcome,
    PartChoice, StoreError, WriteOptions,
};
use weir_types::ByteRange;

const MIB: usize = 1 << 20;
/// The least that mkfs.xfs accepts.
const XFS_BYTES_MIN: u64 = 300 << 20;

/// Runs `test` on a directory of the machine's own file system, on XFS and on tmpfs, by either way of opening.
fn everywhere(test: impl Fn(&Path, Role)) {
    for role in [Role::Shard { of: 1 }, Role::Background, Role::Committer] {
        let plain = tempfile::tempdir().unwrap();
        let mounted: Vec<_> =
            [Mounted::xfs(XFS_BYTES_MIN), Mounted::of_type("tmpfs")].into_iter().flatten().collect();
        for root in mounted.iter().map(|m| m.dir.as_path()).chain([plain.path()]) {
            let dir = root.join("m");
            std::fs::create_dir(&dir).unwrap();
            test(&dir, role);
        }
    }
}

#[test]
fn every_size_comes_back_whole_and_in_ranges() {
    let all = bytes(1, 9 * MIB);
    let sizes =
        [0, 1, 511, 4095, 4096, 4097, 65_535, 65_537, 262_143, 262_145, MIB + 1, 3 * MIB - 4095, 9 * MIB];
    everywhere(|dir, role| {
        let mut n = Node::start(dir, role, 1);
        for (i, size) in sizes.into_iter().enumerate() {
            let options = [
                written(Some(size)),
                written(None),
                WriteOptions { cached: true, ..written(Some(size)) },
                WriteOptions { durability: Durability::Relaxed, ..written(Some(size)) },
            ];
            n.put_as("dir/o", &all[..size], &options[i % options.len()]).unwrap();
            for access in [Access::Buffered, Access::Direct] {
                assert!(n.range("dir/o", access, None).unwrap() == all[..size], "{size} {access:?}");
                for (start, len) in [(0, 1), (size / 2, 5000), (size.saturating_sub(3), 3), (4096, 4096)] {
                    let end = (start + len).min(size);
                    if start < end {
                        let range = ByteRange { start: start as u64, len: (end - start) as u64 };
                        let got = n.range("dir/o", access, Some(range)).unwrap();
                        assert!(got == all[start..end], "{size} {access:?} {start}+{len}");
                    }
                }
            }
        }
        n.put("other", b"1").unwrap();
        drop(n);
        let mut n = Node::start(dir, role, 2);
        assert!(n.get("dir/o").unwrap() == all);
        assert_eq!(n.list(), ["dir/o", "other"]);
        n.delete("dir/o").unwrap();
        n.settle();
        assert!(n.get("dir/o").unwrap_err().is_not_found());
        assert!(files(dir).iter().all(|f| !f.contains("%ck") && !f.contains("dir/o")), "{:?}", files(dir));
    });
}

#[test]
fn hostile_names_stay_beneath_the_mountpath() {
    let long = "x".repeat(300);
    let deep = "y/".repeat(500);
    let names =
        ["a", "a/b", "a/b/c", "/", "//", ".", "..", "../../up", "a//b", "a/", "%wk", "\u{1}\n", &long, &deep];
    everywhere(|dir, role| {
        let beside = std::fs::read_dir(dir.parent().unwrap()).unwrap().count();
        let mut n = Node::start(dir, role, 1);
        for (i, text) in names.iter().enumerate() {
            n.put(text, &bytes(i as u64, 100)).unwrap();
        }
        drop(n);
        let mut n = Node::start(dir, role, 2);
        for (i, text) in names.iter().enumerate() {
            assert_eq!(n.get(text).unwrap(), bytes(i as u64, 100), "{text:?}");
        }
        let mut sorted = names.map(str::to_owned);
        sorted.sort_unstable();
        assert_eq!(n.list(), sorted);
        for text in names {
            n.delete(text).unwrap();
        }
        assert_eq!(n.list(), [""; 0]);
        assert_eq!(std::fs::read_dir(dir.parent().unwrap()).unwrap().count(), beside);
    });
}

#[test]
fn planted_links_are_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), b"not an object").unwrap();
    let untouched = || {
        assert_eq!(files(outside.path()), ["secret"]);
        assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"not an object");
    };
    everywhere(|dir, role| {
        let mut n = Node::start(dir, role, 1);
        n.put("kept", b"1").unwrap();
        n.settle();
        let objects = dir.join("@ais/b/%ob");
        std::os::unix::fs::symlink(outside.path(), objects.join("dir")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), objects.join("file")).unwrap();
        for text in ["dir/secret", "file", "dir/new"] {
            assert!(n.get(text).is_err(), "{text} was read through a link");
            // Refused or kept elsewhere: what counts is what happens outside.
            let _ = n.put(text, b"2");
            let _ = n.delete(text);
            n.settle();
            untouched();
        }
        drop(n);
        let n = Node::start(dir, role, 2);
        assert!(n.mountpath.poisoned().is_none());
        assert_eq!(n.get("kept").unwrap(), b"1");
        assert!(!n.list().iter().any(|name| name == "dir/secret"), "{:?}", n.list());
        untouched();
    });
}

#[test]
fn a_file_system_that_refuses_direct_io_is_used_buffered() {
    let Some(mounted) = Mounted::of_type("ramfs") else { return };
    for role in [Role::Shard { of: 1 }, Role::Background, Role::Committer] {
        let bench = Bench::new(&mounted.dir, role);
        let path = DiskPath::root().join(format!("{role:?}")).unwrap();
        let content = bytes(5, 100_001);
        bench.reactor.block_on(async {
            assert!(!bench.refuses_direct());
            let file = bench.disk.create(&path, true).await.unwrap();
            assert!(bench.refuses_direct());
            let mut buf = bench.disk.buffer(content.len()).await.unwrap();
            buf.set_len(content.len());
            buf.copy_from_slice(&content);
            bench.disk.write(&file, 0, buf).await.1.unwrap();
            bench.disk.sync(&file).await.unwrap();
            let file = bench.disk.open(&path, Access::Direct).await.unwrap();
            let buf = bench.disk.buffer(content.len()).await.unwrap();
            let (buf, got) = bench.disk.read(&file, 0, content.len(), buf).await;
            assert!(got == Ok(content.len()) && buf[..] == content);
            // Once it is known that direct I/O is refused, a taken name is refused as before.
            let again = bench.disk.create(&path, true).await.err().unwrap();
            assert_eq!(again.kind, DiskErrorKind::AlreadyExists);
        });
    }
}

#[test]
fn directories_are_listed_in_steps() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..2500 {
        std::fs::write(dir.path().join(format!("f{i:04}")), b"").unwrap();
    }
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::os::unix::fs::symlink("d", dir.path().join("l")).unwrap();
    let bench = Bench::new(dir.path(), Role::Background);
    let mut found = Vec::new();
    bench.reactor.block_on(bench.disk.list_dir(&DiskPath::root(), &mut |entry| found.push(entry))).unwrap();
    let of = |kind| found.iter().filter(|e| e.kind == kind).count();
    assert_eq!((of(EntryKind::File), of(EntryKind::Dir), of(EntryKind::Other)), (2500, 1, 1));
}

#[test]
fn a_full_disk_keeps_nothing_half() {
    let Some(mounted) = Mounted::xfs(XFS_BYTES_MIN) else { return };
    let mut n = Node::start(&mounted.dir, Role::Shard { of: 1 }, 1);
    n.put("kept", &bytes(1, 100_000)).unwrap();
    let filler = std::fs::File::create(mounted.dir.join("filler")).unwrap();
    let free = n.bench.reactor.block_on(n.bench.disk.space()).unwrap().free;
    let mut room = free;
    // What the file system says is free it may still need for itself.
    while room > 0 && allocate(&filler, free.saturating_sub(8 * MIB as u64).min(room)).is_err() {
        room -= room.min(MIB as u64);
    }
    let large = bytes(2, 24 * MIB);
    for options in [written(Some(large.len())), written(None), WriteOptions { cached: true, ..written(None) }]
    {
        let refused = n.put_as("kept", &large, &options).unwrap_err();
        assert!(matches!(refused, StoreError::NoSpace(_)), "{refused}");
        assert!(n.mountpath.poisoned().is_none());
        assert_eq!(n.get("kept").unwrap(), bytes(1, 100_000));
        n.settle();
    }
    assert_eq!(n.list(), ["kept"]);
    n.put("small", b"there is room for this").unwrap();
    drop(n);
    let mut n = Node::start(&mounted.dir, Role::Shard { of: 1 }, 2);
    n.settle();
    let whole: u64 = files(&mounted.dir)
        .iter()
        .filter(|f| f.starts_with("%wk"))
        .map(|f| std::fs::metadata(mounted.dir.join(f)).unwrap().len())
        .sum();
    assert_eq!(whole, 0, "bytes of work files: {:?}", files(&mounted.dir));
    assert_eq!((n.get("kept").unwrap().len(), n.get("small").unwrap().len()), (100_000, 22));
    drop(filler);
    std::fs::remove_file(mounted.dir.join("filler")).unwrap();
    n.put("kept", &large).unwrap();
    assert!(n.get("kept").unwrap() == large);
}

fn allocate(file: &std::fs::File, bytes: u64) -> std::io::Result<()> {
    weir_ring::sys::fallocate(file, 0, bytes)
}

/// 8 GiB of parts on a file system of 2 GiB: only shared extents can do it.
#[test]
fn a_thousand_parts_become_one_object_without_a_copy() {
    const PARTS: u32 = 1000;
    let part = bytes(3, 8 * MIB);
    let Some(mounted) = Mounted::xfs(2 << 30) else { return };
    let mut n = Node::start(&mounted.dir, Role::Background, 1);
    n.put("part", &part).unwrap();
    let used = |n: &Node| n.bench.reactor.block_on(n.bench.disk.space()).unwrap().used;
    let before = used(&n);
    let (volume, bucket, object) = (n.volume(), bucket(), name("whole"));
    let (attrs, durability) = (Attrs::default(), Durability::Durable);
    let create = Change::CreateUpload { bucket: bucket.clone(), name: object.clone(), attrs, durability };
    let Outcome::Upload(upload) = n.one(create).unwrap() else { panic!("not an upload") };
    let relaxed = WriteOptions { durability: Durability::Relaxed, ..written(None) };
    for number in 1..=PARTS {
        let prepared = n.bench.reactor.block_on(async {
            let source = volume.open(&bucket, &name("part")).await?;
            volume.duplicate(&source, &relaxed).await
        });
        let (bucket, name, upload) = (bucket.clone(), object.clone(), upload.clone());
        let prepared = prepared.unwrap();
        n.one(Change::PutPart { bucket, name, upload, number, prepared, etag: None }).unwrap();
    }
    let choice: Vec<_> = (1..=PARTS).map(|number| PartChoice { number, etag: None }).collect();
    let begin = Instant::now();
    let options = written(None);
    let assembled = volume.assemble(&bucket, &object, &upload, &choice, &options);
    let prepared = n.bench.reactor.block_on(assembled).unwrap();
    let assembled = begin.elapsed().as_secs_f64();
    n.commit("whole", prepared, Some(upload)).unwrap();
    eprintln!(
        "1,000 parts of 8 MiB: joined in {assembled:.3} s, named after {:.3} s",
        begin.elapsed().as_secs_f64()
    );
    n.settle();
    let grown = used(&n).saturating_sub(before);
    assert!(grown < 256 * MIB as u64, "{grown} bytes more for 8 GiB that share 8 MiB");
    let whole = n.bench.reactor.block_on(volume.open(&bucket, &object)).unwrap();
    assert_eq!(whole.size(), u64::from(PARTS) * part.len() as u64);
    assert_eq!(n.bench.reactor.block_on(whole.parts()).unwrap(), vec![part.len() as u64; PARTS as usize]);
    for at in [0, 499, 999] {
        let (start, len) = (at * part.len() as u64, part.len() as u64);
        let got = n.range("whole", Access::Buffered, Some(ByteRange { start, len })).unwrap();
        assert!(got == part, "part {at}");
    }
}
