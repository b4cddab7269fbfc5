//! Copies of objects on several disks of the node ([`weir_store::Copies`]): where they are, and who changes them. Everything
//! that changes a name with copies, or makes them even, waits for its turn with the name.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use parking_lot::Mutex;
use weir_cluster::hrw;
use weir_store::{Change, Copies, CopyHolder, Evened, Holder, Outcome, StoreError, Together};
use weir_types::{Bucket, ObjectName, limits};

use crate::committer::{CommitError, now_ns};
use crate::disk::{RingDisk, RingFile};
use crate::disks::DiskSet;
use crate::shifts::{End, Moves, absent, end};
use crate::uneven::{Changing, Uneven};
use crate::volumes::Volumes;

impl CopyHolder<RingDisk> for End<'_> {
    async fn change_together(
        &self,
        change: Change<RingFile>,
        together: Together,
        now_ns: u64,
    ) -> Result<Outcome<RingFile>, CommitError> {
        #[cfg(debug_assertions)]
        if matches!(change, Change::Delete { .. }) && crate::planted::keeps_copies() && !self.is_first() {
            return Ok(Outcome::Deleted(None));
        }
        self.commits().change_together(change, together, now_ns).await
    }

    fn is_refusal(error: &CommitError) -> bool {
        match error {
            CommitError::Overloaded => true,
            CommitError::Stopped => false,
            CommitError::Store(error) => !error.is_io(),
        }
    }
}

/// A name with its digest.
#[derive(Clone, Copy)]
pub(crate) struct Named<'n> {
    pub(crate) bucket: &'n Bucket,
    pub(crate) name: &'n ObjectName,
    pub(crate) digest: u64,
}

impl<'n> Named<'n> {
    pub(crate) fn new(bucket: &'n Bucket, name: &'n ObjectName) -> Self {
        Self { bucket, name, digest: hrw::object_digest(bucket, name.as_str()) }
    }

    /// Does something with the copies of the name under a set.
    async fn with<T>(
        self,
        volumes: &Volumes,
        set: &DiskSet,
        copies: usize,
        work: impl AsyncFnOnce(Copies<'_, End<'_>>) -> Result<T, CommitError>,
    ) -> Result<T, CommitError> {
        let ranked = set.ranked(self.digest).into_iter().enumerate();
        let ends = ranked.map(|(nth, at)| Some(end(volumes, set, at)?.of_rank(nth)));
        let holders: Option<Vec<End<'_>>> = ends.collect();
        let holders = holders.ok_or(StoreError::Abandoned("a disk could not be opened"))?;
        work(Copies {
            bucket: self.bucket,
            name: self.name,
            holders: &holders,
            wanted: wanted(set, copies),
            anywhere: !set.settled,
            set: set.version,
        })
        .await
    }
}

/// How many copies there can be under a set.
fn wanted(set: &DiskSet, copies: usize) -> usize {
    copies.min(set.serving()).max(1)
}

/// Has a change of an object made to all its copies, of which there are to be so many. It comes back as misplaced where the set
/// is another one by now, or will be.
pub(crate) async fn change(
    volumes: &Volumes,
    moves: &Moves,
    set: &Arc<DiskSet>,
    copies: usize,
    change: Change<RingFile>,
) -> Result<Outcome<RingFile>, CommitError> {
    let (bucket, name) = match change.key() {
        (bucket, Some(name)) => (bucket.clone(), name.clone()),
        (_, None) => return Err(StoreError::Abandoned("a change of no name").into()),
    };
    let named = Named::new(&bucket, &name);
    let removes = matches!(change, Change::Delete { .. } | Change::Release { .. });
    if removes && set.away_of_copies(named.digest, copies).is_some() {
        // Its copy could come back.
        let disk = set.away.first().map(|away| away.path.display().to_string()).unwrap_or_default();
        return Err(StoreError::Away { name, disk }.into());
    }
    let turn = moves.turn(named.digest).await;
    if volumes.disks().load().version != set.version || set.are_about_to_move(named.digest, copies) {
        return Ok(Outcome::Misplaced(Box::new(change)));
    }
    // The commit is made here: it counts by the map of now, of which no committer may have heard yet.
    if let (Some(version), Some(disk)) = (moves.map_version(), set.disks.first()) {
        disk.mountpath.set_map_version(version);
    }
    let changing = moves.uneven().change();
    let room = match &change {
        Change::Put(put) => moves.room_after(put, wanted(set, copies)),
        _ => None,
    };
    let first_alone = room.is_some();
    let done = named.with(volumes, set, copies, async |all| match change {
        Change::Put(put) if first_alone => all.put_first(*put, now_ns()).await,
        Change::Put(put) => all.put(*put, now_ns()).await,
        Change::Delete { terms, durability, .. } => all.delete(terms, durability, now_ns()).await,
        Change::Release { commit, map_version, .. } => all.release(commit, map_version, now_ns()).await,
        Change::SetCustom { change, terms, durability, .. } => {
            all.set_custom(change, terms, durability, now_ns()).await
        }
        other => match all.holders.first() {
            Some(first) => first.change(other).await,
            None => Err(StoreError::Abandoned("no disk is in service").into()),
        },
    });
    let done = done.await;
    drop(turn);
    match (&done, room) {
        (Ok(Outcome::Committed(_)), Some(room)) => moves.later.follow((bucket, name), room, changing),
        // Its outcome is open: it may be at some of the disks.
        (Err(error), _) if !<End<'_> as CopyHolder<RingDisk>>::is_refusal(error) => drop(changing),
        _ => changing.whole(),
    }
    done
}

/// Makes the copies of a name even, for one whose turn it is.
pub(crate) async fn even(
    volumes: &Volumes,
    set: &DiskSet,
    named: Named<'_>,
    copies: usize,
) -> Result<Evened, CommitError> {
    named.with(volumes, set, copies, async |all| all.even().await).await
}

/// The same by now's set; all bytes are read and checked if `thorough`. Who reads or changes the name waits for what is done to
/// names alone: its bytes are copied before.
pub(crate) async fn mend(
    volumes: &Volumes,
    moves: &Moves,
    (bucket, name): (&Bucket, &ObjectName),
    thorough: bool,
) -> Result<Evened, CommitError> {
    let named = Named::new(bucket, name);
    loop {
        let (set, copies) = (volumes.disks().now(), moves.copies(bucket));
        let ahead = named.with(volumes, &set, copies, async |all| all.carry_ahead(thorough).await).await?;
        let _turn = moves.turn(named.digest).await;
        // What was carried is for other disks otherwise; they do not change often.
        if volumes.disks().load().version == set.version && moves.copies(bucket) == copies {
            return named.with(volumes, &set, copies, async |all| all.even_with(ahead).await).await;
        }
    }
}

/// The disk with the copy that counts, for who did not find the object where it belongs.
pub(crate) async fn find(
    volumes: &Volumes,
    moves: &Moves,
    set: &Arc<DiskSet>,
    named: Named<'_>,
    copies: usize,
) -> Result<Option<usize>, StoreError> {
    // A PUT under way has its copies before the object can be read.
    let _turn = moves.turn(named.digest).await;
    let found = named.with(volumes, set, copies, async |all| all.holder().await).await;
    match found {
        Ok(found) => Ok(found.and_then(|nth| set.ranked(named.digest).get(nth).copied())),
        Err(CommitError::Store(error)) => Err(error),
        Err(CommitError::Overloaded | CommitError::Stopped) => {
            Err(absent(set, named.bucket, named.name, named.digest))
        }
    }
}

/// Names whose copies are to be looked after, each once at a time. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Mending(Arc<Mutex<HashSet<u64>>>);

impl Mending {
    /// A place to look after a name: nobody does yet, and there is room.
    pub(crate) fn begin(&self, digest: u64, uneven: &Uneven) -> Option<Mended> {
        let mut names = self.0.lock();
        let begins = names.len() < limits::MENDED_AT_ONCE_MAX && names.insert(digest);
        begins
            .then(|| Mended { place: MendedPlace { names: self.clone(), digest }, changing: uneven.change() })
    }
}

/// A place among those that are looked after, free again once it is dropped.
struct MendedPlace {
    names: Mending,
    digest: u64,
}

impl Drop for MendedPlace {
    fn drop(&mut self) {
        self.names.0.lock().remove(&self.digest);
    }
}

/// A name that is looked after. Where that does not come to its end, its copies count as uneven.
pub(crate) struct Mended {
    place: MendedPlace,
    changing: Changing,
}

impl Mended {
    /// Looks after it.
    pub(crate) async fn run(self, volumes: Rc<Volumes>, moves: Moves, bucket: Bucket, name: ObjectName) {
        let Self { place, changing } = self;
        let done = mend(&volumes, &moves, (&bucket, &name), true).await;
        // A pass could do no more for what is damaged everywhere.
        let is_damage = |error: &CommitError| matches!(error, CommitError::Store(error) if error.is_damage());
        if done.as_ref().err().is_none_or(is_damage) {
            changing.whole();
        }
        match done {
            Ok(Evened { copied: 0, .. }) => {}
            Ok(done) => tracing::warn!(
                %bucket, %name, damaged = done.damaged,
                "{} of its copies made again from a good one", done.copied
            ),
            Err(error) => tracing::error!(%bucket, %name, "its copies could not be made again: {error}"),
        }
        drop(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_after_once_at_a_time_and_its_place_comes_back() {
        let (mending, uneven) = (Mending::default(), Uneven::default());
        for _ in 0..=limits::MENDED_AT_ONCE_MAX {
            let mended = mending.begin(7, &uneven).unwrap();
            assert!(mending.begin(7, &uneven).is_none());
            drop(mended);
            assert!(uneven.due().is_some(), "it did not come to its end");
        }
        let begin = |digest| mending.begin(digest as u64, &uneven);
        let all: Vec<Mended> = (0..limits::MENDED_AT_ONCE_MAX).filter_map(begin).collect();
        assert_eq!(all.len(), limits::MENDED_AT_ONCE_MAX);
        assert!(begin(limits::MENDED_AT_ONCE_MAX).is_none());
    }
}
