//! Ctrl-C: waits end early, everything unwinds, every guard cleans up behind itself.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{PerfError, Result};

/// How often a wait looks whether it shall end.
const STEP: Duration = Duration::from_millis(50);

fn flag() -> &'static Arc<AtomicBool> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    FLAG.get_or_init(|| Arc::new(AtomicBool::new(false)))
}

/// Signals set a flag from now on, instead of ending the process with its mounts and children left behind.
pub(crate) fn catch_signals() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, flag().clone()).map_err(PerfError::io("signal handler"))?;
    }
    Ok(())
}

/// An error once a signal came.
pub(crate) fn check() -> Result<()> {
    if flag().load(Ordering::Relaxed) { Err(PerfError::Stopped) } else { Ok(()) }
}

/// Waits for so long, or until a signal comes.
pub(crate) fn sleep(time: Duration) -> Result<()> {
    until(time, || Ok(None::<()>)).map(drop)
}

/// Waits until `done` gives something; looks every 50 ms, for at most `limit`. `None`: the time ran out.
pub(crate) fn until<T>(limit: Duration, mut done: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let begin = Instant::now();
    loop {
        check()?;
        if let Some(value) = done()? {
            return Ok(Some(value));
        }
        if begin.elapsed() >= limit {
            return Ok(None);
        }
        std::thread::sleep(STEP);
    }
}
