//! Prefix, delimiter and limit applied to rows in order. Pure; the rows come from an index or a walk.

use std::ops::Bound;

use super::rows::Row;
use super::{ListQuery, Page, Rows};

/// Bytes that a row takes as a rule: what a page begins with.
const ROW_BYTES: usize = 96;
/// Rows that a page begins with room for.
const ROWS_AT_FIRST: usize = 4096;

/// Where the next row is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seek {
    /// Bytes of a name.
    pub(crate) bound: Vec<u8>,
    /// Whether a row of exactly these bytes is wanted.
    pub(crate) inclusive: bool,
}

impl Seek {
    pub(crate) fn after(name: &str) -> Self {
        Self { bound: name.as_bytes().to_vec(), inclusive: false }
    }

    pub(crate) fn admits(&self, name: &[u8]) -> bool {
        if self.inclusive { name >= self.bound.as_slice() } else { name > self.bound.as_slice() }
    }

    pub(crate) fn range(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let bound = self.bound.as_slice();
        (if self.inclusive { Bound::Included(bound) } else { Bound::Excluded(bound) }, Bound::Unbounded)
    }
}

/// Which row a page needs after the one it took.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Then {
    /// The next one.
    Next,
    /// The first that this admits.
    Jump(Seek),
    /// None: it is complete.
    Done,
}

/// Builds a page from rows in order.
pub(crate) struct Collector<'q> {
    query: &'q ListQuery,
    rows: Rows,
    prefixes: Vec<String>,
    more: bool,
}

impl<'q> Collector<'q> {
    pub(crate) fn new(query: &'q ListQuery) -> Self {
        let rows = Rows::with_capacity(query.limit.min(ROWS_AT_FIRST), ROW_BYTES);
        Self { query, rows, prefixes: Vec::new(), more: false }
    }

    /// Where the first row is looked for.
    pub(crate) fn start(&self) -> Seek {
        let ListQuery { prefix, start_after, .. } = self.query;
        let inclusive = start_after.is_empty() || prefix > start_after;
        let from = if inclusive { prefix } else { start_after };
        Seek { bound: from.as_bytes().to_vec(), inclusive }
    }

    /// Takes the row that was wanted.
    pub(crate) fn take(&mut self, row: Row<'_>) -> Then {
        let ListQuery { prefix, start_after, limit, .. } = self.query;
        if !row.name.starts_with(prefix) {
            return Then::Done;
        }
        let common = self.common_prefix(row.name);
        // A page that ended with a common prefix goes on after all that is rolled up in it.
        let seen = common == Some(start_after);
        if !seen && self.rows.len() + self.prefixes.len() >= *limit {
            self.more = true;
            return Then::Done;
        }
        let Some(common) = common else {
            self.rows.push(row);
            return Then::Next;
        };
        if !seen {
            self.prefixes.push(common.to_owned());
        }
        successor(common.as_bytes()).map_or(Then::Done, |bound| Then::Jump(Seek { bound, inclusive: true }))
    }

    fn common_prefix<'n>(&self, name: &'n str) -> Option<&'n str> {
        let ListQuery { prefix, delimiter, .. } = self.query;
        if delimiter.is_empty() {
            return None;
        }
        let rest = name.get(prefix.len()..)?;
        let end = prefix.len() + rest.find(delimiter.as_str())? + delimiter.len();
        name.get(..end)
    }

    pub(crate) fn finish(self) -> Page {
        let Self { rows, prefixes, more, .. } = self;
        let last = rows.last().map(|row| row.name).max(prefixes.last().map(String::as_str));
        let next = last.filter(|_| more).map(str::to_owned);
        Page { rows, common_prefixes: prefixes, next }
    }
}

/// The least bytes greater than everything that begins with `prefix`; `None` if there are none.
pub(crate) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|b| *b != u8::MAX)?;
    let mut out = prefix.get(..=end)?.to_vec();
    if let Some(last) = out.last_mut() {
        *last += 1;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(names: &[&str], query: &ListQuery) -> Vec<String> {
        let mut sorted: Vec<&str> = names.to_vec();
        sorted.sort_unstable();
        let mut out = Vec::new();
        let mut query = query.clone();
        loop {
            let mut c = Collector::new(&query);
            let mut seek = c.start();
            while let Some(name) = sorted.iter().find(|n| seek.admits(n.as_bytes())) {
                seek = match c.take(Row::new(name, b"")) {
                    Then::Next => Seek::after(name),
                    Then::Jump(to) => to,
                    Then::Done => break,
                };
            }
            let page = c.finish();
            assert!(page.rows.len() + page.common_prefixes.len() <= query.limit);
            out.extend(page.rows.iter().map(|row| row.name.to_owned()));
            out.extend(page.common_prefixes);
            let Some(next) = page.next else { break };
            query.start_after = next;
        }
        out.sort_unstable();
        out
    }

    #[test]
    fn any_page_size_gives_the_same_names() {
        let names = ["a", "a.b", "a/b", "a/b/c", "a/c", "a0", "b", "b//c", "c/d/e", "ж/я"];
        let check = |prefix: &str, after: &str, delimiter: &str, want: &[&str]| {
            for limit in 1..12 {
                let query = ListQuery {
                    prefix: prefix.into(),
                    start_after: after.into(),
                    delimiter: delimiter.into(),
                    limit,
                };
                assert_eq!(pages(&names, &query), want, "{query:?}");
            }
        };
        check("", "", "", &{
            let mut n = names;
            n.sort_unstable();
            n
        });
        check("a/", "", "", &["a/b", "a/b/c", "a/c"]);
        check("", "", "/", &["a", "a.b", "a/", "a0", "b", "b/", "c/", "ж/"]);
        check("a/", "", "/", &["a/b", "a/b/", "a/c"]);
        check("a", "", "/", &["a", "a.b", "a/", "a0"]);
        check("", "a/b", "", &["a/b/c", "a/c", "a0", "b", "b//c", "c/d/e", "ж/я"]);
        check("", "a/", "/", &["a0", "b", "b/", "c/", "ж/"]);
        check("", "", "//", &["a", "a.b", "a/b", "a/b/c", "a/c", "a0", "b", "b//", "c/d/e", "ж/я"]);
        check("x", "", "", &[]);
        check("a", "b", "", &[]);
    }

    #[test]
    fn successors() {
        assert_eq!(successor(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(successor(&[1, 255]), Some(vec![2]));
        assert_eq!(successor(&[255]), None);
        assert_eq!(successor(b""), None);
    }
}
