//! What a reactor is built from.

use std::time::Duration;

use weir_types::limits;

use crate::RingError;

/// Sizes and habits of one reactor. Everything it reserves follows from these numbers.
#[derive(Debug, Clone)]
pub struct ReactorConfig {
    /// Submission entries of the socket ring; rounded up to a power of two by the kernel.
    pub entries: u32,
    /// Submission entries of each disk ring.
    pub disk_entries: u32,
    /// How long an idle reactor looks for work before it sleeps in the kernel. Zero on cores shared with other processes.
    pub spin: Duration,
    /// Buffers of the pool; 0 leaves the pool empty (a thread that does no bulk I/O).
    pub buffers: usize,
    /// Bytes of one pool buffer: a multiple of 4096.
    pub buffer_bytes: usize,
    /// Tasks alive at once, the one given to `block_on` not counted.
    pub tasks_max: usize,
    /// CPU this thread is pinned to by [`Reactor::new`](crate::Reactor::new).
    pub cpu: Option<usize>,
}

impl Default for ReactorConfig {
    fn default() -> Self {
        ReactorConfig {
            entries: limits::RING_ENTRIES,
            disk_entries: limits::DISK_RING_ENTRIES,
            spin: Duration::from_micros(limits::SPIN_MICROS),
            buffers: limits::IO_BUFFERS,
            buffer_bytes: limits::IO_BUFFER_BYTES,
            tasks_max: limits::SHARD_TASKS_MAX,
            cpu: None,
        }
    }
}

impl ReactorConfig {
    /// Checks the ranges that the kernel or the layout of buffers demand.
    pub(crate) fn check(&self) -> Result<(), RingError> {
        let wrong = |field, expected, got| Err(RingError::Config { field, expected, got });
        if !(1..=32_768).contains(&self.entries) {
            return wrong("entries", "1 to 32768", self.entries as usize);
        }
        if !(1..=32_768).contains(&self.disk_entries) {
            return wrong("disk_entries", "1 to 32768", self.disk_entries as usize);
        }
        if self.buffers > limits::REGISTERED_BUFFERS_MAX {
            return wrong("buffers", "at most 16384, the kernel's table of registered buffers", self.buffers);
        }
        if self.buffers > 0
            && (self.buffer_bytes == 0 || !self.buffer_bytes.is_multiple_of(crate::memory::ALIGN))
        {
            return wrong("buffer_bytes", "a multiple of 4096", self.buffer_bytes);
        }
        if self.buffer_bytes > limits::BUFFER_BYTES_MAX {
            return wrong("buffer_bytes", "at most 1 GiB", self.buffer_bytes);
        }
        if !(1..=1 << 20).contains(&self.tasks_max) {
            return wrong("tasks_max", "1 to 1048576", self.tasks_max);
        }
        Ok(())
    }
}
