//! Many transfers at once, by a few threads that take the next one from a common list.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::error::ToolError;
use crate::output::{self, Output};

/// What many transfers came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Total {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
}

impl Total {
    /// Tells it: `42 objects, 1.0 GiB in 2.1 s (487.6 MiB/s)`.
    pub(crate) fn print(self, output: Output, verb: &str) -> Result<(), ToolError> {
        output.result(&self, |out| {
            let (size, speed) = (output::size(self.bytes), output::speed(self.bytes, self.seconds));
            let s = if self.objects == 1 { "" } else { "s" };
            writeln!(out, "{verb} {} object{s}, {size} in {:.2} s ({speed})", self.objects, self.seconds)
        })
    }
}

/// Runs `work` over `items` on `jobs` threads. A failure does not stop the others; an error of the list itself does.
pub(crate) fn run<T: Send>(
    jobs: usize,
    items: impl Iterator<Item = Result<T, ToolError>> + Send,
    work: impl Fn(T) -> Result<u64, ToolError> + Sync,
) -> Result<Total, ToolError> {
    let begin = Instant::now();
    let items = Mutex::new(items.fuse());
    let (done, failed, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
    let first = Mutex::new(None);
    let next = || lock(&items).next();
    let worker = || {
        while let Some(item) = next() {
            let listed = item.is_ok();
            match item.and_then(&work) {
                Ok(n) => {
                    done.fetch_add(1, Ordering::Relaxed);
                    bytes.fetch_add(n, Ordering::Relaxed);
                }
                Err(error) => {
                    failed.fetch_add(1, Ordering::Relaxed);
                    lock(&first).get_or_insert(error);
                }
            }
            if !listed {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let (objects, failed) = (done.into_inner(), failed.into_inner());
    match first.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        None => Ok(Total { objects, bytes: bytes.into_inner(), seconds: begin.elapsed().as_secs_f64() }),
        Some(error) if failed == 1 && objects == 0 => Err(error),
        Some(error) => Err(ToolError::Some { failed, all: objects + failed, first: Box::new(error) }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_done_and_failures_counted() {
        let total = run(4, (0..100u64).map(Ok), Ok).unwrap();
        assert_eq!((total.objects, total.bytes), (100, 4950));
        let refuse = |n: u64| if n == 7 { Err(ToolError::Usage("seven".into())) } else { Ok(n) };
        let error = run(4, (0..10).map(Ok), refuse).unwrap_err();
        assert_eq!(error.to_string(), "1 of 10 failed; the first: seven");
        assert_eq!(run(1, [7].into_iter().map(Ok), refuse).unwrap_err().to_string(), "seven");
        let broken = [Ok(1), Err(ToolError::Usage("list".into()))].into_iter();
        assert!(run(2, broken, Ok).is_err());
    }
}
