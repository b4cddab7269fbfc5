//! Listings of objects and uploads.

use std::borrow::Cow;

use weir_s3::listing::{Entry, ListObjects, ListVersions, Page, Scope};
use weir_s3::uploads::{ListUploads, UploadEntry};
use weir_store::{ListQuery, Row, StoreError};
use weir_types::Bucket;

use super::{Answer, error, rendered};
use crate::core::Core;
use crate::{BackendError, ControlError};

/// One object as S3 lists it.
struct Listed {
    key: String,
    size: u64,
    mtime_ns: u64,
    etag: String,
}

/// One page, owned, so that a worker can render it.
#[derive(Default)]
struct Found {
    entries: Vec<Listed>,
    prefixes: Vec<String>,
    truncated: bool,
}

/// ListObjects of both generations.
pub(super) async fn objects(core: &Core, bucket: &Bucket, query: &ListObjects) -> Answer {
    let found = find(core, bucket, &query.scope, query.after()).await.map_err(error::of)?;
    let (query, name, owner) = (query.clone(), bucket.name.clone(), core.config.s3.owner.clone());
    rendered(move || query.render(name.as_str(), &found.page(), &owner)).await
}

/// ListObjectVersions: each object's one version.
pub(super) async fn versions(core: &Core, bucket: &Bucket, query: &ListVersions) -> Answer {
    let found = find(core, bucket, &query.scope, query.after()).await.map_err(error::of)?;
    let (query, name, owner) = (query.clone(), bucket.name.clone(), core.config.s3.owner.clone());
    rendered(move || query.render(name.as_str(), &found.page(), &owner)).await
}

/// ListMultipartUploads.
pub(super) async fn uploads(core: &Core, bucket: &Bucket, query: &ListUploads) -> Answer {
    let mut uploads = core.uploads(bucket).await.map_err(error::of)?;
    let (query, name, owner) = (query.clone(), bucket.name.clone(), core.config.s3.owner.clone());
    rendered(move || {
        uploads.sort_by(|a, b| (&a.key, &a.id).cmp(&(&b.key, &b.id)));
        let entries: Vec<UploadEntry<'_>> = uploads
            .iter()
            .map(|u| UploadEntry { key: u.key.as_str(), upload_id: &u.id, initiated_ns: u.initiated_ns })
            .collect();
        query.render(name.as_str(), &entries, &owner)
    })
    .await
}

impl Listed {
    fn entry(&self) -> Entry<'_> {
        Entry { key: &self.key, size: self.size, mtime_ns: self.mtime_ns, etag: Cow::Borrowed(&self.etag) }
    }
}

impl Found {
    fn page(&self) -> Page<'_> {
        Page {
            entries: self.entries.iter().map(Listed::entry).collect(),
            prefixes: self.prefixes.iter().map(String::as_str).collect(),
            truncated: self.truncated,
        }
    }
}

async fn find(
    core: &Core,
    bucket: &Bucket,
    scope: &Scope,
    after: Option<&str>,
) -> Result<Found, ControlError> {
    if scope.max_keys == 0 {
        return Ok(Found::default());
    }
    let query = ListQuery {
        prefix: scope.prefix.clone(),
        start_after: after.unwrap_or_default().to_owned(),
        delimiter: scope.delimiter.clone().unwrap_or_default(),
        limit: scope.max_keys,
    };
    if bucket.provider.is_remote() {
        return at_origin(core, bucket, query).await;
    }
    let page = core.list_page(bucket, &query).await?;
    let entry = |row: Row<'_>| {
        let object = row.object()?;
        Ok(Listed {
            size: object.size,
            mtime_ns: object.modified_ns,
            etag: object.etag.as_ref().map(ToString::to_string).unwrap_or_default(),
            key: row.name.to_owned(),
        })
    };
    let entries =
        page.rows.iter().map(entry).collect::<Result<_, StoreError>>().map_err(BackendError::from)?;
    Ok(Found { entries, prefixes: page.common_prefixes, truncated: page.next.is_some() })
}

/// A remote bucket lists what its origin has. Names that no object here can have are left out, so that a page
/// may come empty although more follows; then the next one is asked for.
async fn at_origin(core: &Core, bucket: &Bucket, list: ListQuery) -> Result<Found, ControlError> {
    let mut query = core.remote_query(bucket, list)?;
    loop {
        let page = core.backend.remote_page(bucket, &query).await?;
        let empty = page.entries.is_empty() && page.common_prefixes.is_empty();
        if empty && page.more && page.continuation.is_some() {
            query.continuation = page.continuation;
            continue;
        }
        let entries = page.entries.into_iter().map(|e| Listed {
            size: e.size,
            mtime_ns: e.modified_ns.unwrap_or(0),
            etag: e.etag.unwrap_or_default(),
            key: e.name.into(),
        });
        return Ok(Found {
            entries: entries.collect(),
            prefixes: page.common_prefixes,
            truncated: page.more,
        });
    }
}
