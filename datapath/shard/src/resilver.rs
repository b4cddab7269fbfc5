//! The resilver: moves every name to the disk that it belongs to, one disk after the other, some names at a time. It may be
//! ended and begun again at any point, and by another set of disks: it goes by what is on the disks. What cannot be moved stays
//! where it is, where it is found, and is tried again when the others are done.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use weir_cluster::hrw;
use weir_store::{ListQuery, StoreError, Volume, Watch};
use weir_types::{Bucket, ObjectName, limits};

use crate::committer::CommitError;
use crate::disk::RingDisk;
use crate::disks::{DiskSet, Duty};
use crate::left::{Left, Rests};
use crate::shifts::{Moved, Moves, What};
use crate::volumes::Volumes;

/// Names of one page.
const PAGE: usize = 1000;
/// Before a name is tried again that the disks had no time for, and how often.
pub(crate) const AGAIN: Duration = Duration::from_millis(50);
pub(crate) const TRIES: u32 = 100;

/// How a pass over the disks ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pass {
    /// Every name is where it belongs under the set of this version.
    Settled(u64),
    /// The set changed meanwhile: begin again.
    Changed,
    /// It was to stop, or something could not be moved, though it was tried again.
    Ended,
}

/// A pass over all disks, in rounds: what could not be moved in one is tried again in the next.
pub(crate) async fn pass(volumes: Rc<Volumes>, moves: Moves, watch: Arc<dyn Watch>) -> Pass {
    let mut rests = Rests::default();
    loop {
        let set = volumes.disks().now();
        if set.settled {
            return Pass::Settled(set.version);
        }
        let left = Left::default();
        let round = Walk { volumes: &volumes, moves: &moves, watch: watch.as_ref(), set: &set, left: &left };
        for at in 0..set.disks.len() {
            round.disk(at).await;
            if volumes.disks().load().version != set.version {
                return Pass::Changed;
            }
        }
        left.tell(watch.as_ref());
        if watch.is_over() {
            return Pass::Ended;
        }
        if left.is_nothing() {
            return Pass::Settled(set.version);
        }
        if !(left.may_go_well() && rests.rest(volumes.handle(), || round.goes_on()).await) {
            left.fail(watch.as_ref());
            return Pass::Ended;
        }
    }
}

/// Goes over the names of a bucket on a disk, some at a time, while `goes_on`.
pub(crate) async fn over(
    volume: &Volume<RingDisk>,
    bucket: &Bucket,
    goes_on: impl Fn() -> bool,
    mut each: impl AsyncFnMut(Vec<ObjectName>),
) -> Result<(), StoreError> {
    let mut query = ListQuery { limit: PAGE, ..ListQuery::default() };
    while goes_on() {
        let page = volume.list(bucket, &query).await?;
        let names = page.rows.iter().map(|row| row.object_name());
        each(names.collect::<Result<_, _>>()?).await;
        match page.next {
            Some(next) => query.start_after = next,
            None => break,
        }
    }
    Ok(())
}

struct Walk<'w> {
    volumes: &'w Volumes,
    moves: &'w Moves,
    watch: &'w dyn Watch,
    set: &'w DiskSet,
    left: &'w Left,
}

impl Walk<'_> {
    /// Whether to go on with this set.
    fn goes_on(&self) -> bool {
        !self.watch.is_over() && self.volumes.disks().load().version == self.set.version
    }

    /// Moves what is on a disk and belongs elsewhere.
    async fn disk(&self, at: usize) {
        let Some(disk) = self.set.disks.get(at) else { return };
        let opened = self.volumes.at(self.set, at).ok_or(StoreError::Abandoned("a disk could not be opened"));
        let (volume, buckets) = match opened {
            Ok(volume) => {
                let buckets = volume.buckets().await;
                (volume, buckets)
            }
            Err(error) => return self.left.note(disk.path.display(), &error.into()),
        };
        match buckets {
            Ok(buckets) => {
                for bucket in buckets {
                    if let Err(error) = self.bucket(&volume, at, &bucket).await {
                        self.left.note(format!("{bucket} on {}", disk.path.display()), &error.into());
                    }
                }
            }
            Err(error) => self.left.note(disk.path.display(), &error.into()),
        }
    }

    async fn bucket(&self, volume: &Volume<RingDisk>, at: usize, bucket: &Bucket) -> Result<(), StoreError> {
        let each = async |names: Vec<ObjectName>| {
            let copies = self.moves.copies(bucket);
            // Of one with copies, others may be missing.
            let names =
                names.into_iter().filter(|name| copies > 1 || self.belongs_elsewhere(at, bucket, name));
            // What has begun is not given up on: what its committers have of it would come as a surprise to the next move.
            stream::iter(names)
                .for_each_concurrent(limits::RESILVER_OBJECTS_MAX, |name| async move {
                    self.one(at, bucket, &name, What::Object).await;
                })
                .await;
        };
        over(volume, bucket, || self.goes_on(), each).await?;
        for upload in volume.uploads(bucket).await? {
            if self.belongs_elsewhere(at, bucket, &upload.name) && self.goes_on() {
                self.one(at, bucket, &upload.name, What::Upload(&upload.id)).await;
            }
        }
        Ok(())
    }

    fn belongs_elsewhere(&self, at: usize, bucket: &Bucket, name: &ObjectName) -> bool {
        self.set.placed(hrw::object_digest(bucket, name.as_str())) != Some(at)
    }

    async fn one(&self, at: usize, bucket: &Bucket, name: &ObjectName, what: What<'_>) {
        let mut tries = 0;
        while self.goes_on() {
            match self.try_one(at, bucket, name, what).await {
                // Others are served first; what may yet stay is not left behind.
                Err(
                    CommitError::Overloaded
                    | CommitError::Store(StoreError::NoLease | StoreError::BucketClosed { removing: true, .. }),
                ) if tries < TRIES => {
                    tries += 1;
                    self.volumes.handle().sleep(AGAIN).await;
                }
                Err(error) => return self.left.note(format!("{bucket}/{name}"), &error),
                Ok(()) => return,
            }
        }
    }

    async fn try_one(
        &self,
        at: usize,
        bucket: &Bucket,
        name: &ObjectName,
        what: What<'_>,
    ) -> Result<(), CommitError> {
        let returning = self.set.disks.get(at).is_some_and(|disk| disk.duty == Duty::Returning);
        let done = match returning {
            true => self.moves.give_way(self.volumes, self.set, at, (bucket, name)).await,
            false => self.moves.settle(self.volumes, bucket, name, what).await.map(|(_, moved)| moved),
        };
        match done {
            Ok(Moved { objects, bytes }) => {
                self.watch.moved(objects, bytes);
                Ok(())
            }
            // What is left of a bucket that is gone is removed with it.
            Err(CommitError::Store(StoreError::BucketClosed { removing: false, .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
