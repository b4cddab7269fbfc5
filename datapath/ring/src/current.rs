//! Which reactor runs on this thread.

use std::cell::RefCell;
use std::rc::Rc;

use crate::core::Core;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
}

/// The reactor that runs on this thread, if one does.
pub(crate) fn get() -> Option<Rc<Core>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Calls `f` with the reactor that runs on this thread, without touching its count. `f` must not enter or leave a reactor.
pub(crate) fn with<R>(f: impl FnOnce(Option<&Core>) -> R) -> R {
    let mut f = Some(f);
    let called = CURRENT.try_with(|current| f.take().map(|f| f(current.borrow().as_deref())));
    match (called, f) {
        (Ok(Some(answer)), _) => answer,
        // The thread is ending and its locals are gone.
        (_, Some(f)) => f(None),
        (_, None) => unreachable!("called or still there"),
    }
}

/// Makes `core` the reactor of this thread until the guard goes; the previous one comes back then.
pub(crate) fn enter(core: Rc<Core>) -> Entered {
    Entered(CURRENT.with(|current| current.replace(Some(core))))
}

pub(crate) struct Entered(Option<Rc<Core>>);

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.0.take();
        let _ = CURRENT.try_with(|current| current.replace(previous));
    }
}
