//! Where a node's log goes: standard error, by levels.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Starts the log at `level` unless `WEIR_LOG` says otherwise (`info`, `weir_store=debug,warn`).
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG")
        // The library tells of every try; what matters of it the control core says itself.
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},openraft=off")));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start, in tests, changes nothing.
    drop(log.with_ansi(io::stderr().is_terminal()).try_init());
}
