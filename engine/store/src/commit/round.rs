//! Which requests of a batch may happen side by side. Pure.

use std::collections::{HashMap, HashSet};

use weir_types::Bucket;

use crate::{Change, Request};

/// What a bucket's requests so far touch.
#[derive(Default)]
struct Touched {
    names: HashMap<String, Touch>,
    /// Every proper ancestor (as a path) of a touched name.
    above: HashSet<String>,
    all: bool,
}

enum Touch {
    Whole,
    Parts(HashSet<u32>),
}

/// Splits off the requests that can be carried out together, in order; the rest wait for the next round. Two that
/// touch one name, or names of which one would be the other's directory, are never together, nor does a later one
/// overtake an earlier one. Different parts of one upload go together.
pub(super) fn split<F>(waiting: Vec<Request<F>>) -> (Vec<Request<F>>, Vec<Request<F>>) {
    let mut touched: HashMap<Bucket, Touched> = HashMap::new();
    waiting.into_iter().partition(|request| {
        let bucket = request.change.key().0.clone();
        touched.entry(bucket).or_default().admit(&request.change)
    })
}

/// Splits a batch into those that go through the journal (`true`) and those that do not. Together if no two of them
/// touch one name or bucket, else in runs of neighbours, so that changes of one name keep their order.
pub(super) fn runs<F>(
    batch: Vec<Request<F>>,
    is_journaled: impl Fn(&Change<F>) -> bool,
) -> Vec<(bool, Vec<Request<F>>)> {
    let (journaled, others): (Vec<_>, Vec<_>) = batch.iter().partition(|r| is_journaled(&r.change));
    let names: HashSet<_> = journaled.iter().map(|r| r.change.key()).collect();
    let apart = others.iter().all(|r| match r.change.key() {
        (bucket, None) => !names.iter().any(|(b, _)| *b == bucket),
        key => !names.contains(&key),
    });
    let mut runs: Vec<(bool, Vec<Request<F>>)> = Vec::new();
    for request in batch {
        let journaled = is_journaled(&request.change);
        let fits = |(j, _): &&mut (bool, Vec<Request<F>>)| *j == journaled;
        let run = if apart { runs.iter_mut().find(fits) } else { runs.last_mut().filter(fits) };
        match run {
            Some((_, run)) => run.push(request),
            None => runs.push((journaled, vec![request])),
        }
    }
    runs
}

impl Touched {
    /// Notes the change; whether it touches nothing that was touched before.
    fn admit<F>(&mut self, change: &Change<F>) -> bool {
        let Some(name) = change.key().1 else {
            let free = self.names.is_empty() && !self.all;
            self.all = true;
            return free;
        };
        let name = name.as_str();
        let ancestors: Vec<&str> = name.match_indices('/').map(|(at, _)| name.split_at(at).0).collect();
        let related = self.above.contains(name) || ancestors.iter().any(|a| self.names.contains_key(*a));
        let part = match change {
            Change::PutPart { number, .. } => Some(*number),
            _ => None,
        };
        let same = match (self.names.get_mut(name), part) {
            (None, _) => false,
            (Some(Touch::Parts(parts)), Some(number)) => !parts.insert(number),
            (Some(_), _) => true,
        };
        let touch = match (part, self.names.remove(name)) {
            (Some(_), Some(Touch::Parts(parts))) => Touch::Parts(parts),
            (Some(number), None) => Touch::Parts(HashSet::from([number])),
            _ => Touch::Whole,
        };
        self.names.insert(name.to_owned(), touch);
        self.above.extend(ancestors.into_iter().map(str::to_owned));
        !(self.all || related || same)
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{BucketName, ObjectName, Provider};

    use super::*;
    use crate::{Durability, Terms};

    fn delete(bucket: &str, name: &str) -> Request<()> {
        let bucket = Bucket::global(Provider::Ais, BucketName::new(bucket).unwrap());
        let change = match name {
            "*" => Change::DestroyBucket { bucket },
            name => Change::Delete {
                bucket,
                name: ObjectName::new(name).unwrap(),
                terms: Terms::default(),
                durability: Durability::Durable,
            },
        };
        Request { change, together: None, now_ns: 0, reply: Box::new(|_| {}) }
    }

    #[test]
    fn rounds() {
        let check = |batch: &[&str], want: &[&[&str]]| {
            let of = |r: &Request<()>| r.change.key().1.map_or("*".to_owned(), ToString::to_string);
            let mut waiting: Vec<_> = batch.iter().map(|n| delete("b", n)).collect();
            let mut rounds = Vec::new();
            while !waiting.is_empty() {
                let (now, later) = split(waiting);
                rounds.push(now.iter().map(of).collect::<Vec<_>>());
                waiting = later;
            }
            assert_eq!(rounds, want);
        };
        check(&["a", "b", "c/d"], &[&["a", "b", "c/d"]]);
        check(&["a", "a", "a"], &[&["a"], &["a"], &["a"]]);
        check(&["a", "a/b", "c"], &[&["a", "c"], &["a/b"]]);
        check(&["a/b/c", "a", "a/b/d"], &[&["a/b/c"], &["a"], &["a/b/d"]]);
        check(&["a", "*", "b"], &[&["a"], &["*"], &["b"]]);
        check(&["*", "a"], &[&["*"], &["a"]]);
    }

    #[test]
    fn buckets_are_apart() {
        let (now, later) = split(vec![delete("b", "a"), delete("c", "a"), delete("c", "*")]);
        assert_eq!((now.len(), later.len()), (2, 1));
    }
}
