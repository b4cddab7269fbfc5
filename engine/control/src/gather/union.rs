//! One page out of the pages of holders that objects move between, targets or disks of one: names that two have are one, of
//! the later commit.
//!
//! Every holder is asked twice, and nobody a second time before everybody has answered once. An object that moves from one to
//! another is at the first when that one is asked first, or else has left it before, and is at the other when that one is asked
//! again. Each answers for the whole page, so that what is taken of it is known of all.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use weir_store::{Row, StoreError};

use crate::{LocalPage, Place};

/// The first `limit` names and common prefixes of all pages, as far as every page goes.
pub fn union(pages: &[LocalPage], limit: usize) -> Result<LocalPage, StoreError> {
    let end = pages.iter().filter_map(|page| page.next.as_deref()).min();
    let covered = |key: &str| end.is_none_or(|end| key <= end);
    // `None`: a common prefix.
    let mut all: BTreeMap<&str, Option<(Row<'_>, Place)>> = BTreeMap::new();
    for page in pages {
        for prefix in page.common_prefixes.iter().filter(|prefix| covered(prefix)) {
            all.insert(prefix, None);
        }
        for row in page.rows.iter().filter(|row| covered(row.name)) {
            match all.entry(row.name) {
                Entry::Vacant(free) => drop(free.insert(Some((row, page.place(&row))))),
                Entry::Occupied(mut there) => match there.get_mut() {
                    Some((known, place)) if known.object()?.commit < row.object()?.commit => {
                        (*known, *place) = (row, page.place(&row));
                    }
                    _ => {}
                },
            }
        }
    }
    let more = all.len() > limit;
    let mut page = LocalPage::default();
    let mut last = None;
    for (key, item) in all.into_iter().take(limit) {
        last = Some(key);
        match item {
            Some((row, place)) => {
                let place = page.place_number(place);
                page.rows.push(row.at(place));
            }
            None => page.common_prefixes.push(key.to_owned()),
        }
    }
    page.next = if more { last } else { end }.map(str::to_owned);
    Ok(page)
}

#[cfg(test)]
mod tests {
    use weir_store::{CommitId, Record, Rows};

    use super::*;

    fn page(names: &[(&str, u64)], prefixes: &[&str], next: Option<&str>) -> LocalPage {
        let mut rows = Rows::default();
        for (name, sequence) in names {
            let commit = CommitId { map_version: 1, sequence: *sequence };
            rows.push_record(name, 0, &Record { commit, ..Record::default() });
        }
        LocalPage {
            rows,
            places: vec![Place::default()],
            common_prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
            next: next.map(str::to_owned),
        }
    }

    fn check(pages: Vec<LocalPage>, limit: usize, want: (&[(&str, u64)], &[&str], Option<&str>)) {
        let got = union(&pages, limit).unwrap();
        let sequence = |row: Row<'_>| row.object().unwrap().commit.sequence;
        let names: Vec<_> = got.rows.iter().map(|row| (row.name, sequence(row))).collect();
        assert_eq!(names, want.0);
        assert_eq!(got.common_prefixes, want.1);
        assert_eq!(got.next.as_deref(), want.2);
    }

    #[test]
    fn a_name_that_two_have_is_one_of_the_later_commit() {
        let pages = || {
            vec![
                page(&[("a", 1), ("c", 5)], &["d/"], None),
                page(&[("a", 2), ("b", 1), ("c", 3)], &["d/"], None),
            ]
        };
        check(pages(), 9, (&[("a", 2), ("b", 1), ("c", 5)], &["d/"], None));
        check(pages(), 2, (&[("a", 2), ("b", 1)], &[], Some("b")));
        check(pages(), 4, (&[("a", 2), ("b", 1), ("c", 5)], &["d/"], None));
    }

    #[test]
    fn what_not_all_have_told_is_left_for_the_next_page() {
        let pages = vec![page(&[("a", 1), ("c", 1)], &[], Some("c")), page(&[("b", 1), ("d", 1)], &[], None)];
        check(pages, 9, (&[("a", 1), ("b", 1), ("c", 1)], &[], Some("c")));
        check(vec![page(&[], &[], None)], 9, (&[], &[], None));
    }
}
