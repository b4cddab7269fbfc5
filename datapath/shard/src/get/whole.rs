//! An object that is read for a copy of it elsewhere: all of it, from whichever of its own copies can be read.

use std::ops::Range;
use std::rc::Rc;

use weir_store::{Access, Chunk, Object, Piece, Record};
use weir_types::ByteRange;

use crate::cold;
use crate::disk::{RingBuf, RingDisk};
use crate::fail::Failure;
use crate::place::Place;
use crate::shard::Shard;
use crate::shifts;

/// An object that is here, open.
pub(crate) struct Whole<'s> {
    shard: &'s Shard,
    place: Place,
    object: Object<RingDisk>,
}

/// Opens an object for a copy: here and whole, brought in first if it is cold.
pub(crate) async fn open_whole<'s>(shard: &'s Rc<Shard>, place: &Place) -> Result<Whole<'s>, Failure> {
    crate::moves::own(shard, place).await?;
    let moves = shard.shared.walker.moves();
    let open = || shifts::find(&shard.volumes, moves, &place.bucket, &place.name, Access::Buffered);
    let object = match open().await {
        Err(error) if error.is_not_found() && cold::may_fetch(shard, place) => {
            if let cold::Joined::Flight(flight) = cold::join_or_lead(shard, place).await? {
                flight.finished().await?;
            }
            open().await?
        }
        opened => opened?,
    };
    Ok(Whole { shard, place: place.clone(), object })
}

impl Whole<'_> {
    /// Its metadata.
    pub(crate) fn record(&self) -> &Record {
        self.object.record()
    }

    /// Reads a range of it: calls `each` with every piece in order.
    pub(crate) async fn read(
        &self,
        range: ByteRange,
        mut each: impl AsyncFnMut(RingBuf, Range<usize>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        for chunk in self.object.chunks(range) {
            let piece = match self.object.read(chunk).await {
                // Boxed: few come here, and each copy would hold its state.
                Err(error) if self.record().copies > 1 => {
                    Box::pin(self.of_another(chunk)).await.ok_or(error)?
                }
                piece => piece?,
            };
            each(piece.buf, piece.from..piece.to).await?;
        }
        Ok(())
    }

    /// What the copy at hand cannot give, from another one of the same commit. They are seen to.
    async fn of_another(&self, chunk: Chunk) -> Option<Piece<RingBuf>> {
        self.shard.shared.walker.mend(&self.place.bucket, &self.place.name);
        for at in self.place.set().ranked(self.place.digest()) {
            if let Some(piece) = self.piece_at(at, chunk).await {
                return Some(piece);
            }
        }
        None
    }

    async fn piece_at(&self, at: usize, chunk: Chunk) -> Option<Piece<RingBuf>> {
        let volume = self.shard.volumes.at(self.place.set(), at)?;
        let copy = volume.open_as(&self.place.bucket, &self.place.name, Access::Buffered).await.ok()?;
        let is_same = copy.record().commit == self.record().commit;
        if is_same { copy.read(chunk).await.ok() } else { None }
    }
}
