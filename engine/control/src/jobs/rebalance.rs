//! Rebalance: each target goes over its own disks and has every object that is another's taken over by its owner, which
//! removes it here when it has it. It ends when nothing of others is left, or when the owners change again: then another
//! rebalance begins. What cannot be moved now is tried again, for as long as it takes: names are reachable meanwhile, since
//! their owner asks for them. What is damaged cannot be moved at all: it stays where it is, its owner goes on to ask for it
//! here, and when nothing else is left the part ends and says so.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use weir_cluster::{ClusterView, Node, hrw};
use weir_store::ListQuery;
use weir_types::limits::{DAMAGED_KNOWN_MAX, MOVE_SECONDS_MAX, MOVES_TOGETHER_MAX};
use weir_types::{Bucket, ObjectName};

use super::Progress;
use crate::core::Core;
use crate::peers::PeerCall;
use crate::runtime::{self, Bug, planted};
use crate::{LocalPage, Upload};

/// Objects of a page of what is here; between two pages the work rests.
const PAGE: usize = 256;
/// Before what could not be moved is tried again, from the first rest on to the longest: twice as long after each round that
/// moved nothing.
const AGAIN: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(5)];
/// Of so many rounds that leave something behind, one says in the log what.
const ROUNDS_TOLD: usize = 20;
/// The longest rest after a page. A rest takes as long as the page did: half of the time is everybody else's.
const REST_MAX: Duration = Duration::from_millis(500);

/// Does this target's part of the rebalance to the owners by a version of the map.
pub(super) async fn objects(core: &Core, version: u64, progress: &Progress) {
    let work = Work { core, version, progress, round: Mutex::default(), damaged: Mutex::default() };
    let [first, longest] = AGAIN;
    let mut rest = first;
    if planted(Bug::NothingLookedFor) {
        return;
    }
    while let Some(view) = work.view() {
        let moved = progress.done().objects;
        work.round.lock().begin();
        for (bucket, _) in view.bmd.iter() {
            work.bucket(bucket).await;
        }
        let Round { left, damaged, why, .. } = work.round.lock().clone();
        progress.leave(left, &why);
        if left == 0 {
            return;
        }
        if left == damaged && work.view().is_some() {
            return progress.fail(format!("{left} damaged and not moved: {why}"));
        }
        rest = if progress.done().objects > moved { first } else { (rest * 2).min(longest) };
        runtime::sleep(rest).await;
    }
}

struct Work<'w> {
    core: &'w Core,
    version: u64,
    progress: &'w Progress,
    round: Mutex<Round>,
    /// What is known to be damaged.
    damaged: Mutex<BTreeSet<(Bucket, ObjectName)>>,
}

/// A round over all that is here, and what it leaves.
#[derive(Clone, Default)]
struct Round {
    number: usize,
    /// Objects, or whole buckets, that could not be moved.
    left: u64,
    /// How many of them cannot be, ever.
    damaged: u64,
    /// Why the first of them could not.
    why: String,
}

impl Round {
    fn begin(&mut self) {
        *self = Self { number: self.number + 1, ..Self::default() };
    }

    /// Whether what is left in it is read whole, to see whether it is damaged: seldom, as it is all read each time.
    fn looks_for_damage(&self) -> bool {
        self.number >= 2 && self.number.is_power_of_two()
    }

    /// Notes what is left, and says whether it is the first of this round.
    fn leave(&mut self, what: &dyn Display, why: &dyn Display) -> bool {
        self.left += 1;
        if self.left == 1 {
            self.why = format!("{what}: {why}");
        }
        self.left == 1
    }
}

impl Work<'_> {
    /// The view of now, while the work is wanted.
    fn view(&self) -> Option<Arc<ClusterView>> {
        let view = self.core.view().ok()?;
        let wanted = view.moving.as_ref().is_some_and(|m| m.version == self.version);
        (wanted && !self.progress.is_over()).then_some(view)
    }

    fn leave(&self, what: &dyn Display, why: &dyn Display) {
        let mut round = self.round.lock();
        match round.leave(what, why) && round.number.is_multiple_of(ROUNDS_TOLD) {
            true => tracing::warn!("{what}, and maybe others, are not at their owners yet: {why}"),
            false => tracing::debug!("{what} is not at its owner yet: {why}"),
        }
    }

    /// Leaves what its owner could not take: for good if it is damaged, which is looked for when it goes on failing.
    async fn leave_object(&self, bucket: &Bucket, name: &ObjectName, why: &(dyn Display + Sync)) {
        if !self.round.lock().looks_for_damage() {
            return self.leave(name, why);
        }
        match self.core.backend.damage(bucket, name).await {
            Ok(Some(damage)) => self.leave_damaged(bucket, name, &damage),
            Ok(None) | Err(_) => self.leave(name, why),
        }
    }

    fn leave_damaged(&self, bucket: &Bucket, name: &ObjectName, damage: &str) {
        let mut known = self.damaged.lock();
        // Past the bound it is looked for again.
        if known.len() < DAMAGED_KNOWN_MAX && known.insert((bucket.clone(), name.clone())) {
            tracing::error!(%bucket, %name, "damaged: it stays here and is not moved to its owner: {damage}");
        }
        drop(known);
        let mut round = self.round.lock();
        round.leave(&format!("{bucket}/{name}"), &damage);
        round.damaged += 1;
    }

    fn is_damaged(&self, bucket: &Bucket, name: &ObjectName) -> bool {
        let known = self.damaged.lock();
        !known.is_empty() && known.contains(&(bucket.clone(), name.clone()))
    }

    async fn bucket(&self, bucket: &Bucket) {
        // What was begun under an earlier map is done before the look; what begins later is refused.
        if let Err(error) = self.core.backend.settle(bucket).await {
            return self.leave(bucket, &error);
        }
        let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
        while let Some(view) = self.view() {
            let begun = runtime::now();
            let page = self.core.backend.list_page(bucket, &query).await.and_then(LocalPage::read);
            let (objects, next) = match page {
                Ok(page) => page,
                Err(error) => return self.leave(bucket, &error),
            };
            let moves = objects.into_iter().filter_map(|(name, object)| {
                let owner = view.smap.owner(hrw::object_digest(bucket, name.as_str()));
                let is_own = owner.is_some_and(|owner| view.me.is(owner));
                (!is_own).then(|| self.hand_over(&view, bucket, owner, name, object.size))
            });
            let moves: Vec<_> = moves.collect();
            let any = !moves.is_empty();
            stream::iter(moves).for_each_concurrent(MOVES_TOGETHER_MAX, |one| one).await;
            match next {
                Some(next) => query.start_after = next,
                None => return self.uploads(bucket).await,
            }
            if any {
                runtime::sleep(runtime::since(begun).min(REST_MAX)).await;
            }
        }
    }

    /// Has the owner take an object; it goes here when it has it.
    async fn hand_over(
        &self,
        view: &ClusterView,
        bucket: &Bucket,
        owner: Option<&Node>,
        name: ObjectName,
        bytes: u64,
    ) {
        if self.view().is_none() {
            return;
        }
        if self.is_damaged(bucket, &name) {
            return self.leave_damaged(bucket, &name, "it cannot be read whole");
        }
        let Some(owner) = owner.filter(|owner| owner.is_here()) else {
            return self.leave(&name, &"its owner is away");
        };
        match self.moved(view, bucket, owner, &name, bytes).await {
            Ok(()) => self.progress.count(bytes),
            Err(error) => self.leave_object(bucket, &name, &error).await,
        }
    }

    /// Has uploads in progress follow their names. They count as no objects.
    async fn uploads(&self, bucket: &Bucket) {
        let uploads = match self.core.backend.uploads(bucket).await {
            Ok(uploads) => uploads,
            Err(error) => return self.leave(bucket, &error),
        };
        for Upload { key: name, id: upload, .. } in uploads {
            let Some(view) = self.view() else { return };
            let owner = view.smap.owner(hrw::object_digest(bucket, name.as_str()));
            if owner.is_some_and(|owner| view.me.is(owner)) {
                continue;
            }
            let what = format!("upload {upload} of {name}");
            let Some(owner) = owner.filter(|owner| owner.is_here()) else {
                self.leave(&what, &"its owner is away");
                continue;
            };
            // One that takes longer goes on there, and is looked at again in the next round.
            let within = Duration::from_secs(MOVE_SECONDS_MAX);
            let call = PeerCall::OwnUpload { bucket: bucket.clone(), name, upload, index: view.index };
            if let Err(error) = self.core.ask(owner, call, within).await {
                self.leave(&what, &error);
            }
        }
    }

    async fn moved(
        &self,
        view: &ClusterView,
        bucket: &Bucket,
        owner: &Node,
        name: &ObjectName,
        bytes: u64,
    ) -> Result<(), crate::ControlError> {
        if bucket.provider.is_remote() {
            // A copy of what its origin has: the new owner fetches it there.
            self.core.backend.evict_object(bucket, name).await?;
            return Ok(());
        }
        let within = Duration::from_secs(MOVE_SECONDS_MAX + (bytes >> 20));
        let call = PeerCall::Own { bucket: bucket.clone(), name: name.clone(), index: view.index };
        self.core.ask(owner, call, within).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_looked_for_less_and_less_often() {
        let mut round = Round::default();
        let mut looked = Vec::new();
        for _ in 0..100 {
            round.begin();
            looked.extend(round.looks_for_damage().then_some(round.number));
        }
        assert_eq!(looked, [2, 4, 8, 16, 32, 64]);
    }
}
