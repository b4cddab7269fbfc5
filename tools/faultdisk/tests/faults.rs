//! A served disk with each fault in turn, used through the kernel. Says so and passes where the machine cannot serve one.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use weir_faultdisk::ctl::{answer, listen, send};
use weir_faultdisk::disk::Recorded;
use weir_faultdisk::fuse::Served;
use weir_faultdisk::log::{Kind, Log};
use weir_faultdisk::rig::{Fs, missing};

struct Rig {
    disk: Arc<Mutex<Recorded>>,
    file: File,
    served: Served,
    dir: tempfile::TempDir,
}

fn rig(test: &str) -> Option<Rig> {
    if let Some(missing) = missing(Fs::Ext4) {
        eprintln!("skipped: {test} needs {missing}, which is not here");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let mnt = dir.path().join("mnt");
    std::fs::create_dir(&mnt).unwrap();
    let disk = Recorded::open(&dir.path().join("image"), 1 << 20, &dir.path().join("log")).unwrap();
    let disk = Arc::new(Mutex::new(disk));
    let served = Served::start(&mnt, disk.clone()).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(served.disk()).unwrap();
    Some(Rig { disk, file, served, dir })
}

fn seq(rig: &Rig) -> u64 {
    std::fs::read_to_string(rig.served.seq()).unwrap().trim().parse().unwrap()
}

fn errno(result: std::io::Result<()>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

#[test]
fn records_in_order() {
    let Some(rig) = rig("records_in_order") else { return };
    assert_eq!(seq(&rig), 0);
    rig.file.write_all_at(b"hello", 4096).unwrap();
    assert_eq!(seq(&rig), 1);
    rig.file.sync_all().unwrap();
    rig.file.write_all_at(&[7; 3 << 16], 0).unwrap();
    assert_eq!(seq(&rig), 3);
    let mut back = [0; 5];
    rig.file.read_exact_at(&mut back, 4096).unwrap();
    assert_eq!(back, [7; 5]);
    let log = Log::open(&rig.dir.path().join("log")).unwrap();
    let kinds: Vec<_> = log.records().iter().map(|r| (r.kind, r.offset, r.len)).collect();
    assert_eq!(kinds, [(Kind::Write, 4096, 5), (Kind::Flush, 0, 0), (Kind::Write, 0, 3 << 16)]);
}

#[test]
fn faults_reach_the_caller_and_only_where_set() {
    let Some(rig) = rig("faults_reach_the_caller_and_only_where_set") else { return };
    let set = |line: &str| assert_eq!(answer(&rig.disk, line), "ok");
    let (eio, enospc) = (5, 28);
    let mut buffer = [0; 512];
    set("eio-read 4096 8192");
    assert_eq!(errno(rig.file.read_exact_at(&mut buffer, 4096)), Some(eio));
    rig.file.read_exact_at(&mut buffer, 8192).unwrap();
    set("eio-write 0 512");
    assert_eq!(errno(rig.file.write_all_at(b"x", 511)), Some(eio));
    rig.file.write_all_at(b"x", 512).unwrap();
    set("enospc 65536 1048576");
    assert_eq!(errno(rig.file.write_all_at(b"x", 70_000)), Some(enospc));
    set("eio-flush");
    assert_eq!(errno(rig.file.sync_all()), Some(eio));
    set("clear");
    rig.file.sync_all().unwrap();
    rig.file.write_all_at(b"x", 70_000).unwrap();
    set("cut");
    let before = seq(&rig);
    assert_eq!(errno(rig.file.write_all_at(b"x", 0)), Some(eio));
    assert_eq!(errno(rig.file.read_exact_at(&mut buffer, 0)), Some(eio));
    assert_eq!(seq(&rig), before, "a disk without power receives nothing");
}

#[test]
fn rot_is_not_a_write() {
    let Some(rig) = rig("rot_is_not_a_write") else { return };
    rig.file.write_all_at(&[0b1010], 999).unwrap();
    assert_eq!(answer(&rig.disk, "flip 999 1"), "ok");
    let mut byte = [0];
    rig.file.read_exact_at(&mut byte, 999).unwrap();
    assert_eq!(byte, [0b1000]);
    assert_eq!(answer(&rig.disk, "seq"), "ok 1");
}

#[test]
fn a_slow_disk_is_slow() {
    let Some(rig) = rig("a_slow_disk_is_slow") else { return };
    assert_eq!(answer(&rig.disk, "delay 50 flush"), "ok");
    let start = std::time::Instant::now();
    rig.file.sync_all().unwrap();
    assert!(start.elapsed() >= std::time::Duration::from_millis(50));
}

#[test]
fn the_socket_takes_lines() {
    let Some(rig) = rig("the_socket_takes_lines") else { return };
    let socket = rig.dir.path().join("ctl");
    listen(&socket, rig.disk.clone()).unwrap();
    assert_eq!(send(&socket, "seq").unwrap(), "ok 0");
    assert_eq!(send(&socket, "enospc 0 1048576").unwrap(), "ok");
    let full = rig.file.write_all_at(b"x", 0).map_err(|e| e.kind());
    assert_eq!(full, Err(ErrorKind::StorageFull));
    assert!(send(&socket, "burn").unwrap().starts_with("error: "));
}
