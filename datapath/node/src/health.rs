//! Looks at the health of disks that somebody asked for: each on a thread of its own, one at a time for each disk. A disk that
//! fails is taken out of service.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use weir_control::BackendError;
use weir_shard::{Disk, HealthBounds, check_disk};
use weir_types::limits::HEALTH_SECONDS_MAX;

use crate::keeper::KeeperPort;

/// The disks that are looked at.
#[derive(Clone, Default)]
pub(crate) struct HealthChecks(Arc<Mutex<BTreeSet<PathBuf>>>);

impl HealthChecks {
    /// Begins to look at a disk, unless somebody does. The disk is not kept open by it but for the files it has under way.
    pub(crate) fn begin(
        &self,
        disk: &Disk,
        bounds: HealthBounds,
        keeper: KeeperPort,
    ) -> Result<(), BackendError> {
        let (root, uuid) = (disk.path.to_path_buf(), disk.mountpath.identity().mountpath.clone());
        if !self.0.lock().insert(root.clone()) {
            return Ok(());
        }
        let (of, path) = (self.clone(), root.clone());
        let work = move || {
            tracing::info!("the health of {} is looked at", path.display());
            match look(&path, uuid, bounds) {
                Ok(()) => tracing::info!("{} is well", path.display()),
                Err(why) => keeper.failed(path.clone(), format!("health check: {why}")),
            }
            of.0.lock().remove(&path);
        };
        let begun = std::thread::Builder::new().name("health".into()).spawn(work);
        begun.map(drop).map_err(|error| {
            self.0.lock().remove(&root);
            BackendError::Failed(format!("thread of a health check: {error}"))
        })
    }
}

/// Looks at it on another thread, which may never end.
fn look(root: &Path, uuid: String, bounds: HealthBounds) -> Result<(), String> {
    let (tell, told) = sync_channel(1);
    let path = root.to_owned();
    let work = move || drop(tell.send(check_disk(&path, &uuid, bounds)));
    if let Err(error) = std::thread::Builder::new().name("health-io".into()).spawn(work) {
        tracing::warn!("{} is not looked at: {error}", root.display());
        return Ok(());
    }
    match told.recv_timeout(Duration::from_secs(HEALTH_SECONDS_MAX)) {
        Ok(found) => found,
        Err(RecvTimeoutError::Timeout) => Err(format!("no end within {HEALTH_SECONDS_MAX} s")),
        Err(RecvTimeoutError::Disconnected) => {
            tracing::error!("the look at {} panicked", root.display());
            Ok(())
        }
    }
}
