use weir_types::Bucket;

/// What this crate refuses: what was expected, what came, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// An identifier breaks AIS's rules for its kind.
    #[error("{what} {got:?} is invalid: expected {expected}")]
    Id {
        /// Which kind of identifier.
        what: &'static str,
        /// What came.
        got: String,
        /// The rule it breaks.
        expected: &'static str,
    },
    /// No property or configuration key has this name.
    #[error("unknown property {key:?}")]
    UnknownKey {
        /// The dotted name that came.
        key: String,
    },
    /// A value does not fit its key.
    #[error("property {key:?}: invalid value {got:?}, expected {expected}")]
    BadValue {
        /// The dotted name.
        key: String,
        /// The value that came.
        got: String,
        /// What values fit.
        expected: String,
    },
    /// Values that fit their keys, but not each other or the bucket.
    #[error("{what}")]
    Conflict {
        /// Which values, and what is expected of them.
        what: String,
    },
    /// Erasure coding asks for more targets than there are.
    #[error("not enough targets: expected at least {needed}, have {have}")]
    NotEnoughTargets {
        /// Targets that the slices need.
        needed: usize,
        /// Active targets.
        have: usize,
    },
    /// The bucket is there already.
    #[error("bucket \"{0}\" already exists")]
    BucketExists(Bucket),
    /// No such bucket.
    #[error("bucket \"{0}\" does not exist")]
    BucketNotFound(Bucket),
    /// The bucket is on its way out: it takes no new objects, and its name is not free yet.
    #[error("bucket \"{0}\" is being removed: try again shortly")]
    BucketBeingRemoved(Bucket),
    /// One name, several providers: a by-name API cannot tell which is meant.
    #[error("ambiguous bucket name: \"{first}\" and \"{second}\" both exist")]
    AmbiguousBucket {
        /// One of them.
        first: Box<Bucket>,
        /// Another.
        second: Box<Bucket>,
    },
    /// The name is a path of the server.
    #[error("bucket name {name:?} is reserved: it collides with a path of the server")]
    ReservedName {
        /// The name that came.
        name: String,
    },
    /// The cluster holds as many buckets as it may.
    #[error("too many buckets: at most {max}")]
    TooManyBuckets {
        /// The limit.
        max: usize,
    },
}
