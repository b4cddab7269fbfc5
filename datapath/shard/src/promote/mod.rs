//! Files of this host that become objects: the owner of the name reads the file, here or from the target that has it, and
//! commits it as a PUT. So bytes go from shard to shard, as those of copies do.

mod dirs;

use std::rc::Rc;

use futures_channel::oneshot;
use weir_auth::Grant;
use weir_cluster::NodeId;
use weir_store::{Attrs, Buffer as _, Condition, Disk as _, Expected, Prepared, Record, StoreError, Terms};
use weir_types::{Access, Bucket, ObjectName, limits};

use crate::answer::Answer;
use crate::conn::Conn;
use crate::copies::{CopyFailure, failure};
use crate::disk::RingFile;
use crate::fail::Failure;
use crate::place::{Place, PlaceError, There};
use crate::relay::Taking;
use crate::serve::{Handled, Request};
use crate::shard::Shard;
use crate::source::Source;
use crate::{Op, get, moves, put};

pub use dirs::{PromotableDir, PromoteDirs, PromoteError};

/// The field with the path, in hex, of a file that an owner asks another target for.
pub(crate) const FILE_HEADER: &str = "weir-file";

/// A file that is to become an object of this target.
pub struct PromoteTask {
    /// The object's bucket.
    pub bucket: Bucket,
    /// The object's name.
    pub name: ObjectName,
    /// The file.
    pub file: String,
    /// The target whose file it is; none: this one's.
    pub from: Option<NodeId>,
    /// In place of an object that is there.
    pub overwrite: bool,
    /// Hears how many bytes the object has; nothing if there is one already.
    pub done: oneshot::Sender<Result<Option<u64>, CopyFailure>>,
}

/// Begins; its caller sees one that there is no room for.
pub(crate) fn start(shard: &Rc<Shard>, task: PromoteTask) {
    let owner = shard.clone();
    let promoting = async move {
        let promoted = promote(&owner, &task).await.map_err(failure);
        // A job that was given up needs no answer.
        let _ = task.done.send(promoted);
    };
    if shard.handle.spawn(promoting).is_err() {
        tracing::debug!("no room for another file");
    }
}

async fn promote(shard: &Shard, task: &PromoteTask) -> Result<Option<u64>, Failure> {
    let PromoteTask { bucket, name, file, from, overwrite, .. } = task;
    let grant = Grant::of_job("promote", [(bucket.clone(), Access::ALL)]);
    let forbidden = |_| Failure::Place(PlaceError::Masked);
    let place = shard.place(bucket, name, grant.require(Access::PUT, bucket).map_err(forbidden)?).await?;
    moves::own(shard, &place).await?;
    if !overwrite && get::head(shard, &place).await.is_ok() {
        return Ok(None);
    }
    let prepared = match from {
        None => copy_in(shard, &place, file).await?,
        Some(target) => {
            let (view, bucket, owner) = (shard.view(), bucket.clone(), target.clone());
            let there = There { view, bucket, owner };
            let from = Taking { shard, grant: &grant, there: &there, name };
            let fetched = from.take_file(file).await?.ok_or_else(|| {
                Failure::Store(StoreError::NotFound { bucket: place.bucket.clone(), name: name.clone() })
            })?;
            let source = Source::There(Box::new(fetched));
            put::admit(&place, Some(source.size()))?;
            let all = source.all();
            source.copy_in(all, &place, &put::kinds(&place, None)).await?
        }
    };
    let size = prepared.size;
    let terms = Terms { if_none_match: (!overwrite).then_some(Condition::Any), ..Terms::default() };
    match put::commit(shard, &place, prepared, Attrs::default(), terms, None).await {
        // Somebody else wrote it meanwhile.
        Err(Failure::Store(StoreError::Precondition { .. })) if !overwrite => Ok(None),
        committed => committed.map(|_| Some(size)),
    }
}

/// A file, opened by the walker: that may take a disk's time.
async fn open(shard: &Shard, place: &Place, file: &str) -> Result<(RingFile, u64), Failure> {
    let (dirs, path) = (shard.shared.promote.clone(), file.to_owned());
    let opened = shard.shared.walker.call(place.disk(), move |_| async move { dirs.open(&path) }).await?;
    let (fd, size) = opened.map_err(|error| {
        tracing::debug!("a file that was to become an object: {error}");
        Failure::NotPromoted(error.to_string())
    })?;
    Ok((RingFile::of_others(fd), size))
}

async fn copy_in(shard: &Shard, place: &Place, file: &str) -> Result<Prepared<RingFile>, Failure> {
    let (file, size) = open(shard, place, file).await?;
    put::admit(place, Some(size))?;
    let (volume, kinds) = (place.volume(), put::kinds(place, None));
    let mut writer = volume.writer(&put::options(Some(size), place.durability(), &kinds)).await?;
    let mut buf = volume.disk().heap(limits::IO_BUFFER_BYTES);
    let mut at = 0;
    loop {
        let (read, got) = volume.disk().read(&file, at, limits::IO_BUFFER_BYTES, buf).await;
        let got = got.map_err(StoreError::from)?;
        if got == 0 {
            break;
        }
        at += got as u64;
        let (back, written) = writer.write(read).await;
        written?;
        buf = back;
        buf.set_len(0);
    }
    // A file that grew or shrank meanwhile is none that is whole.
    Ok(writer.finish(&Expected { size: Some(size), checksums: Vec::new() }).await?)
}

/// Sends a file to the owner of the object that it is to become.
pub(crate) async fn serve(
    request: &Request<'_>,
    conn: &Conn,
    place: &Place,
    file: &str,
) -> Result<Handled, Failure> {
    let shard = request.shard;
    let path = hex::decode(file).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(path) = path else { return Ok(request.answer(conn, Op::Control, Answer::new(400)).await?) };
    let (file, size) = match open(shard, place, &path).await {
        Err(Failure::NotPromoted(_)) => {
            return Ok(request.answer(conn, Op::Control, Answer::new(404)).await?);
        }
        opened => opened?,
    };
    moves::send_head_of(request, conn, &Record { size, ..Record::default() }).await?;
    let sent = send(conn, place, &file, size).await;
    Ok(Handled { op: Op::Control, status: 200, broken: !matches!(sent, Ok(true)) })
}

/// Whether all of it was sent: a file may shrink meanwhile.
async fn send(conn: &Conn, place: &Place, file: &RingFile, size: u64) -> Result<bool, Failure> {
    let disk = place.volume().disk();
    let mut buf = disk.heap(limits::IO_BUFFER_BYTES);
    let mut at = 0;
    while at < size {
        let len = usize::try_from(size - at).unwrap_or(usize::MAX).min(limits::IO_BUFFER_BYTES);
        let got;
        (buf, got) = disk.read(file, at, len, buf).await;
        let got = got.map_err(StoreError::from)?;
        if got == 0 {
            return Ok(false);
        }
        conn.send_bytes(buf.get(..got).unwrap_or_default()).await?;
        at += got as u64;
    }
    Ok(true)
}
