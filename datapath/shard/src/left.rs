//! What a pass over many names leaves as it is for now: how much, why, and when it is tried again. One name that cannot be
//! done holds no other up.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::time::Duration;

use weir_ring::Handle;
use weir_store::Watch;

use crate::committer::CommitError;

/// The first rest between two rounds of a pass; each is twice as long as the one before.
const REST_MIN: Duration = Duration::from_secs(1);
/// Rests of one pass. Who had it begun begins another one, later.
const RESTS_MAX: u32 = 5;
/// While it rests it looks this often whether it is wanted still.
const LOOK: Duration = Duration::from_millis(100);

/// What one round has left.
#[derive(Default)]
pub(crate) struct Left {
    names: Cell<u64>,
    first: RefCell<Option<String>>,
    /// Whether some of it may go well at another time.
    again: Cell<bool>,
}

impl Left {
    /// A name, or all of a bucket or a disk, stays as it is.
    pub(crate) fn note(&self, what: impl Display, error: &CommitError) {
        let is_damaged = matches!(error, CommitError::Store(error) if error.is_damage());
        self.names.set(self.names.get() + 1);
        self.again.set(self.again.get() || !is_damaged);
        match is_damaged {
            true => tracing::warn!("{what} is damaged and stays as it is: {error}"),
            false => tracing::debug!("{what} stays as it is for now: {error}"),
        }
        self.first.borrow_mut().get_or_insert_with(|| format!("{what}: {error}"));
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.names.get() == 0
    }

    /// Whether some of it may go well at another time: what is damaged does not.
    pub(crate) fn may_go_well(&self) -> bool {
        self.again.get()
    }

    /// Says how it stands.
    pub(crate) fn tell(&self, watch: &dyn Watch) {
        watch.left(self.names.get(), self.first.borrow().as_deref().unwrap_or_default());
    }

    /// Says that it stays so.
    pub(crate) fn fail(&self, watch: &dyn Watch) {
        let first = self.first.borrow();
        watch.failed(format!(
            "{} left as they are: {}",
            self.names.get(),
            first.as_deref().unwrap_or_default()
        ));
    }
}

/// The rests between the rounds of a pass.
#[derive(Default)]
pub(crate) struct Rests(u32);

impl Rests {
    /// Rests while the pass is wanted; `false` if there were rests enough.
    pub(crate) async fn rest(&mut self, handle: &Handle, is_wanted: impl Fn() -> bool) -> bool {
        if self.0 >= RESTS_MAX {
            return false;
        }
        let until = handle.now() + REST_MIN * 2u32.pow(self.0);
        self.0 += 1;
        while is_wanted() && handle.now() < until {
            handle.sleep(LOOK).await;
        }
        true
    }
}
