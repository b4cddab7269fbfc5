//! What request targets lead to: the same text leads to the same object for as long as the view of the cluster is the
//! same, so that taking it apart again and again is saved. Targets of plain GETs only. A route's place carries the permit of
//! whoever asked first and is worth nothing to others: who uses a route asks the gate for a permit of its own.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;
use std::sync::Arc;

use weir_cluster::ClusterView;
use weir_types::limits;

use crate::disks::DiskSet;
use crate::opened::Dialect;
use crate::place::Place;

/// Routes among which one of a full set is replaced.
const WAYS: usize = 4;
/// Longest target that is remembered, in bytes.
const TARGET_BYTES_MAX: usize = 512;

/// Where a target leads.
pub(crate) struct Route {
    target: Box<str>,
    pub(crate) dialect: Dialect,
    pub(crate) place: Place,
}

/// A route with the hash of its target, so that only the right one is looked into.
type Way = (u64, Rc<Route>);

/// The routes of a shard, by what the target's hash says.
pub(crate) struct Routes {
    sets: Box<[[Option<Way>; WAYS]]>,
    next: usize,
}

impl Routes {
    pub(crate) fn new() -> Self {
        Self { sets: (0..limits::ROUTES_MAX / WAYS).map(|_| Default::default()).collect(), next: 0 }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.sets.iter_mut().for_each(|set| *set = Default::default());
    }

    /// Where a target leads under this view and these disks, if that is known.
    pub(crate) fn find(
        &self,
        target: &str,
        view: &Arc<ClusterView>,
        set: &Arc<DiskSet>,
    ) -> Option<Rc<Route>> {
        let hash = hash_of(target);
        let (_, known) = self.sets.get(self.set_of(hash))?.iter().flatten().find(|(of, _)| *of == hash)?;
        (*known.target == *target && known.place.is_under(view, set)).then(|| known.clone())
    }

    /// Remembers where a target led.
    pub(crate) fn note(&mut self, target: &str, dialect: Dialect, place: &Place) {
        // A presigned target is used once, as a rule.
        if target.len() > TARGET_BYTES_MAX || target.contains("X-Amz-") {
            return;
        }
        let hash = hash_of(target);
        let at = self.set_of(hash);
        self.next = (self.next + 1) % WAYS;
        let next = self.next;
        let Some(set) = self.sets.get_mut(at) else { return };
        let same = set.iter().position(|way| way.as_ref().is_some_and(|(of, _)| *of == hash));
        let slot = same.or_else(|| set.iter().position(Option::is_none)).unwrap_or(next);
        let route = Route { target: target.into(), dialect, place: place.clone() };
        if let Some(slot) = set.get_mut(slot) {
            *slot = Some((hash, Rc::new(route)));
        }
    }

    fn set_of(&self, hash: u64) -> usize {
        (hash % self.sets.len().max(1) as u64) as usize
    }
}

fn hash_of(target: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::new().hash_one(target)
}

/// The target without the mark of the gateway that redirected it, which is new each time, and the log index of the mark.
/// None: it is marked, and carries more.
pub(crate) fn unmarked(target: &str) -> Option<(&str, u64)> {
    let Some((rest, marks)) = target.split_once("&utm=").filter(|_| target.starts_with("/v1/")) else {
        return Some((target, 0));
    };
    let (at, index) = marks.split_once("&vpams=")?;
    let (rest, gateway) = rest.rsplit_once("pid=")?;
    let is_plain =
        at.bytes().all(|b| b.is_ascii_digit()) && gateway.bytes().all(|b| b.is_ascii_alphanumeric());
    let rest = rest.strip_suffix(['?', '&']).filter(|_| is_plain)?;
    Some((rest, index.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_what_is_asked() {
        for (target, expected) in [
            ("/v1/objects/b/o?provider=ais", Some(("/v1/objects/b/o?provider=ais", 0))),
            ("/v1/objects/b/o?provider=ais&pid=p1&utm=5&vpams=9", Some(("/v1/objects/b/o?provider=ais", 9))),
            ("/v1/objects/b/o?pid=p1&utm=5&vpams=9", Some(("/v1/objects/b/o", 9))),
            ("/v1/objects/b/o?pid=p1&utm=5&vpams=9&u=voucher", None),
            ("/v1/objects/b/o?pid=p1&utm=5&vpams=9&latest-ver=true", None),
            ("/v1/objects/b/o?pid=p1&latest-ver=true&utm=5&vpams=9", None),
            ("/v1/objects/b/o?x=1&utm=5", None),
            ("/s3/b/o&utm=5", Some(("/s3/b/o&utm=5", 0))),
        ] {
            assert_eq!(unmarked(target), expected, "{target}");
        }
    }
}
