//! Prefix, delimiter and limit applied to rows in order. Pure; the rows come from an index or a walk.

use std::sync::Arc;

use super::{ListQuery, Page, Row, entry};
use crate::StoreError;

/// Where the next row is looked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seek {
    /// Bytes of a name.
    pub(crate) bound: Vec<u8>,
    /// Whether a row of exactly these bytes is wanted.
    pub(crate) inclusive: bool,
}

impl Seek {
    pub(crate) fn admits(&self, name: &[u8]) -> bool {
        if self.inclusive { name >= self.bound.as_slice() } else { name > self.bound.as_slice() }
    }
}

/// Builds a page from rows that it asks for one after another.
pub(crate) struct Collector {
    query: ListQuery,
    rows: Vec<Row>,
    prefixes: Vec<String>,
    /// The last name or common prefix of the page.
    last: Option<String>,
    seek: Seek,
    more: bool,
    done: bool,
}

impl Collector {
    pub(crate) fn new(query: &ListQuery) -> Self {
        let prefix_first = query.start_after.is_empty() || query.prefix > query.start_after;
        let from = if prefix_first { &query.prefix } else { &query.start_after };
        Self {
            seek: Seek { bound: from.as_bytes().to_vec(), inclusive: prefix_first },
            query: query.clone(),
            rows: Vec::new(),
            prefixes: Vec::new(),
            last: None,
            more: false,
            done: false,
        }
    }

    /// Where the next row is wanted from; `None`: the page is complete.
    pub(crate) fn want(&self) -> Option<Seek> {
        (!self.done).then(|| self.seek.clone())
    }

    /// Passes over a name.
    pub(crate) fn skip(&mut self, name: &str) {
        self.seek = Seek { bound: name.as_bytes().to_vec(), inclusive: false };
    }

    /// Takes the first row at or after the wanted place.
    pub(crate) fn take(&mut self, row: Row) {
        let name: Arc<str> = row.0.clone();
        if !name.starts_with(&self.query.prefix) {
            self.done = true;
            return;
        }
        let common = self.common_prefix(&name);
        // A page that ended with a common prefix goes on after all that is rolled up in it.
        let seen = common.as_ref().is_some_and(|c| *c == self.query.start_after);
        if !seen {
            if self.rows.len() + self.prefixes.len() >= self.query.limit {
                (self.more, self.done) = (true, true);
                return;
            }
            self.last = Some(common.clone().unwrap_or_else(|| name.to_string()));
        }
        match common {
            Some(common) => {
                match successor(common.as_bytes()) {
                    Some(bound) => self.seek = Seek { bound, inclusive: true },
                    None => self.done = true,
                }
                if !seen {
                    self.prefixes.push(common);
                }
            }
            None => {
                self.skip(&name);
                self.rows.push(row);
            }
        }
    }

    fn common_prefix(&self, name: &str) -> Option<String> {
        let ListQuery { prefix, delimiter, .. } = &self.query;
        if delimiter.is_empty() {
            return None;
        }
        let rest = name.get(prefix.len()..)?;
        let end = prefix.len() + rest.find(delimiter.as_str())? + delimiter.len();
        name.get(..end).map(str::to_owned)
    }

    pub(crate) fn finish(self) -> Result<Page, StoreError> {
        let entries = self.rows.into_iter().map(entry).collect::<Result<_, _>>()?;
        Ok(Page { entries, common_prefixes: self.prefixes, next: self.last.filter(|_| self.more) })
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
    use crate::Record;

    fn pages(names: &[&str], query: &ListQuery) -> Vec<String> {
        let record: Arc<[u8]> = Record::default().encode().into();
        let mut sorted: Vec<&str> = names.to_vec();
        sorted.sort_unstable();
        let mut out = Vec::new();
        let mut query = query.clone();
        loop {
            let mut c = Collector::new(&query);
            while let Some(seek) = c.want() {
                match sorted.iter().find(|n| seek.admits(n.as_bytes())) {
                    Some(name) => c.take(((*name).into(), record.clone())),
                    None => break,
                }
            }
            let page = c.finish().unwrap();
            assert!(page.entries.len() + page.common_prefixes.len() <= query.limit);
            out.extend(page.entries.iter().map(|e| e.name.to_string()));
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
