//! Why an operation on an object did not happen, before either dialect has words for it.

use weir_origin::OriginError;
use weir_store::{FlightError, StoreError};
use weir_types::RangeError;

use crate::body::BodyError;
use crate::committer::CommitError;
use crate::conn::ConnError;
use crate::place::PlaceError;
use crate::relay::LinkError;

/// A failure of an object operation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The connection is gone: there is nobody to answer.
    #[error(transparent)]
    Conn(#[from] ConnError),
    /// The body could not be read.
    #[error("{0}")]
    Body(BodyError),
    /// The bucket is not there, or no disk is.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A queue is full: try again later.
    #[error("{0}")]
    Overloaded(&'static str),
    /// The origin refused or failed.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The range cannot be served.
    #[error(transparent)]
    Range(#[from] RangeError),
    /// This node knows less of the cluster than the request goes by, and has not caught up.
    #[error("this node has not caught up with the cluster yet")]
    Behind,
    /// The node that the name belongs to gave no answer.
    #[error("{node}: {error}")]
    Peer {
        /// Which node.
        node: String,
        /// Why.
        error: LinkError,
    },
    /// Another target was asked for the object and does not hold it any more.
    #[error("the object is on its way to its owner: try again")]
    NotHeld,
    /// A file of this host of which no object is made.
    #[error("{0}")]
    NotPromoted(String),
    /// Not built for buckets whose data of record is elsewhere.
    #[error("{0}")]
    Unsupported(&'static str),
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Conn(error) => Self::Conn(error),
            other => Self::Body(other),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Overloaded => Self::Overloaded("the disk's queue of changes is full"),
            CommitError::Stopped => Self::Overloaded("the node is stopping"),
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

impl From<FlightError> for Failure {
    fn from(error: FlightError) -> Self {
        Self::Store(StoreError::Flight(error))
    }
}

impl Failure {
    /// Whether it says that there is no such object.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Store(StoreError::Flight(FlightError::NotFound)) => true,
            Self::Store(error) => error.is_not_found(),
            Self::Origin(error) => matches!(error, OriginError::NotFound { .. }),
            _ => false,
        }
    }
}
