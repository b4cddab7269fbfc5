//! Removing objects: names that are given, names by number, or all under a prefix. Each target removes those that it owned when
//! the job began, wherever they are by then; one that is not there is no error, so that the part can be done again from its
//! beginning.

use futures_util::{StreamExt, stream};
use weir_cluster::{ClusterView, Job, Selection, hrw};
use weir_store::{ListQuery, Terms};
use weir_types::{Bucket, ObjectName, Template};

use super::Progress;
use super::over::{AGAIN, PAGE, Paged, at_rest, is_there, paged, passes, turns};
use crate::core::Core;
use crate::{BackendError, ControlError, LocalPage, gather, runtime};

/// Removals under way together: enough to fill a committer's batch.
const TOGETHER_MAX: usize = 64;

/// Does this target's part.
pub(super) async fn objects(
    core: &Core,
    job: &Job,
    bucket: &Bucket,
    bid: u64,
    selection: &Selection,
    progress: &Progress,
) {
    let work = Work { core, job, bucket, bid, progress };
    match selection {
        Selection::Names(names) => work.names(names.iter().cloned()).await,
        Selection::Template(text) => match Template::parse(text) {
            Some(template) => work.names(template.names()).await,
            None => progress.fail(format!("{text:?}: no template")),
        },
        Selection::Prefix(prefix) => {
            let Ok(begun) = core.view() else { return };
            work.under(prefix, u64::MAX).await;
            // What was on its way here may have come behind the walk's back; what was made since the job began stays.
            let mut seen = begun.smap.version;
            let mut moved = begun.moving.is_some();
            while work.goes_on() && (moved || core.view().is_ok_and(|view| view.smap.version != seen)) {
                seen = at_rest(core, || work.goes_on()).await;
                moved = false;
                work.under(prefix, job.started_ns).await;
            }
            // Whoever has ended, or has no part, may have got what was still to be removed here.
            if work.goes_on() && core.view().is_ok_and(|view| !job.has_owners_of(&view.smap)) {
                let why = "owners of objects changed meanwhile, so that something may be left: remove again";
                progress.fail(why.into());
            }
        }
    }
}

struct Work<'w> {
    core: &'w Core,
    job: &'w Job,
    bucket: &'w Bucket,
    bid: u64,
    progress: &'w Progress,
}

impl Work<'_> {
    async fn names(&self, names: impl Iterator<Item = String>) {
        let mut turns = turns(names);
        while self.goes_on() {
            let Some(some) = turns.next() else { return };
            self.all(some.into_iter().map(|name| (name, 0))).await;
            tokio::task::yield_now().await;
        }
    }

    /// Removes these, several at a time.
    async fn all(&self, objects: impl Iterator<Item = (ObjectName, u64)>) {
        let each = |(name, bytes): (ObjectName, u64)| async move { self.remove(&name, bytes).await };
        stream::iter(objects).for_each_concurrent(TOGETHER_MAX, each).await;
    }

    /// Removes what has this prefix and was written before a time.
    async fn under(&self, prefix: &str, before_ns: u64) {
        let mut query = ListQuery { prefix: prefix.to_owned(), limit: PAGE, ..ListQuery::default() };
        while self.goes_on() {
            let page = self.core.backend.list_page(self.bucket, &query).await.and_then(LocalPage::read);
            let (objects, next) = match paged(page, self.progress).await {
                Paged::Came(page) => page,
                Paged::Again => continue,
                Paged::Failed => return,
            };
            let older = objects.into_iter().filter(|(_, object)| object.modified_ns < before_ns);
            self.all(older.map(|(name, object)| (name, object.size))).await;
            match next {
                Some(next) => query.start_after = next,
                None => return,
            }
        }
    }

    /// Whether the job is still wanted, and the bucket the one it was begun for.
    fn goes_on(&self) -> bool {
        let Ok(view) = self.core.view() else { return false };
        is_there(&view, self.bucket, self.bid, self.progress) && !self.progress.is_over()
    }

    async fn remove(&self, name: &ObjectName, bytes: u64) {
        while self.goes_on() {
            let Ok(views) = self.core.raft.views() else { return };
            if !views.load().is_own(self.bucket, name.as_str()) {
                match self.remove_elsewhere(&views.load(), name).await {
                    Ok(true) => return self.progress.count(bytes),
                    Ok(false) => return,
                    Err(error) if is_passing(&error) => runtime::sleep(AGAIN).await,
                    Err(error) => return self.progress.fail(error.to_string()),
                }
                continue;
            }
            // While objects move: it is here before it goes.
            if let Err(error) = gather::own(self.core.backend.as_ref(), views, self.bucket, name).await {
                match passes(&error) {
                    true => runtime::sleep(AGAIN).await,
                    false => return self.progress.fail(error.to_string()),
                }
                continue;
            }
            let removed = if self.bucket.provider.is_remote() {
                self.core.backend.evict_object(self.bucket, name).await
            } else {
                self.core.backend.delete_object(self.bucket, name, &Terms::default()).await
            };
            match removed {
                Ok(true) => return self.progress.count(bytes),
                Ok(false) => return,
                Err(BackendError::Store(error)) if error.is_not_found() => return,
                Err(error) if passes(&error) => runtime::sleep(AGAIN).await,
                Err(error) => return self.progress.fail(error.to_string()),
            }
        }
    }

    /// Removes what was this target's when the job began, and is another's by now: that one may have been over its own by then.
    /// Copies of remote objects do not go along to new owners.
    async fn remove_elsewhere(&self, view: &ClusterView, name: &ObjectName) -> Result<bool, ControlError> {
        let digest = hrw::object_digest(self.bucket, name.as_str());
        let owner = hrw::pick(self.job.parts.keys().map(|id| (id.digest(), id)), digest);
        let was_own = owner.is_some_and(|owner| view.me.target.as_ref() == Some(owner));
        if !was_own || self.bucket.provider.is_remote() {
            return Ok(false);
        }
        let removal = vec![(name.clone(), Terms::default())];
        match self.core.remove_objects(self.bucket, removal).await.pop() {
            Some(Err(ControlError::Backend(BackendError::Store(error)))) if error.is_not_found() => Ok(false),
            removed => removed.unwrap_or(Ok(false)),
        }
    }
}

/// Whether the same may go well shortly.
fn is_passing(error: &ControlError) -> bool {
    match error {
        ControlError::NoAgreement(_) | ControlError::Overloaded => true,
        ControlError::Backend(error) => passes(error),
        _ => false,
    }
}
