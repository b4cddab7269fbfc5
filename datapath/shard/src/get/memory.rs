//! Small objects in demand: head and body in one send, from where they are.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use weir_types::{ByteRange, limits};

use super::out::Outgoing;
use crate::fail::Failure;
use crate::opened::{self, Opened};
use crate::place::Place;
use crate::shard::Shard;

/// Sends bytes that are in memory.
pub(super) async fn send(out: &mut Outgoing<'_>, content: &[u8], range: ByteRange) -> Result<(), Failure> {
    out.send_bytes(content.get(within(range)).unwrap_or_default()).await
}

/// Whether the bytes of an object are worth keeping once it is read again.
pub(super) fn is_for_memory(opened: &Opened) -> bool {
    opened.object.content().is_none() && opened.object.size() <= limits::HOT_OBJECT_BYTES_MAX
}

/// Brings an object's bytes into memory, checked; the object as it was opened where they cannot be kept.
pub(super) async fn bring(shard: &Shard, place: &Place, opened: Rc<Opened>) -> Result<Rc<Opened>, Failure> {
    let object = &opened.object;
    let mut content = Vec::with_capacity(object.size() as usize);
    super::reading::choose_way(&opened, object.all())?;
    for chunk in object.chunks(object.all()) {
        content.extend_from_slice(object.read(chunk).await?.bytes());
    }
    let kept = opened::keep_content(shard, place, &opened, Arc::from(content));
    Ok(kept.unwrap_or(opened))
}

fn within(range: ByteRange) -> Range<usize> {
    let start = usize::try_from(range.start).unwrap_or(usize::MAX);
    start..start.saturating_add(usize::try_from(range.len).unwrap_or(usize::MAX))
}
