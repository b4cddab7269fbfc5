//! Copies that cannot be opened.

use super::*;

fn path(n: &str) -> DiskPath {
    DiskPath::root().join_all(format!("@ais/b/%ob/{n}")).unwrap()
}

/// Every block of every copy is read before the copies are made even.
pub(super) fn scrub(disks: &Disks, n: &str) -> Got<Evened> {
    let ahead = disks.with(n, 2, async |copies| copies.carry_ahead(true).await)?;
    disks.with(n, 2, async |copies| copies.even_with(ahead).await)
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

#[test]
fn what_was_carried_ahead_counts_for_the_object_that_it_was_carried_of() {
    let carried = |disks: &Disks| disks.with("a", 2, async |copies| copies.carry_ahead(true).await).unwrap();
    let even =
        |disks: &Disks, ahead| disks.with("a", 2, async |copies| copies.even_with(ahead).await).unwrap();
    let [old, new] = [bytes(1, 300_000), bytes(2, 200_000)];
    for (hurt, change) in
        [0, 1].into_iter().flat_map(|hurt| ["none", "put", "delete", "mended"].map(|c| (hurt, c)))
    {
        let disks = Disks::healthy(2);
        disks.put("a", &old, Terms::default(), 2).unwrap();
        let disk = disks.0[hurt].node.borrow().disk.clone();
        assert!(disk.inner().flip_bit(&path("a"), 150_000));
        let ahead = carried(&disks);
        assert!(disks.0[hurt].node.borrow().get("b", "a").is_err(), "nothing is changed yet");
        let expected = match change {
            "put" => {
                disks.put("a", &new, Terms::default(), 2).unwrap();
                Some(new.clone())
            }
            "delete" => {
                disks.delete("a", 2).unwrap();
                None
            }
            "mended" => {
                scrub(&disks, "a").unwrap();
                Some(old.clone())
            }
            _ => Some(old.clone()),
        };
        let done = even(&disks, ahead);
        assert_eq!(done.copied, u64::from(matches!(change, "none" | "mended")), "{change}");
        for end in &disks.0 {
            assert!(end.node.borrow().content("b", "a") == expected, "{change} with {hurt} damaged");
        }
        assert_eq!(scrub(&disks, "a").unwrap(), Evened::default(), "{change}");
    }
    let disks = Disks::healthy(2);
    disks.put("a", &old, Terms::default(), 2).unwrap();
    for end in &disks.0 {
        assert!(end.node.borrow().disk.inner().flip_bit(&path("a"), 150_000));
    }
    assert!(scrub(&disks, "a").unwrap_err().is_damage(), "no copy is good");
}
