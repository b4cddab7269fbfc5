//! What a copy reads: an object of this node or of another one.

use weir_auth::Grant;
use weir_store::{Buffer as _, Durability, Expected, Prepared, Record};
use weir_types::{Bucket, ByteRange, ChecksumKind, ObjectName, limits};

use crate::conn::full;
use crate::disk::{RingBuf, RingFile};
use crate::fail::Failure;
use crate::get::Whole;
use crate::place::{Place, There};
use crate::put;
use crate::relay::Fetched;
use crate::shard::Shard;

/// An object that is copied, open.
pub(crate) enum Source<'s> {
    Here(Box<Whole<'s>>),
    There(Box<Fetched<'s>>),
}

impl<'s> Source<'s> {
    /// Asks another node for it; for the bytes from the first to the last of `range`, if not for all.
    pub(crate) async fn elsewhere(
        shard: &'s Shard,
        grant: &Grant,
        there: &There,
        object: (&Bucket, &ObjectName),
        range: Option<(u64, u64)>,
    ) -> Result<Self, Failure> {
        Ok(Self::There(Box::new(Fetched::open(shard, grant, there, object, range).await?)))
    }

    pub(crate) fn record(&self) -> &Record {
        match self {
            Self::Here(whole) => whole.record(),
            Self::There(fetched) => fetched.record(),
        }
    }

    pub(crate) fn size(&self) -> u64 {
        self.record().size
    }

    /// All of it.
    pub(crate) fn all(&self) -> ByteRange {
        ByteRange { start: 0, len: self.size() }
    }

    /// Copies `range` of it into a work file of another place. Of another node's object only the range that was asked for.
    pub(crate) async fn copy_in(
        self,
        range: ByteRange,
        to: &Place,
        kinds: &[ChecksumKind],
    ) -> Result<Prepared<RingFile>, Failure> {
        match self {
            Self::Here(whole) => put::copy_in(&whole, range, to, kinds).await,
            Self::There(fetched) => receive(*fetched, range, to, kinds).await,
        }
    }
}

/// Takes an object of another target into a work file, durable whatever its bucket asks for: that one is removed.
pub(crate) async fn receive_moved(
    fetched: Fetched<'_>,
    to: &Place,
    parts: Vec<u64>,
) -> Result<Prepared<RingFile>, Failure> {
    let range = fetched.range();
    let kinds: Vec<ChecksumKind> = fetched.record().checksums.iter().map(|sum| sum.kind).collect();
    write(fetched, range, to, (&kinds, Durability::Durable), parts).await
}

async fn receive(
    fetched: Fetched<'_>,
    range: ByteRange,
    to: &Place,
    kinds: &[ChecksumKind],
) -> Result<Prepared<RingFile>, Failure> {
    if fetched.range() != range {
        // It was replaced between two looks at it.
        return Err(weir_types::RangeError::Unsatisfiable { size: fetched.record().size }.into());
    }
    write(fetched, range, to, (kinds, to.durability()), Vec::new()).await
}

async fn write(
    mut fetched: Fetched<'_>,
    range: ByteRange,
    to: &Place,
    (kinds, durability): (&[ChecksumKind], Durability),
    parts: Vec<u64>,
) -> Result<Prepared<RingFile>, Failure> {
    let volume = to.volume();
    let mut writer = volume.writer(&put::options(Some(range.len), durability, kinds)).await?;
    // Of the heap: two nodes that hold each other's last registered buffers would wait for each other.
    let mut buf = volume.disk().clone().heap(limits::IO_BUFFER_BYTES);
    loop {
        let n;
        let filled;
        (filled, n) = fetched.fill(full(buf.0)).await?;
        buf = RingBuf(filled);
        buf.set_len(n);
        if n == 0 {
            break;
        }
        let (back, written) = writer.write(buf).await;
        written?;
        buf = back;
    }
    let whole = range.len == fetched.record().size;
    let sums = fetched.record().checksums.iter().filter(|sum| whole && kinds.contains(&sum.kind));
    let expected = Expected { size: Some(range.len), checksums: sums.cloned().collect() };
    fetched.close();
    Ok(writer.finish_parts(&expected, parts).await?)
}
