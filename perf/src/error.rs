//! What stops a measurement.

/// Everything that can go wrong between a command line and its report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerfError {
    /// This machine or its user cannot do it; says what would help.
    #[error("{0}")]
    Refused(String),
    /// SIGINT or SIGTERM: everything was cleaned up.
    #[error("stopped")]
    Stopped,
    /// A file or system call.
    #[error("{what}: {error}")]
    Io {
        /// What was done to what.
        what: String,
        /// What the kernel said.
        error: std::io::Error,
    },
    /// A program that did not end well.
    #[error("{command}: {status}: {output}")]
    Command {
        /// As it could be typed.
        command: String,
        /// Its exit status.
        status: String,
        /// The end of what it said.
        output: String,
    },
    /// Text or JSON that is not what was expected.
    #[error("{what}: expected {expected}, got {got:?}")]
    Parse {
        /// Whose text.
        what: String,
        /// The shape that was looked for.
        expected: &'static str,
        /// A piece of it.
        got: String,
    },
    /// A server under test that did not do its part.
    #[error("{name}: {got}")]
    Server {
        /// Which one.
        name: String,
        /// What happened.
        got: String,
    },
    /// A plot that could not be drawn.
    #[error("plot {0}")]
    Plot(String),
}

impl PerfError {
    /// For `map_err`: an I/O error with what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    /// A text that does not have the expected shape; keeps its first 200 characters.
    pub(crate) fn parse(what: impl Into<String>, expected: &'static str, got: &str) -> Self {
        Self::Parse { what: what.into(), expected, got: got.chars().take(200).collect() }
    }
}

/// The result of everything here.
pub(crate) type Result<T> = std::result::Result<T, PerfError>;
