//! Objects that are not at their owner yet, because the owners changed: the owner asks who may hold them.
//!
//! | asked of the owner | what it does first |
//! |---|---|
//! | a read of what it does not have | passes it on to the target that may hold the object, which answers it |
//! | any change | takes the object from whoever may hold it: stored here, durable, then removed there |
//! | by a target that goes over its disks | the same |
//! | anything about an upload in progress | takes the upload, in the same way (`uploads.rs`) |
//!
//! So **a name changes only where no other target holds its object**: all copies there ever are of one name are the same, and
//! none can come back as an older one. Who may hold it and cannot be asked makes it 503: never 404, and no change.

mod serve;
mod uploads;

use std::rc::Rc;

use futures_channel::oneshot;
use weir_auth::Grant;
use weir_store::{Attrs, Change, CommitId, Put, StoreError, Terms};
use weir_types::{Access, Bucket, ObjectName};

use crate::committer::CommitError;
use crate::fail::Failure;
use crate::place::Place;
use crate::relay::Taking;
use crate::shard::Shard;
use crate::source;

pub(crate) use serve::{send_head_of, serve};
pub(crate) use uploads::{PART_HEADER, UPLOAD_HEADER, own as own_upload};

/// The field with the version of the asker's map: who knows a later one does not say that an object is nowhere.
pub(crate) const MAP_HEADER: &str = "weir-map";
/// The field of a request to a target that may hold what another one owns.
pub(crate) const HELD_HEADER: &str = "weir-held";
/// Its value in a client's read that the owner passes on.
pub(crate) const READ: &str = "read";
/// Its value where the owner takes the object; in a removal it is the commit of what it has.
pub(crate) const TAKE: &str = "take";
/// Its value where the owner asks whether the object there can be read whole: 410 if it cannot.
pub(crate) const CHECK: &str = "check";

/// Asked of a shard by other threads of the node: to have an object, or an upload, here that is this target's.
pub struct Errand {
    /// Its bucket.
    pub bucket: Bucket,
    /// Its name.
    pub name: ObjectName,
    /// ID of the upload that is meant; none: the object is.
    pub upload: Option<String>,
    /// Hears that no other target holds it, with the bytes of an object that one gave up, or why that is not known.
    pub tell: oneshot::Sender<Result<Option<u64>, String>>,
}

/// Runs an errand.
pub(crate) async fn run(shard: &Rc<Shard>, errand: Errand) {
    let Errand { bucket, name, upload, tell } = errand;
    let done = async {
        let grant = own_grant(&bucket);
        let permit = grant.require(Access::GET, &bucket).map_err(|denied| denied.to_string())?;
        let place = shard.own_place(shard.view(), &bucket, &name, permit).map_err(|e| e.to_string())?;
        let owned = match &upload {
            None => gather(shard, &place).await,
            Some(id) => own_upload(shard, &place, id).await.map(|()| None),
        };
        owned.map_err(|e| e.to_string())
    };
    // Who went away does not mind.
    let _ = tell.send(done.await);
}

/// What a node asks of others in its own name.
fn own_grant(bucket: &Bucket) -> Grant {
    Grant::of_job("rebalance", [(bucket.clone(), Access::ALL)])
}

/// Before a change: whoever may hold the object gives it up.
pub(crate) async fn own(shard: &Shard, place: &Place) -> Result<(), Failure> {
    #[cfg(debug_assertions)]
    if crate::planted::changes_unasked() {
        return Ok(());
    }
    gather(shard, place).await.map(drop)
}

/// What a change of a name makes of the object that is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// Something of it, or a condition, counts.
    Counts,
    /// It is replaced, whatever it is.
    Replaced,
    /// It is removed, whatever it is.
    Removed,
}

/// The same before a change of which is known what it makes of the object: one that is damaged, so that it cannot be taken, is in
/// the way of no PUT, which makes a newer one, and is removed where it is.
pub(crate) async fn own_for(shard: &Shard, place: &Place, fate: Fate) -> Result<(), Failure> {
    match own(shard, place).await {
        // Boxed: few requests come here, and each connection would hold its state.
        Err(failure) if fate != Fate::Counts => Box::pin(without_damaged(shard, place, fate, failure)).await,
        owned => owned,
    }
}

async fn without_damaged(shard: &Shard, place: &Place, fate: Fate, failure: Failure) -> Result<(), Failure> {
    let grant = own_grant(&place.bucket);
    for there in &place.holders() {
        let from = Taking { shard, grant: &grant, there, name: &place.name };
        let record = from.look().await;
        if matches!(record, Ok(None)) {
            continue;
        }
        // Its record may be what is damaged.
        if !from.is_damaged().await? {
            return Err(failure);
        }
        tracing::warn!(bucket = %place.bucket, name = %place.name, "damaged at {}: {fate:?}", there.owner);
        if fate == Fate::Removed
            && let Some(record) = record?
        {
            from.release(record.commit).await?;
        }
    }
    Ok(())
}

/// The bytes of the object, if somebody gave it up.
async fn gather(shard: &Shard, place: &Place) -> Result<Option<u64>, Failure> {
    let holders = place.holders();
    if holders.is_empty() {
        return Ok(None);
    }
    // One at a time: what somebody else took and then removed must not be put back by who had fetched it before.
    let _turn = shard.shared.walker.moves().turn_to_take(place.digest()).await;
    let grant = own_grant(&place.bucket);
    let mut given = None;
    for there in &holders {
        #[cfg(debug_assertions)]
        if crate::planted::away_is_empty() && there.node().is_none_or(|node| !node.is_here()) {
            continue;
        }
        let from = Taking { shard, grant: &grant, there, name: &place.name };
        // Boxed: few requests come here, and each connection would hold its state.
        given = Box::pin(take(shard, place, &from)).await?.or(given);
    }
    Ok(given)
}

/// Takes the object from one holder; its bytes, if there was one to take.
async fn take(shard: &Shard, place: &Place, from: &Taking<'_>) -> Result<Option<u64>, Failure> {
    let mut here = commit_here(shard, place).await?;
    if here.is_some() {
        // A removal that was begun for another owner may still be on its way.
        place.settle(shard).await?;
        here = commit_here(shard, place).await?;
    }
    #[cfg(debug_assertions)]
    let here = here.filter(|_| !crate::planted::takes_anything());
    if let Some(here) = here {
        match from.look().await? {
            None => return Ok(None),
            Some(record) if record.commit <= here => {
                return from.release(record.commit).await.map(|()| Some(record.size));
            }
            Some(_) => {}
        }
    }
    let Some((fetched, parts)) = from.take().await? else { return Ok(None) };
    let record = fetched.record().clone();
    let prepared = source::receive_moved(fetched, place, parts).await?;
    let attrs = Attrs::moved(&record);
    #[cfg(debug_assertions)]
    let attrs = Attrs { moved: attrs.moved.filter(|_| !crate::planted::takes_anything()), ..attrs };
    let put = Put {
        bucket: place.bucket.clone(),
        name: place.name.clone(),
        prepared,
        terms: Terms::default(),
        attrs,
        flight: None,
        upload: None,
    };
    match place.take_in(shard, Change::Put(Box::new(put))).await {
        // Somebody else took it meanwhile.
        Ok(_) | Err(CommitError::Store(StoreError::Outdated { .. })) => {}
        Err(error) => return Err(error.into()),
    }
    from.release(record.commit).await.map(|()| Some(record.size))
}

pub(crate) async fn commit_here(shard: &Shard, place: &Place) -> Result<Option<CommitId>, Failure> {
    match crate::get::head(shard, place).await {
        Ok(record) => Ok(Some(record.commit)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// How often the holders are asked for what is not here: what moves between two looks is here at the next.
pub(crate) const LOOKS: usize = 2;
