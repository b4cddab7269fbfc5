//! What can go wrong with the rig itself. Findings of a checker are results, not errors.

use std::path::{Path, PathBuf};

/// An error of the rig: what was attempted, where, and why it failed.
#[derive(Debug, thiserror::Error)]
pub enum RigError {
    /// A system call on a file failed.
    #[error("{what} {path}: {source}", path = .path.display())]
    Io {
        /// The attempted step, as a verb.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A helper program failed.
    #[error("`{command}` failed: {reason}")]
    Command {
        /// The command line.
        command: String,
        /// Exit status and what it printed.
        reason: String,
    },
    /// A log that this version did not write, or that was cut in a record.
    #[error("log {path}: at byte {at}: expected {expected}", path = .path.display())]
    Log {
        /// The log file.
        path: PathBuf,
        /// Byte offset of the damage.
        at: u64,
        /// What should stand there.
        expected: &'static str,
    },
    /// A line of a history or of the control socket that has no meaning.
    #[error("line {line:?}: expected {expected}")]
    Line {
        /// The line as received.
        line: String,
        /// The accepted form.
        expected: &'static str,
    },
    /// The workload ended with an error or promised nothing: a void run, not a passed one.
    #[error("void run: {0}")]
    Void(String),
}

impl RigError {
    /// Makes the adapter for `map_err` of a failed step on `path`.
    pub fn io<E: Into<std::io::Error>>(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(E) -> Self {
        move |e| Self::Io { what, path: path.as_ref().to_owned(), source: e.into() }
    }
}
