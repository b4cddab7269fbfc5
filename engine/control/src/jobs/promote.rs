//! Files of a target become objects: it goes over a directory of its host, and has the owner of each name make the object. What
//! is there already stays, so a part that begins again goes on; or it is written again, if that was ordered.

use std::time::Duration;

use weir_cluster::{FileState, NodeId, Promotable, PromoteOrder};
use weir_types::ObjectName;
use weir_types::limits::{MOVE_SECONDS_MAX, PROMOTE_ENTRIES_MAX};

use super::Progress;
use super::over::{AGAIN, Paged, is_there, paged, passes};
use crate::core::Core;
use crate::peers::{PeerAnswer, PeerCall};
use crate::{BackendError, PromoteCall, runtime};

/// How often the owner of a name is asked before the file counts as failed.
const TRIES: u32 = 50;

/// Does this target's part.
pub(super) async fn files(core: &Core, order: &PromoteOrder, own: &NodeId, progress: &Progress) {
    let work = Work { core, order, own, progress };
    match core.backend.promotable(&order.source).await {
        // Another target's.
        Ok(Promotable::Nothing) => {}
        Ok(Promotable::File) => work.file(order.source.clone()).await,
        Ok(Promotable::Directory) => work.directory().await,
        Err(error) => progress.fail(error.to_string()),
    }
}

struct Work<'w> {
    core: &'w Core,
    order: &'w PromoteOrder,
    own: &'w NodeId,
    progress: &'w Progress,
}

impl Work<'_> {
    fn goes_on(&self) -> bool {
        let PromoteOrder { bucket, bid, .. } = self.order;
        let Ok(view) = self.core.view() else { return false };
        is_there(&view, bucket, *bid, self.progress) && !self.progress.is_over()
    }

    async fn directory(&self) {
        let mut waiting = vec![self.order.source.trim_end_matches('/').to_owned()];
        while let Some(dir) = waiting.pop() {
            let (files, dirs) = loop {
                if !self.goes_on() {
                    return;
                }
                match paged(self.core.backend.promotable_dir(&dir).await, self.progress).await {
                    Paged::Came(found) => break found,
                    Paged::Again => {}
                    Paged::Failed => break (Vec::new(), Vec::new()),
                }
            };
            for file in files {
                self.file(format!("{dir}/{file}")).await;
            }
            if self.order.recursive && waiting.len() + dirs.len() <= PROMOTE_ENTRIES_MAX {
                waiting.extend(dirs.into_iter().rev().map(|inner| format!("{dir}/{inner}")));
            } else if self.order.recursive {
                self.progress.fail(format!("{dir}: more than {PROMOTE_ENTRIES_MAX} directories wait"));
            }
        }
    }

    async fn file(&self, file: String) {
        let name = match self.order.name_of(&file).map(ObjectName::new) {
            Some(Ok(name)) => name,
            Some(Err(error)) => return self.progress.fail(format!("{file}: {error}")),
            None => return,
        };
        let mut tries = 0;
        while self.goes_on() {
            match self.made(&file, &name).await {
                Ok((made, was)) => return self.done(&file, made, was).await,
                Err(error) if passes(&error) && tries < TRIES => {
                    tries += 1;
                    runtime::sleep(AGAIN).await;
                }
                Err(error) => return self.progress.fail(format!("{file}: {error}")),
            }
        }
    }

    /// Has the owner of the name make the object; its bytes, if one was made, and what the file was before, if it is to go.
    async fn made(
        &self,
        file: &str,
        name: &ObjectName,
    ) -> Result<(Option<u64>, Option<FileState>), BackendError> {
        let was = match self.order.delete_source {
            true => Some(self.core.backend.file_state(file).await?),
            false => None,
        };
        Ok((self.promoted(file, name).await?, was))
    }

    async fn promoted(&self, file: &str, name: &ObjectName) -> Result<Option<u64>, BackendError> {
        let busy = |what: String| BackendError::Busy(what);
        let PromoteOrder { bucket, overwrite, .. } = self.order;
        let view = self.core.view().map_err(|e| busy(e.to_string()))?;
        let is_own = view.is_own(bucket, name.as_str());
        let call = PromoteCall {
            bucket: bucket.clone(),
            name: name.clone(),
            file: file.to_owned(),
            from: (!is_own).then(|| self.own.clone()),
            overwrite: *overwrite,
        };
        if is_own {
            return self.core.backend.promote(&call).await;
        }
        let owner =
            view.owner(bucket, name.as_str()).ok_or_else(|| busy("no target is in service".into()))?;
        // What takes longer goes on there, and is found done, or is done again.
        let within = Duration::from_secs(MOVE_SECONDS_MAX);
        match self.core.ask(owner, PeerCall::Promote { call, index: view.index }, within).await {
            Ok(PeerAnswer::Promoted(made)) => Ok(made),
            Ok(_) => Err(BackendError::Failed("the owner answers something else than it was asked".into())),
            Err(error) => Err(busy(error.to_string())),
        }
    }

    async fn done(&self, file: &str, made: Option<u64>, was: Option<FileState>) {
        let Some(bytes) = made else { return };
        self.progress.count(bytes);
        if let Some(was) = was
            && let Err(error) = self.core.backend.remove_promoted(file, was).await
        {
            self.progress.fail(format!("{file} is an object now, and stays: {error}"));
        }
    }
}
