//! The signals that stop a node.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;

use crate::NodeError;

/// Whether a stop was asked for.
static ASKED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// SIGINT and SIGTERM from the moment the node begins to start: the first asks for an orderly stop, whenever the node is
/// ready to hear of it; the second ends the process at once.
pub(crate) struct StopSignals(Signals);

impl StopSignals {
    pub(crate) fn listen() -> Result<Self, NodeError> {
        let failed = |error| NodeError::Io { what: "signal handlers".into(), error };
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag down and raises it.
            flag::register_conditional_shutdown(signal, 128 + signal, ASKED.clone()).map_err(failed)?;
            flag::register(signal, ASKED.clone()).map_err(failed)?;
        }
        Ok(Self(Signals::new([SIGINT, SIGTERM]).map_err(failed)?))
    }

    /// Waits for the first.
    pub(crate) fn wait(&mut self) {
        let signal = self.0.forever().next();
        tracing::info!("signal {}: stopping; another one stops at once", signal.unwrap_or_default());
    }
}

/// Asks this process to stop as an operator's signal would: it drains, then ends. Changes nothing about a stop under way: only
/// an operator's second word ends the process at once.
pub fn ask_to_stop() {
    // Of several who ask at once only the first raises the signal.
    static RAISED: AtomicBool = AtomicBool::new(false);
    if ASKED.load(Ordering::SeqCst) || RAISED.swap(true, Ordering::SeqCst) {
        return;
    }
    if let Err(error) = signal_hook::low_level::raise(SIGTERM) {
        tracing::error!("the end of this process was asked for, and does not come: {error}");
    }
}
