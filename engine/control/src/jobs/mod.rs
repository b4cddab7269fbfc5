//! Jobs (AIS: xactions): what targets do in the background because the cluster agreed on it.
//!
//! A job is a record in the replicated state ([`weir_cluster::Job`]) with a part for each target that was there when it began.
//! A target looks for parts of its own that have not ended, carries them out one file per kind, and has their end agreed on.
//! So a job goes on wherever its target's process is started again, from its beginning: a kind must bear that. Who leaves the
//! cluster leaves its parts behind as failed. What a part has done so far is known to its target alone, until it ends.
//!
//! | file | its part |
//! |---|---|
//! | `parts` | which parts are under way here |
//! | `over` | what the kinds that go over objects have in common |
//! | `remove` | the kind that removes objects |
//! | `copy` | the kinds that copy objects, and rename buckets |
//! | `rebalance` | the kind that moves objects to their owners |
//! | `received` | what it brings to them |
//! | `mirror` | the kinds that make copies, and check them |
//! | `evict` | the kinds that make room |
//! | `capacity` | when room is to be made |
//! | `begun` | which jobs a target begins by itself |
//! | `tidy` | the kind that removes what is left over |
//! | `promote` | the kind that makes objects of files |
//! | `resilver` | the kind that moves objects between mountpaths |

mod begun;
mod capacity;
mod copy;
mod evict;
mod mirror;
mod over;
mod parts;
mod promote;
mod rebalance;
mod received;
mod remove;
pub(crate) mod resilver;
mod tidy;

pub(crate) use parts::{Parts, Progress};
pub(crate) use received::Received;
