//! Histories made by hand, and what is to be found out about them.

use weir_lincheck::{Verdict, check};

use super::*;

fn judge(operations: &[(u64, u64, What)]) -> Verdict {
    let history: Vec<_> = operations
        .iter()
        .map(|(begun, ended, what)| Operation { begun: *begun, ended: *ended, what: *what })
        .collect();
    check::<Pair>(&history, &[])
}

fn put(value: u64, version: u64) -> What {
    What::Put { name: 0, value, version }
}

fn read(value: u64, version: u64) -> What {
    What::Read { name: 0, got: Some(Held { value, note: 0, version }) }
}

#[test]
fn histories() {
    use Verdict::{Linearizable, Violation};
    let absent = |name| What::Read { name, got: None };
    let remove = |found| What::Remove { name: 0, found };
    assert_eq!(judge(&[]), Linearizable);
    assert_eq!(judge(&[(0, 1, absent(0)), (2, 5, put(7, 1)), (3, 4, read(7, 1))]), Linearizable);
    assert_eq!(judge(&[(2, 5, put(7, 1)), (3, 4, absent(0)), (4, 6, read(7, 1))]), Linearizable);
    // New, then old.
    assert_eq!(judge(&[(2, 9, put(7, 1)), (3, 4, read(7, 1)), (5, 6, absent(0))]), Violation(2));
    // A write that ended is seen.
    assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 3, put(8, 2)), (4, 5, read(7, 1))]), Violation(2));
    // Two writes, one version.
    assert_eq!(judge(&[(0, 9, put(7, 1)), (0, 9, put(8, 1))]), Violation(1));
    assert_eq!(judge(&[(0, 9, put(7, 2)), (0, 9, put(8, 1))]), Linearizable);
    assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 3, remove(true)), (4, 5, put(8, 1))]), Linearizable);
    assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 9, remove(true)), (2, 9, remove(true))]), Violation(2));
    assert_eq!(judge(&[(0, 1, put(7, 1)), (2, 9, remove(true)), (2, 9, remove(false))]), Linearizable);
}

#[test]
fn renames() {
    use Verdict::{Linearizable, Violation};
    let rename = |found| What::Rename { name: 0, found };
    let there = |version| What::Read { name: 1, got: Some(Held { value: 7, note: 0, version }) };
    let gone = What::Read { name: 0, got: None };
    assert_eq!(
        judge(&[(0, 1, put(7, 1)), (2, 3, rename(true)), (4, 5, there(1)), (4, 5, gone)]),
        Linearizable
    );
    // Both are there for a while.
    let both = [(0, 1, put(7, 1)), (2, 9, rename(true)), (3, 4, there(1)), (5, 6, read(7, 1)), (7, 8, gone)];
    assert_eq!(judge(&both), Linearizable);
    // Neither, never.
    let neither =
        [(0, 1, put(7, 1)), (2, 9, rename(true)), (3, 4, gone), (5, 6, What::Read { name: 1, got: None })];
    assert_eq!(judge(&neither), Violation(3));
    // What was written to the source after it was read stays.
    let meanwhile =
        |last| judge(&[(0, 1, put(7, 1)), (2, 9, rename(true)), (3, 4, there(1)), (5, 6, put(8, 2)), last]);
    assert_eq!(meanwhile((10, 11, read(8, 2))), Linearizable);
    assert_eq!(meanwhile((10, 11, gone)), Violation(4));
    assert_eq!(judge(&[(0, 1, rename(false)), (2, 3, rename(true))]), Violation(1));
}
