//! Objects of which no copy can be opened: they are there all the same.

use super::*;

#[test]
fn an_object_of_which_no_copy_can_be_opened_is_not_absent() {
    let dir = tempfile::tempdir().unwrap();
    let all = ["mp1", "mp2"];
    let mut node = with_copies(dir.path(), &all, 12);
    node.stop();
    // No journal has these.
    let names = [4, 5, 10, 11];
    for (n, mountpath) in names.iter().flat_map(|n| all.map(|mountpath| (*n, mountpath))) {
        let file = fs::OpenOptions::new().write(true).open(file(dir.path(), mountpath, n)).unwrap();
        file.set_len(100).unwrap();
    }
    // Of one of them a copy is gone altogether.
    fs::remove_file(file(dir.path(), "mp1", names[0])).unwrap();
    node.start(&all);
    for n in names {
        for method in ["GET", "HEAD"] {
            let answer = node.of(&object(method, &name(n)), b"");
            assert!(answer.status >= 500, "{method} {}: {}", name(n), answer.head);
        }
    }
    check(&node, 0..4);
    // They are replaced and removed as any other.
    assert_eq!(node.put(&name(4), &body(4)), 200);
    check(&node, 4..5);
    for n in [5, 10, 11] {
        assert_eq!(node.of(&object("DELETE", &name(n)), b"").status, 200);
        assert_eq!(node.get(&name(n)).status, 404);
    }
}
