//! Names on their way to other owners: who may still hold objects that are another target's. Pure; a part of the agreed state.
//!
//! | event | effect |
//! |---|---|
//! | the set of owners changes | the set before is remembered; every target that stays on the map may hold objects of others |
//! | a target has gone over its disks under the map of now | it holds its own alone |
//! | a target leaves the map | what it held is out of the cluster |
//! | nobody holds objects of others | over |

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::limits::OWNER_SETS_MAX;

use crate::{NodeId, hrw};

/// Objects may be elsewhere than at their owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moving {
    /// Version of the map with which the owners last changed.
    pub version: u64,
    /// The sets of owners that came before, oldest first: an object is at its owner by one of them, if not at that of now.
    before: Vec<BTreeSet<NodeId>>,
    /// There were more sets than are remembered: every holder may have every name.
    anywhere: bool,
    /// Targets that may hold objects of others.
    holders: BTreeSet<NodeId>,
}

impl Moving {
    /// The owners were `before` and are others from `version` of the map on; `targets` are all that are on it before and after.
    /// `None`: nobody can hold anything.
    pub fn begin(
        earlier: Option<&Self>,
        version: u64,
        before: BTreeSet<NodeId>,
        targets: BTreeSet<NodeId>,
    ) -> Option<Self> {
        let mut sets = earlier.map(|m| m.before.clone()).unwrap_or_default();
        // Who comes back to an earlier set: what is in it need not be asked for twice.
        sets.retain(|set| *set != before);
        sets.push(before);
        let mut anywhere = earlier.is_some_and(|m| m.anywhere);
        if sets.len() > OWNER_SETS_MAX {
            sets.clear();
            anywhere = true;
        }
        (!targets.is_empty()).then_some(Self { version, before: sets, anywhere, holders: targets })
    }

    /// A target holds its own objects alone, or left the map; `None`: nobody holds objects of others any more.
    #[must_use]
    pub fn without(mut self, target: &str) -> Option<Self> {
        self.holders.remove(target);
        (!self.holders.is_empty()).then_some(self)
    }

    /// Targets that may hold objects of others.
    pub fn holders(&self) -> &BTreeSet<NodeId> {
        &self.holders
    }

    /// Who, beside its owner, may hold the object of a name, the latest first.
    pub fn holders_of<'m>(&'m self, object_digest: u64, owner: &NodeId) -> Vec<&'m NodeId> {
        let may = |id: &&NodeId| *id != owner && self.holders.contains(id.as_str());
        if self.anywhere {
            return self.holders.iter().filter(may).collect();
        }
        let mut found = Vec::new();
        for set in self.before.iter().rev() {
            let of_set = hrw::pick(set.iter().map(|id| (id.digest(), id)), object_digest);
            if let Some(id) = of_set.filter(may).filter(|id| !found.contains(id)) {
                found.push(id);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(targets: &[usize]) -> BTreeSet<NodeId> {
        targets.iter().map(|n| NodeId::new(format!("target{n:02}")).unwrap()).collect()
    }

    fn owner(of: &BTreeSet<NodeId>, digest: u64) -> &NodeId {
        hrw::pick(of.iter().map(|id| (id.digest(), id)), digest).unwrap()
    }

    /// Plays changes of the owners beside moves that may stop anywhere: every object is at its owner, or at one that is asked.
    #[test]
    fn whoever_has_an_object_is_asked() {
        let sets = [&[1, 2, 3][..], &[1, 2, 3, 4], &[2, 3, 4], &[1, 2, 3, 4], &[1, 4], &[1, 3, 4]];
        for seed in 0..200u64 {
            let mut now = set(sets[0]);
            // Where each object is.
            let mut at: Vec<NodeId> = (0..50).map(|d| owner(&now, hrw::mix(d)).clone()).collect();
            let mut moving: Option<Moving> = None;
            for (step, next) in sets.iter().enumerate().skip(1).cycle().take(14) {
                let next = set(next);
                let all = set(&[1, 2, 3, 4]);
                moving = Moving::begin(moving.as_ref(), step as u64, now, all.clone());
                now = next;
                for (d, holder) in at.iter_mut().enumerate() {
                    let digest = hrw::mix(d as u64);
                    // Some are moved.
                    if hrw::mix(seed ^ hrw::mix((step * 100 + d) as u64)).is_multiple_of(2) {
                        *holder = owner(&now, digest).clone();
                    }
                }
                for target in &all {
                    let clean = at
                        .iter()
                        .enumerate()
                        .all(|(d, holder)| holder != target || owner(&now, hrw::mix(d as u64)) == target);
                    if clean && hrw::mix(seed ^ (step as u64) << 8 ^ target.digest()).is_multiple_of(3) {
                        moving = moving.and_then(|m| m.without(target.as_str()));
                    }
                }
                for (d, holder) in at.iter().enumerate() {
                    let digest = hrw::mix(d as u64);
                    let of_now = owner(&now, digest);
                    let asked = moving.as_ref().map(|m| m.holders_of(digest, of_now)).unwrap_or_default();
                    assert!(
                        holder == of_now || asked.contains(&holder),
                        "seed {seed} step {step} object {d}"
                    );
                    assert!(!asked.contains(&of_now));
                }
            }
        }
    }

    #[test]
    fn it_is_over_when_nobody_holds_objects_of_others() {
        assert!(Moving::begin(None, 3, set(&[]), set(&[])).is_none());
        let moving = Moving::begin(None, 3, set(&[1, 2]), set(&[1, 2])).unwrap();
        let left = moving.without("target01").unwrap();
        let digest = (0..).find(|d| owner(&set(&[1, 2]), *d).as_str() == "target01").unwrap();
        let third = NodeId::new("target03").unwrap();
        assert!(left.holders_of(digest, &third).is_empty(), "who is through is not asked");
        assert_eq!(left.without("target02"), None);
    }

    #[test]
    fn past_the_bound_everybody_is_asked() {
        let mut moving = None;
        for n in 0..=OWNER_SETS_MAX {
            moving = Moving::begin(moving.as_ref(), n as u64, set(&[1, 2, 10 + n]), set(&[1, 2, 3]));
        }
        let moving = moving.unwrap();
        let owner = NodeId::new("target03").unwrap();
        let asked: Vec<&str> = moving.holders_of(7, &owner).into_iter().map(NodeId::as_str).collect();
        assert_eq!(asked, ["target01", "target02"]);
    }
}
