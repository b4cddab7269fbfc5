//! Names on their way from one disk of the node to another ([`weir_store::move_object`]): every change of a name that may be
//! on another disk comes after its move, and moves of one name wait for each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_channel::oneshot;
use parking_lot::Mutex;
use weir_cluster::{ClusterView, hrw};
use weir_ring::Mailbox;
use weir_store::{
    Attrs, Change, Holder, Object, Outcome, Put, StoreError, UploadInfo, Volume, move_object, remove_object,
};
use weir_types::{Bucket, ObjectName, limits};

use crate::committer::{CommitError, CommitPort};
use crate::disk::{RingDisk, RingFile};
use crate::disks::{Disk, DiskId, DiskSet};
use crate::later::{Later, Room, Waiting};
use crate::mirror::{self, Mending, Named};
use crate::uneven::Uneven;
use crate::volumes::Volumes;

/// Looks at a set that is about to change, this far apart.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Who moves which name, in the whole process. Clones share it.
#[derive(Clone)]
pub struct Moves {
    names: Arc<Mutex<HashMap<u64, Vec<oneshot::Sender<()>>>>>,
    views: Arc<OnceLock<Arc<ArcSwap<ClusterView>>>>,
    pub(crate) mending: Mending,
    uneven: Uneven,
    pub(crate) later: Later,
}

/// The right to move a name, or a place among those who wait for it.
pub(crate) struct Turn<'m> {
    moves: &'m Moves,
    name: u64,
    /// Of one who waits.
    called: Option<oneshot::Receiver<()>>,
}

impl Moves {
    /// Nobody moves anything; with what waits for copies, for the walker.
    pub(crate) fn new() -> (Self, Mailbox<Waiting>) {
        let (names, views, mending, uneven) = Default::default();
        let (later, waiting) = Later::new();
        (Self { names, views, mending, uneven, later }, waiting)
    }

    /// Waits until nobody else moves the upload, between targets.
    pub(crate) async fn turn_of_upload(&self, id: &str) -> Turn<'_> {
        self.turn(hrw::digest(id.as_bytes())).await
    }

    /// Waits until nobody else takes the object of a name from another target. Who has this turn may wait for that of the name.
    pub(crate) async fn turn_to_take(&self, digest: u64) -> Turn<'_> {
        self.turn(hrw::mix(!digest)).await
    }

    /// Heeds the published views from now on: by them a bucket's objects have copies.
    pub fn heed(&self, views: Arc<ArcSwap<ClusterView>>) {
        // A second call would bring the same.
        let _ = self.views.set(views);
    }

    /// Whether all copies are even, as far as is known.
    pub fn are_even(&self) -> bool {
        self.uneven.due().is_none() && self.later.is_empty()
    }

    /// Which copies may be uneven.
    pub fn uneven(&self) -> &Uneven {
        &self.uneven
    }

    /// On how many disks an object of a bucket is to be, by the view of now.
    pub(crate) fn copies(&self, bucket: &Bucket) -> usize {
        let Some(views) = self.views.get() else { return 1 };
        views.load().bmd.get(bucket).map_or(1, |info| info.props.copies())
    }

    /// Version of the map of now, once there is one.
    pub(crate) fn map_version(&self) -> Option<u64> {
        Some(self.views.get()?.load().smap.version)
    }

    /// A place in the queue for what is to have so many copies after its answer, where its bucket says so and there is room. What
    /// another target gives up is not: that had its copies.
    pub(crate) fn room_after(&self, put: &Put<RingFile>, copies: usize) -> Option<Room> {
        if copies < 2 || put.attrs.moved.is_some() {
            return None;
        }
        let most = self.views.get()?.load().bmd.get(&put.bucket)?.props.copies_after()?;
        self.later.room(most)
    }

    /// Waits until nobody else moves the name.
    pub(crate) async fn turn(&self, name: u64) -> Turn<'_> {
        let called = match self.names.lock().entry(name) {
            Entry::Vacant(free) => {
                free.insert(Vec::new());
                None
            }
            Entry::Occupied(mut taken) => {
                let (tell, called) = oneshot::channel();
                taken.get_mut().push(tell);
                Some(called)
            }
        };
        let mut turn = Turn { moves: self, name, called };
        if let Some(called) = &mut turn.called {
            // Whoever ends his turn calls the next one.
            let _ = called.await;
        }
        turn.called = None;
        turn
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let holds = match &mut self.called {
            None => true,
            Some(called) => {
                called.close();
                matches!(called.try_recv(), Ok(Some(())))
            }
        };
        if !holds {
            return;
        }
        let mut names = self.moves.names.lock();
        let Some(waiting) = names.get_mut(&self.name) else { return };
        while !waiting.is_empty() {
            if waiting.remove(0).send(()).is_ok() {
                return;
            }
        }
        names.remove(&self.name);
    }
}

/// What of a name is to be where it belongs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum What<'w> {
    /// The object.
    Object,
    /// The object, which is to be replaced or removed as it is: one that is damaged may stay where it is.
    Doomed,
    /// The object, and an upload in progress.
    Upload(&'w str),
}

/// What a move did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Moved {
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Moves {
    /// Waits until a name may be changed and is where it belongs, under the set that it gives; nothing has to be done once
    /// the set is settled.
    pub(crate) async fn settle(
        &self,
        volumes: &Volumes,
        bucket: &Bucket,
        name: &ObjectName,
        what: What<'_>,
    ) -> Result<(Arc<DiskSet>, Moved), CommitError> {
        let digest = hrw::object_digest(bucket, name.as_str());
        let give_up = volumes.handle().now() + Duration::from_secs(limits::DISK_CHANGE_SECONDS_MAX);
        let mut moved = Moved::default();
        loop {
            let set = volumes.disks().now();
            if set.is_about_to_move(digest) {
                if volumes.handle().now() >= give_up {
                    return Err(CommitError::Overloaded);
                }
                volumes.handle().sleep(TICK).await;
                continue;
            }
            if set.settled {
                return Ok((set, moved));
            }
            let turn = self.turn(digest).await;
            let copies = self.copies(bucket);
            let more = pull(volumes, &set, (bucket, name, digest), what, copies).await;
            drop(turn);
            let same = volumes.disks().load().version == set.version;
            match more {
                Ok(more) => {
                    moved.objects += more.objects;
                    moved.bytes += more.bytes;
                }
                Err(error) if same => return Err(error),
                Err(_) => {}
            }
            if same {
                return Ok((set, moved));
            }
        }
    }
}

impl Moves {
    /// Removes an object from a disk that returns if another disk has one of the name that is as new: it was changed meanwhile.
    /// An older one is a copy that was still to be made when the disk went: the newer one stays, and what moves names
    /// next goes by it. A copy of a remote object goes in any case.
    pub(crate) async fn give_way(
        &self,
        volumes: &Volumes,
        set: &DiskSet,
        at: usize,
        (bucket, name): (&Bucket, &ObjectName),
    ) -> Result<Moved, CommitError> {
        let digest = hrw::object_digest(bucket, name.as_str());
        let _turn = self.turn(digest).await;
        let from = end(volumes, set, at).ok_or(CommitError::Stopped)?;
        let record = match from.volume.head(bucket, name).await {
            Ok(record) => record,
            Err(error) if error.is_not_found() => return Ok(Moved::default()),
            Err(error) => return Err(error.into()),
        };
        let mut gives_way = bucket.provider.is_remote();
        for other in set.others(at) {
            let other = end(volumes, set, other).ok_or(CommitError::Stopped)?;
            match other.volume.head(bucket, name).await {
                Ok(theirs) => gives_way |= theirs.commit >= record.commit,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        if gives_way {
            remove_object(&from, bucket, name, record.commit).await?;
        }
        Ok(Moved::default())
    }
}

impl Moves {
    /// Removes what of an object with one copy stayed on another disk because it is damaged; whether there was any. For who was
    /// just told, where it belongs, that it is not there to be removed.
    pub(crate) async fn remove_stayed(
        &self,
        volumes: &Volumes,
        (bucket, name): (&Bucket, &ObjectName),
    ) -> Result<bool, CommitError> {
        let digest = hrw::object_digest(bucket, name.as_str());
        let _turn = self.turn(digest).await;
        let set = volumes.disks().now();
        let Some(at) = set.placed(digest) else { return Ok(false) };
        let mut any = false;
        for other in set.others(at) {
            let from = end(volumes, &set, other).ok_or(CommitError::Stopped)?;
            match from.volume.head(bucket, name).await {
                Ok(record) => any |= remove_object(&from, bucket, name, record.commit).await?,
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(any)
    }
}

/// Brings a name to where it belongs from every other disk.
async fn pull(
    volumes: &Volumes,
    set: &DiskSet,
    (bucket, name, digest): (&Bucket, &ObjectName, u64),
    what: What<'_>,
    copies: usize,
) -> Result<Moved, CommitError> {
    let mut moved = Moved::default();
    let Some(at) = set.placed(digest) else { return Ok(moved) };
    let Some(to) = end(volumes, set, at) else { return Ok(moved) };
    // A damaged object cannot be moved. It is older than what comes in its place.
    let stays = |error: &CommitError| {
        matches!(what, What::Doomed) && matches!(error, CommitError::Store(error) if error.is_damage())
    };
    if copies > 1 {
        match mirror::even(volumes, set, Named { bucket, name, digest }, copies).await {
            Err(error) if stays(&error) => {}
            evened => {
                let evened = evened?;
                moved = Moved { objects: evened.copied, bytes: evened.bytes };
            }
        }
    }
    for other in set.others(at) {
        let from = end(volumes, set, other).ok_or(CommitError::Stopped)?;
        if copies == 1 {
            let bytes = match move_object(&from, &to, bucket, name).await {
                Err(error) if stays(&error) => None,
                bytes => bytes?,
            };
            moved.objects += u64::from(bytes.is_some());
            moved.bytes += bytes.unwrap_or(0);
        }
        if let What::Upload(id) = what {
            upload(&from, &to, bucket, name, id).await?;
        }
    }
    Ok(moved)
}

/// One end of a move.
pub(crate) struct End<'s> {
    volume: Volume<RingDisk>,
    disk: &'s Disk,
    /// Which of the copies of a name it may have: the first one decides.
    nth: usize,
}

impl End<'_> {
    pub(crate) fn of_rank(self, nth: usize) -> Self {
        Self { nth, ..self }
    }

    #[cfg_attr(not(debug_assertions), allow(dead_code, reason = "for planted bugs"))]
    pub(crate) fn is_first(&self) -> bool {
        self.nth == 0
    }

    pub(crate) fn commits(&self) -> &CommitPort {
        &self.disk.commits
    }
}

impl Holder<RingDisk> for End<'_> {
    type Error = CommitError;

    fn volume(&self) -> &Volume<RingDisk> {
        &self.volume
    }

    async fn change(&self, change: Change<RingFile>) -> Result<Outcome<RingFile>, CommitError> {
        #[cfg(debug_assertions)]
        if let Change::Delete { bucket, name, .. } = &change
            && crate::planted::keeps_moved()
        {
            return Err(absent(&DiskSet::default(), bucket, name, 0).into());
        }
        self.disk.commits.change(change).await
    }

    fn refusal(error: &CommitError) -> Option<&StoreError> {
        match error {
            CommitError::Store(error) => Some(error),
            CommitError::Overloaded | CommitError::Stopped => None,
        }
    }
}

pub(crate) fn end<'s>(volumes: &Volumes, set: &'s DiskSet, at: usize) -> Option<End<'s>> {
    Some(End { volume: volumes.at(set, at)?, disk: set.disks.get(at)?, nth: 0 })
}

/// Moves an upload: it begins anew under its ID, its parts follow, then it goes from where it was. Until then a part that
/// is there and not here is still to come.
async fn upload(
    from: &End<'_>,
    to: &End<'_>,
    bucket: &Bucket,
    name: &ObjectName,
    id: &str,
) -> Result<(), CommitError> {
    let Some(info) = found(from.volume.upload(bucket, name, id).await)? else { return Ok(()) };
    if found(to.volume.upload(bucket, name, id).await)?.is_none() {
        let change = Change::AdoptUpload {
            bucket: bucket.clone(),
            name: name.clone(),
            upload: id.to_owned(),
            attrs: attrs_of(&info),
        };
        to.disk.commits.change(change).await?;
    }
    for part in from.volume.parts(bucket, name, id).await? {
        if to.volume.part_object(bucket, name, id, part.number).await?.is_some() {
            continue;
        }
        let Some(object) = from.volume.part_object(bucket, name, id, part.number).await? else { continue };
        let change = Change::PutPart {
            bucket: bucket.clone(),
            name: name.clone(),
            upload: id.to_owned(),
            number: part.number,
            prepared: to.volume.carry(&object).await?,
            etag: part.record.etag.clone(),
        };
        match to.disk.commits.change(change).await? {
            Outcome::Misplaced(_) => return Err(CommitError::Overloaded),
            _ => drop(object),
        }
    }
    let gone = Change::DropUpload {
        bucket: bucket.clone(),
        name: name.clone(),
        upload: id.to_owned(),
        map_version: None,
    };
    match from.disk.commits.change(gone).await {
        Err(CommitError::Store(StoreError::NoSuchUpload { .. })) => Ok(()),
        done => done.map(drop),
    }
}

fn found<T>(looked: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NoSuchUpload { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The metadata by which an upload begins anew elsewhere.
pub(crate) fn attrs_of(upload: &UploadInfo) -> Attrs {
    let record = &upload.record;
    Attrs {
        custom: record.custom.clone(),
        content: record.content.clone(),
        etag: record.etag.clone(),
        modified_ns: Some(record.created_ns),
        ..Attrs::default()
    }
}

/// Opens an object wherever it is ([`look`]).
pub(crate) async fn find(
    volumes: &Volumes,
    moves: &Moves,
    bucket: &Bucket,
    name: &ObjectName,
    access: weir_store::Access,
) -> Result<Object<RingDisk>, StoreError> {
    let digest = hrw::object_digest(bucket, name.as_str());
    let open = async |_, volume: &Volume<RingDisk>| volume.open_as(bucket, name, access).await;
    look(volumes, moves, (bucket, name, digest), None, open).await
}

/// Has a name opened wherever it is, as a reader does: where it belongs, then, of a name with copies, where the one that counts
/// is; of others on the other disks while names are being moved,
/// then again where it belongs, since it may have been moved meanwhile; once more where the set has changed. Under the set of
/// now it certainly is not there if it is not found. `tried` is a set under which the first step was taken already.
pub(crate) async fn look<T>(
    volumes: &Volumes,
    moves: &Moves,
    (bucket, name, digest): (&Bucket, &ObjectName, u64),
    tried: Option<&Arc<DiskSet>>,
    open: impl AsyncFn(DiskId, &Volume<RingDisk>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let mut set = tried.cloned().unwrap_or_else(|| volumes.disks().now());
    let copies = moves.copies(bucket);
    loop {
        let at = set.placed(digest).ok_or(StoreError::Abandoned("no disk is in service"))?;
        let first = tried.is_none_or(|tried| tried.version != set.version).then_some(at);
        let opened = async |at: usize| {
            let disk = set.disks.get(at).ok_or(StoreError::Abandoned("no disk is in service"))?;
            let volume = volumes.at(&set, at).ok_or(StoreError::Abandoned("a disk could not be opened"))?;
            open(disk.id, &volume).await
        };
        let rest: Vec<usize> = match copies {
            1 => set.others(at).chain((!set.settled).then_some(at)).collect(),
            _ => Vec::new(),
        };
        for at in first.into_iter().chain(rest) {
            match opened(at).await {
                Err(error) if error.is_not_found() || copies > 1 => {}
                found => return found,
            }
        }
        if copies > 1 {
            let named = Named { bucket, name, digest };
            if let Some(at) = mirror::find(volumes, moves, &set, named, copies).await? {
                match opened(at).await {
                    // It was removed since.
                    Err(error) if error.is_not_found() => {}
                    found => return found,
                }
            }
        }
        let now = volumes.disks().now();
        if now.version == set.version {
            return Err(absent(&set, bucket, name, digest));
        }
        set = now;
    }
}

/// What to say of a name that no disk in service has.
pub(crate) fn absent(set: &DiskSet, bucket: &Bucket, name: &ObjectName, digest: u64) -> StoreError {
    let (bucket, name) = (bucket.clone(), name.clone());
    // What is missing of a remote bucket is at its origin.
    match set.away_of(digest).filter(|_| !bucket.provider.is_remote()) {
        Some(away) => StoreError::Away { name, disk: away.path.display().to_string() },
        None => StoreError::NotFound { bucket, name },
    }
}
