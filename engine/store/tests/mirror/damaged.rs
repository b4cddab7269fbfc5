//! Copies that cannot be opened.

use super::*;

fn path(n: &str) -> DiskPath {
    DiskPath::root().join_all(format!("@ais/b/%ob/{n}")).unwrap()
}

fn cut(end: &End, n: &str) {
    let disk = end.node.borrow().disk.clone();
    block_on(async {
        let file = disk.reopen(&path(n), false).await?;
        disk.truncate(&file, 100).await?;
        disk.sync(&file).await
    })
    .unwrap();
}

#[test]
fn an_object_of_which_no_copy_can_be_opened_is_not_absent() {
    let holder = |disks: &Disks| disks.with("a", 2, async |copies| copies.holder().await);
    for hurt in [0, 1] {
        let disks = Disks::healthy(2);
        assert_eq!(holder(&disks).unwrap(), None);
        disks.put("a", &bytes(1, 300_000), Terms::default(), 2).unwrap();
        cut(&disks.0[hurt], "a");
        assert_eq!(holder(&disks).unwrap(), Some(1 - hurt), "the other one counts");
        let other = disks.0[1 - hurt].node.borrow().disk.clone();
        block_on(other.unlink(&path("a"))).unwrap();
        assert!(holder(&disks).unwrap_err().is_damage(), "{hurt} is damaged, the other one is gone");
        assert!(disks.even("a", 2).unwrap_err().is_damage());
        disks.delete("a", 2).unwrap();
        assert_eq!(holder(&disks).unwrap(), None);
    }
}

#[test]
fn a_removal_holds_where_a_disk_lost_its_files() {
    for lost in [&[0][..], &[1], &[0, 1]] {
        let disks = Disks::healthy(2);
        disks.put("a", b"small enough for the journal", Terms::default(), 2).unwrap();
        for at in lost {
            let mut node = disks.0[*at].node.borrow_mut();
            while block_on(node.committer.file_some(64)) {}
            block_on(node.disk.unlink(&path("a"))).unwrap();
        }
        assert_eq!(disks.delete("a", 2).is_ok(), lost.len() == 1);
        let disks = disks.crash(Crash::Kept, 3);
        disks.even("a", 2).unwrap();
        assert!(disks.0.iter().all(|end| end.record("a").is_none()), "lost at {lost:?}");
    }
}
