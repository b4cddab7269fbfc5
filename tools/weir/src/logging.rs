//! Where a node's log goes: standard error, and the pages that the node can be asked for.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::{MakeWriter, layer};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, registry};
use weir_node::LogLine;

/// Starts the log at `level` unless `WEIR_LOG` says otherwise (`info`, `weir_store=debug,warn`).
pub(crate) fn start(level: &str) {
    let filter = EnvFilter::try_from_env("WEIR_LOG")
        // The library tells of every try; what matters of it the control core says itself.
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},openraft=off")));
    let shown = layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    let kept = layer().with_writer(Kept).with_ansi(false);
    // A second start, in tests, changes nothing.
    drop(registry().with(filter).with(shown).with(kept).try_init());
}

/// The pages of this process's log.
struct Kept;

impl<'a> MakeWriter<'a> for Kept {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine::new(false)
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LogLine {
        LogLine::new(*meta.level() <= Level::WARN)
    }
}
