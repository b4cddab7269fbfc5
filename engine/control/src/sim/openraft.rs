//! The runtime that openraft is given in tests: the simulation's where there is one, tokio's elsewhere.
#![allow(unreachable_pub, reason = "openraft's types must be public")]

use std::future::Future;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::oneshot;
use openraft::{AsyncRuntime, TokioRuntime};
use rand_core::RngCore;

use super::world::{Sleep as SimSleep, World};
use crate::runtime::Late;

/// See the module.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Runtime;

/// A time of the simulation, or of the system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Tick(Instant);

impl openraft::Instant for Tick {
    fn now() -> Self {
        Self(crate::runtime::now())
    }
}
impl Add<Duration> for Tick {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}
impl AddAssign<Duration> for Tick {
    fn add_assign(&mut self, time: Duration) {
        self.0 += time;
    }
}
impl Sub<Duration> for Tick {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0 - time)
    }
}
impl Sub for Tick {
    type Output = Duration;
    fn sub(self, other: Self) -> Duration {
        self.0 - other.0
    }
}
impl SubAssign<Duration> for Tick {
    fn sub_assign(&mut self, time: Duration) {
        self.0 -= time;
    }
}

/// A task's end, or a timer's.
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// Waits for a task.
pub struct Handle<T>(Boxed<Result<T, Late>>);

impl<T> Future for Handle<T> {
    type Output = Result<T, Late>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// As [`AsyncRuntime::Timeout`].
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Boxed<()>,
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Late>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        self.sleep.as_mut().poll(cx).map(|()| Err(Late))
    }
}

/// Numbers by chance.
#[derive(Debug)]
pub struct Chance;

impl RngCore for Chance {
    fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(crate::runtime::random())
    }
    fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(crate::runtime::random())
    }
    fn fill_bytes(&mut self, out: &mut [u8]) {
        out.iter_mut().for_each(|byte| *byte = crate::runtime::random::<1>()[0]);
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

fn sleep_of(
    simulated: impl FnOnce(&World) -> SimSleep,
    real: impl FnOnce() -> tokio::time::Sleep,
) -> Boxed<()> {
    match World::here() {
        Some(world) => Box::pin(simulated(&world)),
        None => Box::pin(real()),
    }
}

impl AsyncRuntime for Runtime {
    type JoinError = Late;
    type JoinHandle<T: Send + 'static> = Handle<T>;
    type Sleep = Boxed<()>;
    type Instant = Tick;
    type TimeoutError = Late;
    type Timeout<R, T: Future<Output = R> + Send> = Timeout<T>;
    type ThreadLocalRng = Chance;
    type OneshotSender<T: Send> = <TokioRuntime as AsyncRuntime>::OneshotSender<T>;
    type OneshotReceiver<T: Send> = <TokioRuntime as AsyncRuntime>::OneshotReceiver<T>;
    type OneshotReceiverError = <TokioRuntime as AsyncRuntime>::OneshotReceiverError;

    fn spawn<T>(future: T) -> Handle<T::Output>
    where
        T: Future + Send + 'static,
        T::Output: Send + 'static,
    {
        match World::here() {
            None => {
                let task = tokio::spawn(future);
                Handle(Box::pin(async move { task.await.map_err(|_| Late) }))
            }
            Some(world) => {
                let (end, ended) = oneshot::channel();
                world.spawn(async move {
                    // Whoever does not wait for it does not need it.
                    let _ = end.send(future.await);
                });
                Handle(Box::pin(async move { ended.await.map_err(|_| Late) }))
            }
        }
    }

    fn sleep(time: Duration) -> Self::Sleep {
        sleep_of(|world| world.sleep(time), || tokio::time::sleep(time))
    }

    fn sleep_until(deadline: Tick) -> Self::Sleep {
        sleep_of(|world| world.sleep_until(deadline.0), || tokio::time::sleep_until(deadline.0.into()))
    }

    fn timeout<R, F: Future<Output = R> + Send>(time: Duration, future: F) -> Timeout<F> {
        Timeout { future: Box::pin(future), sleep: Self::sleep(time) }
    }

    fn timeout_at<R, F: Future<Output = R> + Send>(deadline: Tick, future: F) -> Timeout<F> {
        Timeout { future: Box::pin(future), sleep: Self::sleep_until(deadline) }
    }

    fn is_panic(_: &Late) -> bool {
        false
    }

    fn thread_rng() -> Chance {
        Chance
    }

    fn oneshot<T: Send>() -> (Self::OneshotSender<T>, Self::OneshotReceiver<T>) {
        TokioRuntime::oneshot()
    }
}
