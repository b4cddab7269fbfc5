//! Time, tasks, workers and chance, as everything that takes part in the agreement uses them: tokio's and the system's. In
//! tests a simulation may stand in their place (`sim`): then time is its own, and one seed decides everything.

use std::future::Future;
use std::time::{Duration, Instant};

#[cfg(test)]
use crate::sim::World;

/// The time was up first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the time was up")]
#[allow(unreachable_pub, reason = "a part of openraft's types, which must be public")]
pub struct Late;

/// Now.
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    if let Some(world) = World::here() {
        return world.now();
    }
    Instant::now()
}

/// How long ago it was.
pub(crate) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

/// Nanoseconds since 1970; 0 if the clock is before.
pub(crate) fn now_ns() -> u64 {
    #[cfg(test)]
    if let Some(world) = World::here() {
        return world.now_ns();
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Sleeps.
pub(crate) async fn sleep(time: Duration) {
    #[cfg(test)]
    let simulated = World::here().map(|world| world.sleep(time));
    #[cfg(test)]
    if let Some(sleep) = simulated {
        return sleep.await;
    }
    tokio::time::sleep(time).await;
}

/// What `future` gives, if it does within `time`.
pub(crate) async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output, Late> {
    #[cfg(test)]
    let simulated = World::here().map(|world| world.sleep(time));
    #[cfg(test)]
    if let Some(sleep) = simulated {
        return crate::sim::within(sleep, future).await;
    }
    tokio::time::timeout(time, future).await.map_err(|_| Late)
}

/// Runs a task beside the others; it ends with the process.
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    #[cfg(test)]
    if let Some(world) = World::here() {
        return world.spawn(task);
    }
    drop(tokio::spawn(task));
}

/// Runs what may take long away from the caller's thread. The error says that the worker died.
pub(crate) async fn on_worker<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    #[cfg(test)]
    if World::here().is_some() {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())
}

/// Bytes by chance, for IDs.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    #[cfg(test)]
    if let Some(world) = World::here() {
        return world.random();
    }
    rand::random()
}

/// Mistakes that a test plants, to see that the simulation finds them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// A new leader forgets the leases of the one before.
    OldLeasesForgotten,
    /// A lease is given to who has not applied what was answered.
    LeaseBehind,
    /// A process counts its lease from the answer, not from the question.
    LeaseFromAnswer,
    /// The leader lends without a majority.
    LeaseUnconfirmed,
    /// A majority's word for a leader stands for ever.
    ClaimForEver,
    /// A change is answered when a majority has it.
    AnsweredWhenAgreed,
    /// Who the map says is away is taken to hold no lease.
    AwayHasNoLease,
    /// A vote is not synced.
    VoteNotSynced,
    /// A target says that it holds nothing of others before it has looked.
    NothingLookedFor,
    /// Who is away when the owners change is taken to hold nothing.
    AwayHoldsNothing,
    /// Who was taken off the map is taken in again, with what it has.
    RemovedIsTakenIn,
    /// A simulated owner takes an object, and leaves it at its holder as well.
    #[cfg(test)]
    MovedIsKept,
    /// A simulated owner changes names without a question to their holders, and takes what is moved whatever it has.
    #[cfg(test)]
    MovesAnything,
    /// A simulated owner passes on no read of what it does not have.
    #[cfg(test)]
    MissKept,
    /// A simulated owner takes a holder that is away to hold nothing.
    #[cfg(test)]
    AwayIsEmpty,
}

/// Whether the mistake is planted: outside of tests only in builds with debug assertions, where the environment asks for it by
/// its name (`WEIR_PLANTED=ClaimForEver`).
#[cfg(all(not(test), debug_assertions))]
pub(crate) fn planted(bug: Bug) -> bool {
    asked_for().is_some_and(|name| *name == format!("{bug:?}"))
}

/// Whether the mistake is planted: it never is.
#[cfg(all(not(test), not(debug_assertions)))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}

/// What the environment asks for.
#[cfg(debug_assertions)]
fn asked_for() -> Option<&'static String> {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var("WEIR_PLANTED").ok()).as_ref()
}

/// `stale-map`: by how much later the views of a process come than they should, in its roles by this ID.
#[cfg(debug_assertions)]
pub(crate) fn lateness(id: &str) -> Option<Duration> {
    asked_for().filter(|name| *name == "stale-map")?;
    let steps = id.bytes().map(u64::from).sum::<u64>() % 4;
    (steps > 0).then(|| Duration::from_millis(600 * steps))
}

#[cfg(test)]
pub(crate) use crate::sim::planted;
