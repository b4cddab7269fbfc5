//! The resilver: what a target holds goes to the mountpaths that it belongs to. Whoever asks for objects finds them all the
//! time; so nothing is lost by ending it midway, and it goes by what is on the mountpaths when it is begun again.

use std::sync::Arc;

use weir_cluster::{Job, JobId, JobOrder, NodeId};
use weir_store::Watch;

use super::Progress;
use crate::ControlError;
use crate::core::Core;

impl Watch for Progress {
    fn moved(&self, objects: u64, bytes: u64) {
        self.add(objects, bytes);
    }

    fn failed(&self, what: String) {
        self.fail(what);
    }

    fn left(&self, names: u64, why: &str) {
        self.leave(names, why);
    }

    fn is_over(&self) -> bool {
        Progress::is_over(self)
    }
}

/// Does this target's part.
pub(super) async fn run(core: &Core, progress: &Arc<Progress>) {
    if let Err(error) = core.backend.resilver(progress.clone()).await {
        progress.fail(error.to_string());
    }
}

/// Begins a resilver of a target; its ID. One that runs stays.
pub(crate) async fn start(core: &Core, target: &NodeId) -> Result<JobId, ControlError> {
    let order = JobOrder::Resilver { target: target.clone() };
    let runs = |job: &&Arc<Job>| job.order == order && job.runs() && job.stopped.is_none();
    if let Some(running) = core.view()?.jobs.iter().find(runs) {
        return Ok(running.id.clone());
    }
    super::parts::start(core, order).await
}
