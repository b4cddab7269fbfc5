//! An object on its way from one holder to another, so that nothing acknowledged is lost or comes back.
//!
//! | step | what is done | durable afterwards | dying here leaves |
//! |---|---|---|---|
//! | 1 | the object is copied, every block checked, into a work file of the one that it belongs to | - | the object where it was |
//! | 2 | adopted there with its record as it was, commit ID included | the copy | the same object twice |
//! | 3 | removed where it was, if it still is of that commit | the move | the object where it belongs |
//!
//! The owner of the holders sees to it that every change of a name that another holder may have comes after such a move,
//! and that moves of one name wait for each other. Then two copies of a name are of the same commit, and a name that
//! was changed or removed where it belongs is nowhere else.

use weir_types::{Bucket, ObjectName};

use crate::{Access, Change, CommitId, Disk, Durability, Object, Outcome, StoreError, Terms, Volume};

/// Rounds in which an object may change under a move before the move gives up.
const TRIES: u32 = 64;

/// One end of a move: a mountpath with the way to its committer.
pub trait Holder<D: Disk> {
    /// What its changes fail with.
    type Error: From<StoreError>;

    /// The mountpath.
    fn volume(&self) -> &Volume<D>;

    /// Has its committer carry out a change.
    async fn change(&self, change: Change<D::File>) -> Result<Outcome<D::File>, Self::Error>;

    /// The store's part of an error.
    fn refusal(error: &Self::Error) -> Option<&StoreError>;
}

/// Moves an object: its bytes; none if it was not there.
pub async fn move_object<D: Disk, H: Holder<D>>(
    from: &H,
    to: &H,
    bucket: &Bucket,
    name: &ObjectName,
) -> Result<Option<u64>, H::Error> {
    for _ in 0..TRIES {
        let object = match from.volume().open_as(bucket, name, Access::Direct).await {
            Ok(object) => object,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (commit, size) = (object.record().commit, object.size());
        let present = match to.volume().head(bucket, name).await {
            Ok(record) => record.commit >= commit,
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        };
        if !present {
            adopt(to, bucket, name, &object).await?;
        }
        drop(object);
        if remove_object(from, bucket, name, commit).await? {
            return Ok(Some(size));
        }
        // It was changed meanwhile: what it is now is moved.
    }
    Err(StoreError::Abandoned("an object that changes faster than it can be moved").into())
}

async fn adopt<D: Disk, H: Holder<D>>(
    to: &H,
    bucket: &Bucket,
    name: &ObjectName,
    object: &Object<D>,
) -> Result<(), H::Error> {
    let change = Change::Adopt {
        damaged: false,
        bucket: bucket.clone(),
        name: name.clone(),
        prepared: to.volume().carry(object).await?,
        record: Box::new(object.record().as_ref().clone()),
    };
    match to.change(change).await {
        // A newer one is there.
        Err(error) if matches!(H::refusal(&error), Some(StoreError::Precondition { .. })) => Ok(()),
        done => done.map(drop),
    }
}

/// Removes an object if it still is of this commit; whether it is gone.
pub async fn remove_object<D: Disk, H: Holder<D>>(
    from: &H,
    bucket: &Bucket,
    name: &ObjectName,
    commit: CommitId,
) -> Result<bool, H::Error> {
    let terms = Terms { if_commit: Some(commit), ..Terms::default() };
    let (bucket, name) = (bucket.clone(), name.clone());
    let gone = Change::Delete { bucket, name, terms, durability: Durability::Durable };
    match from.change(gone).await {
        Ok(_) => Ok(true),
        Err(error) => match H::refusal(&error) {
            Some(StoreError::NotFound { .. }) => Ok(true),
            Some(StoreError::Precondition { .. }) => Ok(false),
            _ => Err(error),
        },
    }
}
