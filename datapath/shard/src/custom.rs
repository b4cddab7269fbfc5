//! Custom metadata that is made from what an object has.

use weir_store::{Change, CustomChange, Record, StoreError, Terms};
use weir_types::CustomMeta;

use crate::fail::Failure;
use crate::get;
use crate::place::Place;
use crate::shard::Shard;

/// Changes of an object that may come between reading its metadata and replacing it.
const TRIES: u32 = 8;

/// Replaces an object's metadata by what `make` makes of its record: of this very object's, not of one that has taken its place.
pub(crate) async fn replace(
    shard: &Shard,
    place: &Place,
    make: impl Fn(&Record) -> Result<CustomMeta, StoreError>,
) -> Result<(), Failure> {
    for _ in 0..TRIES {
        let record = get::head(shard, place).await?;
        let change = Change::SetCustom {
            bucket: place.bucket.clone(),
            name: place.name.clone(),
            change: CustomChange::Replace(make(&record)?),
            terms: Terms { if_unchanged: Some(record.commit), ..Terms::default() },
            durability: place.durability(),
        };
        match place.change(shard, change).await.map_err(Failure::from) {
            Err(Failure::Store(StoreError::Precondition { .. })) => {}
            done => return done.map(drop),
        }
    }
    Err(StoreError::Abandoned("an object that changes faster than its metadata can be replaced").into())
}
