//! One read of a cold object from its origin, shared: the leader writes a work file, followers on any thread read it
//! as it grows.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use crate::{Attrs, Disk, StoreError, Writer, object};

/// What the origin said of the object before its first byte.
#[derive(Clone, Debug, Default)]
pub struct FlightHead {
    /// Size in bytes, where the origin stated it.
    pub size: Option<u64>,
    /// Metadata as it will be committed.
    pub attrs: Attrs,
}

/// Why a flight failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlightError {
    /// The origin failed or sent something else than it announced.
    #[error("origin: {0}")]
    Origin(String),
    /// The origin has no such object.
    #[error("origin has no such object")]
    NotFound,
    /// There is no room here: read it from the origin without keeping it.
    #[error("no space to keep it")]
    NoSpace,
    /// The local disk failed.
    #[error("store: {0}")]
    Store(String),
    /// The leader went away.
    #[error("its leader went away")]
    Abandoned,
}

/// How far a flight is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes that can be read.
    pub written: u64,
    /// All bytes are in, they fit what the origin stated, and the object is committed. A reader that must never send
    /// wrong bytes keeps its last piece back until then.
    pub finished: bool,
}

/// The shared state of one cold read.
pub struct Flight<F> {
    state: Mutex<State<F>>,
}

struct State<F> {
    head: Option<(Arc<FlightHead>, F)>,
    written: u64,
    end: Option<Result<(), FlightError>>,
    wakers: BTreeMap<u64, Waker>,
    waiters: u64,
}

/// The right and duty to bring a cold object in. Dropped without a commit, its flight fails.
pub struct Lead<F> {
    flight: Arc<Flight<F>>,
}

impl<F> Flight<F> {
    pub(crate) fn new() -> Arc<Self> {
        let state = State { head: None, written: 0, end: None, wakers: BTreeMap::new(), waiters: 0 };
        Arc::new(Self { state: Mutex::new(state) })
    }

    pub(crate) fn lead(self: &Arc<Self>) -> Lead<F> {
        Lead { flight: self.clone() }
    }

    /// Whether it ended, well or not.
    pub fn is_over(&self) -> bool {
        self.state.lock().end.is_some()
    }

    pub(crate) fn break_off(&self, error: FlightError) {
        self.update(|state| {
            state.end.get_or_insert(Err(error));
        });
    }

    fn update(&self, change: impl FnOnce(&mut State<F>)) {
        let wakers = {
            let mut state = self.state.lock();
            change(&mut state);
            std::mem::take(&mut state.wakers)
        };
        wakers.into_values().for_each(Waker::wake);
    }

    /// Waits for what the origin says of the object.
    pub async fn head(&self) -> Result<Arc<FlightHead>, FlightError> {
        self.until(|state| match (&state.head, &state.end) {
            (_, Some(Err(error))) => Some(Err(error.clone())),
            (Some((head, _)), _) => Some(Ok(head.clone())),
            (None, Some(Ok(()))) => Some(Err(FlightError::Abandoned)),
            (None, None) => None,
        })
        .await
    }

    /// Waits until more than `past` bytes can be read, or the flight is finished.
    pub async fn wait(&self, past: u64) -> Result<Progress, FlightError> {
        self.until(|state| match &state.end {
            Some(Err(error)) => Some(Err(error.clone())),
            Some(Ok(())) => Some(Ok(Progress { written: state.written, finished: true })),
            None if state.written > past => Some(Ok(Progress { written: state.written, finished: false })),
            None => None,
        })
        .await
    }

    /// Waits until the flight is over.
    pub async fn finished(&self) -> Result<(), FlightError> {
        self.until(|state| state.end.clone()).await
    }

    fn until<T, C>(&self, check: C) -> Until<'_, F, C>
    where
        C: FnMut(&State<F>) -> Option<T>,
    {
        Until { flight: self, check, key: None }
    }
}

impl<F: Clone + Send + Sync + 'static> Flight<F> {
    /// Reads up to `len` bytes at `offset` through the caller's disk, never past what was written.
    pub async fn read<D: Disk<File = F>>(
        &self,
        disk: &D,
        offset: u64,
        len: usize,
    ) -> Result<D::Buf, StoreError> {
        let (file, written) = {
            let state = self.state.lock();
            if let Some(Err(error)) = &state.end {
                return Err(StoreError::Flight(error.clone()));
            }
            (state.head.as_ref().map(|(_, file)| file.clone()), state.written)
        };
        let len = (len as u64).min(written.saturating_sub(offset)) as usize;
        let Some(file) = file else { return Ok(disk.buffer(0).await?) };
        let buf = object::read_full(disk, &file, offset, len).await?;
        if buf.len() != len {
            let error =
                FlightError::Store(format!("work file has {} bytes at {offset}: expected {len}", buf.len()));
            return Err(StoreError::Flight(error));
        }
        Ok(buf)
    }
}

impl<F> Lead<F> {
    /// What the followers share.
    pub fn flight(&self) -> &Arc<Flight<F>> {
        &self.flight
    }

    /// The origin answered: followers may begin, reading from `writer`'s work file.
    pub fn begin<D: Disk<File = F>>(&self, head: FlightHead, writer: &Writer<D>)
    where
        F: Clone,
    {
        let Some(file) = writer.file() else {
            // A leader's writer has a work file, or nobody could read along.
            return self.flight.break_off(FlightError::Abandoned);
        };
        let entry = (Arc::new(head), file.clone());
        self.flight.update(|state| state.head = Some(entry));
    }

    /// `written` bytes can be read now.
    pub fn advance(&self, written: u64) {
        self.flight.update(|state| state.written = state.written.max(written));
    }

    /// Gives up: every follower gets the error.
    pub fn fail(self, error: FlightError) {
        self.end(Err(error));
    }

    pub(crate) fn finish(self) {
        self.end(Ok(()));
    }

    fn end(&self, end: Result<(), FlightError>) {
        self.flight.update(|state| {
            state.end.get_or_insert(end);
        });
    }
}

impl<F> Drop for Lead<F> {
    fn drop(&mut self) {
        self.end(Err(FlightError::Abandoned));
    }
}

impl From<&StoreError> for FlightError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::NoSpace(_) => Self::NoSpace,
            StoreError::Flight(error) => error.clone(),
            other => Self::Store(other.to_string()),
        }
    }
}

/// Waits for a condition of the state; its waker is removed when it is dropped.
struct Until<'a, F, C> {
    flight: &'a Flight<F>,
    check: C,
    key: Option<u64>,
}

impl<F, C: Unpin, T> Future for Until<'_, F, C>
where
    C: FnMut(&State<F>) -> Option<T>,
{
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = &mut *self;
        let mut state = this.flight.state.lock();
        if let Some(value) = (this.check)(&state) {
            return Poll::Ready(value);
        }
        let key = *this.key.get_or_insert_with(|| {
            state.waiters += 1;
            state.waiters
        });
        state.wakers.insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl<F, C> Drop for Until<'_, F, C> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.flight.state.lock().wakers.remove(&key);
        }
    }
}
