//! One page out of the pages of several holders (targets, or disks of one), in the byte order of whole names.
//!
//! Names are spread evenly by their hash, so each holder is asked for its share of the page and a little more; whoever runs
//! out before the page is full is asked again. A page is made of complete knowledge only: a name goes in when no holder can
//! have one before it that has not been told.

use weir_store::{ListQuery, Row};

use crate::LocalPage;

/// What holders are asked for beyond their share, in standard deviations of a fair spread: one of a thousand pages needs
/// a second question.
const DEVIATIONS: usize = 4;

/// An object's name or a common prefix.
#[derive(Debug)]
struct Item<'p> {
    key: &'p [u8],
    is_object: bool,
}

/// What one holder has told.
#[derive(Debug)]
struct Holder {
    page: LocalPage,
    /// How many of its objects are used.
    objects_used: usize,
    /// How many of its common prefixes are.
    prefixes_used: usize,
    /// The numbers that its places have in the page in the making.
    places: Vec<u16>,
    /// After which name it has more to tell; `None`: it has told everything.
    more_after: Option<String>,
}

impl Holder {
    /// The first that is not used.
    fn head(&self) -> Option<Item<'_>> {
        let object = self.page.rows.name(self.objects_used);
        let prefix = self.page.common_prefixes.get(self.prefixes_used).map(String::as_bytes);
        let is_object = match (object, prefix) {
            (Some(object), Some(prefix)) => object < prefix,
            (object, _) => object.is_some(),
        };
        Some(Item { key: if is_object { object? } else { prefix? }, is_object })
    }

    fn is_silent(&self) -> bool {
        let LocalPage { rows, common_prefixes, .. } = &self.page;
        let all_used = self.objects_used >= rows.len() && self.prefixes_used >= common_prefixes.len();
        all_used && self.more_after.is_some()
    }

    /// Gives what is first to a page, unless that ends with it.
    fn give(&mut self, is_object: bool, is_new: bool, page: &mut LocalPage) {
        if is_object {
            let row = self.page.rows.get(self.objects_used).filter(|_| is_new);
            let place = |row: &Row<'_>| self.places.get(usize::from(row.place)).copied().unwrap_or(u16::MAX);
            row.into_iter().for_each(|row| page.rows.push(row.at(place(&row))));
            self.objects_used += 1;
        } else {
            let prefix = self.page.common_prefixes.get(self.prefixes_used).filter(|_| is_new);
            page.common_prefixes.extend(prefix.cloned());
            self.prefixes_used += 1;
        }
    }
}

/// A page in the making.
#[derive(Debug)]
pub struct Merge {
    query: ListQuery,
    holders: Vec<Holder>,
    page: LocalPage,
}

impl Merge {
    /// A page of `query` from so many holders.
    pub fn new(query: ListQuery, holders: usize) -> Self {
        let holder = || Holder {
            page: LocalPage::default(),
            objects_used: 0,
            prefixes_used: 0,
            places: Vec::new(),
            more_after: Some(query.start_after.clone()),
        };
        let holders = (0..holders).map(|_| holder()).collect();
        Self { query, holders, page: LocalPage::default() }
    }

    /// Takes what may be taken; then the questions without whose answers nothing more may be, each with the number of its
    /// holder. None: the page is complete.
    pub fn questions(&mut self) -> Vec<(usize, ListQuery)> {
        while taken(&self.page) < self.query.limit {
            if self.holders.iter().any(Holder::is_silent) {
                return self.ask();
            }
            let heads = self.holders.iter().enumerate().filter_map(|(at, holder)| Some((at, holder.head()?)));
            let Some((at, Item { key, is_object })) = heads.min_by_key(|(_, item)| item.key) else { break };
            // Several holders may have names below the same prefix, or copies of one object.
            let is_new = last(&self.page) != Some(key);
            if let Some(holder) = self.holders.get_mut(at) {
                holder.give(is_object, is_new, &mut self.page);
            }
        }
        Vec::new()
    }

    /// The answer of a holder to its question.
    pub fn answer(&mut self, holder: usize, page: LocalPage) {
        let Some(holder) = self.holders.get_mut(holder) else { return };
        let places = page.places.iter().map(|place| self.page.place_number(place.clone())).collect();
        let more_after = page.next.clone();
        *holder = Holder { page, objects_used: 0, prefixes_used: 0, places, more_after };
    }

    /// The page.
    pub fn finish(self) -> LocalPage {
        let Self { holders, mut page, .. } = self;
        let end = last(&page);
        // A prefix that is on the page already is nothing more.
        let has_more = |h: &Holder| {
            let objects = h.page.rows.iter().skip(h.objects_used).map(|row| row.name.as_bytes());
            let prefixes = h.page.common_prefixes.iter().skip(h.prefixes_used).map(String::as_bytes);
            h.more_after.is_some() || objects.chain(prefixes).any(|key| Some(key) != end)
        };
        let end = end.filter(|_| holders.iter().any(has_more));
        page.next = end.map(|end| String::from_utf8_lossy(end).into_owned());
        page
    }

    fn ask(&self) -> Vec<(usize, ListQuery)> {
        let left = self.query.limit - taken(&self.page);
        let limit = share(left, self.holders.len());
        let of = |(i, holder): (usize, &Holder)| {
            let start_after = holder.more_after.clone().filter(|_| holder.is_silent())?;
            Some((i, ListQuery { start_after, limit, ..self.query.clone() }))
        };
        self.holders.iter().enumerate().filter_map(of).collect()
    }
}

fn taken(page: &LocalPage) -> usize {
    page.rows.len() + page.common_prefixes.len()
}

/// The last name or common prefix of a page.
fn last(page: &LocalPage) -> Option<&[u8]> {
    let object = page.rows.len().checked_sub(1).and_then(|at| page.rows.name(at));
    object.max(page.common_prefixes.last().map(String::as_bytes))
}

/// How many of `left` names one of `holders` is asked for.
fn share(left: usize, holders: usize) -> usize {
    if holders <= 1 {
        return left;
    }
    let fair = left.div_ceil(holders);
    (fair + DEVIATIONS * fair.isqrt() + DEVIATIONS).min(left)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use weir_store::Record;

    use super::*;

    /// What a holder of these names answers, as the store does.
    fn page_of(names: &BTreeSet<String>, query: &ListQuery) -> LocalPage {
        let mut page = LocalPage::default();
        let mut last = String::new();
        for name in names.iter().filter(|n| n.starts_with(&query.prefix)) {
            let rest = &name[query.prefix.len()..];
            let cut = if query.delimiter.is_empty() { None } else { rest.find(&query.delimiter) };
            let key =
                cut.map_or(name.clone(), |at| name[..query.prefix.len() + at + query.delimiter.len()].into());
            if key.as_str() <= query.start_after.as_str() || key == last {
                continue;
            }
            if taken(&page) == query.limit {
                page.next = Some(last);
                break;
            }
            last.clone_from(&key);
            match cut {
                Some(_) => page.common_prefixes.push(key),
                None => page.rows.push_record(&key, 0, &Record::default()),
            }
        }
        page
    }

    fn merged(holders: &[BTreeSet<String>], query: &ListQuery, questions_max: usize) -> LocalPage {
        let mut merge = Merge::new(query.clone(), holders.len());
        for _ in 0..questions_max {
            let questions = merge.questions();
            if questions.is_empty() {
                return merge.finish();
            }
            for (holder, question) in questions {
                assert!(question.limit > 0 && question.limit <= query.limit);
                merge.answer(holder, page_of(&holders[holder], &question));
            }
        }
        panic!("too many questions");
    }

    fn names(page: &LocalPage) -> (Vec<&str>, Vec<&str>, Option<&str>) {
        let entries = page.rows.iter().map(|row| row.name).collect();
        (entries, page.common_prefixes.iter().map(String::as_str).collect(), page.next.as_deref())
    }

    proptest! {
        /// However names are spread, a merged page is that of one holder of all.
        #[test]
        fn pages_are_those_of_one_holder(
            names_and_holders in prop::collection::vec(("[ab/]{1,5}", 0..4usize), 0..60),
            prefix in "[ab/]{0,2}",
            start_after in "[ab/]{0,3}",
            delimiter in prop::sample::select(vec!["", "/", "a/"]),
            limit in 1..20usize,
        ) {
            let mut holders = vec![BTreeSet::new(); 4];
            for (name, holder) in &names_and_holders {
                // One owner per name.
                if holders.iter().all(|h: &BTreeSet<String>| !h.contains(name)) {
                    holders[*holder].insert(name.clone());
                }
            }
            let all = holders.iter().flatten().cloned().collect();
            let mut query = ListQuery { prefix, start_after, delimiter: delimiter.into(), limit };
            loop {
                let expected = page_of(&all, &query);
                let got = merged(&holders, &query, 100);
                prop_assert_eq!(&names(&got).0, &names(&expected).0);
                prop_assert_eq!(&names(&got).1, &names(&expected).1);
                // A holder that is cut off just before a prefix of the page may seem to have more; it never seems to have less.
                if let Some(next) = expected.next {
                    prop_assert_eq!(got.next.as_deref(), Some(next.as_str()));
                    query.start_after = next;
                } else {
                    break;
                }
            }
        }
    }

    #[test]
    fn an_even_spread_takes_one_question() {
        let mut holders = vec![BTreeSet::new(); 3];
        for i in 0..30_000 {
            // As a hash would.
            let holder = (weir_cluster::hrw::mix(i) % 3) as usize;
            holders[holder].insert(format!("{i:08}"));
        }
        let query = ListQuery { limit: 10_000, ..ListQuery::default() };
        assert!(share(query.limit, 3) < 3700);
        let page = merged(&holders, &query, 2);
        assert_eq!((page.rows.len(), page.next.as_deref()), (10_000, Some("00009999")));
    }

    #[test]
    fn one_holder_of_everything_is_asked_again() {
        let mut holders = vec![BTreeSet::new(); 5];
        holders[2] = (0..100).map(|i| format!("{i:03}")).collect();
        let page = merged(&holders, &ListQuery { limit: 100, ..ListQuery::default() }, 10);
        assert_eq!((page.rows.len(), page.next), (100, None));
    }
}
