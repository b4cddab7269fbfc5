//! A reactor: made, run and ended by one thread.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use weir_types::limits::TEARDOWN_SECONDS_MAX;

use crate::core::Core;
use crate::handle::Handle;
use crate::{ReactorConfig, RingError, current, sys};

/// How long one look at a ring waits while the reactor ends.
const TEARDOWN_STEP: Duration = Duration::from_millis(2);

/// The reactor of a thread. It cannot leave the thread that made it: the kernel binds the rings to their issuer.
///
/// Dropping it drops its tasks, cancels what waits for peers and waits until the kernel has let go of every buffer.
pub struct Reactor {
    core: Rc<Core>,
}

impl Reactor {
    /// Pins this thread if asked, reserves buffers and sets the socket ring up.
    pub fn new(config: &ReactorConfig) -> Result<Self, RingError> {
        if let Some(cpu) = config.cpu {
            sys::pin_to_cpu(cpu).map_err(|source| RingError::Pin { cpu, source })?;
        }
        Ok(Reactor { core: Rc::new(Core::new(config)?) })
    }

    /// What operations and tasks are started from.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core.clone())
    }

    /// Runs `future` and all tasks until `future` is ready. Tasks and operations left over wait for the next call.
    ///
    /// # Panics
    /// With the panic of `future`, or when this reactor already runs.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let core = &self.core;
        let _running = Running::new(core);
        let _entered = current::enter(core.clone());
        let waker = core.root_waker();
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        waker.wake_by_ref();
        loop {
            core.begin_turn();
            if core.take_root_ready()
                && let Poll::Ready(output) = future.as_mut().poll(&mut context)
            {
                return output;
            }
            core.run_ready();
            core.exchange();
            if core.is_idle() {
                core.wait();
            }
        }
    }
}

/// Marks a core as running.
struct Running<'c>(&'c Core);

impl<'c> Running<'c> {
    fn new(core: &'c Core) -> Self {
        assert!(!core.running.replace(true), "this reactor runs already");
        Running(core)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.set(false);
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        let core = &self.core;
        let _entered = current::enter(core.clone());
        core.closed.set(true);
        core.drop_tasks();
        drop(core.panic_hook.take());
        core.stalls.end();
        core.doorbell.close();
        core.cancel_all();
        let started = Instant::now();
        loop {
            core.exchange();
            let mut rings = core.rings.borrow_mut();
            let Some(busy) = rings.iter_mut().find(|ring| ring.in_flight() > 0) else { return };
            if started.elapsed() > Duration::from_secs(TEARDOWN_SECONDS_MAX) {
                // A disk that never answers: its buffers must not be reused, so they, the rings and the descriptors stay.
                std::mem::forget(core.clone());
                return;
            }
            busy.wait(TEARDOWN_STEP);
        }
    }
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reactor").field("stats", &self.core.stats()).finish()
    }
}
