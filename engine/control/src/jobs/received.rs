//! What rebalances bring to this target. A target's own part has often ended by then, as a new one has nothing to send, so that
//! this is no part of its record: it is known while the process lives.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use weir_cluster::{ClusterView, JobId, Jobs};

use crate::core::Core;

/// Objects and bytes that came, by the job that brought them.
#[derive(Default)]
pub(crate) struct Received(Mutex<BTreeMap<JobId, (u64, u64)>>);

impl Received {
    /// What a job has brought so far: objects, bytes.
    pub(crate) fn of(&self, job: &JobId) -> (u64, u64) {
        self.0.lock().get(job).copied().unwrap_or_default()
    }

    fn count(&self, jobs: &Jobs, job: &JobId, bytes: u64) {
        let mut received = self.0.lock();
        if !received.contains_key(job) {
            received.retain(|id, _| jobs.get(id.as_str()).is_some());
        }
        let (objects, all) = received.entry(job.clone()).or_default();
        (*objects, *all) = (*objects + 1, all.saturating_add(bytes));
    }
}

impl Core {
    /// Counts an object that another target gave up to this one, its owner.
    pub(crate) fn count_received(&self, bytes: u64) {
        if let Ok(view) = self.view()
            && let Some(job) = bringing(&view)
        {
            self.received.count(&view.jobs, job, bytes);
        }
    }
}

/// The rebalance that moves objects by the view.
fn bringing(view: &ClusterView) -> Option<&JobId> {
    let moving = view.moving.as_ref()?;
    view.jobs.rebalances_to(moving.version).find(|job| job.runs()).map(|job| &job.id)
}

#[cfg(test)]
mod tests {
    use weir_cluster::{JobOrder, NodeId};

    use super::*;

    #[test]
    fn what_came_is_known_while_its_job_is() {
        let (received, mut jobs) = (Received::default(), Jobs::default());
        let ids = ["g1", "g2"].map(|id| JobId::new(id).unwrap());
        for id in &ids {
            let targets = vec![NodeId::new("target01").unwrap()];
            jobs.start(id.clone(), JobOrder::Rebalance { version: 3 }, 1, targets);
        }
        received.count(&jobs, &ids[0], 5);
        received.count(&jobs, &ids[0], 7);
        assert_eq!((received.of(&ids[0]), received.of(&ids[1])), ((2, 12), (0, 0)));
        received.count(&jobs, &ids[1], 1);
        assert_eq!((received.of(&ids[0]), received.of(&ids[1])), ((2, 12), (1, 1)));
        received.count(&Jobs::default(), &JobId::new("g3").unwrap(), 1);
        assert_eq!(received.of(&ids[0]), (0, 0), "a job that is not known any more is forgotten");
    }
}
