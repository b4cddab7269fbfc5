/// Why a node does not start or run.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The configuration cannot work.
    #[error("configuration, {place}: got {got}")]
    Config {
        /// Which setting.
        place: String,
        /// What came and what was expected.
        got: String,
    },
    /// Another process holds the directory or the port.
    #[error("{what} is in use by another process: stop it, or choose another {choose}")]
    Locked {
        /// The directory or address.
        what: String,
        /// The setting to change.
        choose: &'static str,
    },
    /// A file or socket operation failed.
    #[error("{what}: {error}")]
    Io {
        /// What was attempted.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// io_uring is missing or refused.
    #[error("{0}")]
    Ring(String),
    /// A mountpath is not what it should be.
    #[error("mountpath {path}: {why}")]
    Mountpath {
        /// Its directory.
        path: String,
        /// What is wrong and what to do.
        why: String,
    },
    /// The control core did not start.
    #[error("control: {0}")]
    Control(String),
    /// The origin thread did not start.
    #[error("origin: {0}")]
    Origin(String),
}
