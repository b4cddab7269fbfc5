//! One pass over the objects of a bucket on all disks that makes their copies even ([`crate::mirror`]).

use std::rc::Rc;
use std::sync::Arc;

use futures_util::{StreamExt, stream};
use weir_cluster::hrw;
use weir_store::{Evened, StoreError, Watch};
use weir_types::{Bucket, ObjectName, limits};

use crate::committer::CommitError;
use crate::disks::DiskSet;
use crate::left::{Left, Rests};
use crate::mirror;
use crate::resilver::{self, AGAIN, TRIES};
use crate::shifts::Moves;
use crate::volumes::Volumes;

/// The pass, in rounds: what could not be made even in one is tried again in the next; again, too, where the disks changed
/// meanwhile. Whether all that can be even is: what is damaged everywhere cannot.
pub(crate) async fn pass(
    volumes: Rc<Volumes>,
    moves: Moves,
    bucket: Bucket,
    thorough: bool,
    watch: Arc<dyn Watch>,
) -> bool {
    let mut rests = Rests::default();
    loop {
        let set = volumes.disks().now();
        let left = Left::default();
        let walk = Walk {
            volumes: &volumes,
            moves: &moves,
            watch: watch.as_ref(),
            set: &set,
            bucket: &bucket,
            thorough,
            left: &left,
        };
        for (at, disk) in set.disks.iter().enumerate() {
            if let Err(error) = walk.disk(at).await {
                left.note(format!("{bucket} on {}", disk.path.display()), &error.into());
            }
        }
        if watch.is_over() {
            return false;
        }
        if volumes.disks().load().version != set.version {
            continue;
        }
        left.tell(watch.as_ref());
        if left.is_nothing() {
            return true;
        }
        // One that reads everything is not begun again for a few names.
        let again = left.may_go_well();
        if again && !thorough && rests.rest(volumes.handle(), || walk.goes_on()).await {
            continue;
        }
        left.fail(watch.as_ref());
        return !again;
    }
}

struct Walk<'w> {
    volumes: &'w Volumes,
    moves: &'w Moves,
    watch: &'w dyn Watch,
    set: &'w DiskSet,
    bucket: &'w Bucket,
    thorough: bool,
    left: &'w Left,
}

impl Walk<'_> {
    fn goes_on(&self) -> bool {
        !self.watch.is_over() && self.volumes.disks().load().version == self.set.version
    }

    async fn disk(&self, at: usize) -> Result<(), StoreError> {
        let volume =
            self.volumes.at(self.set, at).ok_or(StoreError::Abandoned("a disk could not be opened"))?;
        let each = async |names: Vec<ObjectName>| {
            stream::iter(names)
                .for_each_concurrent(limits::RESILVER_OBJECTS_MAX, |name| async move {
                    if self.is_first(at, &name).await {
                        self.one(&name).await;
                    }
                })
                .await;
        };
        resilver::over(&volume, self.bucket, || self.goes_on(), each).await
    }

    /// Whether a disk is the one at which a name comes up: where it belongs, or any while it is not there.
    async fn is_first(&self, at: usize, name: &ObjectName) -> bool {
        let placed = self.set.placed(hrw::object_digest(self.bucket, name.as_str()));
        let volume =
            placed.filter(|placed| *placed != at).and_then(|placed| self.volumes.at(self.set, placed));
        match volume {
            None => true,
            Some(volume) => volume.head(self.bucket, name).await.is_err(),
        }
    }

    async fn one(&self, name: &ObjectName) {
        let mut tries = 0;
        while self.goes_on() {
            match mirror::mend(self.volumes, self.moves, (self.bucket, name), self.thorough).await {
                Err(CommitError::Overloaded | CommitError::Store(StoreError::NoLease)) if tries < TRIES => {
                    tries += 1;
                    self.volumes.handle().sleep(AGAIN).await;
                }
                Err(CommitError::Store(StoreError::BucketClosed { removing: false, .. })) => return,
                Err(error) => return self.left.note(format!("{}/{name}", self.bucket), &error),
                Ok(Evened { copied: 0, removed: 0, .. }) => return,
                Ok(done) => {
                    if done.damaged > 0 {
                        tracing::warn!(bucket = %self.bucket, %name, "{} damaged copies", done.damaged);
                    }
                    return self.watch.moved(done.copied + done.removed, done.bytes);
                }
            }
        }
    }
}
