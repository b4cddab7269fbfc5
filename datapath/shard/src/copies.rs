//! Copies of objects: those that clients ask for one by one, and those that jobs ask this node for, which go from shard to
//! shard of the two owners and never past the control core.

use std::rc::Rc;

use futures_channel::oneshot;
use weir_auth::Grant;
use weir_store::{Attrs, Condition, Record, StoreError, Terms};
use weir_types::{Access, Bucket, Checksum, ChecksumKind, ObjectName};

use crate::fail::Failure;
use crate::get;
use crate::place::{Place, PlaceError};
use crate::put;
use crate::relay::{LinkError, have_copied};
use crate::shard::Shard;
use crate::source::Source;

/// The field by which a node tells another when the copy it asks for need not be made.
pub(crate) const NEED_HEADER: &str = "weir-copy";
/// Its value if anything that is there stays.
const IF_ABSENT: &str = "absent";

/// An object of this node that a job wants copied.
pub struct CopyTask {
    /// Its bucket.
    pub from: Bucket,
    /// Its name.
    pub name: ObjectName,
    /// The copy's bucket.
    pub to: Bucket,
    /// The copy's name.
    pub as_name: ObjectName,
    /// Whatever is there under that name stays as it is; otherwise only what has the same content.
    pub if_absent: bool,
    /// Hears how many bytes the object has; nothing if there is none.
    pub done: oneshot::Sender<Result<Option<u64>, CopyFailure>>,
}

/// Why an object was not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CopyFailure {
    /// The same may go well shortly.
    Later(String),
    /// It will not.
    Never(String),
}

/// Begins a copy; its caller sees one that there is no room for.
pub(crate) fn start(shard: &Rc<Shard>, task: CopyTask) {
    let owner = shard.clone();
    let copying = async move {
        let copied = copy(&owner, &task).await.map_err(failure);
        // A job that was given up needs no answer.
        let _ = task.done.send(copied);
    };
    if shard.handle.spawn(copying).is_err() {
        tracing::debug!("no room for another copy");
    }
}

async fn copy(shard: &Rc<Shard>, task: &CopyTask) -> Result<Option<u64>, Failure> {
    let CopyTask { from, name, to, as_name, if_absent, .. } = task;
    let needed = Access::GET | Access::PUT;
    let grant = Grant::of_job("job", [(from.clone(), needed), (to.clone(), needed)]);
    let forbidden = |_| Failure::Place(PlaceError::Masked);
    let place = shard.place(from, name, grant.require(Access::GET, from).map_err(forbidden)?).await?;
    let source = match get::open_whole(shard, &place).await {
        Err(failure) if failure.is_not_found() => return Ok(None),
        opened => opened?,
    };
    let size = source.record().size;
    match shard.place(to, as_name, grant.require(Access::PUT, to).map_err(forbidden)?).await {
        Ok(to) => {
            let need = need(source.record(), *if_absent);
            if !is_needless(shard, &to, &need).await {
                keep(shard, Source::Here(Box::new(source)), &to, *if_absent).await?;
            }
        }
        Err(PlaceError::Elsewhere(there)) => {
            let need = need(source.record(), *if_absent);
            // The owner of the copy reads it back from here.
            drop(source);
            match have_copied(shard, &grant, &there, (from, name), (to, as_name), Some(need)).await {
                Err(failure) if failure.is_not_found() => {
                    return match get::head(shard, &place).await {
                        Err(error) if error.is_not_found() => Ok(None),
                        _ => Err(Failure::Overloaded("the copy's owner does not find the object yet")),
                    };
                }
                copied => copied?,
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Some(size))
}

/// Copies an object into a place, with its metadata.
pub(crate) async fn keep(
    shard: &Shard,
    source: Source<'_>,
    to: &Place,
    if_absent: bool,
) -> Result<(), Failure> {
    crate::moves::own(shard, to).await?;
    put::admit(to, Some(source.size()))?;
    let record = source.record();
    let attrs = Attrs {
        custom: record.custom.clone(),
        content: record.content.clone(),
        etag: record.etag.clone(),
        ..Attrs::default()
    };
    let all = source.all();
    let prepared = source.copy_in(all, to, &put::kinds(to, None)).await?;
    let terms = Terms { if_none_match: if_absent.then_some(Condition::Any), ..Terms::default() };
    match put::commit(shard, to, prepared, attrs, terms, None).await {
        // Somebody else wrote it meanwhile.
        Err(Failure::Store(StoreError::Precondition { .. })) if if_absent => Ok(()),
        committed => committed.map(drop),
    }
}

/// When a copy need not be made: if anything is there, or else what has this size and one of these checksums.
fn need(record: &Record, if_absent: bool) -> String {
    if if_absent {
        return IF_ABSENT.to_owned();
    }
    let sums = record.checksums.iter().map(|sum| format!(" {}:{}", sum.kind.as_str(), sum.hex()));
    format!("{}{}", record.size, sums.collect::<String>())
}

/// Whether a copy asks to leave what is there.
pub(crate) fn is_if_absent(need: &str) -> bool {
    need == IF_ABSENT
}

/// Whether what is in a place makes a copy needless. What cannot be read there does not.
pub(crate) async fn is_needless(shard: &Shard, to: &Place, need: &str) -> bool {
    let present = get::head(shard, to);
    !need.is_empty() && present.await.is_ok_and(|record| is_if_absent(need) || has_content(&record, need))
}

fn has_content(record: &Record, need: &str) -> bool {
    let mut words = need.split_ascii_whitespace();
    if words.next().and_then(|size| size.parse().ok()) != Some(record.size) {
        return false;
    }
    words.any(|word| {
        let sum = word.split_once(':').and_then(|(kind, hex)| {
            let kind = ChecksumKind::parse(kind)?;
            Checksum::from_hex(kind, hex)
        });
        sum.is_some_and(|sum| record.checksums.contains(&sum))
    })
}

/// What is the cluster's or the load's passes; what is the object's or the bucket's does not.
pub(crate) fn failure(failure: Failure) -> CopyFailure {
    let text = failure.to_string();
    let passes = match &failure {
        Failure::Overloaded(_) | Failure::Behind | Failure::Conn(_) | Failure::NotHeld => true,
        Failure::Peer { error: LinkError::Answered(status), .. } => matches!(status, 429 | 503),
        Failure::Peer { .. } => true,
        Failure::Place(error) => {
            matches!(error, PlaceError::Elsewhere(_) | PlaceError::NoTarget | PlaceError::NoDisk)
        }
        // Who owns the name changed between the look at the map and the commit.
        Failure::Store(error) => matches!(error, StoreError::NoLease | StoreError::NotOwner),
        _ => false,
    };
    if passes { CopyFailure::Later(text) } else { CopyFailure::Never(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_cluster_refuses_for_now_is_tried_again() {
        let check = |refused: Failure, later: bool| {
            let text = refused.to_string();
            assert_eq!(matches!(failure(refused), CopyFailure::Later(_)), later, "{text}");
        };
        check(Failure::Store(StoreError::NotOwner), true);
        check(Failure::Store(StoreError::NoLease), true);
        check(Failure::NotHeld, true);
        check(Failure::Behind, true);
        let answered = |status| Failure::Peer { node: "t1".into(), error: LinkError::Answered(status) };
        check(answered(503), true);
        check(answered(507), false);
        check(Failure::Store(StoreError::Poisoned("EIO".into())), false);
        check(Failure::Place(PlaceError::Masked), false);
    }

    #[test]
    fn what_has_the_same_content_is_known() {
        let sum = |kind, text: &[u8]| weir_types::checksum::of(kind, text);
        let record = |text: &[u8], kinds: &[ChecksumKind]| Record {
            size: text.len() as u64,
            checksums: kinds.iter().map(|kind| sum(*kind, text)).collect(),
            ..Record::default()
        };
        let (xx, md5) = (ChecksumKind::XxHash2, ChecksumKind::Md5);
        let check = |there: &Record, here: &Record, same: bool| {
            let need = need(here, false);
            assert_eq!(has_content(there, &need), same, "{need}");
        };
        check(&record(b"abc", &[xx]), &record(b"abc", &[xx]), true);
        check(&record(b"abc", &[md5]), &record(b"abc", &[xx, md5]), true);
        check(&record(b"abc", &[md5]), &record(b"abc", &[xx]), false);
        check(&record(b"abc", &[xx]), &record(b"abd", &[xx]), false);
        check(&record(b"abc", &[xx]), &record(b"abcd", &[xx]), false);
        check(&record(b"", &[]), &record(b"", &[]), false);
        assert!(is_if_absent(&need(&record(b"", &[]), true)));
        for bad in ["", "x", "3 :", "3 md5:", "3 md5:zz", "-3"] {
            assert!(!has_content(&record(b"abc", &[md5]), bad), "{bad}");
        }
    }
}
