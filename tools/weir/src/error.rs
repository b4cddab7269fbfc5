use std::io;
use std::path::PathBuf;

/// Why a command did not do what was asked, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ToolError {
    /// No node answers.
    #[error("no node answers at {endpoint}: {got}")]
    Unreachable { endpoint: String, got: String },
    /// The node refused or failed.
    #[error("{message}")]
    Refused { status: u16, message: String },
    /// The node's answer is not what the API says.
    #[error("{what}: expected {expected}, the node sent {got}")]
    Protocol { what: String, expected: &'static str, got: String },
    /// Bytes that came are not those that were sent.
    #[error("{what}: {kind} is {got}, expected {expected}")]
    Checksum { what: String, kind: &'static str, got: String, expected: String },
    /// An argument cannot work.
    #[error("{0}")]
    Usage(String),
    /// A local file or directory.
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
    /// Standard output.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// Some of many transfers failed.
    #[error("{failed} of {all} failed; the first: {first}")]
    Some { failed: usize, all: usize, first: Box<ToolError> },
    /// A job that was waited for did not end well, or not in time.
    #[error("job {id}: {state}")]
    Job { id: String, state: String },
    /// The node does not start.
    #[error("{0}")]
    Node(String),
}

impl ToolError {
    /// A local file's error, with its path.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::File { path, error }
    }

    /// What to do, where that can be said.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable { .. } => {
                "start one with `weir playground`, or name another with --endpoint or WEIR_ENDPOINT"
            }
            Self::Refused { status: 401 | 403, .. } => {
                "give a token with --token or WEIR_TOKEN; `weir token` issues one on the node's machine"
            }
            Self::Refused { status: 404, message } if message.contains("bucket") => {
                "`weir ls` lists the buckets, `weir create ais://NAME` makes one"
            }
            Self::Refused { status: 409, message } if message.contains("already exists") => {
                "choose another name, or use the bucket as it is"
            }
            Self::Refused { status: 429 | 503, .. } => {
                "the node is starting or has too much to do: try again"
            }
            Self::Refused { status: 507, .. } => {
                "the node's disks are full: delete or evict objects, or add a disk"
            }
            Self::Checksum { .. } => {
                "what was written is not kept; try again, and check memory and network if it stays"
            }
            Self::Some { first, .. } => return first.hint(),
            _ => return None,
        })
    }

    /// Whether the same may go well shortly: nobody answers, or a node is starting.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 429 | 503, .. })
    }

    /// Whether a node said that the thing is not there.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}
