use std::io;
use std::path::PathBuf;

/// Why no load was run, or no report came of it. What goes wrong with single requests is a [`Failure`], and counted.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Flags that cannot work together.
    #[error("{0}")]
    Usage(String),
    /// An endpoint does not answer at all.
    #[error("{endpoint}: expected a server there, got {error}")]
    Unreachable {
        /// As it was given.
        endpoint: String,
        /// The connection's error.
        error: io::Error,
    },
    /// A thread of the loader did not start or did not end well.
    #[error("thread {thread} of the loader: {got}")]
    Thread {
        /// Its number.
        thread: usize,
        /// What happened.
        got: String,
    },
    /// The set could not be written before the measurement.
    #[error(
        "writing the set of {names} objects before the measurement: {failed} requests failed; the first: {first}"
    )]
    Prefill {
        /// Objects of the set.
        names: u64,
        /// Failed requests.
        failed: u64,
        /// The first failure.
        first: String,
    },
    /// A server's process is not there, or its figures are not what the kernel writes.
    #[error("{path}: expected {expected}, got {got}")]
    Proc {
        /// The file below /proc or /sys.
        path: PathBuf,
        /// What should stand there.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// A report's file.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// A plot could not be drawn.
    #[error("a plot of the report: {0}")]
    Plot(String),
}

/// What became of a request that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What it is counted as.
    pub kind: FailureKind,
    /// What was expected, what came, and where.
    pub message: String,
}

/// Kinds of failures, each counted by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// No connection.
    Connect,
    /// The connection ended or broke before the answer was whole.
    Broken,
    /// No answer within the time for a request.
    Timeout,
    /// Not HTTP, or not what the API says.
    Protocol,
    /// More redirects than are followed, or one to nowhere.
    Redirect,
    /// An object that is not what was written.
    Content,
    /// Another status than success.
    Status(u16),
}

impl FailureKind {
    /// As it stands in reports.
    pub fn label(self) -> String {
        match self {
            Self::Connect => "connect".into(),
            Self::Broken => "broken".into(),
            Self::Timeout => "timeout".into(),
            Self::Protocol => "protocol".into(),
            Self::Redirect => "redirect".into(),
            Self::Content => "content".into(),
            Self::Status(status) => format!("status {status}"),
        }
    }

    pub(crate) fn with(self, message: impl Into<String>) -> Failure {
        Failure { kind: self, message: message.into() }
    }
}
