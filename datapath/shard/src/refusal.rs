//! Why a request is not carried out, in the words of either dialect.

use weir_store::StoreError;

use crate::Op;
use crate::answer::Answer;
use crate::conn::{Conn, ConnError};
use crate::fail::Failure;
use crate::serve::{Handled, Request};

/// A refusal; `E` is the dialect's error.
pub(crate) enum Refusal<E> {
    /// There is nobody to answer.
    Gone(ConnError),
    /// The head has left: only the end of the connection can tell the client.
    Broken {
        /// What was said.
        status: u16,
    },
    /// An answer; whether the connection ends with it, since the body cannot be read on.
    Answer(E, bool),
}

impl<E> From<ConnError> for Refusal<E> {
    fn from(error: ConnError) -> Self {
        Self::Gone(error)
    }
}

impl<E> From<StoreError> for Refusal<E>
where
    Self: From<Failure>,
{
    fn from(error: StoreError) -> Self {
        Failure::from(error).into()
    }
}

impl<E> Refusal<E> {
    /// Ends the request with it. The body of a refused upload is read and dropped or the connection half-closed after
    /// the answer: a client that is reset in the middle of an upload may send a shorter one.
    pub(crate) async fn end(
        self,
        request: &Request<'_>,
        conn: &Conn,
        op: Op,
        words: impl FnOnce(&E) -> Answer,
    ) -> Result<Handled, ConnError> {
        match self {
            Self::Gone(error) => Err(error),
            Self::Broken { status } => Ok(Handled { op, status, broken: true }),
            Self::Answer(error, close) => {
                let mut answer = words(&error);
                answer.close = close;
                request.answer(conn, op, answer).await
            }
        }
    }
}
