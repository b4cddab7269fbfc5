//! Jobs that a target begins by itself: when one begins, and when another like it.

use std::time::{Duration, Instant};

use weir_cluster::{ClusterView, JobId, JobOrder, Jobs};

use super::parts::start_as;
use crate::core::Core;
use crate::runtime;

/// After the end of what could not do everything, before it is begun again; each time twice as long, up to the second.
const BEGIN_AGAIN: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(600)];
/// After a begin that was refused or not agreed on.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What a target begins by itself, and begins again while something is left to do.
#[derive(Default)]
pub(super) struct Begun {
    /// What for.
    of: Option<u64>,
    /// The last mark that it was to see to: nobody who stopped it meant those that came after.
    mark: u64,
    /// When it was last seen at work.
    at: Option<Instant>,
    /// Before it is begun again for the same.
    rest: Duration,
    /// The job that was asked for last and for what, until it is known to be agreed on: it may be all the same.
    asked: Option<(JobId, u64)>,
    /// Nothing is asked for before.
    not_before: Option<Instant>,
}

impl Begun {
    /// Begins a job where none like it runs, nobody has stopped the last one, and it has rested.
    pub(super) async fn tend(
        &mut self,
        core: &Core,
        view: &ClusterView,
        of: u64,
        mark: u64,
        order: JobOrder,
    ) {
        let Some(id) = self.next(&view.jobs, of, mark, &order) else { return };
        match start_as(core, id, order).await {
            Ok(()) => self.begin(of),
            Err(error) => {
                tracing::debug!("a job of this target's own is not agreed on yet: {error}");
                self.not_before = Some(runtime::now() + ASK_AGAIN);
            }
        }
    }

    /// The ID of the job that is to begin now, if one is. What is asked for again keeps its ID: of one that was agreed on
    /// without a word of it, a second is not begun.
    fn next(&mut self, jobs: &Jobs, of: u64, mark: u64, order: &JobOrder) -> Option<JobId> {
        if let Some((_, asked_of)) = self.asked.take_if(|(id, _)| jobs.get(id.as_str()).is_some()) {
            self.begin(asked_of);
        }
        let like = || jobs.iter().filter(|job| job.order == *order);
        if like().any(|job| job.runs()) {
            self.mark = mark;
            self.goes_on();
            return None;
        }
        let last = like().max_by_key(|job| job.started_ns);
        let is_same = self.of == Some(of) && self.mark == mark;
        let was_stopped = is_same && last.is_some_and(|job| job.stopped.is_some());
        let waits = self.not_before.is_some_and(|then| runtime::now() < then);
        if was_stopped || waits || !self.is_due(of) {
            return None;
        }
        let again = self.asked.take().filter(|(_, asked_of)| *asked_of == of);
        let id = again.map_or_else(|| JobId::generate(runtime::random()), |(id, _)| id);
        self.asked = Some((id.clone(), of));
        self.mark = mark;
        Some(id)
    }

    fn is_due(&self, of: u64) -> bool {
        self.of != Some(of) || self.at.is_none_or(|at| runtime::since(at) >= self.rest)
    }

    fn goes_on(&mut self) {
        self.at = Some(runtime::now());
    }

    fn begin(&mut self, of: u64) {
        let [first, most] = BEGIN_AGAIN;
        self.rest = if self.of == Some(of) { (self.rest * 2).min(most) } else { first };
        self.of = Some(of);
        (self.asked, self.not_before) = (None, None);
        self.goes_on();
    }
}

#[cfg(test)]
mod tests {
    use weir_cluster::{Done, NodeId};

    use super::*;

    #[test]
    fn what_is_left_is_begun_again_later_each_time() {
        let mut begun = Begun::default();
        assert!(begun.is_due(1));
        let [first, most] = BEGIN_AGAIN;
        for rest in [first, first * 2, first * 4, first * 8, most, most] {
            begun.begin(1);
            assert!(!begun.is_due(1) && begun.is_due(2), "at once for another set");
            assert_eq!(begun.rest, rest);
            begun.at = begun.at.and_then(|at| at.checked_sub(rest));
            assert!(begun.is_due(1));
        }
        begun.begin(2);
        assert_eq!(begun.rest, first);
    }

    fn resilver() -> (NodeId, JobOrder) {
        let target = NodeId::new("target01").unwrap();
        (target.clone(), JobOrder::Resilver { target })
    }

    #[test]
    fn what_was_refused_is_asked_for_later_and_as_the_same_job() {
        let ((_, order), jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let first = begun.next(&jobs, 1, 1, &order).unwrap();
        begun.not_before = Some(runtime::now() + ASK_AGAIN);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None);
        begun.not_before = begun.not_before.and_then(|then| then.checked_sub(ASK_AGAIN));
        assert_eq!(begun.next(&jobs, 1, 1, &order), Some(first.clone()));
        assert!(begun.next(&jobs, 2, 2, &order).is_some_and(|id| id != first), "another set is another job");
        begun.begin(2);
        assert!(begun.not_before.is_none() && begun.asked.is_none());
    }

    #[test]
    fn who_stops_a_job_stops_what_it_was_for_then() {
        let ((target, order), mut jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let id = begun.next(&jobs, 0, 3, &order).unwrap();
        begun.begin(0);
        jobs.start(id.clone(), order.clone(), 5, vec![target.clone()]);
        assert_eq!(begun.next(&jobs, 0, 4, &order), None, "it runs, and sees to what came meanwhile");
        jobs.stop(&id, "asked to");
        jobs.end_part(&id, &target, Done::default(), 6);
        begun.at = begun.at.and_then(|at| at.checked_sub(begun.rest));
        assert_eq!(begun.next(&jobs, 0, 4, &order), None, "it was stopped");
        assert!(begun.next(&jobs, 0, 5, &order).is_some_and(|next| next != id));
    }

    #[test]
    fn what_was_agreed_on_without_a_word_of_it_counts_as_begun() {
        let ((target, order), mut jobs, mut begun) = (resilver(), Jobs::default(), Begun::default());
        let id = begun.next(&jobs, 1, 1, &order).unwrap();
        begun.not_before = Some(runtime::now() + ASK_AGAIN);
        jobs.start(id.clone(), order.clone(), 5, vec![target.clone()]);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None, "it runs");
        jobs.end_part(&id, &target, Done::default(), 6);
        assert_eq!(begun.next(&jobs, 1, 1, &order), None, "it rests");
        assert_eq!((begun.of, begun.rest), (Some(1), BEGIN_AGAIN[0]));
        assert!(begun.next(&jobs, 2, 2, &order).is_some_and(|next| next != id));
    }
}
