//! How full this target's disks are: looked at from time to time, said where a disk passes a watermark, and a reason to have
//! room made.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use weir_cluster::{ClusterConfig, ClusterView, Fill, Job, JobOrder, NodeId};
use weir_types::limits::CAPACITY_LOOK_SECONDS_MIN;

use super::begun::Begun;
use super::evict;
use crate::backend::percent;
use crate::core::Core;
use crate::{MountpathFacts, runtime};

const LOOK_MIN: Duration = Duration::from_secs(CAPACITY_LOOK_SECONDS_MIN);

/// What a target knows of its disks' space.
#[derive(Default)]
pub(super) struct Capacity {
    looked: Option<Instant>,
    /// How full the fullest disk was then, in percent.
    percent: u64,
    /// Disks above a watermark, by their roots.
    full: BTreeMap<String, Fill>,
    /// How often there was room again.
    times: u64,
    evictions: Begun,
}

impl Capacity {
    /// Looks, if it is time to; begins to make room where a disk is too full and something may go.
    pub(super) async fn tend(&mut self, core: &Core, view: &ClusterView, own: &NodeId) {
        let rest = rest(&view.config, self.percent);
        if self.looked.is_some_and(|at| runtime::since(at) < rest) {
            return;
        }
        self.looked = Some(runtime::now());
        let Ok(mountpaths) = core.backend.mountpaths().await else { return };
        self.see(&view.config, &mountpaths);
        let order = JobOrder::MakeRoom { target: own.clone() };
        let others = |job: &Job| job.runs() && job.order.kind() == order.kind() && job.order != order;
        let runs = view.jobs.iter().any(|job| others(job) && job.parts.contains_key(own));
        if !self.full.is_empty() && !runs && !evict::switched_on(view).is_empty() {
            self.evictions.tend(core, view, self.times, self.times, order).await;
        }
    }

    /// Notes how full the disks are, and says what has changed.
    fn see(&mut self, config: &ClusterConfig, mountpaths: &[MountpathFacts]) {
        let mut full = BTreeMap::new();
        self.percent = 0;
        for mountpath in mountpaths.iter().filter(|mountpath| mountpath.disabled.is_none()) {
            let total = mountpath.total();
            let percent = percent(mountpath.used, total);
            self.percent = self.percent.max(percent);
            let (path, fill) = (&mountpath.path, config.space.fill(mountpath.used, total));
            let before = self.full.get(path).copied().unwrap_or_default();
            match fill {
                same if same == before => {}
                Fill::Room => tracing::info!("{path} has room again: {percent} % are used"),
                Fill::High => tracing::warn!("{path} is above space.highwm: {percent} % are used"),
                Fill::Out => {
                    tracing::error!(
                        "{path} is above space.out_of_space, writes are refused: {percent} % are used"
                    );
                }
            }
            if fill > Fill::Room {
                full.insert(path.clone(), fill);
            }
        }
        if full.is_empty() && !self.full.is_empty() {
            self.times += 1;
        }
        self.full = full;
    }
}

/// Between two looks, as AIS has it: seldom while there is much room (`lru.capacity_upd_time`), often where a disk nears the
/// high watermark (`periodic.stats_time`).
fn rest(config: &ClusterConfig, percent: u64) -> Duration {
    let (often, seldom) = (config.periodic.stats_time, config.lru.capacity_upd_time);
    let mark = config.space.cleanupwm.min(config.space.lowwm - 5);
    let rest =
        if i64::try_from(percent).is_ok_and(|percent| percent > mark) { often.min(seldom) } else { seldom };
    rest.max(LOOK_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mountpath(path: &str, used: u64) -> MountpathFacts {
        MountpathFacts { path: path.into(), used, free: 1000 - used, ..MountpathFacts::default() }
    }

    #[test]
    fn the_fuller_a_disk_the_more_often_it_is_looked_at() {
        let mut config = ClusterConfig::default();
        let seconds = |config: &ClusterConfig, percent| rest(config, percent).as_secs();
        assert_eq!([0, 65, 66, 100].map(|percent| seconds(&config, percent)), [600, 600, 10, 10]);
        config.lru.capacity_upd_time = Duration::ZERO;
        assert_eq!(rest(&config, 0), LOOK_MIN);
        assert_eq!(rest(&config, 99), LOOK_MIN);
    }

    #[test]
    fn what_is_too_full_counts_until_there_is_room() {
        let (mut seen, config) = (Capacity::default(), ClusterConfig::default());
        let mut see = |one: u64, other: u64| {
            let gone = MountpathFacts { disabled: Some("EIO".into()), ..mountpath("/gone", 1000) };
            seen.see(&config, &[mountpath("/1", one), mountpath("/2", other), gone]);
            (seen.full.values().copied().collect::<Vec<_>>(), seen.percent, seen.times)
        };
        assert_eq!(see(900, 10), (vec![], 90, 0));
        assert_eq!(see(901, 10), (vec![Fill::High], 90, 0));
        assert_eq!(see(980, 920), (vec![Fill::Out, Fill::High], 98, 0));
        assert_eq!(see(700, 920), (vec![Fill::High], 92, 0));
        assert_eq!(see(700, 700), (vec![], 70, 1));
        assert_eq!(see(700, 700), (vec![], 70, 1));
    }
}
