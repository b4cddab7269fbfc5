//! Why a round could not be carried out. What a round finds is a result, not an error.

use std::io;
use std::path::{Path, PathBuf};

use weir_faultdisk::RigError;

/// An error of the tool or of the cluster that it drives.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// Something was waited for, and did not come.
    #[error("waited {seconds} s in vain: {what}")]
    InVain {
        /// What should have come about.
        what: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// A file or directory of a node.
    #[error("{what} {path}: {source}", path = .path.display())]
    Io {
        /// The attempted step, as a verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A program that the tool runs.
    #[error("`{command}`: {got}")]
    Program {
        /// The command line.
        command: String,
        /// What came of it.
        got: String,
    },
    /// The rig of the failing disk.
    #[error(transparent)]
    Rig(#[from] RigError),
    /// Flags that cannot be followed.
    #[error("{0}")]
    Usage(String),
}

impl ChaosError {
    /// Makes the adapter for `map_err` of a failed step on `path`.
    pub fn io(what: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.as_ref().to_owned(), source }
    }
}
