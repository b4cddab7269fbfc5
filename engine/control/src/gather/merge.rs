//! One page out of the pages of several holders (targets, or disks of one), in the byte order of whole names.
//!
//! Names are spread evenly by their hash, so each holder is asked for its share of the page and a little more; whoever runs
//! out before the page is full is asked again. A page is made of complete knowledge only: a name goes in when no holder can
//! have one before it that has not been told.

use std::collections::VecDeque;

use weir_store::ListQuery;

use crate::{LocalEntry, LocalPage};

/// What holders are asked for beyond their share, in standard deviations of a fair spread: one of a thousand pages needs
/// a second question.
const DEVIATIONS: usize = 4;

/// An entry or a common prefix.
#[derive(Debug)]
enum Item {
    Entry(Box<LocalEntry>),
    Prefix(String),
}

impl Item {
    fn key(&self) -> &str {
        match self {
            Self::Entry(entry) => entry.name.as_str(),
            Self::Prefix(prefix) => prefix,
        }
    }
}

/// What one holder has told and is not used yet.
#[derive(Debug)]
struct Holder {
    items: VecDeque<Item>,
    /// After which name it has more to tell; `None`: it has told everything.
    more_after: Option<String>,
}

/// A page in the making.
#[derive(Debug)]
pub struct Merge {
    query: ListQuery,
    holders: Vec<Holder>,
    page: LocalPage,
    taken: usize,
    last: Option<String>,
}

impl Merge {
    /// A page of `query` from so many holders.
    pub fn new(query: ListQuery, holders: usize) -> Self {
        let holder = || Holder { items: VecDeque::new(), more_after: Some(query.start_after.clone()) };
        let holders = (0..holders).map(|_| holder()).collect();
        Self { query, holders, page: LocalPage::default(), taken: 0, last: None }
    }

    /// Takes what may be taken; then the questions without whose answers nothing more may be, each with the number of its
    /// holder. None: the page is complete.
    pub fn questions(&mut self) -> Vec<(usize, ListQuery)> {
        while self.taken < self.query.limit {
            let silent = |h: &Holder| h.items.is_empty() && h.more_after.is_some();
            if self.holders.iter().any(silent) {
                return self.ask(silent);
            }
            let heads =
                self.holders.iter().enumerate().filter_map(|(i, h)| Some((h.items.front()?.key(), i)));
            let Some((_, first)) = heads.min() else { break };
            let item = self.holders.get_mut(first).and_then(|h| h.items.pop_front());
            item.into_iter().for_each(|item| self.take(item));
        }
        Vec::new()
    }

    /// The answer of a holder to its question.
    pub fn answer(&mut self, holder: usize, page: LocalPage) {
        let Some(holder) = self.holders.get_mut(holder) else { return };
        let (mut entries, mut prefixes) =
            (page.entries.into_iter().peekable(), page.common_prefixes.into_iter().peekable());
        loop {
            let entry_first = match (entries.peek(), prefixes.peek()) {
                (Some(entry), Some(prefix)) => entry.name.as_str() < prefix.as_str(),
                (entry, _) => entry.is_some(),
            };
            let item = match entry_first {
                true => entries.next().map(|entry| Item::Entry(Box::new(entry))),
                false => prefixes.next().map(Item::Prefix),
            };
            match item {
                Some(item) => holder.items.push_back(item),
                None => break,
            }
        }
        holder.more_after = page.next;
    }

    /// The page.
    pub fn finish(mut self) -> LocalPage {
        let last = self.last.take();
        // A prefix that is on the page already is nothing more.
        let unused = |item: &Item| last.as_deref() != Some(item.key());
        let more = self.holders.iter().any(|h| h.more_after.is_some() || h.items.iter().any(unused));
        self.page.next = last.filter(|_| more);
        self.page
    }

    fn take(&mut self, item: Item) {
        if self.last.as_deref() == Some(item.key()) {
            // Several holders have names below the same prefix.
            return;
        }
        self.last = Some(item.key().to_owned());
        self.taken += 1;
        match item {
            Item::Entry(entry) => self.page.entries.push(*entry),
            Item::Prefix(prefix) => self.page.common_prefixes.push(prefix),
        }
    }

    fn ask(&self, silent: impl Fn(&Holder) -> bool) -> Vec<(usize, ListQuery)> {
        let left = self.query.limit - self.taken;
        let limit = share(left, self.holders.len());
        let of = |(i, holder): (usize, &Holder)| {
            let start_after = holder.more_after.clone().filter(|_| silent(holder))?;
            Some((i, ListQuery { start_after, limit, ..self.query.clone() }))
        };
        self.holders.iter().enumerate().filter_map(of).collect()
    }
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
    use weir_types::ObjectName;

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
            if page.entries.len() + page.common_prefixes.len() == query.limit {
                page.next = Some(last);
                break;
            }
            last.clone_from(&key);
            match cut {
                Some(_) => page.common_prefixes.push(key),
                None => page.entries.push(LocalEntry {
                    name: ObjectName::new(key).unwrap(),
                    record: Record::default(),
                    mountpath: "".into(),
                    target: "".into(),
                }),
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
        let entries = page.entries.iter().map(|e| e.name.as_str()).collect();
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
        assert_eq!((page.entries.len(), page.next.as_deref()), (10_000, Some("00009999")));
    }

    #[test]
    fn one_holder_of_everything_is_asked_again() {
        let mut holders = vec![BTreeSet::new(); 5];
        holders[2] = (0..100).map(|i| format!("{i:03}")).collect();
        let page = merged(&holders, &ListQuery { limit: 100, ..ListQuery::default() }, 10);
        assert_eq!((page.entries.len(), page.next), (100, None));
    }
}
