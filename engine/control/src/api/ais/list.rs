//! Listing objects page by page. A page needs nothing from the one before but its token, which says after which
//! name to go on, so that no state is kept between them; the listing's UUID only goes from page to page.

use std::collections::HashMap;

use weir_ais::{
    AisError, BucketQuery, CONTENT_JSON, CONTENT_MSGPACK, EntryFacts, EntryFlags, Location, LsoEntry,
    LsoFlags, LsoMsg, LsoRes, Shown, accepts_msgpack,
};
use weir_cluster::JobId;
use weir_store::{ListQuery, ListedObject, StoreError};
use weir_types::limits::LIST_PAGE_MAX;
use weir_types::{Access, Bucket, CustomMeta, Provider};

use super::node::on_worker;
use super::{Answer, bucket, error, on_bucket, on_mask};
use crate::api::Asked;
use crate::core::Core;
use crate::{BackendError, ControlError, ControlResponse, LocalPage, Place, RemoteEntry, RemotePage};

/// Local pages that one remote page is merged with at most: what the node holds beyond that between two names of
/// the origin is no longer there.
const LOCAL_PAGES_MAX: usize = 64;

/// One page of a bucket.
pub(super) async fn objects(core: &Core, query: &BucketQuery, mut msg: LsoMsg, asked: &Asked<'_>) -> Answer {
    let bucket =
        query.bucket().ok_or_else(|| AisError::Bad("list-objects: expected a bucket name".into()))?;
    on_bucket(asked, Access::LIST_OBJECTS, &bucket)?;
    msg.check(&bucket)?;
    check_prefix(&msg.prefix)?;
    let has = |flag| msg.flags.has(flag);
    if has(LsoFlags::DONT_HEAD_REMOTE) && bucket.provider.is_remote() {
        // The listing itself will tell whether the origin has the bucket.
    } else {
        let cluster_only = has(LsoFlags::CACHED) || has(LsoFlags::BUCKET_PRESENT);
        let info = bucket::seen(core, &bucket, has(LsoFlags::DONT_ADD_REMOTE), cluster_only).await?;
        on_mask(asked, Access::LIST_OBJECTS, &bucket, &info, "LIST-OBJECTS")?;
    }
    if msg.uuid.is_empty() {
        msg.uuid = crate::sessions::job_id();
    }
    JobId::new(msg.uuid.as_str())?;
    let target = core.identity().target.to_string();
    let msgpack = accepts_msgpack(asked.head.header("accept").unwrap_or_default());
    let page = if bucket.provider.is_remote() && !has(LsoFlags::CACHED) {
        remote(core, &bucket, &msg).await.map_err(error::of)?
    } else {
        Raw::Local(core.list_page(&bucket, &list_query(&bucket, &msg)).await.map_err(error::of)?)
    };
    let limit = msg.page_entries(&bucket);
    on_worker(move || {
        let entries = page.entries(&bucket, &msg, &target)?;
        let answer = answer(&msg, entries, page.next(), limit);
        Ok(encode(&answer, msgpack))
    })
    .await?
    .map_err(|e: StoreError| error::of(BackendError::from(e)))
}

fn encode(page: &LsoRes, msgpack: bool) -> ControlResponse {
    let response = ControlResponse::new(200);
    if msgpack {
        response.body(CONTENT_MSGPACK, page.msgpack())
    } else {
        response.body(CONTENT_JSON, weir_ais::json(page))
    }
}

/// AIS refuses what is no path within a bucket.
fn check_prefix(prefix: &str) -> Result<(), AisError> {
    if prefix.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(AisError::Bad(format!("invalid prefix {prefix:?}: '.' and '..' are not allowed in it")));
    }
    Ok(())
}

fn list_query(bucket: &Bucket, msg: &LsoMsg) -> ListQuery {
    let no_recursion = msg.flags.has(LsoFlags::NO_RECURSION);
    ListQuery {
        prefix: msg.prefix.clone(),
        start_after: msg.after().to_owned(),
        delimiter: if no_recursion { "/".into() } else { String::new() },
        limit: msg.page_entries(bucket),
    }
}

/// The page's names are the origin's; a full one is followed by another even if nothing follows, as in AIS.
fn answer(msg: &LsoMsg, entries: Vec<LsoEntry>, next: Option<&str>, limit: usize) -> LsoRes {
    let mut page = LsoRes::page(&msg.uuid, entries, limit);
    if let Some(next) = next {
        page.continuation_token = next.to_owned();
    }
    page
}

/// A page before it is put into AIS's words.
enum Raw {
    Local(LocalPage),
    Remote { page: RemotePage, local: HashMap<String, Held>, next: Option<String> },
}

/// An object that the cluster holds.
struct Held {
    object: ListedObject,
    place: Place,
}

/// One page of the origin, and what the node holds of it.
async fn remote(core: &Core, bucket: &Bucket, msg: &LsoMsg) -> Result<Raw, ControlError> {
    let list = list_query(bucket, msg);
    let mut query = core.remote_query(bucket, list)?;
    let page = loop {
        let page = core.backend.remote_page(bucket, &query).await?;
        let empty = page.entries.is_empty() && page.common_prefixes.is_empty();
        if !(empty && page.more && page.continuation.is_some()) {
            break page;
        }
        query.continuation = page.continuation;
    };
    let last_name = page.entries.last().map(|e| e.name.as_str());
    let last = last_name.max(page.common_prefixes.last().map(String::as_str)).map(str::to_owned);
    let mut local = HashMap::new();
    if let Some(last_name) = last_name {
        let mut query = ListQuery { limit: LIST_PAGE_MAX.min(2 * query.list.limit), ..query.list };
        for _ in 0..LOCAL_PAGES_MAX {
            let found = core.list_page(bucket, &query).await?;
            let past = found.rows.last().is_some_and(|row| row.name >= last_name);
            for row in found.rows.iter() {
                let object = row.object().map_err(BackendError::from)?;
                local.insert(row.name.to_owned(), Held { object, place: found.place(&row) });
            }
            match found.next {
                Some(next) if !past => query.start_after = next,
                _ => break,
            }
        }
    }
    Ok(Raw::Remote { next: last.filter(|_| page.more), page, local })
}

impl Raw {
    /// After which name the next page begins, if there is one.
    fn next(&self) -> Option<&str> {
        match self {
            Self::Local(page) => page.next.as_deref(),
            Self::Remote { next, .. } => next.as_deref(),
        }
    }

    /// Objects and directories together in byte order, with what was asked for.
    fn entries(&self, bucket: &Bucket, msg: &LsoMsg, target: &str) -> Result<Vec<LsoEntry>, StoreError> {
        let shown = msg.shown();
        let (objects, prefixes): (Vec<LsoEntry>, &[String]) = match self {
            // Everything in an AIS bucket is in the cluster.
            Self::Local(_) if msg.flags.has(LsoFlags::NOT_CACHED) => return Ok(Vec::new()),
            Self::Local(page) => {
                let mut entries = Vec::with_capacity(page.rows.len());
                for row in page.rows.iter() {
                    let here = Held { object: row.object()?, place: page.place(&row) };
                    entries.push(held(row.name, &here, bucket, &shown, target));
                }
                (entries, &page.common_prefixes)
            }
            Self::Remote { page, local, .. } => {
                let wanted = |e: &&RemoteEntry| {
                    !(msg.flags.has(LsoFlags::NOT_CACHED) && local.contains_key(e.name.as_str()))
                };
                let entry = |e: &RemoteEntry| match local.get(e.name.as_str()) {
                    Some(local) => held(e.name.as_str(), local, bucket, &shown, target),
                    None => outside(e, bucket.provider, &shown),
                };
                (page.entries.iter().filter(wanted).map(entry).collect(), &page.common_prefixes)
            }
        };
        // As in AIS, `no-dirs` hides what an origin rolled up, never the directories of what is held here.
        let hidden = matches!(self, Self::Remote { .. }) && msg.flags.has(LsoFlags::NO_DIRS);
        if prefixes.is_empty() || hidden {
            return Ok(objects);
        }
        let mut all = objects;
        all.extend(prefixes.iter().map(|p| directory(p, &shown)));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }
}

/// A virtual directory: its name ends in a slash, which sets `d/` apart from an object `d` and sorts it.
fn directory(name: &str, shown: &Shown<'_>) -> LsoEntry {
    LsoEntry::new(&EntryFacts { name, flags: EntryFlags::DIR, ..EntryFacts::default() }, shown)
}

/// An object that the cluster holds; `target` is this node.
fn held(name: &str, here: &Held, bucket: &Bucket, shown: &Shown<'_>, target: &str) -> LsoEntry {
    let Held { object, place } = here;
    let version = match &object.remote {
        _ if !shown.version => String::new(),
        Some(remote) => remote.version.clone().unwrap_or_default(),
        None if object.version == 0 => String::new(),
        None => object.version.to_string(),
    };
    let custom = if shown.custom { custom_of(object, bucket.provider) } else { CustomMeta::default() };
    let node = if place.target.is_empty() { target } else { &*place.target };
    let chunked = if object.in_parts { EntryFlags::CHUNKED } else { EntryFlags::default() };
    let facts = EntryFacts {
        name,
        size: object.size,
        checksum: object.checksum.as_ref(),
        atime_ns: object.modified_ns,
        version: &version,
        custom: Some(&custom),
        location: Some(Location { node, mountpath: &place.mountpath }),
        copies: object.copies.into(),
        flags: EntryFlags::CACHED | chunked,
    };
    LsoEntry::new(&facts, shown)
}

/// An object that only the origin has.
fn outside(entry: &RemoteEntry, provider: Provider, shown: &Shown<'_>) -> LsoEntry {
    let version = entry.version.as_deref().unwrap_or_default();
    let mut custom = CustomMeta::default();
    if shown.custom {
        identity(&mut custom, provider, entry.etag.as_deref(), entry.version.as_deref(), entry.modified_ns);
    }
    let facts = EntryFacts {
        name: entry.name.as_str(),
        size: entry.size,
        version,
        custom: Some(&custom),
        ..EntryFacts::default()
    };
    LsoEntry::new(&facts, shown)
}

/// Custom metadata with the identity at the origin, under AIS's keys.
fn custom_of(object: &ListedObject, provider: Provider) -> CustomMeta {
    let mut custom = object.custom.clone();
    if let Some(remote) = &object.remote {
        let (etag, version) = (remote.etag.as_deref(), remote.version.as_deref());
        identity(&mut custom, provider, etag, version, remote.modified_ns);
    }
    custom
}

fn identity(
    custom: &mut CustomMeta,
    provider: Provider,
    etag: Option<&str>,
    version: Option<&str>,
    modified_ns: Option<u64>,
) {
    let modified = modified_ns.map(weir_s3::http_date);
    let pairs = [
        ("source", Some(provider.as_str())),
        ("ETag", etag),
        ("version", version),
        ("LastModified", modified.as_deref()),
    ];
    for (key, value) in pairs {
        // Of custom metadata that is full the user's own comes first.
        if let Some(value) = value {
            let _ = custom.set(key, value);
        }
    }
}
