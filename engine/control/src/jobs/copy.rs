//! Copying objects into another bucket, and renaming a bucket: each target copies what it owns of the source, one of its
//! shards reading and the destination's owner writing; no bytes come here. A copy that is there with the same content is
//! left alone, so that the part can be done again from its beginning.

use futures_util::{StreamExt, stream};
use weir_cluster::{ClusterView, CopyOrder, Job, Selection};
use weir_store::ListQuery;
use weir_types::limits::JOB_COPIES_MAX;
use weir_types::{ObjectName, Template};

use super::Progress;
use super::over::{AGAIN, PAGE, Paged, at_rest, is_there, paged, passes, turns};
use crate::core::Core;
use crate::runtime;
use crate::{BackendError, CopyCall, LocalPage};

/// Does this target's part.
pub(super) async fn objects(core: &Core, job: &Job, order: &CopyOrder, progress: &Progress) {
    selected(core, order, progress).await;
    if let Ok(view) = core.view() {
        expect_same_owners(&view, job, progress);
    }
}

/// Expects that names had the same owners all the time: else an object may have moved from a target that had not come to it
/// yet to one that was through, or has no part.
fn expect_same_owners(view: &ClusterView, job: &Job, progress: &Progress) {
    if progress.is_over() || (job.has_owners_of(&view.smap) && !moved_since(view, job)) {
        return;
    }
    let joined = view.smap.active_targets().find(|target| !job.parts.contains_key(&target.id));
    let what = joined.map_or_else(
        || "owners of objects changed meanwhile".to_owned(),
        |target| format!("{target} joined meanwhile"),
    );
    progress.fail(format!("{what}, so that something may be missing: copy again"));
}

/// Whether a rebalance was begun since, other than once more to the owners of before.
fn moved_since(view: &ClusterView, job: &Job) -> bool {
    let is_later = |other: &Job| other.started_ns > job.started_ns;
    let begun = view.jobs.iter().filter(|other| is_later(other)).filter_map(|other| other.order.rebalances());
    let mut versions = begun.chain(view.moving.iter().map(|moving| moving.version));
    versions.any(|version| view.jobs.rebalances_to(version).all(|other| is_later(other)))
}

async fn selected(core: &Core, order: &CopyOrder, progress: &Progress) {
    let work = Work { core, order, progress };
    if order.is_rename()
        && let Err(error) = core.backend.settle(&order.from).await
    {
        return progress.fail(error.to_string());
    }
    match &order.selection {
        Selection::Names(names) => work.names(names.iter().cloned()).await,
        Selection::Template(text) => match Template::parse(text) {
            Some(template) => work.names(template.names()).await,
            None => progress.fail(format!("{text:?}: no template")),
        },
        Selection::Prefix(prefix) if order.outside => work.at_origin(prefix).await,
        Selection::Prefix(prefix) => loop {
            // An object on its way to its owner could pass by every target's walk.
            let version = at_rest(core, || work.goes_on()).await;
            work.under(prefix).await;
            if !work.goes_on() || core.view().is_ok_and(|view| view.smap.version == version) {
                return;
            }
        },
    }
}

struct Work<'w> {
    core: &'w Core,
    order: &'w CopyOrder,
    progress: &'w Progress,
}

impl Work<'_> {
    async fn names(&self, names: impl Iterator<Item = String>) {
        let mut turns = turns(names);
        while self.goes_on() {
            let Some(some) = turns.next() else { return };
            self.all(some.into_iter().map(|name| (name, None))).await;
            tokio::task::yield_now().await;
        }
    }

    async fn under(&self, prefix: &str) {
        let mut query = self.query(prefix);
        while self.goes_on() {
            let page = self.core.backend.list_page(&self.order.from, &query).await.and_then(LocalPage::read);
            let (objects, next) = match paged(page, self.progress).await {
                Paged::Came(page) => page,
                Paged::Again => continue,
                Paged::Failed => return,
            };
            self.all(objects.into_iter().map(|(name, object)| (name, Some(object.size)))).await;
            match next {
                Some(next) => query.start_after = next,
                None => return,
            }
        }
    }

    /// What the origin of a remote bucket has.
    async fn at_origin(&self, prefix: &str) {
        let mut query = match self.core.remote_query(&self.order.from, self.query(prefix)) {
            Ok(query) => query,
            Err(error) => return self.progress.fail(error.to_string()),
        };
        while self.goes_on() {
            let page =
                match paged(self.core.backend.remote_page(&self.order.from, &query).await, self.progress)
                    .await
                {
                    Paged::Came(page) => page,
                    Paged::Again => continue,
                    Paged::Failed => return,
                };
            let last = page.entries.last().map(|entry| entry.name.to_string());
            let last = last.max(page.common_prefixes.last().cloned());
            self.all(page.entries.into_iter().map(|entry| (entry.name, Some(entry.size)))).await;
            if !page.more {
                return;
            }
            query.continuation = page.continuation;
            query.list.start_after = last.unwrap_or(query.list.start_after);
        }
    }

    fn query(&self, prefix: &str) -> ListQuery {
        let delimiter = if self.order.flat { "/" } else { "" };
        ListQuery {
            prefix: prefix.to_owned(),
            delimiter: delimiter.into(),
            limit: PAGE,
            ..ListQuery::default()
        }
    }

    /// Copies these, several at a time.
    async fn all(&self, objects: impl Iterator<Item = (ObjectName, Option<u64>)>) {
        let together = match usize::from(self.order.workers) {
            0 => JOB_COPIES_MAX,
            asked => asked.min(JOB_COPIES_MAX),
        };
        let each = |(name, size): (ObjectName, Option<u64>)| async move { self.copy(name, size).await };
        stream::iter(objects).for_each_concurrent(together, each).await;
    }

    /// Whether the job is still wanted, and the buckets those it was begun for.
    fn goes_on(&self) -> bool {
        let Ok(view) = self.core.view() else { return false };
        let CopyOrder { from, from_bid, to, to_bid, .. } = self.order;
        let is_there = |bucket, bid| bid == 0 || is_there(&view, bucket, bid, self.progress);
        is_there(from, *from_bid) && is_there(to, *to_bid) && !self.progress.is_over()
    }

    async fn copy(&self, name: ObjectName, size: Option<u64>) {
        let as_name = match ObjectName::new(self.order.name_of(name.as_str())) {
            Ok(name) => name,
            Err(error) => return self.progress.fail(format!("the copy of {name}: {error}")),
        };
        let call = CopyCall {
            from: self.order.from.clone(),
            name,
            to: self.order.to.clone(),
            as_name,
            if_absent: self.order.is_rename(),
        };
        while self.goes_on() {
            if !self.core.view().is_ok_and(|view| view.is_own(&call.from, call.name.as_str())) {
                if self.order.is_rename() && size.is_some() {
                    // Nobody can say whether its owner sees it.
                    self.progress.fail(format!("{} is not where it belongs: rebalance first", call.name));
                }
                return;
            }
            let copied = match self.order.dry_run {
                true => self.look(&call.name, size).await,
                false => self.core.backend.copy_object(&call).await,
            };
            match copied {
                Ok(Some(bytes)) => return self.progress.count(bytes),
                Ok(None) => return,
                Err(error) if passes(&error) => runtime::sleep(AGAIN).await,
                Err(error) => return self.progress.fail(format!("{}: {error}", call.name)),
            }
        }
    }

    /// The size of an object that is not copied.
    async fn look(&self, name: &ObjectName, size: Option<u64>) -> Result<Option<u64>, BackendError> {
        match size {
            Some(_) => Ok(size),
            None => Ok(self.core.backend.object(&self.order.from, name).await?.map(|record| record.size)),
        }
    }
}
