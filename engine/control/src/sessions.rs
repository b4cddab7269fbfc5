//! What a client comes back for: results of summaries, kept for a bounded time and number.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Summaries kept; the oldest makes room.
const SUMMARIES_MAX: usize = 256;
/// How long a finished summary is kept.
const SUMMARY_AGE_MAX: Duration = Duration::from_secs(600);

/// A summary as far as it got.
#[derive(Clone, Debug)]
pub(crate) enum Outcome<T> {
    /// Counting.
    Running,
    /// Done.
    Done(T),
    /// It failed; the text says why.
    Failed(crate::ControlError),
}

/// Jobs under their UUIDs.
pub(crate) struct Jobs<T> {
    jobs: Mutex<HashMap<String, (Instant, Outcome<T>)>>,
}

impl<T> Default for Jobs<T> {
    fn default() -> Self {
        Self { jobs: Mutex::default() }
    }
}

impl<T: Clone> Jobs<T> {
    /// Notes a job that begins.
    pub(crate) fn begin(&self, id: &str) {
        let mut jobs = self.jobs.lock();
        jobs.retain(|_, (since, _)| since.elapsed() < SUMMARY_AGE_MAX);
        if jobs.len() >= SUMMARIES_MAX {
            let oldest = jobs.iter().min_by_key(|(_, (since, _))| *since).map(|(id, _)| id.clone());
            oldest.and_then(|id| jobs.remove(&id));
        }
        jobs.insert(id.to_owned(), (Instant::now(), Outcome::Running));
    }

    /// Notes how it ended.
    pub(crate) fn end(&self, id: &str, outcome: Outcome<T>) {
        if let Some(job) = self.jobs.lock().get_mut(id) {
            *job = (Instant::now(), outcome);
        }
    }

    /// How far it got; `None` if there is no such job.
    pub(crate) fn get(&self, id: &str) -> Option<Outcome<T>> {
        self.jobs.lock().get(id).map(|(_, outcome)| outcome.clone())
    }
}

/// All sessions of this node.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) summaries: Jobs<Vec<weir_ais::BucketSummary>>,
}

/// A job's or listing's ID: a letter, then letters and digits. A listing keeps no state: every page says where it
/// begins, and the ID only goes from page to page.
pub(crate) fn job_id() -> String {
    weir_cluster::JobId::generate(rand::random()).to_string()
}
