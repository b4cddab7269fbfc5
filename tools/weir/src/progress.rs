//! Progress of long transfers, on a terminal only.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

/// Below this many bytes a transfer is over before anybody reads a bar.
const BYTES_MIN: u64 = 16 << 20;

/// A bar, or nothing where nobody would see one. Clones count together.
#[derive(Clone)]
pub(crate) struct Progress(Option<Arc<ProgressBar>>);

impl Progress {
    /// For `bytes` in all, under a title.
    pub(crate) fn start(title: &str, bytes: u64, wanted: bool) -> Self {
        if !wanted || bytes < BYTES_MIN || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(bytes);
        let form = "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(title.to_owned());
        Self(Some(Arc::new(bar)))
    }

    /// So many more bytes are through.
    pub(crate) fn add(&self, bytes: usize) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes as u64);
        }
    }

    /// The transfer is over.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Counts and sums bytes as they pass, in either direction.
pub(crate) struct Counted<T> {
    pub(crate) inner: T,
    pub(crate) progress: Progress,
    pub(crate) hasher: weir_types::checksum::Hasher,
    pub(crate) bytes: u64,
}

impl<T> Counted<T> {
    fn note(&mut self, bytes: &[u8]) {
        self.progress.add(bytes.len());
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.note(buf.get(..n).unwrap_or_default());
        Ok(n)
    }
}

impl<T: Write> Write for Counted<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.note(buf.get(..n).unwrap_or_default());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A bar over the parts of a job, on a terminal only.
pub(crate) struct Parts(Option<ProgressBar>);

impl Parts {
    pub(crate) fn start(wanted: bool) -> Self {
        if !wanted || !io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} targets {elapsed}") {
            bar.set_style(style);
        }
        Self(Some(bar))
    }

    /// So many of all parts are over.
    pub(crate) fn show(&self, over: usize, all: usize, text: String) {
        if let Some(bar) = &self.0 {
            bar.set_length(all as u64);
            bar.set_position(over as u64);
            bar.set_message(text);
        }
    }

    /// The job is over.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
